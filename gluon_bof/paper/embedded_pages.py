"""The page of the embedded jobs, made of their bundles."""
from __future__ import annotations

from typing import TYPE_CHECKING, Any

from gluon_bof.options import families
from gluon_bof.paper import embedded, harness
from gluon_bof.paper.words import made_by, table

if TYPE_CHECKING:
    from gluon_bof.paper.bundles import Store


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
