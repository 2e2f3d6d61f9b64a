"""What the mini-batch study trains and validates on."""
import numpy as np
import pytest

from gluon_bof.errors import UserError
from gluon_bof.options.minibatch import MinibatchOptions
from gluon_bof.studies.minibatch.tasks import _cropped_and_flipped, open_task
from tests.data.coco_files import content, write_set
from tests.tiny_sets import write_class_folders


def test_right_detections_count_as_right_where_the_validation_json_numbers_its_categories_in_another_way(tmp_path):
    write_set(tmp_path)  # Zebra is 2, and dog is 5
    write_set(tmp_path, content(categories=[{"id": 2, "name": "dog"}, {"id": 5, "name": "Zebra"}]), "val")
    task = open_task(MinibatchOptions(dataset=str(tmp_path), network="yolo3_darknet-mini", data_shape=32, num_workers=0))
    validated = {record.image_id: [task.classes[number] for number in record.classes]
                 for record in task._validation.set.records}
    assert validated == {7: ["Zebra", "dog"], 3: ["dog"], 9: []}  # as the validation's own JSON names them
    assert task._validation.set.classes == task.classes == ("Zebra", "dog")


def test_crops_are_all_of_an_image_in_four_black_pixels_flipped_or_not():
    image, rng = np.random.default_rng(0).integers(1, 256, (6, 9, 3), dtype=np.uint8), np.random.default_rng(1)
    padded = np.pad(image, ((4, 4), (4, 4), (0, 0)))
    windows = [padded[top:top + 6, left:left + 9] for top in range(9) for left in range(9)]
    wanted = {view.tobytes() for window in windows for view in (window, window[:, ::-1])}
    assert {_cropped_and_flipped(rng, image).tobytes() for _ in range(3000)} == wanted


def test_a_broken_image_is_left_out_or_answered_without_a_flag_that_the_study_has_not(tmp_path, caplog):
    write_set(tmp_path)
    write_set(tmp_path, role="val")
    broken, cut = sorted(tmp_path.rglob("*.jpg"))[:2]
    cut.write_bytes(cut.read_bytes()[:-20])
    options = MinibatchOptions(dataset=str(tmp_path), network="yolo3_darknet-mini", data_shape=32, num_workers=0)
    task = open_task(options)
    with pytest.raises(UserError, match="the image is cut short; replace it, or leave it out") as refusal:
        list(task.shown())
    assert refusal.value.path == str(cut)
    broken.write_bytes(b"no image")
    assert len(open_task(options)) == len(task) - 1 and f"skipped: {broken}" in caplog.text


@pytest.mark.parametrize("count, told", [(6, "--num-images: the first images of the set show no dark"), (16, ""), (0, "")])
def test_classes_that_the_first_images_do_not_show_are_named(tmp_path, caplog, count, told):
    write_class_folders(tmp_path / "set", np.random.default_rng(0))  # twelve bright ones, then twelve dark ones
    open_task(MinibatchOptions(dataset=str(tmp_path / "set"), network="dpn-mini", data_shape=16, num_images=count, num_workers=0))
    assert caplog.messages == [told][:bool(told)]


def test_a_class_that_no_box_trains_is_named(tmp_path, caplog):
    write_set(tmp_path, content(categories=[*content()["categories"], {"id": 99, "name": "yak"}]))
    write_set(tmp_path, content(categories=[*content()["categories"], {"id": 99, "name": "yak"}]), "val")
    open_task(MinibatchOptions(dataset=str(tmp_path), network="yolo3_darknet-mini", data_shape=32, num_workers=0))
    assert "no box of the class yak trains or validates" in caplog.text
