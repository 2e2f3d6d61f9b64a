"""Images as stored: every format to three channels of RGB, and no half images."""
import contextlib
import errno
import os
import resource

import cv2
import numpy as np
import pytest
from PIL import Image

from gluon_bof.data.images import files_in, image_size, read_image
from gluon_bof.data.sets import open_set
from gluon_bof.data.workers import WorkerLost, _answer
from gluon_bof.errors import UserError
from tests.data.image_files import gradient


def jpeg_bytes(image=None, quality=95):
    image = gradient() if image is None else image
    return cv2.imencode(".jpg", image, [cv2.IMWRITE_JPEG_QUALITY, quality])[1].tobytes()


@pytest.mark.parametrize("read", (read_image, image_size))
def test_a_limit_of_open_files_is_no_fault_of_the_image_which_would_be_skipped(tmp_path, read):
    path = tmp_path / "a.jpg"
    path.write_bytes(jpeg_bytes())
    before = resource.getrlimit(resource.RLIMIT_NOFILE)
    with open(path) as lowest:
        free = lowest.fileno()
    resource.setrlimit(resource.RLIMIT_NOFILE, (free, before[1]))
    try:
        with pytest.raises(OSError) as told:
            read(str(path))
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, before)
    assert told.value.errno == errno.EMFILE
    read(str(path))


@pytest.mark.parametrize("ending, tolerance", [(".png", 0), (".bmp", 0), (".jpg", 12)])
def test_colour_images_come_out_as_rgb(tmp_path, ending, tolerance):
    path = tmp_path / ("a" + ending)
    Image.fromarray(gradient()).save(path, **({"quality": 95, "subsampling": 0} if ending == ".jpg" else {}))
    image = read_image(str(path))
    assert image.dtype == np.uint8 and image.flags.c_contiguous
    assert np.abs(image.astype(int) - gradient()).max() <= tolerance
    assert image_size(str(path)) == (64, 48)


@pytest.mark.parametrize("mode", ["L", "CMYK"])
def test_grey_and_cmyk_jpegs_have_three_channels(tmp_path, mode):
    path = tmp_path / "a.jpg"
    Image.fromarray(gradient()).convert(mode).save(path, quality=95)
    assert read_image(path).shape == (48, 64, 3)
    assert image_size(path) == (64, 48)


@pytest.mark.parametrize("mode", ["LA", "P", "I;16", "RGBA", "1"])
def test_png_kinds_have_three_channels(tmp_path, mode):
    path = tmp_path / "a.png"
    if mode == "I;16":
        cv2.imwrite(str(path), gradient()[:, :, 0].astype(np.uint16) * 256)
    else:
        Image.fromarray(gradient()).convert(mode).save(path)
    assert read_image(path).shape == (48, 64, 3)


def test_exif_orientation_is_ignored_because_boxes_are_in_stored_pixels(tmp_path):
    exif = Image.Exif()
    exif[0x0112] = 6
    path = tmp_path / "turned.jpg"
    Image.fromarray(gradient()).save(path, exif=exif.tobytes())
    assert read_image(path).shape == (48, 64, 3)
    assert image_size(path) == (64, 48)


def test_progressive_jpegs_and_trailing_bytes_are_whole(tmp_path):
    path = tmp_path / "a.jpg"
    Image.fromarray(gradient()).save(path, progressive=True)
    path.write_bytes(path.read_bytes() + b"\xff\xdatrailing bytes of a phone")
    assert read_image(path).shape == (48, 64, 3)


def with_thumbnail(data):
    """A JPEG whose EXIF header carries a whole small JPEG."""
    thumbnail = b"Exif\0\0" + jpeg_bytes(gradient(8, 8))
    return data[:2] + b"\xff\xe1" + (len(thumbnail) + 2).to_bytes(2, "big") + thumbnail + data[2:]


def test_a_thumbnail_does_not_hide_that_the_jpeg_is_cut_short(tmp_path):
    path = tmp_path / "a.jpg"
    path.write_bytes(with_thumbnail(jpeg_bytes()))
    assert read_image(path).shape == (48, 64, 3)
    path.write_bytes(with_thumbnail(jpeg_bytes())[:-20])
    with pytest.raises(UserError, match="cut short"):
        read_image(path)


def encoded(ending):
    return cv2.imencode(ending, gradient())[1].tobytes()


BROKEN = {
    "empty.jpg": b"",
    "text.jpg": b"this is no image",
    "page.jpg": b"<!DOCTYPE html><html>404</html>",
    "zeros.jpg": bytes(2000),
    "head.jpg": jpeg_bytes()[:2],
    "few.jpg": jpeg_bytes()[:30],
    "tables.jpg": jpeg_bytes()[:200],
    "half.jpg": jpeg_bytes()[:len(jpeg_bytes()) // 2],
    "almost.jpg": jpeg_bytes()[:-2],
    "zero_tail.jpg": jpeg_bytes()[:-300] + bytes(300),
    "half.png": encoded(".png")[:len(encoded(".png")) // 2],
    "head.png": encoded(".png")[:8],
    "half.bmp": encoded(".bmp")[:len(encoded(".bmp")) // 2],
    "head.bmp": b"BM",
}


@pytest.mark.parametrize("name", BROKEN)
def test_broken_images_are_named_in_one_line(tmp_path, name):
    path = tmp_path / name
    path.write_bytes(BROKEN[name])
    with pytest.raises(UserError) as caught:
        read_image(str(path))
    assert name in str(caught.value) and "--on-bad-sample skip" in str(caught.value)
    assert len(str(caught.value).splitlines()) == 1


@pytest.mark.parametrize("read", [read_image, image_size])
def test_missing_images_and_folders_are_named(tmp_path, read):
    for path in (tmp_path / "none.jpg", tmp_path):
        with pytest.raises(UserError, match=path.name):
            read(str(path))


@pytest.mark.parametrize("name", ["empty.jpg", "text.jpg", "page.jpg", "zeros.jpg", "head.jpg", "head.png"])
def test_a_size_wants_a_header(tmp_path, name):
    path = tmp_path / name
    path.write_bytes(BROKEN[name])
    with pytest.raises(UserError, match=name):
        image_size(str(path))


@contextlib.contextmanager
def little_memory(block, megabytes=20):
    """This process can get no more than that meanwhile, and has no room left for so many bytes in what it had before."""
    before = resource.getrlimit(resource.RLIMIT_AS)
    with open("/proc/self/statm") as file:
        size = int(file.read().split()[0]) * resource.getpagesize()
    resource.setrlimit(resource.RLIMIT_AS, (size + megabytes * 1_000_000, before[1]))
    taken = []
    try:
        with contextlib.suppress(MemoryError):
            while True:
                taken.append(np.empty(block, np.uint8))
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_AS, before)


def test_memory_that_runs_short_in_opencv_is_no_fault_of_the_image(tmp_path):
    """With --on-bad-sample skip another image stood in for a whole one."""
    path = str(tmp_path / "large.png")
    image = np.zeros((7000, 7000, 3), np.uint8)
    cv2.imwrite(path, image)
    with little_memory(image.nbytes):
        with pytest.raises(MemoryError):
            read_image(path)
        for fails in (read_image, lambda _: cv2.flip(image, 0)):
            fine, error = _answer(fails, None, path, ())
            assert not fine and isinstance(error, WorkerLost) and "memory does not suffice" in str(error)


def test_files_of_a_folder_are_those_of_a_set_in_order(tmp_path):
    for name in ("b.JPG", "a.png", "a.json", "._a.png", "__MACOSX.png", "jpg", "c.jpg.txt"):
        (tmp_path / name).touch()
    assert files_in(str(tmp_path)) == ["a.png", "b.JPG"] and files_in(str(tmp_path), ".json") == ["a.json"]
    assert files_in(str(tmp_path / "gone")) == []


def test_thumbnails_of_a_network_drive_and_what_was_thrown_away_are_no_images(tmp_path):
    for place in ("images/train", "images/train/@eaDir/a.jpg", "images/train/#recycle", "images/$RECYCLE.BIN", "labels/train"):
        (tmp_path / place).mkdir(parents=True)
    for place in ("train/a.jpg", "train/@eaDir/a.jpg/SYNOPHOTO_THUMB_XL.jpg", "train/#recycle/b.jpg", "$RECYCLE.BIN/c.jpg"):
        cv2.imwrite(str(tmp_path / "images" / place), np.zeros((40, 60, 3), np.uint8))
    (tmp_path / "labels/train/a.txt").write_text("0 0.5 0.5 0.2 0.4\n")
    (tmp_path / "data.yaml").write_text("train: images\nval: images\nnames: [dog]\n")
    found = open_set(str(tmp_path), None, "train", on_bad_sample="list")
    assert [os.path.basename(record.path) for record in found.records] == ["a.jpg"] and not found.faults
