"""The page of the optimizers' trainings, made of their bundles."""
from __future__ import annotations

from gluon_bof.paper import harness, optimizers
from gluon_bof.paper.bundles import Store
from gluon_bof.paper.words import NO_RUN, made_by, spread, table


def optimizers_summary(store: Store) -> str:
    """Every rate on the held-out images, and the chosen one on the test images."""
    searched = {(job.row.optimizer, job.row.rate): harness.bundle_of(job, store)
                for job in optimizers.plan({}, optimizers.SEEDS[:1])}
    chosen = optimizers.choose(store)
    if not any(searched.values()):
        return NO_RUN
    finals = finals_of(store, chosen)
    rows = []
    for name, rates in optimizers.RATES.items():
        tried = [_told(rate, searched.get((name, rate)), rate == chosen.get(name)) for rate in rates]
        at_edge = chosen.get(name) in (rates[0], rates[-1])
        values = [100 * optimizers.tested(bundle) for bundle in finals.get(name, ())]
        rows.append([name, ", ".join(tried), "at an end" if at_edge else "inside" if chosen else "", spread(values),
                     ", ".join(f"{value:.1f}" for value in values), _last_loss(finals.get(name, ()))])
    everything = {bundle["name"]: bundle for bundle in [*filter(None, searched.values()),
                                                        *(bundle for bundles in finals.values() for bundle in bundles)]}
    head = ["optimizer", "mAP@0.5 on the held-out images by rate, %", "the best is", "mAP@0.5 on the test images, %", "by seed",
            "training loss at the end"]
    return "\n".join([table(head, rows), made_by(list(everything.values()))])


def finals_of(store: Store, chosen: dict[str, float]) -> dict[str, list[dict]]:
    """{optimizer: the bundles of its chosen rate that are tested, by seed}; {} until the rates are chosen.

    Raises UserError for bundles of another configuration."""
    finals = {name: [] for name in chosen}
    for job in optimizers.plan(chosen) if chosen else ():
        bundle = harness.bundle_of(job, store) if job.evaluations else None
        if bundle:
            finals[job.row.optimizer].append(bundle)
    return {name: bundles for name, bundles in finals.items() if bundles}


def _told(rate, bundle, is_chosen):
    text = f"{rate:g}: {100 * optimizers.held_out(bundle):.1f}" if bundle else f"{rate:g}: not yet"
    return f"**{text}**" if is_chosen else text


def _last_loss(bundles):
    return spread([bundle["losses"][-1][1] for bundle in bundles])
