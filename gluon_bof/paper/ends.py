"""Both ends of the stack, baseline and whole bag, of every family that has runs of them: the README's lines, and Figure 1."""
from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

from gluon_bof.paper import bag, factorial, miniature, photograph_numbers, photograph_pages
from gluon_bof.paper.effects import Paired, mean_points, paired_rows
from gluon_bof.paper.miniature_numbers import AP, OWN_IMAGES, all_of_miniature, end_rows
from gluon_bof.paper.words import DETECTORS, NO_RUN, Picture

if TYPE_CHECKING:
    from gluon_bof.paper.bundles import Store

PICTURE = "figure-1.png"


class Ends(NamedTuple):
    """Baseline and whole bag of a family. number: what a row is measured by; pair: the whole bag over the baseline, in points;
    fit: points of those whole bags on their training images, asked: what the protocol asks of them; epochs: of both where they
    were trained for longer than the family's other rows, else 0."""

    title: str
    number: str
    pair: Paired
    fit: float
    asked: float
    epochs: int = 0

    @property
    def is_fitted(self) -> bool:
        """Whether the whole bag is long enough to say something about the paper."""
        return self.fit >= self.asked


def both_ends(store: Store) -> list[Ends]:
    """The families of which a seed has both ends, the paper's two detectors first; those that were trained for longer follow
    their family's. Raises UserError for bundles of other configurations."""
    made = []
    for family, title in DETECTORS.items():
        found = all_of_miniature(store, family)
        for keys, epochs in ((end_rows(family), 0), (factorial.LONGER_ROWS, miniature.LONGER["epochs"])):
            made.append(_ends(title, found, *keys, AP, OWN_IMAGES, miniature.FITTED, epochs))
    found = bag.found(store)
    for family in bag.BAGS:
        baseline, *_, whole = (row.key for row in family.rows())
        made.append(_ends(family.title, found, baseline, whole, family.numbers[0], family.fit, family.fitted))
    return [ends for ends in made if ends]


def _ends(title, found, baseline, whole, measure, fit, asked, epochs=0):
    """None where no seed has both."""
    pair = paired_rows(found, measure, baseline, whole)
    return pair and Ends(title, measure.title, pair, mean_points(found, fit, whole, pair.mine), asked, epochs)


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
    for ends in both_ends(store):
        gain = ends.pair.gain
        longer = f", {ends.epochs} epochs" if ends.epochs else ""
        rows.append(drawing.Pair(f"{ends.title}{longer}, {ends.number} on vocmini", *ends.pair.means,
                                 drawing.Bar("", gain.mean, gain.half_width, tuple(gain.by_seed.values()),
                                             counts=ends.is_fitted)))
    return [Picture(PICTURE, drawing.pairs, (rows,))] if rows else []
