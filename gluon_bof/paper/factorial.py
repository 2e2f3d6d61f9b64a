"""The miniature as work: the runs of its factorial, for the harness (docs/miniature.md has the protocol)."""
from __future__ import annotations

import math
import os
import statistics
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, Sequence

from gluon_bof.options.classifier import ClassifierOptions
from gluon_bof.options.families import family_of
from gluon_bof.paper import effects, harness, miniature
from gluon_bof.paper.bundles import fingerprint
from gluon_bof.paper.choices import STARTS, chosen, flags_of_trainings
from gluon_bof.paper.harness import Backbone, Job
from gluon_bof.paper.miniature import Design

if TYPE_CHECKING:
    from gluon_bof.paper.budget import Budget
    from gluon_bof.paper.bundles import Store

EXPERIMENT = "miniature"
MINUTES = {"yolo3": 22.0, "faster_rcnn": 34.0}  # of a run, where no bundle tells: the protocol's estimates, and evaluations
OWN = miniature.BASELINE.data_shape  # pixels, of all runs
MECHANISMS = f"mechanisms-{OWN}"  # the evaluation that says by what the freebies work
SLID = 100  # images that a patch slides through
NUMBER = f"test-{OWN}"  # the evaluation that is a row's number
SPREAD = 0.6  # points of AP over seeds, where no bundles tell: the pilot's
LONGER_ROWS = "baseline-longer", "whole-bag-longer"


@dataclass(frozen=True)
class Further:
    """A row that is none of the factorials': of Tables 1, 5 and 6 at the miniature's scale, or an end of the stack, trained for
    longer. backbone: what it starts from."""

    key: str
    options: Any
    backbone: ClassifierOptions = miniature.BACKBONE


_MIXED = {cell.key: cell.options for cell in miniature.cells()}
_WITHOUT_MIXUP, _BAG = ("+".join(list(miniature.FACTORS)[:count]) for count in (3, 4))
FURTHER = (
    Further("mixup-even", replace(_MIXED["random-shapes+mixup"], mixup="even", mixup_loss="unweighted")),
    Further("mixup-beta-1.0", replace(_MIXED["random-shapes+mixup"], mixup_alpha=1.0, mixup_beta=1.0)),
    Further("mixup-backbone-plain-detector", _MIXED[_WITHOUT_MIXUP], miniature.BACKBONE_MIXUP),
    Further("mixup-backbone-mixup-detector", _MIXED[_BAG], miniature.BACKBONE_MIXUP),
    *(Further(key, replace(_MIXED[row], **miniature.LONGER)) for key, row in zip(LONGER_ROWS, ("baseline", _BAG))),
)
_REGIONS = {cell.key: cell.options for cell in miniature.cells(miniature.FASTER_RCNN)}
_WITHOUT_MIXUP_6, _BAG_6 = ("+".join(list(miniature.FASTER_RCNN_FACTORS)[:count]) for count in (2, 3))
FURTHER_FASTER_RCNN = tuple(
    Further(key, _REGIONS[row], miniature.BACKBONE_MIXUP)
    for key, row in (("mixup-backbone-plain-detector", _WITHOUT_MIXUP_6), ("mixup-backbone-mixup-detector", _BAG_6)))
FURTHER_OF = {miniature.YOLO3.name: FURTHER, miniature.FASTER_RCNN.name: FURTHER_FASTER_RCNN}
# rows of the paper's tables, from the baseline of each on: those of the factorials and of FURTHER_OF
TABLE_1_ROWS = ("random-shapes", "mixup-even", "mixup-beta-1.0", "random-shapes+mixup")
TABLE_5_ROWS = (_WITHOUT_MIXUP, _BAG, "mixup-backbone-plain-detector", "mixup-backbone-mixup-detector")
TABLE_6_ROWS = (_WITHOUT_MIXUP_6, _BAG_6, *TABLE_5_ROWS[2:])


def plan(seeds: Sequence[int], runs: str = "runs", dataset: str = "", extra: Sequence[str] = (),
         extra_pretraining: Sequence[str] = (), with_further: bool = False, design: Design = miniature.YOLO3) -> list[Job]:
    """Every run of the factorial, seed by seed; with_further: and those of FURTHER_OF it. dataset: a folder with
    the splits of `vocmini` in its place; extra, extra_pretraining: further flags of all trainings and of the backbones'."""
    own = {"dataset": dataset} if dataset else {}
    data = data_of(dataset)
    changes = {**flags_of_trainings(type(design.baseline), extra, STARTS), **own}
    before = {**flags_of_trainings(ClassifierOptions, extra_pretraining, STARTS), **own}
    experiment = experiment_of(dataset, design)

    def pretraining_of(backbone):
        name = backbone.name.replace(EXPERIMENT, experiment_of(dataset, miniature.YOLO3), 1)  # both detectors start from it
        return harness.training(replace(backbone, runs=runs, name=name, **before))

    rows = [*miniature.cells(design), *(FURTHER_OF[design.name] if with_further else ())]
    backbones = {row.key: pretraining_of(getattr(row, "backbone", miniature.BACKBONE)) for row in rows}
    family = family_of(design.baseline).name
    detector = () if design is miniature.YOLO3 else ("--detector", family)
    found = []
    for seed in seeds:
        for row in rows:
            pretraining = backbones[row.key]
            training = harness.training(replace(
                row.options, seed=seed, runs=runs, name=f"{experiment}-{row.key}-seed-{seed}",
                pretrained_base=pretraining.run.last_weights, **changes))
            again = harness.words_again(EXPERIMENT, row.key, seed, dataset, *detector, extra=extra,
                                        extra_pretraining=extra_pretraining)
            found.append(Job(row, seed, training, evaluations=evaluations(training, design), experiment=experiment, data=data,
                             pretraining=pretraining, pretraining_data=data, again=again))
    return found


def chosen_rows(text: str, design: Design) -> tuple[str, ...]:
    """Keys of the rows that "1,3" or "baseline,mixup" names, "further" those of FURTHER_OF, "half" those of miniature.half;
    of the whole factorial for "". Raises UserError."""
    factorial = [cell.key for cell in miniature.cells(design)]
    further = [row.key for row in FURTHER_OF[design.name]]
    groups = {"further": further, "half": [cell.key for cell in miniature.half(design)]}
    return chosen(text or ",".join(factorial), factorial + further, "the miniature", groups)


def experiment_of(dataset: str, design: Design) -> str:
    """The experiment's name in bundles, which begins those of its runs."""
    return f"{design.name}-{os.path.basename(os.path.abspath(dataset))}" if dataset else design.name


def evaluations(training: Any, design: Design) -> tuple:
    """What every run is measured by: each size on the test splits, its own size on its own training images."""
    places = [(split, size) for split in miniature.SPLITS for size in (design.sizes if split.startswith("test") else (OWN,))]
    own = OWN if len(design.sizes) > 1 else None
    scored = [harness.evaluation(training, f"evaluation-{split}-{size}", own and size, split, "coco", design.evaluated)
              for split, size in places]
    return (*scored, harness.evaluation(training, f"evaluation-{MECHANISMS}", own, "test", "coco",
                                        (*design.evaluated, "--sliding-patch", str(SLID))))


def data_of(dataset: str = "") -> dict[str, Any]:
    """What the runs read, as bundles say it."""
    if dataset:
        return fingerprint(dataset)
    from gluon_bof.data.vocmini import VERSION
    return {"set": "vocmini", "version": VERSION}


def resolution_text(store: Store, budget: Budget, dataset: str, design: Design) -> str:
    """What sizes of effect the seeds can tell from nothing that will be whole, in a sentence."""
    basis = effects.balanced(design, lambda rows: budget.whole_seeds(cell.key for cell in rows))
    if len(basis.seeds) < 2:
        return "an interval needs two whole seeds"
    spread, source = spread_of(store, dataset, design)
    pairs, tests = len(basis.rows) // 2, len(design.factors)
    main, step = effects.resolution(spread, len(basis.seeds), pairs)
    corrected, _ = effects.resolution(spread, len(basis.seeds), pairs, tests)
    of_half = " of the half" if basis.of_half else ""
    return (f"{len(basis.seeds)} seeds{of_half} at a spread of {spread:.2f} points of AP ({source}) tell a main effect from "
            f"nothing at {main:.2f} points ({corrected:.2f} with {tests} tests), a step between two rows at {step:.2f}")


def spread_of(store: Store, dataset: str, design: Design) -> tuple[float, str]:
    """(standard deviation of a row over seeds in points of AP, whence it is known): pooled over the rows with two bundles."""
    by_row = {}
    for bundle in store.of(experiment_of(dataset, design)):
        if bundle["row"] != Backbone().key:
            by_row.setdefault(bundle["row"], []).append(100 * bundle["evaluations"][NUMBER]["map"])
    rows = [values for values in by_row.values() if len(values) > 1]
    if not rows:
        return SPREAD, "the pilot's"
    freedom = sum(len(values) - 1 for values in rows)
    return math.sqrt(sum(statistics.variance(values) * (len(values) - 1) for values in rows) / freedom), f"of {len(rows)} rows"
