"""Rows, warnings, blocks and the null."""
import csv
import dataclasses
import io

import numpy as np
import pytest

from gluon_bof.errors import UserError
from gluon_bof.options import families
from gluon_bof.options.recipes import RECIPES
from gluon_bof.options.segmentation import MODELS
from gluon_bof.studies.capacity import analyze
from gluon_bof.studies.capacity.fit import PowerLaw, fit_power_law
from gluon_bof.studies.capacity.layers import IS_WEIGHT, OTHER, block_of, layers_of
from gluon_bof.studies.capacity.metrics import doubts, finger_probability
from gluon_bof.studies.capacity.report import COLUMNS

RNG = np.random.default_rng(0)


def row_of(weight, convention="ww", **options):
    row, = analyze({"a.weight": weight}, convention, **options).details
    return row


@pytest.mark.parametrize("convention", ["ww", "ww-slices", "paper", "hill", "farms", "htsr-2019"])
@pytest.mark.parametrize("weight, told", [
    (np.zeros((60, 60, 3, 3)), "all weights are 0"),
    (np.where(np.arange(60) == 7, np.nan, np.ones((60, 60))), "60 values are not finite"),
    (np.full((60, 60), 0.3), ""), (RNG.normal(size=(1, 60)), ""), (RNG.normal(size=(1, 1, 1, 1)), ""), (np.eye(60), "no spread"),
])
def test_degenerate_layers_have_a_row_without_an_exponent_and_say_why(convention, weight, told):
    rows = analyze({"a.weight": weight}, convention).details
    assert rows
    for row in rows:
        assert set(COLUMNS) <= set(row)
        assert np.isnan(row["alpha"]) and row["tail"] == 0
        assert row["warning"] and told in row["warning"]


def test_huge_layers_are_not_decomposed():
    row = row_of(RNG.normal(size=(40, 50)), largest=30)
    assert row["warning"] == "40 eigenvalues are more than 30" and np.isnan(row["alpha"])


def test_a_degenerate_layer_does_not_spoil_the_summary():
    good = {"good.weight": RNG.standard_t(3, (80, 70))}
    alone, together = (analyze(arrays).summary for arrays in (good, {**good, "bad.weight": np.zeros((40, 40))}))
    assert together["alpha_hat"] == alone["alpha_hat"]
    assert (together["rows"], together["fitted"]) == (2, 1)


def test_few_eigenvalues_are_warned_of_and_many_are_not():
    # 49 and 51 of them
    assert "only 49 eigenvalues" in row_of(RNG.standard_t(3, (60, 49)))["warning"]
    assert "eigenvalues" not in row_of(RNG.standard_t(3, (60, 51)))["warning"]


def test_exponents_from_2_to_6_of_tails_of_10_are_not_doubted_and_others_are():
    def told(**changes):
        return doubts(np.geomspace(1, 9, 60), PowerLaw(3.0, 1.0, 0.1, 0.2, 60, 60, "mle")._replace(**changes))

    assert told(alpha=2.0) == told(alpha=6.0) == told(n_tail=10) == told(n=50) == []
    assert told(alpha=1.99) == told(alpha=6.01) == ["alpha outside 2 to 6"]
    assert told(n_tail=9) == ["a tail of 9"]


def test_one_eigenvalue_off_the_tail_is_called_a_finger():
    matrix = RNG.normal(size=(300, 200)) / 10
    spike = np.outer(RNG.normal(size=300), RNG.normal(size=200)) / 5
    assert "single finger" in row_of(matrix + spike)["warning"]
    assert "single finger" not in row_of(matrix)["warning"]


def test_probability_of_a_finger_is_uniform_under_the_law():
    rng = np.random.default_rng(4)
    found = []
    for _ in range(2000):
        values = np.sort((1 - rng.random(30)) ** (-1 / 1.5))
        found.append(finger_probability(values, fit_power_law(values)._replace(xmin=values[0], n_tail=30)))
    assert np.quantile(found, (0.1, 0.5, 0.9)) == pytest.approx((0.1, 0.5, 0.9), abs=0.04)


def test_norms_are_those_of_the_eigenvalues():
    matrix = RNG.normal(size=(70, 60))
    row = row_of(matrix)
    total, largest = (matrix ** 2).sum(), np.linalg.norm(matrix, 2) ** 2
    assert row["log_norm"] == pytest.approx(np.log10(total), rel=1e-12)
    assert row["log_spectral_norm"] == pytest.approx(np.log10(largest), rel=1e-12)
    assert row["stable_rank"] == pytest.approx(total / largest, rel=1e-12)
    assert row["log_stable_rank"] == pytest.approx(np.log(total) / np.log(largest), rel=1e-12)
    values = np.linalg.svd(matrix, compute_uv=False) ** 2
    assert row["log_alpha_norm"] == pytest.approx(np.log10((values ** row["alpha"]).sum()), rel=1e-10)
    assert row["log_l1_bound"] == pytest.approx(np.log10(np.abs(matrix).sum(axis=1).max()), rel=1e-12)
    assert row["matrix_rank"] == np.linalg.matrix_rank(matrix)


def test_rank_is_the_true_one():
    low = RNG.normal(size=(80, 9)) @ RNG.normal(size=(9, 70))
    assert row_of(low)["matrix_rank"] == np.linalg.matrix_rank(low) == 9
    assert row_of(np.outer(np.ones(60), np.ones(60)))["entropy"] == 0


def test_null_is_of_the_shuffled_entries_and_the_same_for_the_same_seed():
    structured = RNG.normal(size=(100, 3)) @ RNG.normal(size=(3, 90)) + 0.3 * RNG.normal(size=(100, 90))
    one, again, other = (row_of(structured, null=True, seed=seed) for seed in (1, 1, 2))
    assert one["null_alpha"] == again["null_alpha"] != other["null_alpha"]
    assert one["null_log_spectral_norm"] < one["log_spectral_norm"] - 0.5  # no strong direction is left
    assert "null_alpha" not in row_of(structured)


def test_parts_of_a_detector_are_told_by_their_names():
    wanted = {"stages.0.0.weight": "backbone", "yolo_blocks.0.tip.0.weight": "neck", "transitions.1.0.weight": "neck",
              "yolo_outputs.2.prediction.weight": "heads", "features.resnetv1b_layers1_conv0_weight": "backbone",
              "features.P5_conv_lat_weight": "neck", "top_features.0.1.conv2.weight": "backbone",
              "box_features.0.weight": "heads", "box.0.weight": "heads",
              "rpn.rpn_head.conv1.0.weight": "heads", "class_predictor.weight": "heads", "layer3.1.conv2.weight": "backbone",
              "fc.weight": "heads", "onnx::Conv_412": "other",
              "mask.deconv.0.weight": "heads", "backbone.mask.weight": "backbone", "features.0.box.weight": "backbone"}
    assert {name: block_of(name) for name in wanted} == wanted


@pytest.mark.parametrize("recipe, changes", [
    *((f"{family.name}/embedded", {}) for family in families.inferring()),
    *(("segmentation/embedded", {"model": model, "backbone": backbones[-1]}) for model, backbones in MODELS.items())])
def test_every_layer_of_a_network_that_is_trained_here_is_of_a_block(recipe, changes):
    from gluon_bof.backend import mx
    from gluon_bof.models.build import models_of
    options = dataclasses.replace(RECIPES[recipe].options, pretrained_base="no", gpus="", **changes).resolved()
    names = models_of(options).build(options, ("a", "b"), [mx.cpu()])._collect_params_with_prefix()
    assert [name for name in names if IS_WEIGHT.search(name) and block_of(name) == OTHER] == []


def test_what_is_no_weight_is_no_layer():
    arrays = {"a.weight": np.ones((3, 4)), "a.bias": np.ones(3), "norm.gamma": np.ones(3), "anchors": np.ones((1, 1, 3, 2)),
              "offsets": np.ones((1, 1, 9, 9, 2)), "counter.weight": np.ones((2, 2), int)}
    assert [layer.name for layer in layers_of(arrays)] == ["a"]
    with pytest.raises(UserError, match="no layer"):
        layers_of({"a.bias": np.ones(3)})


def test_csv_holds_every_row_and_number():
    report = analyze({"a.weight": RNG.normal(size=(60, 60, 3, 3)), "b.weight": np.zeros((9, 9))}, "ww-slices")
    rows = list(csv.DictReader(io.StringIO(report.csv())))
    assert [row["name"] for row in rows] == [row["name"] for row in report.details]
    assert float(rows[0]["alpha"]) == report.details[0]["alpha"]
    assert rows[-1]["alpha"] == ""
