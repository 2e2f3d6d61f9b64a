"""What an image file says of itself before a pixel is decoded: its size, which side is up, and whether its pixels can be read.

The five formats that sets are made of are read here, a header in some ten microseconds; others go to Pillow."""
from __future__ import annotations

import io
import re
import struct
from concurrent.futures import ThreadPoolExecutor
from typing import IO, NamedTuple, Sequence

from gluon_bof.errors import without_warnings

MAX_PIXELS = 1 << 27  # 400 MB as RGB; two of them are held where images are mixed
ORIENTATION = 0x0112  # the tag of EXIF and TIFF
THREADS = 16  # that read headers: disks and networks answer better in parallel
CHUNK = 128  # headers a thread takes at once

_JPEG, _PNG = b"\xff\xd8", b"\x89PNG\r\n\x1a\n"
_TIFF = (b"II*\0", b"MM\0*", b"II+\0", b"MM\0+")
_FLOATS = (b"#?RADIANCE", b"#?RGBE", b"PF", b"Pf", b"\x76\x2f\x31\x01")  # Radiance, PFM, OpenEXR
_TIFF_WIDTH, _TIFF_HEIGHT, _TIFF_BITS, _TIFF_COMPRESSION, _TIFF_FORMAT = 256, 257, 258, 259, 339
_TAGS = (_TIFF_WIDTH, _TIFF_HEIGHT, _TIFF_BITS, _TIFF_COMPRESSION, _TIFF_FORMAT, ORIENTATION)
_LOGARITHMS = (34676, 34677)  # compressions that keep floats, whatever the sample format says
_TAG_TYPES = {1: "B", 3: "H", 4: "I", 16: "Q"}  # TIFF's whole numbers; orientations of other types are none
_UNSIGNED, _UNDEFINED = 1, 4  # TIFF's sample formats that eight or sixteen bits have
_MOST_METADATA = 1 << 24  # bytes of EXIF or XMP that are looked into
_MOST_JUNK = 1 << 16  # bytes between JPEG's segments that are looked through
_XMP_ORIENTATION = re.compile(rb"tiff:Orientation(?:=\"|=\'|>)([1-8])")
_NO_FIXED_RANGE = "its pixels are {}, which have no fixed range: save it with 8 or 16 bits"


class Header(NamedTuple):
    """width, height: in stored pixels. orientation: EXIF's, 1 to 8; 1 is as stored. problem: why its pixels cannot be read,
    or None. turns_itself: whether OpenCV turns it upright in any case, as it does TIFF. bits: in PNG and TIFF, of a
    pixel's number."""

    width: int
    height: int
    orientation: int = 1
    problem: str | None = None
    turns_itself: bool = False
    bits: int = 8

    @property
    def size(self) -> tuple[int, int]:
        """(width, height) as stored."""
        return self.width, self.height

    @property
    def upright_size(self) -> tuple[int, int]:
        """(width, height) when turned as `orientation` says."""
        return (self.height, self.width) if self.orientation >= 5 else (self.width, self.height)


def read_header(path: str) -> Header:
    """Header of an image file. Raises OSError, and ValueError where no header can be read."""
    with open(path, "rb", buffering=0) as file:
        return scan(file)


def read_headers(paths: Sequence[str]) -> list[Header | Exception]:
    """[Header, or the exception that `read_header` raised] of many files, in their order."""
    chunks = [paths[start:start + CHUNK] for start in range(0, len(paths), CHUNK)]
    if len(chunks) < 2:
        return [_header_or_error(path) for path in paths]
    with ThreadPoolExecutor(THREADS) as pool:
        return [header for of_chunk in pool.map(lambda chunk: [_header_or_error(path) for path in chunk], chunks)
                for header in of_chunk]


def _header_or_error(path):
    try:
        return read_header(path)
    except (OSError, ValueError) as error:
        return error


def scan(file: IO[bytes]) -> Header:
    """Header of an open file, or of bytes in a BytesIO. Raises ValueError."""
    start = file.read(16)
    try:
        if start.startswith(_JPEG):
            header = _jpeg(file)
        elif start.startswith(_PNG):
            header = _png(file)
        elif start.startswith(b"RIFF") and start[8:12] == b"WEBP":
            header = _webp(file)
        elif start.startswith(_TIFF):
            header = _tiff(file)
        elif start.startswith(b"BM"):
            header = _bmp(file)
        elif start.startswith(_FLOATS):
            return Header(1, 1, 1, _NO_FIXED_RANGE.format("floating-point numbers"))
        else:
            header = _other(file)
    except (struct.error, IndexError, OverflowError):
        raise ValueError("its header is damaged") from None
    if header is None:
        raise ValueError("its header is damaged")
    if header.problem is None and header.width * header.height > MAX_PIXELS:
        return header._replace(problem=f"it has too many pixels: {header.width * header.height}, at most {MAX_PIXELS}")
    return header


def _jpeg(file):
    """Segments up to the first scan."""
    size, orientation, of_xmp, junk = None, None, None, 0
    position = 2
    while junk < _MOST_JUNK:
        file.seek(position)
        head = file.read(9)
        if len(head) < 4 or head[0] != 0xFF or head[1] == 0xFF or head[1] == 0:
            if len(head) < 4:
                break
            junk, position = junk + 1, position + 1
            continue
        marker, length = head[1], int.from_bytes(head[2:4], "big")
        if marker in (0xD9, 0xDA):
            break
        if marker == 1 or 0xD0 <= marker <= 0xD8:  # these have no length
            position += 2
            continue
        if 0xC0 <= marker <= 0xCF and marker not in (0xC4, 0xC8, 0xCC):
            height, width = struct.unpack(">HH", head[5:9])
            size = width, height
        elif marker == 0xE1 and length > 8:
            file.seek(position + 4)
            body = file.read(length - 2)
            if body.startswith(b"Exif\0\0") and orientation is None:
                orientation = _exif_orientation(body)
            elif b"ns.adobe.com/xap" in body[:40]:
                of_xmp = of_xmp or _xmp_orientation(body)
        position += 2 + length
    return Header(*size, orientation or of_xmp or 1) if size else None


def _png(file):
    """All chunks: an eXIf may come last."""
    file.seek(8)
    head = file.read(17)
    if head[4:8] != b"IHDR":
        return None
    width, height, bits = struct.unpack(">IIB", head[8:])
    orientation = of_profile = of_xmp = None
    position = 8
    while True:
        file.seek(position)
        head = file.read(8)
        if len(head) < 8 or head[4:] == b"IEND":
            break
        length = int.from_bytes(head[:4], "big")
        if head[4:] == b"eXIf":
            orientation = _exif_orientation(file.read(min(length, _MOST_METADATA)))
        elif head[4:] in (b"iTXt", b"tEXt", b"zTXt"):
            body = file.read(min(length, _MOST_METADATA))
            if body.startswith(b"Raw profile type exif\0"):
                of_profile = _profile_orientation(body, head[4:])
            elif body.startswith(b"XML:com.adobe.xmp\0"):
                of_xmp = _xmp_orientation(body)
        position += 12 + length
    return Header(width, height, orientation or of_profile or of_xmp or 1, bits=bits)


def _profile_orientation(body, kind):
    """Of EXIF as ImageMagick once wrote it: hexadecimal digits after a line each of name and length, perhaps packed."""
    import zlib

    text = body.split(b"\0", 1)[1]
    try:
        if kind == b"zTXt":
            text = zlib.decompressobj().decompress(text[1:], 1 << 20)
        return _exif_orientation(bytes.fromhex(b"".join(text.split()[2:]).decode("ascii")))
    except (zlib.error, ValueError):
        return None


def _webp(file):
    size = orientation = of_xmp = None
    position = 12
    while True:
        file.seek(position)
        head = file.read(18)
        if len(head) < 8:
            break
        kind, length = head[:4], int.from_bytes(head[4:8], "little")
        if kind == b"VP8X":
            size = 1 + int.from_bytes(head[12:15], "little"), 1 + int.from_bytes(head[15:18], "little")
        elif kind == b"VP8 " and size is None:
            file.seek(position + 14)
            size = tuple(side & 0x3FFF for side in struct.unpack("<HH", file.read(4)))
        elif kind == b"VP8L" and size is None:
            bits = int.from_bytes(head[9:13], "little")
            size = 1 + (bits & 0x3FFF), 1 + (bits >> 14 & 0x3FFF)
        elif kind in (b"EXIF", b"XMP "):
            file.seek(position + 8)
            body = file.read(min(length, _MOST_METADATA))
            if kind == b"EXIF":
                orientation = orientation or _exif_orientation(body)
            else:
                of_xmp = _xmp_orientation(body)
        position += 8 + length + length % 2
    return Header(*size, orientation or of_xmp or 1) if size else None


def _bmp(file):
    file.seek(14)
    head = file.read(12)
    if int.from_bytes(head[:4], "little") == 12:  # OS/2's
        return Header(*struct.unpack("<HH", head[4:8]))
    width, height = struct.unpack("<ii", head[4:12])
    return Header(abs(width), abs(height))


def _tiff(file):
    tags = read_tags(file)
    if _TIFF_WIDTH not in tags or _TIFF_HEIGHT not in tags:
        return None
    formats, bits = tags.get(_TIFF_FORMAT, (_UNSIGNED,)), max(tags.get(_TIFF_BITS, (1,)))
    problem = None
    if tags.get(_TIFF_COMPRESSION, (1,))[0] in _LOGARITHMS:
        problem = _NO_FIXED_RANGE.format("floating-point numbers")
    elif set(formats) - {_UNSIGNED, _UNDEFINED} or bits > 16:
        kind = {2: "signed whole numbers", 3: "floating-point numbers"}.get(formats[0], "numbers")
        problem = _NO_FIXED_RANGE.format(f"{kind} of {bits} bits")
    return Header(tags[_TIFF_WIDTH][0], tags[_TIFF_HEIGHT][0], _valid(tags.get(ORIENTATION)) or 1, problem, True, bits)


def _other(file):
    """Any other format, by Pillow."""
    from PIL import Image

    file.seek(0)
    content = io.BytesIO(file.read())
    try:
        with without_warnings():  # of large images, of which only the header is read
            image = Image.open(content)
        with image:
            return Header(*image.size, _valid((image.getexif().get(ORIENTATION),)) or 1)
    except Image.DecompressionBombError:
        return Header(MAX_PIXELS + 1, 1, 1, f"it has too many pixels, more than {MAX_PIXELS}")
    except Exception:  # on junk, Pillow's parsers raise whatever came up, from SyntaxError to struct.error
        return None


def read_tags(file: IO[bytes]) -> dict[int, tuple]:
    """{tag: values} of the first directory of a TIFF or BigTIFF, of those tags that are of interest here."""
    file.seek(0)
    start = file.read(16)
    order = {b"II": "<", b"MM": ">"}.get(start[:2])
    if order is None:
        return {}
    large = start[2:4] in (b"+\0", b"\0+")
    file.seek(struct.unpack(order + ("Q" if large else "I"), start[8:16] if large else start[4:8])[0])
    count = struct.unpack(order + ("Q" if large else "H"), file.read(8 if large else 2))[0]
    step, room = (20, 8) if large else (12, 4)
    entries = file.read(step * min(count, 4096))
    tags = {}
    for place in range(0, len(entries) - step + 1, step):
        tag, kind = struct.unpack(order + "HH", entries[place:place + 4])
        if tag not in _TAGS or tag in tags or kind not in _TAG_TYPES:
            continue
        number = struct.unpack(order + ("Q" if large else "I"), entries[place + 4:place + step - room])[0]
        form = order + _TAG_TYPES[kind] * min(number, 64)
        values = entries[place + step - room:place + step]
        if struct.calcsize(form) > room:
            file.seek(struct.unpack(order + ("Q" if large else "I"), values)[0])
            values = file.read(struct.calcsize(form))
        if number:
            tags[tag] = struct.unpack(form, values[:struct.calcsize(form)])
    return tags


def _exif_orientation(body):
    """1 to 8, or None where EXIF does not say it; `body` may begin with the word Exif."""
    body = body[6:] if body.startswith(b"Exif\0\0") else body
    try:
        return _valid(read_tags(io.BytesIO(body)).get(ORIENTATION))
    except (struct.error, OverflowError, ValueError, MemoryError):
        return None


def _xmp_orientation(body):
    found = _XMP_ORIENTATION.search(body)
    return int(found.group(1)) if found else None


def _valid(values):
    return values[0] if values and values[0] in range(1, 9) else None
