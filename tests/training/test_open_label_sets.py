"""What training says of its sets of label maps, and how several processes tell that they have the same."""
import json

import pytest

from gluon_bof.data.label_sets import SegmentationSet, open_segmentation
from gluon_bof.data.segmentation import label_mark, read_labels
from gluon_bof.errors import UserError
from gluon_bof.options.segmentation import SegmentationOptions
from gluon_bof.runs.folder import Run
from gluon_bof.training.segmentation import open_label_sets
from tests.data.test_label_sets import outlined, write_own
from tests.tiny_masks import write_mask_set, write_voc_masks


@pytest.mark.parametrize("splits, told", (({}, ""), ({"train_split": "trainval", "val_split": "val"}, "2 of the 2 images"),
                                          ({"train_split": "val", "val_split": "val"}, "2 of the 2 images")))
def test_images_that_validate_and_are_trained_on_are_told_of(splits, told, tmp_path, caplog):
    write_voc_masks(tmp_path / "set", {"train": 3, "val": 2})
    run = Run(str(tmp_path / "run"))
    sets = open_label_sets(SegmentationOptions(dataset="pascal_voc", dataset_root=str(tmp_path / "set"), **splits), run)
    run.close()
    assert len(sets[1]) == 2 and ("trained on too" in caplog.text) is bool(told) and told in caplog.text


def test_what_validates_is_numbered_as_what_trains_and_may_lack_a_category(tmp_path):
    write_own(tmp_path / "set", {2: "cat", 3: "dog"})
    path = tmp_path / "set" / "valid" / "_annotations.coco.json"
    content = json.loads(path.read_text())
    content["categories"] = [{"id": 3, "name": "dog"}]
    content["annotations"] = [entry for entry in content["annotations"] if entry["category_id"] == 3]
    path.write_text(json.dumps(content))
    run = Run(str(tmp_path / "run"))
    train, val = open_label_sets(SegmentationOptions(dataset=str(tmp_path / "set")), run)
    run.close()
    assert train.classes == val.classes == ("background", "cat", "dog")
    assert set(read_labels(val.samples[0], 3).ravel()) == {0, 2}


def test_a_single_class_is_refused_which_every_pixel_is_of(tmp_path):
    """Its mean IoU was 1, without a word."""
    write_mask_set(tmp_path / "set", 1, 1)
    (tmp_path / "set" / "classes.txt").write_text("cat\n")
    run = Run(str(tmp_path / "run"))
    with pytest.raises(UserError, match="set: there is one class, cat, .*; name the others as well, the background first"):
        open_label_sets(SegmentationOptions(dataset=str(tmp_path / "set"), on_bad_sample="skip"), run)
    run.close()


def test_skipped_faults_of_both_parts_are_counted(tmp_path, caplog):
    write_mask_set(tmp_path / "set", 3, 2)
    for part in ("train", "val"):
        (tmp_path / "set" / part / "masks" / f"{part}01.png").unlink()
    run = Run(str(tmp_path / "run"))
    with caplog.at_level("INFO"):
        sets = open_label_sets(SegmentationOptions(dataset=str(tmp_path / "set"), on_bad_sample="skip"), run)
    run.close()
    assert [len(found) for found in sets] == [2, 1] and caplog.text.count("1 faults skipped") == 2


def test_other_outlines_of_the_same_images_are_another_set(tmp_path):
    marks = []
    for folder, boxes in (("a", (4, 4, 20, 20)), ("b", (4, 4, 20, 21)), ("c", (4, 4, 20, 20))):
        write_own(tmp_path / folder, {2: "cat", 3: "dog"}, [outlined(1, 2, boxes), outlined(2, 3, (1, 1, 9, 9))])
        marks.append(label_mark(open_segmentation(str(tmp_path / folder), None, "train")))
    assert marks[0] == marks[2] != marks[1]


def test_a_run_does_not_go_on_with_other_images(tmp_path):
    """As many are no sign that they are the same."""
    write_mask_set(tmp_path / "set", 3, 1)
    options = SegmentationOptions(dataset=str(tmp_path / "set"))
    run = Run(str(tmp_path / "run"))
    open_label_sets(options, run)
    run.origin = run.checkpoint(1)
    open_label_sets(options, run)
    for kind, ending in (("images", "jpg"), ("masks", "png")):
        (tmp_path / "set" / "train" / kind / f"train00.{ending}").rename(tmp_path / "set" / "train" / kind / f"other.{ending}")
    with pytest.raises(UserError, match="the training set is not the one that the run was trained on"):
        open_label_sets(options, run)
    run.close()


def test_other_classes_images_or_another_order_are_another_set(tmp_path):
    write_mask_set(tmp_path, 3, 1)
    found = open_segmentation(str(tmp_path), None, "train")
    others = [SegmentationSet(found.name, classes, samples) for classes, samples in (
        (("a", "b", "c"), found.samples), (found.classes, found.samples[::-1]), (found.classes, found.samples[:2]))]
    marks = {label_mark(other) for other in (found, *others)}
    assert len(marks) == 4 and label_mark(found) in marks
