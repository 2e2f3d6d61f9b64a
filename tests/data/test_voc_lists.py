"""Which images VOC's lists give to a part, and how their lines are read."""
import pytest

from gluon_bof.data.voc import load_voc
from gluon_bof.errors import UserError
from tests.data.voc_files import DOG, FIVE, ids, write_set, xml

LAYOUTS = [  # split files, training ids, validation ids
    ({"trainval": "abc", "train": "ab", "val": "c", "test": "de"}, "abc", "de"),
    ({"train": "ab", "test": "de"}, "ab", "de"),
    ({"train": "abc", "val": "de"}, "abc", "de"),
    ({"trainval": "abcde", "train": "abc", "val": "de"}, "abc", "de"),
    ({"trainval": "abcde", "val": "de"}, "abc", "de"),
    ({"train": "abc", "valid": "de"}, "abc", "de"),
    ({"train": "abc", "validation": "de"}, "abc", "de"),
    ({"trainval": "abcde", "Validation": "de"}, "abc", "de"),
    ({"Train": "ab", "Val": "c", "Test": "de"}, "ab", "c"),
    ({"train": "ab", "testset": "de"}, "ab", "de"),
    ({"train": "abc", "val": "d", "validation": "e", "testing": "e"}, "abc", "d"),  # VOC's own names come first
    ({"trainval": "abcd", "val": "d", "a-train": "e"}, "abc", "d"),
    ({}, "abcd", "e"),
]


@pytest.mark.parametrize("splits, training, validation", LAYOUTS)
def test_parts_never_leak(tmp_path, splits, training, validation):
    write_set(tmp_path, FIVE, splits)
    assert "".join(ids(load_voc(str(tmp_path), "train"))) == training
    assert "".join(ids(load_voc(str(tmp_path), "val"))) == validation


def test_of_several_lists_that_may_be_meant_none_is_taken(tmp_path):
    """They may be folds, so that together they leak."""
    write_set(tmp_path, FIVE, {"train": "abc", "val-1": "d", "val-2": "e"})
    assert ids(load_voc(str(tmp_path), "train")) == list("abc")
    with pytest.raises(UserError, match="no split to validate on .found: train, val-1, val-2.; .* or name splits"):
        load_voc(str(tmp_path), "val")


@pytest.mark.parametrize("splits, empty", (({"val": "", "testing": "e"}, "val"), ({"test": "", "val": "e"}, "test"),
                                           ({"Val": ""}, "Val")))
def test_the_list_that_is_empty_is_named(tmp_path, splits, empty):
    write_set(tmp_path, FIVE, {"train": "abc", **splits})
    with pytest.raises(UserError, match=f"Main/{empty}.txt: nothing to validate on: the split is empty"):
        load_voc(str(tmp_path), "val")


def test_years_are_joined_and_only_2007_validates(tmp_path):
    root = tmp_path / "VOCdevkit"
    write_set(root / "VOC2007", {"a": xml(DOG), "b": xml(DOG)}, {"trainval": "a", "test": "b", "val": "a"})
    write_set(root / "VOC2012", {"c": xml(DOG), "d": xml(DOG)}, {"trainval": "cd", "val": "d", "test": ["unpublished"]})
    assert ids(load_voc(str(tmp_path), "train")) == ["a", "c", "d"]
    assert ids(load_voc(str(tmp_path), "val")) == ["b"]
    assert ids(load_voc(str(tmp_path), "val", split="val, trainval")) == ["a", "d", "c"]


def test_split_lines_with_flags_and_repeats(tmp_path):
    write_set(tmp_path, {**FIVE, "f 1": xml(DOG)}, {"dog_train": ["a  1", "b -1", "c  0", "f 1", "a", "", "d"]})
    assert ids(load_voc(str(tmp_path), "train", split="dog_train")) == ["a", "c", "f 1", "d"]


@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig"])
@pytest.mark.parametrize("end", ["\n", "\r\n", "\r"])
def test_split_files_as_windows_writes_them(tmp_path, encoding, end):
    write_set(tmp_path, FIVE, {"train": []})
    (tmp_path / "ImageSets" / "Main" / "train.txt").write_bytes(end.join(["a\t1", "b\t-1", "d", ""]).encode(encoding))
    assert ids(load_voc(str(tmp_path), "train")) == ["a", "d"]


def test_a_split_in_utf_16_is_to_be_saved_as_utf_8(tmp_path):
    write_set(tmp_path, FIVE, {"train": []})
    (tmp_path / "ImageSets" / "Main" / "train.txt").write_text("a\nb\n", encoding="utf-16")
    with pytest.raises(UserError, match="train.txt: the split is not UTF-8 text; save it as UTF-8"):
        load_voc(str(tmp_path), "train")
