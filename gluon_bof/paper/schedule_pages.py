"""Figure 6 of bundles: the rates of both schedules, and validation mAP on the way of the stack's two rows that differ in them."""
from __future__ import annotations

import statistics
from typing import TYPE_CHECKING, Any, Mapping

from gluon_bof.errors import UserError
from gluon_bof.paper import miniature
from gluon_bof.paper.miniature_numbers import miniature_bundles
from gluon_bof.paper.words import Picture

if TYPE_CHECKING:
    from gluon_bof.paper.bundles import Store

PICTURE = "figure-6.png"


def by_schedule(store: Store) -> dict[str, list[Mapping[str, Any]]]:
    """{schedule: bundles of its row, by seed}, of the seeds that have both. Raises UserError for bundles of other
    configurations and for one without its validations."""
    bundles = miniature_bundles(store, "yolo3")
    found = {schedule: {bundle["seed"]: bundle for bundle in bundles if bundle["row"] == row}
             for schedule, row in miniature.SCHEDULES.items()}
    seeds = sorted(set.intersection(*(set(of_row) for of_row in found.values())))
    for bundle in (of_row[seed] for of_row in found.values() for seed in seeds):
        if "validations" not in bundle:
            raise UserError("the bundle lacks the validations on the way", store.path(bundle["name"]),
                            "remove it; the run will be made again")
    return {schedule: [of_row[seed] for seed in seeds] for schedule, of_row in found.items()} if seeds else {}


def validation_curves(bundles: list[Mapping[str, Any]]) -> tuple[list[int], list[list[float]]]:
    """(epochs done, [points of mAP@0.5 there] of each bundle)."""
    epochs = [epoch for epoch, _ in bundles[0]["validations"]]
    return epochs, [[100 * accuracy for _, accuracy in bundle["validations"]] for bundle in bundles]


def rates(schedule: str, batches: int) -> list[float]:
    """The learning rate of every iteration of a schedule's row; batches: of an epoch."""
    from gluon_bof.freebies.schedule import rates_of  # these bring MXNet along
    from gluon_bof.training.optimizer import epoch_schedule

    options, = (cell.options for cell in miniature.cells() if cell.key == miniature.SCHEDULES[schedule])
    return rates_of(**epoch_schedule(options, batches))


def figure_6(store: Store) -> str:
    """The words that show the picture, with the last numbers."""
    found = by_schedule(store)
    if not found:
        return "No seed has both rows yet."
    ends = " and ".join(f"{statistics.mean(curve[-1] for curve in validation_curves(bundles)[1]):.1f} with {schedule}"
                        for schedule, bundles in found.items())
    seeds = ", ".join(str(bundle["seed"]) for bundle in found["step"])
    rows = "`, `".join(miniature.SCHEDULES.values())
    return (f"![Learning rates; validation mAP by epoch]({PICTURE})\n\n"
            f"*(a) The two schedules of the miniature, each with its own peak. (b) mAP@0.5 (VOC07) on `test` of the stack's two "
            f"rows that differ in the schedule alone (`{rows}`): a thin line a seed ({seeds}), thick their mean, which ends at "
            f"{ends}.*")


def figure_6_pictures(store: Store) -> list[Picture]:
    """Figure 6 of the bundles."""
    from gluon_bof.paper import pictures as drawing

    found = by_schedule(store)
    if not found:
        return []
    batches = found["step"][0]["training"]["iterations"] // miniature.BASELINE.epochs
    lines = [drawing.Course(schedule, rates(schedule, batches)[::batches], *validation_curves(bundles))
             for schedule, bundles in found.items()]
    return [Picture(PICTURE, drawing.courses, (lines, "validation mAP@0.5, points"))]
