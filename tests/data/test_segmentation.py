"""Readers of label maps: VOC's and SBD's layouts, folders of images and masks, the embedded set; samples; faults by name."""
import json
from pathlib import Path

import cv2
import numpy as np
import pytest
from PIL import Image
from scipy.io import savemat

from gluon_bof.data.label_sets import LabelledImage, open_segmentation
from gluon_bof.data.loader import Loader
from gluon_bof.data.sampler import SampleSpec
from gluon_bof.data.segmentation import FittedImages, MapImages, look_over, read_labels, read_pair
from gluon_bof.data.voc import VOC_CLASSES
from gluon_bof.errors import UserError
from gluon_bof.freebies.augmentation import as_it_is
from gluon_bof.freebies.label_maps import fitted_view
from gluon_bof.freebies.mixup import blend_images
from gluon_bof.masks import NOBODY, write_numbers
from gluon_bof.training.segmentation import MapBatch
from tests.tiny_masks import CLASSES, write_mask_set, write_voc_masks
from tests.tiny_sets import draw_few_shapes

from gluoncv.data import VOCSegmentation


def test_voc_2012s_maps_are_gluoncvs(tmp_path):
    write_voc_masks(tmp_path, {"train": 3, "val": 2})
    for role in ("train", "val"):
        found = open_segmentation("pascal_voc", str(tmp_path), role)
        assert found.classes == ("background", *VOC_CLASSES) and len(found) == {"train": 3, "val": 2}[role]
        # GluonCV reads trainval.txt for train
        theirs = VOCSegmentation(str(tmp_path), split="val" if role == "val" else "train", mode="testval")
        places = {path: number for number, path in enumerate(theirs.images)}
        for sample in found.samples:
            image, labels = theirs[places[sample.path]]
            ours_image, ours = read_pair(sample, 21)
            np.testing.assert_array_equal(np.where(ours == NOBODY, -1, ours.astype(int)), labels.asnumpy())
            assert np.abs(ours_image.astype(int) - image.asnumpy()).max() <= 2  # two decoders of JPEG


def test_train_is_not_trained_on_what_validates(tmp_path):
    write_voc_masks(tmp_path, {"train": 3, "val": 2})
    lists = tmp_path / "VOC2012" / "ImageSets" / "Segmentation"
    both = {sample.image_id for role in ("train", "val")
            for sample in open_segmentation("pascal_voc", str(tmp_path), role).samples}
    assert len(both) == 5
    (lists / "train.txt").unlink()
    with pytest.raises(UserError, match="trainval is all there is to train on"):
        open_segmentation("pascal_voc", str(tmp_path), "train", split="train")
    assert len(open_segmentation("pascal_voc", str(tmp_path), "train", split="trainval")) == 5


def test_sbds_maps_are_read_from_its_matlab_files(tmp_path):
    folder = tmp_path / "VOCaug" / "dataset"
    for name in ("img", "cls"):
        (folder / name).mkdir(parents=True)
    labels = np.array([[0, 3, 20], [255, 0, 1]], np.uint8)
    Image.new("RGB", (3, 2)).save(folder / "img" / "a.jpg")
    savemat(folder / "cls" / "a.mat", {"GTcls": {"Segmentation": labels, "Boundaries": 0}})
    (folder / "train.txt").write_text("a\n")
    found = open_segmentation("pascal_aug", str(tmp_path), "train")
    np.testing.assert_array_equal(read_labels(found.samples[0], 21), labels)


def test_a_damaged_matlab_file_is_refused_by_name_wherever_it_is_read(tmp_path):
    Image.new("RGB", (3, 2)).save(tmp_path / "a.jpg")
    path = tmp_path / "a.mat"
    savemat(path, {"GTcls": {"Segmentation": np.zeros((2, 3), np.uint8)}})
    whole, rng = path.read_bytes(), np.random.default_rng(0)
    savemat(path, {"GTinst": {"Segmentation": np.zeros((2, 3), np.uint8)}})
    damaged = [path.read_bytes(), b"", b"no file of MATLAB's" * 20, *(whole[:length] for length in range(100, len(whole), 30)),
               *(whole[:at] + rng.bytes(16) + whole[at + 16:] for at in range(124, len(whole) - 30, 40))]
    sample, refused = LabelledImage(str(tmp_path / "a.jpg"), str(path), "a"), 0
    for data in damaged:
        path.write_bytes(data)
        for read in (lambda: read_labels(sample, 21), lambda: FittedImages([sample], lambda shape: fitted_view(shape, 32))[0]):
            try:
                read()  # what hits nothing but names is whole
            except UserError as error:
                assert error.path == str(path)
                refused += 1
    assert refused > len(damaged)


@pytest.mark.parametrize("layout", ("parts", "behind", "none"))
def test_a_folder_of_images_and_masks_is_read_in_its_parts(layout, tmp_path):
    write_mask_set(tmp_path, 10, 5, layout=layout)
    train, val = (open_segmentation(str(tmp_path), None, role) for role in ("train", "val"))
    assert train.classes == val.classes == CLASSES
    assert (len(train), len(val)) == ((12, 3) if layout == "none" else (10, 5))
    assert not {sample.path for sample in train.samples} & {sample.path for sample in val.samples}
    assert set(np.unique(np.concatenate([read_labels(sample, 3).ravel() for sample in train.samples]))) == {0, 1, 2, NOBODY}


@pytest.mark.parametrize("layout", ("parts", "behind", "none"))
def test_a_part_that_is_not_there_is_refused_and_not_every_fifth_image_in_its_place(layout, tmp_path):
    write_mask_set(tmp_path, 10, 5, layout=layout)
    with pytest.raises(UserError, match="its part holdout has no images/ and masks/"):
        open_segmentation(str(tmp_path), None, "val", split="holdout")
    if layout == "parts":
        (tmp_path / "val").rename(tmp_path / "later")
        with pytest.raises(UserError, match="its part val has no images/ and masks/"):
            open_segmentation(str(tmp_path), None, "val")
        assert len(open_segmentation(str(tmp_path), None, "val", split="later")) == 5


def test_a_mistyped_list_is_refused_and_not_the_roles_own_taken_in_its_place(tmp_path):
    write_voc_masks(tmp_path, {"train": 1, "val": 1})
    with pytest.raises(UserError, match="there is no list vla.txt"):
        open_segmentation("pascal_voc", str(tmp_path), "val", split="vla")


@pytest.mark.parametrize("name", ("valid", "validation"))
def test_what_is_called_valid_validates_and_not_test(name, tmp_path):
    write_mask_set(tmp_path, 1, 2)
    (tmp_path / "val").rename(tmp_path / name)
    write_mask_set(tmp_path, 1, 1)
    (tmp_path / "val").rename(tmp_path / "test")
    assert len(open_segmentation(str(tmp_path), None, "val")) == 2


def test_names_of_classes_are_given_or_lie_beside_the_masks_or_are_asked_for(tmp_path, monkeypatch):
    draw_few_shapes(monkeypatch, tmp_path / "cache", 1, 1)
    write_mask_set(tmp_path, 2, 1)
    assert open_segmentation(str(tmp_path), None, "train", ("a", "b", "c")).classes == ("a", "b", "c")
    (tmp_path / "classes.txt").unlink()
    with pytest.raises(UserError, match="nothing names the classes"):
        open_segmentation(str(tmp_path), None, "train")
    with pytest.raises(UserError, match="the classes of this set are background"):
        open_segmentation("shapes", None, "train", ("a", "b"))


def test_a_set_whose_names_have_other_numbers_is_refused_instead_of_scored_as_other_classes(tmp_path):
    write_mask_set(tmp_path, 2, 1)
    with pytest.raises(UserError, match="blue has another number here than among background, red, blue") as refusal:
        open_segmentation(str(tmp_path), None, "val", ("background", "red", "blue"))
    assert str(refusal.value.path).endswith("classes.txt")


def test_more_classes_than_a_byte_counts_are_refused_and_do_not_wrap_around(tmp_path):
    write_mask_set(tmp_path, 2, 1)
    (tmp_path / "classes.txt").write_text("".join(f"{number}\n" for number in range(NOBODY + 1)))
    with pytest.raises(UserError, match="there are 256 classes"):
        open_segmentation(str(tmp_path), None, "train")
    (tmp_path / "classes.txt").write_text("".join(f"{number}\n" for number in range(NOBODY)))
    assert len(open_segmentation(str(tmp_path), None, "train").classes) == NOBODY


@pytest.mark.parametrize("numbers, warns", (((0, 255), True), ((0, 1), False), ((0, 1, 255), False)))
def test_black_and_white_masks_are_told_of_since_white_counts_nowhere(numbers, warns, tmp_path, caplog):
    """255 beside other numbers is the border around objects."""
    write_mask_set(tmp_path, 3, 1)
    for path in (tmp_path / "train" / "masks").iterdir():
        write_numbers(str(path), np.resize(np.array(numbers, np.uint8), (48, 64)))
    look_over(open_segmentation(str(tmp_path), None, "train"))
    assert ("black and white" in caplog.text) is warns


def test_a_map_of_another_size_is_found_before_training_wherever_it_lies(tmp_path):
    write_mask_set(tmp_path, 20, 1)
    found = open_segmentation(str(tmp_path), None, "train")
    look_over(found)
    write_numbers(found.samples[-1].mask, np.zeros((48, 60), np.uint8))
    with pytest.raises(UserError, match="another size than its image"):
        look_over(found)


def _without_mask(folder):
    next((folder / "train" / "masks").iterdir()).unlink()


def _mask_as(ending):
    def rename(folder):
        path = next((folder / "train" / "masks").iterdir())
        path.rename(path.with_suffix(ending))
    return rename


def _unread_ending(folder):
    path = next((folder / "train" / "images").iterdir())
    path.with_name("._hidden.png").write_bytes(b"of another system")
    path.rename(path.with_suffix(".jfif"))


def _too_many_classes(folder):
    write_numbers(str(sorted((folder / "train" / "masks").iterdir())[0]), np.full((48, 64), 3, np.uint8))


def _colours(folder):
    Image.new("RGB", (64, 48)).save(sorted((folder / "train" / "masks").iterdir())[0])


def _other_size(folder):
    write_numbers(str(sorted((folder / "train" / "masks").iterdir())[0]), np.zeros((48, 60), np.uint8))


def _cut_short(folder):
    path = sorted((folder / "train" / "masks").iterdir())[0]
    path.write_bytes(path.read_bytes()[:40])


@pytest.mark.parametrize("damage, told", ((_without_mask, "the image has no label map"),
                                          (_mask_as(".jpg"), r"\.jpg: a label map's ending is \.png.*; write class numbers"),
                                          (_mask_as(".PNG"), r"\.PNG: a label map's ending is \.png.*; rename it"),
                                          (_unread_ending, "it has a label map, but the ending .jfif is not read"),
                                          (_too_many_classes, "there are 3 classes; write class numbers, 0 to 2"),
                                          (_colours, "its pixels are colours"), (_other_size, "stated 60 x 48, is 64 x 48"),
                                          (_cut_short, "the label map cannot be read")))
def test_a_fault_is_named_in_one_line_with_its_file(damage, told, tmp_path):
    write_mask_set(tmp_path, 3, 1)
    damage(tmp_path)
    with pytest.raises(UserError, match=told) as refusal:
        found = open_segmentation(str(tmp_path), None, "train")
        read_pair(found.samples[0], 3)
    assert ("images" if damage is _unread_ending else "masks") in str(refusal.value.path) and "\n" not in str(refusal.value)


@pytest.mark.parametrize("damage", (_without_mask, _unread_ending, _too_many_classes, _colours, _other_size, _cut_short))
def test_a_fault_that_may_be_skipped_is_left_out_and_named(damage, tmp_path, caplog):
    write_mask_set(tmp_path, 3, 1)
    names = {sample.image_id for sample in open_segmentation(str(tmp_path), None, "train").samples}
    damage(tmp_path)
    with pytest.raises(UserError, match="--on-bad-sample skip"):
        look_over(open_segmentation(str(tmp_path), None, "train"))
    found = look_over(open_segmentation(str(tmp_path), None, "train", on_bad_sample="skip"), "skip")
    fault, = found.faults
    assert len(found) == 2 and {sample.image_id for sample in found.samples} < names
    assert Path(fault.path).stem in names and f"skipped: {fault.path}: {fault.message}" in caplog.text


def test_a_set_of_which_nothing_can_be_used_is_refused(tmp_path):
    write_mask_set(tmp_path, 1, 1)
    _other_size(tmp_path)
    with pytest.raises(UserError, match="no image of the set can be used"):
        look_over(open_segmentation(str(tmp_path), None, "train"), "skip")


@pytest.mark.parametrize("workers", (0, 2))
@pytest.mark.parametrize("kind", ("images", "masks"))
def test_the_next_whole_image_stands_in_for_a_broken_one_or_its_map(kind, workers, tmp_path):
    """The same bits for any number of workers."""
    write_mask_set(tmp_path, 4, 1)
    samples = open_segmentation(str(tmp_path), None, "train").samples
    whole = MapImages(samples, 3, 80, True)
    wanted = [whole[spec(2, 3, 0.4)], whole[spec(0, 2, 0.4)]]
    broken = Path(samples[1].path if kind == "images" else samples[1].mask)
    broken.write_bytes(broken.read_bytes()[:60])
    with pytest.raises(UserError, match="--on-bad-sample skip"):
        whole[spec(1)]
    skipping = MapImages(samples, 3, 80, True, "skip")
    batch, = Loader(skipping, [[spec(1, 3, 0.4), spec(0, 1, 0.4)]], MapBatch(workers > 0), workers)
    for array, arrays in zip(batch[:3], zip(*wanted)):
        np.testing.assert_array_equal(array.asnumpy(), np.stack(arrays))
    assert [str(broken) in name for name in batch[-1]] == [True, True]


def test_a_broken_image_in_a_score_is_not_answered_with_a_flag_of_training(tmp_path):
    write_mask_set(tmp_path, 2, 1)
    sample = open_segmentation(str(tmp_path), None, "train").samples[0]
    with open(sample.path, "r+b") as file:
        file.truncate(600)
    for read in (lambda: read_pair(sample, 3), lambda: FittedImages([sample], lambda shape: None)[0]):
        with pytest.raises(UserError, match="replace it") as refusal:
            read()
        assert refusal.value.path == sample.path and "--on-bad-sample" not in str(refusal.value)


@pytest.mark.parametrize("orientation", (3, 6))
def test_a_photograph_is_turned_as_its_map_lies(orientation, tmp_path):
    """The file holds the image turned, and says so; the map was drawn on the upright image."""
    write_mask_set(tmp_path, 1, 1)
    sample = open_segmentation(str(tmp_path), None, "train").samples[0]
    upright, labels = read_pair(sample, 3)
    exif = Image.Exif()
    exif[0x112] = orientation
    stored = np.rot90(upright, {3: 2, 6: 1}[orientation])
    Image.fromarray(np.ascontiguousarray(stored)).save(sample.path, quality=98, exif=exif)
    for image in (read_pair(sample, 3)[0], FittedImages([sample], as_it_is)[0][0]):
        assert np.abs(image.astype(int) - upright)[labels == 2].mean() < 12


@pytest.mark.parametrize("dataset, told", (("nowhere", "no data set 'nowhere'"), ("pascal_voc", "SegmentationClass")))
def test_a_set_that_is_not_there_is_refused(dataset, told, tmp_path):
    with pytest.raises(UserError, match=told):
        open_segmentation(dataset, str(tmp_path), "train")
    for split in (None, "train", "dev"):  # which flag --layout would not help, and there is none
        with pytest.raises(UserError, match="neither images/ and masks/.*; put images into images/"):
            open_segmentation(str(tmp_path), None, "train", split=split)


def spec(index, partner=-1, ratio=1.0, key=(0, 0, 0, 0)):
    return SampleSpec(index, partner, ratio, 64, key)


def test_a_mixed_sample_is_both_images_as_the_network_sees_them_with_both_maps(tmp_path):
    write_mask_set(tmp_path, 4, 1)
    samples = open_segmentation(str(tmp_path), None, "train").samples
    plain, mixing = MapImages(samples, 3, None), MapImages(samples, 3, None, True)
    (a, maps_a, *_), (b, maps_b, *_) = plain[spec(0)], plain[spec(1)]
    image, maps, weights, _ = mixing[spec(0, 1, 0.3)]
    np.testing.assert_array_equal(image, blend_images(a, b, 0.3))
    np.testing.assert_array_equal(maps, np.concatenate([maps_a, maps_b]))
    np.testing.assert_allclose(weights, [0.3, 0.7])
    alone, maps, weights, _ = mixing[spec(0)]
    np.testing.assert_array_equal(alone, a)
    np.testing.assert_array_equal(maps, np.concatenate([maps_a, maps_a]))
    np.testing.assert_array_equal(weights, [1, 0])


def test_a_sample_depends_on_its_spec_alone(tmp_path):
    write_mask_set(tmp_path, 4, 1)
    images = MapImages(open_segmentation(str(tmp_path), None, "train").samples, 3, 80, True)
    one, other = images[spec(2, 0, 0.4, (7, 1, 2, 3))], images[spec(1, 0, 0.6, (7, 0, 0, 1))]
    again = images[spec(2, 0, 0.4, (7, 1, 2, 3))]
    for array, repeated, different in zip(one[:3], again, other):
        assert array.tobytes() == repeated.tobytes() != different.tobytes()


def test_the_embedded_sets_colours_and_maps_agree(tmp_path, monkeypatch):
    """Inside an object its map's class is the annotation's; around it is background."""
    draw_few_shapes(monkeypatch, tmp_path)
    found = open_segmentation("shapes", None, "val")
    assert found.classes == ("background", "circle", "cross", "ring", "triangle") and len(found) == 8
    sample = found.samples[3]
    image, labels = read_pair(sample, 5)
    assert image.shape[:2] == labels.shape and labels.any() and json.dumps(sample.image_id)
    from gluon_bof.data.shapes import load_shapes
    record = next(record for record in load_shapes("val").records if record.image_id == sample.image_id)
    for box, class_id in zip(record.boxes.astype(int), record.classes):
        inside = labels[box[1]:box[3], box[0]:box[2]]
        assert (inside == class_id + 1).mean() > 0.15
    outside = np.ones(labels.shape, bool)
    for box in record.boxes.astype(int):
        outside[max(0, box[1] - 1):box[3] + 1, max(0, box[0] - 1):box[2] + 1] = False
    assert (labels[outside] == 0).all()
    assert Path(sample.path).is_file() and cv2.imread(sample.path) is not None
