"""Images of classes as workers make them: views, colours and mixed labels."""
import itertools
import random
from types import SimpleNamespace

import numpy as np
import pytest
from scipy import stats

from gluon_bof.backend import mx
from gluon_bof.data.class_sets import open_classes
from gluon_bof.data.classification import JITTER, LIGHTING, ClassImages, centre_view, draw_colour, draw_view
from gluon_bof.data.sampler import BatchSampler
from gluon_bof.freebies.mixup import MixRatio
from gluon_bof.rng import Purpose, generator
from tests.tiny_sets import write_class_folders


def of_windows(windows, width=90, height=60):
    """Area, aspect and place, in shares of the room, of windows in an image."""
    left, top, wide, high = np.array(windows).T
    return wide * high, wide / high, (left + 0.5) / (width - wide + 1), (top + 0.5) / (height - high + 1)


def test_views_are_distributed_as_mxnets_and_are_a_function_of_the_draw(tmp_path):
    image = np.random.default_rng(1).integers(0, 256, (60, 90, 3)).astype(np.uint8)
    views = [draw_view(generator(Purpose.AUGMENT, 0, number), image, 32, 0.08) for number in range(500)]
    random.seed(0)
    array = mx.nd.array(image)
    theirs = [mx.image.random_size_crop(array, (1, 1), (0.08, 1), (3 / 4, 4 / 3))[1] for _ in views]
    found = of_windows([view.window for view in views])
    assert found[0].min() < 0.15 * 60 * 90 and found[0].max() > 0.8 * 60 * 90
    for ours, officially in zip(found, of_windows(theirs)):
        assert stats.ks_2samp(ours, officially).pvalue > 1e-3
    assert abs(np.mean([view.flip for view in views]) - 0.5) < 0.08
    assert centre_view((60, 90, 3), 32).window == (19, 4, 52, 52)
    training, _ = open_classes(str(write_class_folders(tmp_path / "set", np.random.default_rng(0))))
    images = ClassImages(training.samples, 32)
    sampler = BatchSampler(len(training), 4, 0, (32,), mix=MixRatio(0.2, 0.2), mix_until=1)
    for spec in sampler.draw_batch(0, 0):
        first, second = images[spec], images[spec]
        np.testing.assert_array_equal(first[0], second[0])
        assert first[0].shape == (32, 32, 3) and first[0].dtype == np.uint8
        assert first[1].tolist() == pytest.approx([training.samples[spec.index].class_id,
                                                   training.samples[spec.partner].class_id, spec.ratio], rel=1e-6)


@pytest.mark.parametrize("order", list(itertools.permutations(range(3))))
def test_a_colour_map_is_mxnets_augmenters_one_after_the_other(order):
    image = np.random.default_rng(0).integers(0, 256, (5, 7, 3)).astype(np.uint8)
    steps = mx.image.BrightnessJitterAug, mx.image.ContrastJitterAug, mx.image.SaturationJitterAug
    lighting = mx.image.CreateAugmenter((3, 5, 7), pca_noise=LIGHTING)[-1]
    random.seed(1)
    factors = dict(zip(order, [1 + random.uniform(-JITTER, JITTER) for _ in order]))
    drawn = np.random.RandomState(1).normal(0, LIGHTING, 3)
    ours = draw_colour(SimpleNamespace(uniform=lambda *_: [factors[step] for step in range(3)], permutation=lambda _: order,
                                       normal=lambda *_: drawn), image)
    random.seed(1)
    np.random.seed(1)
    theirs = mx.nd.array(image.astype(np.float32))
    for augment in (*(steps[step](JITTER) for step in order), lighting):
        theirs = augment(theirs)
    np.testing.assert_allclose(image @ ours[:, :3].T + ours[:, 3], theirs.asnumpy(), atol=0.001)


def test_colours_keep_their_mean_on_average_and_jitter_as_far_as_gluoncvs():
    image = np.full((8, 8, 3), (90, 120, 150), np.uint8)
    maps = np.stack([draw_colour(generator(Purpose.AUGMENT, 0, number), image) for number in range(2000)])
    seen = maps[:, :, :3] @ (90, 120, 150) + maps[:, :, 3]
    np.testing.assert_allclose(seen.mean(axis=0), (90, 120, 150), atol=4)
    grey = maps[:, :, :3] @ (100, 100, 100) + maps[:, :, 3]  # of grey, brightness and lighting are all that is left, nearly
    assert 18 < grey.mean(axis=1).std() < 30  # 100 times the deviation of U(0.6, 1.4) is 23
