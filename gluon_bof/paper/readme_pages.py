"""The measured numbers of README and docs/freebies.md, and what the package ships."""
from __future__ import annotations

import statistics
from typing import TYPE_CHECKING

from gluon_bof.paper import effects, miniature
from gluon_bof.paper.bundles import shipped
from gluon_bof.paper.embedded_pages import embedded_bundles
from gluon_bof.paper.ends import Ends, both_ends
from gluon_bof.paper.miniature_numbers import AP, MEASURES, miniature_bundles, paper_steps
from gluon_bof.paper.miniature_pages import mark_of_basis
from gluon_bof.paper.photograph_numbers import Gain, gains
from gluon_bof.paper.photograph_pages import told_partly
from gluon_bof.paper.words import DETECTORS, mark, table, told

if TYPE_CHECKING:
    from gluon_bof.paper.bundles import Store


def shipped_summary(store: Store) -> str:
    """What the package ships, by the JSON beside each file."""
    rows = []
    for stem, name in (("darknet-mini", "--pretrained-base shipped"), ("darknet-mini-mixup", "--pretrained-base shipped-mixup"),
                       ("yolo3_shapes", "shapes")):
        about = shipped(stem)
        result = f"mAP@0.5 {about['map']:.3f}" if "map" in about else f"{100 * about['accuracy']:.1f}%"
        rows.append([f"`{stem}.params`, `{name}`", result, f"`{about['command']}`"])
    return table(["file, name", "result", "command"], rows)


def readme_table(store: Store) -> str:
    """The README's measured numbers: a row for each network, then YOLOv3's freebies one by one and the shipped detector."""
    embedded = {row.title: _told_embedded(row, found) for row, found in embedded_bundles(store).items() if found}
    ends: dict[str, list[str]] = {}
    for found in both_ends(store):
        ends.setdefault(found.title, []).append(_told_ends(found))
    photographs: dict[str, list[str]] = {}
    whole = gains(store)
    for detector, words in [*((gain.detector, _told_photographs(gain)) for gain in whole), *told_partly(store, whole)]:
        photographs.setdefault(detector, []).append(words)
    titles = dict.fromkeys([*embedded, *ends, *photographs])
    rows = [[title, embedded.get(title, "–"), *("; ".join(told_of.get(title, ["–"])) for told_of in (ends, photographs))]
            for title in titles]
    below = [*(_freebies(*of_family) for of_family in _factorials(store)),
             f"The shipped detector `shapes`: mAP@0.5 {shipped('yolo3_shapes')['map']:.3f} on the embedded set."]
    return table(["network", "trained on the embedded set (`shapes`), from the shipped backbone",
                  "whole bag over the baseline, `vocmini`", "whole bag over the baseline, photographs"],
                 rows) + "\n" + "\n".join(below) + "\n"


def _told_embedded(row, found):
    command = "make train" if row.family == "yolo3" else f"gluon-bof train {row.family}"
    values = [row.numbers[0].fraction_of(bundle["evaluations"]["own"]) for bundle in found]
    of = ", ".join(f"{value:.3f}" for value in values) if len(values) > 1 else "1 seed"
    return f"{row.numbers[0].title} {statistics.mean(values):.3f} ({of}), `{command}`"


def _told_ends(ends: Ends):
    gain = ends.pair.gain
    longer = f"both for {ends.epochs} epochs: " if ends.epochs else ""
    return f"{longer}{told(gain)} points of {ends.number}, {_count(len(gain.by_seed), 'seed')}{mark(ends.fit, ends.asked)}"


def freebies_tables(store: Store) -> str:
    """What each freebie gains by a factorial's main effects, beside the paper's step; no table where those have no interval."""
    made = [_table_of_freebies(*of_family) for of_family in _factorials(store)]
    return "\n".join(made) if made else "No factorial has two whole seeds yet."


def _factorials(store):
    """[(family, its bundles, the Basis of its main effects)] of those whose main effects have an interval."""
    found = [(family, miniature_bundles(store, family)) for family in miniature.DESIGNS]
    told_of = [(family, bundles, effects.told_from(bundles, miniature.DESIGNS[family])) for family, bundles in found]
    return [(family, bundles, basis) for family, bundles, basis in told_of if len(basis.seeds) > 1]


def _table_of_freebies(family, found, basis):
    design = miniature.DESIGNS[family]
    main = [effects.main_effects(found, measure, basis, design) for measure in MEASURES[family]]
    papers = paper_steps(family)
    rows = [[factor, f"{papers[factor]:+.1f}", *(told(effect[factor], len(design.factors)) for effect in main)]
            for factor in design.factors]
    head = ["freebie", "the paper's step, mAP@0.5", *(measure.title for measure in MEASURES[family])]
    return f"{DETECTORS[family]}, {_of_basis(basis)}{mark_of_basis(found, basis)}:\n\n" + table(head, rows)


def _of_basis(basis):
    return f"{_count(len(basis.seeds), 'seed')}{', half of all combinations' if basis.of_half else ''}"


def _freebies(family, found, basis):
    """The main effects of a factorial, in a line."""
    design = miniature.DESIGNS[family]
    main = effects.main_effects(found, AP, basis, design)
    each = "; ".join(f"{factor} {told(effect, len(main))}" for factor, effect in main.items())
    return (f"Each freebie of {DETECTORS[family]} with the others on and off, `vocmini`, {_of_basis(basis)}: "
            f"{each} points of {AP.title}{mark_of_basis(found, basis)}.")


def _told_photographs(gain: Gain):
    return (f"{told(gain.effect)} points of AP@[.5:.95], {gain.images} of `{gain.set}` in {len(gain.effect.by_fold)} folds"
            f"{mark(gain.fit, miniature.FITTED)}")


def _count(number, word):
    return f"{number} {word}{'s' if number > 1 else ''}"
