"""What the bundles of the bag on further families say: every row with its fit, and what it gains over the baseline."""
from __future__ import annotations

from typing import TYPE_CHECKING, Any, Mapping, Sequence

from gluon_bof.paper import bag
from gluon_bof.paper.bag import Bag
from gluon_bof.paper.effects import Effect, judged, mean_points, paired_rows, points_of_row
from gluon_bof.paper.words import NO_RUN, Picture, made_by, spread, spread_of_fit, table, told_gain

if TYPE_CHECKING:
    from gluon_bof.paper.bundles import Store

PICTURE = "bag-effects.png"


def bag_summary(store: Store) -> str:
    """A table a family: rows of the paper's stack, the baseline first."""
    found = bag.found(store)
    if not found:
        return NO_RUN
    parts = []
    if _groups(found):
        parts += [f"![What the bag gains on every family]({PICTURE})", "",
                  "*Squares: means over the seeds that both rows have, hollow where the row is underfitted, with Student's 95% "
                  "interval where there are two seeds or more; dots: seeds.*", ""]
    for family in bag.BAGS:
        rows = _rows(family, found)
        parts += [f"{family.title}:", "", table(_head(family), rows)] if rows else [f"{family.title}: not run.", ""]
    return "\n".join([*parts, made_by(found)])


def _head(family):
    return ["row", *(number.title for number in family.numbers), f"{family.fit.title} on its training images",
            f"against the baseline, {family.numbers[0].title}", "", f"{family.numbers[0].title} of each seed"]


def _rows(family, found):
    rows, baseline = [], points_of_row(found, family.numbers[0], family.rows()[0].key)
    for row in family.rows():
        by_seed = points_of_row(found, family.numbers[0], row.key)
        if not by_seed:
            continue
        gain = gain_over_baseline(family, row.key, found)
        rows.append([_name(row), *(spread(list(points_of_row(found, number, row.key).values())) for number in family.numbers),
                     spread_of_fit(_fit(family, row.key, found), family.fitted),
                     told_gain(gain, baseline, by_seed) if gain else "", judged(gain) if gain else "",
                     ", ".join(f"{value:.1f}" for value in by_seed.values())])
    return rows


def _fit(family, key, found):
    """Points of a row on its training images, by seed."""
    return list(points_of_row(found, family.fit, key).values())


def _name(row):
    """All that is on, for rows are compared with the baseline, and those between may have no run."""
    words = " + ".join(row.on) or "baseline"
    return f"whole bag: {words}" if _is_whole(row) else words


def _is_whole(row):
    return row.on == tuple(row.bag.factors)


def gain_over_baseline(family: Bag, key: str, found: Sequence[Mapping[str, Any]]) -> Effect | None:
    """What a row gains over its family's baseline in its own number, paired within a seed; None for the baseline itself and where
    no seed has both."""
    base = family.rows()[0].key
    pair = paired_rows(found, family.numbers[0], base, key)
    return pair.gain if pair and key != base else None


def bag_pictures(store: Store) -> list[Picture]:
    """Gains of every row, a group a family."""
    from gluon_bof.paper import pictures as drawing

    groups = _groups(bag.found(store))
    if not groups:
        return []
    bars = {title: [drawing.Bar(name, gain.mean, gain.half_width, tuple(gain.by_seed.values()), counts=counts)
                    for name, gain, counts in gains] for title, gains in groups.items()}
    panels = [drawing.Panel("gain over the family's baseline", bars)]
    return [Picture(PICTURE, drawing.forest, (panels,))]


def _groups(found):
    """{family and what it is measured by: [(row and its seeds, its gain over the baseline, whether the row is fitted)]}."""
    groups = {}
    for family in bag.BAGS:
        gains = [(row, gain_over_baseline(family, row.key, found)) for row in family.rows()]
        groups[f"{family.title}, {family.numbers[0].title}"] = [_bar_of(family, row, gain, found) for row, gain in gains if gain]
    return {title: gains for title, gains in groups.items() if gains}


def _bar_of(family, row, gain, found):
    is_under = mean_points(found, family.fit, row.key, gain.by_seed) < family.fitted
    seeds = len(gain.by_seed)
    name = "whole bag" if _is_whole(row) else _name(row)
    return f"{name} ({'underfitted, ' if is_under else ''}{seeds} seed{'s' if seeds > 1 else ''})", gain, not is_under
