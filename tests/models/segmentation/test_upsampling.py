"""Ways of upsampling: the lecture's numbers, closed forms, SciPy's sums; that they hybridise, and where gradients go."""
import numpy as np
import pytest

from gluon_bof.backend import autograd, mx
from gluon_bof.models.segmentation.upsampling import (
    Bilinear,
    MaxPooling,
    MaxUnpooling,
    Nearest,
    TransposedConvolution,
    bilinear_filter,
    upsampling_layer,
)
from gluon_bof.options.segmentation import FILLING, UPSAMPLINGS

SMALL = np.array([[1, 2], [3, 4]], np.float32)
POOLED = np.array([[1, 2, 6, 3], [3, 5, 2, 1], [1, 2, 2, 1], [7, 3, 4, 8]], np.float32)  # the lecture's, before max pooling
OF_LECTURE = {
    "nearest": [[1, 1, 2, 2], [1, 1, 2, 2], [3, 3, 4, 4], [3, 3, 4, 4]],
    "bed-of-nails": [[1, 0, 2, 0], [0, 0, 0, 0], [3, 0, 4, 0], [0, 0, 0, 0]],
    "max-unpooling": [[0, 0, 2, 0], [0, 1, 0, 0], [0, 0, 0, 0], [3, 0, 0, 4]],
}


def images(*planes):
    return mx.nd.array(np.array(planes, np.float32)[None])


def applied(kind, x, hybrid=False):
    """What a way of upsampling makes of x (B, C, 2, 2); max unpooling with the places of POOLED."""
    layer = upsampling_layer(kind, x.shape[1])
    layer.initialize()
    pooling = MaxPooling()
    if hybrid:
        layer.hybridize()
        pooling.hybridize()
    if kind != "max-unpooling":
        return layer(x)
    return layer(x, pooling(mx.nd.tile(images(POOLED), (x.shape[0], x.shape[1], 1, 1)))[1])


@pytest.mark.parametrize("kind", sorted(OF_LECTURE))
@pytest.mark.parametrize("hybrid", (False, True))
def test_the_lectures_example_comes_out_number_for_number(kind, hybrid):
    np.testing.assert_array_equal(applied(kind, images(SMALL), hybrid).asnumpy()[0, 0], OF_LECTURE[kind])


def test_max_pooling_is_mxnets_and_remembers_the_lectures_places():
    highest, places = MaxPooling()(images(POOLED))
    np.testing.assert_array_equal(highest.asnumpy()[0, 0], [[5, 6], [7, 8]])
    np.testing.assert_array_equal(places.asnumpy()[0].argmax(axis=0), [[3, 0], [2, 3]])


def test_of_equal_values_the_first_is_the_maximum_and_only_that_one():
    x = mx.nd.zeros((2, 3, 8, 8))  # as behind a ReLU that lets nothing through
    highest, places = MaxPooling()(x)
    found = MaxUnpooling()(highest + 1, places).asnumpy()
    wanted = np.zeros((8, 8))
    wanted[::2, ::2] = 1
    np.testing.assert_array_equal(found, np.broadcast_to(wanted, (2, 3, 8, 8)))


def test_unpooling_puts_maxima_where_they_were_and_gradients_come_back_from_there():
    rng = np.random.default_rng(0)
    x = mx.nd.array(rng.normal(size=(2, 3, 6, 10)))
    values = mx.nd.array(rng.normal(size=(2, 3, 3, 5)))
    x.attach_grad()
    values.attach_grad()
    with autograd.record():
        highest, places = MaxPooling()(x)
        found = MaxUnpooling()(values, places)
        total = (found * mx.nd.arange(found.size).reshape(found.shape)).sum() + (2 * highest).sum()
    total.backward()
    is_highest = x.asnumpy() == np.repeat(np.repeat(highest.asnumpy(), 2, 2), 2, 3)
    wanted = np.where(is_highest, np.repeat(np.repeat(values.asnumpy(), 2, 2), 2, 3), 0)
    np.testing.assert_array_equal(found.asnumpy(), wanted)
    np.testing.assert_array_equal(x.grad.asnumpy(), 2.0 * is_highest)  # the places themselves have none
    weights = np.where(is_highest, np.arange(found.size).reshape(found.shape), 0)
    windows = weights.reshape(2, 3, 3, 2, 5, 2).sum(axis=(3, 5))
    np.testing.assert_array_equal(values.grad.asnumpy(), windows)


@pytest.mark.parametrize("kind", UPSAMPLINGS)
def test_channels_and_images_stay_apart(kind):
    rng = np.random.default_rng(1)
    x = rng.normal(size=(2, 4, 2, 2)).astype(np.float32)
    whole = applied(kind, mx.nd.array(x)).asnumpy()
    assert whole.shape == (2, 4, 4, 4)
    for image in range(2):
        for channel in range(4):
            alone = applied(kind, mx.nd.array(x[image:image + 1, channel:channel + 1])).asnumpy()
            np.testing.assert_allclose(whole[image, channel], alone[0, 0], atol=1e-6)


def interpolated(plane, factor):
    """(h, w) -> (factor * h, factor * w), linear between the middles of pixels, each axis by itself; NaN outside them."""
    for _ in range(2):
        places = (np.arange(len(plane) * factor) + 0.5) / factor - 0.5
        columns = [np.interp(places, np.arange(len(plane)), column, np.nan, np.nan) for column in plane.T]
        plane = np.array(columns)
    return plane


@pytest.mark.parametrize("factor", (2, 4, 8))
@pytest.mark.parametrize("groups", (1, 3))
def test_a_transposed_convolution_begins_as_bilinear_interpolation(factor, groups):
    x = np.random.default_rng(2).normal(size=(1, 3, 5, 6)).astype(np.float32)
    learned = TransposedConvolution(3, factor, groups)
    learned.initialize()
    found, fixed = learned(mx.nd.array(x)).asnumpy(), Bilinear(factor)(mx.nd.array(x)).asnumpy()
    for channel in range(3):
        wanted = interpolated(x[0, channel], factor)
        inside = np.isfinite(wanted)
        assert inside.sum() == (4 * factor) * (5 * factor)
        np.testing.assert_allclose(found[0, channel][inside], wanted[inside], atol=1e-5)
        np.testing.assert_allclose(fixed[0, channel][inside], wanted[inside], atol=1e-5)


@pytest.mark.parametrize("side, wanted", ((4, [0.25, 0.75, 0.75, 0.25]), (3, [0.5, 1, 0.5])))
def test_the_bilinear_filter_is_a_tent(side, wanted):
    np.testing.assert_array_equal(bilinear_filter(side), np.outer(wanted, wanted).astype(np.float32))


def test_nearest_repeats_every_value():
    x = np.random.default_rng(3).normal(size=(2, 3, 4, 5)).astype(np.float32)
    np.testing.assert_array_equal(Nearest(4)(mx.nd.array(x)).asnumpy(), x.repeat(4, axis=2).repeat(4, axis=3))


@pytest.mark.parametrize("kind, factor", (("other", 2), ("bed-of-nails", 4), ("max-unpooling", 8)))
def test_what_cannot_be_is_refused(kind, factor):
    with pytest.raises(ValueError, match=kind):
        upsampling_layer(kind, 3, factor)
    assert set(FILLING) < set(UPSAMPLINGS)
