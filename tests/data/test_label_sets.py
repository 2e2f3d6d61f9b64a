"""Sets of label maps that have formats of their own: COCO's instances, ADE20K and Cityscapes, beside GluonCV's readers."""
import json

import numpy as np
import pytest
from PIL import Image
from pycocotools import mask as coding

from gluon_bof.data.label_sets import CITYSCAPES, COCO_AS_VOC, ade20k_classes, open_segmentation
from gluon_bof.data.segmentation import FittedImages, look_over, read_labels, read_pair
from gluon_bof.data.sets import open_set
from gluon_bof.data.voc import VOC_CLASSES
from gluon_bof.errors import UserError
from gluon_bof.evaluation.segmentation import validation_maps
from gluon_bof.freebies.augmentation import as_it_is
from gluon_bof.masks import NOBODY
from gluon_bof.options.segmentation import SegmentationOptions
from tests.data import voc_files
from tests.tiny_masks import write_voc_masks

from gluoncv.data import ADE20KSegmentation, CitySegmentation, COCOSegmentation

WIDTH, HEIGHT = 64, 48
COCO_IDS = (5, 2, 16, 9, 44, 6, 3, 17, 62, 21, 67, 18, 19, 4, 1, 64, 20, 63, 7, 72)  # of COCO_AS_VOC's categories
OTHER_ID, OTHER = 13, "stop sign"


def write_image(path, seed=0):
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(np.random.default_rng(seed).integers(0, 255, (HEIGHT, WIDTH, 3)).astype(np.uint8)).save(path)


def write_map(path, labels):
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(np.asarray(labels, np.uint8)).save(path)


def rectangle(left, top, width, height):
    return [left, top, left + width, top, left + width, top + height, left, top + height]


def outlined(image_id, category_id, *boxes):
    """An annotation whose object is the union of rectangles (left, top, width, height)."""
    left, top = (min(box[place] for box in boxes) for place in (0, 1))
    right, bottom = (max(box[place] + box[place + 2] for box in boxes) for place in (0, 1))
    return {"image_id": image_id, "category_id": category_id, "bbox": [left, top, right - left, bottom - top], "iscrowd": 0,
            "segmentation": [rectangle(*box) for box in boxes], "area": 1}


def crowd(image_id, category_id, dense):
    coded = coding.encode(np.asfortranarray(dense.astype(np.uint8)))
    counts, value = [], 0
    for pixel in dense.T.ravel().astype(int):
        if pixel != value:
            counts.append(0)
            value = pixel
        counts = counts or [0]
        counts[-1] += 1
    counts = counts if not dense.T.ravel()[0] else [0, *counts]
    return {"image_id": image_id, "category_id": category_id, "bbox": coding.toBbox(coded).tolist(), "iscrowd": 1,
            "segmentation": {"size": list(dense.shape), "counts": counts}, "area": 1}


def write_coco(path, images, annotations, categories):
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps({
        "images": [{"id": number, "file_name": name, "width": WIDTH, "height": HEIGHT} for number, name in images.items()],
        "annotations": [dict(entry, id=number) for number, entry in enumerate(annotations, 1)],
        "categories": [{"id": number, "name": name} for number, name in categories.items()]}))


def write_coco_2017(root):
    """Objects that overlap, one of two parts, a crowd, one of no class of VOC's, an image with too little of them."""
    far = np.zeros((HEIGHT, WIDTH), bool)
    far[30:, 40:] = True
    annotations = [outlined(1, 17, (2, 2, 40, 20)), outlined(1, OTHER_ID, (0, 0, 60, 30)), outlined(1, 1, (20, 10, 40, 30)),
                   outlined(2, 72, (3, 4, 10, 10), (30, 5, 30, 40)), crowd(2, 1, far), outlined(3, 1, (5, 5, 30, 30)),
                   outlined(4, OTHER_ID, (0, 0, 60, 40))]
    for part in ("train", "val"):
        for number in range(1, 5):
            write_image(root / f"{part}2017" / f"{number}.jpg", number)
        write_coco(root / "annotations" / f"instances_{part}2017.json", {number: f"{number}.jpg" for number in range(1, 5)},
                   annotations, {**dict(zip(COCO_IDS, COCO_AS_VOC)), OTHER_ID: OTHER})


@pytest.mark.parametrize("role", ("train", "val"))
def test_cocos_maps_and_the_images_that_take_part_are_gluoncvs(role, tmp_path):
    write_coco_2017(tmp_path)
    found = open_segmentation("coco", str(tmp_path), role)
    theirs = COCOSegmentation(str(tmp_path), split=role, mode="testval")
    assert found.classes == ("background", *VOC_CLASSES)
    assert [int(sample.image_id) for sample in found.samples] == theirs.ids
    assert [sample.path for sample in open_segmentation("coco", str(tmp_path), role, None, role).samples] == \
        [sample.path for sample in found.samples], "--train-split is train where it is not given"
    assert len(found) == 2, "the image with 900 pixels, or that of a stop sign, takes part"
    for sample, (image, labels) in zip(found.samples, theirs):
        ours_image, ours = read_pair(sample, 21)
        np.testing.assert_array_equal(ours, labels.asnumpy())
        assert len(np.unique(ours)) > 2 and np.abs(ours_image.astype(int) - image.asnumpy()).max() <= 2
        assert FittedImages([sample], as_it_is)[0][0].shape == ours_image.shape
    assert [COCOSegmentation.CAT_LIST[number + 1] for number in range(20)] == list(COCO_IDS)


def test_images_of_a_thousand_and_one_pixels_and_more_take_part_as_gluoncvs(tmp_path):
    annotations = []
    for number, pixels in ((1, 1000), (2, 1001), (3, 1100)):
        write_image(tmp_path / "val2017" / f"{number}.jpg", number)
        annotations.append(crowd(number, 1, np.arange(HEIGHT * WIDTH).reshape(HEIGHT, WIDTH) < pixels))
    write_coco(tmp_path / "annotations" / "instances_val2017.json", {number: f"{number}.jpg" for number in (1, 2, 3)},
               annotations, dict(zip(COCO_IDS, COCO_AS_VOC)))
    found, theirs = open_segmentation("coco", str(tmp_path), "val"), COCOSegmentation(str(tmp_path), split="val", mode="testval")
    assert [int(sample.image_id) for sample in found.samples] == theirs.ids == [2, 3]


def write_own(root, categories, annotations=()):
    """A folder as annotation programs export it: one JSON a part, in COCO's layout."""
    for part in ("train", "valid"):
        for number in (1, 2):
            write_image(root / part / f"{part}{number}.jpg", number)
        write_coco(root / part / "_annotations.coco.json", {1: f"{part}1.jpg", 2: f"{part}2.jpg"},
                   annotations or [outlined(1, 2, (4, 4, 20, 20)), outlined(1, 3, (10, 10, 30, 20))], categories)


def test_a_folder_of_cocos_layout_has_its_categories_behind_the_background(tmp_path):
    write_own(tmp_path, {2: "cat", 3: "dog"})
    train, val = (open_segmentation(str(tmp_path), None, role) for role in ("train", "val"))
    assert train.classes == val.classes == ("background", "cat", "dog") and (len(train), len(val)) == (2, 2)
    assert all("train" in sample.path for sample in train.samples) and all("valid" in sample.path for sample in val.samples)
    look_over(train)
    labels = read_labels(train.samples[0], 3)
    assert labels[5, 5] == 1 and labels[20, 20] == 1 and labels[28, 38] == 2 and labels[40, 5] == 0
    assert not read_labels(train.samples[1], 3).any(), "an image without objects is background"


@pytest.mark.parametrize("json_file, images", (("annotations/instances_default.json", "images"), ("result.json", "images"),
                                               ("annotations/instances_default.json", "images/default")))
def test_the_one_json_that_cvat_or_label_studio_writes_is_shared_out(json_file, images, tmp_path):
    for number in range(1, 11):
        write_image(tmp_path / images / f"{number}.jpg", number)
    names = {number: f"{'images/' if json_file == 'result.json' else ''}{number}.jpg" for number in range(1, 11)}
    write_coco(tmp_path / json_file, names, [outlined(number, 1, (4, 4, 20, 20)) for number in names], {1: "cat"})
    train, val = (open_segmentation(str(tmp_path), None, role) for role in ("train", "val"))
    assert [sample.image_id for sample in val.samples] == ["5", "10"]
    assert sorted(int(sample.image_id) for sample in train.samples) == [1, 2, 3, 4, 6, 7, 8, 9]
    stem = json_file.split("/")[-1][:-5]
    assert len(open_segmentation(str(tmp_path), None, "val", split=stem)) == 10
    write_coco(tmp_path / json_file, {1: names[1]}, [], {1: "cat"})
    with pytest.raises(UserError, match="every 5th image would, of 1; five images are the least$"):
        open_segmentation(str(tmp_path), None, "val")


def test_classes_that_are_given_number_a_folder_of_cocos_layout(tmp_path):
    write_own(tmp_path, {2: "cat", 3: "dog"})
    found = open_segmentation(str(tmp_path), None, "val", ("nothing", "dog", "bird", "cat"))
    assert found.classes == ("nothing", "dog", "bird", "cat") and read_labels(found.samples[0], 4)[5, 5] == 3
    with pytest.raises(UserError, match="class 'bird' is not among its categories"):
        open_segmentation(str(tmp_path), None, "train", ("nothing", "dog", "bird", "cat"))
    with pytest.raises(UserError, match="is a cat, which is none of the classes given"):
        open_segmentation(str(tmp_path), None, "train", ("background", "dog"))
    with pytest.raises(UserError, match="the weights do not know the set's class 'cat'; take it out of the set"):
        validation_maps(SegmentationOptions(dataset=str(tmp_path), classes="background,dog"))


def test_a_category_without_an_object_is_told_of_since_it_lowers_the_mean(tmp_path, caplog):
    """Roboflow writes one above all others."""
    write_own(tmp_path, {0: "animals", 2: "cat", 3: "dog"})
    assert open_segmentation(str(tmp_path), None, "train").classes == ("background", "animals", "cat", "dog")
    assert "no object of animals" in caplog.text
    caplog.clear()
    assert open_segmentation(str(tmp_path), None, "train", ("background", "cat", "dog")).classes == ("background", "cat", "dog")
    assert "no object" not in caplog.text


def test_a_class_of_the_network_that_another_set_does_not_have_is_told_of_too(tmp_path, caplog):
    write_own(tmp_path, {2: "cat", 3: "dog"})
    open_segmentation(str(tmp_path), None, "val", ("background", "dog", "bird", "cat"))
    assert "no object of bird" in caplog.text


def test_labels_of_yolos_text_beside_cocos_json_are_no_masks(tmp_path):
    write_image(tmp_path / "images" / "train" / "1.jpg")
    (tmp_path / "labels" / "train").mkdir(parents=True)
    (tmp_path / "labels" / "train" / "1.txt").write_text("0 0.5 0.5 0.2 0.2\n")
    with pytest.raises(UserError, match="neither images/ and masks/"):
        open_segmentation(str(tmp_path), None, "train")
    write_coco(tmp_path / "annotations" / "instances_train2017.json", {1: "1.jpg"}, [outlined(1, 2, (4, 4, 20, 20))], {2: "cat"})
    found = open_segmentation(str(tmp_path), None, "train")
    assert read_labels(found.samples[0], 2)[10, 10] == 1


def test_a_category_called_background_is_no_second_one(tmp_path):
    write_own(tmp_path, {0: "background", 2: "cat", 3: "dog"}, [outlined(1, 0, (0, 0, 60, 40)), outlined(1, 3, (4, 4, 20, 20))])
    found = open_segmentation(str(tmp_path), None, "train")
    assert found.classes == ("background", "cat", "dog")
    labels = read_labels(found.samples[0], 3)
    assert labels[10, 10] == 2 and labels[40, 60] == 0


def test_a_fault_in_cocos_json_stops_or_is_left_out_and_named(tmp_path, caplog):
    faulty = dict(outlined(1, 2, (4, 4, 20, 20)), segmentation=[[1, 2]])
    write_own(tmp_path, {2: "cat"}, [faulty, outlined(1, 2, (30, 4, 20, 20))])
    with pytest.raises(UserError, match="polygon") as refusal:
        open_segmentation(str(tmp_path), None, "train")
    assert "_annotations.coco.json" in str(refusal.value.path)
    assert "--on-bad-sample skip" in refusal.value.remedy and "gluon-bof check --masks" in refusal.value.remedy
    found = open_segmentation(str(tmp_path), None, "train", on_bad_sample="skip")
    assert len(found.faults) == 1 and caplog.text.count("skipped: ") == 1
    labels = read_labels(found.samples[0], 2)
    assert labels[10, 40] == 1 and labels[10, 10] == 0


def test_a_coco_without_a_part_that_validates_is_not_answered_with_a_flag_that_segmentation_lacks(tmp_path):
    write_own(tmp_path, {2: "cat"})
    (tmp_path / "valid" / "_annotations.coco.json").unlink()
    with pytest.raises(UserError, match="no annotations for val") as refusal:
        open_segmentation(str(tmp_path), None, "val")
    assert "--val-split" in refusal.value.remedy and "--val-share" not in str(refusal.value)


def test_a_coco_without_its_categories_is_refused(tmp_path):
    write_image(tmp_path / "train2017" / "1.jpg")
    write_coco(tmp_path / "annotations" / "instances_train2017.json", {1: "1.jpg"}, [outlined(1, 1, (0, 0, 9, 9))], {1: "person"})
    with pytest.raises(UserError, match="no category 'airplane'"):
        open_segmentation("coco", str(tmp_path), "train")


def test_ade20ks_maps_are_gluoncvs(tmp_path):
    folder = tmp_path / "ADEChallengeData2016"
    rng = np.random.default_rng(3)
    for part, count in (("training", 2), ("validation", 1)):
        for number in range(count):
            write_image(folder / "images" / part / f"ADE_{part}_{number}.jpg", number)
            write_map(folder / "annotations" / part / f"ADE_{part}_{number}.png", rng.integers(0, 151, (HEIGHT, WIDTH)))
    for role, count in (("train", 2), ("val", 1)):
        found = open_segmentation("ade20k", str(tmp_path), role)
        theirs = ADE20KSegmentation(str(tmp_path), split=role, mode="testval")
        places = {path: number for number, path in enumerate(theirs.images)}
        assert len(found) == len(theirs) == count
        assert open_segmentation("ade20k", str(tmp_path), "val", None, role).samples[0].path == found.samples[0].path
        look_over(found)
        for sample in found.samples:
            ours, labels = read_pair(sample, 150)[1], theirs[places[sample.path]][1].asnumpy()
            np.testing.assert_array_equal(np.where(ours == NOBODY, -1, ours.astype(int)), labels)
    known = [" ".join(name.split()) for name in ADE20KSegmentation.CLASSES]
    assert [name.replace(" /", ",") for name in ade20k_classes()] == known


def write_cityscapes(root, labels):
    for part in ("train", "val"):
        for city in ("aachen", "bochum"):
            write_image(root / "leftImg8bit" / part / city / f"{city}_000_leftImg8bit.png")
            write_map(root / "gtFine" / part / city / f"{city}_000_gtFine_labelIds.png", labels)
            write_map(root / "gtFine" / part / city / f"{city}_000_gtFine_instanceIds.png", labels)


def test_cityscapes_maps_are_gluoncvs(tmp_path):
    write_cityscapes(tmp_path, np.arange(HEIGHT * WIDTH).reshape(HEIGHT, WIDTH) % 34)
    for role in ("train", "val"):
        found = open_segmentation("citys", str(tmp_path), role)
        theirs = CitySegmentation(str(tmp_path), split=role, mode="testval")
        assert sorted(sample.path for sample in found.samples) == sorted(theirs.images) and len(found) == 2
        look_over(found)
        ours = read_pair(found.samples[0], 19)[1]
        np.testing.assert_array_equal(np.where(ours == NOBODY, -1, ours.astype(int)), theirs[0][1].asnumpy())
    assert [name.replace("bicycle", "bicyle") for name in CITYSCAPES.values()] == list(CitySegmentation.CLASSES)


def _other_number(root):
    write_map(root / "gtFine" / "train" / "aachen" / "aachen_000_gtFine_labelIds.png", np.full((HEIGHT, WIDTH), 34))


def _no_map(root):
    (root / "gtFine" / "train" / "bochum" / "bochum_000_gtFine_labelIds.png").unlink()


def _no_part(root):
    (root / "leftImg8bit" / "train").rename(root / "leftImg8bit" / "other")


@pytest.mark.parametrize("damage, told", ((_other_number, "a pixel has the number 34"), (_no_map, "the image has no label map"),
                                          (_no_part, "the folder does not exist")))
def test_a_fault_of_cityscapes_is_named_with_its_file(damage, told, tmp_path):
    write_cityscapes(tmp_path, np.zeros((HEIGHT, WIDTH)))
    damage(tmp_path)
    with pytest.raises(UserError, match=told) as refusal:
        look_over(open_segmentation("citys", str(tmp_path), "train"))
    assert str(tmp_path) in str(refusal.value.path)


@pytest.mark.parametrize("name, told", (("coco", "no annotations for train"), ("ade20k", "--dataset-root"),
                                        ("citys", "--dataset-root")))
def test_a_named_set_that_is_not_there_is_refused(name, told, tmp_path):
    with pytest.raises(UserError, match=told) as refusal:
        open_segmentation(name, str(tmp_path), "train")
    assert str(tmp_path) in str(refusal.value.path) and "--val-share" not in str(refusal.value)


def test_a_named_set_has_its_own_classes(tmp_path):
    write_cityscapes(tmp_path, np.zeros((HEIGHT, WIDTH)))
    with pytest.raises(UserError, match="the classes of this set are road"):
        open_segmentation("citys", str(tmp_path), "train", ("background", "road"))


@pytest.mark.parametrize("given, told", ((("cat", "dog"), "'cat' is a category"), (ade20k_classes(), "have none"),
                                         (tuple(CITYSCAPES.values()), "have none")))
def test_pixels_of_no_object_do_not_become_a_class_that_has_objects(given, told, tmp_path):
    """--classes without the background, and weights of a set that has none."""
    write_own(tmp_path, {2: "cat", 3: "dog", 4: "person", 5: "car"})
    for role in ("train", "val"):
        with pytest.raises(UserError, match=told):
            open_segmentation(str(tmp_path), None, role, given)


def test_a_list_is_read_as_the_detectors_read_theirs(tmp_path):
    """A byte order mark, names with a space or with the ending of their image were not found; Latin-1 gave a traceback."""
    write_voc_masks(tmp_path, {"train": 3, "val": 2})
    folder = tmp_path / "VOC2012"
    for kind, ending in (("JPEGImages", ".jpg"), ("SegmentationClass", ".png")):
        (folder / kind / f"2007_train_1{ending}").rename(folder / kind / f"a b{ending}")
    (folder / "Annotations").mkdir()
    for image in (folder / "JPEGImages").iterdir():
        (folder / "Annotations" / f"{image.stem}.xml").write_text(voc_files.xml(("dog", 1, 1, 9, 9), size=(WIDTH, HEIGHT)))
    main = folder / "ImageSets" / "Main"
    main.mkdir()
    lines = "\ufeff2007_train_0\r\n\na b\n2007_train_2.jpg 1\n2007_val_0 -1\n"
    for place in (main, folder / "ImageSets" / "Segmentation"):
        (place / "mine.txt").write_text(lines, encoding="utf-8")
    found = open_segmentation("pascal_voc", str(tmp_path), "train", split="mine")
    assert [sample.image_id for sample in found.samples] == ["2007_train_0", "a b", "2007_train_2"] == \
        [record.image_id for record in open_set(str(folder), None, "train", split="mine").records]
    (folder / "ImageSets" / "Segmentation" / "mine.txt").write_bytes("bär\n".encode("latin-1"))
    with pytest.raises(UserError, match="the split is not UTF-8 text"):
        open_segmentation("pascal_voc", str(tmp_path), "train", split="mine")
