"""Bundles that no run has left, for tests of what is made of them."""
import json

from gluon_bof.paper import bundles, harness


def bundle_for(job, value=0.5, seconds=60.0, **values):
    """What a finished run of the job would leave: this number for every evaluation but those of `values`, {key: number}.

    mAP@0.5 is a quarter above AP."""
    found = {"format": bundles.FORMAT, "name": job.name, "experiment": job.experiment, "row": job.row.key, "seed": job.seed,
             "commands": [harness.told_command(words, job) for words in job.commands()], "configuration": job.configuration(),
             "configuration_sha256": bundles.hash_of(job.configuration()), "git_revision": "0123456789abcdef",
             "versions": {}, "machine": {"cpu": "a processor"}, **job.marks,
             "times": {"training_seconds": seconds, "evaluation_seconds": {}, "finished": "2020-02-02T00:00:00Z"},
             "weights_sha256": "0", "training": {},
             "evaluations": {wanted.key: _evaluation(values.get(wanted.key, value))
                             for wanted in job.evaluations}}
    return json.loads(json.dumps(found))


def _evaluation(value):
    by_size = {"APs": value / 2, "APm": value, "APl": min(1, 1.5 * value)}
    return {"map": value, "metric": "coco", "coco": {"AP": value, "AP50": min(1, 1.25 * value), **by_size},
            "per_class": {"one": value, "two": value ** 2, "none": None}, "calibration_error": 1 - value,
            "sliding_patch": {"patch_recall": value / 4, "recall": value, "images": 100}}
