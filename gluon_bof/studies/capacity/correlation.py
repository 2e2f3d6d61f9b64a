"""Do metrics of weights go with the quality of models? Within an architecture and over all of them, separately.

Scale (log lambda_max) tracks an architecture's depth and shape (alpha) tracks training, so that a correlation over
architectures can have the other sign than within each (Martin and Mahoney's Simpson's paradox)."""
from __future__ import annotations

import itertools
import math
from typing import Any, Iterable, NamedTuple, Sequence

import numpy as np

from gluon_bof.errors import UserError

METRICS = ("alpha", "log_spectral_norm", "alpha_hat")  # shape, scale, and both
NORMS = ("log_norm", "log_alpha_norm", "log_l1_bound", "stable_rank", "log_stable_rank")  # what they are compared with
ALL, WITHIN = "all", "within architectures"
EXACT = 7  # models up to which all orders are tried, 5,040
DRAWS = 9_999


class Model(NamedTuple):
    """A trained model. architecture: what it may be compared within; accuracy: any quality, larger is better; metrics:
    {name: number}, such as a report's summary."""

    name: str
    architecture: str
    accuracy: float
    metrics: dict


class Correlation(NamedTuple):
    """metric against accuracy in a group: "all", "within architectures" (both less their architecture's mean), or an
    architecture. models: how many; pearson, kendall (tau-b); p: two-sided permutation probability of a Pearson
    correlation as large, orders being drawn within architectures. nan where there are fewer than three models or one side
    does not vary."""

    metric: str
    group: str
    models: int
    pearson: float
    kendall: float
    p: float


def correlate(models: Iterable, metrics: Sequence[str] = METRICS, seed: int = 0) -> list[Correlation]:
    """Every metric with accuracy: for each architecture, over all, and within architectures where there are several.

    models: Model rows, or (architecture, accuracy, {metric: number}). Raises UserError where a model lacks a metric."""
    models = [model if isinstance(model, Model) else Model("", *model) for model in models]
    for model in models:
        lacking = [name for name in metrics if name not in model.metrics]
        if lacking:
            raise UserError(f"the model {model.name or model.architecture} has no {lacking[0]}", remedy="analyze it first")
    kinds = np.array([model.architecture for model in models])
    accuracy = np.array([model.accuracy for model in models], np.float64)
    found = []
    for metric in metrics:
        values = np.array([model.metrics[metric] for model in models], np.float64)
        known = np.isfinite(values) & np.isfinite(accuracy)
        for group in _groups(kinds):
            chosen = known & ((kinds == group) if group not in (ALL, WITHIN) else True)
            x, y, blocks = values[chosen], accuracy[chosen], kinds[chosen]
            if group == WITHIN:
                x, y = _centred(x, blocks), _centred(y, blocks)
            blocks = blocks if group == WITHIN else np.zeros(len(x))
            found.append(Correlation(metric, group, len(x), *_coefficients(x, y), permutation_p(x, y, blocks, seed)))
    return found


def _groups(kinds):
    names = list(dict.fromkeys(kinds.tolist()))
    return names + [ALL, WITHIN] if len(names) > 1 else names


def _centred(values, blocks):
    means = {block: values[blocks == block].mean() for block in set(blocks.tolist())}
    return values - np.array([means[block] for block in blocks.tolist()])


def _coefficients(x, y):
    if not _vary(x, y):
        return float("nan"), float("nan")
    from scipy.stats import kendalltau
    return float(np.corrcoef(x, y)[0, 1]), float(kendalltau(x, y).statistic)


def _vary(x, y):
    # differences of the last bits, as centring leaves, are none
    return len(x) > 2 and all(np.ptp(side) > 1e-12 * max(1.0, np.abs(side).max()) for side in (x, y))


def permutation_p(x: np.ndarray | Sequence[float], y: np.ndarray | Sequence[float],
                  blocks: np.ndarray | Sequence[Any] | None = None, seed: int = 0) -> float:
    """Two-sided probability that a random order of y, within each of `blocks`, correlates with x as strongly: exact up to
    7 values in one block, else from 9,999 draws (then at least 1/10,000)."""
    if not _vary(x, y):
        return float("nan")
    x, y = (np.asarray(side, np.float64) - np.mean(side) for side in (x, y))
    blocks = np.zeros(len(x)) if blocks is None else np.asarray(blocks)
    least = abs(x @ y) * (1 - 1e-12)
    if len(x) <= EXACT and len(set(blocks.tolist())) == 1:
        orders = np.array(list(itertools.permutations(range(len(x)))))
        return float(np.count_nonzero(np.abs(y[orders] @ x) >= least) / math.factorial(len(x)))
    rng = np.random.Generator(np.random.Philox(seed))
    places = [np.flatnonzero(blocks == block) for block in dict.fromkeys(blocks.tolist())]
    reached = 0
    for _ in range(DRAWS):
        order = np.empty(len(x), int)
        for place in places:
            order[place] = rng.permutation(place)
        reached += abs(x @ y[order]) >= least
    return (1 + reached) / (1 + DRAWS)
