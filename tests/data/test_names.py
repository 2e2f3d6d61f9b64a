"""Names of classes: the value of --classes, and files of one a line."""
import pytest

from gluon_bof.data.names import class_names, unique_names
from gluon_bof.errors import UserError


def test_class_names(tmp_path):
    path = tmp_path / "names.txt"
    path.write_text("\ufeffpolar bear\n dog \n\n", encoding="utf-8")
    assert class_names(str(path)) == ("polar bear", "dog")
    path.write_text("polar\x0cbear\ndog\n", encoding="utf-8")
    assert class_names(str(path)) == ("polar bear", "dog")  # as YOLO's files are read: their numbers are lines of an editor
    assert class_names("driver\x92s hat") == ("driver\x92s hat",)  # an apostrophe of Windows that was read as Latin-1
    assert class_names("cat, hot dog,") == ("cat", "hot dog")
    assert class_names("cat") == ("cat",)


def test_class_names_that_cannot_be_meant(tmp_path):
    (tmp_path / "empty.txt").write_text("\n")
    (tmp_path / "binary.txt").write_bytes(b"\xff\xfe\x00")
    (tmp_path / "gap.txt").write_text("a\n\nb\n")
    with pytest.raises(UserError, match="gap.txt: line 2 is empty"):  # b would be class 1, and its labels say 2
        class_names(str(tmp_path / "gap.txt"))
    (tmp_path / "utf-16.txt").write_bytes("cat\ndog\n".encode("utf-16-le"))  # was read as c, NUL, a, NUL, t, NUL
    with pytest.raises(UserError, match="utf-16.txt: the class name .* holds control characters; write the names in UTF-8"):
        class_names(str(tmp_path / "utf-16.txt"))
    for bad in ("", " , ", "a,a", "a,,b", str(tmp_path / "gone.txt"), str(tmp_path / "empty.txt"), str(tmp_path / "binary.txt"),
                str(tmp_path), "names.txt"):
        with pytest.raises(UserError):
            class_names(bad)


def test_a_file_that_names_a_class_twice_is_named(tmp_path):
    (tmp_path / "classes.txt").write_text("cat\ndog\ncat\n")
    with pytest.raises(UserError, match="classes.txt: class 'cat' is named twice; name every class once$"):
        class_names(str(tmp_path / "classes.txt"))


def test_class_names_are_there_once():
    assert unique_names(["b", "a"]) == ("b", "a")
    for bad in ([], ["a", "a"], ["a", " "], ["a", 3]):
        with pytest.raises(UserError):
            unique_names(bad)
