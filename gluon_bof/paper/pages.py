"""Pages that bundles make: markdown between two marks, and pictures. Nothing else writes a measured number into these places.

    <!-- bundles: NAME -->
    what SECTIONS[NAME] makes of the bundles
    <!-- end -->"""
from __future__ import annotations

import os
import re
import statistics
from functools import partial
from typing import Any, Iterable

from gluon_bof.errors import UserError
from gluon_bof.files import write_atomically
from gluon_bof.options import families
from gluon_bof.paper import effects, embedded, harness, miniature, upsampling
from gluon_bof.paper.bag_pages import bag_pictures, bag_summary
from gluon_bof.paper.bundles import Store, shipped
from gluon_bof.paper.ends import Ends, both_ends, figure_1, figure_1_pictures
from gluon_bof.paper.miniature_pages import (
    AP,
    fits_of,
    miniature_bundles,
    miniature_pictures,
    miniature_rows,
    miniature_summary,
    miniature_tables,
)
from gluon_bof.paper.optimizer_pages import optimizers_summary
from gluon_bof.paper.photograph_pages import Gain, photograph_pictures, photographs_summary, told_folds
from gluon_bof.paper.photograph_pages import gains as photograph_gains
from gluon_bof.paper.schedule_pages import figure_6, figure_6_pictures
from gluon_bof.paper.words import DETECTORS, Picture, made_by, spread, table, told, told_gain

MARKED = re.compile(r"(<!-- bundles: (?P<name>[\w-]+) -->\n).*?(<!-- end -->)", re.DOTALL)


# ---- filling pages -------------------------------------------------------------------------------------------------

def filled(text: str, store: Store) -> str:
    """The page with what the bundles give between its marks. Raises UserError for a mark that no section has, and for bundles of
    other configurations."""
    def of_mark(match):
        name = match["name"]
        if name not in SECTIONS:
            raise UserError(f"no section is called {name!r}", remedy=f"known are {', '.join(SECTIONS)}")
        return f"{match[1]}{SECTIONS[name](store).strip()}\n{match[3]}"

    return MARKED.sub(of_mark, text)


def pages_in(folder: str) -> list[str]:
    """Paths of the marked pages of a folder."""
    paths = [os.path.join(folder, name) for name in sorted(os.listdir(folder)) if name.endswith(".md")]
    return [path for path in paths if MARKED.search(_read(path))]


def write_pages(paths: Iterable[str], results: str) -> list[str]:
    """Fill pages and draw the pictures anew where they are not those of the bundles. Returns the paths of what changed. Raises
    UserError where bundles are refused; then nothing is."""
    from gluon_bof.paper.pictures import digest_in, digest_of

    store, changed = Store(results), []
    before = {path: _read(path) for path in paths}
    after = {path: filled(text, store) for path, text in before.items()}
    shown = pictures(store)  # whatever is refused is refused before anything is written
    for path, text in after.items():
        if text != before[path]:
            write_atomically(path, text.encode())
            changed.append(path)
    for picture in shown:
        path = os.path.join(results, picture.file)
        if digest_in(path) != digest_of(picture.numbers):
            picture.draw(path)
            changed.append(path)
    return changed


def _read(path):
    with open(path, encoding="utf-8") as file:
        return file.read()


# ---- the embedded jobs, and what the package ships -----------------------------------------------------------------

def embedded_bundles(store: Store) -> dict[str, list[dict[str, Any]]]:
    """{family: its bundles, by seed}. Raises UserError where one is of another configuration."""
    found = harness.checked(store, embedded.EXPERIMENT, embedded.plan)
    return {row.family: sorted((bundle for bundle in found if bundle["row"] == row.key), key=lambda bundle: bundle["seed"])
            for row in embedded.ROWS}


def embedded_summary(store: Store) -> str:
    """mAP@0.5 of every seed, and of every class."""
    found = embedded_bundles(store)
    if not any(found.values()):
        return "No run has a bundle yet."
    parts = []
    for family, of_family in found.items():
        if of_family:
            classes = list(of_family[0]["evaluations"]["own"]["per_class"])
            rows = [[str(bundle["seed"]), f"{bundle['evaluations']['own']['map']:.4f}",
                     ", ".join(f"{bundle['evaluations']['own']['per_class'][name]:.3f}" for name in classes)]
                    for bundle in of_family]
            parts += [f"{families.by_name(family).title}:", "", table(["seed", "mAP@0.5", ", ".join(classes)], rows)]
    return "\n".join([*parts, made_by([bundle for of_family in found.values() for bundle in of_family])])


def upsampling_summary(store: Store) -> str:
    """Mean IoU of a U-Net by its way of upsampling, and what each gains over nearest."""
    there = upsampling.found(store)
    if not there:
        return "No run has a bundle yet."
    numbers = upsampling.points(there)
    gains = upsampling.against_nearest(numbers) if numbers else {}
    by_way = {row.key: {seed: 100 * bundle["training"]["miou"] for (key, seed), bundle in sorted(there.items()) if key == row.key}
              for row in upsampling.ROWS}
    rows = []
    for way, of_way in by_way.items():
        gain = gains.get(way)
        rows.append([way, spread(list(of_way.values())), ", ".join(f"{value:.1f}" for value in of_way.values()),
                     *((told_gain(gain, by_way[upsampling.OVER], of_way), upsampling.judged(gain)) if gain else ("", ""))])
    return "\n".join([table(["upsampling", "mean IoU, %", "seeds", "points over nearest", "by the protocol"], rows),
                      made_by(list(there.values()))])


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
    rows = []
    what = {"yolo3": "YOLOv3 from the shipped backbone, `make train`",
            "faster_rcnn": "Faster R-CNN, `gluon-bof train faster_rcnn`",
            "ssd": "SSD from the shipped backbone, `gluon-bof train ssd`"}
    for family, found in embedded_bundles(store).items():
        if found:
            values = [bundle["evaluations"]["own"]["map"] for bundle in found]
            each = ", ".join(f"{value:.3f}" for value in values)
            rows.append([what[family], "1,000 drawn images", f"mAP@0.5 {statistics.mean(values):.3f} "
                                                             f"({'seeds' if len(values) > 1 else 'seed'}: {each})"])
    rows.append(["YOLOv3, the shipped weights `shapes`", "the drawn images", f"mAP@0.5 {shipped('yolo3_shapes')['map']:.3f}"])
    rows += [_row_of_photographs(gain) for gain in photograph_gains(store)]
    rows += [_row_of_ends(ends) for ends in both_ends(store)]
    rows += [row for family in miniature.DESIGNS for row in _row_of_freebies(store, family)]
    return table(["what", "data", "result"], rows)


def _row_of_ends(ends: Ends):
    gain = ends.pair.gain
    count = len(gain.by_seed)
    return [f"{ends.title}, the whole bag against the baseline", f"`vocmini`, {count} {'seeds' if count > 1 else 'seed'}",
            f"{told(gain)} points of {ends.number}{_mark(ends, ends.asked)}"]


def _row_of_freebies(store, family):
    """The main effects of a factorial, in a row; no row where they have no interval."""
    design, found = miniature.DESIGNS[family], miniature_bundles(store, family)
    basis = effects.told_from(found, design)
    if len(basis.seeds) < 2:
        return []
    main, fits = effects.main_effects(found, AP, basis, design), fits_of(found, design)
    each = "; ".join(f"{factor} {told(effect, len(main))}" for factor, effect in main.items())
    under = [row.key for row in basis.rows if fits[row.key] < miniature.FITTED]
    mark = f" (underfitted: {len(under)} of {len(basis.rows)} rows)" if under else ""
    of_half = ", half of all combinations" if basis.of_half else ""
    return [[f"{DETECTORS[family]}, each freebie with the others on and off", f"`vocmini`, {len(basis.seeds)} seeds{of_half}",
             f"{each} points of {AP.title}{mark}"]]


def _row_of_photographs(gain: Gain):
    folds = len(gain.effect.by_fold)
    return [f"{gain.detector}, the whole bag against the baseline", f"{gain.images} photographs (`{gain.set}`), {folds} folds",
            f"{told_folds(gain.effect)} points of AP@[.5:.95]{_mark(gain, miniature.FITTED)}"]


def _mark(found: Ends | Gain, asked: float):
    """Says of a whole bag that it has less than the asked points on its training images."""
    return "" if found.is_fitted else f" (underfitted: {found.fit:.1f} of {asked:g} on its training images)"


def pictures(store: Store) -> list[Picture]:
    """Every picture that the bundles give."""
    of_miniature = [picture for family in miniature.DESIGNS for picture in miniature_pictures(store, family)]
    of_paper = [*figure_1_pictures(store), *figure_6_pictures(store)]
    return [*of_paper, *of_miniature, *bag_pictures(store), *photograph_pictures(store)]


SECTIONS = {"figure-1": figure_1, "figure-6": figure_6, "miniature": miniature_summary, "miniature-rows": miniature_rows,
            "miniature-tables": miniature_tables, "miniature-faster-rcnn": partial(miniature_summary, family="faster_rcnn"),
            "miniature-faster-rcnn-rows": partial(miniature_rows, family="faster_rcnn"), "photographs": photographs_summary,
            "bag": bag_summary, "optimizers": optimizers_summary, "embedded": embedded_summary, "upsampling": upsampling_summary,
            "shipped": shipped_summary, "measured": readme_table}
