"""A training of 20 steps on numbers that every process can make for itself; a worker's weights go to a file of its own.

python steps.py FOLDER WORDS as JSON: {"kv_store", "horovod", "batch", "frozen"}"""
import json
import os
import sys
import time

import numpy as np

from gluon_bof.backend import gluon, mx
from gluon_bof.distributed import comm
from gluon_bof.distributed.groups import start_group
from gluon_bof.training.loop import Step
from gluon_bof.training.optimizer import build_trainer
from gluon_bof.training.pipeline import share_weights

UPDATES, ACCUMULATE, CHANGE, CLASSES = 20, 2, 8, 3


class Graph(gluon.HybridBlock):
    """Images (B, 3, 8, 8) and labels (B, 2) -> a loss of each image, and one that is divided by the batch's count of something,
    as Faster R-CNN's are; and the counts."""

    COUNTED = (0, 1)

    def __init__(self, frozen):
        super().__init__()
        self.network = gluon.nn.HybridSequential()
        for channels in (6, 8):
            self.network.add(gluon.nn.Conv2D(channels, 3, padding=1), gluon.nn.BatchNorm(use_global_stats=frozen),
                             gluon.nn.Activation("relu"))
        self.network.add(gluon.nn.GlobalAvgPool2D(), gluon.nn.Dense(CLASSES))

    def hybrid_forward(self, F, images, labels):
        found = self.network(images)
        label, of_some = (F.squeeze(F.slice_axis(labels, axis=1, begin=i, end=i + 1), axis=1) for i in (0, 1))
        plain = -F.pick(F.log_softmax(found, axis=1), label)
        used = F.sum(of_some)
        square = F.sum(F.square(found), axis=1) * of_some
        images = F.sum(F.ones_like(plain))
        divided = F.broadcast_div(F.broadcast_mul(square, images), F.maximum(used, 1))
        return plain, divided, images, used


def numbers(batch, update):
    """The joint batch: every process makes the same and takes its part."""
    rng = np.random.default_rng((batch, update))
    return rng.normal(size=(batch, 3, 8, 8)).astype(np.float32), np.stack(
        [rng.integers(0, CLASSES, batch), rng.integers(0, 2, batch)], 1).astype(np.float32)


def train(batch, frozen=True, devices=1, seed=3):
    """(weights and statistics by name, losses of every batch)."""
    mx.random.seed(seed)
    devices = [mx.cpu(number) for number in range(devices)]
    graph = Graph(frozen)
    graph.initialize(mx.init.Xavier(), ctx=devices)
    graph.hybridize()
    for device in devices:
        graph(*(mx.nd.array(array, ctx=device) for array in numbers(2, 0)))
    schedule = mx.lr_scheduler.FactorScheduler(CHANGE, 0.3, base_lr=0.05)
    trainer = build_trainer(graph.collect_params(), mx.optimizer.SGD(learning_rate=0.05, momentum=0.9, wd=1e-3,
                                                                     lr_scheduler=schedule), devices, kvstore="local")
    step = Step(graph, lambda *arrays: arrays, trainer, devices, batch, accumulate=ACCUMULATE)
    if comm.size() > 1:
        share_weights(graph)
    losses = []
    for number in range(UPDATES * ACCUMULATE):
        value = step(*(mx.nd.array(array[comm.rank()::comm.size()]) for array in numbers(batch, number)))
        losses.append(value.asnumpy().ravel())
    return {name: parameter.data(devices[0]).asnumpy() for name, parameter in graph._collect_params_with_prefix().items()}, losses


def require_sums_to_stay_apart():
    """A worker that is ahead must not add its next numbers to its last ones."""
    sums = []
    for number in range(60):
        if number % 20 == comm.rank():
            mx.nd.waitall()
            time.sleep(0.02)
        sums.append(comm.group().sum("test", mx.nd.full(3, number + 100 * comm.rank())))
    wanted = [[sum(number + 100 * rank for rank in range(comm.size()))] * 3 for number in range(60)]
    assert [value.asnumpy().tolist() for value in sums] == wanted


def main():
    folder, how = sys.argv[1], json.loads(sys.argv[2])
    start_group(how.get("kv_store", "device"), how.get("horovod", False))
    rank = comm.rank()
    assert comm.gather({"rank": rank}) == [{"rank": number} for number in range(comm.size())]
    assert comm.group().broadcast(["Zürich", 0.1, rank]) == ["Zürich", 0.1, 0]
    require_sums_to_stay_apart()
    # a worker that begins with other weights gets those of the first one, to the bit
    weights, losses = train(how["batch"], how["frozen"], seed=3 + rank)
    np.savez(os.path.join(folder, f"rank-{rank}.npz"), losses=np.array(losses), **weights)
    comm.close()


if __name__ == "__main__":
    main()
