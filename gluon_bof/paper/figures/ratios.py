"""Figure 4: densities of the distributions that mix ratios are drawn from, and what our sampler draws (section 3.1)."""
from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np

from gluon_bof.data.sampler import BatchSampler
from gluon_bof.errors import UserError
from gluon_bof.freebies.mixup import MixRatio
from gluon_bof.options.flags import NUMBERS, at_least, check_seed, flag
from gluon_bof.paper.figures.page import BLUE, COLOURS, GREEN, ORANGE, Drawn, new_figure
from gluon_bof.paper.figures.request import FigureOptions, many
from gluon_bof.paper.figures.scenes import require_within

OF_THE_PAPER = ("0.2,0.2", "1.0,1.0", "1.5,1.5")  # classification's, and those of Table 1
OF_CLASSIFICATION = (0.2, 0.2)
CLASSIFICATION_RED = "#D62728"  # the paper's caption says which curve is red
POINTS, BINS = 200, 50
HIGHEST = 4  # where the drawing ends: Beta(0.2, 0.2) grows without bound at 0 and 1


@dataclass(frozen=True)
class Options(FigureOptions):
    """Options of Figure 4."""

    betas: tuple = many(f"distributions [{' '.join(OF_THE_PAPER)}]", "ALPHA,BETA")
    samples: int = flag(20000, "ratios that the sampler draws of each for its histogram; 0: none")
    seed: int = flag(0, "of the sampler")


def draw(given: Options) -> Drawn:
    """Figure 4 -> Drawn; a row for each x at the middle of a 200th of [0, 1]."""
    pairs = [_pair(text) for text in given.betas or OF_THE_PAPER]
    at_least(given, "samples", 0)
    check_seed(given)
    figure = new_figure(3.8)
    axis = figure.subplots()
    x = (np.arange(POINTS) + 0.5) / POINTS
    rows = []
    others = iter((BLUE, ORANGE, GREEN) + COLOURS[3:] + ("black",) * len(pairs))
    for alpha, beta in pairs:
        colour = CLASSIFICATION_RED if (alpha, beta) == OF_CLASSIFICATION else next(others)
        density = beta_density(x, alpha, beta)
        drawn = np.full(POINTS, np.nan)
        if given.samples:
            heights, edges = np.histogram(sampled_ratios(alpha, beta, given.samples, given.seed), BINS, (0, 1), density=True)
            axis.plot((edges[:-1] + edges[1:]) / 2, heights, ".", color=colour, markersize=4, alpha=0.7)
            drawn = np.repeat(heights, POINTS // BINS)
        use = ", classification" if (alpha, beta) == OF_CLASSIFICATION else ", uniform" if alpha == beta == 1 else ""
        axis.plot(x, density, color=colour, linewidth=2, label=f"Beta({alpha:g}, {beta:g}){use}")
        rows += [(alpha, beta, float(at), float(value), "" if np.isnan(height) else float(height))
                 for at, value, height in zip(x, density, drawn)]
    axis.plot((0.5, 0.5), (0, 0.8 * HIGHEST), "--", color="black", linewidth=1, label="even: always 0.5")
    axis.set(xlim=(0, 1), ylim=(0, HIGHEST), xlabel="mix ratio λ", ylabel="density",
             title=f"curves: densities; dots: {given.samples} draws of the sampler each" if given.samples else "")
    axis.legend(loc="upper center", ncols=2)
    return Drawn(figure, ("alpha", "beta", "x", "density", "drawn"), rows, {"betas": pairs, "samples": given.samples})


def beta_density(x: np.ndarray, alpha: float, beta: float) -> np.ndarray:
    """Density of Beta(alpha, beta) at x in (0, 1)."""
    log_normaliser = math.lgamma(alpha) + math.lgamma(beta) - math.lgamma(alpha + beta)
    return np.exp((alpha - 1) * np.log(x) + (beta - 1) * np.log1p(-x) - log_normaliser)


def sampled_ratios(alpha: float, beta: float, count: int, seed: int = 0) -> np.ndarray:
    """(count,) ratios of the draws that training would get."""
    sampler = BatchSampler(2, count, seed, (416,), mix=MixRatio(alpha, beta), mix_until=1)
    return np.array([spec.ratio for spec in sampler.draw_batch(0, 0)])


def _pair(text):
    try:
        values = NUMBERS.parse(text)
    except ValueError:
        values = ()
    require_within(values, "--betas", 1e-3, 1e3)
    if len(values) != 2:
        raise UserError(f"--betas {text!r} is not a pair", remedy="write ALPHA,BETA, for example 1.5,1.5")
    return tuple(values)
