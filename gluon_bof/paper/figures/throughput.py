"""Figure 1: accuracy over throughput, of runs that are evaluated and measured here and of points from a table.

The paper's text has no number of its Figure 1. What it has is Table 4's AP, which --paper draws as lines."""
from __future__ import annotations

import csv
import statistics
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Iterable, Mapping, NamedTuple, Sequence

from gluon_bof.data.fields import finite_number
from gluon_bof.errors import UserError
from gluon_bof.evaluation.score import metric_for
from gluon_bof.evaluation.validation import evaluate, validation_set
from gluon_bof.inference.detector import open_detector
from gluon_bof.options.flags import INTEGERS, flag, flag_name
from gluon_bof.options.recipes import TABLES
from gluon_bof.paper.cost import first_images, rounds
from gluon_bof.paper.figures.classes import METRICS
from gluon_bof.paper.figures.page import COLOURS, GREY, Drawn, fit_labels, label_points, new_figure
from gluon_bof.paper.figures.request import FigureOptions, many
from gluon_bof.paper.figures.weights import names_of, refuse_flags_of_evaluation, resolve_all
from gluon_bof.runs.config import OF_THE_SET
from gluon_bof.visualization.draw import literal

if TYPE_CHECKING:
    import numpy as np

    from gluon_bof.boxes import DetectionSet
    from gluon_bof.inference.detector import Detector
    from gluon_bof.weights.resolve import Resolved

ROUNDS = 5
PAPER_METRIC = "coco"


class Point(NamedTuple):
    """A detector: accuracy is a fraction, throughput images a second; points of one series are joined."""

    name: str
    accuracy: float
    throughput: float
    series: str
    metric: str
    source: str


@dataclass(frozen=True)
class Options(FigureOptions):
    """Options of Figure 1."""

    runs: tuple = many("runs' folders or .params files: each is evaluated, and measured on this machine", "WEIGHTS")
    sizes: tuple = flag((), "the test sizes in pixels at which runs are evaluated [each run's own]", kind=INTEGERS)
    points: str = flag("", "further points: name, map (a fraction), throughput (images a second), and if wanted series and "
                           "metric (coco, voc07 or voc)", metavar="CSV")
    paper: bool = flag(False, "also draw Table 4's AP, of which the paper tells no throughput")


def draw(given: Options) -> Drawn:
    """Figure 1 -> Drawn; a row for each point."""
    if not given.runs and not given.points:
        raise UserError("there is nothing to draw", remedy="give --runs or --points; the paper's text has no number of Figure 1")
    if not given.runs:
        refuse_flags_of_evaluation(given)
    points = read_points(given.points) if given.points else []
    sides = sides_of(given) if given.runs else []
    require_one_set(sides)
    sets = sets_of(sides)
    metrics = [metric_for(sets[side.run], side.resolved.options.metric) for side in sides]
    metric_of([point.metric for point in points] + metrics, given.paper)  # before the work
    points += measured_points(sides, sets)
    metric = metric_of([point.metric for point in points], given.paper)
    papers = TABLES[4].rows if given.paper else ()
    figure = new_figure(4.2)
    axis = figure.subplots()
    lines = []
    series = list(dict.fromkeys(point.series for point in points))
    for number, name in enumerate(series):
        own = sorted((point for point in points if point.series == name), key=lambda point: point.throughput)
        axis.plot([point.throughput for point in own], [point.accuracy for point in own], marker="o", markersize=5,
                  linestyle="-" if name else "none", color=COLOURS[number % len(COLOURS)], label=literal(name) or None)
        if name:
            lines.append([_place(point) for point in own])
    for row in papers:
        axis.axhline(row.paper_value / 100, color=GREY, linewidth=0.9, linestyle="--" if row.key.endswith("orig") else "-")
    axis.margins(x=0.12, y=0.12)
    axis.set(xlabel="images a second", ylabel=f"mean AP ({METRICS[metric]})" if metric else "mean AP")
    if any(series):
        figure.legend(loc="outside upper center", ncols=4)
    fit_labels(figure)
    label_points(axis, [_place(point) for point in points], [point.name for point in points], lines,
                 [(row.paper_value / 100, f"{row.name} (the paper, Table 4)") for row in papers])
    rows = [(point.name, point.series, point.accuracy, point.throughput, point.metric, point.source) for point in points]
    rows += [(row.name, "", row.paper_value / 100, "", PAPER_METRIC, "the paper, Table 4") for row in papers]
    return Drawn(figure, ("name", "series", "map", "throughput", "metric", "source"), rows,
                 {"points": [{"name": point.name, "map": point.accuracy, "throughput": point.throughput} for point in points]})


def _place(point):
    return point.throughput, point.accuracy


def metric_of(metrics: Iterable[str], with_paper: bool) -> str:
    """The one metric of all points, "" of one that names none. Raises UserError where they differ, or from the paper's."""
    found = set(metrics)
    named = found - {""}
    if len(named) > 1:
        raise UserError(f"the points are measured by {' and '.join(sorted(named))}",
                        remedy="draw one metric at a time, or give all runs one --metric")
    if with_paper and found - {PAPER_METRIC}:
        raise UserError("--paper draws COCO's AP, and not all points are that", remedy="evaluate on COCO; in a table, write coco "
                                                                                    "in the column metric")
    return next(iter(named), "")


def read_points(path: str) -> list[Point]:
    """[Point] of a table with the columns name, map, throughput and perhaps series and metric. Raises UserError."""
    remedy = "write a table with the columns name, map, throughput"
    try:
        with open(path, newline="", encoding="utf-8-sig") as file:
            lines = list(csv.DictReader(file))
    except FileNotFoundError:
        raise UserError("the table does not exist", path, remedy) from None
    except (UnicodeDecodeError, csv.Error, IsADirectoryError):
        raise UserError("not a CSV table", path, remedy) from None
    if not lines:
        raise UserError("the table is empty", path, remedy)
    points = []
    for number, line in enumerate(lines, 2):
        try:
            accuracy, throughput = finite_number(line["map"]), finite_number(line["throughput"])
            point = Point(line["name"].strip(), accuracy, throughput, (line.get("series") or "").strip(),
                          (line.get("metric") or "").strip(), path)
        except KeyError as error:
            raise UserError(f"there is no column {error}", path, remedy) from None
        except (ValueError, AttributeError, TypeError) as error:
            raise UserError(f"line {number}: {error}", path, remedy) from None
        if not (0 <= accuracy <= 1 and throughput > 0 and point.metric in ("", *METRICS)):
            raise UserError(f"line {number}: map is a fraction in [0, 1], throughput above 0, metric one of "
                            f"{', '.join(METRICS)}", path, "fix the table")
        points.append(point)
    return points


class Side(NamedTuple):
    """A detector that is to be evaluated and measured at one size: its point's name and series."""

    name: str
    series: str
    resolved: Resolved

    @property
    def run(self) -> str:
        """The name of the run, whatever the size."""
        return self.series or self.name


def sides_of(given: Options) -> list[Side]:
    """[Side] of runs, at each size. Raises UserError for what cannot be evaluated or measured."""
    sides = []
    for name, resolved in zip(names_of(given.runs), resolve_all(given.runs, given)):
        resolved.require_set()
        for size in given.sizes:
            sides.append(Side(f"{name} {size}", name, resolved._replace(options=resolved.options.at_size(size))))
        if not given.sizes:
            sides.append(Side(name, "", resolved))
    return sides


def require_one_set(sides: Sequence[Side]) -> None:
    """Raise UserError where the runs validate on different data sets, or on different splits of one."""
    for side in sides[1:]:
        for field, are_alike in OF_THE_SET.items():
            first, other = (getattr(one.resolved.options, field) for one in (sides[0], side))
            if not are_alike(first, other):
                raise UserError(f"its {field} is {other!r}, that of {sides[0].name} is {first!r}",
                                side.resolved.run or side.resolved.path, f"give all runs one {flag_name(field)}")


def sets_of(sides: Sequence[Side]) -> dict[str, DetectionSet]:
    """{run's name: the set that it validates on}, opened once for all sizes."""
    return {run: validation_set(options) for run, options in {side.run: side.resolved.options for side in sides}.items()}


def measured_points(sides: Sequence[Side], sets: Mapping[str, DetectionSet]) -> list[Point]:
    """[Point] of runs, evaluated on their validation sets; throughput is measured image by image, in turn."""
    found = [evaluate(side.resolved, found_set=sets[side.run]) for side in sides]
    detectors = [open_detector(side.resolved) for side in sides]
    speeds = throughputs([(detector, first_images(sets[side.run])) for detector, side in zip(detectors, sides)])
    return [point_of(side, one, speed, detector.device) for side, one, detector, speed in zip(sides, found, detectors, speeds)]


def point_of(side: Side, found: Mapping[str, Any], speed: float, device: Any) -> Point:
    """The Point of an evaluation; its accuracy is of boxes, as the paper's, where the network finds masks, too."""
    return Point(side.name, found.get("box_map", found["map"]), speed, side.series, found["metric"],
                 f"{found['weights']} on {found['dataset']}, measured on {device}")


def throughputs(sides: Sequence[tuple[Detector, Sequence[np.ndarray]]]) -> list[float]:
    """Images a second of each (detector, images): the median of rounds in which all are measured in turn."""
    return [statistics.median(values) for values in zip(*rounds(sides, ROUNDS))]
