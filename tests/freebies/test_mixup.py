"""Pixels, boxes and weights against GluonCV's MixupDetection."""
import numpy as np
import pytest

from gluon_bof import boxes
from gluon_bof.backend import gluon, mx
from gluon_bof.freebies.augmentation import FILL, Augmentation, View, augment, render
from gluon_bof.freebies.mixup import MixRatio, blend_images, merge_truths, mix, mixed_shape
from gluon_bof.inference.model import Prediction
from gluon_bof.visualization.draw import draw_detections

from gluoncv.data import MixupDetection


class _Two(gluon.data.Dataset):
    def __init__(self, images, labels):
        self.items = list(zip(images, labels))

    def __len__(self):
        return 2

    def __getitem__(self, index):
        return mx.nd.array(self.items[index][0], dtype="uint8"), self.items[index][1]


def random_case(seed):
    rng = np.random.default_rng(seed)
    images = [rng.integers(0, 256, (rng.integers(20, 60), rng.integers(20, 60), 3)).astype(np.uint8) for _ in "ab"]
    truths = [np.ones((rng.integers(0 if seed else 1, 4), 6), np.float32) for _ in "ab"]
    for truth in truths:
        truth[:, :5] = rng.uniform(0, 20, (len(truth), 5))
    return images, truths, rng.uniform(0, 1)


@pytest.mark.parametrize("seed", range(20))
def test_pixels_boxes_and_weights_equal_the_official_ones(seed):
    images, truths, ratio = random_case(seed)
    official = MixupDetection(_Two(images, [truth[:, :5] for truth in truths]), lambda: ratio)
    image, labels = official[0]
    ours, truth = mix(images[0], truths[0], images[1], truths[1], ratio)
    assert ours.shape == image.shape
    assert np.abs(ours.astype(int) - image.asnumpy().astype(int)).max() <= 1
    np.testing.assert_allclose(truth, labels, atol=1e-5)


def test_geometry_is_kept_and_the_canvas_is_the_larger_of_both():
    wide, high = np.full((10, 40, 3), 200, np.uint8), np.full((30, 20, 3), 100, np.uint8)
    mixed = blend_images(wide, high, 0.25)
    assert mixed.shape == (30, 40, 3)
    assert (mixed[:10, :20] == 125).all() and (mixed[:10, 20:] == 50).all()
    assert (mixed[10:, :20] == 75).all() and (mixed[10:, 20:] == 0).all()


@pytest.mark.parametrize("seed", range(8))
def test_blending_only_what_is_seen_changes_no_pixel(seed):
    images, _, ratio = random_case(seed)
    shape = mixed_shape(*(image.shape for image in images))
    rng = np.random.default_rng(seed)
    seen = 0
    for _ in range(40):
        view = Augmentation().draw(rng, shape, np.array([[5, 5, 15, 15, 0, 1.0]]), (32, 32))
        part, view_of_part = view.crop_to_visible(shape)
        of_part = render(blend_images(*(image[part] for image in images), ratio), view_of_part)
        np.testing.assert_array_equal(of_part, render(blend_images(*images, ratio), view))
        seen += shape != of_part.shape and (of_part != FILL).any()
    assert seen > 20


def test_a_view_beyond_the_images_sees_the_margin():
    (a, b), _, ratio = random_case(3)
    for offset in ((500, 10), (10, 500)):
        view = View(offset, (0, 0, 100, 100), (32, 32), 1, False, None)
        part, view_of_part = view.crop_to_visible(mixed_shape(a.shape, b.shape))
        assert (render(blend_images(a[part], b[part], ratio), view_of_part) == FILL).all()
        assert (render(blend_images(a[part], a[part], ratio), view_of_part) == FILL).all()  # of one shape, and empty


def test_one_image_with_the_whole_weight_stays_itself():
    (a, b), _, _ = random_case(4)
    np.testing.assert_array_equal(blend_images(a, b, 1.0)[:a.shape[0], :a.shape[1]], a)


def test_unweighted_mixup_leaves_every_weight_at_one():
    _, truths, ratio = random_case(7)
    assert (merge_truths(*truths, ratio, weighted=False)[:, 5] == 1).all()


@pytest.mark.parametrize("ratio", (-0.1, 1.1, float("nan")))
def test_a_ratio_outside_its_range_is_refused(ratio):
    (a, b), _, _ = random_case(1)
    with pytest.raises(ValueError, match="mix ratio"):
        blend_images(a, b, ratio)


@pytest.mark.parametrize("value", (float("nan"), float("inf"), 0, -1, 1e-300, 1e-4))
def test_a_distribution_that_numpy_draws_nothing_of_or_never_ends_is_refused(value):
    rng = np.random.default_rng(0)
    for ratio in (MixRatio(value, 1.5), MixRatio(1.5, value), MixRatio(value, value)):
        with pytest.raises(ValueError, match=f"a Beta distribution of {value}"):
            ratio.draw(rng)
    assert MixRatio(value, value, even=True).draw(rng) == 0.5 and 0 <= MixRatio(1e-3, 1e3).draw(rng) <= 1


@pytest.mark.parametrize("kind", (np.int64, np.int16, np.uint16, np.float16))
def test_boxes_of_whole_numbers_and_of_16_bits_are_weighed_and_seen_as_those_of_floats(kind):
    whole = np.array([[3, 4, 17, 15, 2, 1]], kind)
    for truths in ((whole, whole), (whole, whole.astype(np.float32))):
        merged = merge_truths(*truths, 0.6)
        assert merged.dtype == np.float32 and merged[:, 5].tolist() == pytest.approx([0.6, 0.4])
    image = np.zeros((20, 30, 3), np.uint8)
    for seed in range(8):
        seen = [augment(image, truth, (37, 41), seed)[1] for truth in (whole, whole.astype(np.float32))]
        np.testing.assert_array_equal(*seen)
    for change in (lambda truth: boxes.crop(truth, 2.5, 3.5, 20, 30), lambda truth: boxes.translate(truth, 0.5, 0.5),
                   lambda truth: boxes.resize(truth, 0.5, 0.3), lambda truth: boxes.flip(truth, 20.5),
                   lambda truth: boxes.area(20 * truth), lambda truth: boxes.iou(20 * truth, 20 * truth + 7)):
        np.testing.assert_array_equal(change(whole), change(whole.astype(np.float32)))


def test_boxes_may_be_lists():
    truth = [[3, 4, 17, 15, 2, 1], [5, 6, 20, 19, 1, 1]]
    for use in (lambda truth: boxes.iou(truth, truth), boxes.area,
                lambda truth: merge_truths(truth, truth, 0.6), lambda truth: boxes.crop(truth, 2.5, 3.5, 20, 30),
                lambda truth: augment(RGB, truth, (37, 41), 3)[1]):
        np.testing.assert_array_equal(use(truth), use(np.array(truth, np.float32)))
    assert boxes.iou([[0, 0, 2, 2.5]], [[0, 0, 2, 5]]).tolist() == [[0.5]]


@pytest.mark.parametrize("truth", ([], [3, 4, 17, 15], [[3, 4, 17]], np.zeros((1, 2, 6)), [["a"] * 6], None))
def test_what_is_no_boxes_is_told_by_its_shape(truth):
    for use in (lambda: boxes.iou(truth, truth), lambda: augment(RGB, truth, (32, 32)), lambda: merge_truths(truth, truth, 0.5)):
        with pytest.raises(ValueError, match="is no boxes"):
            use()


@pytest.mark.parametrize("size", (64, (0, 64), (-5, 64), (64.0, 64), (64, 64, 3), ("64", "64"), None))
def test_a_size_that_no_image_has_is_told(size):
    with pytest.raises(ValueError, match="is no width and height in pixels"):
        augment(RGB, NONE, size)


NONE = np.zeros((0, 6), np.float32)
RGB = np.zeros((20, 30, 3), np.uint8)


@pytest.mark.parametrize("image", (RGB / 255, RGB[:, :, 0], np.dstack([RGB, RGB[:, :, :1]]), RGB.astype(np.uint16), "a.jpg"))
@pytest.mark.parametrize("use", (lambda image: blend_images(image, RGB, 0.5), lambda image: blend_images(RGB, image, 0.5),
                                 lambda image: mix(image, NONE, RGB, NONE, 0.5), lambda image: augment(image, NONE, (32, 32)),
                                 lambda image: draw_detections(image, Prediction(NONE[:, :4], NONE[:, 4], [], NONE[:, 5]))))
def test_what_is_no_image_of_bytes_in_three_colours_is_refused_where_its_pixels_would_be_wrong(image, use):
    with pytest.raises(ValueError, match="is no image"):
        use(image)
