"""Slices of large images: where they lie, how what they show becomes one list, and the same from every door."""
import json

import cv2
import numpy as np
import pytest

import gluon_bof
from gluon_bof.backend import mx
from gluon_bof.boxes import Detections, iou
from gluon_bof.commands.evaluate import main as evaluate
from gluon_bof.commands.predict import main as predict
from gluon_bof.data.shapes import CLASSES, draw_ground, draw_object
from gluon_bof.errors import UserError
from gluon_bof.inference.tiles import Tiling, Window, is_cut, merge, tiling_of
from tests.command_lines import refused
from tests.inference.lively_detectors import rcnn_detector
from tests.tiny_networks import write_run
from tests.tiny_sets import write_voc_set

SHAPE = (500, 800, 3)


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    return write_run(tmp_path_factory.mktemp("runs") / "one")


@pytest.fixture(scope="module")
def model(run):
    return gluon_bof.load(run)


def found(rows):
    """Detections of rows (class, score, four sides)."""
    rows = np.array(rows, np.float32).reshape(-1, 6)
    return Detections(rows[:, 2:], rows[:, 0].astype(np.int64), rows[:, 1])


def same(one, other):
    for part, wanted in zip(one, other):
        np.testing.assert_array_equal(part, wanted)
    return len(one.scores)


# where slices lie

@pytest.mark.parametrize("shape, tile, overlap", [
    (SHAPE, 640, 0.2), (SHAPE, 128, 0.0), (SHAPE, 128, 0.9), ((2000, 100, 3), 300, 0.25), ((641, 640, 3), 640, 0.5),
    (SHAPE, 77, 0.33)])
def test_slices_cover_every_pixel_and_share_what_was_asked_for(shape, tile, overlap):
    seen = np.zeros(shape[:2], int)
    windows = list(Tiling(tile, overlap).windows(shape))
    for window in windows:
        assert (window.bottom - window.top, window.right - window.left) == tuple(min(tile, side) for side in shape[:2])
        seen[window.top:window.bottom, window.left:window.right] += 1
    assert seen.min() == 1 and len(set(windows)) == len(windows)
    for low, high in ((0, 2), (1, 3)):
        begins = sorted({window[low] for window in windows})
        assert all(begin + tile - following >= int(tile * overlap) for begin, following in zip(begins, begins[1:]))
        assert begins[0] == 0 and max(window[high] for window in windows) == shape[1 - low]


def test_an_image_that_is_no_larger_than_a_tile_has_no_slices():
    assert not list(Tiling(640).windows((640, 640, 3))) and not list(Tiling(640).windows((10, 640, 3)))
    assert len(list(Tiling(640).windows((10, 641, 3)))) == 2


# what becomes one list

def test_boxes_that_no_edge_cuts_are_suppressed_as_by_mxnet():
    rng = np.random.default_rng(0)
    corners = rng.uniform(20, 300, (300, 2))
    rows = np.hstack([rng.integers(0, 3, (300, 1)), rng.permutation(300)[:, None] / 300, corners,
                      corners + rng.uniform(20, 120, (300, 2))]).astype(np.float32)
    whole, sliced = rows[:100], rows[100:].copy()
    sliced[:, 2:] -= np.float32((10, 0, 10, 0))
    ours = merge(found(whole), [(Window(10, 0, 800, 500), found(sliced))], SHAPE, 0.45)
    ids, scores, boxes = np.split(mx.nd.contrib.box_nms(mx.nd.array(rows[None]), overlap_thresh=0.45, id_index=0).asnumpy()[0],
                                  (1, 2), axis=1)
    kept = ids[:, 0] >= 0
    assert 50 < kept.sum() < 250
    np.testing.assert_array_equal(ours.classes, ids[kept, 0])
    np.testing.assert_array_equal(ours.scores, scores[kept, 0])
    np.testing.assert_allclose(ours.boxes, boxes[kept], atol=1e-4)


def test_only_an_edge_within_the_image_cuts():
    window = Window(0, 100, 200, 300)  # at the image's left edge
    boxes = np.array([(0, 50, 40, 90), (150, 50, 200, 90), (150, 50, 198.5, 90), (150, 50, 197.5, 90), (50, 0, 90, 20),
                      (50, 190, 90, 200)])
    assert is_cut(boxes, window, SHAPE).tolist() == [False, True, True, False, True, True]
    assert not is_cut(boxes, Window(0, 0, 800, 500), SHAPE).any()
    assert not is_cut(boxes[[1, 5]], Window(600, 300, 800, 500), SHAPE).any()


def test_each_inner_edge_cuts_by_its_own_side_and_the_images_edges_do_not():
    boxes = np.array([(0, 50, 40, 90), (150, 50, 200, 90), (50, 0, 90, 20), (50, 180, 90, 200)])  # left, right, top, bottom
    assert is_cut(boxes, Window(600, 100, 800, 300), SHAPE).tolist() == [True, False, True, True]
    assert is_cut(boxes, Window(550, 300, 750, 500), SHAPE).tolist() == [True, True, True, False]
    near = np.array([(10, 10, 297.5, 50), (10, 10, 50, 99.5), (10, 10, 50, 98.5)])
    assert is_cut(near, Window(0, 0, 300, 100), SHAPE).tolist() == [True, True, False]
    assert is_cut(np.array([(10, 10, 63.2, 50)]), Window(0, 0, 64, 64), SHAPE).all()  # a pixel, where a hundredth is less


def test_the_part_of_an_object_goes_where_the_whole_is_found_and_stays_where_it_is_not():
    left, right = Window(0, 0, 300, 500), Window(250, 0, 550, 500)
    part = found([(0, 0.9, 270, 100, 300, 200)])  # of an object from 270 to 370, cut at 300
    whole = found([(0, 0.6, 20, 100, 120, 200)])  # it, as the other slice shows it
    merged = merge(found([]), [(left, part), (right, whole)], SHAPE, 0.45)
    assert iou(part.boxes, whole.boxes + (250, 0, 250, 0))[0, 0] < 0.45  # so that suppression by overlap alone keeps both
    np.testing.assert_array_equal(merged.boxes, [(270, 100, 370, 200)])
    np.testing.assert_array_equal(merged.scores, np.float32([0.6]))
    for others in ([], [(1, 0.99, 20, 100, 120, 200)], [(0, 0.1, 20, 100, 120, 200)]):  # nothing, another class, a guess
        merged = merge(found([]), [(left, part), (right, found(others))], SHAPE, 0.45)
        mine = merged.scores == np.float32(0.9)
        np.testing.assert_array_equal(merged.boxes[mine], part.boxes)  # with its own score
        assert len(merged.scores) == 1 + len(others) and (np.diff(merged.scores) <= 0).all()


@pytest.mark.parametrize("covered, left", ((12, 2), (18, 1)))
def test_a_cut_box_goes_where_a_better_one_covers_more_than_half_of_it(covered, left):
    part = found([(0, 0.9, 270, 100, 300, 200)])
    other = found([(0, 0.5, 50 - covered, 100, 250 - covered, 200)])  # of the other slice, from 300 - covered on
    merged = merge(found([]), [(Window(0, 0, 300, 500), part), (Window(250, 0, 650, 500), other)], SHAPE, 0.45)
    assert len(merged.scores) == left


def test_nothing_in_any_view_is_nothing():
    merged = merge(found([]), [(Window(0, 0, 300, 500), found([]))], SHAPE, 0.45)
    assert merged.boxes.shape == (0, 4) and merged.scores.shape == merged.classes.shape == (0,)


# the same from every door

def scene(width=480, height=360, count=12):
    """(image with small objects far from each other, their boxes, their classes)."""
    rng = np.random.default_rng(3)
    canvas = draw_ground(rng, height, width)
    boxes, classes = [], []
    for number in range(count):
        row, column = divmod(number, 4)
        left, top = 20 + 120 * column + int(rng.integers(40)), 20 + 120 * row + int(rng.integers(40))
        part = canvas[top:top + 60, left:left + 60]
        patch = cv2.resize(part, (240, 240))
        box = np.array(draw_object(rng, patch, CLASSES[number % 4], 80)) / 4
        part[:] = cv2.resize(patch, (60, 60), interpolation=cv2.INTER_AREA)
        boxes.append(box + (left, top, left, top))
        classes.append(number % 4)
    return canvas.clip(0, 255).astype(np.uint8), np.array(boxes), np.array(classes)


def test_small_objects_are_found_with_tiles_and_not_without():
    image, boxes, classes = scene()
    model = gluon_bof.load("shapes")

    def recall(seen):
        return ((iou(boxes, seen.boxes) > 0.5) & (classes[:, None] == seen.classes)).any(axis=1).mean()

    assert max(boxes[:, 2] - boxes[:, 0]) < 32
    assert recall(model.predict(image, 0.3)) <= 0.5
    assert recall(model.predict(image, 0.3, tile=96, overlap=0.3)) >= 0.9


@pytest.mark.parametrize("kind", ["yolo3", "pyramid"])
def test_an_image_that_is_not_cut_gives_the_same_bits(kind, model):
    detector = model.detector if kind == "yolo3" else rcnn_detector(kind)
    image = np.random.default_rng(0).integers(0, 256, (100, 140, 3)).astype(np.uint8)
    whole, = detector.detect([image])
    assert same(detector.detect([image], Tiling(140))[0], whole) > 5
    sliced, = detector.detect([image], Tiling(80))
    assert len(sliced.scores) > len(whole.scores) and (np.diff(sliced.scores) <= 0).all()
    assert (sliced.boxes >= 0).all() and (sliced.boxes <= (140, 100, 140, 100)).all()


def test_evaluate_and_predict_find_the_same_with_tiles(run, model, tmp_path, capsys):
    folder = write_voc_set(tmp_path / "large", images=1, validation=2, width=200, height=150)
    small = write_voc_set(tmp_path / "small", images=1, validation=2)

    def rows_of(root, *more):
        evaluate([run, "--dataset", str(root), "-j", "0", "--save-json", str(tmp_path / "saved.json"), *more])
        return json.loads(capsys.readouterr().out), json.loads((tmp_path / "saved.json").read_text())

    told, rows = rows_of(folder, "--tile", "120", "--overlap", "0.3")
    assert (told["tile"], told["overlap"]) == (120, 0.3)
    assert rows_of(folder)[1] != rows and told["map"] == gluon_bof.evaluate(
        run, dataset=str(folder), num_workers=1, tile=120, overlap=0.3)["map"]  # with workers
    for name in ("000001", "000002"):
        seen = model.predict(folder / "VOC2007" / "JPEGImages" / f"{name}.jpg", tile=120, overlap=0.3)
        mine = [row for row in rows if row["image_id"] == name]
        assert len(mine) == len(seen.scores) > 20
        np.testing.assert_allclose([row["score"] for row in mine], seen.scores, rtol=1e-5)
    assert rows_of(small, "--tile", "120")[1] == rows_of(small)[1]


@pytest.mark.parametrize("more", [(), ("--tile", "64", "-j", "1")])
def test_a_broken_image_ends_an_evaluation_with_a_remedy_that_helps(run, tmp_path, capsys, more):
    folder = write_voc_set(tmp_path / "set", images=1, validation=2)
    path = folder / "VOC2007" / "JPEGImages" / "000002.jpg"
    path.write_bytes(path.read_bytes()[:-300])
    line = refused(evaluate, capsys, run, "--dataset", folder, "-j", "0", "--on-bad-sample", "skip", *more)
    assert line.startswith(f"error: {path}: the image is cut short; replace the image, or take it out of the set")


def test_predict_looks_at_slices_of_images_and_of_frames(run, model, tmp_path, capsys):
    rng = np.random.default_rng(1)
    frames = [rng.integers(0, 256, (5, 8, 3)).astype(np.uint8).repeat(32, axis=0).repeat(32, axis=1) for _ in range(2)]
    (tmp_path / "in").mkdir()
    cv2.imwrite(str(tmp_path / "in" / "a.png"), frames[0][:, :, ::-1])
    writer = cv2.VideoWriter(str(tmp_path / "in" / "v.avi"), cv2.VideoWriter_fourcc(*"MJPG"), 10, (256, 160))
    for frame in frames:
        writer.write(frame)
    writer.release()
    predict([run, str(tmp_path / "in"), "--out", str(tmp_path / "out"), "--tile", "128", "--overlap", "0.25", "--score", "0.4"])
    told = json.loads(capsys.readouterr().out)
    assert (told["tile"], told["overlap"], told["images"]) == (128, 0.25, 3)
    rows = json.loads((tmp_path / "out" / "detections.json").read_text())
    video = cv2.VideoCapture(str(tmp_path / "in" / "v.avi"))
    images = [frames[0]] + [video.read()[1][:, :, ::-1] for _ in frames]
    for number, image in enumerate(images, 1):
        seen = model.predict(np.ascontiguousarray(image), 0.4, tile=128, overlap=0.25)
        assert len(seen.scores) > len(model.predict(np.ascontiguousarray(image), 0.4).scores)
        np.testing.assert_allclose([row["score"] for row in rows if row["image_id"] == number], seen.scores, atol=1e-6)


# bad values

@pytest.mark.parametrize("tile, overlap, said", [
    (63, None, "tile 63 is smaller than 64 pixels"), (0, None, "tile 0 is smaller"), (-640, None, "tile -640"),
    (640.0, None, "tile cannot be 640.0"), (True, None, "tile cannot be True"), ("640", None, "tile cannot be '640'"),
    (640, 0.91, r"overlap 0.91 is outside \[0, 0.9\]"), (640, -0.1, "overlap -0.1 is outside"),
    (640, float("nan"), "overlap nan"), (640, "much", "overlap 'much'"), (640, False, "overlap False"),
    (None, 0.2, "overlap is of tiles, and there are none")])
def test_tiles_that_cannot_be_are_refused(tile, overlap, said, run, model):
    with pytest.raises(UserError, match=f"^--{said}"):
        tiling_of(tile, overlap)
    image = np.zeros((70, 70, 3), np.uint8)
    with pytest.raises(UserError, match=f"^{said}"):
        model.predict(image, tile=tile, overlap=overlap)
    with pytest.raises(UserError, match=f"^{said}"):
        gluon_bof.evaluate(run, tile=tile, overlap=overlap)


@pytest.mark.parametrize("main, words", [(predict, ("a.jpg", "--out", "out")), (evaluate, ())])
def test_commands_say_it_on_one_line_before_they_load_anything(main, words, capsys):
    for more, said in ((("--tile", "32"), "--tile 32 is smaller"), (("--overlap", "0.2"), "--overlap is of tiles"),
                       (("--tile", "640", "--overlap", "1"), "--overlap 1.0 is outside"), (("--tile", "large"), "--tile")):
        assert said in refused(main, capsys, "none.params", *words, *more)
