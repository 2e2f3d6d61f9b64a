"""Figure 4 of the paper in kind: a ResNet-20, and the same one trained on with group regularisation of some layers.

The paper's pair comes from CIFAR-10 and distiller; this one from the objects of the embedded set at 32x32, trained in minutes.
A whole kernel is one group ("4D"): after each update a chosen layer's weights are shrunk towards 0 by a constant length, which
is the proximal step of lambda sqrt(size) |W|_F, and what has lost most of its norm is set to 0 and stays there, so that the
residual connection does without the layer. (Left to itself it never ends there: behind a layer that normalises, gradients
grow as 1 / |W|, and the last steps before 0 threw the weights to norms of a thousand times those before.)"""
from __future__ import annotations

import json
import os

import numpy as np

from gluon_bof.backend import gluon, mx
from gluon_bof.data.class_sets import open_classes
from gluon_bof.data.classification import ClassImages
from gluon_bof.errors import UserError, warn
from gluon_bof.files import read_json, write_atomically
from gluon_bof.freebies.augmentation import MEAN, STD
from gluon_bof.weights.load import save_weights, structured_parameters

from gluoncv.model_zoo import get_model

NETWORK, SIZE, BATCH = "cifar_resnet20_v1", 32, 64
MOMENTUM, DECAY = 0.9, 1e-4
EPOCHS, RATE = 6, 0.05  # of the plain one, cosine from that rate
MORE_EPOCHS = 1  # of the other one, on top of those, from a fifth of it
STRENGTH = 0.5  # of the shrinking, in units of sqrt(size) per unit of the learning rate
GROUPS = ("features.3.1.body.0.weight", "features.3.1.body.3.weight", "features.3.2.body.0.weight",
          "features.4.1.body.0.weight", "features.4.2.body.0.weight")  # five layers, as many as the paper's lost
REMOVED = 0.2  # share of its first norm below which a group is set to 0
PLAIN, REGULARISED, ABOUT = "plain.params", "regularised.params", "pair.json"


def train_pair(folder: str, seed: int = 0) -> dict:
    """Train both networks and leave plain.params, regularised.params and pair.json in a folder, whose pair.json says from the
    beginning what is trained there: what a kill left is gone on from, and a pair that is finished is not trained again.

    Returns {"plain": accuracy, …}. Raises UserError for a folder with another pair, or with weights of which no pair.json
    tells."""
    about = {"network": NETWORK, "seed": seed, "epochs": EPOCHS, "more_epochs": MORE_EPOCHS, "rate": RATE,
             "strength": STRENGTH, "groups": list(GROUPS)}
    there = _read_about(folder, about)
    if all(name_of(file) in there and os.path.exists(os.path.join(folder, file)) for file in (PLAIN, REGULARISED)):
        return there
    _write_about(folder, about)
    mx.random.seed(seed)
    np.random.seed(seed % 2 ** 32)  # what MXNet's initialisers draw from
    train, test = (_arrays(found) for found in open_classes("shapes"))
    about.update(training_objects=len(train[1]), test_objects=len(test[1]))
    network = get_model(NETWORK, classes=int(train[1].max()) + 1)
    network.initialize(mx.init.MSRAPrelu())
    network.hybridize()
    for file, count, first_rate, shrink in ((PLAIN, EPOCHS, RATE, 0.0), (REGULARISED, MORE_EPOCHS, RATE / 5, STRENGTH)):
        path = os.path.join(folder, file)
        if file == PLAIN and os.path.exists(path):
            network.load_parameters(path)
        else:
            # drawn from the seed again, so that it does not matter whether the plain one was there already
            rng = np.random.Generator(np.random.Philox(seed))
            _train(network, train, rng, count, first_rate, shrink)
        about[name_of(file)] = _accuracy(network, test)
        warn(f"{file}: accuracy {about[name_of(file)]:.4f} on {len(test[1])} objects")
        save_weights(network, path)
    _write_about(folder, about)
    return about


def name_of(file: str) -> str:
    """What pair.json calls the accuracy of the network in a file."""
    return file.split(".")[0]


def _read_about(folder, wanted):
    """What the folder's pair.json tells, {} where there is none. Raises UserError where it is not that of the wanted pair."""
    path = os.path.join(folder, ABOUT)
    try:
        there = read_json(path, "this is not what a training of the pair wrote", "give another --out",
                          lambda content: isinstance(content, dict) and wanted.keys() <= content.keys())
    except FileNotFoundError:
        unknown = [file for file in (PLAIN, REGULARISED) if os.path.exists(os.path.join(folder, file))]
        if unknown:
            raise UserError(f"no {ABOUT} beside it tells what was trained", os.path.join(folder, unknown[0]),
                            "give another --out, or remove it") from None
        return {}
    other = [f"{name} {there[name]}" for name, value in wanted.items() if there[name] != value]
    if other:
        raise UserError(f"the pair there has {', '.join(other)}", path, "give another --out")
    return there


def _write_about(folder, about):
    os.makedirs(folder, exist_ok=True)
    write_atomically(os.path.join(folder, ABOUT), json.dumps(about, indent=2).encode())


def _arrays(found):
    """((n, 3, S, S) float32 normalised, (n,) class ids) of a ClassificationSet."""
    images = ClassImages(found.samples, SIZE)
    pixels = np.stack([images[index][0] for index in range(len(images))])
    normal = (pixels.astype(np.float32) / 255 - np.float32(MEAN)) / np.float32(STD)
    return normal.transpose(0, 3, 1, 2), np.array([sample.class_id for sample in found.samples])


def _train(network, data, rng, epochs, rate, strength):
    images, classes = data
    batches = len(classes) // BATCH
    schedule = mx.lr_scheduler.CosineScheduler(epochs * batches, rate, 0)
    trainer = gluon.Trainer(network.collect_params(), "sgd", {"momentum": MOMENTUM, "wd": DECAY, "lr_scheduler": schedule,
                                                              "learning_rate": rate})
    loss = gluon.loss.SoftmaxCrossEntropyLoss()
    groups = [structured_parameters(network)[name] for name in GROUPS] if strength else []
    least = [REMOVED * _norm(group) for group in groups]
    for _ in range(epochs):
        order = rng.permutation(len(classes))[:batches * BATCH].reshape(batches, BATCH)
        for chosen in order:
            batch = images[chosen]
            flipped = rng.random(BATCH) < 0.5
            batch[flipped] = batch[flipped, :, :, ::-1]
            with mx.autograd.record():
                losses = loss(network(mx.nd.array(batch)), mx.nd.array(classes[chosen]))
            losses.backward()
            trainer.step(BATCH)
            for place, group in enumerate(groups):
                if not _shrink(group, trainer.learning_rate * strength, least[place]):
                    least[place] = float("inf")  # and so it stays


def _norm(parameter):
    return float(parameter.data().norm().asscalar())


def _shrink(parameter, length, least):
    """Take a length, times sqrt(size), off the Frobenius norm of a layer's weights; what is then shorter than `least` becomes 0.
    Returns the share that was kept."""
    weight, norm = parameter.data(), _norm(parameter)
    left = norm - length * weight.size ** 0.5
    keep = left / norm if norm and left > least else 0.0
    parameter.set_data(weight * keep)
    return keep


def _accuracy(network, data):
    images, classes = data
    found = np.concatenate([network(mx.nd.array(images[at:at + 256])).asnumpy().argmax(axis=1)
                            for at in range(0, len(classes), 256)])
    return float((found == classes).mean())
