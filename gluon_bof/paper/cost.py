"""No extra inference cost, shown: the exported inference graphs of two runs, operator by operator, and their throughput."""
from __future__ import annotations

import json
import os
import statistics
import tempfile
import time
from collections import Counter
from typing import TYPE_CHECKING, Any, Mapping, Sequence

from gluon_bof.data.images import read_image
from gluon_bof.evaluation.validation import validation_set
from gluon_bof.inference.detector import open_detector
from gluon_bof.paper.bundles import COST
from gluon_bof.paper.words import table
from gluon_bof.weights.resolve import resolve

if TYPE_CHECKING:
    import numpy as np

    from gluon_bof.inference.detector import Detector
    from gluon_bof.paper.bundles import Store
    from gluon_bof.paper.harness import Job

ROUNDS = 7
MIN_SECONDS = 1.0  # of a measurement
OF_TRAINING = ("__init__", "__lr_mult__", "__wd_mult__")  # an input's attributes that inference does not have


def compare_runs(first: Job, last: Job, store: Store, images: int = 16) -> None:
    """Export both runs' inference graphs, count their operators, measure them in turn on the last run's validation
    images, and keep what was found in the last run's bundle as its COST."""
    found = {job.row.name: _resolved(job) for job in (first, last)}
    seen = [read_image(record.path, record.orientation)
            for record in validation_set(found[last.row.name].options).records[:images]]
    sides = {name: _Side(resolved, seen) for name, resolved in found.items()}
    throughputs = {name: [] for name in sides}
    for number in range(ROUNDS):
        for name in (list(sides) if number % 2 == 0 else reversed(list(sides))):
            throughputs[name].append(sides[name].images_per_second())
    (a, of_a), (b, of_b) = throughputs.items()
    graphs = [sides[name].graph for name in (a, b)]
    store.write({**store.read(last.name), COST: {
        "rows": [a, b], "runs": [first.name, last.name], "same_graph": graphs[0] == graphs[1],
        "operators": [dict(Counter(node["op"] for node in graph).most_common()) for graph in graphs],
        "images_per_second": [statistics.median(of_a), statistics.median(of_b)],
        "ratios": sorted(faster / slower for slower, faster in zip(of_a, of_b)), "device": str(sides[b].detector.device)}})


def _resolved(job):
    """A run's last weights."""
    options = {} if job.training.options.gpus is None else {"gpus": job.training.options.gpus}
    found = resolve(job.run.last_weights, options)
    found.require_set()
    return found


class _Side:
    def __init__(self, resolved, images):
        self.detector = open_detector(resolved)
        self.images = images
        detect_each(self.detector, self.images)  # every shape is known from here on
        self.graph = exported_graph(self.detector)

    def images_per_second(self):
        return images_per_second(self.detector, self.images, MIN_SECONDS)


def detect_each(detector: Detector, images: Sequence[np.ndarray]) -> None:
    """Detect in images one by one: in a list, a detector looks at several together, at how many by its batch in training."""
    for image in images:
        detector.detect([image])


def images_per_second(detector: Detector, images: Sequence[np.ndarray], seconds: float) -> float:
    """Images a second, image by image, of a measurement that takes at least so many seconds."""
    done, began = 0, time.perf_counter()
    while time.perf_counter() - began < seconds:
        detect_each(detector, images)
        done += len(images)
    return done / (time.perf_counter() - began)


def exported_graph(detector: Detector) -> list[dict[str, Any]]:
    """The nodes of the detector's exported graph in order, {"op", "attrs", "inputs"}, without what is no computation: names,
    which MXNet makes up for every network, and how inputs are trained. It must have detected something before."""
    with tempfile.TemporaryDirectory() as folder:
        detector.graph.export(os.path.join(folder, "network"))
        with open(os.path.join(folder, "network-symbol.json")) as file:
            nodes = json.load(file)["nodes"]
    return [{"op": "input" if node["op"] == "null" else node["op"], "inputs": node["inputs"],
             "attrs": {name: value for name, value in node.get("attrs", {}).items() if name not in OF_TRAINING}}
            for node in nodes]


def describe(found: Mapping[str, Any]) -> str:
    """What compare_runs found, as a section of the table's page."""
    a, b = found["rows"]
    counts = [sum(count for op, count in operators.items() if op != "input") for operators in found["operators"]]
    same = "the same graph: the same operators with the same attributes in the same order" if found["same_graph"] \
        else "**different graphs**"
    speeds = found["images_per_second"]
    ratios = found["ratios"]
    lines = ["## Cost in inference", "",
             f"The exported inference graphs of “{a}” ({counts[0]} operators) and “{b}” ({counts[1]}) are {same}. On "
             f"{found['device']}, image by image and in turn, {len(ratios)} rounds: {speeds[0]:.1f} and {speeds[1]:.1f} images "
             f"a second (medians); the second over the first, round by round: {statistics.median(ratios):.3f} "
             f"({ratios[0]:.3f} to {ratios[-1]:.3f}).", ""]
    operators = sorted(set(found["operators"][0]) | set(found["operators"][1]))
    return "\n".join(lines) + "\n" + table(["operator", a, b], [[op, *(str(of_side.get(op, 0)) for of_side in found["operators"])]
                                                               for op in operators])
