"""The README's measured numbers, and what the package ships."""
from __future__ import annotations

import statistics
from typing import TYPE_CHECKING

from gluon_bof.paper import effects, miniature
from gluon_bof.paper.bundles import shipped
from gluon_bof.paper.embedded_pages import embedded_bundles
from gluon_bof.paper.ends import Ends, both_ends
from gluon_bof.paper.miniature_pages import AP, fits_of, miniature_bundles
from gluon_bof.paper.photograph_pages import Gain, gains, told_folds
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
    ends = {ends.title: _told_ends(ends) for ends in both_ends(store)}
    photographs: dict[str, list[str]] = {}
    for gain in gains(store):
        photographs.setdefault(gain.detector, []).append(_told_photographs(gain))
    titles = dict.fromkeys([*embedded, *ends, *photographs])
    rows = [[title, embedded.get(title, "–"), ends.get(title, "–"), "; ".join(photographs.get(title, ["–"]))] for title in titles]
    below = [*(line for family in miniature.DESIGNS for line in _freebies(store, family)),
             f"The shipped detector `shapes`: mAP@0.5 {shipped('yolo3_shapes')['map']:.3f} on the drawn images."]
    return table(["network", "trained on 1,000 drawn images, from the shipped backbone", "whole bag over the baseline, `vocmini`",
                  "whole bag over the baseline, photographs"], rows) + "\n" + "\n".join(below) + "\n"


def _told_embedded(row, found):
    command = "make train" if row.family == "yolo3" else f"gluon-bof train {row.family}"
    values = [row.numbers[0].fraction_of(bundle["evaluations"]["own"]) for bundle in found]
    of = ", ".join(f"{value:.3f}" for value in values) if len(values) > 1 else "1 seed"
    return f"{row.numbers[0].title} {statistics.mean(values):.3f} ({of}), `{command}`"


def _told_ends(ends: Ends):
    gain = ends.pair.gain
    return f"{told(gain)} points of {ends.number}, {_count(len(gain.by_seed), 'seed')}{mark(ends.fit, ends.asked)}"


def _freebies(store, family):
    """The main effects of a factorial, in a line; none where they have no interval."""
    design, found = miniature.DESIGNS[family], miniature_bundles(store, family)
    basis = effects.told_from(found, design)
    if len(basis.seeds) < 2:
        return []
    main, fits = effects.main_effects(found, AP, basis, design), fits_of(found, design)
    each = "; ".join(f"{factor} {told(effect, len(main))}" for factor, effect in main.items())
    under = [row.key for row in basis.rows if fits[row.key] < miniature.FITTED]
    of_rows = f" (underfitted: {len(under)} of {len(basis.rows)} rows)" if under else ""
    of_half = ", half of all combinations" if basis.of_half else ""
    return [f"Each freebie of {DETECTORS[family]} with the others on and off, `vocmini`, {_count(len(basis.seeds), 'seed')}"
            f"{of_half}: {each} points of {AP.title}{of_rows}."]


def _told_photographs(gain: Gain):
    return (f"{told_folds(gain.effect)} points of AP@[.5:.95], {gain.images} of `{gain.set}` in {len(gain.effect.by_fold)} folds"
            f"{mark(gain.fit, miniature.FITTED)}")


def _count(number, word):
    return f"{number} {word}{'s' if number > 1 else ''}"
