"""What learns after `freeze`, by one real training step: exactly what should, to the bit."""
import re
from functools import partial

import numpy as np
import pytest

from gluon_bof.backend import autograd, mx
from gluon_bof.errors import UserError
from gluon_bof.models.faster_rcnn.anchors import anchor_grid
from gluon_bof.models.faster_rcnn.loss import FasterRCNNLoss
from gluon_bof.models.faster_rcnn.loss import TrainingGraph as FasterRCNNGraph
from gluon_bof.models.faster_rcnn.network import build_faster_rcnn
from gluon_bof.models.yolo3.loss import TrainingGraph, YOLOv3Loss
from gluon_bof.models.yolo3.network import build_yolo3
from gluon_bof.models.yolo3.targets import grid_on
from gluon_bof.options.training import FREEZE
from gluon_bof.training.checkpoint import load_checkpoint, save_checkpoint
from gluon_bof.training.freezing import freeze
from gluon_bof.training.loop import Step
from gluon_bof.training.optimizer import build_trainer
from gluon_bof.weights.load import structured_parameters, weights_of
from tests.marks import slow_but
from tests.models.faster_rcnn import oracle
from tests.tiny_networks import settled

CLASSES = ("cat", "dog")
HEADS = {"yolo3": r"yolo_outputs\..*", "faster_rcnn": r"(class|box)_predictor\..*"}
# of each network the names that stay, besides those that never learn; all-but-head: whatever HEADS does not name
STAY = {"yolo3": {"stem": r"stages\.0\.(1?[0-9]|20)\..*", "backbone": r"stages\..*"},
        # GluonCV's Faster R-CNN keeps the stem and the first stage by itself while normalisation is frozen
        "single level": {"stem": r"features\.[0-4]\..*", "backbone": r"features\..*"},
        "pyramid": {"stem": r"features\.resnetv1b_(conv0|layers1)_.*", "backbone": r"features\.resnetv1b_.*"},
        "learning pyramid": {"stem": r"features\.resnetv1b_(conv0|syncbatchnorm0|layers1)_.*",
                             "backbone": r"features\.resnetv1b_.*"}}
NEVER = {"yolo3": r".*\.(anchors|offsets)", "learning pyramid": r"rpn\.anchor_generator.*",
         "single level": r"rpn\.anchor_generator.*|.*(bn\d|batchnorm|downsample\.1).*|features\.[0-4]\..*",
         "pyramid": r"rpn\.anchor_generator.*|.*batchnorm.*|features\.resnetv1b_(conv0|layers1)_.*"}


def yolo3(how, seed=3):
    """(network, trainer, function that makes one training step) of a frozen YOLOv3."""
    mx.random.seed(seed)
    network = settled(build_yolo3("mobilenet0.25", CLASSES), start=mx.init.Xavier())
    freeze(network, how)
    graph = TrainingGraph(network, YOLOv3Loss(len(CLASSES)))
    graph.hybridize(static_alloc=True)
    trainer = build_trainer(network.collect_params(), mx.optimizer.create("sgd", learning_rate=0.01, momentum=0.9, wd=0.01),
                            [mx.cpu()])
    step = Step(graph, lambda batch, truth: (batch, truth, *grid_on(batch.context, batch.shape[1])), trainer,
                [mx.cpu()], 2)
    rng = np.random.default_rng(0)
    images = mx.nd.array(rng.integers(0, 256, (2, 64, 64, 3)), dtype="uint8")
    truth = np.full((2, 8, 6), -1, np.float32)
    truth[0, 0], truth[1, 0], truth[1, 1] = (5, 6, 30, 40, 0, 1), (1, 2, 12, 12, 1, 1), (0, 0, 63, 63, 1, 1)
    return network, trainer, lambda: step(images, mx.nd.array(truth)).asnumpy()


def faster_rcnn(kind, how):
    """The same of a Faster R-CNN, as train_faster_rcnn.py puts it together."""
    options = oracle.small_options(kind)
    network = oracle.filled(build_faster_rcnn(options, oracle.CLASSES, [mx.cpu()]))
    for name, parameter in network.collect_params().items():
        # as in trained weights: MXNet's initialisers do not know a pyramid's normalisations by their names, and the operator
        # sets their gamma, which is fixed, to 1
        if name.endswith(("_bn_gamma", "_bn_moving_var")):
            parameter.set_data(mx.nd.ones(parameter.shape))
    mx.nd.waitall()
    network.freeze_the_rest()
    freeze(network, how)
    graph = FasterRCNNGraph(network, FasterRCNNLoss(len(oracle.CLASSES)))
    graph.hybridize()
    trainer = build_trainer(network.trained_parameters(),
                            mx.optimizer.create("sgd", learning_rate=0.01, momentum=0.9, wd=0.01), [mx.cpu()])
    rng, sizes = np.random.default_rng(5), [(96, 128), (90, 121)]
    _, truth = oracle.draw_batch(rng, sizes, (96, 128), [3, 5])
    rows = oracle.our_anchor_rows(anchor_grid(options), truth, sizes, (96, 128), seed=11)
    arrays = (mx.nd.array(rng.integers(0, 256, (2, 96, 128, 3)), dtype="uint8"), mx.nd.array(truth),
              mx.nd.array([[96, 128, 1], [90, 121, 1]]), mx.nd.array(rows),
              mx.nd.array(rng.uniform(size=(2, options.rpn_train_post_nms + oracle.MAX_BOXES))))
    step = Step(graph, lambda *parts: parts, trainer, [mx.cpu()], 2)
    return network, trainer, lambda: step(*arrays).asnumpy()


def changed(network, step):
    """Names of the parameters whose bits are others after a step."""
    before = weights_of(network)
    assert np.isfinite(step()).all()
    after = weights_of(network)
    return {name for name in before if before[name].tobytes() != after[name].tobytes()}


def expected(network, kind, how):
    """Names that should change, by the tables above: for a normalisation that learns its running statistics too."""
    names = [name for name in structured_parameters(network) if not re.fullmatch(NEVER[kind], name)]
    if how == "all-but-head":
        return {name for name in names if re.fullmatch(HEADS["yolo3" if kind == "yolo3" else "faster_rcnn"], name)}
    return {name for name in names if not re.fullmatch(STAY[kind].get(how, "nothing"), name)}


@pytest.mark.parametrize("how", FREEZE)
def test_exactly_the_right_layers_of_yolo3_learn(how):
    network, _, step = yolo3(how)
    assert changed(network, step) == expected(network, "yolo3", how)


@pytest.mark.parametrize("kind", slow_but(oracle.KINDS, "learning pyramid"))  # tests/contracts.py has every family
@pytest.mark.parametrize("how", FREEZE)
def test_exactly_the_right_layers_of_faster_rcnn_learn(kind, how):
    network, _, step = faster_rcnn(kind, how)
    assert changed(network, step) == expected(network, kind, how)


def test_more_is_frozen_from_way_to_way_and_named():
    sizes = []
    for how in FREEZE:
        names = freeze(yolo3("none")[0], how)
        assert names == sorted(names) and not any("anchors" in name for name in names)
        sizes.append(len(names))
    assert sizes[0] == 0 and sizes == sorted(set(sizes))


def seen(network, x):
    """Features of an image, while training and in inference."""
    found = []
    for mode in (autograd.train_mode, autograd.predict_mode):
        with mode():
            features = network._tips(mx.nd, x) if hasattr(network, "stages") else network.features(x)
            found.append([feature.asnumpy() for feature in features])
    return zip(*found)


@pytest.mark.parametrize("build", (yolo3, partial(faster_rcnn, "learning pyramid")), ids=("yolo3", "learning pyramid"))
def test_frozen_normalisation_does_the_same_in_training_as_in_inference(build):
    x = mx.nd.random.uniform(-2, 2, (2, 3, 96, 96))
    for training, inference in seen(build("all-but-head")[0], x):
        np.testing.assert_allclose(training, inference, rtol=1e-4, atol=1e-5 * np.abs(inference).max())
    for training, inference in seen(build("none")[0], x):
        assert not np.allclose(training, inference, rtol=1e-2, atol=1e-2 * np.abs(inference).max())


@pytest.mark.parametrize("how", ("stem", "all-but-head"))
def test_a_resumed_run_with_frozen_layers_ends_in_the_same_bits(how, tmp_path):
    network, trainer, step = yolo3(how)
    step()
    path = str(tmp_path / "a.ckpt")
    save_checkpoint(path, network, trainer, {})
    step()
    resumed, resumed_trainer, resumed_step = yolo3(how, seed=4)
    load_checkpoint(path, resumed, resumed_trainer)
    resumed_step()
    through = weights_of(network)
    for name, values in weights_of(resumed).items():
        np.testing.assert_array_equal(values, through[name], err_msg=name)


def test_an_unknown_way_is_refused():
    with pytest.raises(UserError, match="--freeze everything.*all-but-head"):
        freeze(yolo3("none")[0], "everything")
