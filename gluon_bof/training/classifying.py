"""What pre-training's loop needs beside the detectors': batches with labels, accuracy, a log that calls it so."""
from __future__ import annotations

import sys

import numpy as np
from tqdm import tqdm

from gluon_bof.backend import gluon
from gluon_bof.data.loader import wire_array
from gluon_bof.data.workers import settle_worker
from gluon_bof.training.fit import LOGGER, Fit


class InWorker(gluon.data.Dataset):
    """A set of pictures whose worker is settled first: one thread, and it ends with its trainer."""

    def __init__(self, pictures):
        self.pictures = pictures

    def __len__(self):
        return len(self.pictures)

    def __getitem__(self, draw):
        settle_worker()
        return self.pictures[draw]


class ClassBatch:
    """Batchify: (pictures (B, S, S, 3) uint8, labels (B, 3) float32, names of broken pictures, of which there are none)."""

    def __init__(self, shared):
        self.shared = shared

    def __call__(self, samples):
        pictures, labels = zip(*samples)
        return wire_array(np.stack(pictures), self.shared), wire_array(np.stack(labels), self.shared), []


def accuracy(graph, loader, labels, device, best_of, should_stop=lambda: False):
    """{"map": share of right first guesses, by the name that Fit knows, "accuracy": the same, "top5": share of pictures
    whose class is among the `best_of` first guesses}, or None where should_stop said so."""
    right = among = 0
    for pictures, indices in tqdm(loader, desc="validating", unit="batch", leave=False, file=sys.stderr,
                                  disable=not sys.stderr.isatty()):
        if should_stop():
            return None
        guesses = np.argsort(-graph(pictures.as_in_context(device)).asnumpy(), axis=1, kind="stable")[:, :best_of]
        wanted = np.array([labels[index] for index in indices])[:, None]
        right += int((guesses[:, :1] == wanted).sum())
        among += int((guesses == wanted).any(axis=1).sum())
    return {"map": right / len(labels), "accuracy": right / len(labels), "top5": among / len(labels)}


class ClassifierFit(Fit):
    """The epochs of a classifier: what the detectors' log calls mAP is accuracy here."""

    def _log_epoch(self, metrics):
        losses, means = self.losses, self.losses.means()
        row = {"epoch": self.epoch, "iteration": (self.epoch + 1) * self.draws.batches,
               "learning_rate": self.rates[(self.epoch + 1) * self.draws.batches - 1],
               **{f"{name}_loss": value for name, value in means.items()},
               "pictures_per_second": losses.pictures / max(losses.seconds, 1e-9), "seconds": losses.seconds,
               "accuracy": metrics.get("accuracy", ""), "top5": metrics.get("top5", "")}
        self.run.record("metrics", row)
        validated = f", validation accuracy {metrics['accuracy']:.4f}" if metrics else ""
        LOGGER.info("epoch %d: cross-entropy %.3f, %.1f pictures/s%s", self.epoch, means["cross_entropy"],
                    row["pictures_per_second"], validated)
