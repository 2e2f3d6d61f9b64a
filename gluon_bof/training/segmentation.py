"""What training a segmenter does besides what every training does: its sets, its batches, its start, its end."""
from __future__ import annotations

from typing import Any, Sequence

import numpy as np

from gluon_bof.backend import mx
from gluon_bof.data.faults import warn_of_shared
from gluon_bof.data.label_sets import open_segmentation
from gluon_bof.data.names import refuse_one_class
from gluon_bof.data.segmentation import label_mark, look_over
from gluon_bof.data.shared_memory import to_shared
from gluon_bof.distributed import comm, progress
from gluon_bof.errors import LOGGER
from gluon_bof.training.pipeline import agree_on_sets
from gluon_bof.training.recorder import Scoring
from gluon_bof.visualization.label_maps import draw_training_maps, draw_validation_maps
from gluon_bof.visualization.run_pages import draw_run

SCORING = Scoring(("miou", "pixel_accuracy"), "miou", "validation mean IoU")


def open_label_sets(options: Any, run: Any) -> list:
    """[training set, validation set] of the same classes, whose names are kept in the run. Raises UserError as
    `open_segmentation` does."""
    sets = comm.main_first(lambda: _opened(options, run))
    agree_on_sets(run, *map(label_mark, sets))
    return sets


def _opened(options, run):
    classes = options.classes or None
    place = options.dataset, options.dataset_root or None
    sets = []
    for role, split in (("train", options.train_split), ("val", options.val_split)):
        found = open_segmentation(*place, role, classes, split or None, options.on_bad_sample)
        refuse_one_class(found.classes, options.dataset_root or options.dataset,
                         "name the others as well, the background first: in classes.txt, or --classes background,cat")
        found = look_over(found, options.on_bad_sample)
        LOGGER.info("%s: %d images, %d classes (%s), %d faults skipped", role, len(found), len(found.classes),
                    ", ".join(found.classes[:21]), len(found.faults))
        sets.append(found)
        classes = found.classes  # as for a detector: of COCO's layout, what validates may lack a category
    warn_of_shared(*(found.samples for found in sets), "mean IoU")
    run.write_classes(classes)
    return sets


class MapBatch:
    """Batchify: (images (B, S, S, 3) uint8, label maps (B, M, S, S) uint8, weights (B, M) float32, names of broken images),
    arrays in shared memory."""

    def __init__(self, shared: bool):
        self.shared = shared

    def __call__(self, samples: Sequence[tuple]) -> tuple:
        *stacks, broken = zip(*samples)
        return (*(to_shared(np.stack(arrays), self.shared) for arrays in stacks), [name for names in broken for name in names])


def blank_batch(images: int, maps: int, side: int) -> tuple:
    """The arrays of a batch of black images of which every pixel is background."""
    return (to_shared(np.zeros((images, side, side, 3), np.uint8), False),
            to_shared(np.zeros((images, maps, side, side), np.uint8), False),
            to_shared(np.full((images, maps), 1 / maps, np.float32), False))


class Reseeded:
    """A step's `arguments` that seed MXNet's own random numbers, of which dropout draws, by the batch that is to come and by the
    device, whose images are others: so a run goes on to the bit. step: set afterwards."""

    def __init__(self, seed: int):
        self.seed = seed
        self.step = None

    def __call__(self, *arrays: Any) -> tuple:
        mx.random.seed(self._number(arrays[0].context) % 2 ** 31, ctx=arrays[0].context)
        return arrays

    def _number(self, device):
        devices = self.step.devices
        return (self.seed * 1_000_003 + self.step.batch) * 1_009 + comm.rank() * len(devices) + devices.index(device)


def fit_maps(engine: Any, run: Any, images: Any, sets: Sequence[Any], validation: Any, segmenter: Any) -> dict[str, Any]:
    """Run the engine's epochs and draw the run's pages. images: the training images, `images[spec]`. Returns the outcome,
    {"run": folder, "miou": of the last validation, …}."""
    classes = sets[0].classes
    if comm.is_main():
        draw_training_maps(run, images, engine.sampler, classes)
    metrics = engine.run_epochs()
    if validation.shown is None:  # a finished run was resumed: there was nothing left to validate
        with engine.saver.averaged():
            validation(segmenter)
    if not comm.is_main():
        return {"run": run.folder, "miou": metrics["miou"]}
    progress.report("drawing")
    draw_validation_maps(run, validation.shown, classes)
    faults = {fault for found in sets for fault in found.faults}  # one that both parts were told of is one
    return {"run": run.folder, **{key: metrics[key] for key in ("miou", "pixel_accuracy", "per_class")},
            "best_miou": engine.best_score, **engine.outcome(),
            "skipped": len(engine.skipped) + len(faults), "weights": run.last_weights,
            "images": draw_run(run, SCORING.score, SCORING.words)}


def only_validated(options: Any, run: Any, validation: Any, segmenter: Any) -> dict[str, Any]:
    """The outcome of --eval, which trains nothing and keeps no run."""
    metrics = validation(segmenter)
    run.discard_if_unused()
    return {"run": None, "weights": options.resume or options.transfer,
            **{key: metrics[key] for key in ("miou", "pixel_accuracy", "per_class")}}
