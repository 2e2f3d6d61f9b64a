"""Our networks against those that GluonCV's model zoo builds by itself, with its own arguments: names, shapes and detections.

Where tests.models.faster_rcnn.oracle swaps a class under our builder, nothing of ours takes part in making theirs here."""
import numpy as np
import pytest

from gluon_bof.backend import mx
from gluon_bof.models.faster_rcnn.network import build_faster_rcnn
from gluon_bof.options.faster_rcnn import FasterRcnnOptions
from gluon_bof.weights.load import set_weights, structured_parameters, weights_of
from tests.models.faster_rcnn import oracle
from tests.tiny_networks import settled

from gluoncv.model_zoo import get_model

KINDS = {"faster_rcnn_resnet50_v1b_voc": (FasterRcnnOptions(dataset="voc"), (96, 128)),
         "faster_rcnn_fpn_resnet50_v1b_coco": (FasterRcnnOptions(dataset="coco", use_fpn=True, image_max_size=1333), (128, 192))}
PROPOSALS = 12  # in place of 300 and 1000, so that two heads of ResNet-50 take a second


def lively(network):
    """The network with weights that let scores differ from place to place."""
    rng = np.random.default_rng(3)
    for name, parameter in structured_parameters(network).items():
        shape = parameter.shape
        if name.startswith("rpn.anchor_generator"):
            continue
        if name.endswith("weight"):
            gain = 0.05 if name.startswith(("rpn.", "class_predictor", "box_predictor")) else 1.5
            parameter.set_data(mx.nd.array(rng.normal(0, np.sqrt(gain / np.prod(shape[1:])), shape)))
        elif name.endswith(("gamma", "var")):
            parameter.set_data(mx.nd.array(rng.uniform(0.8, 1.2, shape)))
        else:
            parameter.set_data(mx.nd.array(rng.normal(0, 0.1, shape)))
    mx.nd.waitall()
    return network


def few_proposals(network):
    network._rpn_test_post_nms = network.rpn._test_post_nms = PROPOSALS
    return network


def pair_of(name, options, build, size, few=few_proposals):
    """(the zoo's network of this name, ours of these options with its weights), whose parameters are named and shaped alike;
    few(network): the same with less to find."""
    options = options.resolved()
    assert options.gluoncv_name() == name
    official = few(get_model(name, pretrained_base=False))
    ours = few(build(options, official.classes, [mx.cpu()]))
    with oracle.roi_align_of_the_gpu():
        lively(settled(official, *size))
    settled(ours, *size)
    wanted = {key: (parameter.shape, parameter.dtype) for key, parameter in structured_parameters(official).items()}
    assert {key: (parameter.shape, parameter.dtype) for key, parameter in structured_parameters(ours).items()} == wanted
    set_weights(ours, weights_of(official), name)
    mx.nd.waitall()
    return official, ours


@pytest.mark.slow
@pytest.mark.parametrize("name", KINDS)
def test_with_the_zoos_weights_our_network_finds_what_the_zoos_finds(name):
    options, size = KINDS[name]
    official, ours = pair_of(name, options, build_faster_rcnn, size)
    x = mx.nd.array(np.random.default_rng(0).normal(size=(1, 3, *size)))
    with oracle.roi_align_of_the_gpu():
        expected = [output.asnumpy() for output in official(x)]
    found = [output.asnumpy() for output in ours(x)]
    assert (expected[0] >= 0).sum() > PROPOSALS and len(np.unique(expected[1])) > PROPOSALS
    assert [mine.shape for mine in found] == [theirs.shape for theirs in expected]
    (mine, of_ours), (theirs, of_theirs) = with_area(found), with_area(expected)
    np.testing.assert_array_equal(mine, theirs)
    assert of_ours == len(mine) and of_theirs >= len(theirs)  # GluonCV also finds what fills up the proposals


def with_area(outputs):
    """(rows of id, score and box of the detections whose box has an area, number of all)."""
    rows = np.concatenate([output[0] for output in outputs], axis=1)
    rows = rows[rows[:, 0] >= 0]
    return rows[(rows[:, 4:] > rows[:, 2:4]).all(axis=1)], len(rows)
