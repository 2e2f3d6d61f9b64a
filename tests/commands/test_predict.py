"""python -m gluon_bof predict: what it draws and writes down, of images, folders, patterns and videos; its refusals."""
import csv
import json
import os
import shutil
import subprocess
import sys
import time
from functools import partial
from types import SimpleNamespace

import cv2
import numpy as np
import pytest
from PIL import Image
from pycocotools.coco import COCO

import gluon_bof
from gluon_bof.commands.predict import main
from gluon_bof.data.images import read_upright
from gluon_bof.inference.model import Prediction
from gluon_bof.inference.results import COLUMNS, DetectionWriter
from gluon_bof.inference.sources import find_sources
from gluon_bof.visualization.draw import draw_detections
from tests import command_lines
from tests.tiny_networks import write_run
from tests.tiny_sets import CLASSES, write_image

from gluoncv.data import COCODetection

predict, refused = partial(command_lines.answer_of, main), partial(command_lines.refused, main)
SIZE = (120, 96)  # width, height


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    return write_run(tmp_path_factory.mktemp("runs") / "one")


@pytest.fixture
def images(tmp_path):
    """A folder "images" with a.jpg, b.png, two of one name in folders, and what is none of its images."""
    drawn = tmp_path / "drawn"
    (drawn / "JPEGImages").mkdir(parents=True)
    (drawn / "Annotations").mkdir()
    folder = tmp_path / "images"
    rng = np.random.default_rng(0)
    for name in ("a.jpg", "b.png", "one/x.bmp", "two/x.jpg", ".hidden.jpg", ".cache/c.jpg"):
        write_image(drawn, "p", rng, *SIZE)
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        Image.open(drawn / "JPEGImages" / "p.jpg").save(folder / name)
    (folder / "notes.txt").write_text("no image")
    shutil.rmtree(drawn)
    return folder


def write_video(path, frames=6, rate=10, codec="mp4v"):
    """A square that moves over noise."""
    writer = cv2.VideoWriter(str(path), cv2.VideoWriter_fourcc(*codec), rate, SIZE)
    assert writer.isOpened()
    for number in range(frames):
        frame = np.random.default_rng(number).integers(90, 160, (SIZE[1], SIZE[0], 3)).astype(np.uint8)
        frame[20:60, 10 * number:10 * number + 40] = (40, 50, 220)
        writer.write(frame)
    writer.release()
    return str(path)


def frames_of(path):
    """([frames], frames a second)."""
    video, frames = cv2.VideoCapture(str(path)), []
    while True:
        whole, frame = video.read()
        if not whole:
            return frames, video.get(cv2.CAP_PROP_FPS)
        frames.append(frame[:, :, ::-1])


def rows_of(out):
    return json.loads((out / "detections.json").read_text())


def table_of(out):
    with open(out / "detections.csv", newline="") as file:
        return list(csv.DictReader(file))


def files_below(folder):
    return sorted(str(path.relative_to(folder)) for path in folder.rglob("*") if path.is_file())


def test_a_folder(run, images, tmp_path, capsys):
    out = tmp_path / "out"
    began = time.perf_counter()
    told, text = predict(capsys, run, images, "--out", out, "--score", "0.9")
    assert told["images_per_second"] > 4 / (time.perf_counter() - began)
    assert files_below(out) == ["a.jpg", "b.png", "detections.csv", "detections.json", "images.json", "one/x.png", "two/x.jpg"]
    rows = rows_of(out)
    assert (told["images"], told["files"], told["videos"], told["skipped"]) == (4, 4, 0, [])
    assert told["detections"] == len(rows) > 10 and f"4 images, {len(rows)} detections" in text
    assert (told["json"], told["csv"]) == (str(out / "detections.json"), str(out / "detections.csv"))
    model = gluon_bof.load(run)
    for image_id, name in enumerate(("a.jpg", "b.png", "one/x.bmp", "two/x.jpg"), 1):
        path = str(images / name)
        found = model.predict(path, 0.9)
        mine = [row for row in rows if row["image_id"] == image_id]
        assert {row["file_name"] for row in mine} == {path} and len(mine) == len(found.scores)
        assert [row["category_name"] for row in mine] == found.names
        assert [CLASSES[row["category_id"] - 1] for row in mine] == found.names
        np.testing.assert_allclose([row["score"] for row in mine], found.scores, atol=1e-6)
        boxes = np.array([row["bbox"] for row in mine])
        np.testing.assert_allclose(np.hstack([boxes[:, :2], boxes[:, :2] + boxes[:, 2:]]), found.boxes, atol=2e-3)
    # what is drawn is what the API draws
    wanted = draw_detections(read_upright(str(images / "b.png")), model.predict(str(images / "b.png"), 0.9))
    np.testing.assert_array_equal(np.asarray(Image.open(out / "b.png")), wanted)
    drawn = np.asarray(Image.open(out / "a.jpg")).astype(int)
    assert drawn.shape == (96, 120, 3) and np.abs(drawn - read_upright(str(images / "a.jpg"))).max() > 50


def test_pycocotools_reads_the_json_and_the_table_says_the_same(run, images, tmp_path, capsys):
    video = write_video(tmp_path / "v.mp4", frames=2)
    out = tmp_path / "out"
    predict(capsys, run, images / "a.jpg", video, "--out", out, "--score", "0.9")
    rows, table = rows_of(out), table_of(out)
    truth = COCO(str(out / "images.json"))
    assert [category["name"] for category in truth.loadCats(truth.getCatIds())] == list(CLASSES)
    assert [image["width"] for image in truth.loadImgs([1])] == [Image.open(images / "a.jpg").width]
    truth.dataset["annotations"] = []
    loaded = truth.loadRes(str(out / "detections.json"))
    assert len(loaded.getAnnIds()) == len(rows) and set(loaded.getImgIds()) == {1, 2, 3}
    assert len(rows) == len(table) > 5 and tuple(table[0]) == COLUMNS
    for row, cells in zip(rows, table):
        row.update(zip(("x", "y", "width", "height"), row.pop("bbox")))
        assert cells == {name: str(row.get(name, "")) for name in COLUMNS}


def categories_of(classes):
    return DetectionWriter(SimpleNamespace(classes=tuple(classes))).categories


def test_classes_of_coco_have_cocos_numbers_in_any_order_and_no_others_do():
    for classes in (COCODetection.CLASSES, reversed(COCODetection.CLASSES)):
        told = categories_of(classes)  # facts of instances_val2017.json
        assert [told[name] for name in ("person", "stop sign", "umbrella", "dining table", "toothbrush")] == [1, 13, 28, 67, 90]
        assert len(told) == 80
    assert list(categories_of(f"class {number}" for number in range(80)).values()) == list(range(1, 81))


def test_what_an_earlier_prediction_found_stays_until_the_next_has_found_something(tmp_path):
    earlier, later = (DetectionWriter(SimpleNamespace(classes=("ant",))) for _ in range(2))
    earlier.add("a.jpg", (10, 20, 3), Prediction(np.array([[1, 2, 3, 4]], np.float32), np.zeros(1, np.int64), ["ant"],
                                                 np.ones(1, np.float32)))
    earlier.save(str(tmp_path))
    later.begin(str(tmp_path))
    assert len(rows_of(tmp_path)) == 1


def test_nothing_found_is_an_empty_list(run, images, tmp_path, capsys):
    out = tmp_path / "out"
    told, _ = predict(capsys, run, images / "b.png", "--out", out, "--score", "1")
    assert told["detections"] == 0 and rows_of(out) == [] == table_of(out)
    np.testing.assert_array_equal(np.asarray(Image.open(out / "b.png")), read_upright(str(images / "b.png")))


def test_files_and_patterns_each_once_in_order(run, images, tmp_path, capsys):
    out = tmp_path / "out"
    (tmp_path / "link.png").symlink_to(images / "b.png")
    told, _ = predict(capsys, run, images / "b.png", tmp_path / "link.png", images / "*", images / "b.png", "--out", out,
                      "--score", "0.9")
    assert told["images"] == 2
    assert list(dict.fromkeys(row["file_name"] for row in rows_of(out))) == [str(images / "b.png"), str(images / "a.jpg")]
    assert files_below(out) == ["a.jpg", "b.png", "detections.csv", "detections.json", "images.json"]


def test_images_of_one_name_are_drawn_under_several(images, tmp_path):
    shutil.copy(images / "b.png", images / "b.webp")  # drawn as b.png too
    shutil.copy(images / "b.png", images / "b-2.png")
    words = [str(images / name) for name in ("two/x.jpg", "b.png", "b.webp", "b-2.png", "one/x.bmp")] + [str(images / "two")]
    shutil.copy(images / "a.jpg", images / "two" / "y.jpg")
    shutil.copytree(images / "two", images / "three")
    sources = find_sources(words + [str(images / "three")], str(tmp_path / "out"))
    assert [os.path.relpath(source.target, tmp_path / "out") for source in sources] == [
        "x.jpg", "b.png", "b-2.png", "b-2-2.png", "x.png", "y.jpg", "x-2.jpg", "y-2.jpg"]


def test_drawings_of_an_earlier_time_are_not_taken_for_images(images):
    out = images / "drawn"
    first = find_sources([str(images)], str(out))
    out.mkdir()
    (out / "images.json").write_text('{"images": [], "categories": []}')
    for source in first:
        os.makedirs(os.path.dirname(source.target), exist_ok=True)
        shutil.copy(images / "a.jpg", source.target)
    assert find_sources([str(images)], str(out)) == first and len(first) == 4


def test_what_an_earlier_prediction_drew_elsewhere_is_no_image_unless_it_is_asked_for(images):
    shutil.copytree(images, images / "earlier")
    (images / "earlier" / "segments.json").write_text('{"images": [], "classes": []}')
    found = find_sources([str(images)], str(images / "later"))
    assert len(found) == 4 and not any(source.path.startswith(f"{images}/earlier") for source in found)
    assert len(find_sources([str(images / "earlier")], str(images / "later"))) == 4
    (images / "one" / "images.json").write_text('{"images": [], "categories": [], "annotations": []}')  # a COCO set's
    assert len(find_sources([str(images)], str(images / "later"))) == 4


def test_folders_that_are_linked_are_looked_at_once(images, tmp_path):
    (tmp_path / "elsewhere").mkdir()
    shutil.copy(images / "a.jpg", tmp_path / "elsewhere" / "far.jpg")
    for name, place in (("linked", "../elsewhere"), ("a-link", "two"), ("round", "../images"), ("out", "../out")):
        (images / name).symlink_to(place)
    (tmp_path / "out").mkdir()
    shutil.copy(images / "a.jpg", tmp_path / "out" / "drawn.jpg")
    found = find_sources([str(images)], str(tmp_path / "out"))
    assert [os.path.relpath(source.path, images) for source in found] == ["a.jpg", "b.png", "one/x.bmp", "two/x.jpg",
                                                                          "linked/far.jpg"]


def test_a_given_image_is_never_replaced(run, images, tmp_path, capsys):
    before = (images / "a.jpg").read_bytes()
    (tmp_path / "elsewhere").symlink_to(images)
    for words in ((images, "--out", images), (images / "a.jpg", "--out", images),
                  (images / "a.jpg", "--out", tmp_path / "elsewhere"), (images / "*.jpg", "--out", f"{images}/one/..")):
        line = refused(capsys, run, *words)
        assert "a.jpg: it would be replaced by the drawn image; choose another folder: --out" in line
    assert (images / "a.jpg").read_bytes() == before and not (images / "detections.json").exists()


@pytest.mark.parametrize("theirs, given", (("a.jpg", "images/a.jpg"), ("clip.mp4", "clip.avi"), ("images.json", "images/a.jpg"),
                                           ("detections.csv", "images/a.jpg")))
def test_a_file_in_a_folder_that_no_prediction_made_is_never_replaced(run, images, tmp_path, capsys, theirs, given):
    out = tmp_path / "theirs"
    out.mkdir()
    # a COCO set's own JSON beside it
    (out / "images.json").write_text('{"images": [], "categories": [], "annotations": []}')
    (out / theirs).write_text("theirs")
    (tmp_path / "clip.avi").write_text("no video")
    line = refused(capsys, run, tmp_path / given, "--out", out)
    assert "the prediction would replace it; choose another folder: --out" in line
    assert (out / theirs).read_text() == "theirs" and set(files_below(out)) == {"images.json", theirs}


def test_a_prediction_that_was_cut_off_can_be_started_again(run, images, tmp_path, capsys):
    out = tmp_path / "out"
    write_video(tmp_path / "v.mp4", 400)
    words = [run, str(images), str(tmp_path / "v.mp4"), "--out", str(out), "--score", "0.9"]
    killed = subprocess.Popen([sys.executable, "-m", "gluon_bof", "predict", *words], stderr=subprocess.DEVNULL)
    try:
        while not (out / "a.jpg").exists() and killed.poll() is None:
            time.sleep(0.01)
    finally:
        killed.kill()
        killed.wait()
    assert rows_of(out) == [] and (out / "a.jpg").exists()
    told, _ = predict(capsys, run, images, "--out", out, "--score", "0.9")
    assert told["images"] == 4 and len(rows_of(out)) == told["detections"]


def test_a_turned_image_is_drawn_upright(run, images, tmp_path, capsys):
    exif = Image.Exif()
    exif[0x0112] = 6
    Image.open(images / "b.png").save(tmp_path / "turned.png", exif=exif)
    predict(capsys, run, tmp_path / "turned.png", "--out", tmp_path / "out", "--score", "1")
    with Image.open(tmp_path / "out" / "turned.png") as drawn:
        assert drawn.size == SIZE[::-1] and not drawn.getexif()  # or it would be turned twice


@pytest.mark.parametrize("ending, codec", [("mp4", "mp4v"), ("avi", "MJPG")])
def test_a_video(ending, codec, run, tmp_path, capsys):
    path = write_video(tmp_path / f"v.{ending}", 6, 10, codec)
    out = tmp_path / "out"
    told, text = predict(capsys, run, path, "--out", out, "--score", "0.7")
    assert (told["videos"], told["files"], told["images"]) == (1, 1, 6) and "warning" not in text
    assert files_below(out) == ["detections.csv", "detections.json", "images.json", "v.mp4"]
    frames, drawn = frames_of(path)[0], frames_of(out / "v.mp4")
    assert len(drawn[0]) == 6 and drawn[1] == pytest.approx(10)
    model, rows = gluon_bof.load(run), rows_of(out)
    for number, (frame, image) in enumerate(zip(frames, drawn[0])):
        found = model.predict(np.ascontiguousarray(frame), 0.7)
        mine = [row for row in rows if row["frame"] == number]
        assert {(row["image_id"], row["seconds"], row["file_name"]) for row in mine} == {(number + 1, number / 10, path)}
        np.testing.assert_allclose([row["score"] for row in mine], found.scores, atol=1e-6)
        wanted = draw_detections(frame, found).astype(int)
        assert np.abs(image - wanted).mean() < 25 < np.abs(image - wanted[:, :, ::-1]).mean()  # colours in their order


def test_a_colon_in_a_videos_name_or_folder_is_no_protocol(run, tmp_path, capsys, monkeypatch):
    monkeypatch.chdir(tmp_path)
    shutil.copy(write_video(tmp_path / "v.mp4", 2), "2026-01-01T12:30:00.mp4")
    told, _ = predict(capsys, run, "2026-01-01T12:30:00.mp4", "--out", "of:today")
    assert (told["videos"], told["images"]) == (1, 2) and len(frames_of("./of:today/2026-01-01T12:30:00.mp4")[0]) == 2


def test_half_a_video_is_taken_as_far_as_it_can_be_read(run, tmp_path, capsys):
    path = tmp_path / "v.avi"
    write_video(path, 12, 10, "MJPG")
    path.write_bytes(path.read_bytes()[:path.stat().st_size // 2])
    told, text = predict(capsys, run, path, "--out", tmp_path / "out")
    assert told["score"] == 0.3 and 2 < told["images"] < 12 and len(frames_of(tmp_path / "out" / "v.mp4")[0]) == told["images"]
    assert f"warning: {path}: {told['images']} of the" in text


def test_broken_files_stop_the_command_or_are_named_and_passed_over(run, images, tmp_path, capsys):
    out = tmp_path / "out"
    broken = [images / "ab.jpg", images / "clip.mp4"]
    broken[0].write_bytes((images / "a.jpg").read_bytes()[:-200])
    broken[1].write_text("no video")
    assert f"{broken[0]}: the image is cut short" in refused(capsys, run, images, "--out", out, "--score", "0.9")
    assert {row["file_name"] for row in rows_of(out)} == {str(images / "a.jpg")}  # what came before it is kept
    assert f"{broken[1]}: no frame of the video can be read" in refused(capsys, run, broken[1], "--out", out)
    assert {row["file_name"] for row in rows_of(out)} == {str(images / "a.jpg")}  # nor is it lost to one that finds nothing
    told, text = predict(capsys, run, images, "--out", out, "--on-bad-sample", "skip", "--score", "0.9")
    assert told["skipped"] == [str(path) for path in broken] and (told["files"], told["images"]) == (4, 4)
    lines = [line for line in text.splitlines() if line.startswith("skipped: ")]
    assert len(lines) == 2 and all(str(path) in line for path, line in zip(broken, lines))
    assert "ab.jpg" not in files_below(out) and "clip.mp4" not in files_below(out)
    assert {row["image_id"] for row in rows_of(out)} == {1, 2, 3, 4}


def test_a_name_that_is_no_utf8_is_written_by_escapes(run, images, tmp_path, capsys):
    strange = os.fsdecode(os.fsencode(str(images)) + b"/Stra\xdfe.png")
    os.rename(images / "b.png", strange)
    out = tmp_path / "out"
    told, _ = predict(capsys, run, strange, "--out", out, "--score", "0.9")
    assert told["detections"] > 0 and {row["file_name"] for row in rows_of(out)} == {strange}
    assert r"Stra\udcdfe.png" in table_of(out)[0]["file_name"] and os.path.exists(out / os.path.basename(strange))


def test_a_video_whose_name_is_no_utf8_is_refused_or_skipped_and_does_not_end_the_process(run, images, tmp_path, capsys):
    clip, out = write_video(tmp_path / "v.mp4", 2), tmp_path / "out"
    strange = os.fsdecode(os.fsencode(str(images)) + b"/Stra\xdfe.mp4")
    shutil.copy(clip, strange)
    said = "OpenCV opens no video whose name is no UTF-8; rename it"
    assert said in refused(capsys, run, strange, "--out", out)
    told, text = predict(capsys, run, strange, images / "a.jpg", "--out", out, "--on-bad-sample", "skip")
    assert (told["skipped"], told["files"]) == ([strange], 1) and said in text
    assert said in refused(capsys, run, clip, "--out", os.fsdecode(os.fsencode(str(tmp_path)) + b"/Stra\xdfe"))


def test_bad_arguments_are_refused_on_one_line(run, images, tmp_path, capsys):
    image, out = images / "a.jpg", ("--out", tmp_path / "out")
    assert "--score 1.5 is outside [0, 1]" in refused(capsys, run, image, *out, "--score", "1.5")
    assert "--score nan" in refused(capsys, run, image, *out, "--score", "nan")
    assert "--score" in refused(capsys, run, image, *out, "--score", "much")
    assert "none.jpg: no such image or folder" in refused(capsys, run, images / "none.jpg", *out)
    (tmp_path / "empty").mkdir()
    assert "no image lies in this folder" in refused(capsys, run, tmp_path / "empty", *out)
    assert "*.gif: the pattern matches no image" in refused(capsys, run, images / "*.gif", *out)
    assert "--out" in refused(capsys, run, image) and "IMAGES" in refused(capsys, run, *out)
    assert "see gluon-bof predict --help" in refused(capsys, run, image, *out, "--colour")
    assert "a.jpg: this is no file of MXNet's weights, which come first" in refused(capsys, image, images / "b.png", *out)
    assert "--short 1056" in refused(capsys, run, image, *out, "--short", "1056")
    assert "--short 100" in refused(capsys, run, image, *out, "--short", "100")
    assert "--nms 0.0" in refused(capsys, run, image, *out, "--nms", "0")
    assert "GPU 99 was asked for" in refused(capsys, run, image, *out, "--device", "gpu:99")
    assert "none.params: there are no such weights" in refused(capsys, tmp_path / "none.params", image, *out)
    assert not (tmp_path / "out").exists()
    assert "notes.txt: not an image" in refused(capsys, run, images / "notes.txt", *out)
    assert not [path for path in (tmp_path / "out").iterdir() if not path.name.startswith(("detections.", "images."))]


@pytest.mark.parametrize("name", ["a.jpg", "v.mp4"])
def test_a_place_that_cannot_be_written_is_named(name, run, images, tmp_path, capsys):
    if name == "v.mp4":
        write_video(images / name, frames=2)
    given = (run, images / name, "--on-bad-sample", "skip", "--out")  # no fault of the image, so not passed over
    (tmp_path / "file").write_text("here already")
    assert str(tmp_path / "file") in refused(capsys, *given, tmp_path / "file")
    assert str(tmp_path / "file" / "out") in refused(capsys, *given, tmp_path / "file" / "out")
    assert "/proc/self/out" in refused(capsys, *given, "/proc/self/out")  # a folder in which not even root may write
    assert "/proc/self: the folder cannot be written" in refused(capsys, *given, "/proc/self")


def test_as_a_process_it_says_one_line_whatever_the_libraries_have_to_say(run, tmp_path):
    (tmp_path / "clip.mp4").write_text("no video")  # on which FFmpeg has a word of its own
    answer = subprocess.run([sys.executable, "-m", "gluon_bof", "predict", run, str(tmp_path / "clip.mp4"), "--out",
                             str(tmp_path / "out")], capture_output=True, text=True)
    assert answer.returncode == 2 and not answer.stdout
    (line,) = answer.stderr.splitlines()
    assert line.startswith(f"error: {tmp_path / 'clip.mp4'}: no frame of the video can be read")
