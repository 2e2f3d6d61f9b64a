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
    """The README's measured numbers in one table."""
    rows = [_row_of_embedded(row, found) for row, found in embedded_bundles(store).items() if found]
    rows.append(["YOLOv3, the shipped weights `shapes`", "the drawn images", f"mAP@0.5 {shipped('yolo3_shapes')['map']:.3f}"])
    rows += [_row_of_photographs(gain) for gain in gains(store)]
    rows += [_row_of_ends(ends) for ends in both_ends(store)]
    rows += [row for family in miniature.DESIGNS for row in _row_of_freebies(store, family)]
    return table(["what", "data", "result"], rows)


def _row_of_embedded(row, found):
    command = "make train" if row.family == "yolo3" else f"gluon-bof train {row.family}"
    values = [row.numbers[0].fraction_of(bundle["evaluations"]["own"]) for bundle in found]
    each = ", ".join(f"{value:.3f}" for value in values)
    return [f"{row.title} from the shipped backbone, `{command}`", "1,000 drawn images",
            f"{row.numbers[0].title} {statistics.mean(values):.3f} ({'seeds' if len(values) > 1 else 'seed'}: {each})"]


def _row_of_ends(ends: Ends):
    gain = ends.pair.gain
    count = len(gain.by_seed)
    return [f"{ends.title}, the whole bag against the baseline", f"`vocmini`, {count} {'seeds' if count > 1 else 'seed'}",
            f"{told(gain)} points of {ends.number}{mark(ends.fit, ends.asked)}"]


def _row_of_freebies(store, family):
    """The main effects of a factorial, in a row; no row where they have no interval."""
    design, found = miniature.DESIGNS[family], miniature_bundles(store, family)
    basis = effects.told_from(found, design)
    if len(basis.seeds) < 2:
        return []
    main, fits = effects.main_effects(found, AP, basis, design), fits_of(found, design)
    each = "; ".join(f"{factor} {told(effect, len(main))}" for factor, effect in main.items())
    under = [row.key for row in basis.rows if fits[row.key] < miniature.FITTED]
    of_rows = f" (underfitted: {len(under)} of {len(basis.rows)} rows)" if under else ""
    of_half = ", half of all combinations" if basis.of_half else ""
    return [[f"{DETECTORS[family]}, each freebie with the others on and off", f"`vocmini`, {len(basis.seeds)} seeds{of_half}",
             f"{each} points of {AP.title}{of_rows}"]]


def _row_of_photographs(gain: Gain):
    folds = len(gain.effect.by_fold)
    return [f"{gain.detector}, the whole bag against the baseline", f"{gain.images} photographs (`{gain.set}`), {folds} folds",
            f"{told_folds(gain.effect)} points of AP@[.5:.95]{mark(gain.fit, miniature.FITTED)}"]
