"""Anchors against clusters that are known, IoU by hand, and files that are not anchors."""
import json

import numpy as np
import pytest

from gluon_bof.boxes import Record
from gluon_bof.data.anchors import (
    COUNT,
    DEFAULT,
    MAX_SEARCHED,
    box_sizes,
    default_anchors,
    fit_anchors,
    mean_best_iou,
    quality,
    read_anchors,
    size_iou,
    write_anchors,
)
from gluon_bof.errors import UserError

# nine sizes of which no two have a high IoU, sorted by area
CENTRES = np.array([(6, 6), (30, 8), (8, 40), (40, 36), (120, 20), (22, 150), (100, 90), (300, 60), (260, 240)], float)


def clusters(each=40, spread=0.03, seed=0):
    """Sizes around CENTRES, whose means are exactly these."""
    noise = np.random.default_rng(seed).uniform(-spread, spread, (COUNT, each // 2, 2))
    noise = np.concatenate([noise, -noise], axis=1)
    return (CENTRES[:, None] * (1 + noise)).reshape(-1, 2)


def scattered(count=400, seed=1):
    """Sizes as sets have them: of many scales and ratios, without clusters."""
    rng = np.random.default_rng(seed)
    side, ratio = np.exp(rng.uniform(np.log(6), np.log(250), count)), np.exp(rng.normal(0, 0.5, count))
    return np.stack([side * ratio, side / ratio], axis=1)


def test_iou_by_hand():
    sizes = np.array([(10, 20), (3, 4)], float)
    anchors = np.array([(10, 20), (20, 10), (5, 40), (1, 1)], float)
    expected = [[1, 100 / 300, 100 / 300, 1 / 200], [12 / 200, 12 / 200, 12 / 200, 1 / 12]]
    np.testing.assert_allclose(size_iou(sizes, anchors), expected, rtol=1e-12)


def test_quality_by_hand():
    told = quality(np.array([(10, 20), (10, 10), (1, 1)], float), np.array([(10, 20), (10, 40), (2, 2)], float))
    assert told.mean_iou == pytest.approx((1 + 0.5 + 0.25) / 3)
    assert told.recall == pytest.approx(1 / 3)  # an IoU of exactly 0.5 is not above it
    assert told.share.tolist() == pytest.approx([2 / 3, 0, 1 / 3])
    assert told.mean_iou_of[[0, 2]].tolist() == [0.75, 0.25] and np.isnan(told.mean_iou_of[1])


def record(size, boxes, crowd):
    boxes = np.array(boxes, np.float32).reshape(-1, 4)
    return Record("", "", 1, *size, boxes, np.zeros(len(boxes), int), np.zeros(len(boxes), bool), np.array(crowd, bool))


def test_sizes_are_those_of_resized_images_without_crowds():
    records = [record((200, 100), [(0, 0, 20, 10), (5, 5, 105, 55), (0, 0, 200, 100)], [0, 0, 1]), record((50, 50), [], [])]
    np.testing.assert_allclose(box_sizes(records, 400), [(40, 40), (200, 200)])
    assert box_sizes([], 400).shape == (0, 2)


@pytest.mark.parametrize("seed", range(3))
def test_clusters_are_found(seed):
    anchors = fit_anchors(clusters(seed=seed), seed=seed)
    np.testing.assert_allclose(anchors, CENTRES, rtol=0.01)
    assert mean_best_iou(clusters(seed=seed), anchors) >= mean_best_iou(clusters(seed=seed), CENTRES) - 1e-4


def test_nine_different_boxes_are_the_anchors():
    rng = np.random.default_rng(4)
    np.testing.assert_array_equal(fit_anchors(CENTRES[rng.permutation(np.repeat(np.arange(COUNT), 3))]), CENTRES)


def test_fitted_anchors_are_never_worse_than_what_they_start_from():
    """Even where the start cannot be improved on: k-means' centres raise no mean IoU there."""
    for sizes in (scattered(), default_anchors().repeat(5, axis=0), np.vstack([default_anchors() * 3, default_anchors()])):
        first = default_anchors()
        assert mean_best_iou(sizes, fit_anchors(sizes, starts=1, first=first)) >= mean_best_iou(sizes, first)
    np.testing.assert_array_equal(fit_anchors(default_anchors(), starts=1, first=default_anchors()), default_anchors())


def test_fitted_anchors_are_better_than_the_default_ones_and_sorted():
    anchors = fit_anchors(scattered(), first=default_anchors())
    assert mean_best_iou(scattered(), anchors) > mean_best_iou(scattered(), default_anchors()) + 0.01
    assert anchors.shape == (COUNT, 2) and (np.diff(anchors.prod(axis=1)) >= 0).all()
    np.testing.assert_allclose(anchors * 100, np.round(anchors * 100), atol=1e-6)


def test_the_seed_alone_decides():
    np.random.seed(0)
    one = fit_anchors(scattered(), starts=2, seed=7)
    np.random.seed(1)
    np.testing.assert_array_equal(one, fit_anchors(scattered(), starts=2, seed=7))
    assert not np.array_equal(one, fit_anchors(scattered(), starts=2, seed=8))


def test_more_starts_are_no_worse():
    ious = [mean_best_iou(scattered(), fit_anchors(scattered(), starts=starts, seed=3)) for starts in (1, 8)]
    assert ious[0] <= ious[1] + 1e-4  # they are rounded


def test_a_large_set_is_searched_by_sample():
    sizes = np.tile(clusters(), (MAX_SEARCHED // 300, 1))
    assert len(sizes) > MAX_SEARCHED
    np.testing.assert_allclose(fit_anchors(sizes, starts=1, first=CENTRES * 1.02), CENTRES, rtol=0.01)


@pytest.mark.parametrize("sizes, said", [(np.zeros((0, 2)), "0 different"), (CENTRES[:8].repeat(9, axis=0), "8 different")])
def test_too_few_boxes_are_refused(sizes, said):
    with pytest.raises(UserError, match=f"^{said} sizes of boxes are too few for 9 anchors; keep the default"):
        fit_anchors(sizes)


@pytest.mark.parametrize("size", ((0, 5), (5, -1), (np.nan, 5), (np.inf, 5)))
def test_a_box_without_area_is_refused_and_not_compared_with(size):
    """No comparison with its IoU held, and the anchors were nine boxes as they came."""
    with pytest.raises(UserError, match="box 400 has no area.*; leave it out"):
        fit_anchors([*scattered().tolist(), size])


def test_sizes_and_a_start_in_other_forms_give_the_same_anchors():
    whole = scattered().astype(np.int16)
    expected = fit_anchors(whole.astype(float), starts=1, first=default_anchors())
    for sizes, first in ((whole, DEFAULT), (whole.tolist(), default_anchors().tolist())):
        np.testing.assert_array_equal(fit_anchors(sizes, starts=1, first=first), expected)


def test_a_file_of_them_comes_back(tmp_path):
    path = str(tmp_path / "anchors.json")
    anchors = fit_anchors(scattered())
    write_anchors(path, anchors, 416, dataset="Straße", seed=1)
    rows = read_anchors(path)
    assert [len(row) for row in rows] == [6, 6, 6]
    np.testing.assert_array_equal(np.reshape(rows, (COUNT, 2)), anchors)
    content = json.loads((tmp_path / "anchors.json").read_text())
    assert {key: content[key] for key in ("data_shape", "dataset", "seed")} == {"data_shape": 416, "dataset": "Straße", "seed": 1}
    write_anchors(path, anchors, 416, dataset="no UTF-8: \udcff")
    np.testing.assert_array_equal(np.reshape(read_anchors(path), (COUNT, 2)), anchors)


def test_a_bare_list_is_a_file_of_them_too(tmp_path):
    path = tmp_path / "anchors.json"
    path.write_text(json.dumps(default_anchors().tolist()))
    assert tuple(map(tuple, read_anchors(path))) == DEFAULT


def with_first(side):
    pairs = default_anchors().tolist()
    return json.dumps([[side, 1]] + pairs[1:])


BAD = {
    "empty": "",
    "text": "10,13, 16,30",
    "cut": with_first(1)[:-5],
    "deep": "[" * 100_000,
    "number": "9",
    "object": json.dumps({"boxes": default_anchors().tolist()}),
    "eight": json.dumps(default_anchors().tolist()[:8]),
    "ten": json.dumps([[1, 1]] + default_anchors().tolist()),
    "flat": json.dumps(default_anchors().ravel().tolist()),
    "triples": json.dumps([pair + [1] for pair in default_anchors().tolist()]),
    "unsorted": json.dumps(default_anchors().tolist()[::-1]),
    "zero": with_first(0),
    "negative": with_first(-10),
    "nan": with_first(float("nan")),
    "infinite": with_first(float("inf")),
    "too large": with_first(10_001),
    "huge": with_first(10 ** 400),
    "words": with_first("10"),
    "true": with_first(True),
    "null": with_first(None),
    "bytes": b"\xff\xfe\x00[",
    "long": "[" + " " * (1 << 20) + "]",
}


@pytest.mark.parametrize("name", BAD)
def test_other_files_are_named_in_one_line(name, tmp_path):
    path = tmp_path / f"{name}.json"
    path.write_bytes(BAD[name] if isinstance(BAD[name], bytes) else BAD[name].encode())
    with pytest.raises(UserError) as caught:
        read_anchors(str(path))
    assert str(caught.value).startswith(f"{path}: ") and caught.value.remedy and len(str(caught.value)) < 500


def test_files_that_are_not_there_are_named(tmp_path):
    for path in (tmp_path / "none.json", tmp_path):
        with pytest.raises(UserError, match="the anchors cannot be read") as caught:
            read_anchors(str(path))
        assert caught.value.path == str(path)
    with pytest.raises(UserError, match="cannot be written"):
        write_anchors(str(tmp_path / "none" / "a.json"), default_anchors(), 416)
