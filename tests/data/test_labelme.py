"""LabelMe's JSON: shapes as boxes, and what is wrong in one line."""
import json
import os

import pytest

from gluon_bof.data.sets import open_set
from gluon_bof.errors import UserError
from tests.data import layout_files


@pytest.fixture
def place(tmp_path):
    layout_files.labelme_beside(str(tmp_path))
    return tmp_path


def change(place, **changes):
    path = place / "train" / "b.json"
    content = json.loads(path.read_text())
    content["shapes"][0].update(changes)
    path.write_text(json.dumps(content))


def opened(place, role="train", **how):
    return open_set(str(place), None, role, **how)


@pytest.mark.parametrize("kind, points, box", [
    ("rectangle", [[30, 40], [10, 20]], [10, 20, 30, 40]), ("polygon", [[5, 6], [20, 1], [9, 30]], [5, 1, 20, 30]),
    ("circle", [[50, 40], [53, 44]], [45, 35, 55, 45]), ("rectangle", [[1, 2], [9, 2], [9, 8], [1, 8]], [1, 2, 9, 8])])
def test_shapes_are_boxes(place, kind, points, box):
    change(place, shape_type=kind, points=points)
    assert opened(place).records[1].boxes.tolist() == [box]


def test_shapes_of_one_label_and_group_are_one_object(place):
    """They were several, though labelme's own converters unite them."""
    path = place / "train" / "b.json"
    corners = ([10, 20], [30, 40]), ([50, 10], [60, 30]), ([1, 1], [5, 5]), ([2, 2], [8, 8]), ([3, 3], [9, 9])
    groups = ("cat", 0), ("cat", 0), ("dog", 0), ("cat", None), ("cat", "")
    shapes = [{"label": label, "group_id": group, "points": points, "shape_type": "rectangle", "difficult": number == 1}
              for number, (points, (label, group)) in enumerate(zip(corners, groups))]
    path.write_text(json.dumps({**json.loads(path.read_text()), "shapes": shapes}))
    record = opened(place).records[1]
    assert record.boxes.tolist() == [[10, 10, 60, 40], [1, 1, 5, 5], [2, 2, 8, 8], [3, 3, 9, 9]]
    assert record.classes.tolist() == [0, 1, 0, 0] and record.difficult.tolist() == [True, False, False, False]


@pytest.mark.parametrize("changes, part", [
    ({"points": [[1, "a"], [2, 3]]}, "shape 1 has points that are not pairs of numbers"), ({"points": None}, "not pairs"),
    ({"points": [[1, 2, 3], [2, 3, 4]]}, "not pairs"), ({"points": ["12", "34"]}, "not pairs"),
    ({"points": [{"0": 30, "1": 40}, [10, 20]]}, "not pairs"), ({"points": [[1, 2]]}, "rectangle of 1 points"),
    ({"shape_type": "point"}, "a point of 2 points"), ({"shape_type": ["polygon"]}, "shape 1 is a .'polygon'. of 2 points"),
    ({"label": ""}, "has no label"), ({"label": 3}, "has no label"),
    ({"points": [[1, 2], [1, 9]]}, "no area"), ({"points": [[150, 2], [190, 9]]}, "outside")])
def test_a_bad_shape_is_one_line_and_is_left_out_on_request(place, changes, part):
    change(place, **changes)
    with pytest.raises(UserError, match=part) as caught:
        opened(place)
    assert "b.json" in str(caught.value) and len(str(caught.value).splitlines()) == 1
    assert len(opened(place, on_bad_sample="skip").faults) == 1


@pytest.mark.parametrize("text, part", [("{", "not valid JSON"), ("[]", "holds a JSON list"), ('{"shapes": 3}', "not a list")])
def test_a_bad_file_is_one_line(place, text, part):
    (place / "train" / "b.json").write_text(text)
    with pytest.raises(UserError, match=part) as caught:
        opened(place)
    assert "b.json" in str(caught.value) and len(str(caught.value).splitlines()) == 1


def test_a_missing_image_and_a_wrong_size_are_faults(place):
    (place / "train" / "b.jpg").unlink()
    with pytest.raises(UserError, match="b.json: missing image"):
        opened(place)
    content = json.loads((place / "train" / "a.json").read_text())
    (place / "train" / "a.json").write_text(json.dumps({**content, "imageWidth": 7}))
    with pytest.raises(UserError, match="missing image|wrong size"):
        opened(place)
    assert sorted(fault.kind for fault in opened(place, on_bad_sample="skip").faults) == ["missing image", "wrong size"]


@pytest.mark.parametrize("write", (layout_files.labelme_beside, layout_files.labelme_annotations))
def test_the_sets_own_image_is_read_and_not_the_one_that_it_was_copied_from(tmp_path, write):
    """An imagePath that led to the originals brought their pixels back, of a copy that had been made smaller or anonymous."""
    write(str(tmp_path / "set"))
    layout_files.put_image(str(tmp_path / "originals"), "b")
    path, = (tmp_path / "set").rglob("b.json")
    for original in (os.path.relpath(tmp_path / "originals" / "b.jpg", path.parent), str(tmp_path / "originals" / "b.jpg")):
        path.write_text(json.dumps({**json.loads(path.read_text()), "imagePath": original}))
        own = next(record.path for record in opened(tmp_path / "set").records if record.image_id == "b")
        assert own.startswith(str(tmp_path / "set"))
    os.remove(own)
    assert opened(tmp_path / "set").records[1].path == str(tmp_path / "originals" / "b.jpg")


@pytest.mark.parametrize("write", (layout_files.labelme_beside, layout_files.labelme_one_folder_of_json))
def test_an_absolute_image_path_names_the_sets_own_image_by_whatever_path_the_set_is_opened(tmp_path, monkeypatch, write):
    """Of two images of one name, a relative path or a link read the other, and counted the named one as without a file."""
    write(str(tmp_path / "set"))
    for image in list((tmp_path / "set").rglob("*.jpg")):
        layout_files.put_image(str(image.parent), image.stem, ".png")
        path, = (tmp_path / "set").rglob(f"{image.stem}.json")
        path.write_text(json.dumps({**json.loads(path.read_text()), "imagePath": str(image.with_suffix(".png"))}))
    (tmp_path / "link").symlink_to("set")
    monkeypatch.chdir(tmp_path)
    for root in (tmp_path / "set", "set", "link"):
        found = opened(root)
        assert [record.path for record in found.records] == [
            os.path.splitext(path)[0] + ".png" for path in sorted(found.unannotated)] and len(found) == 4


def test_images_without_a_file_are_counted_or_negatives(place):
    layout_files.put_image(str(place / "train"), "z")
    assert len(opened(place)) == 4 and len(opened(place).unannotated) == 1
    assert len(opened(place, unannotated="negative").records[4].boxes) == 0


def test_a_difficult_object_is_marked(place):
    change(place, flags={"difficult": True})
    assert [record.difficult.tolist() for record in opened(place).records] == [[False, False], [True], [], [False]]


def test_a_file_of_another_program_is_no_annotation(place):
    (place / "train" / "settings.json").write_text('{"colour": 1}')
    assert len(opened(place)) == 4


def test_a_missing_part_is_one_line(place):
    with pytest.raises(UserError, match="no split gone .found: train, val."):
        opened(place, split="gone")


def test_two_names_of_one_folder_are_one_part(place):
    """Each of its images trained twice."""
    (place / "val").rename(place / "valid")
    found = opened(place, split="valid,val,train")
    assert layout_files.stems(found) == list("efabcd") and not found.remarks
