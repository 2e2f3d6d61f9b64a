"""Which images the lists of ImageSets give to a part of a set of VOC's layout."""
from __future__ import annotations

import os
from typing import Any, Container, Sequence

from gluon_bof.data.images import ENDINGS
from gluon_bof.data.parts import FEW_REMEDY, few_images, has_validation, role_of, told_fifth
from gluon_bof.errors import UserError, abbreviate

_OWN = {"train": ("trainval", "train"), "val": ("val", "valid"), "test": ("test",)}  # VOC's names of a role's splits


def members_of(folders: Sequence[Any], role: str, split: str | None, whole: bool) -> list[tuple[Any, list[str]]]:
    """[(folder, ids in it)] of a part. folders: `voc.Folder`s. Raises UserError if no folder has it, or it is empty."""
    if split:
        parts = [(folder, split_ids(folder, name)) for name in _split_names(folders, split)
                 for folder in folders if name in folder.splits]
    else:
        tested = [folder for folder in folders if _can_test(folder, folders)]
        parts = [(folder, _role_ids(folder, role, folders, tested, whole)) for folder in folders]
        parts = [(folder, ids) for folder, ids in parts if ids is not None]
    if not parts:
        wanted, files = ("train on", "trainval.txt or train.txt") if role == "train" else ("validate on", "test.txt or val.txt")
        shared = "" if has_validation(_plain(folders)) else ", share the set out with --val-share 0.2"
        raise UserError(f"no split to {wanted} (found: {_found_splits(folders)})", folders[0].path,
                        f"add ImageSets/Main/{files}{shared}, or name splits: check with --split, training with --train-split "
                        "and --val-split")
    unique = [(folder, list(dict.fromkeys(ids))) for folder, ids in parts]
    if role == "val" and not any(ids for _, ids in unique) and not any(folder.splits for folder in folders):
        raise UserError(few_images(sum(len(folder.annotations) for folder in folders)), folders[0].path, FEW_REMEDY)
    if not any(ids for _, ids in unique):
        raise UserError(f"nothing to {'train' if role == 'train' else 'validate'} on: the split is empty",
                        _where(parts[0][0], folders, role, split), "list its images, one name a line")
    return _without_repeats(unique)


def _where(folder, folders, role, split):
    called = "test" if role == "val" and _can_test(folder, folders) else role
    names = map(str.strip, split.split(",")) if split else of_role(folders, called)
    name = None if folder.is_part else _first(folder, names)
    return folder.splits[name] if name else folder.path


def _without_repeats(parts):
    """Each image once, though two splits may list it; not so images of one name in two folders."""
    seen = set()
    kept = []
    for folder, ids in parts:
        kept.append((folder, [image_id for image_id in ids if (folder, image_id) not in seen]))
        seen.update((folder, image_id) for image_id in ids)
    return kept


def _split_names(folders, split):
    names = [name.strip() for name in split.split(",") if name.strip()]
    for name in names:
        if not any(name in folder.splits for folder in folders):
            raise UserError(f"no split {name!r} (found: {_found_splits(folders)})", folders[0].path,
                            f"choose another, or add ImageSets/Main/{name}.txt")
    return names


def _found_splits(folders):
    return abbreviate(_plain(folders) or sorted({name for folder in folders for name in folder.splits}))


def is_of_one_class(split: str) -> bool:
    """Whether a list is of a single class, by its name: VOC has 80, such as cat_train."""
    return "_" in split


def _plain(folders):
    """Names of the splits without those of single classes."""
    return sorted({name for folder in folders for name in folder.splits if not is_of_one_class(name)})


def of_role(folders: Sequence[Any], role: str) -> list[str]:
    """Names of the splits of a role, train, val or test: VOC's own, else the only one that tells it, such as validation. Of
    several, such as val-1 and val-2, nobody knows which is meant."""
    names = _plain(folders)
    told = [name for name in names if role_of(name) == role]
    return [name for name in _OWN[role] if name in names] or (told if len(told) == 1 else [])


def _first(folder, names):
    """The first of the names that is a split of the folder; None if none is."""
    return next((name for name in names if name in folder.splits), None)


def _can_test(folder, folders):
    """Whether the folder has a test part with annotations: that of VOC2012 was never published."""
    name = _first(folder, of_role(folders, "test"))
    if name is None:
        return False
    # val comes first among folders, train/, valid/ and test/, as in COCO's layout, and where test is not called as VOC's
    if (folder.is_part or name != "test") and "val" in map(role_of, _plain(folders)):
        return False
    return len(folders) == 1 or any(image_id in folder.annotations for image_id in split_ids(folder, name))


def _role_ids(folder, role, folders, tested, whole):
    """Ids of a role in one of the folders, or None if it has no such part. `tested`: the folders with a test part; if there
    are none, validation takes `val`, and training must keep off it."""
    if not folder.splits:
        return sorted(folder.annotations) if whole else told_fifth(sorted(folder.annotations), role, folder.path)
    if tested and role == "val":
        return split_ids(folder, _first(folder, of_role(folders, "test"))) if folder in tested else None
    validation = None if tested else _first(folder, of_role(folders, "val"))
    if role == "val":
        return split_ids(folder, validation) if validation else None
    names = of_role(folders, "train")
    name = _first(folder, reversed(names) if validation else names)
    if name is None:
        return None
    held_out = set(split_ids(folder, validation)) if validation and name == "trainval" else ()
    return [image_id for image_id in split_ids(folder, name) if image_id not in held_out]


def split_ids(folder: Any, name: str) -> list[str]:
    """Ids in a folder that its split lists, of which some may begin with the folder below Annotations/, as GluonCV reads them."""
    if folder.is_part:
        return list(folder.annotations)
    known = [{*stems, *(os.path.join(folder.place, stem) for stem in stems)} for stems in (folder.annotations, folder.images)]
    ids = map(os.path.split, read_split(folder.splits[name], *known))
    return [stem if place == folder.place else os.path.join(place, stem) for place, stem in ids if place not in folder.elsewhere]


def read_split(path: str, annotations: Container[str], images: Container[str]) -> list[str]:
    """Image ids of a split file. A line is an id, or an id and a flag (1, 0, and -1: not in the split), an id perhaps with its
    image's ending. annotations, images: the ids that have one. Raises UserError where it is not text."""
    try:
        with open(path, encoding="utf-8-sig") as file:
            lines = [line.strip() for line in file]
    except UnicodeDecodeError:
        raise UserError("the split is not UTF-8 text", path, "save it as UTF-8, one name a line") from None
    return [image_id for line in lines if line for image_id in _line_ids(line, annotations, images)]


def _line_ids(line, annotations, images):
    if line in annotations:
        return [line]
    words = line.rsplit(None, 1)  # by a space or a tab
    flag = words[1] if len(words) == 2 and words[1] in ("-1", "0", "1") else ""
    if flag and _id_of(line, annotations, images) == line:
        return [] if flag == "-1" else [_id_of(words[0], annotations, images)]
    return [_id_of(line, annotations, images)]


def _id_of(name, annotations, images):
    """The name without the ending of an image, where that is an image's id."""
    stem, ending = os.path.splitext(name)
    known = ending.lower() in ENDINGS and (stem in annotations or stem in images)
    return stem if known and name not in annotations else name
