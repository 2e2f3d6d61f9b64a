"""Figure upsampling: mean IoU of a U-Net by its way of upsampling, and what each gains over nearest, from bundles."""
from __future__ import annotations

import statistics
from dataclasses import dataclass

from gluon_bof.errors import UserError
from gluon_bof.options.flags import flag
from gluon_bof.paper import upsampling
from gluon_bof.paper.bundles import Store
from gluon_bof.paper.figures.page import BLUE, GREY, SKY, Drawn, new_figure
from gluon_bof.paper.figures.request import FigureOptions


@dataclass(frozen=True)
class Options(FigureOptions):
    """Options of the figure."""

    results: str = flag("results", "folder whose bundles have the runs of gluon-bof table upsampling")


def draw(given: Options) -> Drawn:
    """The figure -> Drawn; a row of its table for every run, and for every way's gain."""
    numbers = upsampling.of_whole_seeds(upsampling.points(upsampling.found(Store(given.results))))
    seeds = list(numbers[upsampling.OVER])
    if not seeds:
        raise UserError("there is no seed of which every way of upsampling has its run", given.results,
                        "make them: gluon-bof table upsampling")
    gains = upsampling.against_nearest(numbers)
    figure = new_figure(2.8)
    left, right = figure.subplots(1, 2, sharey=True, width_ratios=(1.2, 1))
    rows = []
    for place, (way, of_way) in enumerate(numbers.items()):
        values = list(of_way.values())
        left.barh(place, statistics.mean(values), color=SKY, height=0.65)
        left.plot(values, [place] * len(values), ".", color="black", markersize=5)
        rows += [(way, f"mean IoU, seed {seed}", value, "") for seed, value in zip(seeds, values)]
        if way in gains:
            gain = gains[way]
            right.errorbar(gain.mean, place, xerr=gain.half_width if len(seeds) > 1 else None, fmt="s", color=BLUE, capsize=3)
            right.plot(list(gain.by_seed.values()), [place] * len(seeds), ".", color="black", markersize=5, zorder=3)
            rows.append((way, "gain over nearest, points", gain.mean, gain.half_width if len(seeds) > 1 else ""))
    left.set_yticks(range(len(numbers)), numbers)
    left.invert_yaxis()
    how_many = f"{len(seeds)} seeds (dots)" if len(seeds) > 1 else "1 seed"
    left.set(xlabel="mean IoU, %", title=f"embedded set, {how_many}", xlim=(0, 100))
    right.axvline(0, color=GREY, linewidth=1)
    right.set(xlabel="points over nearest, 95% interval", title="paired within a seed")
    return Drawn(figure, ("upsampling", "what", "value", "half_width"), rows,
                 {"seeds": seeds, "miou": {way: [value / 100 for value in of_way.values()] for way, of_way in numbers.items()},
                  "gain": {way: [gain.mean, gain.half_width if len(seeds) > 1 else None] for way, gain in gains.items()}})
