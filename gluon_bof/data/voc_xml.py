"""Pascal VOC's annotations: what an XML file says of its image, whatever its encoding, and what is wrong with it."""
from __future__ import annotations

import re
import xml.etree.ElementTree as ElementTree
from typing import NamedTuple

from gluon_bof.data.fields import brief, finite_number, read_flag, rotation_in, stated_size
from gluon_bof.files import stamp_of

_CORNERS = ("xmin", "ymin", "xmax", "ymax")
_ENCODING = re.compile(rb"""^(?:\xef\xbb\xbf)?<\?xml[^>]*?encoding\s*=\s*["']([A-Za-z0-9._-]+)["'][^>]*\?>""")
_SUPERSETS = {"gb2312": "gb18030", "gbk": "gb18030", "euc-cn": "gb18030", "shift_jis": "cp932", "euc-kr": "cp949"}
_parsed = {}  # annotation file -> (its size and time, Annotation): the training and validation sets share one pass


class Object(NamedTuple):
    """One <object>: corners as the file counts them, of a rectangle of CVAT's before it is turned by `rotation`, in degrees; or
    `problem` says what is wrong with it."""

    name: str
    corners: tuple
    difficult: bool
    problem: str | None = None
    rotation: float = 0.0


class Annotation(NamedTuple):
    """One XML file: what it says of its image, or `problem` says why it cannot be read."""

    filename: str | None
    size: tuple | None  # width, height
    objects: tuple
    problem: str | None = None


def read_annotation(path: str) -> Annotation:
    """Parse an annotation, once per process as long as the file does not change."""
    try:
        stamp = stamp_of(path)
    except OSError as error:
        return Annotation(None, None, (), f"cannot be read ({error.strerror})")
    if path not in _parsed or _parsed[path][0] != stamp:
        _parsed[path] = (stamp, _parse(path))
    return _parsed[path][1]


def _parse(path):
    try:
        with open(path, "rb") as file:
            data = file.read()
        root = _element(data)
    except OSError as error:
        return Annotation(None, None, (), f"cannot be read ({error.strerror})")
    except (ElementTree.ParseError, ValueError, LookupError) as error:
        return Annotation(None, None, (), f"not well-formed XML ({error})" if data.strip() else "an empty file")
    if root.tag != "annotation":
        return Annotation(None, None, (), f"its outermost element is <{root.tag}>, not <annotation>")
    objects = tuple(map(_object, root.findall("object")))
    elsewhere = sum(1 for _ in root.iter("object")) - len(objects)
    if elsewhere:
        objects += (Object("", (), False, f"{elsewhere} <object> do not stand directly in <annotation>"),)
    strays = _strays(root)
    if strays:
        objects += (Object("", (), False, f"{len(strays)} boxes stand in no <object>, but in {brief(strays[0])}"),)
    size = stated_size(root.findtext("size/width"), root.findtext("size/height"))
    return Annotation(root.findtext("filename"), size, objects)


def _strays(root):
    """Of each box that is in no <object>, such as in <Object>, what it is in; those of parts are none. An object that is called
    otherwise would be background without a word."""
    found, waiting = [], [root]
    while waiting:
        element = waiting.pop()
        for child in element:
            name = child.tag.rpartition("}")[2].lower()  # without its namespace
            if name in ("bndbox", "robndbox"):
                found.append(element.tag)
            elif child.tag not in ("object", "part"):
                waiting.append(child)
    return found


def _element(data):
    _refuse_entities(data.replace(b"\0", b""))  # UTF-16 must not hide a declaration
    try:
        return ElementTree.fromstring(data)
    except (ValueError, LookupError):  # an encoding that XML's parser does not know: GB2312, Shift-JIS, Big5, …
        declared = _ENCODING.match(data)
        if declared is None:
            raise
        return _decoded_element(data[declared.end():], declared.group(1).decode())
    except ElementTree.ParseError as error:
        if _ENCODING.match(data) is None and not data.startswith((b"\xff\xfe", b"\xfe\xff")) and not _is_utf8(data):
            raise ValueError(f"{error}; it is not UTF-8 and declares no encoding: save it as UTF-8") from None
        raise


def _decoded_element(data, encoding):
    try:
        text = data.decode(_SUPERSETS.get(encoding.lower(), encoding))
        _refuse_entities(text.encode("utf-8", "surrogatepass"))
        return ElementTree.fromstring(text)
    except (ValueError, LookupError):
        raise ValueError(f"encoding {encoding}: save it as UTF-8") from None


def _refuse_entities(plain):
    if b"<!DOCTYPE" in plain or b"<!ENTITY" in plain:
        raise ValueError("it declares a document type or entities, which no annotation needs")


def _is_utf8(data):
    try:
        data.decode("utf-8")
    except UnicodeDecodeError:
        return False
    return True


def _object(element):
    name = " ".join((element.findtext("name") or "").split())
    if not name:
        return Object("", (), False, "an <object> has no <name>")
    box = element.find("bndbox")
    if box is None:
        return Object(name, (), False, f"an object ({name}) has no <bndbox>")
    for part in ("name", "bndbox"):
        if len(element.findall(part)) > 1:
            return Object(name, (), False, f"an object ({name}) has {len(element.findall(part))} <{part}>")
    corners = []
    for corner in _CORNERS:
        told = box.findall(corner)
        if len(told) != 1:
            return Object(name, (), False, f"the box of an object ({name}) has {len(told) or 'no'} <{corner}>")
        text = told[0].text or ""
        try:
            corners.append(finite_number(text))
        except ValueError:
            return Object(name, (), False, f"<{corner}> of an object ({name}) is {brief(text.strip())}, not a number")
    try:
        difficult = _is_set(element.findtext("difficult"))
    except ValueError as error:
        return Object(name, (), False, f"of an object ({name}) {error}")
    rotation = rotation_in({told.findtext("name"): told.findtext("value") for told in element.iterfind("attributes/attribute")})
    return Object(name, tuple(corners), difficult, rotation=rotation)


def _is_set(text):
    """The flag of an object that is difficult; missing, empty or unspecified is 0. Raises ValueError."""
    text = (text or "").strip()
    return text.lower() != "unspecified" and read_flag({"difficult": text}, "difficult")
