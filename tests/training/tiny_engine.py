"""An engine with a tiny network, whose batches are numbers and whose validations are given."""
import csv

import numpy as np

from gluon_bof.backend import gluon, mx
from gluon_bof.data.sampler import BatchSampler
from gluon_bof.freebies.schedule import CountedFromOne, build_schedule, rates_of
from gluon_bof.options.yolo3 import Yolo3Options
from gluon_bof.training.checkpoint import load_checkpoint
from gluon_bof.training.engine import Engine
from gluon_bof.training.loop import Step
from gluon_bof.training.optimizer import build_trainer
from gluon_bof.training.recorder import DETECTION

LOSSES = ("first", "second")
OPTIONS = Yolo3Options(epochs=4, keep=2, log_interval=2, save_interval=2, val_interval=2, start_epoch=0)
BATCHES = 3  # an epoch, of two images
SCHEDULE = dict(mode="cosine", base_lr=0.05, iterations=4 * BATCHES)
RATES = rates_of(**SCHEDULE)


class TwoLosses(gluon.HybridBlock):
    """A linear model and the square and the size of its error, of each image."""

    def __init__(self, network):
        super().__init__()
        self.network = network

    def hybrid_forward(self, F, images, truth):
        error = self.network(images) - truth
        return F.sum(error ** 2, axis=1), F.sum(F.abs(error), axis=1)


class Loader:
    """Batches of numbers that depend on the image alone; `broken` names an image of the second batch."""

    def __init__(self, sampler, broken=()):
        self.sampler = sampler
        self.broken = broken

    def __iter__(self):
        for number, batch in enumerate(self.sampler):
            rows = np.array([np.random.default_rng(spec.index).normal(size=6) for spec in batch])
            yield mx.nd.array(rows[:, :4]), mx.nd.array(rows[:, 4:]), list(self.broken) if number == 1 else []


class Scores:
    """A validation: a rising mAP by the number of calls, and what it is told to do meanwhile."""

    def __init__(self, values=(0.2, 0.1, 0.4, 0.3), meanwhile=lambda call: None):
        self.values = values
        self.meanwhile = meanwhile
        self.calls = 0

    def __call__(self, should_stop):
        self.calls += 1
        self.meanwhile(self.calls)
        return None if should_stop() else {"map": self.values[self.calls - 1], "metric": "voc07"}


def engine_of(run, validate, options=OPTIONS, broken=(), resume=False, layers=list, batches=BATCHES,
              scoring=DETECTION):
    """An engine over a network of its own. layers() -> layers below the last one, of four numbers."""
    mx.random.seed(5)
    network = gluon.nn.HybridSequential()
    with network.name_scope():
        network.add(*layers(), gluon.nn.Dense(2, in_units=4))
    network.initialize()
    graph = TwoLosses(network)
    optimizer = mx.optimizer.SGD(momentum=0.9, lr_scheduler=CountedFromOne(build_schedule(**SCHEDULE)))
    trainer = build_trainer(network.collect_params(), optimizer, [mx.cpu()])
    size = 2 // options.accumulate
    sampler = BatchSampler(batches * 2, size, 1, (8,), accumulate=options.accumulate)
    step = Step(graph, lambda *arrays: arrays, trainer, [mx.cpu()], size, accumulate=options.accumulate)
    position = load_checkpoint(run.checkpoint_paths()[-1], network, trainer) if resume else {}
    return Engine(run, options, network, step, sampler, Loader(sampler, broken), LOSSES, validate, position, scoring)


def table(run, name):
    with open(run.table(name), newline="") as file:
        return list(csv.DictReader(file))
