"""Reading images, turned as their records say.

The one rule of orientation: an image is turned upright, as its EXIF tag says, where the annotation states the upright size, and
where it states none or the tag leaves the size as it is. Where the annotation states the stored size, the image stays as it is
stored; any other size is a fault. `settle` decides it once, at load; a record carries the decision to whoever reads the image.
Images without annotations are turned upright.
"""
from __future__ import annotations

import contextlib
import functools
import io
import os
import re
from typing import TYPE_CHECKING, Any, Callable

import cv2
import numpy as np

from gluon_bof.boxes import is_image
from gluon_bof.data.headers import MAX_PIXELS, ORIENTATION, read_header, scan
from gluon_bof.data.names import composed
from gluon_bof.errors import UserError, is_out_of_files, is_out_of_memory, warn_once, without_warnings
from gluon_bof.masks import whole_images_only

try:  # faster than OpenCV's, to the same pixels
    import simplejpeg
except ImportError:
    simplejpeg = None

if TYPE_CHECKING:
    from PIL import Image

    from gluon_bof.data.headers import Header

ENDINGS = (".jpg", ".jpeg", ".png", ".bmp", ".webp", ".tif", ".tiff")
AS_STORED = 1
# what turns the stored image upright, for each value of EXIF's tag
TURNS = {2: lambda a: a[:, ::-1], 3: lambda a: a[::-1, ::-1], 4: lambda a: a[::-1],
         5: lambda a: a.swapaxes(0, 1), 6: lambda a: np.rot90(a, -1),
         7: lambda a: a[::-1, ::-1].swapaxes(0, 1), 8: lambda a: np.rot90(a, 1)}

# what libjpeg says where it made pixels up; of bytes that it passed over only where they are no padding
_LOST = re.compile(r"Corrupt JPEG data: (?:(?P<passed>\d+) extraneous)?|Premature end of JPEG|Inconsistent progression")

_UNDONE_BY = {6: 8, 8: 6}  # the others undo themselves
_COLOUR_AS_STORED = cv2.IMREAD_COLOR_RGB | cv2.IMREAD_IGNORE_ORIENTATION
_IMAGE_REMEDY = "replace the image, or start with --on-bad-sample skip"
_JPEG_COLOURS = ("YCbCr", "Gray", "RGB")
_OF_SYSTEMS = ("lost+found", "@eaDir", "#recycle", "$RECYCLE.BIN")  # of the second, Synology's, are thumbnails, which are images
_SIXTEEN_BITS = ("I;16", "I;16L", "I;16B", "I;16N")  # Pillow's modes of them


def read_image(path: str | os.PathLike[str], orientation: int | None = AS_STORED) -> np.ndarray:
    """Decode an image: (H, W, 3) uint8, RGB; grey, CMYK, palette, transparent and 16-bit ones too.

    orientation: what to turn it by, EXIF's 1 to 8, as a record says; None: as the file itself says.
    Raises UserError if the file is missing, empty, not an image, cut short, too large, or of floating-point pixels; warns of a
    JPEG that libjpeg reports as having lost pixels."""
    try:
        return decode_image(read_bytes(path), orientation, path)
    except ValueError as error:
        raise UserError(str(error), path, _IMAGE_REMEDY) from None


def read_bytes(path: str) -> bytes:
    """What an image file holds. Raises UserError if it is missing, empty or cannot be read, and OSError where too many files are
    open, so that no good image is skipped."""
    try:
        with open(path, "rb") as file:
            data = file.read()
    except FileNotFoundError:
        raise UserError("the image does not exist", path, _IMAGE_REMEDY) from None
    except (OSError, ValueError) as error:
        if is_out_of_files(error):
            raise
        reason = getattr(error, "strerror", None) or error
        raise UserError(f"the image cannot be read ({reason})", path, _IMAGE_REMEDY) from None
    if not data:
        raise UserError("the image is an empty file", path, _IMAGE_REMEDY)
    return data


def read_upright(path: str) -> np.ndarray:
    """An image file as people see it: `read_image`, turned as the file's EXIF orientation says."""
    return read_image(path, None)


def read_or_name(reader: Callable[..., Any], path: str, *how: Any) -> Any:
    """What a reader of here says of a file, where none is left out: its error names no --on-bad-sample."""
    try:
        return reader(path, *how)
    except UserError as error:
        remedy = "replace it, or leave it out" if os.path.isfile(path) else "check the path"
        raise UserError(error.problem, error.path, remedy) from None


def decode_image(data: bytes, orientation: int | None = AS_STORED, name: Any = None) -> np.ndarray:
    """The same of a file's bytes. Raises ValueError saying what is wrong with them. name: the image's in a warning that pixels
    are lost, which is told once; None: there is none."""
    if _is_cut_short(data):
        raise ValueError("the image is cut short")
    header = _scanned(data)
    if header and header.problem:
        raise ValueError(header.problem)
    image = _decoded(data, name)
    if header is None:
        return image if orientation is None else turned(image, orientation)
    wanted = header.orientation if orientation is None else orientation
    if header.turns_itself:
        if wanted == header.orientation:
            return image
        image = turned(image, _UNDONE_BY.get(header.orientation, header.orientation))
    return turned(image, wanted)


def _decoded(data, name):
    """(H, W, 3) uint8 RGB, as stored. A JPEG that is not whole, has other colours or too many pixels is OpenCV's to judge, which
    makes up the pixels that are lost."""
    lost = ""
    if _is_simplejpegs(data):
        try:
            return simplejpeg.decode_jpeg(data, "RGB")
        except ValueError as error:
            lost = str(error)
    try:
        image = cv2.imdecode(np.frombuffer(data, np.uint8), _COLOUR_AS_STORED)
    except cv2.error as error:
        if is_out_of_memory(error):  # no fault of the image's
            raise MemoryError from None
        image = None
    if image is None:
        raise ValueError("not an image that can be decoded")
    if name and loses_pixels(lost, data):
        warn_once(f"{name}: pixels are lost ({lost}), and what stands in their place is made up; replace the image")
    return image


def loses_pixels(said: str, data: bytes) -> bool:
    """Whether this line, which libjpeg said while it decoded a JPEG's bytes, means that pixels are made up."""
    lost = _LOST.match(said)
    return bool(lost) and not (lost["passed"] and _are_padding(int(lost["passed"]), data))


def _are_padding(number, data):
    """Whether so many bytes that libjpeg passed over lie in a JPEG's header, or are all alike before its end, as some cameras
    pad. Others are what a damaged scan left over."""
    start = _scan_start(data)
    if data[start:start + 2] != b"\xff\xda":
        return True
    end = data.find(b"\xff\xd9", start)
    return len(set(data[:end].rstrip(b"\xff")[-number:])) == 1


def _is_simplejpegs(data):
    """Whether simplejpeg decodes such an image, if it is whole."""
    if not simplejpeg or data[:2] != b"\xff\xd8":
        return False
    try:
        height, width, colours, _ = simplejpeg.decode_jpeg_header(data)
    except (ValueError, KeyError):  # the second of samplings that simplejpeg has no name for, such as 4:4:1
        return False
    return colours in _JPEG_COLOURS and height * width <= MAX_PIXELS  # `scan` may have seen no size


def has_12_bits(data: bytes, image: np.ndarray) -> bool:
    """Whether a file's bytes seem to have 12-bit pixels in 16 bits. image: (H, W, 3) uint8, decoded from them."""
    header = _scanned(data)
    return header is not None and header.bits == 16 and 0 < image.max() <= 16  # OpenCV rounds a TIFF's 4095 up


def has_broken_strips(data: bytes) -> bool:
    """Whether the pixels of a TIFF's bytes cannot all be unpacked, by Pillow, which tells it: OpenCV makes up what it lacks."""
    if data[:2] not in (b"II", b"MM"):
        return False
    from PIL import Image

    try:
        with without_warnings():  # of large images; one thread at a time
            image = Image.open(io.BytesIO(data))
        image.load()
    except Exception as error:  # of kinds of TIFF that it does not know, whatever came up
        return isinstance(error, OSError) and str(error).startswith("decoder error")
    return False


def _scanned(data):
    try:
        return scan(io.BytesIO(data))
    except ValueError:  # OpenCV may know better
        return None


def turned(image: np.ndarray, orientation: int) -> np.ndarray:
    """An image (H, W, ...), turned by an EXIF orientation, 1 to 8."""
    turn = TURNS.get(orientation)
    return np.ascontiguousarray(turn(image)) if turn else image


def image_header(path: str) -> Header:
    """Header of an image file, pixels not decoded. Raises UserError for a file that cannot be trained on."""
    try:
        return check_header(read_header(path), path)
    except (OSError, ValueError) as error:
        return check_header(error, path)


def check_header(header: Header | Exception, path: str) -> Header:
    """A Header, or the exception that reading it raised -> the Header. Raises UserError, and OSError as `read_bytes`."""
    if is_out_of_files(header):
        raise header
    if isinstance(header, FileNotFoundError):
        raise UserError("the image does not exist", path, _IMAGE_REMEDY)
    if isinstance(header, Exception):
        raise UserError("not an image: its header cannot be read", path, _IMAGE_REMEDY)
    if min(header.size) < 1:
        raise UserError("the image has no pixels", path, _IMAGE_REMEDY)
    if header.problem:
        raise UserError(header.problem, path, _IMAGE_REMEDY)
    return header


def image_size(path: str | os.PathLike[str]) -> tuple[int, int]:
    """(width, height) in stored pixels, from the header alone. Raises UserError as `image_header` does."""
    return image_header(path).size


def settle(header: Header, stated: tuple[float, float] | None) -> tuple[int, tuple[int, int]]:
    """(orientation to turn by, (width, height) of the image so turned) by the rule above.

    stated: (width, height), or None. Raises ValueError where the stated size is neither the upright nor the stored one."""
    if stated is None or stated == header.upright_size:
        return header.orientation, header.upright_size
    if stated == header.size:
        return AS_STORED, header.size
    is_turned = "" if header.upright_size == header.size else " ({} x {} when turned upright)".format(*header.upright_size)
    raise ValueError("stated {} x {}, is {} x {}".format(*stated, *header.size) + is_turned)


def from_pillow(image: Image.Image) -> np.ndarray:
    """(H, W, 3) uint8 RGB of one of Pillow's images: the pixels that `read_upright` gives of its file.

    Raises UserError for one that is cut short, or whose pixels have no fixed range."""
    path = getattr(image, "filename", None) or None
    if image.width * image.height > MAX_PIXELS:
        raise UserError(f"it has too many pixels: {image.width * image.height}, at most {MAX_PIXELS}", path, "make it smaller")
    try:
        with whole_images_only(), _unmapped(image):
            image.load()  # Pillow itself turns a TIFF here, and forgets its tag
            orientation = image.getexif().get(ORIENTATION, AS_STORED)
    except Exception as error:  # on damage, Pillow's decoders raise whatever came up
        raise UserError(f"the image cannot be read ({error})", path, "replace it") from None
    return np.ascontiguousarray(turned(_pillow_pixels(image, path), orientation))


@contextlib.contextmanager
def _unmapped(image):
    """Within it Pillow does not map the image's file, of which it knows no name: a TIFF it maps with rows of the turned width."""
    name = getattr(image, "filename", None)
    if name:
        image.filename = ""
    try:
        yield
    finally:
        if name:
            image.filename = name


def _pillow_pixels(image, path):
    if image.mode in _SIXTEEN_BITS or (image.mode == "I" and image.format == "PNG"):
        high = (np.asarray(image).astype(np.int64) >> 8).astype(np.uint8)
        return high[:, :, None].repeat(3, axis=2)
    if image.mode == "CMYK":
        return _rgb_of_cmyk(np.asarray(image).astype(np.int32), image.format == "TIFF")
    try:
        if image.mode in ("F", "I", "LAB"):  # Pillow and libtiff turn LAB into other colours
            raise ValueError
        if image.mode == "RGBA" and image.format == "TIFF":
            return _darkened(np.asarray(image).astype(np.int32))
        return np.asarray(image.convert("RGB"))
    except ValueError:
        what = "is not read" if image.mode == "LAB" else "has no fixed range of values"
        raise UserError(f"an image of Pillow's mode {image.mode} {what}", path,
                        "convert it to RGB with 8 bits") from None


def _darkened(rgba):
    """Over black, as libtiff hands transparent pixels to OpenCV."""
    return ((rgba[:, :, :3] * rgba[:, :, 3:] + 127) // 255).astype(np.uint8)


def _rgb_of_cmyk(inks, is_tiff):
    """As OpenCV rounds it, for JPEG and for TIFF."""
    light = 255 - inks[:, :, 3:]
    rgb = light * (255 - inks[:, :, :3]) // 255 if is_tiff else light - (inks[:, :, :3] * light >> 8)
    return rgb.astype(np.uint8)


def as_image(image: Any) -> np.ndarray:
    """(H, W, 3) uint8 RGB of a path, an array or an image of Pillow's, upright. Raises UserError."""
    if hasattr(image, "convert"):
        image = from_pillow(image)
    if isinstance(image, np.ndarray):
        return validate_image(image)
    if not isinstance(image, (str, os.PathLike)):
        raise UserError(f"an object of the type {type(image).__name__} is no image",
                        remedy="give a path, an array, an image of Pillow's, or a list of those")
    return read_or_name(read_upright, os.fspath(image))


def validate_image(image: np.ndarray) -> np.ndarray:
    """The array, if it is an image. Raises UserError."""
    if not is_image(image) or not image.size:
        raise UserError(f"an array {image.shape} of {image.dtype} is no image",
                        remedy="give (height, width, 3) uint8 in the order red, green, blue")
    return np.ascontiguousarray(image)


def _is_cut_short(data):
    """Whether a JPEG, PNG or BMP ends early: OpenCV returns those with a grey rest, and no error."""
    if data[:2] == b"\xff\xd8":
        return not data.endswith(b"\xff\xd9") and data.rfind(b"\xff\xd9", _scan_start(data)) < 0
    if data[:8] == b"\x89PNG\r\n\x1a\n":
        return data.rfind(b"IEND") < 0
    if data[:2] == b"BM":
        return _bmp_is_cut_short(data)
    return False


def _scan_start(data):
    """Where a JPEG's first scan begins; the thumbnail in its EXIF header has an end marker of its own."""
    position = 2
    while position + 4 <= len(data) and data[position] == 0xFF and data[position + 1] != 0xDA:
        fill_byte = data[position + 1] == 0xFF
        position += 1 if fill_byte else 2 + int.from_bytes(data[position + 2:position + 4], "big")
    return position


def _bmp_is_cut_short(data):
    if len(data) < 34 or int.from_bytes(data[14:18], "little") < 40:
        return len(data) < 26
    pixels_at = int.from_bytes(data[10:14], "little")
    width = abs(int.from_bytes(data[18:22], "little", signed=True))
    height = abs(int.from_bytes(data[22:26], "little", signed=True))
    bits = int.from_bytes(data[28:30], "little")
    compressed = int.from_bytes(data[30:34], "little") in (1, 2)
    row_bytes = (width * bits + 31) // 32 * 4
    return not compressed and len(data) < pixels_at + row_bytes * height


def is_hidden(name: str) -> bool:
    """Whether a file or folder of this name is no part of a set: hidden, or what a system or a network drive laid there."""
    return name.startswith((".", "__MACOSX")) or name in _OF_SYSTEMS


def folders_in(place: str) -> list[str]:
    """Names of the folders in a folder, without hidden ones, in order; none where it is not there."""
    return sorted(entry.name for entry in os.scandir(place) if entry.is_dir() and not is_hidden(entry.name)) \
        if os.path.isdir(place) else []


def files_in(place: str, endings: str | tuple[str, ...] = ENDINGS) -> list[str]:
    """Names in a folder with such endings, in capital or small letters, without hidden ones, in order; none where it is not
    there. Default: the images."""
    names = sorted(os.listdir(place)) if os.path.isdir(place) else []
    return [name for name in names if name.lower().endswith(endings) and not is_hidden(name)]


def in_other_form(*paths: str, endings: str | tuple[str, ...] = ENDINGS) -> str:
    """What a message of a missing file, which might have been at any of these paths, adds where one lies there whose name is the
    same letters in another Unicode form, with any of these endings; "" where none does."""
    found = next(filter(None, (_name_in_other_form(path, endings) for path in paths)), None)
    return named_otherwise(found, "another Unicode form (NFC or NFD)") if found else ""


def named_otherwise(name: str, how: str) -> str:
    """What a message of a missing file adds of one that is there under nearly its name; how: in what they differ."""
    return f"; {name} is there, a name in {how}, so write the two alike"


def _name_in_other_form(path, endings):
    folder, name = os.path.split(path)
    stem = os.path.splitext(name)[0]
    if stem.isascii():  # which has one form
        return None
    try:
        time = os.stat(folder or os.curdir).st_mtime_ns
    except (OSError, ValueError):
        return None
    others = _by_composed_stem(folder or os.curdir, endings, time).get(composed(stem), ())
    return next((other for other in others if os.path.splitext(other)[0] != stem), None)


@functools.lru_cache(maxsize=16)  # folders: COCO's images are looked for in several
def _by_composed_stem(folder, endings, time):
    """{stem in one Unicode form: names} of a folder's files, as of the time of its last change: where one image is missing,
    thousands may be."""
    names = {}
    for name in files_in(folder, endings):
        names.setdefault(composed(os.path.splitext(name)[0]), []).append(name)
    return names
