"""Label maps that are scaled, cropped and flipped with their images: against pixels that are told apart one by one."""
import tracemalloc

import cv2
import numpy as np
import pytest
from scipy import stats

from gluon_bof.freebies.augmentation import View, render
from gluon_bof.freebies.label_maps import MapView, draw_map_view, fitted_view, render_image, render_labels, unfitted
from gluon_bof.masks import NOBODY


def rng(seed=0):
    return np.random.Generator(np.random.Philox(seed))


def fields(height, width, cell=10, seed=0):
    """(image, labels) of square fields, whose colour tells their label."""
    labels = np.random.default_rng(seed).integers(0, 5, (-(-height // cell), -(-width // cell))).astype(np.uint8)
    labels = labels.repeat(cell, 0).repeat(cell, 1)[:height, :width]
    return (labels[..., None] * np.array([50, 20, 10])).astype(np.uint8), labels


@pytest.mark.parametrize("shape", ((60, 90), (90, 60), (37, 53)))
@pytest.mark.parametrize("seed", range(12))
def test_labels_lie_where_the_image_shows_them(shape, seed):
    image, labels = fields(*shape)
    seen = draw_map_view(rng(seed), image.shape, 80, 64)
    found, maps = render_image(image, seen._replace(blur=0.0)), render_labels(labels, seen.view)
    assert found.shape == (64, 64, 3) and maps.shape == (64, 64)
    known = maps != NOBODY
    told = np.abs(found[known].astype(int) - maps[known][:, None] * np.array([50, 20, 10])).max(axis=1)
    assert known.any() and np.mean(told <= 2) > 0.6  # all but edges between fields, which the image interpolates


def test_nothing_is_interpolated_between_labels():
    labels = np.where(np.arange(64) % 2, 0, 200).astype(np.uint8)[None].repeat(64, 0)
    found = render_labels(labels, View((0, 0), (0, 0, 64, 64), (40, 40), cv2.INTER_AREA, False, None))
    assert set(np.unique(found)) <= {0, 200}


def test_half_the_size_takes_the_label_at_the_middle_of_each_pixel():
    labels = np.arange(36, dtype=np.uint8).reshape(6, 6)
    view = View((0, 0), (0, 0, 6, 6), (2, 2), cv2.INTER_AREA, False, None)
    np.testing.assert_array_equal(render_labels(labels, view), [[7, 10], [25, 28]])  # rows and columns 1 and 4
    flipped = View((0, 0), (0, 0, 6, 6), (2, 2), cv2.INTER_AREA, True, None)
    np.testing.assert_array_equal(render_labels(labels, flipped), [[10, 7], [28, 25]])


def test_beyond_the_image_nothing_counts_and_the_image_is_grey():
    image, labels = fields(20, 30)
    view = fitted_view(image.shape, 30)
    found, maps = render(image, view), render_labels(labels, view)
    assert (maps[20:] == NOBODY).all() and (maps[:20] == labels).all()
    assert np.ptp(found[22:], axis=(0, 1)).max() == 0 and found[25, 0].min() > 90


def test_scales_corners_flips_and_blurs_are_gluoncvs():
    drawn = [draw_map_view(rng(seed), (1000, 1500), 2000, 600) for seed in range(600)]
    left, top, sides, _ = np.array([seen.view.window for seen in drawn]).T
    blurs = np.array([seen.blur for seen in drawn])
    for uniform in ((600 / sides * 1500 - 1000) / 3000,  # the long side, half to twice the base size
                    (left + 0.5) / (1500 - sides + 1), (top + 0.5) / (1000 - sides + 1), blurs[blurs > 0]):
        assert stats.kstest(uniform, "uniform").pvalue > 1e-3 and uniform.min() < 0.03 and uniform.max() > 0.97
    for half in ([seen.view.flip for seen in drawn], blurs > 0):
        assert abs(np.mean(half) - 0.5) < 0.07
    smaller = draw_map_view(rng(), (100, 150), 200, 800).view
    assert smaller.window[:2] == (0, 0) and smaller.window[2] > 150


def test_the_same_generator_gives_the_same_view():
    one, again, other = (draw_map_view(rng(seed), (40, 50), 64, 32) for seed in (3, 3, 4))
    assert repr(one) == repr(again) != repr(other)


def test_a_blur_is_opencvs_gaussian_and_leaves_labels_alone():
    image, _ = fields(32, 32)
    view = fitted_view(image.shape, 32)
    np.testing.assert_array_equal(render_image(image, MapView(view, 0.8)), cv2.GaussianBlur(image, (0, 0), 0.8))


@pytest.mark.parametrize("shape", ((40, 400), (400, 40), (7, 100), (90, 120)))
@pytest.mark.parametrize("size", (32, 48, 160))
def test_scores_of_an_elongated_image_are_those_of_the_square_around_it(shape, size):
    scores, side = np.random.default_rng(size).random((2, size, size), np.float32), max(shape)
    square = np.stack([cv2.resize(plane, (side, side), interpolation=cv2.INTER_LINEAR) for plane in scores])
    np.testing.assert_allclose(unfitted(scores, shape), square[:, :shape[0], :shape[1]], rtol=0, atol=2e-7)


@pytest.mark.parametrize("shape", ((100, 16000), (16000, 100)))
def test_scores_of_an_elongated_image_take_no_memory_for_the_square_around_it(shape):
    tracemalloc.start()
    assert unfitted(np.zeros((1, 160, 160), np.float32), shape).shape == (1, *shape)
    assert tracemalloc.get_traced_memory()[1] < 10 * 4 * shape[0] * shape[1]
    tracemalloc.stop()


@pytest.mark.parametrize("shape", ((48, 64), (64, 48), (64, 64), (13, 100)))
@pytest.mark.parametrize("size", (32, 64, 128))
def test_scores_come_back_to_the_images_own_pixels(shape, size):
    """A ramp along each side, seen and brought back, is that ramp again."""
    rows, columns = np.mgrid[:shape[0], :shape[1]].astype(np.float32)
    side = max(shape)
    middles = (np.arange(size) + 0.5) * side / size - 0.5
    scores = np.stack([np.repeat(middles[:, None], size, 1), np.repeat(middles[None], size, 0)]).astype(np.float32)
    found = unfitted(scores, shape)
    assert found.shape == (2, *shape)
    edge = int(np.ceil(side / size))
    inside = np.s_[edge:-edge, edge:-edge]
    np.testing.assert_allclose(found[0][inside], rows[inside], atol=0.02)
    np.testing.assert_allclose(found[1][inside], columns[inside], atol=0.02)
