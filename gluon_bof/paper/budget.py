"""What of an experiment's runs fits into some hours, by how long its runs took, and which seeds are whole then."""
from __future__ import annotations

import statistics
import time
from typing import TYPE_CHECKING, Any, Callable, Iterable, Mapping, NamedTuple, Sequence

from gluon_bof.errors import UserError
from gluon_bof.paper.harness import Backbone, bundle_of, missing

if TYPE_CHECKING:
    from gluon_bof.paper.bundles import Store
    from gluon_bof.paper.harness import Job


class Budget(NamedTuple):
    """What fits. to_do: jobs without a bundle, in their order; minutes: {name of one: of its run, where anything tells};
    sources: {family: whence that is known}; fits: how many of to_do; lacking: {seed: rows that will lack a bundle then}."""

    to_do: list
    minutes: dict
    sources: dict
    fits: int
    lacking: dict

    def text(self, side_by_side: int, hours: float | None) -> str:
        """It in a sentence."""
        words = [f"{len(self.to_do)} runs have no bundle"]
        for family, source in sorted(self.sources.items()):
            mean = statistics.mean(self.minutes[job.name] for job in self.to_do if job.training.family == family)
            words.append(f"{family} at {mean:.1f} minutes a run ({source})")
        if self.minutes:
            total = sum(self.minutes.values()) / side_by_side / 60
            words.append(f"{total:.1f} hours, {side_by_side} side by side")
        if hours is not None:
            words.append(f"{hours:g} hours fit {self.fits}")
        seeds = self.whole_seeds()
        return f"{', '.join(words)}; then whole: {'seeds ' + ', '.join(map(str, seeds)) if seeds else 'no seed'}"

    def whole_seeds(self, rows: Iterable[str] | None = None) -> list[int]:
        """Seeds of which every run of these rows, or of all, will have its bundle."""
        wanted = None if rows is None else set(rows)
        return [seed for seed, lacking in self.lacking.items() if not (lacking if wanted is None else lacking & wanted)]

    def estimate(self, job: Job) -> float:
        """Minutes that a job will take, 0 where nothing tells."""
        return self.minutes.get(job.name, 0)


def budget_of(wanted: Sequence[Job], store: Store, side_by_side: int = 1, hours: float | None = None,
              stated: float | None = None, planned: Sequence[Job] | None = None) -> Budget:
    """What fits into so many hours; None: all. stated: minutes of a run where no bundle of the experiment tells; planned: the
    jobs of all rows, also of those that are not wanted now.

    Raises UserError where hours are given and nothing tells how long a run takes."""
    to_do = missing(wanted, store)
    minutes, sources = _minutes(to_do, store, stated)
    fits, minutes_left = 0, (hours or 0) * 60 * side_by_side
    for job in to_do:
        if hours is not None and job.name not in minutes:
            raise UserError("no bundle tells how long a run takes", remedy="say it with --minutes, or leave --hours out")
        minutes_left -= minutes.get(job.name, 0)
        if hours is not None and minutes_left < -1e-6:
            break
        fits += 1
    asked, left = {job.name for job in wanted}, {job.name for job in to_do[fits:]}
    lacking = {}
    for job in wanted if planned is None else planned:
        is_lacking = job.name in left if job.name in asked else not _has_bundle(job, store)
        lacking.setdefault(job.seed, set()).update({job.row.key} if is_lacking else ())
    return Budget(to_do, minutes, sources, fits, lacking)


def _has_bundle(job, store):
    """Whether a job that was not asked for has its bundle: one of other settings is none, and keeps no other row back."""
    try:
        return bool(bundle_of(job, store))
    except UserError:
        return False


def _minutes(to_do, store, stated):
    """({name of a job: minutes of its run}, {family: where that is from}): the median of an epoch of the experiment's bundles,
    times the run's own, for rows may differ in length; else as stated."""
    measured = {job.training.family: [] for job in to_do}
    for bundle in store.of(to_do[0].experiment) if to_do else ():
        if bundle["row"] != Backbone().key and bundle["configuration"]["family"] in measured:
            epochs = bundle["configuration"]["options"]["epochs"]
            measured[bundle["configuration"]["family"]].append(minutes_of(bundle) / epochs)
    of_epoch = {family: statistics.median(found) for family, found in measured.items() if found}
    minutes = {}
    for job in to_do:
        if job.training.family in of_epoch:
            minutes[job.name] = of_epoch[job.training.family] * job.training.options.epochs
        elif stated:
            minutes[job.name] = stated
    sources = {family: f"by the median of {len(found)} bundles" if found else "stated"
               for family, found in measured.items() if found or stated}
    return minutes, sources


def minutes_of(bundle: Mapping[str, Any]) -> float:
    """Minutes that a run's epochs and evaluations took, however often it was cut off."""
    times = bundle["times"]
    return (times["training_seconds"] + sum(filter(None, times["evaluation_seconds"].values()))) / 60


def until(hours: float | None, budget: Budget) -> Callable[[Job], bool]:
    """Whether a job may still start, that it ends within so many hours from now; always where hours is None."""
    began = time.monotonic()
    return lambda job: hours is None or time.monotonic() - began + 60 * budget.estimate(job) <= 3600 * hours
