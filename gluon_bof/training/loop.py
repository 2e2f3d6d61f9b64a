"""One step and one epoch. Losses stay on the device and are read two steps late, so that nothing waits for them."""
from __future__ import annotations

import contextlib
import math
import time
from collections import deque
from typing import Any, Callable, Iterable, Iterator, Sequence

import numpy as np

from gluon_bof.backend import amp as mixed_precision
from gluon_bof.backend import autograd, gluon, mx
from gluon_bof.devices import split
from gluon_bof.distributed import comm
from gluon_bof.errors import UserError
from gluon_bof.training.optimizer import introduce

RUNNING = ".*running_(mean|var)|.*moving_(mean|var)"  # names of normalisation's statistics
STEPS_IN_FLIGHT = 2  # steps in flight; also keeps the host from running ahead of the device without bound


class Step:
    """Forward and backward for one batch over all devices, and an update after every `accumulate` of them.

    graph: HybridBlock that returns the named losses, (B,) each, of the arguments that `arguments(*arrays)` gives for one
    device's part of a batch's arrays. Where it has COUNTED, it returns counts behind them, (1,) each, and divides a loss by the
    part's mean of one: COUNTED[i] is the place of loss i's. batch_size: of all processes together, by which gradients are
    divided, and by `accumulate`, so that an update is that of a batch so many times as large.
    after_update() is called when the weights have been updated.

    Over several devices or processes, an update is that of one which has the whole batch. Then vote() -> numbers of this process
    that travel with each batch's losses; `votes` are their sums over the processes, of the batch that was read last."""

    def __init__(self, graph, arguments, trainer, devices, batch_size, amp=False, accumulate=1):
        self.graph = graph
        self.arguments = arguments
        self.trainer = trainer
        self.devices = devices
        self.batch_size = batch_size
        self.amp = amp
        self.accumulate = accumulate
        self.after_update = lambda: None
        self.vote = lambda: (0.0, 0.0)
        self.votes = (0.0, 0.0)
        self._counted = getattr(graph, "COUNTED", ())
        self._statistics = None
        self._accumulated = 0  # batches since the last update
        self._summed = []
        if accumulate > 1:
            self._summed = [parameter for parameter in trainer._params if parameter.grad_req == "write"]
        for parameter in self._summed:
            parameter.grad_req = "add"

    @property
    def batch(self) -> int:
        """Number of the batch that is to come, counted from the run's first."""
        return self.trainer.optimizer.num_update * self.accumulate + self._accumulated

    def __call__(self, *arrays):
        """Returns the losses, (number of losses,), a mean over the batch of all processes, not yet computed: it has `asnumpy`."""
        if self._statistics is None and comm.size() > 1:
            self._statistics = SharedStatistics(self.graph)
        losses = self._forward_backward(arrays)
        self._accumulated += 1
        if self._accumulated == self.accumulate:
            self._update()
        sums = [mx.nd.stack(*[mx.nd.sum(part) for part in loss]).as_in_context(self.devices[0]) for loss in losses]
        if comm.size() == 1:
            return mx.nd.add_n(*sums) / arrays[0].shape[0]
        votes = mx.nd.array(self.vote(), ctx=self.devices[0])
        own = mx.nd.concat(mx.nd.add_n(*sums).reshape(-1) / self.batch_size, votes, dim=0)
        return _JointLosses(comm.group().sum("losses", own), self)

    def _update(self):
        if not self.trainer._kv_initialized:
            introduce(self.trainer)
        self.trainer.step(self.batch_size * self.accumulate)
        self._forget()
        if self._statistics:
            self._statistics.update()
        self.after_update()

    def _forget(self):
        self._accumulated = 0
        for parameter in self._summed:
            parameter.zero_grad()

    def warm_up(self, *arrays: mx.nd.NDArray) -> None:
        """Forward and backward of the largest batch of a size to come, without learning anything from it: the memory that
        training will need is taken now, and where it does not suffice that shows at once and not after hours."""
        with statistics_kept(self.graph):
            self._forward_backward(arrays, alone=True)
            self._forget()

    def _forward_backward(self, arrays, alone=False):
        parts = list(zip(*[split(array, self.devices) for array in arrays]))
        with autograd.record():
            losses = [self.graph(*self.arguments(*part)) for part in parts]
            if self._counted:
                losses = self._over_the_whole(losses, alone)
            totals = [mx.nd.add_n(*loss) for loss in losses]
            if self.amp:
                with mixed_precision.scale_loss(totals, self.trainer) as scaled:
                    autograd.backward(scaled)
            else:
                autograd.backward(totals)
        return losses

    def _over_the_whole(self, returned, alone):
        """Losses that were divided by what a device's part has of something, as if by what the whole batch has."""
        count = len(self._counted)
        losses = [list(part[:count]) for part in returned]
        if len(losses) == 1 and (alone or comm.size() == 1):
            return losses
        with autograd.pause():
            own = [mx.nd.concat(*part[count:], mx.nd.full(1, part[0].shape[0], ctx=part[0].context), dim=0) for part in returned]
            whole = mx.nd.add_n(*[part.as_in_context(self.devices[0]) for part in own])
            if not alone:
                whole = comm.group().sum("counts", whole)
            shares = [_share(part, whole.as_in_context(part.context)) for part in own]
        return [[mx.nd.broadcast_mul(loss, share[place:place + 1]) for loss, place in zip(part, self._counted)]
                for part, share in zip(losses, shares)]


def _share(part, whole):
    """(counts,) that turn a loss divided by a part's mean of a count into one divided by the whole's; the last number is of
    images. At least one is counted, as by the losses."""
    means = [mx.nd.maximum(numbers[:-1], 1) / numbers[-1] for numbers in (part, whole)]
    return means[0] / means[1]


class _JointLosses:
    """(losses and votes,), as an array that is not yet computed."""

    def __init__(self, numbers, step):
        self._numbers = numbers
        self._step = step

    def asnumpy(self):
        """The losses alone; the votes become the step's."""
        numbers = self._numbers.asnumpy()
        count = len(self._step.votes)
        self._step.votes = numbers[-count:]
        return numbers[:-count]


@contextlib.contextmanager
def statistics_kept(graph: gluon.Block) -> Iterator[None]:
    """After it, what no gradient changes, as running means and variances, is as it was before, to the bit."""
    kept = [(data, data.copy()) for parameter in graph.collect_params().values() if parameter.grad_req == "null"
            for data in parameter.list_data()]
    try:
        yield
    finally:
        mx.nd.waitall()
        for data, before in kept:
            before.copyto(data)
        mx.nd.waitall()


class SharedStatistics:
    """Normalisation's running statistics, the same in all processes after every update: each moves by the mean of their moves.
    What does not move keeps its bits."""

    def __init__(self, graph):
        found = {id(parameter): parameter for parameter in graph.collect_params(RUNNING).values()}
        self._parameters = list(found.values())
        self._before = self._now().copy() if found else None

    def _now(self):
        return mx.nd.concat(*[parameter.data(parameter.list_ctx()[0]).reshape(-1) for parameter in self._parameters], dim=0)

    def update(self) -> None:
        """After an update of the weights, in every process."""
        if not self._parameters:
            return
        self._before += comm.group().sum("statistics", self._now() - self._before) / comm.size()
        begin = 0
        for parameter in self._parameters:
            end = begin + int(np.prod(parameter.shape))
            for array in parameter.list_data():
                self._before[begin:end].reshape(parameter.shape).copyto(array)
            begin = end


class Diverged(UserError):
    """A loss, or what has been learned, is not finite."""


class EpochLosses:
    """Sums of one epoch, as plain numbers, so that they survive in a checkpoint."""

    def __init__(self, names, saved=None):
        self.names = names
        self.batches = 0
        self.images = 0
        self.seconds = 0.0
        self.waiting = 0.0
        self.learning_rate = None  # of the last of the batches
        self.sums = [0.0] * len(names)
        if saved:
            vars(self).update({"images" if key == "pictures" else key: value for key, value in saved.items()})  # its name in 0.1

    def add(self, values: Iterable[float]) -> None:
        """One batch's losses."""
        self.batches += 1
        self.sums = [total + float(value) for total, value in zip(self.sums, values)]

    def means(self) -> dict[str, float]:
        """{name: mean over the epoch's batches so far}, with the total."""
        means = {name: total / max(1, self.batches) for name, total in zip(self.names, self.sums)}
        means["total"] = sum(means.values())
        return means

    def saved(self) -> dict[str, Any]:
        """What `saved=` takes."""
        return {key: value for key, value in vars(self).items() if key != "names"}


def train_epoch(loader: Iterable[tuple], step: Step, losses: EpochLosses, epoch: int, first_batch: int,
                after_batch: Callable[[int], bool], on_broken: Callable[[Sequence[str]], Any]) -> int:
    """Train on what the loader gives; losses (EpochLosses) grows.

    after_batch(batch) is called when a batch's losses are in and returns True to stop early; on_broken(names) hears of images
    that were skipped. It stops after whole updates only, for between them the step has gradients that nobody keeps.
    Returns the number of the batch to go on with. Raises Diverged at a loss that is not finite."""
    in_flight = deque()
    batch = first_batch
    stop = False

    def flush_one():
        nonlocal mark
        number, count, rate, value = in_flight.popleft()
        values = value.asnumpy().ravel()
        if not np.isfinite(values).all():
            bad = ", ".join(f"{name} loss became {v}" for name, v in zip(losses.names, values) if not math.isfinite(v))
            raise Diverged(f"{bad} at epoch {epoch}, batch {number}, learning rate {rate:.3g}",
                           remedy="lower --lr, or lengthen the warm-up")
        losses.add(values)
        losses.images += count
        losses.learning_rate = rate
        losses.seconds, mark = losses.seconds + time.perf_counter() - mark, time.perf_counter()
        return after_batch(number)

    batches = iter(loader)
    mark = time.perf_counter()
    while not (stop and batch % step.accumulate == 0):
        waiting = time.perf_counter()
        try:
            *arrays, broken = next(batches)
        except StopIteration:
            break
        losses.waiting += time.perf_counter() - waiting
        if broken:
            on_broken(broken)
        value = step(*arrays)
        images = step.batch_size if comm.size() > 1 else arrays[0].shape[0]  # of all processes
        in_flight.append((batch, images, step.trainer.learning_rate, value))
        batch += 1
        if len(in_flight) > STEPS_IN_FLIGHT:
            stop = flush_one() or stop
    while in_flight:
        flush_one()
    losses.seconds += time.perf_counter() - mark
    return batch
