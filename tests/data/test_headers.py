"""Headers of images against Pillow, which reads them by other code: sizes, orientations wherever a format keeps them, and what
cannot be read."""
import struct
import time
import zlib

import cv2
import numpy as np
import pytest
from PIL import Image, ImageOps

from gluon_bof.data.headers import MAX_PIXELS, read_header, read_headers
from gluon_bof.data.images import TURNS, image_size, read_image, read_upright, turned
from gluon_bof.errors import UserError
from tests.data.image_files import exif_of, gradient, write

LOSSLESS = ("png", "webp", "tif", "bmp")


@pytest.mark.parametrize("ending", ["jpg", "png", "webp", "tif"])
@pytest.mark.parametrize("orientation", range(1, 9))
def test_orientations_and_pixels_are_pillows(tmp_path, ending, orientation):
    path = write(tmp_path / f"a.{ending}", orientation)
    header = read_header(path)
    assert header.size == (64, 48) and header.orientation == orientation and header.problem is None
    assert header.upright_size == ((48, 64) if orientation > 4 else (64, 48))
    with Image.open(path) as stored:
        upright = np.asarray(ImageOps.exif_transpose(stored).convert("RGB")).astype(int)
    tolerance = 2 if ending == "jpg" else 0
    np.testing.assert_allclose(read_upright(path), upright, atol=tolerance)
    np.testing.assert_allclose(read_image(path, orientation), upright, atol=tolerance)
    np.testing.assert_allclose(read_image(path).astype(int), gradient(), atol=12 if ending == "jpg" else 0)  # as stored
    assert read_image(path, 6).shape == (64, 48, 3)  # a record's decision counts, not the file's


def test_turns_are_those_of_exif():
    numbers = np.arange(6).reshape(2, 3, 1)
    for orientation in TURNS:
        image = Image.fromarray(numbers[:, :, 0].astype(np.uint8))
        image.getexif()[0x0112] = orientation
        np.testing.assert_array_equal(turned(numbers, orientation)[:, :, 0], np.asarray(ImageOps.exif_transpose(image)))
    assert turned(numbers, 1) is numbers


def chunk(kind, body):
    return struct.pack(">I", len(body)) + kind + body + struct.pack(">I", zlib.crc32(kind + body))


def with_chunk(path, kind, body, late=False):
    data = open(path, "rb").read()
    place = data.rindex(b"IEND") - 4 if late else data.index(b"IDAT") - 4
    open(path, "wb").write(data[:place] + chunk(kind, body) + data[place:])
    return path


XMP = b'<x:xmpmeta xmlns:x="adobe:ns:meta/"><rdf:Description tiff:Orientation="6"/></x:xmpmeta>'


def test_png_has_four_places_for_it(tmp_path):
    tag = exif_of(6).tobytes()[6:]
    profile = b"Raw profile type exif\0\0" + zlib.compress(b"\nexif\n%8d\n" % (len(tag) + 6) + (b"Exif\0\0" + tag).hex().encode())
    places = {"late": (b"eXIf", tag, True), "early": (b"eXIf", tag, False), "profile": (b"zTXt", profile, False),
              "xmp": (b"iTXt", b"XML:com.adobe.xmp\0\0\0\0\0" + XMP, False)}
    for name, place in places.items():
        path = with_chunk(write(tmp_path / f"{name}.png"), *place)
        with Image.open(path) as image:
            assert image.getexif()[0x0112] == 6, "Pillow sees it"
        assert read_header(path).orientation == 6 and read_image(path).shape == (48, 64, 3), name


def test_a_webps_tag_is_found_behind_pixels_of_an_odd_number_of_bytes(tmp_path):
    """A byte that no length counts follows them."""
    odd = set()
    for width in range(8, 16):
        image = np.random.default_rng(width).integers(0, 256, (5, width, 3)).astype(np.uint8)
        path = write(tmp_path / "a.webp", 6, image)
        with open(path, "rb") as file:
            pixels = file.read().partition(b"VP8L")[2]
        odd.add(int.from_bytes(pixels[:4], "little") % 2)
        assert read_header(path) == (width, 5, 6, None, False, 8), width
    assert odd == {0, 1}, "a poor case to test with"


def test_xmp_speaks_where_exif_does_not(tmp_path):
    path = write(tmp_path / "a.jpg")
    data = open(path, "rb").read()
    body = b"http://ns.adobe.com/xap/1.0/\0" + XMP
    segment = b"\xff\xe1" + struct.pack(">H", len(body) + 2) + body
    open(path, "wb").write(data[:2] + segment + data[2:])
    assert read_header(path).orientation == 6
    turned_by_exif = open(write(tmp_path / "b.jpg", 8), "rb").read()
    open(path, "wb").write(turned_by_exif[:2] + segment + turned_by_exif[2:])
    assert read_header(path).orientation == 8


def test_jpegs_with_fill_bytes_and_thumbnails(tmp_path):
    data = open(write(tmp_path / "a.jpg", 3), "rb").read()
    thumbnail = exif_of(3).tobytes() + open(write(tmp_path / "small.jpg", image=gradient(8, 8)), "rb").read()
    segment = b"\xff\xff\xff\xe1" + struct.pack(">H", len(thumbnail) + 2) + thumbnail
    (tmp_path / "a.jpg").write_bytes(data[:2] + segment + data[2:])
    header = read_header(tmp_path / "a.jpg")
    assert header.size == (64, 48) and header.orientation == 3


@pytest.mark.parametrize("value", [0, 9, 65535])
@pytest.mark.parametrize("ending", ["jpg", "png", "webp", "tif"])
def test_an_orientation_that_is_none_is_passed_over(tmp_path, value, ending):
    path = write(tmp_path / f"a.{ending}", value)
    assert read_header(path).orientation == 1 and read_upright(path).shape == (48, 64, 3)


def test_every_damage_of_a_header_is_a_user_error_or_a_size(tmp_path):
    rng = np.random.default_rng(0)
    for ending in ("jpg", "png", "webp", "tif", "bmp"):
        data = open(write(tmp_path / f"a.{ending}", 1 if ending == "bmp" else 6), "rb").read()
        path = tmp_path / f"b.{ending}"
        for _ in range(120):
            damaged = bytearray(data[:rng.integers(2, 400)] if rng.random() < 0.5 else data)
            for place in rng.integers(0, min(len(damaged), 200), 4):
                damaged[place] = rng.integers(256)
            path.write_bytes(damaged)
            try:
                assert min(image_size(path)) > 0
            except UserError as error:
                assert str(path) in str(error) and len(str(error).splitlines()) == 1


def big_png(width, height):
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)) + \
        chunk(b"IDAT", zlib.compress(b"")) + chunk(b"IEND", b"")


def test_too_many_pixels_are_told_before_they_are_decoded(tmp_path, recwarn):
    path = tmp_path / "a.png"
    path.write_bytes(big_png(20000, 10000))
    for read in (image_size, read_image, read_upright):
        with pytest.raises(UserError, match=f"too many pixels: 200000000, at most {MAX_PIXELS}"):
            read(str(path))
    path.write_bytes(big_png(10000, 10000))
    assert image_size(str(path)) == (10000, 10000) and not recwarn.list


@pytest.mark.parametrize("kind, said", [(np.float32, "floating-point numbers"), (np.float64, "of 64 bits"),
                                        (np.int32, "signed whole numbers of 32 bits")])
def test_pixels_without_a_fixed_range_are_refused(tmp_path, kind, said):
    path = str(tmp_path / "a.tif")
    assert cv2.imwrite(path, gradient().astype(kind))
    for read in (image_size, read_image, read_upright):
        with pytest.raises(UserError, match=said):
            read(path)
    Image.fromarray(gradient()[:, :, 0].astype(np.float32)).save(path)
    with pytest.raises(UserError, match="floating-point numbers of 32 bits"):
        read_image(path)


def test_tiffs_of_other_kinds_are_read(tmp_path):
    path = str(tmp_path / "a.tif")
    for mode in ("1", "L", "P", "RGBA", "LA", "I;16"):
        image = Image.fromarray(gradient()[:, :, 0].astype(np.uint16) * 256) if mode == "I;16" else \
            Image.fromarray(gradient()).convert(mode)
        image.save(path)
        assert read_header(path)[:5] == (64, 48, 1, None, True) and read_image(path).shape == (48, 64, 3), mode
        assert (read_header(path).bits == 16) is (mode == "I;16")
    Image.fromarray(gradient()).save(path, big_tiff=True, exif=exif_of(6))
    assert read_header(path).orientation == 6 and read_upright(path).shape == (64, 48, 3)
    assert read_image(path).shape == (48, 64, 3)


def test_formats_that_only_pillow_knows(tmp_path):
    for ending in ("gif", "ppm", "jp2"):
        path = str(tmp_path / f"a.{ending}")
        Image.fromarray(gradient()).save(path)
        assert image_size(path) == (64, 48), ending


def test_many_headers_come_in_order_and_fast(tmp_path):
    paths = [write(tmp_path / f"{number}.jpg", image=gradient(48, 8 + number)) for number in range(20)]
    many = (paths + [str(tmp_path / "gone.jpg")]) * 250
    began = time.perf_counter()
    headers = read_headers(many)
    assert time.perf_counter() - began < 5  # 0.2 s on an idle machine
    assert [header.width for header in headers[:20]] == list(range(8, 28)) and isinstance(headers[20], FileNotFoundError)
    assert len(headers) == len(many) and headers[-21:-1] == headers[:20]
