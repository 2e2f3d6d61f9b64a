"""Which files a prediction looks at, and where each is drawn into."""
from __future__ import annotations

import glob
import json
import os
from typing import Callable, Iterable, NamedTuple

from gluon_bof.data.images import ENDINGS
from gluon_bof.errors import UserError
from gluon_bof.files import folders_below

IMAGES = ENDINGS
VIDEOS = (".mp4", ".avi", ".mov", ".mkv", ".webm", ".m4v", ".mpg", ".mpeg")
OF_IMAGES, OF_SEGMENTS = "images.json", "segments.json"  # by one of which a folder of predictions is known
KEYS = {OF_IMAGES: {"images", "categories"}, OF_SEGMENTS: {"classes", "images"}}  # an annotation's JSON has more
DRAWN_AS = {".jpg": ".jpg", ".jpeg": ".jpeg", ".png": ".png"}  # any other image is drawn into a .png


class Source(NamedTuple):
    """A file to look at, and the file to draw it into."""

    path: str
    target: str

    @property
    def is_video(self) -> bool:
        """Whether its name says so."""
        return _ending(self.path) in VIDEOS


def find_sources(words: Iterable[str], out: str) -> list[Source]:
    """[Source] of files, folders (with all below them) and patterns, in this order, each file once.

    Images of a folder keep their place below it; where two would be drawn into one file, the second gets a number.
    Raises UserError for a word that names nothing, and where a drawn image would replace a given one, or any file in a folder
    that no prediction made."""
    found, taken, given = [], set(), {}
    inside = os.path.realpath(out)
    for word in words:
        for path, name in _files(word, inside):
            place = os.path.realpath(path)
            if place not in given:
                given[place] = path
                found.append(Source(path, os.path.join(out, _free_name(name, taken))))
    for source in found:
        if os.path.realpath(source.target) in given:
            raise UserError("it would be replaced by the drawn image", given[os.path.realpath(source.target)],
                            "choose another folder: --out")
    refuse_foreign((source.target for source in found), out)
    return found


def refuse_foreign(paths: Iterable[str], out: str) -> None:
    """Raise UserError where one of these files, which go into the folder `out`, is there, and no prediction made that folder."""
    there = next(filter(staying((), out), paths), None)
    if there:
        raise UserError("the prediction would replace it", there, "choose another folder: --out")


def staying(sources: Iterable[Source], out: str) -> Callable[[str], bool]:
    """Asked for a path: whether a file is there that no output may replace, one of the sources or, in a folder `out` that no
    prediction made, any."""
    given, is_own = {os.path.realpath(source.path) for source in sources}, _is_of_prediction(out)
    return lambda path: os.path.lexists(path) and (not is_own or os.path.realpath(path) in given)


def _has_keys(path, keys):
    try:
        with open(path, encoding="utf-8") as file:
            content = json.load(file)
    except (OSError, ValueError, RecursionError):
        return False
    return isinstance(content, dict) and set(content) == keys


def _files(word, out):
    """[(path, name below --out)] of one word of the command line."""
    if os.path.isdir(word):
        files = [(path, os.path.relpath(path, word)) for path in _below(word, out)]
        if not files:
            raise UserError("no image lies in this folder", word, f"known endings are {' '.join(IMAGES + VIDEOS)}")
        return files
    if os.path.lexists(word) or not glob.has_magic(word):
        if not os.path.exists(word):
            raise UserError("no such image or folder", word, "check the path")
        return [(word, os.path.basename(word))]
    matches = [path for path in sorted(glob.glob(word, recursive=True))
               if os.path.isfile(path) and _ending(path) in IMAGES + VIDEOS]
    if not matches:
        raise UserError("the pattern matches no image", word, "check it, and quote it for the shell")
    return [(path, os.path.basename(path)) for path in matches]


def _below(folder, out):
    """Images and videos in a folder and its folders, but for the output folder, those that another prediction made, and what is
    hidden."""
    for place, names in folders_below(folder, lambda path: _is_passed_over(path, out)):
        for name in names:
            if _ending(name) in IMAGES + VIDEOS and not name.startswith("."):
                yield os.path.join(place, name)


def _is_passed_over(folder, out):
    return os.path.basename(folder).startswith(".") or os.path.realpath(folder) == out or _is_of_prediction(folder)


def _is_of_prediction(folder):
    return any(_has_keys(os.path.join(folder, name), keys) for name, keys in KEYS.items())


def _free_name(name, taken):
    stem, ending = os.path.splitext(name)
    ending = ".mp4" if ending.lower() in VIDEOS else DRAWN_AS.get(ending.lower(), ".png")
    free, number = stem + ending, 1
    while free in taken:
        number += 1
        free = f"{stem}-{number}{ending}"
    taken.add(free)
    return free


def _ending(path):
    return os.path.splitext(path)[1].lower()
