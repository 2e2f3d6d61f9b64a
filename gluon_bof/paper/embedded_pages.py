"""The page of the embedded jobs, made of their bundles."""
from __future__ import annotations

from typing import TYPE_CHECKING, Any, Sequence

from gluon_bof.paper import embedded, harness
from gluon_bof.paper.words import NO_RUN, made_by, table

if TYPE_CHECKING:
    from gluon_bof.paper.bundles import Store
    from gluon_bof.paper.embedded import Embedded


def embedded_bundles(store: Store) -> dict[Embedded, list[dict[str, Any]]]:
    """{row: its bundles, by seed}. Raises UserError where one is of another configuration."""
    found = harness.checked(store, embedded.EXPERIMENT, embedded.plan)
    return {row: sorted((bundle for bundle in found if bundle["row"] == row.key), key=lambda bundle: bundle["seed"])
            for row in embedded.ROWS}


def embedded_summary(store: Store, rows: Sequence[str] = ()) -> str:
    """The numbers of every seed, and of every class, of these rows (keys; none: all)."""
    there = {row: found for row, found in embedded_bundles(store).items() if found and (not rows or row.key in rows)}
    if not there:
        return NO_RUN
    parts = [part for row, found in there.items() for part in (f"{row.title}:", "", _table_of(row, found))]
    return "\n".join([*parts, made_by([bundle for found in there.values() for bundle in found])])


def _table_of(row, found):
    classes = list(found[0]["evaluations"]["own"]["per_class"])
    lines = []
    for bundle in found:
        evaluation = bundle["evaluations"]["own"]
        lines.append([str(bundle["seed"]), *(f"{number.fraction_of(evaluation):.4f}" for number in row.numbers),
                      ", ".join(f"{evaluation['per_class'][name]:.3f}" for name in classes)])
    return table(["seed", *(number.title for number in row.numbers), ", ".join(classes)], lines)
