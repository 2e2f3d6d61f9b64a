"""Bundles and runs that no training has left, and photographs, for tests of what is made of them."""
import json
import os

import numpy as np

from gluon_bof.paper import bag, bundles, factorial, harness, miniature, miniature_numbers
from gluon_bof.runs.config import write_config
from tests.tiny_sets import write_voc_set

GAINS = dict(zip(miniature.FACTORS, (0.01, 0.004, -0.006, 0.015)))  # of each freebie in the made-up factorial
OWN_IMAGES, = miniature_numbers.OWN_IMAGES.evaluations
GAIN = 0.02  # of the whole bag in the made-up bundles of the further families


def bundle_for(job, value=0.5, seconds=60.0, **values):
    """What a finished run of the job would leave: this number for every evaluation but those of `values`, {key: number}.

    mAP@0.5 is a quarter above AP."""
    found = {"format": bundles.FORMAT, "name": job.name, "experiment": job.experiment, "row": job.row.key, "seed": job.seed,
             "commands": [harness.told_command(words, job) for words in job.commands()], "configuration": job.configuration(),
             "configuration_sha256": bundles.hash_of(job.configuration()), "git_revision": "0123456789abcdef",
             "versions": {}, "machine": {"cpu": "a processor"}, **job.marks,
             "times": {"training_seconds": seconds, "evaluation_seconds": {}, "finished": "2020-02-02T00:00:00Z"},
             "weights_sha256": "0", "training": {"iterations": 15 * job.training.options.epochs},
             "evaluations": {wanted.key: _evaluation(values.get(wanted.key, value))
                             for wanted in job.evaluations}}
    validated = range(job.training.options.val_interval, job.training.options.epochs + 1, job.training.options.val_interval)
    if len(validated) > 1:
        found["validations"] = [[epoch, value * epoch / job.training.options.epochs] for epoch in validated]
    return json.loads(json.dumps(found))


def _evaluation(value):
    by_size = {"APs": value / 2, "APm": value, "APl": min(1, 1.5 * value)}
    return {"map": value, "metric": "coco", "coco": {"AP": value, "AP50": min(1, 1.25 * value), "AP75": value / 2, **by_size},
            "per_class": {"one": value, "two": value ** 2, "none": None}, "calibration_error": 1 - value,
            "sliding_patch": {"patch_recall": value / 4, "recall": value,
                              "recall_without_patch": 2 * value, "score_change": -value / 2, "images": 100}}


def made_up_bag(store, seeds=bag.SEEDS, rows=()):
    """{(row, seed): the number, a fraction} of bundles that are written."""
    rng, numbers = np.random.default_rng(0), {}
    for job in bag.plan(seeds):
        if rows and job.row.key not in rows:
            continue
        value = 0.3 + 0.01 * job.seed + GAIN * (job.row.on == tuple(job.row.bag.factors)) + rng.normal(0, 0.0005)
        bundle = bundle_for(job, **{miniature.TRAIN: 0.9})
        bundle["evaluations"]["test"].update(miou=value, pixel_accuracy=0.8, masks={"AP": value, "AP50": 0.5})
        bundle["evaluations"]["test"]["coco"]["AP"] = value
        bundle["evaluations"][miniature.TRAIN].update(miou=0.7, masks={"AP50": 0.96})
        store.write(bundle)
        numbers[job.row.key, job.seed] = value
    return numbers


def made_up_rows(store, numbers, **values):
    """Write bundles of YOLOv3's factorial. numbers: {(row, seed): AP, a fraction}; values: as bundle_for has them."""
    jobs = {(job.row.key, job.seed): job for job in factorial.plan(sorted({seed for _, seed in numbers}))}
    for key, value in numbers.items():
        store.write(bundle_for(jobs[key], value, **values))


def made_up_factorial(store, seeds=(0, 1, 2), noise=0.004, left_out=()):
    """Bundles of a factorial with the effects GAINS. Returns {(row, seed): AP in points}."""
    rng, numbers = np.random.default_rng(5), {}
    for job in factorial.plan(seeds):
        value = 0.4 + 0.01 * job.seed + sum(GAINS[factor] for factor in job.row.on or ()) - 0.08 * (job.row.on is None)
        value += rng.normal(0, noise)
        if job.name not in left_out:
            numbers[job.row.key, job.seed] = value
    made_up_rows(store, numbers, **{OWN_IMAGES: 0.99})
    return {key: 100 * value for key, value in numbers.items()}


def planned(folder, seeds=(0,), **changes):
    """The factorial's jobs on a folder that need not hold images."""
    return factorial.plan(seeds, str(folder / "runs"), **changes)


def finish_by_hand(job):
    """What a training leaves, without the training."""
    os.makedirs(job.run.folder, exist_ok=True)
    write_config(job.run.folder, job.training.options)
    with open(job.run.last_weights, "wb") as file:
        file.write(b"weights")
    job.run.keep_result("training", {"map": 0.25, "metric": "coco", "run": job.run.folder, "weights": job.run.last_weights})


def read_bundles(folder):
    """{name: bundle} of the results in a folder."""
    found = [json.loads(path.read_text()) for path in sorted((folder / "results" / "runs").glob("*.json"))]
    return {bundle["name"]: bundle for bundle in found}


def write_photographs(folder, images=9):
    """A tiny set as LabelImg leaves it, two of its images the same bytes under two names."""
    write_voc_set(folder / "source", images=images - 1, validation=1)
    source = folder / "source" / "VOC2007"
    mine = folder / "mine"
    mine.mkdir()
    for image in sorted((source / "JPEGImages").iterdir()):
        (mine / image.name).write_bytes(image.read_bytes())
        annotation = source / "Annotations" / f"{image.stem}.xml"
        (mine / annotation.name).write_bytes(annotation.read_bytes())
    (mine / "again.jpg").write_bytes((mine / "000000.jpg").read_bytes())
    (mine / "again.xml").write_text((mine / "000000.xml").read_text().replace("000000.jpg", "again.jpg"))
    return mine
