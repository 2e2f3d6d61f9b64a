"""Figure 5 of bundles: what is found beside a sliding patch, by mixup alone, as the paper compares, and by the whole bag."""
from __future__ import annotations

from typing import TYPE_CHECKING

from gluon_bof.paper import effects, miniature
from gluon_bof.paper.miniature_numbers import SLIDING, end_rows, miniature_bundles, step_effects, whole_bag
from gluon_bof.paper.words import DETECTORS, NO_RUN, of_seeds, table, told

if TYPE_CHECKING:
    from gluon_bof.paper.bundles import Store


def figure_5(store: Store) -> str:
    """A table of each detector that has runs: mixup's step and its main effect beside the whole bag."""
    found = {family: miniature_bundles(store, family) for family in miniature.DESIGNS}
    return "\n".join(_table(bundles, family) for family, bundles in found.items() if bundles) or NO_RUN


def _table(found, family):
    design = miniature.DESIGNS[family]
    basis = effects.told_from(found, design)
    by_measure = {measure.title: (step_effects(found, measure, family).get(end_rows(family)[1]),
                                  effects.main_effects(found, measure, basis, design).get("mixup"),
                                  whole_bag(found, measure, family)) for measure in SLIDING}
    tests = (1, len(design.factors), 1)
    rows = [[title, *(told(gain, count) if gain else "" for gain, count in zip(gains, tests))]
            for title, gains in by_measure.items()]
    names = ("mixup, over the row before", "mixup, main effect", "whole bag, over the baseline")
    head = [f"{name} ({of_seeds(gain.by_seed)})" if gain else name for name, gain in zip(names, by_measure[SLIDING[0].title])]
    return f"{DETECTORS[family]}, points:\n\n" + table(["", *head], rows)
