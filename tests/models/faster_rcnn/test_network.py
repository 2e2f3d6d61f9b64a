"""Our networks against GluonCV's model zoo: names, what learns, sizes, inference; weights go both ways."""
import inspect
import re
from functools import partial
from types import SimpleNamespace

import numpy as np
import pytest

from gluon_bof.backend import mx
from gluon_bof.errors import UserError
from gluon_bof.models.build import build_network
from gluon_bof.models.faster_rcnn.anchors import anchor_grid
from gluon_bof.models.faster_rcnn.network import BACKBONES, FasterRCNN, GluonCVFasterRCNN, build_faster_rcnn
from gluon_bof.weights.fitting import fitting_network
from gluon_bof.weights.load import load_backbone, load_weights, read_weights, save_weights, structured_parameters
from gluon_bof.weights.resolve import backbone_weights
from tests.command_lines import faster_rcnn_options
from tests.marks import slow_but
from tests.models.faster_rcnn import oracle

from gluoncv.data import COCODetection, VOCDetection
from gluoncv.model_zoo import get_model
from gluoncv.model_zoo.rcnn.faster_rcnn import predefined_models as faster_rcnns
from gluoncv.model_zoo.rcnn.mask_rcnn import predefined_models as mask_rcnns
from gluoncv.model_zoo.resnetv1b import resnet18_v1b

ZOO = {"faster_rcnn_resnet50_v1b_voc": "--dataset voc --network resnet50_v1b",
       "faster_rcnn_resnet101_v1d_voc": "--dataset voc --network resnet101_v1d",
       "faster_rcnn_resnet50_v1b_coco": "--dataset coco --network resnet50_v1b --image-max-size 1333",
       "faster_rcnn_fpn_resnet50_v1b_coco": "--dataset coco --network resnet50_v1b --image-max-size 1333 --use-fpn",
       "faster_rcnn_fpn_syncbn_resnet50_v1b_coco": "--dataset coco --network resnet50_v1b --use-fpn --norm-layer syncbn",
       "faster_rcnn_fpn_syncbn_resnest50_coco": "--dataset coco --network resnest50 --use-fpn --norm-layer syncbn"}


def options_of(words):
    return faster_rcnn_options(words, "--pretrained-base no")


@pytest.mark.parametrize("name", slow_but(ZOO, "faster_rcnn_resnet50_v1b_voc", "faster_rcnn_fpn_syncbn_resnet50_v1b_coco"))
def test_networks_are_those_of_the_model_zoo(name):
    official = get_model(name, pretrained_base=False, **({"num_devices": 1} if "syncbn" in name else {}))
    options = options_of(ZOO[name])
    ours = build_faster_rcnn(options, (VOCDetection if name.endswith("voc") else COCODetection).CLASSES, [mx.cpu()])
    assert options.gluoncv_name() == name
    names, official_names = structured_parameters(ours), structured_parameters(official)
    assert list(names) == list(official_names)
    learning, official_learning = ({parameter_names[id(parameter)] for parameter in network.collect_train_params().values()}
                                   for network, parameter_names in (
                                       (ours, {id(p): n for n, p in names.items()}),
                                       (official, {id(p): n for n, p in official_names.items()})))
    assert learning == official_learning
    for attribute in ("max_size", "nms_thresh", "nms_topk", "post_nms", "ashape", "_roi_mode", "_roi_size", "_strides",
                      "_num_sample", "_rpn_test_post_nms", "_min_stage", "_max_stage"):
        assert getattr(ours, attribute) == getattr(official, attribute), attribute
    for attribute in ("_train_pre_nms", "_train_post_nms", "_test_pre_nms", "_test_post_nms", "_nms_thresh"):
        assert getattr(ours.rpn, attribute) == getattr(official.rpn, attribute), attribute
    shorts = official.short if isinstance(official.short, tuple) else (official.short,) * 2
    assert options.shorts() == shorts


@pytest.mark.parametrize("build", (
    mask_rcnns.mask_rcnn_fpn_resnet18_v1b_coco, faster_rcnns.faster_rcnn_fpn_resnet50_v1b_coco,
    faster_rcnns.faster_rcnn_fpn_resnet101_v1d_coco, faster_rcnns.faster_rcnn_fpn_syncbn_resnest50_coco,
    faster_rcnns.faster_rcnn_fpn_syncbn_resnest101_coco, faster_rcnns.faster_rcnn_fpn_syncbn_resnest269_coco))
def test_a_pyramid_stands_on_the_activations_that_gluoncvs_stands_on(build):
    backbone = re.search("_(resne.*)_coco", build.__name__).group(1)
    assert BACKBONES[backbone][1] == tuple(map(int, re.findall(r"'layers\d_relu(\d+)_fwd'", inspect.getsource(build))))


def test_no_flag_of_anchors_proposals_and_regions_is_lost_on_its_way_into_the_network():
    options = oracle.small_options("pyramid", "--clip 3 --rpn-min-size 7 --rcnn-pos-iou-thresh 0.6 --rcnn-pos-ratio 0.5 "
                                              "--anchor-base-size 12 --anchor-aspect-ratio 0.4,1.5 --rpn-nms-thresh 0.8")
    network = build_faster_rcnn(options, oracle.CLASSES, [mx.cpu()])
    rpn, proposer, sampler = network.rpn, network.rpn.region_proposer, network.region_sampler
    assert (rpn._nms_thresh, rpn._train_pre_nms, rpn._train_post_nms, rpn._test_pre_nms, rpn._test_post_nms) == (
        0.8, 300, 100, 200, 50)
    assert (network.box_decoder._clip, proposer._box_decoder._clip, proposer._min_size) == (3, 3, 7)
    assert (sampler._positive_iou, sampler._most_positive, network.region_targets.most_positive) == (0.6, 16, 16)
    for level, sides in zip(rpn.anchor_generator, anchor_grid(options).sides(64, 64)):
        anchors = level.anchors.value.asnumpy()[0, 0]
        anchors = anchors.reshape(*anchors.shape[:2], -1, 4)
        first_row, first_column = anchors[0], anchors[:, 0]
        for side, of_cells in zip(sides, (first_row[..., 0], first_row[..., 2], first_column[..., 1], first_column[..., 3])):
            np.testing.assert_array_equal(side, of_cells[:len(side)])


@pytest.mark.parametrize("mode", ("align", "pool"))
def test_a_region_is_cut_from_the_level_that_gluoncv_cuts_it_from(mode):
    network = SimpleNamespace(_min_stage=2, _max_stage=6, _roi_size=(2, 2), _roi_mode=mode, _runs_python=lambda: False)
    network._cut_out = partial(FasterRCNN._cut_out, network)
    sides = np.array([20, 100, 111, 113, 200, 222, 224, 300, 440, 448, 700, 900])
    rois = mx.nd.array(np.outer(sides, (0, 0, 0, 1, 1)))
    features = [mx.nd.random.normal(level, 0.1, (1, 2, 1024 >> level, 1024 >> level)) for level in range(2, 7)]
    with oracle.roi_align_of_the_gpu():
        ours, theirs = (kind._pyramid_roi_feats(network, mx.nd, features, rois, (2, 2), (4, 8, 16, 32, 64), mode).asnumpy()
                        for kind in (FasterRCNN, GluonCVFasterRCNN))
    np.testing.assert_array_equal(ours, theirs)
    assert set(np.round(ours.mean(axis=(1, 2, 3)))) >= {2, 3, 4, 5}


@pytest.mark.parametrize("kind", ("single level", "learning pyramid", oracle.ON_DARKNET))
def test_weights_go_both_ways_and_detections_are_gluoncvs(kind, tmp_path):
    _, ours, theirs = oracle.pair(kind, 1)
    path = str(tmp_path / "weights.params")
    save_weights(ours, path)
    theirs.load_parameters(path)
    x = mx.nd.random.normal(0, 1, (1, 3, 96, 128))
    with oracle.roi_align_of_the_gpu():
        expected = [output.asnumpy() for output in theirs(x)]
    assert (expected[0] >= 0).any()
    for ours_found, theirs_found in zip(ours(x), expected):
        np.testing.assert_array_equal(ours_found.asnumpy(), theirs_found)

    assert theirs.target_generator is not None  # as in GluonCV's training script: its constants are saved from then on
    theirs.save_parameters(path)
    assert "_target_generator" in path_text(path)
    load_weights(ours, path)


def path_text(path):
    with open(path, "rb") as file:
        return file.read().decode("latin-1")


@pytest.fixture(scope="module")
def scores_of():
    """settings of set_nms -> scores (D,) of eight proposals of which two and two are alike."""
    network = build_faster_rcnn(oracle.small_options("single level"), oracle.CLASSES, [mx.cpu()])
    corner = np.random.default_rng(0).uniform(0, 60, (4, 2)).repeat(2, axis=0)
    logits = mx.nd.array(np.random.default_rng(1).normal(0, 1, (8, len(oracle.CLASSES) + 1)))

    def found(**settings):
        network.set_nms(**settings)
        proposals = mx.nd.array(np.hstack([corner, corner + 20])[None])
        return network.decoded(mx.nd, logits, mx.nd.zeros((8, 4 * len(oracle.CLASSES))), proposals)[1].asnumpy().ravel()

    return found


def test_a_threshold_below_0_is_refused_where_it_would_leave_one_box_of_each_class(scores_of):
    with pytest.raises(UserError, match="nms_thresh -1 must be 0 or more"):
        scores_of(nms_thresh=-1)
    assert (scores_of(nms_thresh=1.1) > 0).all()


def test_suppression_that_may_look_at_0_detections_looks_at_all(scores_of):
    assert (scores_of(nms_topk=0) < 0).any()
    np.testing.assert_array_equal(scores_of(nms_topk=0), scores_of(nms_topk=-1))


def test_frozen_normalisation_stem_and_first_stage_have_no_gradient():
    network = oracle.filled(build_faster_rcnn(oracle.small_options("single level"), oracle.CLASSES, [mx.cpu()]))
    network.freeze_the_rest()
    requested = {name: parameter.grad_req for name, parameter in structured_parameters(network).items()}
    assert requested["features.0.weight"] == requested["features.4.0.conv1.weight"] == "null"
    assert requested["features.5.0.conv1.weight"] == requested["top_features.0.0.conv1.weight"] == "write"
    assert all(value == "null" for name, value in requested.items() if ".bn" in name)


def test_learning_normalisation_learns_everywhere():
    network = oracle.filled(build_faster_rcnn(oracle.small_options("learning pyramid"), oracle.CLASSES, [mx.cpu()]))
    network.freeze_the_rest()
    requested = {name: parameter.grad_req for name, parameter in structured_parameters(network).items()}
    assert {value for name, value in requested.items() if name.endswith(("gamma", "beta", "weight"))} == {"write"}
    assert {value for name, value in requested.items() if "running" in name or "moving" in name} == {"null"}


@pytest.fixture(scope="module")
def classifiers_file(tmp_path_factory):
    """(path of a ResNet-18's weights, that of its last convolution (K, C, 3, 3))."""
    classifier = resnet18_v1b(pretrained=False)
    classifier.initialize()
    classifier(mx.nd.zeros((1, 3, 64, 64)))
    path = str(tmp_path_factory.mktemp("classifier") / "classifier.params")
    classifier.save_parameters(path)
    return path, classifier.layer4[1].conv2.weight.data().asnumpy()


@pytest.mark.parametrize("kind", slow_but(oracle.KINDS, "single level", "pyramid"))
def test_a_classifiers_file_fills_the_backbone(kind, classifiers_file, tmp_path):
    path, last = classifiers_file
    network = oracle.filled(build_faster_rcnn(oracle.small_options(kind), oracle.CLASSES, [mx.cpu()]))
    load_backbone(network, path)
    np.testing.assert_array_equal(network.backbone_parameters()["layer4.1.conv2.weight"].data().asnumpy(), last)
    detector = str(tmp_path / "detector.params")
    save_weights(network, detector)
    other = oracle.filled(build_faster_rcnn(oracle.small_options(kind), oracle.CLASSES, [mx.cpu()]))
    load_backbone(other, detector)
    for name, parameter in other.backbone_parameters().items():
        np.testing.assert_array_equal(parameter.data().asnumpy(), network.backbone_parameters()[name].data().asnumpy())


def test_a_pyramid_starts_from_the_shipped_backbone_and_is_told_by_its_weights(tmp_path):
    network = oracle.filled(build_faster_rcnn(oracle.small_options(oracle.ON_DARKNET), oracle.CLASSES, [mx.cpu()]))
    path = backbone_weights("shipped", "darknet-mini")
    load_backbone(network, path)
    shipped = read_weights(path)
    for name, parameter in network.backbone_parameters().items():
        np.testing.assert_array_equal(parameter.data().asnumpy(), shipped[name])
    assert (fitting_network({name: parameter.shape for name, parameter in structured_parameters(network).items()})[:2]
            == ("faster_rcnn_fpn_syncbn_darknet-mini", len(oracle.CLASSES)))


def test_a_foreign_backbone_is_refused_by_name(tmp_path):
    path = str(tmp_path / "foreign.params")
    mx.nd.save(path, {"conv1.weight": mx.nd.zeros((2, 2))})
    network = oracle.filled(build_faster_rcnn(oracle.small_options("pyramid"), oracle.CLASSES, [mx.cpu()]))
    with pytest.raises(UserError, match="foreign.params.*conv1.weight"):
        load_backbone(network, path)


@pytest.mark.slow
@pytest.mark.parametrize("words", ("--dataset voc --network resnet18_v1b", "--dataset voc --network resnet18_v1b --use-fpn"))
def test_an_image_may_have_fewer_anchors_than_proposals_are_asked_for(words):
    options = options_of(words)
    network = build_network(options, oracle.CLASSES, [mx.cpu()])
    _, _, boxes = network(mx.nd.zeros((1, 3, 32, 48)))  # GluonCV's fails here
    assert boxes.shape[2] == 4 and np.isfinite(boxes.asnumpy()).all()


def test_an_untrained_pyramid_has_usable_running_statistics():
    network = build_network(oracle.small_options("learning pyramid"), ["cell"], [mx.cpu()])
    statistics = {name: parameter.data().asnumpy() for name, parameter in network.collect_params(".*moving_").items()}
    assert len([name for name in statistics if name.startswith("P")]) == 18  # two for each of the nine in the pyramid
    for name, values in statistics.items():
        assert (values == (1 if name.endswith("var") else 0)).all(), name
