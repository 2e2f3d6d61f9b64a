"""The page of the ways of upsampling, made of their bundles."""
from __future__ import annotations

from typing import TYPE_CHECKING

from gluon_bof.paper import upsampling
from gluon_bof.paper.words import NO_RUN, made_by, spread, table, told_gain

if TYPE_CHECKING:
    from gluon_bof.paper.bundles import Store


def upsampling_summary(store: Store) -> str:
    """Mean IoU of a U-Net by its way of upsampling, and what each gains over nearest."""
    there = upsampling.found(store)
    if not there:
        return NO_RUN
    numbers = upsampling.points(there)
    gains = upsampling.against_nearest(upsampling.of_whole_seeds(numbers))
    rows = []
    for way, of_way in numbers.items():
        gain = gains.get(way)
        rows.append([way, spread(list(of_way.values())), ", ".join(f"{value:.1f}" for value in of_way.values()),
                     *((told_gain(gain, numbers[upsampling.OVER], of_way), upsampling.judged(gain)) if gain else ("", ""))])
    return "\n".join([table(["upsampling", "mean IoU, %", "seeds", "points over nearest", "by the protocol"], rows),
                      made_by(there)])
