"""What the mini-batch study trains and validates on."""
from gluon_bof.options.minibatch import MinibatchOptions
from gluon_bof.studies.minibatch.tasks import open_task
from tests.data.coco_files import content, write_set


def test_right_detections_count_as_right_where_the_validation_json_numbers_its_categories_in_another_way(tmp_path):
    write_set(tmp_path)  # Zebra is 2, and dog is 5
    write_set(tmp_path, content(categories=[{"id": 2, "name": "dog"}, {"id": 5, "name": "Zebra"}]), "val")
    task = open_task(MinibatchOptions(dataset=str(tmp_path), network="yolo3_darknet-mini", data_shape=32, num_workers=0))
    validated = {record.image_id: [task.classes[number] for number in record.classes]
                 for record in task._validation.set.records}
    assert validated == {7: ["Zebra", "dog"], 3: ["dog"], 9: []}  # as the validation's own JSON names them
    assert task._validation.set.classes == task.classes == ("Zebra", "dog")
