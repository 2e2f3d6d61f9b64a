"""A head over frozen features: softmax regression on what the shipped backbone sees of the embedded set's objects.

Its objective is convex and small enough for full batches, so that L-BFGS (scipy) can stand beside SGD and Adam."""
from __future__ import annotations

import os
from typing import Any, NamedTuple

import numpy as np

from gluon_bof import weights
from gluon_bof.backend import mx
from gluon_bof.data.class_sets import open_classes
from gluon_bof.data.classification import ClassImages
from gluon_bof.freebies.schedule import build_schedule
from gluon_bof.models.classifier import build_classifier
from gluon_bof.models.preprocess import Normalise
from gluon_bof.options.yolo3 import Yolo3Options
from gluon_bof.paper.optimizers import KINDS
from gluon_bof.rng import Purpose, generator
from gluon_bof.training.optimizer import build_optimizer
from gluon_bof.weights.load import load_weights

SIDE = 64  # pixels of an object's image
CLASSES = 4
DECAY = 1e-4  # of the squared weights, by half; biases are spared
BATCH = 64
AT_ONCE = 128  # images that the backbone sees together
RATES = {"momentum": (0.03, 0.1, 0.3, 1.0), "Adam": (0.001, 0.003, 0.01, 0.03)}  # four of each, half a decade apart


class Objects(NamedTuple):
    """features (N, F) float64, labels (N,) int."""

    features: np.ndarray
    labels: np.ndarray


def frozen_features(most: int = 0) -> tuple[Objects, Objects]:
    """(training, validation) objects of the embedded set as the shipped darknet-mini sees them. most: of each; 0: all."""
    network = build_classifier("darknet-mini", CLASSES, [mx.cpu()], SIDE)
    load_weights(network, os.path.join(os.path.dirname(weights.__file__), "shipped", "darknet-mini.params"))
    return tuple(_seen(found.samples[:most or None], network) for found in open_classes("shapes"))


def _seen(samples, network):
    images, normalise = ClassImages(samples, SIDE), Normalise()
    parts = []
    for first in range(0, len(samples), AT_ONCE):
        batch = np.stack([images[place][0] for place in range(first, min(first + AT_ONCE, len(samples)))])
        parts.append(network.features(normalise(mx.nd.array(batch, dtype="uint8"))).mean(axis=(2, 3)).asnumpy())
    return Objects(np.concatenate(parts).astype(np.float64), np.array([sample.class_id for sample in samples]))


def objective(head: np.ndarray, objects: Objects, rows: Any = slice(None)) -> tuple[float, np.ndarray]:
    """(mean cross-entropy + DECAY / 2 · squared weights, its gradient) of a head (F + 1, K), whose last row is the bias."""
    features, labels = objects.features[rows], objects.labels[rows]
    logits = features @ head[:-1] + head[-1]
    logits -= logits.max(axis=1, keepdims=True)
    total = np.exp(logits).sum(axis=1)
    value = np.mean(np.log(total) - logits[np.arange(len(labels)), labels]) + DECAY / 2 * (head[:-1] ** 2).sum()
    error = np.exp(logits) / total[:, None]
    error[np.arange(len(labels)), labels] -= 1
    error /= len(labels)
    return float(value), np.vstack([features.T @ error + DECAY * head[:-1], error.sum(axis=0)])


def start(objects: Objects) -> np.ndarray:
    """The head that knows nothing, (F + 1, K) of 0."""
    return np.zeros((objects.features.shape[1] + 1, CLASSES))


def by_lbfgs(objects: Objects, passes: int) -> tuple[list[float], np.ndarray]:
    """([the least objective after each pass over all objects], the head) of scipy's L-BFGS with its usual ten vectors."""
    from scipy.optimize import minimize

    seen = []

    def counted(flat):
        value, gradient = objective(flat.reshape(head.shape), objects)
        seen.append(min(value, seen[-1]) if seen else value)
        return value, gradient.ravel()

    head = start(objects)
    found = minimize(counted, head.ravel(), jac=True, method="L-BFGS-B",
                     options={"maxfun": passes, "maxiter": passes, "ftol": 0.0, "gtol": 0.0})
    return seen[:passes], found.x.reshape(head.shape)


def by_updates(objects: Objects, optimizer: str, rate: float, passes: int) -> tuple[list[float], np.ndarray]:
    """The same of one of KINDS in batches of BATCH, in a new order each pass, with the rate falling by a cosine."""
    batches = max(1, len(objects.labels) // BATCH)
    schedule = build_schedule("cosine", rate, passes * batches)
    update = mx.optimizer.get_updater(build_optimizer(Yolo3Options(lr=rate, wd=0.0, **KINDS[optimizer]), schedule))
    head = mx.nd.array(start(objects))
    seen = [objective(start(objects), objects)[0]]
    for number in range(passes):
        order = generator(Purpose.ORDER, 0, number).permutation(len(objects.labels))
        for rows in np.array_split(order, batches):
            update(0, mx.nd.array(objective(head.asnumpy().astype(np.float64), objects, rows)[1]), head)
        seen.append(objective(head.asnumpy().astype(np.float64), objects)[0])
    return seen, head.asnumpy().astype(np.float64)


def best_updates(objects: Objects, optimizer: str, passes: int) -> tuple[float, list[float], np.ndarray]:
    """(rate, objectives, head) of the rate whose last objective is least."""
    tried = {rate: by_updates(objects, optimizer, rate, passes) for rate in RATES[optimizer]}
    rate = min(tried, key=lambda one: tried[one][0][-1])
    return (rate, *tried[rate])


def accuracy(head: np.ndarray, objects: Objects) -> float:
    """Share of objects whose class is the head's first guess."""
    return float(np.mean((objects.features @ head[:-1] + head[-1]).argmax(axis=1) == objects.labels))
