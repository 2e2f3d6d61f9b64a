"""The lecture's hard surfaces for gradient descent, and the paths of our optimizers on them.

A point is (x, y); surfaces take arrays (..., 2) and give their height (...,) or its gradient (..., 2)."""
from __future__ import annotations

from typing import Callable, NamedTuple, Sequence

import numpy as np

from gluon_bof.backend import mx
from gluon_bof.freebies.schedule import build_schedule
from gluon_bof.options.yolo3 import Yolo3Options
from gluon_bof.paper.optimizers import KINDS
from gluon_bof.rng import Purpose, generator
from gluon_bof.training.optimizer import build_optimizer

STEEP = 30.0  # how much faster the badly conditioned surface changes in one direction than in the other
TILT = 0.15  # what makes one of the two valleys a mere local minimum
RATES = (0.003, 0.01, 0.03, 0.1, 0.3, 1.0, 3.0)  # tried for every optimizer on every surface


class Surface(NamedTuple):
    """value and gradient of points; start: where descent begins; lowest: the least height; noise: deviation of what is added to
    each gradient; view: x and y from, to."""

    title: str
    value: Callable[[np.ndarray], np.ndarray]
    gradient: Callable[[np.ndarray], np.ndarray]
    start: tuple
    lowest: float
    view: tuple
    noise: float = 0.0


def bowl(steepness: float) -> tuple[Callable, Callable]:
    """(value, gradient) of (x² + steepness · y²) / 2."""
    scale = np.array((1.0, steepness))
    return lambda point: (scale * point ** 2).sum(-1) / 2, lambda point: scale * point


def saddle_value(point: np.ndarray) -> np.ndarray:
    """x² / 2 - y² / 2 + y⁴ / 4: a saddle at 0, and minima of -1/4 at (0, ±1)."""
    return point[..., 0] ** 2 / 2 - point[..., 1] ** 2 / 2 + point[..., 1] ** 4 / 4


def saddle_gradient(point: np.ndarray) -> np.ndarray:
    """Its gradient."""
    return np.stack([point[..., 0], point[..., 1] ** 3 - point[..., 1]], -1)


def valleys_value(point: np.ndarray) -> np.ndarray:
    """(x² - 1)² / 4 + TILT · x + y² / 2: a local minimum at the right, the lower one at the left."""
    return (point[..., 0] ** 2 - 1) ** 2 / 4 + TILT * point[..., 0] + point[..., 1] ** 2 / 2


def valleys_gradient(point: np.ndarray) -> np.ndarray:
    """Its gradient."""
    return np.stack([point[..., 0] ** 3 - point[..., 0] + TILT, point[..., 1]], -1)


def _lowest_valley():
    left = min(root.real for root in np.roots((1, 0, -1, TILT)) if abs(root.imag) < 1e-9)
    return float(valleys_value(np.array((left, 0.0))))


SURFACES = {
    "conditioning": Surface("poor conditioning", *bowl(STEEP), (-4.0, 1.0), 0.0, (-4.6, 1.6, -1.5, 1.5)),
    "saddle": Surface("saddle point", saddle_value, saddle_gradient, (-1.5, 0.01), -0.25, (-1.9, 1.1, -1.5, 1.5)),
    "local minimum": Surface("local minimum", valleys_value, valleys_gradient, (2.0, 0.8), _lowest_valley(),
                             (-1.9, 2.3, -1.3, 1.3)),
    "noise": Surface("noisy gradients", *bowl(4.0), (-4.0, 1.0), 0.0, (-4.6, 1.6, -1.5, 1.5), noise=2.0),
}


def walk(optimizer: str, rate: float, surface: Surface, steps: int) -> np.ndarray:
    """The points (steps + 1, 2) float64 that one of KINDS visits at a constant rate, the start first; points that overflow are
    not finite. Noise is the same for every optimizer and rate."""
    options = Yolo3Options(lr=rate, wd=0.0, **KINDS[optimizer])
    update = mx.optimizer.get_updater(build_optimizer(options, build_schedule("step", rate, steps)))
    noise = generator(Purpose.NOISE, 0).normal(0, surface.noise, (steps, 2)) if surface.noise else np.zeros((steps, 2))
    weights = mx.nd.array(surface.start)
    points = [weights.asnumpy()]
    with np.errstate(over="ignore", invalid="ignore"):
        for shake in noise:
            gradient = surface.gradient(points[-1].astype(np.float64)) + shake
            update(0, mx.nd.array(gradient), weights)
            points.append(weights.asnumpy())
    return np.array(points, np.float64)


def score(points: np.ndarray, surface: Surface) -> float:
    """Height above the lowest point, a mean over the last quarter of a path; inf for one that overflows."""
    with np.errstate(over="ignore", invalid="ignore"):
        heights = surface.value(points[-max(1, len(points) // 4):]) - surface.lowest
    return float(heights.mean()) if np.isfinite(heights).all() else np.inf


def best_walk(optimizer: str, surface: Surface, steps: int, rates: Sequence[float] = RATES) -> tuple[float, np.ndarray]:
    """(rate, points) of the path with the best score; of two alike the lower rate's."""
    paths = {rate: walk(optimizer, rate, surface, steps) for rate in sorted(rates)}
    best = min(paths, key=lambda rate: score(paths[rate], surface))
    return best, paths[best]
