"""What the miniature's bundles give: numbers of rows, what one gains over another, and what the freebies are said to work by."""
from __future__ import annotations

import statistics
from functools import partial
from typing import TYPE_CHECKING, Any, Iterable, Mapping, Sequence

from gluon_bof.options.recipes import TABLE_2, TABLE_3
from gluon_bof.paper import effects, factorial, harness, miniature
from gluon_bof.paper.effects import Measure, mean_points

if TYPE_CHECKING:
    from gluon_bof.paper.bundles import Store

OWN = factorial.OWN
AP = Measure("AP@[.5:.95]", (f"test-{OWN}",))
AP50 = Measure("mAP@0.5", (f"test-{OWN}",), "coco.AP50")
OVER_SIZES = Measure("AP over " + ", ".join(map(str, miniature.SIZES)), tuple(f"test-{size}" for size in miniature.SIZES))
OTHER = Measure("AP in other contexts", (f"test-other-{OWN}",))
OWN_IMAGES = Measure("mAP@0.5 on its training images", (f"{miniature.BASELINE.train_split}-{OWN}",), "coco.AP50")
MEASURES = {"yolo3": (AP, AP50, OVER_SIZES, OTHER), "faster_rcnn": (AP, AP50, OTHER)}
# what a freebie is said to work by, all of the evaluation that slides a patch; SLIDING: what the patch does
SLIDING = tuple(Measure(title, (factorial.MECHANISMS,), *numbers) for title, *numbers in (
    ("sliding patch found", "sliding_patch.patch_recall"), ("objects beside it found", "sliding_patch.recall"),
    ("objects found without it", "sliding_patch.recall_without_patch"),
    ("share of those found without it", "sliding_patch.recall", "sliding_patch.recall_without_patch"),
    ("scores beside it, less those without it", "sliding_patch.score_change")))
MECHANISMS = (*SLIDING, *(Measure(title, (factorial.MECHANISMS,), number) for title, number in (
    ("calibration error", "calibration_error"), ("AP of small objects", "coco.APs"), ("AP of medium ones", "coco.APm"),
    ("AP of large ones", "coco.APl"))))
OF_PAPER = {"yolo3": TABLE_2, "faster_rcnn": TABLE_3}  # whose stacked rows a factorial has


def miniature_bundles(store: Store, family: str) -> list[dict[str, Any]]:
    """The factorial's bundles. Raises UserError where one is of another configuration."""
    return of_factorial(all_of_miniature(store, family), family)


def of_factorial(found: Iterable[Mapping[str, Any]], family: str) -> list[dict[str, Any]]:
    """Those of these bundles that are of the factorial's own rows."""
    keys = {cell.key for cell in miniature.cells(miniature.DESIGNS[family])}
    return [bundle for bundle in found if bundle["row"] in keys]


def all_of_miniature(store: Store, family: str) -> list[dict[str, Any]]:
    """Bundles of all its rows, without the backbones'."""
    design = miniature.DESIGNS[family]
    return harness.checked(store, design.name, partial(factorial.plan, with_further=True, design=design))


def end_rows(family: str) -> tuple[str, str]:
    """Keys of the stack's ends: the baseline, the whole bag."""
    return "baseline", miniature.stacked(miniature.DESIGNS[family])[-1]


def by_row(found: Sequence[Mapping[str, Any]], measure: Measure, design: miniature.Design) -> dict[str, list[float]]:
    """{row: [points, by seed]} in the factorial's order."""
    numbers = effects.numbers_of(found, measure)
    seeds = sorted({seed for _, seed in numbers})
    rows = {cell.key: [numbers[cell.key, seed] for seed in seeds if (cell.key, seed) in numbers]
            for cell in miniature.cells(design)}
    return {key: values for key, values in rows.items() if values}


def fits_of(found: Sequence[Mapping[str, Any]], design: miniature.Design) -> dict[str, float]:
    """{row: its points on its own training images, its seeds' mean}, of which the protocol asks FITTED."""
    return {key: statistics.mean(values) for key, values in by_row(found, OWN_IMAGES, design).items()}


def fit_in(found: Sequence[Mapping[str, Any]], key: str, seeds: Iterable[int]) -> float:
    """A row's points on its own training images, mean over these of its seeds: those of an effect that it is told beside."""
    return mean_points(found, OWN_IMAGES, key, seeds)


def step_effects(found: Sequence[Mapping[str, Any]], measure: Measure, family: str) -> dict[str, effects.Effect]:
    """{key of a stacked row, of the paper's Tables 2 and 3: its Effect against the row before it, in the seeds that have both},
    without the rows where none has."""
    rows = miniature.stacked(miniature.DESIGNS[family])
    pairs = {key: effects.paired_rows(found, measure, before, key) for before, key in zip(rows, rows[1:])}
    return {key: pair.gain for key, pair in pairs.items() if pair}


def whole_bag(found: Sequence[Mapping[str, Any]], measure: Measure, family: str) -> effects.Effect | None:
    """What the whole bag gains over the baseline, paired within the seeds that have both, whatever else they lack; None where
    none has."""
    pair = effects.paired_rows(found, measure, *end_rows(family))
    return pair and pair.gain


def paper_steps(family: str) -> dict[str, float]:
    """{row of the paper's Table 2 or 3: what it gains over the row before it, points of mAP@0.5 on VOC}."""
    rows = OF_PAPER[family].rows
    return {row.key: row.paper_value - before.paper_value for before, row in zip(rows, rows[1:])}


def class_changes(found: Sequence[Mapping[str, Any]], family: str) -> list[tuple[str, float, float, float]]:
    """[(class, AP of the baseline, of the whole bag, their difference)] in 0..1, means over the seeds that have both, the largest
    gain first: what the paper's Figures 8 and 9 show."""
    changes = [(name, *pair.means, pair.gain.mean) for name, pair in pairs_of_classes(found, family).items()]
    return sorted(changes, key=lambda change: (-change[3], change[0]))


def pairs_of_classes(found: Sequence[Mapping[str, Any]], family: str) -> dict[str, effects.Paired]:
    """{class: its AP at both ends of the stack, paired} of the classes that have one in every seed that has both."""
    by_seed = [{bundle["seed"]: bundle["evaluations"][factorial.NUMBER]["per_class"] for bundle in found if bundle["row"] == row}
               for row in end_rows(family)]
    seeds = sorted(by_seed[0].keys() & by_seed[1].keys())
    return {name: effects.paired(*({seed: of[seed][name] for seed in seeds} for of in by_seed))
            for name in (by_seed[0][seeds[0]] if seeds else ())
            if all(of[seed][name] is not None for of in by_seed for seed in seeds)}
