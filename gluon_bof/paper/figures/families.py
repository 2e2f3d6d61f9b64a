"""Figure families: where the time goes, and what it buys: R-CNN, Fast R-CNN, Faster R-CNN, SSD and YOLOv3 on the same images.

The first three are one trained two-stage network in three ways (see paper.two_stage)."""
from __future__ import annotations

import os
from dataclasses import dataclass, replace
from typing import Any, Callable, NamedTuple

import numpy as np
from matplotlib.ticker import NullFormatter, ScalarFormatter

from gluon_bof.boxes import BoxEnds
from gluon_bof.data.images import read_image, read_or_name
from gluon_bof.errors import UserError
from gluon_bof.evaluation.score import score
from gluon_bof.evaluation.validation import validation_set
from gluon_bof.inference.detector import unpack
from gluon_bof.inference.engines import arrays
from gluon_bof.options.families import family_of
from gluon_bof.options.flags import at_least, flag
from gluon_bof.paper.figures.page import BLUE, GREEN, ORANGE, PURPLE, Drawn, fit_labels, label_points, new_figure
from gluon_bof.paper.figures.request import FigureOptions
from gluon_bof.paper.figures.weights import open_weights
from gluon_bof.paper.two_stage import Clock, TwoStage, blob_proposals, recall
from gluon_bof.runs.config import require_run_of_last
from gluon_bof.terminal import progress_bar
from gluon_bof.threads import VARIABLE
from gluon_bof.visualization.shown import evenly

COLOUR_OF = {"proposals": ORANGE, "backbone": BLUE, "head": GREEN, "whole network": PURPLE}
TICKS = tuple(digit * 10 ** power for power in range(-1, 5) for digit in (1, 2, 5))  # milliseconds
COLUMNS = ("detector", "part", "seconds an image", "share", "mAP@0.5", "input pixels")


@dataclass(frozen=True)
class Options(FigureOptions):
    """Options of the figure."""

    two_stage: str = flag("", "a trained Faster R-CNN with a pyramid, or what is built on one: a run's folder or a .params file; "
                              "it is run as R-CNN and as Fast R-CNN too", required=True)
    yolo3: str = flag("", "a trained YOLOv3 on the same backbone [left out]")
    ssd: str = flag("", "a trained SSD on the same backbone [left out]")
    count: int = flag(0, "so many images, evenly spread over the set, to detect in; 0: all")
    timed: int = flag(20, "so many of those images to measure the time on, once more and one after another")


class Way(NamedTuple):
    """A way to detect: see(image) -> it as the network sees it; run(seen, clock) -> ids, scores, boxes of one image; ends: how
    these boxes end beside those of the set."""

    see: Callable[[np.ndarray], np.ndarray]
    run: Callable[[np.ndarray, Clock], tuple]
    ends: BoxEnds = BoxEnds.EDGE


def draw(given: Options) -> Drawn:
    """The figure -> Drawn; a row for each part of each detector's time."""
    at_least(given, "count", 0)
    at_least(given, "timed", 1)
    ways, proposals, images, found_set = prepare(given)
    detections = {name: [] for name in ways}
    for image in progress_bar(images, "detecting"):
        for name, way in ways.items():
            detections[name].append(detect(way, image, Clock()))
    clocks, pixels = measure(ways, [images[place] for place in evenly(len(images), given.timed)])
    scores = {name: score(found, found_set, "voc07")["map"] for name, found in detections.items()}
    threads = os.environ.get(VARIABLE, "").split(",")[0].strip()  # as the backend has set it, if MXNet was not there before
    numbers = {"images": len(images), "timed": min(given.timed, len(images)),
               "threads": int(threads) if threads.isdecimal() else None,
               "recall_of_blobs": _recall_of_blobs(ways["R-CNN"].see, proposals, images, found_set),
               "detectors": {name: {"map": scores[name], "seconds": sum(clocks[name].values()), "parts": clocks[name],
                                    "input_pixels": pixels[name]} for name in ways}}
    rows = [(name, part, seconds, seconds / sum(parts.values()), scores[name], pixels[name])
            for name, parts in clocks.items() for part, seconds in parts.items()]
    return Drawn(_drawn(clocks, scores, threads), COLUMNS, rows, numbers)


def prepare(given: Options) -> tuple[dict[str, Way], int, list[np.ndarray], Any]:
    """({name: Way}, proposals of an image, images, the set that they are of). Raises UserError for weights of another family,
    backbone or set."""
    require_run_of_last(given.last, (given.two_stage, given.yolo3, given.ssd))
    two_stage, resolved = open_weights(given.two_stage, given)
    options = resolved.options
    if not hasattr(two_stage.network, "rpn"):
        raise UserError(f"--two-stage {given.two_stage} is a {family_of(options).title}", remedy="give one that makes proposals")
    resolved.require_set()
    found_set = validation_set(options)
    network = TwoStage(two_stage.network)
    ways = {name: Way(two_stage.see, run, found_set.ends_of(resolved.box_ends))
            for name, run in _two_stage_ways(network).items()}
    for name, weights in (("yolo3", given.yolo3), ("ssd", given.ssd)):
        if weights:
            detector, of_it = open_weights(weights, given)
            _require_alike(name, weights, of_it.options, detector, options, two_stage)
            ways[family_of(of_it.options).title] = Way(detector.see, _whole(detector), found_set.ends_of(of_it.box_ends))
    places = evenly(len(found_set), given.count or len(found_set))
    chosen = replace(found_set, records=[found_set.records[place] for place in places])
    return ways, network.count, [read_or_name(read_image, record.path, record.orientation) for record in chosen.records], chosen


def _two_stage_ways(network):
    return {"R-CNN": network.rcnn, "Fast R-CNN": network.fast_rcnn, "Faster R-CNN": network.faster_rcnn}


def _whole(detector):
    def run(seen, clock):
        with clock.of("whole network"):
            return detector.engine(seen[None])
    return run


def _require_alike(name, weights, options, detector, wanted, of_wanted):
    if family_of(options).name != name:
        raise UserError(f"--{name} {weights} is a {family_of(options).title}", remedy="give weights of that family")
    for what, here, there in (("backbone", options.network, wanted.network),
                              ("classes", ", ".join(detector.classes), ", ".join(of_wanted.classes))):
        if here != there:
            raise UserError(f"--{name} {weights} has the {what} {here}, and the two-stage network {there}",
                            remedy="the figure compares detectors, not their parts: give weights that share both")


def detect(way: Way, image: np.ndarray, clock: Clock) -> Any:
    """Detections in an image (H, W, 3) uint8, in its own pixels."""
    seen = way.see(image)
    return way.ends.as_edges(unpack(*(output[0] for output in arrays(way.run(seen, clock))), seen.shape, image.shape))


def measure(ways: dict[str, Way], images: list[np.ndarray]) -> tuple[dict[str, dict[str, float]], dict[str, float]]:
    """({name: {part: processor seconds an image}}, {name: mean pixels of what the network is given}).

    The ways take turns on every image, so that whatever else the machine does meets all of them. Each image is looked at before
    it is measured: a graph's first meeting with a size costs more."""
    clocks, pixels = {name: Clock() for name in ways}, dict.fromkeys(ways, 0.0)
    for image in images:
        for name, way in ways.items():
            seen = way.see(image)
            pixels[name] += seen.shape[0] * seen.shape[1] / len(images)
            way.run(seen, Clock())
            way.run(seen, clocks[name])
    return ({name: {part: seconds / len(images) for part, seconds in clock.seconds.items()} for name, clock in clocks.items()},
            pixels)


def _recall_of_blobs(see, count, images, found_set):
    """Share of the set's boxes that a proposal of blobs covers by half."""
    covered = total = 0
    for image, record in zip(images, found_set.records):
        seen = see(image)
        scale = np.tile(np.array(seen.shape[1::-1]) / np.array(image.shape[1::-1]), 2)
        hit, boxes = recall(blob_proposals(seen, count), (record.boxes * scale).astype(np.float32))
        covered, total = covered + hit, total + boxes
    return covered / max(1, total)


def _drawn(clocks, scores, threads):
    figure = new_figure(3.4)
    left, right = figure.subplots(1, 2)
    names = list(clocks)
    for row, parts in enumerate(clocks.values()):
        begin = 0.0
        for part, colour in COLOUR_OF.items():
            if part in parts:
                left.barh(row, 1000 * parts[part], left=begin, color=colour, height=0.65)
                begin += 1000 * parts[part]
        left.text(begin, row, f" {begin:.{int(begin < 10)}f}", va="center")
    for part, colour in COLOUR_OF.items():
        left.barh(0, 0, color=colour, label=part)
    left.set_yticks(range(len(names)), names)
    left.invert_yaxis()
    on = {"": "", "1": ", one thread"}.get(threads, f", {threads} threads")
    left.set(xlabel=f"processor milliseconds an image{on}", title="(a) where the time goes")
    left.set_xlim(0, left.get_xlim()[1] * 1.12)
    left.grid(axis="y", visible=False)
    left.legend(loc="lower right")
    points = [(1000 * sum(parts.values()), 100 * scores[name]) for name, parts in clocks.items()]
    right.plot(*zip(*points), "o", color=BLUE)
    right.set(xscale="log", xlabel="processor milliseconds an image", ylabel="mAP@0.5, %", title="(b) what it buys")
    right.margins(0.2)
    low, high = right.get_xlim()
    right.set_xticks([tick for tick in TICKS if low <= tick <= high], minor=False)
    right.xaxis.set_major_formatter(ScalarFormatter())
    right.xaxis.set_minor_formatter(NullFormatter())
    fit_labels(figure)
    label_points(right, points, names)
    return figure
