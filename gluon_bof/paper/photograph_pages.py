"""What the bundles of the photographs say: every row, and what the whole bag gains, over the folds of each set."""
from __future__ import annotations

import os
import statistics
from typing import TYPE_CHECKING, Any, Mapping, NamedTuple, Sequence

from gluon_bof.errors import UserError
from gluon_bof.paper import bundles, effects, harness, photographs
from gluon_bof.paper.effects import Folded, Measure
from gluon_bof.paper.miniature import FITTED
from gluon_bof.paper.photographs import Setting
from gluon_bof.paper.words import DETECTORS, NO_RUN, Picture, made_by, mark, spread, spread_of_fit, table, underfitted

if TYPE_CHECKING:
    from gluon_bof.paper.bundles import Store

TEST, TEST50, TRAIN50 = (Measure("AP@[.5:.95]", ("test",)), Measure("mAP@0.5", ("test",), "coco.AP50"),
                         Measure("mAP@0.5 on its training images", ("train",), "coco.AP50"))
PICTURE = "photographs-effects.png"


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
        return _label(self.set, self.detector)


def _label(name, detector):
    return f"{name}, {detector}"


def gains(store: Store) -> list[Gain]:
    """The sets and detectors of which a seed has both rows in every fold. Raises UserError for bundles of another configuration
    or of other folds."""
    made = []
    for name, found in _sets(store).items():
        folds = _checked_folds(name, found, store)
        made += [_gain(name, found, family, folds) for family in DETECTORS]
    return [gain for gain in made if gain]


def told_partly(store: Store, told: Sequence[Gain]) -> list[tuple[str, str]]:
    """[(detector, what the folds that were run give, in words)] of the sets and detectors that have both rows of a fold and are
    none of these gains, for lack of a whole seed."""
    words = [(DETECTORS[family], _words_of_folds(name, found, family)) for name, found, family in _without_gain(store, told)]
    return [(detector, of_folds) for detector, of_folds in words if of_folds]


def _words_of_folds(name, found, family):
    """"" where no fold has both rows."""
    baseline, bag = ([bundle for bundle in found if bundle["row"] == key] for key in _rows_of(family))
    pair = effects.paired(*({(bundle["fold"], bundle["seed"]): TEST.of(bundle) for bundle in row} for row in (baseline, bag)))
    if not pair:
        return ""
    before, after = pair.means
    fits = [TRAIN50.of(bundle) for bundle in bag if (bundle["fold"], bundle["seed"]) in pair.mine]
    done, folds = len({fold for fold, _ in pair.mine}), found[0]["configuration"]["data"]["folds"]
    return (f"{after - before:+.2f} points of {TEST.title}, {done} of {folds} folds of `{name}`"
            f"{mark(statistics.mean(fits), FITTED)}")


def not_shown(store: Store, of_picture: Sequence[Gain]) -> str:
    """Which sets and detectors a picture of these gains leaves out, in a sentence; "" where there is none."""
    lacking = [_label(name, DETECTORS[family]) for name, _, family in _without_gain(store, of_picture)]
    return f" Not shown, for no seed has both rows in every fold: {'; '.join(lacking)}." if lacking else ""


def _without_gain(store, told):
    """[(set, its bundles, family)] of the sets and detectors that are none of these gains."""
    labels = {gain.label for gain in told}
    return [(name, found, family) for name, found in _sets(store).items() for family, detector in DETECTORS.items()
            if _label(name, detector) not in labels]


def _rows_of(family):
    """Keys of a detector's baseline and whole bag."""
    return (Setting(family, is_bag).key for is_bag in (False, True))


def _gain(name, found, family, folds):
    """None where no seed is whole."""
    baseline, bag = _rows_of(family)
    differences, seeds = effects.paired_folds(found, TEST, bag, baseline, range(folds))
    if not seeds:
        return None
    differences50, _ = effects.paired_folds(found, TEST50, bag, baseline, range(folds))

    def mean(measure, key):
        return statistics.mean(measure.of(bundle) for bundle in found if bundle["row"] == key and bundle["seed"] in seeds)

    return Gain(name, DETECTORS[family], sum(found[0]["configuration"]["data"]["images"]), seeds, effects.over_folds(differences),
                effects.over_folds(differences50), mean(TEST, baseline), mean(TEST, bag), mean(TRAIN50, bag))


def _sets(store):
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


def photographs_summary(store: Store) -> str:
    """Baseline and whole bag of both detectors on every set."""
    sets = _sets(store)
    if not sets:
        return NO_RUN
    of_both = gains(store)
    rows = [row for name, found in sets.items() for row in _rows(name, found)]
    parts = [table(["set", "detector", "", TEST.title, TEST50.title, TRAIN50.title, "runs"], rows)]
    if of_both:
        parts = [f"![Whole bag less baseline]({PICTURE})", "",
                 f"*Squares: means over the folds, hollow where the whole bag has less than {FITTED:g}% mAP@0.5 on its training "
                 "images; dots: folds. The 95% interval is Student's over the folds, widened for the training images that they "
                 f"share (Nadeau and Bengio, 2003).{not_shown(store, of_both)}*", "", _table_of_gains(of_both), *parts]
    return "\n".join([*parts, made_by([bundle for found in sets.values() for bundle in found])])


def _table_of_gains(of_both):
    head = ["set, detector", f"whole bag less baseline, {TEST.title}", "", TEST50.title, "", "AP, not widened", "folds, seeds"]
    return table(head, [[gain.label, told_folds(gain.effect),
                         judged_folds(gain.effect) + underfitted([gain.fit], FITTED), told_folds(gain.effect50),
                         judged_folds(gain.effect50), f"± {gain.effect.half_width:.2f}",
                         f"{len(gain.effect.by_fold)}, {len(gain.seeds)}"] for gain in of_both])


def _rows(name, found):
    for setting in photographs.SETTINGS:
        of_row: Sequence[Mapping[str, Any]] = [bundle for bundle in found if bundle["row"] == setting.key]
        if of_row:
            test, test50, fit = ([measure.of(bundle) for bundle in of_row] for measure in (TEST, TEST50, TRAIN50))
            yield [name, DETECTORS[setting.family], "whole bag" if setting.is_bag else "baseline", spread(test), spread(test50),
                   spread_of_fit(fit, FITTED), str(len(of_row))]


def told_folds(found: Folded) -> str:
    """A difference over folds with its widened interval, bold where that excludes 0."""
    text = f"{found.mean:+.2f} ± {found.corrected:.2f}"
    return f"**{text}**" if judged_folds(found) != "not resolved" else text


def judged_folds(found: Folded) -> str:
    """What a difference over folds lets be said."""
    return ("gain" if found.mean > 0 else "loss") if abs(found.mean) > found.corrected else "not resolved"


def photograph_pictures(store: Store) -> list[Picture]:
    """What the whole bag gains, a group a set."""
    from gluon_bof.paper import pictures as drawing

    groups: dict = {}
    for gain in gains(store):
        groups.setdefault(f"{gain.set}, {gain.images} photographs", []).append(bar(gain))
    if not groups:
        return []
    panels = [drawing.Panel("whole bag less baseline, AP@[.5:.95]", groups)]
    return [Picture(PICTURE, drawing.forest, (panels,))]


def bar(gain: Gain) -> Any:
    """A gain's line in pictures."""
    from gluon_bof.paper.pictures import Bar

    dots = tuple(gain.effect.by_fold.values())
    return Bar(f"{gain.detector} ({len(dots)} folds)", gain.effect.mean, gain.effect.corrected, dots, counts=gain.is_fitted)
