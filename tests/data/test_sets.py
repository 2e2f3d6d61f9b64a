"""Sets by name and by folder."""
import re
from pathlib import Path

import pytest

import gluon_bof
from gluon_bof.data.check import check_set
from gluon_bof.data.class_sets import open_classes
from gluon_bof.data.convert import convert_set
from gluon_bof.data.label_sets import open_segmentation
from gluon_bof.data.layouts import recognise
from gluon_bof.data.localisation import open_objects
from gluon_bof.data.names import class_names
from gluon_bof.data.sets import open_set, refuse_output, split_names
from gluon_bof.data.voc import load_voc
from gluon_bof.errors import UserError
from tests.data import coco_files, layout_files, voc_files
from tests.tiny_sets import draw_few_shapes


def write_voc(folder):
    return voc_files.write_set(folder, voc_files.FIVE, {"trainval": "abc", "test": "de"})


def test_named_sets_and_folders(tmp_path):
    voc, coco = tmp_path / "one", tmp_path / "two"
    write_voc(voc)
    coco_files.write_set(coco)
    for dataset, root in (("voc", str(voc)), (str(voc), None)):
        assert len(open_set(dataset, root, "train")) == 3 and len(open_set(dataset, root, "val")) == 2
        assert len(open_set(dataset, root, "val", split="trainval,test")) == 5
    for dataset, root in (("coco", str(coco)), (str(coco), None)):
        assert len(open_set(dataset, root, "train")) == 3
        assert open_set(dataset, root, "train", classes=("dog", "Zebra")).classes == ("dog", "Zebra")


def test_a_folder_that_is_called_as_a_named_set_is_not_passed_over_without_a_word(tmp_path, monkeypatch, caplog):
    monkeypatch.chdir(tmp_path)
    write_voc(tmp_path / "voc")
    with pytest.raises(UserError, match="no such root"):
        open_set("voc", "no such root", "train")
    assert not caplog.text and len(open_set("./voc", None, "train")) == 3 and not caplog.text
    for opened in (open_set, open_segmentation):
        caplog.clear()
        monkeypatch.setattr("gluon_bof.errors._said", set())
        with pytest.raises(UserError):
            opened("voc", None, "train")
        assert "--dataset voc is the set of that name, and not the folder ./voc: write ./voc" in caplog.text
    caplog.clear()
    (tmp_path / "imagenet").mkdir()
    with pytest.raises(UserError):
        open_classes("imagenet")
    assert "not the folder ./imagenet" in caplog.text


def test_default_roots_are_gluoncvs(tmp_path, monkeypatch):
    monkeypatch.setenv("HOME", str(tmp_path))
    write_voc(tmp_path / ".mxnet" / "datasets" / "voc" / "VOC2007")
    assert len(open_set("voc", None, "train")) == 3
    with pytest.raises(UserError, match="datasets/coco.*--dataset-root"):
        open_set("coco", None, "train")


@pytest.mark.parametrize("dataset, root, part", [("imagenet", None, "shapes, vocmini, voc, coco"), ("", None, "known are"),
                                                 ("voc", "gone", "--dataset-root"), ("coco", "gone", "--dataset-root"),
                                                 ("voc", "empty", "layout"), ("coco", "empty", "COCO set"),
                                                 ("empty", None, "neither"), ("gone/voc", None, "no data set")])
def test_unknown_sets(tmp_path, monkeypatch, dataset, root, part):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "empty").mkdir()
    with pytest.raises(UserError, match=part) as caught:
        open_set(dataset, root, "train")
    assert caught.value.remedy and len(str(caught.value).splitlines()) == 1


def test_a_root_is_refused_where_it_would_be_ignored_and_named_in_the_folders_place(tmp_path):
    write_voc(tmp_path / "own")
    own, told = str(tmp_path / "own"), "--dataset-root elsewhere says nothing of the set"
    (tmp_path / "data.yaml").write_text("names: [a]")
    for opened in (lambda: open_set(own, "elsewhere", "train"), lambda: split_names(own, "elsewhere"),
                   lambda: open_set(str(tmp_path / "data.yaml"), "elsewhere", "train"),
                   lambda: open_segmentation(own, "elsewhere", "train"), lambda: open_classes(own, "elsewhere"),
                   lambda: open_objects(own, "elsewhere")):
        with pytest.raises(UserError, match=told):
            opened()
    with pytest.raises(UserError, match="no data set 'pascal'"):
        open_set("pascal", "elsewhere", "train")


def test_classes_as_text_are_names_and_not_letters(tmp_path):
    voc = write_voc(tmp_path / "voc")
    coco_files.write_set(tmp_path / "coco")
    names = gluon_bof.open_dataset(str(voc)).classes
    (tmp_path / "names.txt").write_text("\n".join(names))
    for classes in (",".join(names), str(tmp_path / "names.txt"), iter(names)):
        assert gluon_bof.open_dataset(str(voc), classes=classes).classes == names
    assert load_voc(str(voc), "train", ",".join(names)).classes == check_set(str(voc), classes=",".join(names)).classes == names
    assert gluon_bof.open_dataset(str(tmp_path / "coco"), classes="dog", on_bad_sample="skip").classes == ("dog",)
    assert split_names(str(voc), classes="dog") == split_names(str(voc), classes=("dog",))
    with pytest.raises(UserError, match="not among the 1 classes given"):
        gluon_bof.open_dataset(str(voc), classes="lizard")


def test_classes_that_can_be_read_once_are_those_of_all_parts(tmp_path):
    """They were used up by the part that was read first."""
    folder = str(write_voc(tmp_path / "set"))
    names = open_set(folder, None, "train").classes
    assert convert_set(folder, str(tmp_path / "out"), "coco", classes=iter(names)).classes == names
    (tmp_path / "set/ImageSets/Main/trainval.txt").write_text("lost\n")
    assert check_set(folder, classes=iter(names)).classes == names


@pytest.mark.parametrize("given, said", [
    ({"role": "Val"}, "the role 'Val' is neither train nor val"), ({"on_bad_sample": "Skip"}, "on_bad_sample cannot be 'Skip'"),
    ({"layout": "pascal"}, "layout cannot be 'pascal'; choose one of auto, voc"), ({"layout": None}, "layout cannot be None"),
    ({"val_share": "0.2"}, "val_share '0.2' is outside"), ({"val_share": float("nan")}, "val_share nan is outside")])
def test_a_choice_that_there_is_not_is_refused_by_its_argument(tmp_path, given, said):
    with pytest.raises(UserError, match=said) as caught:
        gluon_bof.open_dataset(str(write_voc(tmp_path)), **given)
    assert caught.value.remedy


def test_such_a_choice_is_refused_by_all_that_take_it(tmp_path):
    folder, out = str(write_voc(tmp_path / "set")), str(tmp_path / "out")
    for read, said in ((lambda: open_segmentation("vocmini", None, "Val"), "neither train nor val"),
                       (lambda: recognise(folder, "pascal"), "--layout cannot be 'pascal'"),
                       (lambda: convert_set(folder, out, "coco", layout="pascal"), "--layout cannot be 'pascal'"),
                       (lambda: convert_set(folder, out, "pascal"), "--to cannot be 'pascal'")):
        with pytest.raises(UserError, match=said):
            read()


def test_class_names_that_are_no_text_are_refused_where_they_are_read_and_not_when_a_run_writes_them(tmp_path):
    content = coco_files.content()
    content["categories"][0]["name"] = "half \ud83d"
    coco_files.write_set(tmp_path / "set", content)
    with pytest.raises(UserError, match=r"set: the class name 'half .ud83d' cannot be written as text; rename it in UTF-8"):
        open_set(str(tmp_path / "set"), None, "train")
    for names in (lambda: class_names("a,caf\udce9"), lambda: gluon_bof.load("a.params", classes=["a", "caf\udce9"])):
        with pytest.raises(UserError, match="cannot be written as text"):
            names()


@pytest.mark.parametrize("names", ({"a", "b"}, frozenset("ab"), {"b": 1, "a": 0}))
def test_classes_without_an_order_are_refused_and_not_numbered_by_chance(names):
    for read in (lambda: class_names(names), lambda: gluon_bof.load("a.params", classes=names),
                 lambda: open_segmentation("vocmini", None, "val", names)):
        with pytest.raises(UserError, match="a set or a dict, whose order need not be that of their numbers; give a list"):
            read()


def test_classes_that_are_no_names_are_one_line_from_wherever_they_come(tmp_path):
    """The number of classes, which other libraries ask for, ended in a TypeError."""
    for read in (lambda: gluon_bof.load("a.params", classes=3), lambda: gluon_bof.evaluate("a.params", classes=3),
                 lambda: gluon_bof.open_dataset(tmp_path, classes=3.5), lambda: gluon_bof.train(dataset=tmp_path, classes=3)):
        with pytest.raises(UserError, match=r"^classes cannot be 3(\.5)?; give a list of their names$"):
            read()


def test_an_output_may_replace_what_lies_below_images_elsewhere_but_nothing_beside_them(tmp_path):
    """Of images in a home folder, which a list names, all that lay below it was taken for the set's."""
    layout_files.yolo_absolute(str(tmp_path / "home"))
    (tmp_path / "set").mkdir()
    (tmp_path / "home" / "my.yaml").rename(tmp_path / "set" / "data.yaml")
    found = open_set(str(tmp_path / "set" / "data.yaml"), None, "train")
    mine = [tmp_path / name for name in ("home/images/train/old.json", "home/labels/train/old.json", "set/old.json",
                                         "set/deep/old.json", "home/old.json", "home/images/train/results/old.json")]
    for path in mine:
        path.parent.mkdir(exist_ok=True)
        path.write_text("mine")
    for path in mine[:4]:
        with pytest.raises(UserError, match="this file lies in the set's folder, and would be replaced"):
            refuse_output(str(path), found)
    for path in mine[4:]:
        refuse_output(str(path), found)


def test_a_drawn_set_heeds_skip_empty_and_refuses_a_share_and_a_layout(tmp_path, monkeypatch):
    """All three were ignored without a word."""
    draw_few_shapes(monkeypatch, tmp_path, 6, 1)
    annotation = Path(open_set("shapes", None, "train").records[0].source)
    annotation.write_text(re.sub("<object>.*</object>", "", annotation.read_text(), flags=re.DOTALL))
    assert [len(open_set("shapes", None, "train", skip_empty=skipped)) for skipped in (False, True)] == [6, 5]
    for flag, value in (("val_share", 0.2), ("layout", "coco")):
        with pytest.raises(UserError, match=f"--{flag.replace('_', '-')} is of a folder's set, and shapes is drawn"):
            open_set("shapes", None, "train", **{flag: value})
