"""Masks against rasterised whole ones, pycocotools' own numbers, and closed forms."""
import io

import cv2
import numpy as np
import pytest
from pycocotools import mask as coding
from scipy.interpolate import RegularGridInterpolator

from gluon_bof import masks
from gluon_bof.backend import gluoncv
from gluon_bof.freebies.augmentation import View, transform_masks
from tests.tiny_masks import unpacked

SIZES = ((37, 52), (64, 41), (8, 8))


def blobs(rng, size, count=5):
    """Dense masks (count, H, W) of polygons, circles, nothing, and everything."""
    height, width = size
    dense = np.zeros((count, height, width), np.uint8)
    for number, mask in enumerate(dense):
        if number % 3 == 0:
            cv2.fillPoly(mask, [rng.integers(-5, max(size) + 5, (rng.integers(3, 8), 2)).astype(np.int32)], 1)
        elif number % 3 == 1:
            cv2.circle(mask, tuple(int(v) for v in rng.integers(0, (width, height))), int(rng.integers(2, max(size) // 2)), 1, -1)
    dense[-1] = 1
    return dense


@pytest.mark.parametrize("size", SIZES)
def test_what_is_coded_comes_back_with_its_area_and_box(size):
    dense = blobs(np.random.default_rng(0), size)
    coded = masks.encode(dense)
    assert coded.dtype.kind == "S" and coded.shape == (len(dense),)
    np.testing.assert_array_equal(masks.decode(coded, size), dense)
    np.testing.assert_array_equal(masks.area(coded, size), dense.sum((1, 2)))
    for box, mask in zip(masks.boxes_of(coded, size), dense):
        rows, columns = np.nonzero(mask)
        wanted = (columns.min(), rows.min(), columns.max() + 1, rows.max() + 1) if len(rows) else (0, 0, 0, 0)
        np.testing.assert_array_equal(box, wanted)


def test_no_object_is_no_error():
    assert masks.encode(np.zeros((0, 4, 5))).shape == (0,) and masks.decode(masks.no_masks(), (4, 5)).shape == (0, 4, 5)
    assert masks.boxes_of(masks.no_masks(), (4, 5)).shape == (0, 4) and masks.area(masks.no_masks(), (4, 5)).shape == (0,)
    assert masks.decode(masks.no_masks(2), (4, 5)).sum() == 0 and masks.decode(masks.no_masks(2), (4, 5)).shape == (2, 4, 5)
    assert masks.paste(np.zeros((0, 14, 14)), np.zeros((0, 4)), (4, 5)).shape == (0,)
    assert masks.pack(np.zeros((0, 4, 5), np.uint8), 1).shape == (1, 4, 5)


@pytest.mark.parametrize("size", ((37, 52), (480, 640), (1, 1)))
def test_a_mask_without_a_pixel_has_the_run_lengths_of_an_empty_image(size):
    wanted = coding.encode(np.zeros(size, np.uint8, order="F"))["counts"]
    assert masks.as_coco(masks.no_masks(1), size) == [{"size": list(size), "counts": wanted}]
    full = masks.encode(np.ones((1, *size), np.uint8))
    assert masks.covered(masks.no_masks(2), size) == 0 and masks.covered(np.append(full, full), size) == size[0] * size[1]


def test_cocos_three_forms_of_one_object_are_one_mask():
    size = (40, 60)
    polygons = [[5.0, 5.0, 30.5, 6.0, 20.0, 33.0], [40, 10, 55, 10, 55, 30, 40, 30]]
    of_polygons = masks.of_segmentation(polygons, size)
    dense = masks.decode(np.array([of_polygons]), size)
    np.testing.assert_array_equal(dense[0], coding.decode(coding.merge(coding.frPyObjects(polygons, *size))))
    assert dense[0, 10:30, 40:55].all() and not dense[0, :5].any()
    columns = dense[0].ravel(order="F")
    changes = np.flatnonzero(np.diff(columns)) + 1
    counts = np.diff(np.concatenate([[0], changes, [columns.size]])).tolist()
    assert masks.of_segmentation({"size": list(size), "counts": counts}, size) == of_polygons
    assert masks.of_segmentation({"size": list(size), "counts": of_polygons.decode()}, size) == of_polygons


@pytest.mark.parametrize("segmentation, said", [
    ([], "is empty"), (None, "is missing"), ("abc", "neither"), ([[1, 2, 3, 4]], "three corners"),
    ([[1, 2, 3, 4, 5, 6, 7]], "three corners"),
    ([["1", 2, 3, 4, 5, 6]], "numbers"), ([[10 ** 400, 2, 3, 4, 5, 6]], "numbers"),
    ([[1, 2, 3, 4, 5, float("nan")]], "no place"), ([5], "three corners"),
    ({"size": [4, 5], "counts": [20]}, "of the size"), ({"size": 5, "counts": [20]}, "of the size"),
    ({"size": [[5], 4], "counts": [20]}, "of the size"), ({"size": [5, 4], "counts": [19]}, "run lengths"),
    ({"size": [5, 4], "counts": [-1, 21]}, "run lengths"), ({"size": [5, 4]}, "no run lengths"),
    ({"size": [5, 4], "counts": "zzzz"}, "run lengths"), ({"size": [5, 4], "counts": "d0"}, None),
    ({"size": [5, 4], "counts": "e0"}, "run lengths"), ({"size": [5, 4], "counts": "o"}, "run lengths"),
    ({"size": [5, 4], "counts": "c0"}, "run lengths"), ({"size": [5, 4], "counts": "Oe0"}, "run lengths")])
def test_a_segmentation_that_cannot_be_is_refused_in_words(segmentation, said):
    if said is None:
        assert masks.decode(np.array([masks.of_segmentation(segmentation, (5, 4))]), (5, 4)).sum() == 0
        return
    with pytest.raises(ValueError, match=said):
        masks.of_segmentation(segmentation, (5, 4))


def test_every_sound_run_length_is_read_and_no_broken_one_reaches_pycocotools():
    rng = np.random.default_rng(1)
    for size in SIZES:
        for counts in masks.encode(blobs(rng, size, 20)):
            counts = bytes(counts)
            assert masks.of_segmentation({"size": list(size), "counts": counts.decode()}, size) == counts
            for broken in (counts[:-1], counts + b"1", b"1" + counts):
                with pytest.raises(ValueError, match="run lengths"):
                    masks.of_segmentation({"size": list(size), "counts": broken.decode()}, size)


def test_numbers_of_an_image_are_the_masks_of_its_objects():
    numbers = np.array([(0, 1, 1, 255), (3, 1, 0, 255)], np.uint8)
    dense = masks.decode(masks.of_numbers(numbers, 3), (2, 4))
    np.testing.assert_array_equal(dense, [numbers == 1, numbers == 2, numbers == 3])
    file = io.BytesIO()
    masks.write_numbers(file, numbers)
    np.testing.assert_array_equal(masks.read_numbers(file), numbers)


def seen(dense, window=None, size=None, flip=False):
    """Dense masks (M, H, W) as a training sees them through a window (left, top, width, height), at `size` = (width, height)."""
    shape = dense.shape[1:]
    window = window or (0, 0, shape[1], shape[0])
    return transform_masks(masks.encode(dense), shape, View((0, 0), window, size or window[2:], cv2.INTER_LINEAR, flip, None))


@pytest.mark.parametrize("seed", range(3))
@pytest.mark.parametrize("size", SIZES)
def test_crop_flip_and_resize_do_what_they_do_to_whole_masks(size, seed):
    dense = blobs(np.random.default_rng(seed), size)
    np.testing.assert_array_equal(seen(dense, flip=True), dense[:, :, ::-1])

    left, top, width, height = -3, 2, size[1] + 1, size[0] - 4
    padded = np.pad(dense, ((0, 0), (10, 10), (10, 10)))
    np.testing.assert_array_equal(seen(dense, (left, top, width, height)),
                                  padded[:, top + 10:top + 10 + height, left + 10:left + 10 + width])

    twice = seen(dense, size=(2 * size[1], 2 * size[0]))
    np.testing.assert_array_equal(seen(twice, size=size[::-1]), twice.reshape(-1, size[0], 2, size[1], 2).sum((2, 4)) >= 2)


def iou(a, b):
    """(M,) intersection over union of dense masks (M, H, W), one by one."""
    return (a & b).sum((1, 2)) / (a | b).sum((1, 2))


def test_a_resized_mask_is_that_of_the_resized_outline():
    outline = np.array([(12.0, 9.0), (80.0, 20.0), (60.0, 66.0), (20.0, 50.0)])
    size = (80, 100)

    def of_outline(corners, size):
        return masks.decode(np.array([masks.of_segmentation([corners.ravel().tolist()], size)]), size)

    for new_size in ((160, 200), (53, 66), (120, 90)):
        wanted = of_outline(outline * (new_size[1] / size[1], new_size[0] / size[0]), new_size)
        assert iou(seen(of_outline(outline, size), size=new_size[::-1]), wanted) > 0.96


@pytest.mark.parametrize("count, planes", [(1, 1), (8, 1), (9, 2), (16, 2), (5, 4)])
def test_planes_hold_eight_objects_each_bit_for_bit(count, planes):
    dense = blobs(np.random.default_rng(count), (11, 13), count)
    packed = masks.pack(dense, planes)
    assert packed.shape == (planes, 11, 13) and packed.dtype == np.uint8
    np.testing.assert_array_equal(unpacked(packed)[:count], dense)
    assert not unpacked(packed)[count:].any()
    for number in range(count):
        np.testing.assert_array_equal(packed[number // 8] >> (number % 8) & 1, dense[number])


def drawn_boxes(rng, count, size):
    corners = rng.uniform(-8, 1, (count, 2)) + rng.uniform(0, 1, (count, 2)) * (size[1] - 12, size[0] - 12)
    return np.hstack([corners, corners + rng.uniform(3, 40, (count, 2))])


@pytest.mark.parametrize("side", (14, 28))
def test_a_pasted_mask_is_linear_between_the_middles_of_its_cells(side):
    rng = np.random.default_rng(side)
    size = (48, 60)
    boxes = drawn_boxes(rng, 12, size)
    cells = cv2.GaussianBlur(rng.random((side, side, 12)).astype(np.float32), (5, 5), 1.5).transpose(2, 0, 1)
    found = masks.decode(masks.paste(cells, boxes, size), size)
    for mask, grid, (left, top, right, bottom) in zip(found, cells, boxes):
        across, down = (right - left) / side, (bottom - top) / side
        # a ring of zeros around the cells, and beyond it nothing
        axes = [start + step * (np.arange(-1, side + 1) + 0.5) for start, step in ((top, down), (left, across))]
        exact = RegularGridInterpolator(axes, np.pad(grid, 1).astype(np.float64), bounds_error=False, fill_value=0)
        at = np.stack(np.meshgrid(np.arange(size[0]) + 0.5, np.arange(size[1]) + 0.5, indexing="ij"), -1)
        values = exact(at)
        sure = np.abs(values - 0.5) > 1e-9
        np.testing.assert_array_equal(mask[sure], (values >= 0.5)[sure])
    assert found.any()


def test_a_pasted_mask_is_nearly_gluoncvs_fast_one():
    size = (90, 120)
    rng = np.random.default_rng(3)
    boxes = drawn_boxes(rng, 10, size)
    boxes[:, 2:] += 20
    grid = np.stack(np.meshgrid(np.linspace(-1, 1, 14), np.linspace(-1, 1, 14)))
    cells = np.stack([1 / (1 + np.exp(6 * (np.hypot(*(grid * rng.uniform(0.8, 1.6, (2, 1, 1)))) - 0.9))) for _ in boxes])
    ours = masks.decode(masks.paste(cells.astype(np.float32), boxes, size), size)
    theirs = gluoncv.data.transforms.mask.fill(cells.astype(np.float32), boxes, (size[1], size[0]))
    assert iou(ours, theirs.astype(np.uint8)).min() > 0.85


def test_a_full_mask_covers_its_box_and_a_box_outside_the_image_nothing():
    found = masks.decode(masks.paste(np.ones((3, 14, 14), np.float32), np.array([(4, 6, 24, 26), (-50, -50, -30, -30),
                                                                                 (100, 5, 120, 25)]), (40, 60)), (40, 60))
    assert found[0, 6:26, 4:24].all() and found[0].sum() <= 22 * 22 and not found[1:].any()


def test_what_is_nobodys_is_no_objects_however_many_there_are():
    found = masks.of_numbers(np.array([[masks.NOBODY, 254]], np.uint8), 256)
    np.testing.assert_array_equal(masks.area(found, (1, 2)).nonzero()[0], [253])
