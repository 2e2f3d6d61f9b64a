"""Pages that bundles make: markdown between two marks, and pictures. Nothing else writes a measured number into these places.

    <!-- bundles: NAME -->
    what SECTIONS[NAME] makes of the bundles
    <!-- end -->"""
from __future__ import annotations

import os
import re
from functools import partial
from typing import Iterable

from gluon_bof.errors import UserError
from gluon_bof.files import write_atomically
from gluon_bof.paper import embedded, miniature
from gluon_bof.paper.bag_pages import bag_pictures, bag_summary
from gluon_bof.paper.bundles import Store
from gluon_bof.paper.embedded_pages import embedded_summary
from gluon_bof.paper.ends import figure_1, figure_1_pictures
from gluon_bof.paper.miniature_pages import miniature_pictures, miniature_rows, miniature_summary, miniature_tables
from gluon_bof.paper.optimizer_pages import optimizers_summary
from gluon_bof.paper.photograph_pages import photograph_pictures, photographs_summary
from gluon_bof.paper.readme_pages import freebies_tables, readme_table, shipped_summary
from gluon_bof.paper.schedule_pages import figure_6, figure_6_pictures
from gluon_bof.paper.sliding_pages import figure_5
from gluon_bof.paper.upsampling_pages import upsampling_summary
from gluon_bof.paper.words import NO_RUN, Picture, made_in

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


def published(root: str) -> list[str]:
    """Paths of the marked pages of a checkout: README, guides and results."""
    return [page for folder in ("", "docs", "results") for page in pages_in(os.path.join(root, folder))]


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


# ---- what there is -------------------------------------------------------------------------------------------------

def pictures(store: Store) -> list[Picture]:
    """Every picture that the bundles give."""
    of_miniature = [picture for family in miniature.DESIGNS for picture in miniature_pictures(store, family)]
    of_paper = [*figure_1_pictures(store), *figure_6_pictures(store)]
    return [*of_paper, *of_miniature, *bag_pictures(store), *photograph_pictures(store)]


def all_runs(store: Store) -> str:
    """How many runs there are, whatever of, and how long they took."""
    found = store.everything()
    return f"All runs: {made_in(found)}, up to two side by side." if found else NO_RUN


SECTIONS = {"runs": all_runs, "figure-1": figure_1, "figure-5": figure_5, "figure-6": figure_6, "miniature": miniature_summary,
            "miniature-rows": miniature_rows, "miniature-tables": miniature_tables,
            "miniature-faster-rcnn": partial(miniature_summary, family="faster_rcnn"),
            "miniature-faster-rcnn-rows": partial(miniature_rows, family="faster_rcnn"), "photographs": photographs_summary,
            "bag": bag_summary, "optimizers": optimizers_summary, "embedded": embedded_summary,
            **{f"embedded-{row.key}": partial(embedded_summary, rows=(row.key,)) for row in embedded.ROWS},
            "upsampling": upsampling_summary, "shipped": shipped_summary, "measured": readme_table,
            "freebies": freebies_tables}
