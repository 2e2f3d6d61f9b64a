"""What the bundles of the photographs say: every row, and what the whole bag gains, over the folds of each set."""
from __future__ import annotations

import statistics
from typing import TYPE_CHECKING, Any, Mapping, Sequence

from gluon_bof.paper import effects, photographs
from gluon_bof.paper.effects import judged
from gluon_bof.paper.miniature import FITTED
from gluon_bof.paper.photograph_numbers import TEST, TEST50, TRAIN50, Gain, gains, label_of, rows_of, sets, without_gain
from gluon_bof.paper.words import DETECTORS, NO_RUN, Picture, made_by, mark, spread, spread_of_fit, table, told, underfitted

if TYPE_CHECKING:
    from gluon_bof.paper.bundles import Store

PICTURE = "photographs-effects.png"


def told_partly(store: Store, told: Sequence[Gain]) -> list[tuple[str, str]]:
    """[(detector, what the folds that were run give, in words)] of the sets and detectors that have both rows of a fold and are
    none of these gains, for lack of a whole seed."""
    words = [(DETECTORS[family], _words_of_folds(name, found, family)) for name, found, family in without_gain(store, told)]
    return [(detector, of_folds) for detector, of_folds in words if of_folds]


def _words_of_folds(name, found, family):
    """"" where no fold has both rows."""
    baseline, bag = ([bundle for bundle in found if bundle["row"] == key] for key in rows_of(family))
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
    lacking = [label_of(name, DETECTORS[family]) for name, _, family in without_gain(store, of_picture)]
    return f" Not shown, for no seed has both rows in every fold: {'; '.join(lacking)}." if lacking else ""


def photographs_summary(store: Store) -> str:
    """Baseline and whole bag of both detectors on every set."""
    there = sets(store)
    if not there:
        return NO_RUN
    of_both = gains(store)
    rows = [row for name, found in there.items() for row in _rows(name, found)]
    parts = [table(["set", "detector", "", TEST.title, TEST50.title, TRAIN50.title, "runs"], rows)]
    if of_both:
        parts = [f"![Whole bag less baseline]({PICTURE})", "",
                 f"*Squares: means over the folds, hollow where the whole bag has less than {FITTED:g}% mAP@0.5 on its training "
                 "images; dots: folds. The 95% interval is Student's over the folds, widened for the training images that they "
                 f"share (Nadeau and Bengio, 2003).{not_shown(store, of_both)}*", "", _table_of_gains(of_both), *parts]
    return "\n".join([*parts, made_by([bundle for found in there.values() for bundle in found])])


def _table_of_gains(of_both):
    head = ["set, detector", f"whole bag less baseline, {TEST.title}", "", TEST50.title, "", "AP, not widened", "folds, seeds"]
    rows = []
    for gain in of_both:
        under = underfitted([gain.fit], FITTED)
        of_measures = [text for effect in (gain.effect, gain.effect50) for text in (told(effect), judged(effect) + under)]
        rows.append([gain.label, *of_measures, f"± {gain.effect.not_widened:.2f}",
                     f"{len(gain.effect.by_fold)}, {len(gain.seeds)}"])
    return table(head, rows)


def _rows(name, found):
    for setting in photographs.SETTINGS:
        of_row: Sequence[Mapping[str, Any]] = [bundle for bundle in found if bundle["row"] == setting.key]
        if of_row:
            test, test50, fit = ([measure.of(bundle) for bundle in of_row] for measure in (TEST, TEST50, TRAIN50))
            yield [name, DETECTORS[setting.family], "whole bag" if setting.is_bag else "baseline", spread(test), spread(test50),
                   spread_of_fit(fit, FITTED), str(len(of_row))]


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
    return Bar(f"{gain.detector} ({len(dots)} folds)", gain.effect.mean, gain.effect.half_width, dots, counts=gain.is_fitted)
