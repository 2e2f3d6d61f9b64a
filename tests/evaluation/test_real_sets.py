"""The shipped detector's score on a small set does not hang on what has nothing to do with its boxes: how images are stored,
ids, areas, flags as text."""
import functools
import itertools
import json

import pytest

from gluon_bof import evaluate
from gluon_bof.data.coco import load_coco
from gluon_bof.data.images import read_image
from gluon_bof.data.shapes import CLASSES, draw_image
from gluon_bof.evaluation.score import score
from tests.data.image_files import write_image


@functools.lru_cache(maxsize=None)
def drawn():
    """Six (image, objects) of the embedded set's kind, none of them square."""
    found = (draw_image(1, number) for number in itertools.count())
    return list(itertools.islice((one for one in found if one[0].shape[0] != one[0].shape[1]), 6))


@pytest.fixture(scope="module")
def detector():
    from gluon_bof.inference.model import load
    return load("shapes", device="cpu").detector


def write_set(root, orientation=1, change=lambda content: None):
    """A validation part of `drawn` images, stored by an orientation."""
    content = {"images": [], "annotations": [], "categories": [{"id": number + 1, "name": name}
                                                               for number, name in enumerate(CLASSES)]}
    (root / "annotations").mkdir(parents=True)
    (root / "images").mkdir()
    for image, objects in drawn():
        image_id = len(content["images"]) + 1
        write_image(root / "images" / f"{image_id}.png", orientation, image)
        content["images"].append({"id": image_id, "file_name": f"{image_id}.png", "width": image.shape[1],
                                  "height": image.shape[0]})
        for name, (left, top, right, bottom), _ in objects:
            bbox = [int(side) for side in (left, top, right - left, bottom - top)]
            content["annotations"].append({"id": len(content["annotations"]) + 1, "image_id": image_id, "bbox": bbox,
                                           "category_id": CLASSES.index(name) + 1, "area": bbox[2] * bbox[3], "iscrowd": 0})
    change(content)
    (root / "annotations" / "val.json").write_text(json.dumps(content))
    return str(root)


def scores(detector, folder):
    """(VOC07, COCO's AP and AP of large boxes) as `evaluate --on-bad-sample skip` has them."""
    found_set = load_coco(folder, "val", on_bad_sample="skip")
    found = detector.detect([read_image(record.path, record.orientation) for record in found_set.records])
    of_coco = score(found, found_set, "coco")
    return score(found, found_set, "voc07")["map"], of_coco["map"], of_coco["coco"]["APm"]


@pytest.fixture(scope="module")
def right(detector, tmp_path_factory):
    found = scores(detector, write_set(tmp_path_factory.mktemp("right") / "set"))
    assert 0.5 < found[0] < 1 and 0.3 < found[1] < 1, "a poor case to test with"
    return found


def repeat_ids(content):
    for entry in content["annotations"]:
        entry["id"] = 1


def no_areas(content):
    for entry, area in zip(content["annotations"], [0, -1, None, "", float("nan")] * 20):
        entry["area"] = area


def flags_as_text(content):
    for entry in content["annotations"]:
        entry.update(iscrowd="0", ignore="false")


def float_ids(content):
    for entry in content["images"] + content["categories"]:
        entry["id"] = float(entry["id"])
    for entry in content["annotations"]:
        entry["image_id"] = float(entry["image_id"])


@pytest.mark.parametrize("orientation, change", [(6, None), (8, None), (3, None), (1, repeat_ids), (1, no_areas),
                                                 (1, flags_as_text), (1, float_ids)])
def test_nothing_of_it_moves_the_score(detector, right, tmp_path, orientation, change):
    folder = write_set(tmp_path / "set", orientation, change or (lambda content: None))
    assert scores(detector, folder) == pytest.approx(right, abs=1e-12)


def test_images_of_one_id_count_for_nothing(detector, right, tmp_path):
    def repeated(content):
        content["images"][1]["id"] = 1
        for entry in content["annotations"]:
            entry["image_id"] = 1 if entry["image_id"] == 2 else entry["image_id"]

    def taken_out(content):
        content["images"] = content["images"][2:]
        content["annotations"] = [entry for entry in content["annotations"] if entry["image_id"] > 2]

    found = scores(detector, write_set(tmp_path / "repeated", 1, repeated))
    assert found == scores(detector, write_set(tmp_path / "without", 1, taken_out)) and found != pytest.approx(right, abs=1e-6)


def test_evaluation_names_what_it_left_out_and_what_is_odd(tmp_path, caplog):
    def change(content):
        content["images"][1]["id"] = content["images"][0]["id"]
        content["annotations"].append(dict(content["annotations"][-1]))

    evaluate("shapes", dataset=write_set(tmp_path / "set", change=change), on_bad_sample="skip", num_workers=0)
    assert "skipped: " in caplog.text and "2 images have the id 1, so that none of them can be used: 1.png, 2.png" in caplog.text
    assert "duplicate box: " in caplog.text
