"""What bundles tell of an effect: numbers of runs, paired differences, their intervals, and what may be called an effect."""
from __future__ import annotations

import math
import statistics
from dataclasses import dataclass
from itertools import combinations
from typing import Any, Callable, Iterable, Mapping, NamedTuple, Sequence

from gluon_bof.paper import miniature
from gluon_bof.paper.miniature import Cell, Design, cells


@dataclass(frozen=True)
class Effect:
    """A difference in points. half_width: of its 95% interval; by_seed: {seed: the seed's own difference}."""

    mean: float
    half_width: float
    by_seed: dict


def over_seeds(by_seed: Mapping[int, float]) -> Effect:
    """The Effect that differences, one of each seed, tell; without an end of its interval where there is only one."""
    values = list(by_seed.values())
    mean = sum(values) / len(values)
    if len(values) < 2:
        return Effect(mean, math.inf, dict(by_seed))
    deviation = math.sqrt(sum((value - mean) ** 2 for value in values) / (len(values) - 1))
    return Effect(mean, student(len(values) - 1) * deviation / math.sqrt(len(values)), dict(by_seed))


def student(freedom: int, level: float = 0.95) -> float:
    """The two-sided quantile of Student's t with so many degrees of freedom."""
    from scipy.stats import t
    return float(t.ppf((1 + level) / 2, freedom))


class Measure(NamedTuple):
    """A number of a run: the mean over evaluations (keys of a bundle). number: where they have it, as "masks.AP"; over: where
    they have another one that it is told as a share of."""

    title: str
    evaluations: tuple
    number: str = "coco.AP"
    over: str = ""

    def of(self, bundle: Mapping[str, Any]) -> float:
        """The number of a bundle in points. Raises KeyError where it lacks one of the evaluations, or these the number."""
        return statistics.mean(100 * self.fraction_of(bundle["evaluations"][key]) for key in self.evaluations)

    def fraction_of(self, evaluation: Mapping[str, Any]) -> float:
        """The number of one evaluation, 0 where nothing was to be found; a share of nothing is NaN."""
        number = _read(evaluation, self.number)
        if not self.over:
            return number
        whole = _read(evaluation, self.over)
        return number / whole if whole else math.nan


def _read(evaluation, path):
    for name in path.split("."):
        evaluation = evaluation[name]
    return evaluation or 0


def numbers_of(bundles: Iterable[Mapping[str, Any]], measure: Measure) -> dict[tuple[str, int], float]:
    """{(row, seed): points}."""
    return {(bundle["row"], bundle["seed"]): measure.of(bundle) for bundle in bundles}


def points_of_row(found: Iterable[Mapping[str, Any]], measure: Measure, key: str) -> dict[int, float]:
    """{seed: points} of a row, by seed."""
    return {bundle["seed"]: measure.of(bundle) for bundle in sorted(found, key=lambda one: one["seed"]) if bundle["row"] == key}


def mean_points(found: Sequence[Mapping[str, Any]], measure: Measure, key: str, seeds: Iterable[int]) -> float:
    """Points of a row, mean over these of its seeds."""
    points = points_of_row(found, measure, key)
    return statistics.mean(points[seed] for seed in seeds)


def whole_seeds(bundles: Iterable[Mapping[str, Any]], rows: Sequence[Cell]) -> list[int]:
    """Seeds of which every one of these rows has its bundle: no other is counted in an effect."""
    keys = {cell.key for cell in rows}
    there = {}
    for bundle in bundles:
        there.setdefault(bundle["seed"], set()).add(bundle["row"])
    return sorted(seed for seed, made in there.items() if made >= keys)


class Basis(NamedTuple):
    """What main effects are told from: rows, and the seeds of which all of them are there; of_half: whether they are the half of
    the factorial."""

    rows: tuple
    seeds: list
    of_half: bool


def balanced(design: Design, whole: Callable[[Sequence[Cell]], list[int]]) -> Basis:
    """The full factorial, or its half while that is whole in more seeds. whole(rows): the seeds of which all of these rows are
    there."""
    choices = [Basis(rows, whole(rows), rows_of is miniature.half) for rows_of in (miniature.combinations, miniature.half)
               for rows in [rows_of(design)] if rows]
    return max(choices, key=lambda basis: len(basis.seeds))


def told_from(bundles: Sequence[Mapping[str, Any]], design: Design) -> Basis:
    """What main effects of these bundles are told from."""
    return balanced(design, lambda rows: whole_seeds(bundles, rows))


def main_effect(factor: str, numbers: Mapping[tuple[str, int], float], rows: Sequence[Cell]) -> Effect:
    """Effect of a factor: mean of the rows with it less that of the rows without, within a seed.

    numbers: {(key of a cell, seed): points} of whole seeds; rows: those of a Basis. The interval is Student's over the seeds, so
    it needs two of them. Raises KeyError where a run is missing: no row may be left out, for the others would not be balanced."""
    def mean_of(level, seed):
        return statistics.mean(numbers[cell.key, seed] for cell in rows if (factor in cell.on) == level)

    return over_seeds({seed: mean_of(True, seed) - mean_of(False, seed) for seed in sorted({seed for _, seed in numbers})})


def main_effects(bundles: Sequence[Mapping[str, Any]], measure: Measure, basis: Basis, design: Design) -> dict[str, Effect]:
    """{factor: its main effect in points}; {} where no seed is whole."""
    numbers = numbers_of((bundle for bundle in bundles if bundle["seed"] in basis.seeds), measure)
    return {factor: main_effect(factor, numbers, basis.rows) for factor in design.factors} if basis.seeds else {}


def interactions(numbers: Mapping[tuple[str, int], float], design: Design) -> dict[tuple[str, str], Effect]:
    """{(factor, factor): their interaction in points} of whole seeds. Raises KeyError where a run is missing."""
    return {pair: interaction(*pair, numbers, design) for pair in combinations(design.factors, 2)}


class Paired(NamedTuple):
    """A row, and what it is compared with, {seed: points} each, of the same seeds."""

    over: dict
    mine: dict

    @property
    def gain(self) -> Effect:
        """What the row gains, paired within a seed."""
        return over_seeds({seed: points - self.over[seed] for seed, points in self.mine.items()})

    @property
    def means(self) -> tuple[float, float]:
        """Points of both, means over these seeds."""
        return statistics.mean(self.over.values()), statistics.mean(self.mine.values())


def paired(over: Mapping[int, float], mine: Mapping[int, float]) -> Paired | None:
    """Two rows, {seed: points}, in the seeds that both have; None where there is none."""
    seeds = sorted(over.keys() & mine.keys())
    return Paired(*({seed: of[seed] for seed in seeds} for of in (over, mine))) if seeds else None


def paired_rows(found: Sequence[Mapping[str, Any]], measure: Measure, over: str, key: str) -> Paired | None:
    """A row and another that it is compared with, in the seeds that both have; None where there is none."""
    return paired(*(points_of_row(found, measure, row) for row in (over, key)))


def interaction(first: str, second: str, numbers: Mapping[tuple[str, int], float], design: Design) -> Effect:
    """By how much more the first factor gains where the second is on than where it is off: mean over all pairs of pairs."""
    corners = [cell for cell in miniature.combinations(design) if first not in cell.on and second not in cell.on]

    def of_seed(seed):
        gains = [[numbers[key, seed] for key in _square(cell, first, second, design)] for cell in corners]
        return statistics.mean((both - only_second) - (only_first - neither) for neither, only_first, only_second, both in gains)

    return over_seeds({seed: of_seed(seed) for seed in sorted({seed for _, seed in numbers})})


def _square(cell, first, second, design):
    """Keys of the cell with neither factor, the first, the second, both."""
    with_second = next(other for other in cells(design) if other.key == with_on(cell, second, design))
    return cell.key, with_on(cell, first, design), with_second.key, with_on(with_second, first, design)


def with_on(cell: Cell, factor: str, design: Design) -> str:
    """Key of the cell that differs from this one at most in that this factor is on."""
    on = tuple(name for name in design.factors if name == factor or name in cell.on)
    return Cell(on, cell.options).key


def excludes_zero(effect: Effect, tests: int = 1) -> bool:
    """Whether the interval at 1 - 0.05 / tests lies on one side of 0."""
    freedom = len(effect.by_seed) - 1
    if freedom < 1:
        return False
    return abs(effect.mean) > effect.half_width * student(freedom, 1 - 0.05 / tests) / student(freedom)


def judged(effect: Effect, tests: int = 1) -> str:
    """What the protocol lets be said of an effect: gain, loss, or not resolved; with several tests, also where only one of them
    alone would say so."""
    if not excludes_zero(effect):
        return "not resolved"
    word = "gain" if effect.mean > 0 else "loss"
    return word if excludes_zero(effect, tests) else f"{word}, not with {tests} tests"


def resolution(spread: float, seeds: int, pairs: int = 8, tests: int = 1) -> tuple[float, float]:
    """(half-width of a main effect's interval at 1 - 0.05 / tests, the same of a step between two rows), in points.

    spread: standard deviation of one row over seeds. What the design can tell before any of it is run: a main effect is a mean
    over so many pairs, taken as independent within a seed, too; a step is one pair."""
    wide = student(seeds - 1, 1 - 0.05 / tests) * spread * math.sqrt(2 / seeds)
    return wide / math.sqrt(pairs), wide


# ---- cross-validation ----------------------------------------------------------------------------------------------

@dataclass(frozen=True)
class Folded(Effect):
    """A difference over folds, which take the place of seeds. half_width: widened for training images that folds share (Nadeau
    and Bengio, 2003); not_widened: that of Student's 95% interval over the folds."""

    not_widened: float

    @property
    def by_fold(self) -> dict[int, float]:
        """{fold: mean over seeds}."""
        return self.by_seed


def over_folds(differences: Mapping[tuple[int, int], float]) -> Folded:
    """The effect that differences {(fold, seed): points} tell. Seeds of a fold share its test images, so they are averaged first
    and the interval is over folds. Raises ValueError where a fold lacks a seed that another has."""
    folds, seeds = (sorted({pair[place] for pair in differences}) for place in (0, 1))
    if set(differences) != {(fold, seed) for fold in folds for seed in seeds}:
        raise ValueError("a fold lacks a seed")
    by_fold = {fold: statistics.mean(differences[fold, seed] for seed in seeds) for fold in folds}
    found, count = over_seeds(by_fold), len(folds)
    wider = math.sqrt(1 + count / (count - 1)) if count > 1 else 1
    return Folded(found.mean, wider * found.half_width, by_fold, found.half_width)


def paired_folds(bundles: Iterable[Mapping[str, Any]], measure: Measure, row: str, over: str,
                 folds: Sequence[int]) -> tuple[dict[tuple[int, int], float], list[int]]:
    """({(fold, seed): the row's points less the other's}, seeds) of the seeds of which every fold has both runs."""
    numbers = {(bundle["row"], bundle["fold"], bundle["seed"]): measure.of(bundle) for bundle in bundles if "fold" in bundle}
    seeds = [seed for seed in sorted({seed for _, _, seed in numbers})
             if all((key, fold, seed) in numbers for key in (row, over) for fold in folds)]
    return {(fold, seed): numbers[row, fold, seed] - numbers[over, fold, seed] for fold in folds for seed in seeds}, seeds
