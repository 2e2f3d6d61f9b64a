"""No extra inference cost, shown: the exported inference graphs of two runs, operator by operator, and their throughput."""
from __future__ import annotations

import json
import os
import statistics
import sys
import tempfile
import time
from collections import Counter
from typing import TYPE_CHECKING, Any, Sequence

from gluon_bof.data.images import read_image
from gluon_bof.evaluation.validation import validation_set
from gluon_bof.inference.detector import open_detector
from gluon_bof.paper.bundles import COST
from gluon_bof.weights.resolve import resolve

if TYPE_CHECKING:
    import numpy as np

    from gluon_bof.boxes import DetectionSet
    from gluon_bof.inference.detector import Detector
    from gluon_bof.paper.bundles import Store
    from gluon_bof.paper.harness import Job

ROUNDS = 7
MIN_SECONDS = 1.0  # of a measurement
IMAGES = 16  # that detectors are measured on
OF_TRAINING = ("__init__", "__lr_mult__", "__wd_mult__")  # an input's attributes that inference does not have


def compare_runs(first: Job, last: Job, store: Store) -> None:
    """Export both runs' inference graphs, count their operators, measure them in turn on the last run's validation
    images, and keep what was found in the last run's bundle as its COST."""
    found = [_resolved(job) for job in (first, last)]
    images = first_images(validation_set(found[1].options))
    detectors = [open_detector(resolved) for resolved in found]
    speeds = list(zip(*rounds([(detector, images) for detector in detectors], ROUNDS)))
    graphs = [exported_graph(detector) for detector in detectors]
    store.write({**store.read(last.name), COST: {
        "rows": [first.row.name, last.row.name], "runs": [first.name, last.name], "same_graph": graphs[0] == graphs[1],
        "operators": [dict(Counter(node["op"] for node in graph).most_common()) for graph in graphs],
        "images_per_second": [statistics.median(of_one) for of_one in speeds],
        "ratios": sorted(faster / slower for slower, faster in zip(*speeds)), "device": str(detectors[1].device)}})


def _resolved(job):
    """A run's last weights."""
    options = {} if job.training.options.gpus is None else {"gpus": job.training.options.gpus}
    found = resolve(job.run.last_weights, options)
    found.require_set()
    return found


def first_images(found_set: DetectionSet) -> list[np.ndarray]:
    """The images of a set that detectors are measured on."""
    return [read_image(record.path, record.orientation) for record in found_set.records[:IMAGES]]


def rounds(sides: Sequence[tuple[Detector, Sequence[np.ndarray]]], count: int) -> list[list[float]]:
    """Images a second of each (detector, images), a list a round: all are measured in turn, every other time from the last on, so
    that what else the machine does meets them alike."""
    for detector, images in sides:
        detect_each(detector, images)  # every shape is known from here on
    found = []
    for number in range(count):
        print(f"measuring throughput, round {number + 1} of {count}", file=sys.stderr)
        turn = 1 if number % 2 == 0 else -1
        found.append([images_per_second(*side, MIN_SECONDS) for side in sides[::turn]][::turn])
    return found


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
