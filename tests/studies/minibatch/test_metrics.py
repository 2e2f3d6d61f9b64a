"""Metrics of one image: judged numbers, closed forms, and LPIPS beside one that was written for this test in numpy."""
from dataclasses import replace
from types import SimpleNamespace

import numpy as np
import pytest

from gluon_bof.errors import UserError
from gluon_bof.options.minibatch import MinibatchOptions
from gluon_bof.studies.minibatch.lpips import distances_to_mean, load_lpips
from gluon_bof.studies.minibatch.metrics import METRICS, box_area, colour, edges, entropy, intensity, score_all
from gluon_bof.studies.minibatch.scores import scores_of
from gluon_bof.weights.formats import params as params_format

SHAPES = {"0": (64, 3, 11, 11), "3": (192, 64, 5, 5), "6": (384, 192, 3, 3), "8": (256, 384, 3, 3), "10": (256, 256, 3, 3)}


def flat(value, side=32):
    return np.full((side, side, 3), value, np.uint8)


def test_intensity_is_the_sum_of_all_channels():
    assert intensity(flat(255)) == 783_360
    assert intensity(flat(0)) == 0 and intensity(flat((1, 2, 3), 4)) == 96


def test_a_flat_image_has_no_edges_and_a_square_has_them_at_its_border():
    assert edges(flat(255)) == edges(flat(128)) == 0
    image = flat(0)
    image[8:24, 8:24] = 255
    found = edges(image) / 255
    assert 4 * 14 <= found <= 4 * 18  # one pixel wide around the square of 16
    assert edges(image // 25) == 0  # fainter than the thresholds


def test_colour_is_hue_saturation_and_value_of_the_mean():
    assert colour(flat((255, 0, 0))) == pytest.approx((0, 1, 1))
    assert colour(flat((0, 128, 0))) == pytest.approx((1 / 3, 1, 128 / 255))
    half = flat((0, 0, 255))
    half[:16] = 255
    assert colour(half) == pytest.approx((2 / 3, 0.5, 1))


def test_colours_are_compared_by_hue_then_saturation_then_value():
    from gluon_bof.studies.minibatch.partition import ranking
    images = [flat((200, 100, 100)), flat((0, 0, 255)), flat((100, 0, 0)), flat((250, 125, 125)), flat((0, 255, 0))]
    scores = score_all("colour", ((image, None) for image in images))
    assert scores.shape == (5, 3)
    assert ranking(scores).tolist() == [0, 3, 2, 4, 1]


def test_boxes_are_counted_measured_and_mixed():
    truth = np.array([[0, 0, 16, 16, 0, 1], [0, 0, 8, 16, 1, 1]], np.float32)
    assert box_area(flat(0), truth) == pytest.approx((256 + 128) / 2 / 1024)
    assert box_area(flat(0), truth[:0]) == 0
    scores = {name: score_all(name, [(flat(0), truth)])[0, 0] for name in ("objects", "box-area", "class-entropy")}
    assert scores == pytest.approx({"objects": 2, "box-area": 0.1875, "class-entropy": 1})
    assert entropy([]) == 0 and entropy([3, 3]) == 0 and entropy(range(8)) == pytest.approx(3)


def test_the_options_offer_what_there_is():
    from gluon_bof.options.minibatch import METRICS as OFFERED
    assert tuple(METRICS) == OFFERED


# ---- LPIPS -----------------------------------------------------------------------------------------------------------

@pytest.fixture(scope="module")
def files(tmp_path_factory):
    """(AlexNet's file, the linear layers' file, their arrays), random."""
    rng = np.random.default_rng(0)
    folder = tmp_path_factory.mktemp("lpips")
    network = {}
    for name, shape in SHAPES.items():
        network[f"features.{name}.weight"] = rng.normal(0, 1.4 / np.prod(shape[1:]) ** 0.5, shape).astype(np.float32)
        network[f"features.{name}.bias"] = rng.normal(0, 0.1, shape[0]).astype(np.float32)
    network["classifier.1.weight"] = np.zeros((4, 9), np.float32)
    linear = {f"lin{place}.model.1.weight": rng.uniform(0, 1, (1, shape[0], 1, 1)).astype(np.float32)
              for place, shape in enumerate(SHAPES.values())}
    (folder / "alexnet.params").write_bytes(params_format.dumps(network))
    (folder / "alex.params").write_bytes(params_format.dumps(linear))
    return str(folder / "alexnet.params"), str(folder / "alex.params"), network, linear


def windows(x, side, stride):
    """(C, side, side, H, W) of what a kernel sees."""
    seen = np.lib.stride_tricks.sliding_window_view(x, (side, side), axis=(1, 2))[:, ::stride, ::stride]
    return seen.transpose(0, 3, 4, 1, 2)


def independent(one, other, network, linear):
    """The distance of two images by the formula, in float64."""
    def maps(image):
        x = (image.transpose(2, 0, 1) / 255.0 * 2 - 1 - np.array([[[-.030]], [[-.088]], [[-.188]]])) \
            / np.array([[[.458]], [[.448]], [[.450]]])
        for name, stride, padding in (("0", 4, 2), ("3", 1, 2), ("6", 1, 1), ("8", 1, 1), ("10", 1, 1)):
            if name in "36":
                x = windows(x, 3, 2).max(axis=(1, 2))
            x = np.pad(x, ((0, 0), (padding,) * 2, (padding,) * 2))
            weight = network[f"features.{name}.weight"].astype(np.float64)
            x = np.tensordot(weight, windows(x, weight.shape[2], stride), axes=3)
            x = np.maximum(x + network[f"features.{name}.bias"][:, None, None], 0)
            yield x / (np.linalg.norm(x, axis=0) + 1e-10)
    return sum(float((np.squeeze(weights)[:, None, None] * (a - b) ** 2).sum(axis=0).mean())
               for a, b, weights in zip(maps(one), maps(other), linear.values()))


def test_lpips_is_0_of_an_image_with_itself_symmetric_and_the_formula(files):
    rng = np.random.default_rng(1)
    images, others = rng.integers(0, 256, (2, 3, 48, 40, 3)).astype(np.uint8)
    lpips = load_lpips(*files[:2])
    assert np.all(lpips(images, images) == 0)
    found = lpips(images, others)
    assert np.array_equal(found, lpips(others, images)) and np.all(found > 0.01)
    assert found == pytest.approx([independent(*pair, *files[2:]) for pair in zip(images, others)], rel=1e-5)


def test_the_distance_to_the_mean_image_is_that_of_each_image(files, monkeypatch):
    images = np.random.default_rng(2).integers(0, 256, (5, 32, 32, 3)).astype(np.uint8)
    mean = images.mean(axis=0)
    independently = [independent(image, mean, *files[2:]) for image in images]
    for batch in (2, 5, 64):  # looked at together: the last have fewer, none, or are all
        monkeypatch.setattr("gluon_bof.studies.minibatch.lpips.BATCH", batch)
        found = distances_to_mean(load_lpips(*files[:2]), lambda: ((image, None) for image in images))
        assert found == pytest.approx(independently, rel=1e-5)


def test_files_that_are_not_the_two_are_named(files, tmp_path):
    alexnet, linear = files[:2]
    with pytest.raises(UserError, match="this is not AlexNet"):
        load_lpips(linear, linear)
    with pytest.raises(UserError, match="no five layers lin0 to lin4"):
        load_lpips(alexnet, alexnet)
    with pytest.raises(UserError, match="cannot be read"):
        load_lpips(str(tmp_path / "none.params"), linear)
    with pytest.raises(UserError, match="too small for AlexNet"):
        load_lpips(alexnet, linear)(*np.zeros((2, 1, 30, 30, 3), np.uint8))


def test_images_are_not_ranked_by_weights_that_are_not_finite_or_make_distances_that_are_not(files, tmp_path):
    alexnet, linear, network, layers = files
    (tmp_path / "nan.params").write_bytes(params_format.dumps({**layers, "lin2.model.1.weight":
                                                               layers["lin2.model.1.weight"] * np.float32("nan")}))
    (tmp_path / "large.params").write_bytes(params_format.dumps({**network, "features.0.weight":
                                                                 network["features.0.weight"] * np.float32(1e38)}))
    shown = [(flat(0), None), (flat(200), None)]
    task = SimpleNamespace(shown=lambda: iter(shown))
    options = MinibatchOptions(metric="perceptual", alexnet=alexnet, lpips=linear)
    assert scores_of(task, options).shape == (2, 1)
    with pytest.raises(UserError, match="nan.params: lin2.model.1.weight holds values that are not finite"):
        scores_of(task, replace(options, lpips=str(tmp_path / "nan.params")))
    with pytest.raises(UserError, match="alex.params: by these weights and AlexNet's .* is not finite"):
        scores_of(task, replace(options, alexnet=str(tmp_path / "large.params")))
