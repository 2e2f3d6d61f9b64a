"""Both ends of the stack, baseline and whole bag, of every family that has runs of them: the README's lines, and Figure 1."""
from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

from gluon_bof.paper import bag, factorial, miniature, photograph_numbers, photograph_pages
from gluon_bof.paper.effects import Paired, mean_points, paired_rows
from gluon_bof.paper.miniature_numbers import AP, OWN_IMAGES, all_of_miniature, end_rows, miniature_bundles
from gluon_bof.paper.words import DETECTORS, NO_RUN, Picture

if TYPE_CHECKING:
    from gluon_bof.paper.bundles import Store

PICTURE = "figure-1.png"


class Ends(NamedTuple):
    """Baseline and whole bag of a family. number: what a row is measured by; pair: the whole bag over the baseline, in points;
    fit: points of those whole bags on their training images, asked: what the protocol asks of them."""

    title: str
    number: str
    pair: Paired
    fit: float
    asked: float

    @property
    def is_fitted(self) -> bool:
        """Whether the whole bag is long enough to say something about the paper."""
        return self.fit >= self.asked


def both_ends(store: Store) -> list[Ends]:
    """The families of which a seed has both ends, the paper's two detectors first. Raises UserError for bundles of other
    configurations."""
    made = [_ends(title, miniature_bundles(store, family), *end_rows(family), AP, OWN_IMAGES, miniature.FITTED)
            for family, title in DETECTORS.items()]
    found = bag.found(store)
    for family in bag.BAGS:
        baseline, *_, whole = (row.key for row in family.rows())
        made.append(_ends(family.title, found, baseline, whole, family.numbers[0], family.fit, family.fitted))
    return [ends for ends in made if ends]


def longer_ends(store: Store) -> Ends | None:
    """Those of YOLOv3, trained for longer; None where no seed has both. Raises UserError as `both_ends`."""
    return _ends(f"{DETECTORS['yolo3']}, {miniature.LONGER['epochs']} epochs", all_of_miniature(store, "yolo3"),
                 *factorial.LONGER_ROWS, AP, OWN_IMAGES, miniature.FITTED)


def _ends(title, found, baseline, whole, measure, fit, asked):
    """None where no seed has both."""
    pair = paired_rows(found, measure, baseline, whole)
    return pair and Ends(title, measure.title, pair, mean_points(found, fit, whole, pair.mine), asked)


def _with_longer(store):
    """Both ends of every family, those that were trained for longer behind their family's."""
    found = [*both_ends(store), *filter(None, (longer_ends(store),))]
    return sorted(found, key=lambda ends: not ends.title.startswith(DETECTORS["yolo3"]))


def figure_1(store: Store) -> str:
    """The words that show the picture."""
    gains = photograph_numbers.gains(store)
    if not (gains or both_ends(store)):
        return NO_RUN
    return (f"![Baseline and whole bag of every family]({PICTURE})\n\n"
            "*As the paper's Figure 1, without its speeds, for both rows have the same network. Left: means over the seeds "
            "that have both; right: what the whole bag gains, with Student's 95% interval where there are two seeds or more, "
            "a dot a seed (of photographs: over the folds and widened, a dot a fold). Hollow: the whole bag fits its training "
            "images less than the protocol asks, so that nothing follows from it for longer trainings."
            f"{photograph_pages.not_shown(store, gains)}*")


def figure_1_pictures(store: Store) -> list[Picture]:
    """Figure 1 of the bundles."""
    from gluon_bof.paper import pictures as drawing

    rows = [drawing.Pair(f"{gain.detector}, {AP.title} on {gain.set}", gain.baseline, gain.bag, photograph_pages.bar(gain))
            for gain in photograph_numbers.gains(store)]
    for ends in _with_longer(store):
        gain = ends.pair.gain
        rows.append(drawing.Pair(f"{ends.title}, {ends.number} on vocmini", *ends.pair.means,
                                 drawing.Bar("", gain.mean, gain.half_width, tuple(gain.by_seed.values()),
                                             counts=ends.is_fitted)))
    return [Picture(PICTURE, drawing.pairs, (rows,))] if rows else []
