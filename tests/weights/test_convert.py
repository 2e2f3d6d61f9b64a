"""Imported weights against OpenCV's Darknet; class order; and files that do not fit."""
import cv2
import numpy as np
import pytest

from gluon_bof.backend import gluoncv, mx
from gluon_bof.data.voc import VOC_CLASSES
from gluon_bof.freebies.augmentation import MEAN, STD
from gluon_bof.models.yolo3.network import build_yolo3
from gluon_bof.weights import convert
from gluon_bof.weights.formats.darknet import Convolution
from tests.weights.darknet_files import BACKBONE_LAYERS, COCO_NAMES, HEADERS, VOC_NAMES, write_weights, write_zeros, yolov3
from tests.weights.imports import filled, refusal

CLASSES = ("a", "b", "c")
HEIGHT, WIDTH = 96, 128
OPENCV_EPSILON = 1e-6
COARSEST_FIRST = ("82", "94", "106")  # the numbers of Darknet's three yolo layers


def normalised(x):
    return ((x - np.reshape(MEAN, (3, 1, 1))) / np.reshape(STD, (3, 1, 1))).astype(np.float32)


def raw_predictions(network, x):
    """(N, 5 + K) what the three heads predict, coarsest first."""
    tips = network._tips(mx.nd, mx.nd.array(x))
    return rows([output.prediction(tip).asnumpy() for output, tip in zip(network.yolo_outputs, tips)])


def rows(heads):
    return np.concatenate([head.reshape(3, -1, head.shape[2] * head.shape[3]).transpose(2, 0, 1).reshape(-1, head.shape[1] // 3)
                           for head in heads])


@pytest.fixture(scope="module")
def darknet(tmp_path_factory):
    """(path of a random yolov3.weights of three classes, an image (1, 3, H, W) in [0, 1], OpenCV's network that has seen it)."""
    folder = tmp_path_factory.mktemp("darknet")
    text, layers = yolov3(len(CLASSES), WIDTH, HEIGHT)
    path, cfg = folder / "yolov3.weights", folder / "yolov3.cfg"
    cfg.write_text(text)
    write_weights(path, layers, HEADERS["0.2.0"])
    network = cv2.dnn.readNetFromDarknet(str(cfg), str(path))
    image = np.random.default_rng(1).random((1, 3, HEIGHT, WIDTH), np.float32)
    network.setInput(image)
    yield path, image, network
    path.unlink()  # a quarter of a gigabyte


@pytest.fixture(scope="module")
def verbatim(darknet):
    imported = convert.import_weights(darknet[0], "yolo3_darknet53_custom", CLASSES, epsilon=OPENCV_EPSILON, verbatim=True)
    assert imported.classes == CLASSES
    return filled(build_yolo3("darknet53", CLASSES), imported.arrays)


def test_outputs_are_those_of_opencv_s_darknet(darknet, verbatim):
    _, image, network = darknet
    theirs = rows(network.forward([f"conv_{int(number) - 1}" for number in COARSEST_FIRST]))
    ours = raw_predictions(verbatim, image)
    assert np.abs(theirs).max() > 1
    np.testing.assert_allclose(ours, theirs, rtol=0, atol=2e-5)


def test_boxes_and_scores_are_those_of_opencv_s_darknet(darknet, verbatim):
    _, image, network = darknet
    theirs = np.concatenate(network.forward([f"yolo_{number}" for number in COARSEST_FIRST]))
    tips = verbatim._tips(mx.nd, mx.nd.array(image))
    boxes, scores = (np.concatenate(parts, axis=1)[0] for parts in zip(*[
        [part.asnumpy() for part in output(tip)] for output, tip in zip(verbatim.yolo_outputs, tips)]))
    left, top, right, bottom = (boxes / [WIDTH, HEIGHT, WIDTH, HEIGHT]).T
    np.testing.assert_allclose(np.stack([left + right, top + bottom], 1) / 2, theirs[:, :2], atol=1e-4)
    np.testing.assert_allclose(np.stack([right - left, bottom - top], 1), theirs[:, 2:4], rtol=1e-4, atol=1e-4)
    shown = theirs[:, 5:] > 0  # OpenCV writes 0 for what it finds too low
    assert shown.mean() > 0.3
    np.testing.assert_allclose(scores[shown], theirs[:, 5:][shown], atol=1e-4)


def test_normalised_images_give_the_same_but_for_the_edge(darknet, verbatim):
    path, image, _ = darknet
    imported = convert.import_weights(path, "yolo3_darknet53_custom", CLASSES, epsilon=OPENCV_EPSILON)
    network = filled(build_yolo3("darknet53", CLASSES), imported.arrays)
    ours = network.stages[0][0](mx.nd.array(normalised(image[0])[None])).asnumpy()
    black, grey = ([verbatim.stages[0][0](mx.nd.array(np.pad(image, ((0, 0), (0, 0), (1, 1), (1, 1))) + beyond)).asnumpy()
                    for beyond in (0, beyond_image(MEAN))])
    black, grey = black[:, :, 1:-1, 1:-1], grey[:, :, 1:-1, 1:-1]
    np.testing.assert_allclose(ours[:, :, 1:-1, 1:-1], black[:, :, 1:-1, 1:-1], atol=1e-5)
    np.testing.assert_allclose(ours, grey, atol=1e-5)
    assert np.abs(ours - black).max() > 0.1  # so the edge is looked at
    far = np.abs(raw_predictions(network, normalised(image[0])[None]) - raw_predictions(verbatim, image))
    assert far.max() < 0.05 and np.median(far) < 0.005


def beyond_image(colour):
    """(1, 3, H + 2, W + 2) this colour around an image, and 0 in it."""
    frame = np.zeros((1, 3, HEIGHT + 2, WIDTH + 2), np.float32) + np.reshape(colour, (3, 1, 1))
    frame[:, :, 1:-1, 1:-1] = 0
    return frame


def test_an_epsilon_is_taken_over_whatever_the_variance():
    variances = np.array([0, 1e-9, 1e-6, 9e-6, 1.1e-5, 1e-3, 1, 50], np.float32)
    arrays = {"n.running_var": variances, "n.gamma": np.linspace(-2, 3, 8, dtype=np.float32)}
    layer = Convolution("w", (8, 3, 1, 1), "n", None)
    for epsilon in (1e-7, 1e-6, 1e-3):
        taken = convert.take_epsilon(arrays, [layer], epsilon)
        np.testing.assert_allclose(taken["n.gamma"] / np.sqrt(taken["n.running_var"].astype(np.float64) + 1e-5),
                                   arrays["n.gamma"] / np.sqrt(variances.astype(np.float64) + epsilon), rtol=1e-5)


def test_by_default_what_a_file_holds_stays_as_it_is_and_a_detector_keeps_its_own_anchors(darknet):
    anchors = [[1, 2, 3, 4, 5, 6], [7, 8, 9, 10, 11, 12], [13, 14, 15, 16, 17, 18]]
    arrays = convert.import_weights(darknet[0], "yolo3_darknet53_custom", CLASSES, anchors, verbatim=True).arrays
    values = np.memmap(darknet[0], "<f4", "r", len(HEADERS["0.2.0"]))
    for part, begin in (("beta", 0), ("gamma", 32), ("running_mean", 64), ("running_var", 96)):
        np.testing.assert_array_equal(arrays[f"stages.0.0.1.{part}"], values[begin:begin + 32])
    np.testing.assert_array_equal(arrays["yolo_outputs.2.prediction.weight"].ravel(), values[-24 * 256:])
    np.testing.assert_array_equal(arrays["yolo_outputs.0.anchors"].ravel(), anchors[2])
    np.testing.assert_array_equal(arrays["yolo_outputs.2.anchors"].ravel(), anchors[0])


def test_a_detector_s_file_gives_its_backbone(darknet, verbatim):
    arrays = convert.import_weights(darknet[0], "darknet53", epsilon=OPENCV_EPSILON, verbatim=True).arrays
    wanted = verbatim.backbone_parameters()  # by the names that load_backbone looks for
    assert wanted.keys() <= arrays.keys() and len(wanted) == 5 * BACKBONE_LAYERS
    for name, parameter in wanted.items():
        np.testing.assert_array_equal(arrays[name], parameter.data().asnumpy(), err_msg=name)


def test_darknet53_conv_74_is_read_from_the_first_value_to_the_last(tmp_path):
    header = HEADERS["0.1.0"]  # the shortest; tests/weights/formats/test_darknet.py has the others
    path = write_zeros(tmp_path / "darknet53.conv.74", yolov3(80)[1][:BACKBONE_LAYERS], header)
    with open(path, "r+b") as file:  # the first layer's biases, and the very last value
        file.seek(len(header))
        file.write(np.arange(32, dtype="<f4").tobytes())
        file.seek(-4, 2)
        file.write(np.float32(9).tobytes())
    arrays = convert.import_weights(path, "darknet53").arrays
    np.testing.assert_array_equal(arrays["features.0.1.beta"], np.arange(32))
    assert list(arrays.values())[-1].flat[-1] == 9


@pytest.mark.parametrize("names, target, standard", (
    (COCO_NAMES, "yolo3_darknet53_coco", gluoncv.data.COCODetection.CLASSES), (VOC_NAMES, "yolo3_darknet53_voc", VOC_CLASSES)))
def test_every_class_keeps_its_row(tmp_path, names, target, standard):
    _, layers = yolov3(len(names))
    path = write_zeros(tmp_path / "yolov3.weights", layers, HEADERS["0.2.0"])
    with open(path, "r+b") as file:
        at = len(HEADERS["0.2.0"])
        for layer in layers:
            if not layer.normalised:  # its biases: the anchor's number times 1000, and the place of the class or number
                file.seek(at)
                file.write(np.add.outer(1000 * np.arange(3), np.arange(5 + len(names))).astype("<f4").tobytes())
            at += 4 * layer.count()
    # by default in Darknet's order; and from a file of another order
    for order in (None, names[::-1]):
        imported = convert.import_weights(path, target, order)
        assert imported.classes == tuple(standard)
        places = [(order or names).index(name) for name in names]
        for level in range(3):
            bias = imported.arrays[f"yolo_outputs.{level}.prediction.bias"].reshape(3, -1)
            for anchor in range(3):
                np.testing.assert_array_equal(bias[anchor] - 1000 * anchor, [0, 1, 2, 3, 4] + [5 + place for place in places])
    # the names, but for six of another spelling, are GluonCV's in its order
    assert sum(ours != theirs for ours, theirs in zip(names, standard)) == (6 if len(names) == 80 else 0)


def test_a_file_that_does_not_fit_is_refused(tmp_path):
    path = tmp_path / "some.weights"
    layers = yolov3(3)[1]
    for extra in (1, 4, -1, -4):
        write_zeros(path, layers, HEADERS["0.2.0"], extra)
        assert "no whole .weights" in refusal(path, "yolo3_darknet53_custom", CLASSES)
    write_zeros(path, layers, HEADERS["0.2.0"])
    assert "3 classes, not 80" in refusal(path, "yolo3_darknet53_coco")
    assert "without names" in refusal(path, "yolo3_darknet53_custom")
    assert "3 classes, not 2" in refusal(path, "yolo3_darknet53_custom", ("a", "b"))
    assert "holds yolov3, not resnet50_v1b" in refusal(path, "resnet50_v1b")
    assert "--to is one of" in refusal(path, "resnet9000")
    write_zeros(path, yolov3(80)[1], HEADERS["0.2.0"])
    assert "'moose' is none of COCO's" in refusal(path, "yolo3_darknet53_coco", ["moose", *COCO_NAMES[1:]])
    write_zeros(path, layers[:BACKBONE_LAYERS], HEADERS["0.2.0"])
    assert "backbone only" in refusal(path, "yolo3_darknet53_custom", CLASSES)
    with open(path, "r+b") as file:
        file.seek(len(HEADERS["0.2.0"]))
        file.write(np.float32("nan").tobytes())
    assert "not finite" in refusal(path, "darknet53")
    with open(path, "r+b") as file:
        file.seek(len(HEADERS["0.2.0"]))
        file.write(np.zeros(96, "<f4").tobytes() + np.float32(-1).tobytes())
    assert "negative variances" in refusal(path, "darknet53")
    with open(path, "wb") as file:
        file.write(HEADERS["0.2.0"])
        file.truncate(len(HEADERS["0.2.0"]) + 4 * 8_858_734)  # yolov3-tiny.weights
    assert "yolov3-tiny of 80 classes" in refusal(path, "darknet53")
