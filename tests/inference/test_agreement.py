"""What two programs find in one image, matched: in any order, within a tolerance, and when they disagree."""
import contextlib
from types import SimpleNamespace

import numpy as np
import pytest

from gluon_bof.backend import mx
from gluon_bof.errors import UserError
from gluon_bof.inference.agreement import Check, _compare_seen, _differences, match_rows, refuse_disagreement
from gluon_bof.models.build import CANDIDATES


def test_rows_are_matched_in_any_order_and_only_within_tolerance():
    rows = np.array([[0, 0.9, 1, 2, 3, 4], [1, 0.8, 5, 6, 7, 8], [0, 0.7, 9, 9, 12, 12], [-1, -1, -1, -1, -1, -1]], np.float32)
    assert match_rows(rows, rows[::-1], 99) == (3, 0, 0, 0)
    for column, by in ((0, 1), (1, 2e-4), (2, 0.06), (5, -0.06)):
        moved = rows.copy()
        moved[1, column] += by
        assert match_rows(rows, moved, 99)[3] == 2
    assert match_rows(rows, rows[:2], 99)[3] == match_rows(rows[:2], rows, 99)[3] == 1
    assert match_rows(rows[[0, 0]], rows[:1], 99)[3] == 1  # one partner serves once
    cells = np.column_stack([rows, np.full((4, 9), 0.5, np.float32)])
    assert match_rows(cells, cells[::-1], 99) == (3, 0, 0, 0)
    assert match_rows(cells, cells + np.float32(2e-4) * (np.arange(15) == 14), 99)[3] == 6
    near = rows + np.float32(1e-3) * (np.arange(6) == 3)
    assert match_rows(rows[:3], near[:3], 99)[2:] == (pytest.approx(1e-3, rel=1e-2), 0)


def test_candidates_before_suppression_are_as_far_apart_as_the_furthest_of_them():
    wanted = [np.ones((1, 5, 4), np.float32), np.zeros((1, 5, 3), np.float32)]
    found = [array.copy() for array in wanted]
    found[0][0, 3, 2] += 0.5
    found[1][0, 1, 0] += 0.125
    assert _differences(wanted, found, CANDIDATES, 64) == (5, 0.125, 0.5, 0)


@pytest.mark.parametrize("far, worst", (((0.5, 0.0), 0.5), ((0.0, np.nan), np.nan), ((np.nan, 0.0), np.nan)))
def test_the_worst_image_counts_wherever_it_stands_and_a_nan_is_the_worst(far, worst):
    zeros = mx.nd.zeros((1, 1, 4)), mx.nd.zeros((1, 1, 1))
    found = ([zeros[0].asnumpy(), np.full((1, 1, 1), score, np.float32)] for score in far)
    check = _compare_seen(lambda seen: zeros, SimpleNamespace(device=mx.cpu()), CANDIDATES, lambda seen: next(found),
                          [np.zeros((32, 32, 3), np.uint8)] * 2, (1,))
    np.testing.assert_equal(check, Check(2, 2, worst, 0.0, 0))
    with pytest.raises(UserError, match="disagrees with MXNet"):
        refuse_disagreement(check, "a.onnx", "onnxruntime", "")


@pytest.mark.parametrize("detections, unmatched, is_refused", ((2, 1, False), (2, 2, True), (100, 3, False), (100, 4, True)))
def test_a_few_detections_without_a_partner_are_chance_and_more_are_a_disagreement(detections, unmatched, is_refused):
    with pytest.raises(UserError, match="disagrees with MXNet") if is_refused else contextlib.nullcontext():
        refuse_disagreement(Check(1, detections, 0.0, 0.0, unmatched), "a.onnx", "onnxruntime", "")
