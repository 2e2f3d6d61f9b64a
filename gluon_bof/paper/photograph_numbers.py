"""What the photographs' bundles give: what the whole bag gains over the baseline, over the folds of each set."""
from __future__ import annotations

import os
import statistics
from typing import TYPE_CHECKING, Any, Mapping, NamedTuple, Sequence

from gluon_bof.errors import UserError
from gluon_bof.paper import bundles, effects, harness, photographs
from gluon_bof.paper.effects import Folded, Measure
from gluon_bof.paper.miniature import FITTED
from gluon_bof.paper.photographs import Setting
from gluon_bof.paper.words import DETECTORS

if TYPE_CHECKING:
    from gluon_bof.paper.bundles import Store

TEST, TEST50, TRAIN50 = (Measure("AP@[.5:.95]", ("test",)), Measure("mAP@0.5", ("test",), "coco.AP50"),
                         Measure("mAP@0.5 on its training images", ("train",), "coco.AP50"))


class Gain(NamedTuple):
    """What a detector's whole bag gains on a set. images: of the set; seeds: of which every fold has both runs; baseline, bag:
    points of AP, means over those runs; fit: points of mAP@0.5 of those whole bags on their training images."""

    set: str
    detector: str
    images: int
    seeds: list
    effect: Folded
    effect50: Folded
    baseline: float
    bag: float
    fit: float

    @property
    def is_fitted(self) -> bool:
        """Whether the whole bags learned their training images as the miniature's protocol asks."""
        return self.fit >= FITTED

    @property
    def label(self) -> str:
        """Its name on pages."""
        return label_of(self.set, self.detector)


def label_of(name: str, detector: str) -> str:
    """A set and a detector on pages."""
    return f"{name}, {detector}"


def gains(store: Store) -> list[Gain]:
    """The sets and detectors of which a seed has both rows in every fold. Raises UserError for bundles of another configuration
    or of other folds."""
    made = []
    for name, found in sets(store).items():
        folds = _checked_folds(name, found, store)
        made += [_gain(name, found, family, folds) for family in DETECTORS]
    return [gain for gain in made if gain]


def without_gain(store: Store, told: Sequence[Gain]) -> list[tuple[str, list, str]]:
    """[(set, its bundles, family)] of the sets and detectors that are none of these gains."""
    labels = {gain.label for gain in told}
    return [(name, found, family) for name, found in sets(store).items() for family, detector in DETECTORS.items()
            if label_of(name, detector) not in labels]


def rows_of(family: str) -> tuple[str, ...]:
    """Keys of a detector's baseline and whole bag."""
    return tuple(Setting(family, is_bag).key for is_bag in (False, True))


def _gain(name, found, family, folds):
    """None where no seed is whole."""
    baseline, bag = rows_of(family)
    differences, seeds = effects.paired_folds(found, TEST, bag, baseline, range(folds))
    if not seeds:
        return None
    differences50, _ = effects.paired_folds(found, TEST50, bag, baseline, range(folds))

    def mean(measure, key):
        return statistics.mean(measure.of(bundle) for bundle in found if bundle["row"] == key and bundle["seed"] in seeds)

    return Gain(name, DETECTORS[family], sum(found[0]["configuration"]["data"]["images"]), seeds, effects.over_folds(differences),
                effects.over_folds(differences50), mean(TEST, baseline), mean(TEST, bag), mean(TRAIN50, bag))


def sets(store: Store) -> dict[str, list[Mapping[str, Any]]]:
    """{set: its bundles}."""
    begin, found = photographs.experiment_of(""), {}
    for bundle in store.everything():
        if bundle["experiment"].startswith(begin) and "fold" in bundle:
            found.setdefault(bundle["experiment"][len(begin):], []).append(bundle)
    return dict(sorted(found.items()))


def _checked_folds(name, found, store):
    """The number of folds. Raises UserError where bundles are of another configuration than would be run now, or of other
    folds."""
    # of one that tells its labels, if any does: those of all that do are the same
    data = max((bundle["configuration"]["data"] for bundle in found), key=lambda told: bundles.LABELS in told)
    path = os.path.join(os.path.dirname(store.folder), f"folds-{name}-{data['folds']}.json")
    if not os.path.exists(path):
        raise UserError("the folds of these bundles are missing", path, "bring the file from where they were made")
    folds = photographs.Folds(name, data["folds"], name, tuple(found[0]["evaluations"]["test"]["per_class"]),
                              {**data, **photographs.told_folds(name, data["folds"], path)})
    harness.refuse_others(found, photographs.plan(folds, sorted({bundle["seed"] for bundle in found})), store)
    return data["folds"]
