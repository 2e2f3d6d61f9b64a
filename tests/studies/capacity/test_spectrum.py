"""Spectra against singular values, and conventions against formulas that are written out once more."""
import numpy as np
import pytest

from gluon_bof.errors import UserError
from gluon_bof.studies.capacity import analyze, esd, fit_power_law, plots
from gluon_bof.studies.capacity.lapack import eigenvalues_of_one, one_blas_thread
from gluon_bof.studies.capacity.spectrum import shuffled

RNG = np.random.default_rng(0)
KERNEL = RNG.standard_t(5, (24, 40, 3, 3)) * 0.1


def squared_singular_values(matrix):
    return np.linalg.svd(matrix, compute_uv=False) ** 2


def of_slices(kernel):
    return [np.sort(squared_singular_values(kernel[:, :, row, column])) for row in range(3) for column in range(3)]


def hill_of_the_upper_half(values):
    upper = np.sort(values)[len(values) // 2:]
    return 1 + len(upper) / np.log(upper / upper[0]).sum()


@pytest.mark.parametrize("shape", [(5, 3), (3, 5), (7, 7), (130, 90), (90, 130)])
def test_dense_spectrum_is_the_squared_singular_values(shape):
    matrix = RNG.normal(size=shape)
    assert esd(matrix) == pytest.approx(np.sort(squared_singular_values(matrix)), rel=1e-10)


def test_pooled_convolution_is_all_slices_times_a_half():
    assert esd(KERNEL) == pytest.approx(0.5 * np.sort(np.concatenate(of_slices(KERNEL))), rel=1e-10)


def test_paper_divides_by_the_larger_side_and_sums_over_slices():
    report = analyze({"a.weight": KERNEL}, "paper")
    spectra = [values / 40 for values in of_slices(KERNEL)]
    fits = [fit_power_law(values) for values in spectra]
    assert report.column("alpha") == pytest.approx([fit.alpha for fit in fits], rel=1e-10)
    assert report.column("lambda_max") == pytest.approx([values[-1] for values in spectra], rel=1e-12)
    wanted = sum(fit.alpha * np.log10(values[-1]) for fit, values in zip(fits, spectra))
    assert report.summary["alpha_hat"] == pytest.approx(wanted, rel=1e-10)


def test_slices_of_2019_are_large_enough_and_cut_at_the_largest():
    kernel = RNG.standard_t(3, (60, 52, 1, 2))
    report = analyze({"a.weight": kernel, "small.weight": KERNEL}, "htsr-2019")
    large = [row for row in report.details if row["name"] == "a"]
    for row in large:
        wanted = fit_power_law(squared_singular_values(kernel[:, :, 0, row["slice"]]), "mle-xmax")
        assert (row["alpha"], row["D"]) == (pytest.approx(wanted.alpha, rel=1e-10), pytest.approx(wanted.D, rel=1e-9))
    assert len(large) == 2
    small, = (row for row in report.details if row["name"] == "small")
    assert np.isnan(small["alpha"]) and small["warning"] == "M = 24 is below 50"


@pytest.mark.filterwarnings("ignore:Standard error:DeprecationWarning")
def test_cut_law_is_that_of_powerlaw_where_it_does_not_search_alpha_by_numbers():
    powerlaw = pytest.importorskip("powerlaw")
    values = np.sort((1 - np.random.default_rng(0).random(200)) ** (-1 / 1.5))
    wanted = powerlaw.Fit(values, xmax=values[-1], parameter_ranges={"alpha": [1, None]}, verbose=0)
    found = fit_power_law(values, "mle-xmax")
    assert (found.alpha, found.xmin) == (pytest.approx(wanted.alpha, rel=1e-9), wanted.xmin)
    assert found.D == pytest.approx(wanted.D, abs=1e-9)


def test_hill_is_hills_estimator_above_the_median_of_the_pooled_spectrum():
    pooled = 0.5 * np.concatenate(of_slices(KERNEL))
    row, = analyze({"a.weight": KERNEL}, "hill").details
    assert row["alpha"] == pytest.approx(hill_of_the_upper_half(pooled), rel=1e-10)
    assert (row["tail"], row["method"]) == (len(pooled) - len(pooled) // 2, "median")


def test_farms_is_the_mean_over_square_windows():
    kernel = RNG.normal(size=(16, 50, 3, 3))
    windows = [kernel[:, start:start + 16] for start in (0, 16, 32)]
    spectra = [0.5 * np.concatenate(of_slices(window)) for window in windows]
    row, = analyze({"a.weight": kernel}, "farms").details
    assert row["alpha"] == pytest.approx(np.mean([hill_of_the_upper_half(values) for values in spectra]), rel=1e-10)
    assert row["lambda_max"] == pytest.approx(np.mean([values.max() for values in spectra]), rel=1e-12)
    assert row["Q"] == 1


@pytest.fixture
def drawn(monkeypatch):
    """Figures in the order in which they are drawn."""
    figures = []
    monkeypatch.setattr(plots, "_save", lambda figure, path: figures.append(figure) or path)
    return figures


@pytest.mark.parametrize("convention", ["ww", "ww-slices", "paper", "htsr-2019"])
def test_no_bar_of_the_pair_stands_under_the_name_of_another_layer(drawn, convention):
    weights = {f"features.{place}.weight": RNG.normal(size=(50, 50, 2, 2)) for place in range(3)}
    removed = {**weights, "features.1.weight": np.zeros((50, 50, 2, 2))}
    plain, other = (analyze(arrays, convention) for arrays in (weights, removed))
    plots.draw_pair({"plain": plain, "removed": other}, "a.png", ["features.1"])
    axis = drawn[0].axes[0]
    first, second = ([bar.get_height() for bar in bars] for bars in axis.containers)
    assert first == [row["lambda_max"] for row in plain.details]
    names = [row["name"] for row in plain.details]
    assert second == [0 if name == "features.1" else height for name, height in zip(names, first)]
    labels = [text.get_text() for text in axis.get_xticklabels()]
    assert len(set(labels)) == len(labels)
    assert [label.endswith("*") for label in labels] == [name == "features.1" for name in names]


def test_a_layer_that_one_network_of_the_pair_lacks_says_so_and_one_that_both_lack_has_no_place(drawn):
    weights = {f"features.{place}.weight": RNG.normal(size=(50, 50, 2, 2)) * (place != 2) for place in range(3)}
    removed = {**weights, "features.1.weight": np.zeros((50, 50, 2, 2))}
    plots.draw_pair({"plain": analyze(weights, "ww"), "removed": analyze(removed, "ww")}, "a.png")
    for axis in drawn[0].axes:
        assert [text.get_text() for text in axis.get_xticklabels()] == ["0", "1"]
        none, = axis.texts
        assert none.get_text().strip() == "none" and none.get_position()[0] == pytest.approx(1.2)


def test_eigenvalues_within_a_decade_have_ticks_to_read_them_by(drawn):
    weights = {f"features.{place}.weight": RNG.normal(size=(50, 50)) * (1 + place) for place in range(2)}
    plots.draw_lambda(analyze(weights, "ww"), "a.png")
    assert len(drawn[0].axes[0].get_yticks()) >= 2 and not len(drawn[0].axes[0].get_yticks(minor=True))


def test_a_layer_whose_first_slice_is_zero_is_drawn_by_another(drawn):
    weights = {"a.weight": KERNEL * (np.arange(9).reshape(3, 3) > 0)}
    plots.draw_spectrum(analyze(weights, "ww-slices"), weights, "a.png", "a")
    assert drawn[0].axes[0].get_title().startswith("a [") and not drawn[0].axes[0].get_title().startswith("a [0]")


@pytest.mark.parametrize("convention", ["ww", "paper", "hill"])
def test_the_figure_of_a_spectrum_fits_what_the_table_fits(drawn, convention):
    weights = {"a.weight": RNG.standard_t(3, (64, 64)) * np.where(np.arange(64) < 20, 1, 1e-6)}  # most inputs have faded
    report = analyze(weights, convention, null=True, seed=1)
    plots.draw_spectrum(report, weights, "a.png", seed=1)
    row, axis = report.details[0], drawn[0].axes[0]
    assert f"alpha {row['alpha']:.2f}, D {row['D']:.3f}, tail {row['tail']} of " in axis.get_legend().get_texts()[-1].get_text()
    nearest = np.log10(axis.lines[0].get_xdata()[-1])  # of the shuffled entries, the middle of the last bin
    assert nearest == pytest.approx(row["null_log_spectral_norm"], abs=0.1)


def test_the_figure_of_a_window_does_not_pass_its_own_alpha_off_as_the_layers(tmp_path, drawn):
    weights = {"a.weight": np.random.default_rng(1).normal(size=(16, 50, 3, 3))}
    report = analyze(weights, "farms")
    plots.draw_spectrum(report, weights, str(tmp_path / "a.png"))
    axis, = drawn[0].axes
    first = hill_of_the_upper_half(0.5 * np.concatenate(of_slices(weights["a.weight"][:, :16])))
    label, = (text.get_text() for text in axis.get_legend().get_texts() if "alpha" in text.get_text())
    assert axis.get_title().endswith("farms)\nwindow 1 of 3")
    assert f"alpha {first:.2f}, D" in label and label.endswith(f"mean of the windows' alpha {report.details[0]['alpha']:.2f}")
    plots.draw_spectrum(analyze(weights, "ww-slices"), weights, str(tmp_path / "a.png"))
    row = max(analyze(weights, "ww-slices").details, key=lambda row: row["tail"])
    assert drawn[1].axes[0].get_title().startswith(f"a [{row['slice']}]")


def test_farms_takes_away_the_bias_of_the_aspect_ratio():
    """Gaussian entries: nothing learned, so that only the shape can make a difference."""
    noise = {f"{ratio}.weight": RNG.normal(size=(64 * ratio, 64)) for ratio in (1, 4, 16)}
    spread = {name: np.ptp(analyze(noise, name).column("alpha")) for name in ("hill", "farms")}
    assert spread["hill"] > 3
    assert spread["farms"] < 0.1 * spread["hill"]


def test_scaling_moves_alpha_hat_by_alpha_times_the_log():
    matrix, factor = RNG.standard_t(3, (120, 80)), 3.5
    (one,), (other,) = (analyze({"a.weight": weight}).details for weight in (matrix, factor * matrix))
    assert other["alpha"] == pytest.approx(one["alpha"], rel=1e-10)
    assert other["alpha_weighted"] - one["alpha_weighted"] == pytest.approx(one["alpha"] * np.log10(factor ** 2), rel=1e-9)


def test_a_matrix_with_a_power_laws_spectrum_gives_the_closed_form():
    count, alpha = 500, 2.7
    values = 3.3 * (1 - np.arange(count) / count) ** (-1 / (alpha - 1))
    rng = np.random.default_rng(1)
    left, right = (np.linalg.qr(rng.normal(size=shape))[0] for shape in ((900, count), (count, count)))
    row, = analyze({"a.weight": left * np.sqrt(values) @ right}).details
    wanted = 1 + (alpha - 1) * count / (count * np.log(count) - np.log(np.arange(1, count + 1)).sum())
    assert row["alpha"] == pytest.approx(wanted, rel=1e-9)
    assert row["tail"] == count


@pytest.mark.parametrize("side, tolerance", [(512, 0.1), pytest.param(2048, 0.05, marks=pytest.mark.slow)])
def test_heavy_tailed_entries_give_the_exponent_of_random_matrix_theory(side, tolerance):
    """Pareto entries of tail index mu = 1 give eigenvalues of index mu / 2, that is alpha = 1.5."""
    entries = 1 / (1 - np.random.default_rng(2).random((side, side)))
    signs = np.random.default_rng(3).choice((-1, 1), entries.shape)
    assert abs(fit_power_law(esd(entries * signs)).alpha - 1.5) < tolerance
    assert abs(fit_power_law(esd(entries)).alpha - 1.5) < tolerance


def test_identity_has_its_side_as_stable_rank():
    row, = analyze({"a.weight": np.eye(30)}).details
    assert (row["stable_rank"], row["matrix_rank"]) == (30, 30)
    assert row["entropy"] == pytest.approx(1, abs=1e-7)
    assert row["warning"] == "no spread to fit"


def test_shuffling_keeps_the_entries_and_is_repeatable():
    one, again, other = shuffled(KERNEL, 1), shuffled(KERNEL, 1), shuffled(KERNEL, 2)
    assert np.array_equal(one, again) and not np.array_equal(one, other)
    assert np.array_equal(np.sort(one, axis=None), np.sort(KERNEL, axis=None))


def test_lapack_through_scipys_table_is_numpys():
    matrix = RNG.normal(size=(150, 90))
    gram = matrix @ matrix.T
    with one_blas_thread():
        found = eigenvalues_of_one(gram)
    assert found == pytest.approx(np.linalg.eigvalsh(gram), abs=1e-11 * found[-1])


def test_what_is_no_layer_is_refused():
    with pytest.raises(UserError, match="no layer's"):
        esd(np.zeros((2, 2, 2, 2, 2)))
    with pytest.raises(UserError, match="not finite"):
        esd([[1.0, np.inf], [0.0, 1.0]])
    with pytest.raises(UserError, match="unknown convention"):
        esd(np.eye(3), "weightwatcher")
