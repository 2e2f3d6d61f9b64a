"""One image as a path, as Pillow's and as an array: the same pixels, turned alike, or refused; and videos whole."""
import os
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from types import SimpleNamespace

import cv2
import numpy as np
import pytest
from PIL import Image, ImageFile, ImageOps

from gluon_bof.data.images import from_pillow, read_upright
from gluon_bof.data.shapes import draw_image
from gluon_bof.errors import UserError
from gluon_bof.inference import results
from gluon_bof.inference.model import load
from gluon_bof.inference.results import DetectionWriter, VideoFile
from gluon_bof.inference.sources import Source, staying
from tests.data.image_files import exif_of, gradient, write

MODES = [("L", "png"), ("LA", "png"), ("1", "png"), ("P", "png"), ("RGBA", "png"), ("I;16", "png"), ("RGB", "png"), ("L", "tif"),
         ("CMYK", "tif"), ("I;16", "tif"), ("RGBA", "tif"), ("P", "bmp"), ("RGB", "bmp"), ("RGB", "webp"), ("RGBA", "webp"),
         ("L", "jpg"), ("RGB", "jpg"), ("CMYK", "jpg")]


def save(path, mode, **options):
    """An image of that mode of Pillow's."""
    deep = gradient()[:, :, 0].astype(np.uint16) * 256 + 77
    image = Image.fromarray(deep) if mode == "I;16" else Image.fromarray(gradient()).convert(mode)
    image.save(path, **options, **({"lossless": True} if str(path).endswith("webp") else {}))


@pytest.mark.parametrize("mode, ending", MODES)
def test_a_path_and_pillows_image_have_the_same_pixels(tmp_path, mode, ending):
    path = tmp_path / f"a.{ending}"
    save(path, mode)
    with Image.open(path) as image:
        pillows = from_pillow(image)
    assert pillows.dtype == np.uint8 and pillows.flags.c_contiguous
    # two builds of libjpeg may round in their own ways
    np.testing.assert_allclose(pillows.astype(int), read_upright(path), atol=2 if ending == "jpg" else 0)


def test_sixteen_bits_of_three_channels_too(tmp_path):
    cv2.imwrite(str(tmp_path / "a.png"), gradient().astype(np.uint16)[:, :, ::-1] * 256 + 200)
    with Image.open(tmp_path / "a.png") as image:
        np.testing.assert_array_equal(from_pillow(image), read_upright(tmp_path / "a.png"))
        np.testing.assert_array_equal(from_pillow(image), gradient())


def test_what_is_half_transparent_in_a_tiff_too(tmp_path):
    alpha = np.arange(gradient()[:, :, :1].size).reshape(gradient()[:, :, :1].shape) % 256
    Image.fromarray(np.dstack([gradient(), alpha.astype(np.uint8)])).save(tmp_path / "a.tif")
    with Image.open(tmp_path / "a.tif") as image:
        np.testing.assert_array_equal(from_pillow(image), read_upright(tmp_path / "a.tif"))


def test_lab_is_refused_of_pillow_whose_colours_are_other_ones():
    with pytest.raises(UserError, match="mode LAB is not read"):
        from_pillow(Image.new("LAB", (4, 4)))


@pytest.mark.parametrize("ending", ["jpg", "png", "webp", "tif"])
@pytest.mark.parametrize("orientation", range(1, 9))
def test_they_are_turned_alike(tmp_path, ending, orientation):
    path = write(tmp_path / f"a.{ending}", orientation)
    with Image.open(path) as image:
        np.testing.assert_allclose(from_pillow(image).astype(int), read_upright(path), atol=2 if ending == "jpg" else 0)
        np.testing.assert_allclose(from_pillow(ImageOps.exif_transpose(image)).astype(int), read_upright(path),
                                   atol=2 if ending == "jpg" else 0)  # what was turned already is not turned again


@pytest.mark.parametrize("mode", ["L", "P", "RGBA", "CMYK", "I;16"])
@pytest.mark.parametrize("orientation", range(5, 9))
def test_a_tiff_that_pillow_would_map_is_turned_alike(tmp_path, mode, orientation):
    """Its pixels were cut into rows of the turned image's width."""
    save(tmp_path / "a.tif", mode, exif=exif_of(orientation))
    with Image.open(tmp_path / "a.tif") as image:
        np.testing.assert_array_equal(from_pillow(image), read_upright(tmp_path / "a.tif"))
        assert image.filename == str(tmp_path / "a.tif")


@pytest.mark.parametrize("values", [np.float32, np.int32])
def test_pixels_without_a_fixed_range_are_refused_both_ways(tmp_path, values):
    image = Image.fromarray(gradient()[:, :, 0].astype(values))
    image.save(tmp_path / "a.tif")
    for read in (lambda: from_pillow(image), lambda: from_pillow(Image.open(tmp_path / "a.tif")),
                 lambda: read_upright(tmp_path / "a.tif")):
        with pytest.raises(UserError, match="no fixed range"):
            read()


def test_half_an_image_of_pillows_is_named(tmp_path):
    path = write(tmp_path / "a.jpg")
    data = open(path, "rb").read()
    open(path, "wb").write(data[:len(data) // 2])
    with pytest.raises(UserError, match="a.jpg: the image cannot be read"), Image.open(path) as image:
        from_pillow(image)


def test_threads_that_read_pillows_images_at_once_refuse_those_cut_short_and_take_one_that_is_shared(tmp_path, monkeypatch):
    monkeypatch.setattr(ImageFile, "LOAD_TRUNCATED_IMAGES", True)  # as GluonCV leaves it
    noise = np.random.default_rng(0).integers(0, 256, (900, 900, 3), dtype=np.uint8)
    Image.fromarray(noise).save(tmp_path / "whole.jpg")
    data = (tmp_path / "whole.jpg").read_bytes()
    (tmp_path / "cut.jpg").write_bytes(data[:len(data) // 2])

    def is_read(image):
        try:
            return from_pillow(image).shape == noise.shape
        except UserError:
            return False

    with Image.open(tmp_path / "whole.jpg") as whole, ThreadPoolExecutor(2) as pool:
        assert all(pool.map(is_read, [whole] * 4))
        assert not any(pool.map(is_read, [Image.open(tmp_path / "cut.jpg") for _ in range(6)]))
    assert ImageFile.LOAD_TRUNCATED_IMAGES is True


@pytest.mark.parametrize("shape", [(65, 97), (64, 97), (65, 96), (64, 96)])
def test_a_video_with_an_odd_side_is_written_whole(tmp_path, shape):
    frame = np.zeros((*shape, 3), np.uint8)
    frame[-8:, -8:] = 255  # in the corner that was cut off
    video = VideoFile(str(tmp_path / "a.mp4"), 10, shape)
    for _ in range(3):
        video.write(frame)
    video.keep()
    read = cv2.VideoCapture(video.path)
    ok, seen = read.read()
    read.release()
    assert ok and seen.shape[:2] == (shape[0] + shape[0] % 2, shape[1] + shape[1] % 2)
    assert seen[shape[0] - 4:, shape[1] - 4:].min() > 180 and seen[:40, :60].max() < 60


FULL_DISK = """
import resource, sys
import numpy as np
from gluon_bof.errors import UserError
from gluon_bof.inference import results
resource.setrlimit(resource.RLIMIT_FSIZE, (20000, 20000))
for codecs, path in zip((results.CODECS, results.CODECS[1:]), sys.argv[1:]):
    results.CODECS = codecs
    video = results.VideoFile(path, 10, (64, 96))
    for number in range(40):
        video.write(np.random.default_rng(number).integers(0, 255, (64, 96, 3)).astype(np.uint8))
    try:
        video.keep()
    except UserError as error:
        print(error)
    finally:
        video.discard()
"""


def test_a_video_cut_off_by_a_full_disk_does_not_take_the_place_of_a_whole_one(tmp_path):
    """Of either ending, in one process, for it takes longer to start than to write."""
    endings, paths = ("mp4", "avi"), [tmp_path / name / "a.mp4" for name in ("first codec", "others")]
    for path in paths:
        path.parent.mkdir()
        path.write_bytes(b"whole")
    told = subprocess.run([sys.executable, "-c", FULL_DISK, *map(str, paths)], capture_output=True, text=True, check=True)
    for ending, path in zip(endings, paths):
        assert f"{path.with_suffix('.' + ending)}: the video cannot be written; make room" in told.stdout
        assert path.read_bytes() == b"whole" and [one.name for one in path.parent.iterdir()] == ["a.mp4"]


def test_a_video_that_needs_another_ending_replaces_no_file_of_that_name_but_an_earlier_predictions(tmp_path, monkeypatch):
    """OpenCV has no mp4v, and the video given to `--out .` is the .avi beside it."""
    monkeypatch.setattr(results, "CODECS", results.CODECS[1:])
    given, out = tmp_path / "clip.avi", str(tmp_path)
    given.write_bytes(b"given")
    sources = [Source(str(given), str(tmp_path / "clip.mp4"))]
    others = [Source(str(tmp_path / "elsewhere" / "clip.avi"), sources[0].target)]
    assert staying(others, out)(str(given)) and not staying(others, out)(str(tmp_path / "other.avi"))
    DetectionWriter(SimpleNamespace(classes=("a",))).begin(out)
    with pytest.raises(UserError, match="clip.mp4: OpenCV cannot write it, and as .avi it would replace a file"):
        VideoFile(sources[0].target, 10, (64, 96), staying(sources, out))
    assert given.read_bytes() == b"given"
    video = VideoFile(sources[0].target, 10, (64, 96), staying(others, out))
    video.write(np.zeros((64, 96, 3), np.uint8))
    video.keep()
    assert not (tmp_path / "clip.mp4").exists() and given.stat().st_size > 1000


def test_what_a_killed_prediction_left_of_a_video_goes_with_the_next(tmp_path):
    process = subprocess.Popen(["true"])
    process.wait()
    video = VideoFile(str(tmp_path / "a.mp4"), 10, (64, 96))
    left = tmp_path / os.path.basename(video.unfinished).replace(str(os.getpid()), str(process.pid))
    left.write_text("begun")
    video.discard()
    assert os.listdir(tmp_path) == [left.name] and left.suffix == ".mp4"
    VideoFile(str(tmp_path / "a.mp4"), 10, (64, 96)).discard()
    assert not os.listdir(tmp_path)


def test_a_video_has_as_long_a_name_as_any_file(tmp_path):
    """From 228 bytes on it could not be written: while it is not whole, its name also holds the host's."""
    path = tmp_path / f"{'ü' * 125}.mp4"
    video = VideoFile(str(path), 10, (64, 96))
    video.write(np.zeros((64, 96, 3), np.uint8))
    video.keep()
    assert os.listdir(tmp_path) == [path.name]
    with pytest.raises(UserError, match="the name is too long; it is its source's: rename that"):  # not at the end
        VideoFile(str(tmp_path / f"{'a' * 252}.mp4"), 10, (64, 96))


def test_a_frame_of_another_size_is_not_left_out_of_a_video(tmp_path):
    video = VideoFile(str(tmp_path / "a.mp4"), 10, (64, 96))
    for side in (96, 48, 96):
        video.write(np.full((64, side, 3), 200, np.uint8))
    video.keep()
    read = cv2.VideoCapture(video.path)
    assert [read.read()[0] for _ in range(4)] == [True, True, True, False]
    read.release()


def test_the_model_takes_all_three(tmp_path):
    """The shipped detector, on a 16-bit grey image and a turned one: the three ways find the same boxes."""
    model, path = load("shapes", device="cpu"), tmp_path / "a.png"
    image = draw_image(1, 3)[0]
    for stored, exif in ((Image.fromarray(image[:, :, 1].astype(np.uint16) * 256), None), (Image.fromarray(image), exif_of(6))):
        stored.save(path, **({"exif": exif} if exif else {}))
        with Image.open(path) as opened:
            wanted, *others = [model.predict(way, 0.1) for way in (str(path), opened, from_pillow(opened))]
        assert len(wanted.scores)
        for other in others:
            for one, same in zip(wanted, other):
                np.testing.assert_array_equal(one, same)
