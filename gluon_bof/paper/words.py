"""Numbers of bundles as markdown: tables, effects with intervals, where runs come from."""
from __future__ import annotations

import statistics
from typing import Any, Callable, Collection, Iterable, Mapping, NamedTuple, Sequence

from gluon_bof.paper.budget import minutes_of
from gluon_bof.paper.effects import Effect, excludes_zero

NO_RUN = "No run has a bundle yet."
DETECTORS = {"yolo3": "YOLOv3", "faster_rcnn": "Faster R-CNN"}


class Picture(NamedTuple):
    """A picture of a results' folder. drawing: a function of `pictures`; shown: what it is given."""

    file: str
    drawing: Callable[..., Any]
    shown: tuple

    @property
    def numbers(self) -> Any:
        """What it shows, of which the file carries the hash."""
        return self.shown[0] if len(self.shown) == 1 else list(self.shown)

    def draw(self, path: str) -> None:
        """Write it."""
        from gluon_bof.paper.figures import page
        from gluon_bof.paper.pictures import save

        with page.look():
            save(path, self.drawing(*self.shown), self.numbers)


def table(head: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    """A markdown table."""
    lines = ["| " + " | ".join(head) + " |", "|" + "---|" * len(head)]
    return "\n".join(lines + ["| " + " | ".join(row) + " |" for row in rows]) + "\n"


def mark(fit: float, asked: float) -> str:
    """Says of a row that it has less than the asked points on its training images; nothing of one that has them."""
    return "" if fit >= asked else f" (underfitted: {below(fit, asked):.1f} of {asked:g} on its training images)"


def below(fit: float, asked: float) -> float:
    """Points that are less than the asked ones, such that they are so with one digit, too."""
    return min(fit, asked - 0.1)


def underfitted(fits: Collection[float], asked: float) -> str:
    """The same in a word, of runs' points whose mean is asked; nothing where there is no run."""
    return " (underfitted)" if fits and statistics.mean(fits) < asked else ""


def told(effect: Effect, tests: int = 1) -> str:
    """An effect with its interval, bold where that excludes 0 at 1 - 0.05 / tests."""
    text = f"{effect.mean:+.2f}" + (f" ± {effect.half_width:.2f}" if effect.half_width != float("inf") else "")
    return f"**{text}**" if excludes_zero(effect, tests) else text


def told_gain(gain: Effect, *rows: Mapping[int, float]) -> str:
    """The same of a row over another, {seed: number} each; with its seeds where one of them has more."""
    return told(gain) + (f" ({of_seeds(gain.by_seed)})" if any(row.keys() != gain.by_seed.keys() for row in rows) else "")


def of_seeds(seeds: Sequence[int] | Mapping[int, Any]) -> str:
    """Seeds by their number."""
    return f"{'seeds' if len(seeds) > 1 else 'seed'} {', '.join(map(str, seeds))}"


def spread(values: Sequence[float], digits: int = 1, sign: str = "") -> str:
    """Mean and standard deviation of runs. sign: "+" also says that of a mean above 0."""
    if not values:
        return ""
    mean = f"{statistics.mean(values):{sign}.{digits}f}"
    return mean + (f" ± {statistics.stdev(values):.{digits}f}" if len(values) > 1 else "")


def spread_of_fit(values: Sequence[float], asked: float) -> str:
    """The same of runs' points on their training images, of which the protocol asks so many."""
    under = underfitted(values, asked)
    excess = statistics.mean(values) - below(statistics.mean(values), asked) if under else 0
    return spread([value - excess for value in values]) + under


def made_by(found: Sequence[Mapping[str, Any]]) -> str:
    """On what, when and from which revisions bundles were made, in a sentence."""
    if not found:
        return ""
    revisions = sorted({bundle["git_revision"][:10] + ("-dirty" if bundle["git_revision"].endswith("-dirty") else "")
                        for bundle in found})
    return f"{made_in(found)}, from {'revision' if len(revisions) == 1 else 'revisions'} {', '.join(revisions)}."


def made_in(found: Sequence[Mapping[str, Any]]) -> str:
    """How many bundles they are, when and on what they were made, and in what time."""
    cpus = sorted({bundle["machine"]["cpu"] for bundle in found})
    days = sorted(bundle["times"]["finished"][:10] for bundle in found)
    when = days[0] if days[0] == days[-1] else f"{days[0]} to {days[-1]}"
    hours = sum(map(minutes_of, found)) / 60
    bundles = "1 bundle" if len(found) == 1 else f"{len(found)} bundles"
    return f"{bundles} in [runs/](runs/), {when}, {hours:.1f} hours of runs on {', '.join(cpus)}"
