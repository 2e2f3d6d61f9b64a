"""Bundles that no run has left, for tests of what is made of them."""
import json

import numpy as np

from gluon_bof.paper import bag, bundles, harness, miniature

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
