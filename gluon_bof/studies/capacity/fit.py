"""Power laws p(x) ~ x^-alpha for x >= xmin, fitted to a spectrum as Clauset, Shalizi and Newman (2009) do: the exponent by
maximum likelihood, xmin where the Kolmogorov-Smirnov distance is least, over every eigenvalue as a candidate.

The distances of all candidates would take n^2 / 2 powers. Here prefix sums give every exponent, a few positions of every tail
give a lower bound of its distance, and only tails whose bound is below the best distance so far are looked at whole. The
result is that of the full search, bit for bit of the same distances."""
from __future__ import annotations

from typing import NamedTuple, Sequence

import numpy as np

from gluon_bof.errors import UserError

# method: what it is, for tables
METHODS = {
    "mle": "maximum likelihood, xmin of least D",
    "mle-xmax": "maximum likelihood, xmin of least D against the law cut at the largest value",
    "small": "bias-corrected maximum likelihood, xmin of least D, tails of at least 8",
    "small-penalised": "bias-corrected maximum likelihood, xmin of least D - 0.868/sqrt(tail), tails of at least 8",
    "median": "Hill's estimator, xmin at the median",
}
SMALLEST_TAIL = 8  # of the two estimators for small spectra
PENALTY = 0.868  # times 1 / sqrt(tail): what D of a true power law is on average
PROBES = 24  # positions of a tail that bound its distance from below


class PowerLaw(NamedTuple):
    """A fitted tail. alpha: exponent; xmin: where the tail begins; D: Kolmogorov-Smirnov distance; sigma: standard error
    of alpha, (alpha - 1) / sqrt(tail); n_tail: values from xmin on; n: all values that were fitted; method: a name in
    METHODS. Where nothing can be fitted alpha, xmin, D and sigma are nan and n_tail is 0."""

    alpha: float
    xmin: float
    D: float
    sigma: float
    n_tail: int
    n: int
    method: str

    @property
    def found(self) -> bool:
        """Whether there is a fit at all."""
        return self.n_tail > 0


def fit_power_law(eigenvalues: np.ndarray | Sequence[float], method: str = "mle") -> PowerLaw:
    """The power law of the positive ones among some values, (n,) or of any shape; method: a name in METHODS.

    Raises UserError for values that are not finite. What has fewer than two distinct positive values has no fit (see
    PowerLaw)."""
    if method not in METHODS:
        raise UserError(f"unknown estimator {method!r}", remedy=f"choose one of {', '.join(METHODS)}")
    values = np.asarray(eigenvalues, np.float64).ravel()
    if not np.isfinite(values).all():
        raise UserError("a spectrum holds values that are not finite", remedy="look for nan in the weights")
    values = np.sort(values[values > 0])
    tails = _Tails(values, method)
    start = _median_start(tails) if method == "median" else _best_start(tails)
    if start is None:
        nan = float("nan")
        return PowerLaw(nan, nan, nan, nan, 0, len(values), method)
    alpha, xmin = float(tails.alphas[start]), float(values[start])
    return PowerLaw(alpha, xmin, tails.distance(start), float((alpha - 1) / np.sqrt(len(values) - start)),
                    int(np.count_nonzero(values >= xmin)), len(values), method)


class _Tails:
    """All tails of sorted positive values: alphas[i] is the exponent of values[i:], of two values or more."""

    def __init__(self, values, method):
        self.values, self.method = values, method
        self.logs = np.log(values)
        self.counts = np.arange(len(values), 1, -1)  # of values[i:], i = 0 ... n - 2
        self.sums = _log_sums(values)
        corrected = self.counts - 1 if method.startswith("small") else self.counts
        with np.errstate(divide="ignore"):
            self.alphas = 1 + corrected / self.sums

    def distance(self, start):
        """D of one tail: largest gap between the law and the share of values below each value, j / n."""
        return float(np.abs(self._gaps(np.array([start]), np.arange(self.counts[start])[None])).max())

    def _gaps(self, starts, places):
        """Law minus data at some places, (k, p), of tails that begin at starts, (k,)."""
        begin, slope = self.logs[starts, None], 1 - self.alphas[starts, None]
        law = 1 - np.exp(slope * (self.logs[starts[:, None] + places] - begin))
        if self.method == "mle-xmax":
            law = law / (1 - np.exp(slope * (self.logs[-1] - begin)))
        return law - places / self.counts[starts, None]

    def penalty(self, starts):
        """What is taken off D before tails are compared."""
        if self.method != "small-penalised":
            return np.zeros(np.shape(starts))
        return PENALTY / np.sqrt(self.counts[starts])

    def bounds(self, starts):
        """Lower bounds of D of some tails: the gaps at a few of their places."""
        places = (self.counts[starts, None] - 1) * np.arange(PROBES) // (PROBES - 1)
        return np.abs(self._gaps(starts, places)).max(axis=1)


def _log_sums(values):
    """(n - 1,) sums of log(x_j / x_i) over j > i. Added up from the end in steps that are none of them negative, so
    that nothing cancels: s_i = s_(i+1) + (n - 1 - i) log(x_(i+1) / x_i)."""
    steps = np.log1p(np.diff(values) / values[:-1])
    return np.cumsum((steps * np.arange(len(values) - 1, 0, -1))[::-1])[::-1]


def _best_start(tails):
    """Index at which the tail of least D (less its penalty) begins, the first of equals, or None."""
    usable = np.isfinite(tails.alphas)
    if tails.method.startswith("small"):
        long_enough = tails.counts >= SMALLEST_TAIL
        # with fewer values than a tail should have, all of them are the tail
        usable &= long_enough if long_enough.any() else np.arange(len(tails.counts)) == 0
    starts = np.flatnonzero(usable)
    if not len(starts):
        return None
    bounds = tails.bounds(starts) - tails.penalty(starts)
    best = (np.inf, -1)
    for place in np.argsort(bounds, kind="stable"):
        if bounds[place] > best[0]:
            break
        start = starts[place]
        best = min(best, (tails.distance(start) - float(tails.penalty(start)), start))
    return best[1]


def _median_start(tails):
    """Index of the upper median, or None where the tail from there on has no spread."""
    start = len(tails.values) // 2
    return start if start < len(tails.alphas) and np.isfinite(tails.alphas[start]) else None
