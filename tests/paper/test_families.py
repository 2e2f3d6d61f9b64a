"""R-CNN, Fast R-CNN and Faster R-CNN of one network: its own inference where they are the same, and crops that are right."""
import dataclasses
import os
from types import SimpleNamespace

import cv2
import numpy as np
import pytest

from gluon_bof.backend import mx
from gluon_bof.boxes import BoxEnds
from gluon_bof.commands import figure as figures
from gluon_bof.errors import UserError
from gluon_bof.inference.detector import Detector
from gluon_bof.models.build import build_network
from gluon_bof.models.faster_rcnn import build_faster_rcnn
from gluon_bof.options.faster_rcnn import FasterRcnnOptions
from gluon_bof.options.yolo3 import Yolo3Options
from gluon_bof.paper import two_stage
from gluon_bof.paper.figures import families, page
from gluon_bof.paper.two_stage import CONTEXT, WARPED, Clock, TwoStage, blob_proposals, crop_of, recall
from gluon_bof.runs.opening import create_run
from gluon_bof.weights.load import save_weights
from tests.command_lines import refused
from tests.contracts import lively
from tests.paper.drawn_figures import texts_on_each_other
from tests.tiny_sets import CLASSES, write_voc_set

OPTIONS = FasterRcnnOptions(
    dataset="voc", network="resnet18_v1b", use_fpn=True, pretrained_base="no", image_short=(64,), image_max_size=96,
    rpn_channel=16, num_fpn_filters=16, rpn_min_size=2, num_box_head_dense_filters=32, anchor_scales=(1, 1.5, 2, 3, 4),
    anchor_alloc_size=(32, 32), rpn_test_pre_nms=50, rpn_test_post_nms=20, num_workers=0, gpus="").resolved()


@pytest.fixture(scope="module", name="network")
def small_network():
    return lively(build_network(OPTIONS, CLASSES, [mx.cpu()]))


@pytest.fixture(scope="module", name="image")
def image_of_three_blobs():
    image = np.random.default_rng(0).integers(90, 110, (64, 96, 3)).astype(np.uint8)
    for left, top, colour in ((8, 10, (250, 20, 20)), (40, 30, (20, 240, 30)), (70, 5, (30, 40, 250))):
        cv2.rectangle(image, (left, top), (left + 17, top + 21), colour, -1)
    return image


def told(outputs):
    """Rows of what was found, without those that suppression emptied."""
    ids, scores, boxes = (output.asnumpy()[0] for output in outputs)
    rows = np.hstack([ids, scores, boxes])[ids[:, 0] >= 0]
    return rows[np.argsort(-rows[:, 1], kind="stable")]


def test_the_parts_put_together_are_the_networks_own_inference(network, image):
    apart = TwoStage(network).faster_rcnn(image, Clock())
    whole = Detector(network, OPTIONS, mx.cpu()).engine(image[None])
    assert len(told(whole)) > 3
    np.testing.assert_allclose(told(apart), told(whole), rtol=1e-4, atol=1e-4)


def test_fast_rcnn_with_the_networks_proposals_is_faster_rcnn(network, image, monkeypatch):
    parts = TwoStage(network)
    x, *levels = parts.features(mx.nd.array(image[None], dtype=np.uint8))
    own = parts.proposals(x, *levels).asnumpy()[0]
    monkeypatch.setattr(two_stage, "blob_proposals", lambda seen, count: own[:count])
    fast, faster = told(parts.fast_rcnn(image, Clock())), told(parts.faster_rcnn(image, Clock()))
    np.testing.assert_allclose(fast, faster, rtol=1e-4, atol=1e-4)


def test_rcnn_is_the_head_on_each_crop_by_itself(network, image, monkeypatch):
    parts, clock = TwoStage(network), Clock()
    together = told(parts.rcnn(image, clock))
    assert set(clock.seconds) == {"proposals", "backbone", "head"} and min(clock.seconds.values()) > 0
    monkeypatch.setattr(two_stage, "TOGETHER", 1)
    np.testing.assert_allclose(told(parts.rcnn(image, Clock())), together, rtol=1e-3, atol=1e-3)
    box = blob_proposals(image, parts.count)[0]
    _, *levels = parts.features(mx.nd.array(crop_of(image, box)[None], dtype=np.uint8))
    logits, _ = parts.predictions(mx.nd.array([[0, CONTEXT, CONTEXT, CONTEXT + WARPED, CONTEXT + WARPED]]), *levels)
    of_image, _ = parts.predictions(mx.nd.array([[0, *box]]), *parts.features(mx.nd.array(image[None], dtype=np.uint8))[1:])
    assert np.abs(logits.asnumpy() - of_image.asnumpy()).max() > 1e-3  # shared features are others


def test_a_crop_of_the_warped_size_is_the_image_itself_and_others_are_resized():
    image = np.random.default_rng(1).integers(0, 256, (120, 140, 3)).astype(np.uint8)
    crop = crop_of(image, np.array((30, 20, 30 + WARPED, 20 + WARPED), np.float32))
    np.testing.assert_array_equal(crop, image[20 - CONTEXT:20 + WARPED + CONTEXT, 30 - CONTEXT:30 + WARPED + CONTEXT])
    half = cv2.resize(image[:, :], None, fx=2, fy=2, interpolation=cv2.INTER_LINEAR)
    crop = crop_of(image, np.array((40, 50, 40 + WARPED / 2, 50 + WARPED / 2), np.float32))
    inner = np.s_[CONTEXT:CONTEXT + WARPED]
    np.testing.assert_allclose(crop[inner, inner].astype(int), half[100:100 + WARPED, 80:80 + WARPED].astype(int), atol=2)
    edge = crop_of(image, np.array((0, 0, WARPED, WARPED), np.float32))
    assert (edge[:CONTEXT] == 0).all() and (edge[:, :CONTEXT] == 0).all() and edge[CONTEXT:, CONTEXT:].any()


BLOBS = np.array([[8, 10, 26, 32], [40, 30, 58, 52], [70, 5, 88, 27]], np.float32)  # of `image`


def test_the_recall_of_blobs_is_of_all_images_boxes_as_the_network_sees_them(image):
    def twice(image):
        return cv2.resize(image, None, fx=2, fy=2, interpolation=cv2.INTER_NEAREST)

    missed = np.array([[0, 0, 5, 3]], np.float32)
    found_set = SimpleNamespace(records=[SimpleNamespace(boxes=boxes) for boxes in (BLOBS, missed, BLOBS[:1])])
    assert families._recall_of_blobs(twice, 20, [image] * 3, found_set) == 4 / 5


def test_blobs_are_proposed_first_and_a_grid_where_there_are_none(image):
    found = blob_proposals(image, 20)
    assert recall(found, BLOBS) == (3, 3) and found.shape == (20, 4) and found.dtype == np.float32
    assert (found[:, :2] >= 0).all() and (found[:, 2:] <= (96, 64)).all() and (found[:, 2:] - found[:, :2] >= 6).all()
    assert found.tobytes() == blob_proposals(image, 20).tobytes()
    flat = blob_proposals(np.full((64, 96, 3), 127, np.uint8), 200)
    assert flat.shape == (200, 4) and recall(flat, np.array([[10, 10, 40, 40]], np.float32)) == (1, 1)
    assert recall(found, np.zeros((0, 4), np.float32)) == (0, 0)


def test_a_network_without_a_pyramid_is_refused():
    options = FasterRcnnOptions(dataset="voc", network="resnet18_v1b", pretrained_base="no", rpn_channel=16,
                                anchor_alloc_size=(16, 16), gpus="")
    single = build_faster_rcnn(options.resolved(), CLASSES, [mx.cpu()])
    with pytest.raises(UserError, match="without a pyramid.*--use-fpn"):
        TwoStage(single)


# the figure

@pytest.fixture(scope="module", name="runs")
def two_runs(network, tmp_path_factory):
    """Folders of a Faster R-CNN's run and of a YOLOv3's, which nobody has trained."""
    path = tmp_path_factory.mktemp("families")
    write_voc_set(path / "set", images=2, validation=4)
    folders = {}
    yolo3 = Yolo3Options(dataset="voc", network="mobilenet0.25", data_shape=64, num_workers=0, gpus="")
    for name, options in (("two-stage", OPTIONS), ("yolo3", yolo3)):
        options = dataclasses.replace(options, dataset_root=str(path / "set"), runs=str(path / "runs"), name=name)
        run = create_run(options)
        run.write_classes(CLASSES)
        of_it = network if name == "two-stage" else build_network(options, CLASSES, [mx.cpu()])
        save_weights(of_it, run.best_weights)
        run.close()
        folders[name] = run.folder
    return folders


def test_the_figure_measures_three_ways_of_one_network_on_the_same_images(runs, tmp_path):
    given, module = figures.read_request(["families", "--two-stage", runs["two-stage"], "--timed", "2", "--out", str(tmp_path)])
    with page.look():
        drawn = module.draw(given)
        assert texts_on_each_other(drawn.figure) == []
    found = drawn.numbers["detectors"]
    assert str(drawn.numbers["threads"] or "") == os.environ.get("OMP_NUM_THREADS", "")
    assert list(found) == ["R-CNN", "Fast R-CNN", "Faster R-CNN"] and drawn.numbers["images"] == 4
    assert found["R-CNN"]["parts"]["backbone"] > 3 * found["Fast R-CNN"]["parts"]["backbone"]
    for name, numbers in found.items():
        rows = [row for row in drawn.rows if row[0] == name]
        assert {row[1] for row in rows} == {"proposals", "backbone", "head"} and sum(row[3] for row in rows) == pytest.approx(1)
        assert numbers["seconds"] == pytest.approx(sum(row[2] for row in rows)) and 0 <= numbers["map"] <= 1


@pytest.mark.parametrize("threads, told", (("1", "an image, one thread"), ("2", "an image, 2 threads"), ("", "an image")))
def test_the_axis_says_on_how_many_threads_the_time_was_spent(threads, told):
    figure = families._drawn({"SSD": {"whole network": 0.01}}, {"SSD": 0.5}, threads)
    assert figure.axes[0].get_xlabel().endswith(told)


def test_processor_seconds_and_pixels_are_of_one_image():
    def run(seen, clock):
        clock.seconds["whole"] = clock.seconds.get("whole", 0.0) + 1.0

    images = [np.zeros((4, 5, 3)), np.zeros((8, 5, 3))]
    assert families.measure({"one": families.Way(lambda image: image, run)}, images) == ({"one": {"whole": 1.0}}, {"one": 30})


def test_a_whole_network_takes_its_turn_and_finds_what_it_finds_alone(network, image):
    detector = Detector(network, OPTIONS, mx.cpu())
    way = families.Way(detector.see, families._whole(detector))
    clocks, pixels = families.measure({"whole": way}, [image])
    assert list(clocks["whole"]) == ["whole network"] and pixels["whole"] == 64 * 96
    found, alone = families.detect(way, image, Clock()), detector.detect([image])[0]
    for one, other in zip(found, alone):
        np.testing.assert_array_equal(one, other)
    on_coco = families.detect(way._replace(ends=BoxEnds.LAST_PIXEL), image, Clock())  # of published weights
    np.testing.assert_array_equal(on_coco.boxes, alone.boxes + np.array((0, 0, 1, 1), np.float32))


@pytest.mark.parametrize("words, message", (
    ([], "--two-stage"), (["--two-stage", "RCNN", "--yolo3", "YOLO"], "has the backbone mobilenet0.25, and the two-stage"),
    (["--two-stage", "RCNN", "--ssd", "YOLO"], "is a YOLOv3"), (["--two-stage", "YOLO"], "is a YOLOv3"),
    (["--two-stage", "RCNN", "--timed", "0"], "--timed 0 is below 1"), (["--two-stage", "no-run"], "no-run"),
    (["--two-stage", "a.params", "--last"], "--last: there is no run"),
    (["--two-stage", "RCNN", "--count", "-1"], "--count -1 is below 0")))
def test_weights_that_cannot_be_compared_are_refused(words, message, runs, tmp_path, capsys):
    words = [{"RCNN": runs["two-stage"], "YOLO": runs["yolo3"]}.get(word, word) for word in words]
    assert message in refused(figures.main, capsys, "families", "--out", tmp_path, *words)
