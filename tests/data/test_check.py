"""python -m gluon_bof check: what is in a set, and every fault."""
import json
import os

import cv2
import numpy as np
import pytest

from gluon_bof.commands.check import main
from gluon_bof.data.check import check_set, format_report
from tests.command_lines import refused
from tests.data import coco_files, voc_files
from tests.tiny_sets import BCCD


def write_faulty(root):
    """A VOC set with one fault of each of five kinds, a negative, a pair of equal images."""
    xml, dog = voc_files.xml, voc_files.DOG
    annotations = {"a": xml(dog, ("cat", 5, 5, 5, 9)), "b": xml(), "c": xml(("cat", 2, 2, 99, 79, 1)), "d": xml(dog),
                   "e": xml(dog, size=(3, 3)), "f": "<annotation>", "g": xml(("dog", 50, 5, 200, 60)), "h": xml(dog)}
    voc_files.write_set(root, annotations, {"trainval": "abcdef", "test": "gh"})
    for name in "acdeg":
        path = root / "JPEGImages" / f"{name}.jpg"
        path.write_bytes(noise_jpeg(ord(name)))
    half = (root / "JPEGImages" / "d.jpg").read_bytes()
    (root / "JPEGImages" / "d.jpg").write_bytes(half[:-100])
    return root


def noise_jpeg(seed):
    """A JPEG unlike that of any other seed."""
    noise = np.random.default_rng(seed).integers(0, 256, (voc_files.HEIGHT, voc_files.WIDTH, 3)).astype(np.uint8)
    return cv2.imencode(".jpg", noise)[1].tobytes()


def test_every_fault_is_found(tmp_path):
    report = check_set("voc", str(write_faulty(tmp_path)), progress=False)
    assert sorted(fault.kind for fault in report.faults) == [
        "broken image", "malformed annotation", "no area", "outside", "wrong size"]
    assert report.images == {"train": 5, "val": 2} and report.boxes_per_class == {"cat": 1, "dog": 4}
    assert report.sizes == {"small": 0, "medium": 5, "large": 0}
    assert report.negatives == 2 and report.difficult == 1  # b has no object, and g lost its only one
    assert [sorted(path[-5:] for path in group) for group in report.duplicates] == [["b.jpg", "h.jpg"]]
    text = format_report(report)
    assert all(part in text for part in ("d.jpg", "f.xml", "e.xml", "3 x 3", "cat", "100 x 80", "faults: 5"))


@pytest.mark.skipif(not os.path.exists("/dev/full"), reason="no device that is always full")
def test_progress_that_cannot_be_written_ends_no_check(tmp_path):
    kept = os.dup(2)
    try:
        with open("/dev/full", "w") as full:
            os.dup2(full.fileno(), 2)
        assert len(check_set("voc", str(write_faulty(tmp_path)), progress=True).faults) == 5
    finally:
        os.dup2(kept, 2)
        os.close(kept)


def test_the_command_ends_with_one_json_object(tmp_path, capsys):
    assert main(["voc", "--dataset-root", str(write_faulty(tmp_path / "bad"))]) == 1
    said = capsys.readouterr()
    summary = json.loads(said.out.strip().splitlines()[-1])
    assert summary["faults"] == 5 and summary["boxes"] == 5 and "malformed annotation" in said.err
    assert (summary["duplicates"], summary["most_boxes_in_an_image"]) == (1, 1)  # b and h are one image
    voc_files.write_set(tmp_path / "good", voc_files.FIVE, {"trainval": "abc", "test": "de"})
    assert main([str(tmp_path / "good")]) == 0
    assert "no faults" in capsys.readouterr().err
    assert main([str(tmp_path / "good"), "--split", "test"]) == 0
    assert json.loads(capsys.readouterr().out)["images"] == {"test": 2}


def test_coco_is_decoded_and_its_sizes_are_checked(tmp_path):
    coco_files.write_set(tmp_path, coco_files.changed("images", 0, width=90))
    coco_files.write_set(tmp_path, role="val")
    report = check_set("coco", str(tmp_path), progress=False)
    assert [fault.kind for fault in report.faults] == ["wrong size"] and report.crowd == 2
    assert report.sizes == {"small": 2, "medium": 4, "large": 0}


def test_images_of_a_class_sizes_of_boxes_and_of_images_are_counted(tmp_path):
    boxes = [(2, 32, 32), (2, 96, 96), (2, 97, 96), (5, 32, 33)]
    annotations = [{"id": number, "image_id": 7, "category_id": label, "bbox": [0, 0, *sides]}
                   for number, (label, *sides) in enumerate(boxes)]
    sizes = {"b.jpg": (120, 100), "a.jpg": (90, 20), "c.jpg": (20, 95)}
    images = [{"id": number, "file_name": name, "width": width, "height": height}
              for number, (name, (width, height)) in zip((7, 3, 9), sizes.items())]
    coco_files.write_set(tmp_path, coco_files.content(annotations=annotations, images=images))
    for name, (width, height) in sizes.items():
        cv2.imwrite(str(tmp_path / "train2017" / name), np.zeros((height, width, 3), np.uint8))
    report = check_set("coco", str(tmp_path), split="train2017", progress=False)
    assert report.faults == [] and report.boxes_per_image == [0, 4, 0]
    assert report.boxes_per_class == {"Zebra": 3, "dog": 1} and report.images_per_class == {"Zebra": 1, "dog": 1}
    assert report.sizes == {"small": 1, "medium": 2, "large": 1}  # up to 32 x 32, up to 96 x 96, larger
    assert (report.smallest_image, report.largest_image) == ((90, 20), (120, 100))


@pytest.mark.parametrize("ending", (".png", ".tif"))
def test_12_bit_pixels_in_16_bits_are_told(tmp_path, ending):
    """They were read as nearly black, and no word said so. Dark pixels of 8 bits and bright ones of 16 are as they should be."""
    voc_files.write_set(tmp_path, voc_files.FIVE, {"trainval": "abc", "test": "de"}, ending)
    ramp = np.tile(np.linspace(0, 4095, voc_files.WIDTH), (voc_files.HEIGHT, 1))
    for name, image in (("a", ramp.astype(np.uint16)), ("b", (ramp * 16).astype(np.uint16)), ("c", (ramp / 300).astype(np.uint8)),
                        ("d", np.dstack([ramp.astype(np.uint16)] * 3))):
        cv2.imwrite(str(tmp_path / "JPEGImages" / f"{name}{ending}"), image)
    report = check_set(str(tmp_path), progress=False)
    assert report.faults == []
    assert [note[:53] for note in report.notes if "16 bits" in note] == ["2 images of 16 bits seem to have pixels of 12 bits or"]


def test_annotated_images_that_no_list_holds_went_unsaid(tmp_path):
    voc_files.write_set(tmp_path, voc_files.FIVE, {"train": "a", "val": "b"})

    def told(**how):
        report = check_set(str(tmp_path), progress=False, **how)
        assert not [fault.kind for fault in report.faults if fault.kind != "unreadable part"]
        return [note for note in report.notes if "list" in note]
    assert [note.split(", such as ") for note in told()] == [
        ["3 images with annotations were left out, which are in no list of ImageSets/ or its Main/",
         str(tmp_path / "Annotations" / "c.xml")]]
    assert told(split="val") == told()
    voc_files.write_set(tmp_path, {}, {"dog_val": ["c -1", "d 1"], "later": "c"})
    assert told() == [told()[0].replace("3 images", "1 images").replace("c.xml", "e.xml")]  # others may be named with --split
    for name in ("train", "val", "dog_val"):
        (tmp_path / "ImageSets" / "Main" / f"{name}.txt").unlink()
    assert told(val_share=0.5) == [] and len(told(split="later")) == 1
    (tmp_path / "ImageSets" / "Main" / "later.txt").unlink()
    assert told() == []


def test_a_missing_part_is_a_fault(tmp_path):
    voc_files.write_set(tmp_path, voc_files.FIVE, {"train": "abc"})
    report = check_set(str(tmp_path), progress=False)
    assert [fault.kind for fault in report.faults] == ["unreadable part"] and report.images == {"train": 3}


@pytest.mark.parametrize("arguments, part", [(["imagenet"], "imagenet"), ([], "DATASET"),
                                             (["voc", "--colour"], "--colour"),
                                             (["voc", "--dataset-root", "gone"], "gone"),
                                             (["voc", "--classes", "a,a"], "twice")])
def test_refusals_are_one_line_and_status_2(capsys, arguments, part):
    assert part.lower() in refused(main, capsys, *arguments).lower()


@pytest.mark.skipif(not BCCD.is_dir(), reason="the BCCD set does not lie beside the checkout")
def test_bccd():
    report = check_set("voc", str(BCCD), progress=False)
    assert report.images == {"train": 292, "val": 72} and report.boxes == 4888 - 2
    assert report.boxes_per_class == {"Platelets": 361, "RBC": 4153, "WBC": 372}
    assert sorted(fault.path[-20:] for fault in report.faults) == ["BloodImage_00338.xml", "BloodImage_00343.xml"]
