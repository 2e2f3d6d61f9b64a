"""The page of the optimizers' trainings, made of their bundles."""
from __future__ import annotations

from gluon_bof.paper import optimizers
from gluon_bof.paper.bundles import Store
from gluon_bof.paper.optimizers import Trial
from gluon_bof.paper.words import NO_RUN, made_by, spread, table


def optimizers_summary(store: Store) -> str:
    """Every rate on the held-out images, and the chosen one on the test images."""
    searched = optimizers.searched(store)
    if not any(searched.values()):
        return NO_RUN
    chosen = optimizers.choose(searched)
    finals = optimizers.finals_of(store, chosen)
    rows = []
    for name, rates in optimizers.RATES.items():
        tried = [_told(rate, searched[Trial(name, rate)], rate == chosen.get(name)) for rate in rates]
        at_edge = chosen.get(name) in (rates[0], rates[-1])
        values = [100 * optimizers.tested(bundle) for bundle in finals.get(name, ())]
        rows.append([name, ", ".join(tried), "at an end" if at_edge else "inside" if chosen else "", spread(values),
                     ", ".join(f"{value:.1f}" for value in values), _last_loss(finals.get(name, ()))])
    everything = {bundle["name"]: bundle for bundle in [*filter(None, searched.values()),
                                                        *(bundle for bundles in finals.values() for bundle in bundles)]}
    head = ["optimizer", "mAP@0.5 on the held-out images by rate, %", "the best is", "mAP@0.5 on the test images, %", "by seed",
            "training loss at the end"]
    return "\n".join([table(head, rows), made_by(list(everything.values()))])


def _told(rate, bundle, is_chosen):
    text = f"{rate:g}: {100 * optimizers.held_out(bundle):.1f}" if bundle else f"{rate:g}: not yet"
    return f"**{text}**" if is_chosen else text


def _last_loss(bundles):
    return spread([bundle["losses"][-1][1] for bundle in bundles])
