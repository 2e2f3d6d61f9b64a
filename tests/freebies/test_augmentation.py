"""Distributions and fixed-parameter outputs against GluonCV's transforms."""
import inspect
import random
from collections import Counter

import cv2
import numpy as np
import pytest
from scipy import stats

from gluon_bof import boxes
from gluon_bof.backend import mx
from gluon_bof.freebies.augmentation import (
    CROP_ASPECT,
    CROP_EARLY,
    CROP_IOU,
    CROP_SCALE,
    CROP_TRIALS,
    FILL,
    Augmentation,
    View,
    augment,
    best_interpolation,
    draw_colour,
    draw_crop,
    draw_expansion,
    draw_trials,
    render,
    transform_boxes,
)
from gluon_bof.options.ssd import SsdOptions
from gluon_bof.options.yolo3 import Yolo3Options

from gluoncv.data.transforms import bbox as official_boxes
from gluoncv.data.transforms import experimental
from gluoncv.data.transforms import image as official_image
from gluoncv.data.transforms.experimental.image import random_color_distort

DRAWS = 800
SIGNIFICANCE = 1e-4


def some_truth(rng, count=5, width=300, height=200):
    corner = rng.uniform(0, (width * 0.7, height * 0.7), (count, 2))
    truth = np.ones((count, 6), np.float32)
    truth[:, :2], truth[:, 2:4] = corner, corner + rng.uniform(5, height * 0.3, (count, 2))
    return truth


@pytest.mark.parametrize("function", ("crop", "translate", "resize", "flip"))
def test_box_arithmetic_equals_gluoncvs(function):
    rng = np.random.default_rng(2)
    for _ in range(20):
        truth = some_truth(rng)
        if function == "crop":
            window = [int(value) for value in rng.integers((0, 0, 20, 20), (150, 100, 200, 150))]
            ours, theirs = boxes.crop(truth, *window), official_boxes.crop(truth, window, allow_outside_center=False)
        elif function == "translate":
            ours, theirs = boxes.translate(truth, 7, 9), official_boxes.translate(truth, 7, 9)
        elif function == "resize":
            ours, theirs = boxes.resize(truth, 2, 0.5), official_boxes.resize(truth, (100, 100), (200, 50))
        else:
            ours, theirs = boxes.flip(truth, 300), official_boxes.flip(truth, (300, 200), flip_x=True)
        np.testing.assert_allclose(ours, theirs, rtol=1e-6, atol=1e-4)


def same_distribution(ours, theirs):
    for column in range(np.shape(ours)[1]):
        assert stats.ks_2samp(np.array(ours)[:, column], np.array(theirs)[:, column]).pvalue > SIGNIFICANCE, column


@pytest.mark.slow
def test_crops_are_distributed_as_the_official_ones():
    truth = some_truth(np.random.default_rng(0))
    rng = np.random.default_rng(1)
    random.seed(1)
    np.random.seed(1)
    ours = [draw_crop(rng, truth, 300, 200) for _ in range(DRAWS)]
    theirs = [experimental.bbox.random_crop_with_constraints(truth, (300, 200))[1] for _ in range(DRAWS)]
    same_distribution(ours, theirs)


def test_crops_of_images_without_boxes_too():
    rng, none = np.random.default_rng(1), np.zeros((0, 6), np.float32)
    random.seed(1)
    same_distribution([draw_crop(rng, none, 300, 200) for _ in range(DRAWS)],
                      [experimental.bbox.random_crop_with_constraints(none, (300, 200))[1] for _ in range(DRAWS)])


def test_the_demands_on_a_crop_its_trials_sides_and_aspects_are_gluoncvs():
    official = experimental.bbox.random_crop_with_constraints
    assert tuple(tuple(limit if np.isfinite(limit) else None for limit in limits) for limits in CROP_IOU) in (
        official.__code__.co_consts)
    defaults = {name: argument.default for name, argument in inspect.signature(official).parameters.items()}
    assert (*CROP_SCALE, CROP_ASPECT, CROP_TRIALS) == tuple(
        defaults[name] for name in ("min_scale", "max_scale", "max_aspect_ratio", "max_trial"))


def overlap_by_hand(window, box):
    left, top, width, height = window
    wide, high = min(box[2], left + width) - max(box[0], left), min(box[3], top + height) - max(box[1], top)
    both = max(wide, 0) * max(high, 0)
    return both / (width * height + (box[2] - box[0]) * (box[3] - box[1]) - both)


def test_a_crop_is_the_whole_or_the_first_window_that_meets_a_demand_and_holds_a_centre():
    seen = Counter()
    for seed in range(20):
        truth = np.array([[50, 40, 110, 100, 0, 1], [80, 50, 130, 110, 0, 1.0]])[:1 + seed % 2]
        rng, windows = np.random.default_rng(seed), [(0, 0, 300, 200)]
        for (lowest, highest), trials in zip(CROP_IOU, draw_trials(rng, 300, 200).tolist()):
            for place, window in enumerate(trials):
                overlaps = [overlap_by_hand(window, box) for box in truth.tolist()]
                if lowest <= min(overlaps) and max(overlaps) <= highest:
                    windows.append(tuple(window))
                    seen["late"] += place >= CROP_EARLY
                    break
        order = rng.permutation(len(windows))
        chosen = next(number for number in order if len(boxes.crop(truth, *windows[number])))
        assert draw_crop(np.random.default_rng(seed), truth, 300, 200) == windows[chosen]
        seen.update(whole=chosen == 0, refused=chosen != order[0])
    assert all(seen[what] for what in ("late", "whole", "refused")), "a poor case to test with"


def test_expansions_are_distributed_as_the_official_ones():
    rng = np.random.default_rng(1)
    random.seed(1)
    image = mx.nd.zeros((20, 30, 3))
    same_distribution([offset + canvas for offset, canvas in (draw_expansion(rng, 30, 20) for _ in range(DRAWS))],
                      [official_image.random_expand(image)[1] for _ in range(DRAWS)])


def test_brightness_is_added_before_contrast_and_both_reach_gluoncvs_bounds_and_no_further():
    rng = np.random.default_rng(0)
    maps = np.array([draw_colour(rng) for _ in range(2000)])
    contrast, shift = maps[:, 0, 0], maps[:, 0, 3]
    is_grey = np.abs(maps[:, :, :3] - contrast[:, None, None] * np.eye(3)).max(axis=(1, 2)) < 1e-9  # no saturation, no hue
    contrast, brightness = contrast[is_grey], shift[is_grey] / contrast[is_grey]
    for drawn, lowest, highest in ((contrast, 0.5, 1.5), (brightness, -32, 32)):
        near = (highest - lowest) / 50
        assert lowest <= drawn.min() < lowest + near and highest - near < drawn.max() <= highest


@pytest.mark.slow
def test_colours_are_distributed_as_the_official_ones():
    pixel = np.array([[[180.0, 90.0, 40.0]]])
    rng = np.random.default_rng(1)
    random.seed(1)
    np.random.seed(1)
    maps = [draw_colour(rng) for _ in range(DRAWS)]
    same_distribution([colour[:, :3] @ pixel[0, 0] + colour[:, 3] for colour in maps],
                      [random_color_distort(mx.nd.array(pixel)).asnumpy()[0, 0] for _ in range(DRAWS)])


@pytest.mark.parametrize("interpolation", range(5))
def test_a_fixed_view_renders_as_the_official_steps_do(interpolation):
    rng = np.random.default_rng(interpolation)
    image = rng.integers(0, 256, (60, 80, 3)).astype(np.uint8)
    colour = np.column_stack([np.eye(3) * 0.8, np.full(3, 10.0)])
    view = View((15, 25), (10, 20, 70, 75), (48, 48), interpolation, True, colour)
    canvas = np.empty((130, 120, 3), np.float32)
    canvas[:] = [255 * mean for mean in (0.485, 0.456, 0.406)]
    canvas[25:85, 15:95] = image * 0.8 + 10
    expected = official_image.imresize(mx.nd.array(canvas[20:95, 10:80]), 48, 48, interp=interpolation)
    expected = expected.asnumpy()[:, ::-1].clip(0, 255)
    assert np.abs(render(image, view).astype(float) - expected).max() <= 1.5


def test_resizing_only_what_sees_the_image_is_resizing_the_whole_window():
    rng = np.random.default_rng(5)
    for trial in range(150):
        image = cv2.resize(rng.integers(0, 256, (12, 16, 3)).astype(np.uint8), (320, 240))
        view = Augmentation(colour=False, crop=trial % 3 > 0).draw(rng, image.shape, np.array([[30, 40, 200, 180, 0, 1.0]]),
                                                                   (int(rng.integers(3, 14)) * 32,) * 2)
        left, top, width, height = view.window
        right, down = view.offset
        canvas = np.full((max(down + 240, top + height), max(right + 320, left + width), 3), FILL, np.uint8)
        canvas[down:down + 240, right:right + 320] = image
        whole = cv2.resize(canvas[top:top + height, left:left + width], view.size, interpolation=view.interpolation)
        whole = whole[:, ::-1] if view.flip else whole
        assert np.abs(render(image, view).astype(int) - whole).max() <= 2, view


def test_boxes_follow_the_image():
    """A white rectangle stays inside its box through every augmentation."""
    image = np.zeros((120, 160, 3), np.uint8)
    image[30:70, 50:110] = 255
    truth = np.array([[50, 30, 110, 70, 2, 0.4]], np.float32)
    augmentation = Augmentation(colour=False)
    for seed in range(60):
        view = augmentation.draw(np.random.default_rng(seed), image.shape, truth, (96, 96))
        seen, (box,) = render(image, view), transform_boxes(truth, view)  # a crop, of an expanded image too, keeps a centre
        assert tuple(box[4:]) == (2, np.float32(0.4))
        left, top, right, bottom = box[:4]
        white = (seen > 200).all(axis=2)
        rows, columns = np.nonzero(white)
        assert abs(columns.min() - left) <= 3 and abs(columns.max() + 1 - right) <= 3
        assert abs(rows.min() - top) <= 3 and abs(rows.max() + 1 - bottom) <= 3


@pytest.mark.parametrize("old, new", (((40, 30), (80, 60)), ((80, 60), (40, 30)), ((40, 60), (80, 30)), ((40, 30), (40, 60))))
def test_the_best_interpolation_is_gluoncvs_automatic_choice(old, new):
    assert best_interpolation(old, new) == mx.image.image._get_interp_method(9, (*old[::-1], *new[::-1]))


def test_without_augmentation_an_image_is_only_resized():
    image = np.random.default_rng(0).integers(0, 256, (100, 200, 3)).astype(np.uint8)
    seen, truth = augment(image, np.array([[30, 40, 170, 90, 2, 0.5]]), (50, 40), 1, Augmentation.none())
    np.testing.assert_array_equal(seen, cv2.resize(image, (50, 40), interpolation=cv2.INTER_AREA))
    np.testing.assert_allclose(truth, [(7.5, 16, 42.5, 36, 2, 0.5)])


@pytest.mark.parametrize("name", ("colour", "expand", "crop", "flip", "random_interpolation"))
def test_each_can_be_switched_off(name):
    truth = some_truth(np.random.default_rng(0), width=160, height=120)
    views = [Augmentation(**{name: False}).draw(np.random.default_rng(seed), (120, 160, 3), truth, (96, 96))
             for seed in range(60)]
    off = {"colour": lambda v: v.colour is None,
           "expand": lambda v: v.offset == (0, 0) and v.window[0] + v.window[2] <= 160 and v.window[1] + v.window[3] <= 120,
           "crop": lambda v: v.window[:2] == (0, 0) and v.window[2] >= 160 and v.window[3] >= 120, "flip": lambda v: not v.flip,
           "random_interpolation": lambda v: v.interpolation == best_interpolation(v.window[2:], v.size)}
    for other, is_off in off.items():
        assert all(map(is_off, views)) == (other == name), other


@pytest.mark.parametrize("family", (Yolo3Options, SsdOptions))
@pytest.mark.parametrize("flag, name", (("no_color", "colour"), ("no_expand", "expand"), ("no_crop", "crop"), ("no_flip", "flip"),
                                        ("no_random_interp", "random_interpolation")))
def test_a_flag_switches_off_what_it_names_and_nothing_else(family, flag, name):
    assert Augmentation.of_flags(family()) == Augmentation()
    assert Augmentation.of_flags(family(**{flag: True})) == Augmentation(**{name: False})
    assert Augmentation.of_flags(family(no_augment=True, **{flag: True})) == Augmentation.none()


def test_half_of_the_images_are_flipped_and_half_are_expanded_and_all_five_interpolations_are_as_frequent():
    views = [Augmentation(crop=False).draw(np.random.default_rng(seed), (60, 80, 3), np.zeros((0, 6), np.float32), (96, 96))
             for seed in range(400)]
    for seen in (lambda view: view.flip, lambda view: view.window[2:] != (80, 60)):
        assert abs(np.mean([seen(view) for view in views]) - 0.5) < 0.085  # 3.4 standard deviations
    assert stats.chisquare(np.bincount([view.interpolation for view in views], minlength=5)).pvalue > 1e-3


@pytest.mark.parametrize("shape", ((1, 1, 3), (1, 50, 3), (50, 2, 3), (3, 3, 3)))
def test_tiny_images_survive(shape):
    image = np.full(shape, 7, np.uint8)
    for seed in range(30):
        truth = np.array([[0, 0, shape[1], shape[0], 0, 1]], np.float32)
        view = Augmentation().draw(np.random.default_rng(seed), shape, truth, (32, 32))
        assert render(image, view).shape == (32, 32, 3)
        transform_boxes(truth, view)
