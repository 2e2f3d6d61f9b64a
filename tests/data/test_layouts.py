"""One set as every layout that programs leave gives the same; two readings are named; a share validates where no part does."""
import os
import shutil
import time

import numpy as np
import pytest

from gluon_bof.commands.check import main as check
from gluon_bof.data.check import check_set, format_report
from gluon_bof.data.convert import convert_set
from gluon_bof.data.images import in_other_form
from gluon_bof.data.layouts import recognise
from gluon_bof.data.loader import TrainingImages
from gluon_bof.data.sampler import SampleSpec
from gluon_bof.data.sets import open_set
from gluon_bof.errors import UserError
from gluon_bof.evaluation.validation import validation_set
from gluon_bof.options.yolo3 import Yolo3Options
from gluon_bof.runs.folder import Run
from gluon_bof.training.pipeline import open_sets
from tests.data import layout_files
from tests.data.layout_files import CLASSES, IMAGES, LAYOUTS, SHARE, assert_is_the_set, names_of, stems
from tests.tiny_sets import BCCD

CARDS = BCCD.parent / "cards"
WRITERS = [(name, write) for name, writers in LAYOUTS.items() for write in writers]


@pytest.mark.parametrize("layout, write", WRITERS, ids=[write.__name__ for _, write in WRITERS])
def test_every_layout_gives_the_same_boxes_classes_and_parts(tmp_path, monkeypatch, layout, write):
    write(str(tmp_path))
    assert recognise(str(tmp_path)).name == layout
    monkeypatch.chdir(tmp_path)
    for role in ("train", "val"):
        for place in (str(tmp_path), os.curdir):
            assert_is_the_set(open_set(place, None, role), names_of(role))


def test_a_json_of_cvats_is_named_or_shared_out(tmp_path):
    layout_files.cvat_coco(str(tmp_path))
    assert_is_the_set(open_set(str(tmp_path), None, "train", split="default"), list(IMAGES))
    assert_is_the_set(open_set(str(tmp_path), None, "val", val_share=0.5), SHARE)
    with pytest.raises(UserError, match="--val-share"):
        open_set(str(tmp_path), None, "train")


@pytest.mark.parametrize("write, splits", ((layout_files.cvat_voc, "default"), (layout_files.vott_voc, "cat_train,dog_val")))
def test_vocs_lists_of_no_part_are_named_or_all_annotations_shared_out(tmp_path, write, splits):
    """The message named --val-share, which said the same again."""
    write(str(tmp_path))
    for role in ("train", "val"):
        with pytest.raises(UserError, match=f"no split to {role}.* share the set out with --val-share 0.2, or name splits: check "
                                            "with --split, training with --train-split and --val-split"):
            open_set(str(tmp_path), None, role)
    assert_is_the_set(open_set(str(tmp_path), None, "train", split=splits), list(IMAGES))
    assert_is_the_set(open_set(str(tmp_path), None, "train", val_share=0.5), [name for name in IMAGES if name not in SHARE])
    assert_is_the_set(open_set(str(tmp_path), None, "val", val_share=0.5), SHARE)


def test_vocs_lists_of_other_names_tell_parts_and_no_refusal_goes_in_a_circle(tmp_path):
    """train and validation were told that --val-share does nothing, and then to give it."""
    layout_files.voc_of_lists(str(tmp_path), Train="abce")
    parts = [stems(open_set(str(tmp_path), None, role, val_share=0.5)) for role in ("train", "val")]
    assert parts == [["a", "b", "c"], ["e"]]
    layout_files.voc_of_lists(str(tmp_path), validation="df")
    assert stems(open_set(str(tmp_path), None, "val", val_share=0.25)) == ["d", "f"]
    layout_files.voc_of_lists(str(tmp_path), validate="f")
    with pytest.raises(UserError, match="no split to validate on") as refusal:
        open_set(str(tmp_path), None, "val", val_share=0.25)
    assert "--val-share" not in str(refusal.value)


def test_a_share_is_taken_only_where_no_part_validates(tmp_path):
    layout_files.ultralytics(str(tmp_path))
    assert stems(open_set(str(tmp_path), None, "val", val_share=0.5)) == names_of("val")
    (tmp_path / "data.yaml").write_text("train: images/train\nnames: [cat, dog]\n")
    with pytest.raises(UserError, match="--val-share"):
        open_set(str(tmp_path), None, "val")
    parts = [stems(open_set(str(tmp_path), None, role, val_share=0.7)) for role in ("train", "val")]
    assert parts == [["b", "d"], ["a", "c"]]
    with pytest.raises(UserError, match="leaves none of 4 images to validate on"):
        open_set(str(tmp_path), None, "val", val_share=0.5)


@pytest.mark.parametrize("share", (-0.1, 1, 1.5))
def test_a_share_outside_its_range_is_one_line(tmp_path, share):
    with pytest.raises(UserError, match="--val-share"):
        open_set(str(tmp_path), None, "train", val_share=share)


def test_layouts_give_the_same_bits_of_training_images(tmp_path):
    samples = []
    for _, write in WRITERS:
        folder = str(tmp_path / write.__name__)
        write(folder)
        records = open_set(folder, None, "train").records
        images = TrainingImages(records)
        made = [images[SampleSpec(index, (index + 1) % 4, 0.4, 64, (0, 0, 0, index))] for index in range(4)]
        samples.append([(np.asarray(image).tobytes(), truth.tobytes()) for image, truth, _ in made])
    assert all(sample == samples[0] for sample in samples)


@pytest.mark.parametrize("writers, flags", [(("voc_beside", "ultralytics"), "--layout voc or --layout yolo"),
                                            (("voc_standard", "coco_standard"), "--layout voc or --layout coco"),
                                            (("labelme_beside", "voc_beside"), "--layout voc or --layout labelme")])
def test_two_readings_are_named_with_the_flag_that_chooses(tmp_path, writers, flags):
    for writer in writers:
        getattr(layout_files, writer)(str(tmp_path))
    with pytest.raises(UserError, match=flags) as caught:
        open_set(str(tmp_path), None, "train")
    assert len(str(caught.value).splitlines()) == 1
    for name in flags.replace("--layout ", "").split(" or "):
        assert_is_the_set(open_set(str(tmp_path), None, "train", layout=name), names_of("train"))


def test_a_layout_that_is_not_there_is_one_line(tmp_path):
    layout_files.voc_beside(str(tmp_path))
    with pytest.raises(UserError, match="nothing of YOLO's text.*--layout yolo"):
        open_set(str(tmp_path), None, "train", layout="yolo")
    with pytest.raises(UserError, match="two layouts"):
        open_set("voc", str(tmp_path), "train", layout="yolo")
    assert len(open_set("voc", str(tmp_path), "train")) == 4  # variants of the layout by its name


def test_check_says_what_it_took_the_folder_for_and_why(tmp_path, capsys):
    layout_files.voc_of_splits(str(tmp_path))
    report = check_set(str(tmp_path), progress=False)
    assert report.layout.startswith("taken for VOC's layout: XML in train/annots, images in train/images")
    assert report.layout in format_report(report)
    assert check([str(tmp_path), "--layout", "voc", "--val-share", "0.5"]) == 0
    assert '"layout": "taken for VOC' in capsys.readouterr().out


def test_images_without_xml_in_a_split_are_counted_or_negatives(tmp_path):
    layout_files.voc_beside(str(tmp_path))
    layout_files.put_image(str(tmp_path / "train"), "z")
    found = open_set(str(tmp_path), None, "train")
    assert [os.path.basename(path) for path in found.unannotated] == ["z.jpg"] and len(found) == 4
    assert stems(open_set(str(tmp_path), None, "train", unannotated="negative")) == names_of("train") + ["z"]
    assert len(open_set(str(tmp_path), None, "val", unannotated="negative")) == 2


def linked(root, write):
    """A set in v2/, to which latest/ leads, with a folder in it that leads back."""
    write(str(root / "v2"))
    (root / "latest").symlink_to("v2")
    (root / "v2" / "loop").symlink_to("..")
    return str(root)


@pytest.mark.parametrize("write", [layout_files.labelimg_in_one_folder, *layout_files.ONE_PART[:2]],
                         ids=["classes.txt", "voc", "labelme"])
def test_images_that_a_link_shows_again_counted_twice_and_trained_and_validated(tmp_path, write):
    root = linked(tmp_path, write)
    parts = [open_set(root, None, role) for role in ("train", "val")]
    assert sorted(stems(parts[0]) + stems(parts[1])) == sorted(IMAGES)
    assert len(check_set(root, progress=False).faults) == 0


@pytest.mark.parametrize("write", [layout_files.labelimg_yolo, layout_files.voc_beside, layout_files.labelme_apart])
def test_parts_that_a_link_shows_again_counted_twice(tmp_path, write):
    root = linked(tmp_path, write)
    for role in ("train", "val"):
        assert_is_the_set(open_set(root, None, role), names_of(role))


@pytest.mark.parametrize("ending, text", [(".xml", layout_files.of_voc), (".json", layout_files.of_labelme)])
def test_links_whose_names_tell_the_parts_of_folders_that_do_not_are_followed(tmp_path, ending, text):
    layout_files.pairs(str(tmp_path / "mine" / "of"), "{}", "{}", ending, text, "rest")
    (tmp_path / "mine" / "of" / "train").rename(tmp_path / "mine" / "of" / "first")
    for part, folder in (("train", "first"), ("val", "rest")):
        (tmp_path / part).symlink_to(tmp_path / "mine" / "of" / folder)
    for role in ("train", "val"):
        assert_is_the_set(open_set(str(tmp_path), None, role), names_of(role))


def test_a_folder_of_a_year_that_a_link_shows_again_was_read_twice(tmp_path):
    layout_files.voc_standard(str(tmp_path / "VOC2007"))
    (tmp_path / "VOCcurrent").symlink_to("VOC2007")
    assert_is_the_set(open_set(str(tmp_path), None, "train"), names_of("train"))


TEXTS = ((".xml", layout_files.of_voc), (".json", layout_files.of_labelme))


@pytest.mark.parametrize("ending, text", TEXTS, ids=("voc", "labelme"))
def test_images_without_annotation_and_faults_of_a_set_that_is_shared_out_are_counted_once(tmp_path, ending, text):
    """In both parts, and so twice."""
    layout_files.one_folder(str(tmp_path / "set"), ending, text)
    for name in "xyz":
        layout_files.put_image(str(tmp_path / "set"), name)
    (tmp_path / "set" / "a.jpg").write_bytes(b"x")
    how = dict(val_share=0.5, on_bad_sample="skip")
    for unannotated in ("skip", "negative"):
        parts = [open_set(str(tmp_path / "set"), None, role, unannotated=unannotated, **how) for role in ("train", "val")]
        assert sorted(path[-5] for found in parts for path in found.unannotated) == list("xyz")
    assert len(check_set(str(tmp_path / "set"), val_share=0.5, progress=False).unannotated) == 3
    assert convert_set(str(tmp_path / "set"), str(tmp_path / "out"), "coco", **how).notes[:2] == (
        "1 faults were left out", "3 images without an annotation file were left out; --unannotated negative writes them")


def test_xml_without_an_image_is_a_fault(tmp_path):
    layout_files.voc_beside(str(tmp_path))
    (tmp_path / "train" / "a.jpg").unlink()
    with pytest.raises(UserError, match="missing image"):
        open_set(str(tmp_path), None, "train")


def test_vocs_lists_name_the_folder_of_an_image_below_annotations(tmp_path):
    """GluonCV reads them so; here Annotations/one/one/a.xml was missed."""
    for name, folder in zip(IMAGES, ("one", "two") * 3):
        layout_files.put_image(str(tmp_path / "JPEGImages" / folder), name)
        layout_files.put(str(tmp_path / "Annotations" / folder / f"{name}.xml"), layout_files.of_voc(name))
    lists = tmp_path / "ImageSets" / "Main"
    layout_files.put(str(lists / "train.txt"), "one/a\ntwo/b.jpg\none/c 1\ntwo/d 0\ntwo/f -1\n")
    layout_files.put(str(lists / "val.txt"), "one/e\ntwo/f\n")
    for role, names in (("train", "acbd"), ("val", "ef")):
        assert_is_the_set(open_set(str(tmp_path), None, role), list(names))
    layout_files.put(str(lists / "val.txt"), "one/e\none/f\n")
    with pytest.raises(UserError, match="Annotations/one/f.xml: missing annotation"):
        open_set(str(tmp_path), None, "val")


@pytest.mark.parametrize("ending, text", TEXTS, ids=("voc", "labelme"))
@pytest.mark.parametrize("images, labels", (("{}/images", "{}/annots"), ("frames/{}", "labels/{}"), ("{}_images", "{}_xml"),
                                            ("train/{}/jpg", "train/{}/boxes")))
def test_images_of_one_name_in_several_folders_keep_their_own_annotations(tmp_path, images, labels, ending, text):
    """The first folder's images had those of all folders; the others, or what came second, were left out without a word."""
    layout_files.sessions(str(tmp_path), images, labels, ending, text)
    found = open_set(str(tmp_path), None, "train", val_share=1e-9)
    paths = [f"{images.format(session)}/{name}.jpg" for session, name in (("monday", "a"), ("tuesday", "a"), ("tuesday", "b"))]
    assert [os.path.relpath(record.path, tmp_path) for record in found.records] == paths and not found.remarks
    assert [record.boxes.tolist() for record in found.records] == [[list(box[1:]) for box in IMAGES[name][1]] for name in "def"]
    assert [record.image_id for record in found.records] == [*paths[:2], "b"]


@pytest.mark.parametrize("ending, text", TEXTS, ids=("voc", "labelme"))
@pytest.mark.parametrize("folders", (("one", "two"), ("train", "val")))
def test_an_annotation_that_may_be_of_two_images_is_refused_and_one_that_is_of_one_is_read(tmp_path, folders, ending, text):
    """It was laid on that of the first folder, or on both."""
    for name, folder in zip("abcdef", folders * 3):
        layout_files.put_image(str(tmp_path / folder), name)
        layout_files.put(str(tmp_path / "boxes" / (name + ending)), text(name))
    found = [name for role in ("train", "val") for name in stems(open_set(str(tmp_path), None, role, val_share=0.3))]
    assert sorted(found) == list("abcdef")
    layout_files.put_image(str(tmp_path / folders[0]), "d")
    with pytest.raises(UserError, match=f"d{ending}: it may be of the image in .*{folders[0]} or of that in .*{folders[1]};"):
        open_set(str(tmp_path), None, "train")


@pytest.mark.parametrize("folders", (("one", "two"), ("train", "val")))
@pytest.mark.parametrize("ending, text", TEXTS, ids=("voc", "labelme"))
def test_an_annotation_without_an_image_is_no_fault_of_each_part(tmp_path, folders, ending, text):
    """Both were refused for it. Where parts share a folder of XML it is of none of them: its image may not be shipped."""
    for name, folder in zip("abcdef", folders * 3):
        layout_files.put_image(str(tmp_path / folder), name)
        layout_files.put(str(tmp_path / "boxes" / (name + ending)), text(name))
    (tmp_path / folders[1] / "d.jpg").unlink()
    roles = folders if "val" in folders else ("train",)
    found = [open_set(str(tmp_path), None, role, on_bad_sample="skip", val_share=1e-9) for role in roles]
    assert sorted(name for of_role in found for name in stems(of_role)) == list("abcef")
    kinds = [fault.kind for of_role in found for fault in of_role.faults]
    assert kinds == ([] if "val" in folders and ending == ".xml" else ["missing image"])


@pytest.mark.parametrize("write", (layout_files.coco_standard, layout_files.ultralytics, layout_files.yolo_lists,
                                   layout_files.voc_standard, layout_files.labelme_beside, layout_files.labelme_apart))
def test_a_file_that_is_missed_for_its_names_unicode_form_is_told(tmp_path, write):
    """Of a name that looked the same it was said that it does not exist."""
    write(str(tmp_path))
    for path in list(tmp_path.rglob("*.*")):
        if path.stem == "a":
            path.rename(path.with_name(("e\u0301" if path.suffix == ".jpg" else "\u00e9") + path.suffix))
        elif path.suffix in (".json", ".txt"):
            path.write_text(path.read_text().replace("a.jpg", "\u00e9.jpg").replace("a\n", "\u00e9\n"))
    for path in tmp_path.rglob("\u00e9.json"):
        path.write_text(path.read_text().replace("a.jpg", "\u00e9.jpg"))
    with pytest.raises(UserError, match="missing image: .*; e\u0301.jpg is there, a name in another Unicode form .NFC or NFD."):
        open_set(str(tmp_path), None, "train")
    annotations = tmp_path / "Annotations"
    if annotations.exists():
        (annotations / "\u00e9.xml").rename(annotations / "e\u0301.xml")
        with pytest.raises(UserError, match="missing annotation: .*; e\u0301.xml is there, a name in another Unicode form"):
            open_set(str(tmp_path), None, "train")


def test_thousands_of_missing_names_are_looked_for_in_one_listing(tmp_path):
    for number in range(3000):
        (tmp_path / f"\u00e9{number}.jpg").touch()
    before = time.process_time()
    for number in range(1500):
        assert f"\u00e9{number}.jpg is there" in in_other_form(str(tmp_path / f"e\u0301{number}.jpg"))
        assert in_other_form(str(tmp_path / f"\u00e9{number}.png")) == ""
    assert time.process_time() - before < 2  # the folder was listed for each, which took 10 s
    (tmp_path / "\u00e97.jpg").unlink()
    assert in_other_form(str(tmp_path / "e\u03017.jpg")) == ""


def test_two_annotations_of_an_image_are_refused_and_not_the_first_folders_taken(tmp_path):
    layout_files.voc_of_splits(str(tmp_path))
    shutil.copytree(tmp_path / "train" / "annots", tmp_path / "train" / "annots_old")
    with pytest.raises(UserError, match="a.jpg: it has an annotation in .*train/annots and one in .*train/annots_old; keep one"):
        open_set(str(tmp_path), None, "train")


@pytest.mark.parametrize("write, kinds", ((layout_files.ultralytics, ("images", "labels")),
                                          (layout_files.labelme_annotations, ("images", "annotations"))))
def test_a_folder_that_tells_no_part_where_others_do_is_told_of_once(tmp_path, write, kinds, caplog):
    """It was left out without a word, though named as read."""
    write(str(tmp_path))
    if (tmp_path / "data.yaml").exists():
        (tmp_path / "data.yaml").unlink()
        (tmp_path / "classes.txt").write_text("cat\ndog\n")
    for role in ("train", "val"):
        open_set(str(tmp_path), None, role)
    assert "neither trains" not in caplog.text
    for kind in kinds:
        (tmp_path / kind / "night").mkdir()
        for path in (tmp_path / kind / "train").glob("a.*"):
            path.rename(tmp_path / kind / "night" / path.name)
    for role in ("train", "val"):
        open_set(str(tmp_path), None, role)
    assert caplog.text.count("what lies in images/night neither trains nor validates") == 1


def test_masks_beside_the_annotations_are_not_taken_for_the_images(tmp_path):
    """As the Oxford pets lie, whose annotations are in annotations/xmls and annotations/trimaps."""
    for name in IMAGES:
        layout_files.put_image(str(tmp_path / "images"), name)
        layout_files.put_image(str(tmp_path / "annotations" / "trimaps"), name, ".png")
        layout_files.put(str(tmp_path / "annotations" / "xmls" / f"{name}.xml"), layout_files.of_voc(name))
    found = open_set(str(tmp_path), None, "train")
    assert {os.path.dirname(record.path) for record in found.records} == {str(tmp_path / "images")}


@pytest.mark.parametrize("labels, images, other, ending", (
    ("xml", "img", "mask", ".png"), ("xml", "img", "SegmentationClass", ".png"), ("labels", "images", "images_small", ".jpg"),
    ("Annotations/xml", "JPEGImages", "JPEGImages_resized", ".jpg")))
@pytest.mark.parametrize("split", ("", "{}"))
def test_masks_and_smaller_images_of_the_same_names_are_not_taken_for_the_images(tmp_path, labels, images, other, ending, split):
    """The set was refused, since an annotation may be of either."""
    layout_files.pairs(str(tmp_path), os.path.join(images, split), labels, ".xml", layout_files.of_voc)
    for name, (part, _) in IMAGES.items():
        layout_files.put_image(str(tmp_path / other / split.format(part)), name, ending)
    for role in ("train", "val"):
        found = open_set(str(tmp_path), None, role, val_share=0 if split else 0.5)
        assert stems(found) == (names_of(role) if split else SHARE if role == "val" else list("abcd"))
        assert all(os.path.relpath(record.path, tmp_path).startswith(images + os.sep) for record in found.records)


@pytest.mark.parametrize("folders", (("mask", "plain"), ("masks", "plain")))
def test_photographs_of_masks_are_no_masks(tmp_path, folders):
    for name, folder in zip("abcdef", folders * 3):
        layout_files.put_image(str(tmp_path / folder), name)
        layout_files.put(str(tmp_path / "xml" / f"{name}.xml"), layout_files.of_voc(name))
    assert sorted(stems(open_set(str(tmp_path), None, "train", val_share=1e-9))) == list("abcdef")


def test_a_folder_of_some_of_anothers_images_is_not_taken_for_it_where_one_is_missing(tmp_path):
    """Neither had all images, and the set was refused, since an annotation may be of either."""
    layout_files.pairs(str(tmp_path), "photos", "xml", ".xml", layout_files.of_voc)
    for name in "bc":
        layout_files.put_image(str(tmp_path / "previews"), name)
    (tmp_path / "photos" / "a.jpg").unlink()
    with pytest.raises(UserError, match="photos/a.jpg: missing image"):
        open_set(str(tmp_path), None, "train")
    assert stems(open_set(str(tmp_path), None, "val")) == ["e"]


@pytest.mark.parametrize("write", (layout_files.voc_of_splits, layout_files.labelme_beside, layout_files.ultralytics))
def test_a_valid_folder_validates_where_there_is_a_test_folder_too(tmp_path, write):
    write(str(tmp_path))
    for folder in list(tmp_path.rglob("train")):
        shutil.copytree(folder, folder.with_name("test"))
    if write is layout_files.ultralytics:
        with open(tmp_path / "data.yaml", "a") as file:
            file.write("test: images/test\n")
    assert stems(open_set(str(tmp_path), None, "val")) == names_of("val")
    assert stems(open_set(str(tmp_path), None, "val", split="test")) == names_of("train")


def test_an_order_of_classes_that_the_root_lists_is_kept(tmp_path):
    layout_files.voc_standard(str(tmp_path))
    (tmp_path / "classes.txt").write_text("dog\nowl\ncat\n")
    assert open_set(str(tmp_path), None, "train").classes == ("dog", "owl", "cat")
    (tmp_path / "classes.txt").write_text("dog\n")
    assert open_set(str(tmp_path), None, "train").classes == CLASSES


def test_folders_of_nothing_are_one_line(tmp_path):
    (tmp_path / "a" / "b").mkdir(parents=True)
    (tmp_path / "a" / "notes.json").write_text("{}")
    with pytest.raises(UserError, match="neither of VOC"):
        open_set(str(tmp_path), None, "train")


@pytest.mark.parametrize("name, told", (("train.rec", "RecordIO, LST and CSV are not read"), ("a/train.lst", "RecordIO"),
                                        ("boxes.csv", "CSV are not read: write VOC's XML or COCO's JSON"),
                                        ("via_region_data.json", "no boxes of COCO's or LabelMe's .VIA's: export it as COCO's"),
                                        ("annotations/via_train.json", "no 'images'; .*of VIA's JSON: export it as COCO's")))
def test_annotations_that_nobody_reads_are_told_what_to_become(tmp_path, name, told):
    """The remedy was to point at the folder that holds the annotations, which it was."""
    layout_files.put_image(str(tmp_path / "images"), "a")
    layout_files.put(str(tmp_path / name), '{"a.jpg1234": {"filename": "a.jpg", "regions": []}}')
    with pytest.raises(UserError, match=told):
        open_set(str(tmp_path), None, "train")


@pytest.mark.parametrize("images, maps", (("images", "masks"), ("images/train", "labels/train"), ("train/images", "train/masks"),
                                          ("JPEGImages", "SegmentationClass"), ("leftImg8bit/train/bonn", "gtFine/train/bonn")))
def test_a_folder_of_label_maps_is_told_what_it_is_for(tmp_path, images, maps):
    """The remedy was to point at the folder that holds the annotations, which there was none of."""
    layout_files.put_image(str(tmp_path / images), "a")
    layout_files.put_image(str(tmp_path / maps), "a", ".png")
    layout_files.put(str(tmp_path / "classes.txt"), "background\ncat\n")
    with pytest.raises(UserError, match=f"no boxes; {maps} seem to be label maps; those are for gluon-bof train segmentation"):
        open_set(str(tmp_path), None, "train")


@pytest.mark.skipif(not CARDS.is_dir(), reason="the cards do not lie beside the checkout")
def test_photographs_of_cards_as_their_author_left_them():
    train, val = (open_set(str(CARDS), None, role) for role in ("train", "val"))
    assert len(train) == 296 and len(val) == 67
    assert sum(len(record.boxes) for found in (train, val) for record in found.records) == 670
    assert train.classes == val.classes == ("ace", "jack", "king", "nine", "queen", "ten")


def test_training_and_evaluation_are_told_the_layout_and_the_share(tmp_path):
    for write in ("labelimg_in_one_folder", "cvat_coco"):
        getattr(layout_files, write)(str(tmp_path / "set"))
    options = Yolo3Options(dataset=str(tmp_path / "set"), layout="yolo", val_share=0.5)
    options.check()
    os.mkdir(tmp_path / "run")
    run = Run(str(tmp_path / "run"))
    training, validation = open_sets(options, run)
    run.close()
    assert_is_the_set(validation, SHARE)
    assert_is_the_set(validation_set(options), SHARE)
    assert stems(training) == list("abcd")
    with pytest.raises(UserError, match="--layout coco or --layout yolo"):
        validation_set(Yolo3Options(dataset=str(tmp_path / "set")))
