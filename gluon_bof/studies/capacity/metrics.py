"""What one layer's spectrum says, and when not to trust it."""
from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from gluon_bof.studies.capacity.fit import PowerLaw, fit_power_law

if TYPE_CHECKING:
    from gluon_bof.studies.capacity.conventions import Convention

NAN = float("nan")
FEW = 50  # eigenvalues below which an exponent is mostly noise
SHORT_TAIL = 10
FINGER = 0.01  # how improbable the largest eigenvalue's lead over the next may be under the tail's own law
TINY = 1e-10  # what WeightWatcher adds to probabilities and to the rank in its entropy
OVER, UNDER = 2, 6  # outside these exponents the theory of HT-SR says nothing, WeightWatcher's thresholds
# what is averaged over the windows of a convention that has several
NUMBERS = ("alpha", "xmin", "D", "sigma", "lambda_max", "log_norm", "log_spectral_norm", "alpha_weighted", "log_alpha_norm",
           "stable_rank", "log_stable_rank", "matrix_rank", "entropy")


def measure(values: np.ndarray, convention: Convention, n_side: int) -> tuple[dict, PowerLaw]:
    """({column: number} of one spectrum, its fit). values: (n,) ascending, none below 0; n_side: N, which the rank's
    tolerance goes by. Logarithms are to base 10; what has none is nan."""
    fitted = fitted_values(values, convention, n_side)
    method = convention.method_for(len(fitted))
    fit = fit_power_law(fitted if len(values) >= convention.fewest else [], method)
    largest, total = (float(values[-1]), float(values.sum())) if len(values) else (0.0, 0.0)
    log_norm, log_largest = _log(total), _log(largest)
    return {"alpha": fit.alpha, "xmin": fit.xmin, "D": fit.D, "sigma": fit.sigma, "lambda_max": largest,
            "log_norm": log_norm, "log_spectral_norm": log_largest, "alpha_weighted": fit.alpha * log_largest,
            "log_alpha_norm": log_alpha_norm(values, fit.alpha), "stable_rank": total / largest if largest else NAN,
            "log_stable_rank": log_norm / log_largest if log_largest else NAN,
            "matrix_rank": matrix_rank(values, n_side), "entropy": entropy(values, n_side)}, fit


def above_rounding(values: np.ndarray, n_side: int) -> np.ndarray:
    """The eigenvalues that differ from 0: those above N times the float64 epsilon of the largest. values: (n,) ascending."""
    return values[values > values[-1] * n_side * np.finfo(np.float64).eps] if len(values) else values


def fitted_values(values: np.ndarray, convention: Convention, n_side: int) -> np.ndarray:
    """The eigenvalues that a convention fits: those above rounding and its floor."""
    found = above_rounding(values, n_side)
    return found[found > convention.floor]


def matrix_rank(values: np.ndarray, n_side: int) -> int:
    """How many eigenvalues differ from 0."""
    return len(above_rounding(values, n_side))


def entropy(values: np.ndarray, n_side: int) -> float:
    """-sum p ln p / ln rank with p = lambda / sum lambda, in [0, 1]: WeightWatcher's, with its small constants."""
    rank = matrix_rank(values, n_side)
    if rank < 2:
        return 0.0 if rank else NAN
    shares = values / values.sum() + TINY
    return float(-(shares * np.log(shares)).sum() / np.log(rank + TINY))


def log_alpha_norm(values: np.ndarray, alpha: float) -> float:
    """log10 of sum lambda^alpha, without overflow."""
    if not np.isfinite(alpha) or not len(values) or values[-1] <= 0:
        return NAN
    return float(alpha * np.log10(values[-1]) + np.log10(((values / values[-1]) ** alpha).sum()))


def finger_probability(values: np.ndarray, fit: PowerLaw) -> float:
    """How probable under the tail's law it is that the largest value leads the second as far as it does, or further.

    In a tail of k values that follows a power law the spacings i log(x_i / x_(i+1)), x_1 the largest, are independent and
    of one exponential distribution (Renyi), so the first over the mean of the k - 2 others is an F variable with 2 and
    2 (k - 2) degrees of freedom. nan where the tail has fewer than four values."""
    tail = np.sort(values[values >= fit.xmin])[::-1] if fit.found else values[:0]
    others = len(tail) - 2
    if others < 2:
        return NAN
    spacings = np.arange(1, len(tail)) * -np.diff(np.log(tail))
    mean = spacings[1:].mean()
    return float((1 + spacings[0] / mean / others) ** -others) if mean > 0 else NAN


def doubts(values: np.ndarray, fit: PowerLaw) -> list[str]:
    """Why a row's exponent is not to be trusted, in words; none: no reason was found."""
    if not fit.found:
        return ["no spread to fit" if np.count_nonzero(values > 0) > 1 else "no eigenvalues to fit"]
    found = []
    if fit.n < FEW:
        found.append(f"only {fit.n} eigenvalues")
    if fit.n_tail < SHORT_TAIL:
        found.append(f"a tail of {fit.n_tail}")
    if finger_probability(values, fit) < FINGER:
        found.append("a single finger: the largest eigenvalue stands off the tail")
    if fit.alpha < OVER or fit.alpha > UNDER:
        found.append(f"alpha outside {OVER} to {UNDER}")
    return found


def _log(value):
    return float(np.log10(value)) if value > 0 else NAN
