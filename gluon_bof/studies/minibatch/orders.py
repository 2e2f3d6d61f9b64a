"""Which mini-batches an epoch is trained on, and in what order. All have the same number of updates an epoch.

The paper's order is fixed; the others are what it is compared with: shuffling, mini-batches left out by phase as the paper's
conclusions advise, RS2 (Okanovic et al., 2023), and the pair balance of GraB (Lu et al., 2022; Cooper et al., 2023)."""
from __future__ import annotations

from typing import Any, Callable, Iterable, Mapping

import numpy as np

from gluon_bof.errors import UserError
from gluon_bof.rng import Purpose, generator
from gluon_bof.studies.minibatch.partition import cut, random_partition

EXTREME = 0.1  # share of the mini-batches at each end that are left out; the paper speaks of the middle 80 percent
UPPER = 0.25  # share of the mini-batches that count as high: the upper quartile
SUBSET = 0.25  # share of the images that RS2 draws at once


class Order:
    """`order(epoch)` -> (K, B) indices of images, the mini-batches of an epoch in turn.

    batches: (K, B) the set sorted by the metric; phase_of(epoch) -> the phase, from 0."""

    observes = False  # whether it wants every mini-batch's gradient

    def __init__(self, batches: np.ndarray, seed: int, phase_of: Callable[[int], int] = lambda epoch: 0):
        self.batches = np.asarray(batches)
        self.seed = seed
        self.phase_of = phase_of

    def __call__(self, epoch: int) -> np.ndarray:
        raise NotImplementedError

    def _rng(self, epoch, part=0):
        return generator(Purpose.ORDER, self.seed, epoch, part)


class Sorted(Order):
    """The paper's: always the same."""

    def __call__(self, epoch: int) -> np.ndarray:
        return self.batches


class Shuffled(Order):
    """Other mini-batches every epoch."""

    def __call__(self, epoch: int) -> np.ndarray:
        return self._rng(epoch).permutation(np.sort(self.batches.ravel())).reshape(self.batches.shape)


class RandomBatches(Order):
    """Mini-batches cut once at random, in another order every epoch."""

    def __init__(self, batches: np.ndarray, seed: int, phase_of: Callable[[int], int] = lambda epoch: 0):
        super().__init__(random_partition(batches, np.shape(batches)[1], seed), seed, phase_of)

    def __call__(self, epoch: int) -> np.ndarray:
        return self.batches[self._rng(epoch).permutation(len(self.batches))]


class Chosen(Order):
    """The sorted mini-batches that the phase lets through, shuffled, and again until the epoch is full."""

    def allowed(self, epoch: int) -> np.ndarray:
        """Numbers of the mini-batches that may be trained on."""
        return np.arange(len(self.batches))

    def __call__(self, epoch: int) -> np.ndarray:
        allowed, count = self.allowed(epoch), len(self.batches)
        rounds = [self._rng(epoch, part).permutation(allowed) for part in range(-(-count // len(allowed)))]
        return self.batches[np.concatenate(rounds)[:count]]


class WithoutExtremes(Chosen):
    """One that leaves the extreme tenths out at some time. Raises UserError where a tenth of the mini-batches is none."""

    def __init__(self, batches: np.ndarray, seed: int, phase_of: Callable[[int], int] = lambda epoch: 0):
        super().__init__(batches, seed, phase_of)
        self.extreme = int(round(EXTREME * len(self.batches)))
        if not self.extreme:
            raise UserError(f"a tenth of {len(self.batches)} mini-batches is none: nothing would be left out",
                            remedy="lower --batch-size, or give --order sorted-shuffled")

    def _middle(self):
        return np.arange(self.extreme, len(self.batches) - self.extreme)


class DropExtremes(WithoutExtremes):
    """After the first phase without the extreme tenths."""

    def allowed(self, epoch: int) -> np.ndarray:
        """Numbers of the mini-batches that may be trained on."""
        return self._middle() if self.phase_of(epoch) else super().allowed(epoch)


class UpperQuartile(WithoutExtremes):
    """In the first phase only the highest quarter, then without the extreme tenths."""

    def allowed(self, epoch: int) -> np.ndarray:
        """Numbers of the mini-batches that may be trained on."""
        if self.phase_of(epoch):
            return self._middle()
        count = len(self.batches)
        return np.arange(count - max(1, int(round(UPPER * count))), count)


class Rs2(Order):
    """RS2: a random subset of the images is trained on, then another one, drawn without regard to the first."""

    def __call__(self, epoch: int) -> np.ndarray:
        images, (count, size) = np.sort(self.batches.ravel()), self.batches.shape
        each = max(1, int(round(SUBSET * count)))
        drawn = [cut(self._rng(epoch, part).permutation(images), size)[:each] for part in range(-(-count // each))]
        return np.concatenate(drawn)[:count]


class Grab(RandomBatches):
    """Pair balance: of two mini-batches in turn, one goes to the front and one to the back of the next epoch's order, so that
    the running sum of their differences stays small.

    `observe(gradient)` takes each trained mini-batch's gradient, (P,) float32. `saved()` and `restore()`: what it knows between
    two mini-batches, as JSON and as arrays."""

    observes = True

    def __init__(self, batches: np.ndarray, seed: int, phase_of: Callable[[int], int] = lambda epoch: 0):
        super().__init__(batches, seed, phase_of)
        self.epoch, self.turn = 0, self._rng(0).permutation(len(self.batches))
        self._begin()

    def _begin(self):
        self.front, self.back, self.seen = [], [], 0
        self.sum = self.first = None

    def __call__(self, epoch: int) -> np.ndarray:
        """Raises ValueError for an epoch that is not the one that is due."""
        if self.seen == len(self.turn):
            self.epoch, self.turn = self.epoch + 1, np.array(self.front + self.back[::-1])
            self._begin()
        if epoch != self.epoch:
            raise ValueError(f"the order of epoch {epoch} is not known in epoch {self.epoch}")
        return self.batches[self.turn]

    def observe(self, gradient: np.ndarray) -> None:
        """The gradient of the mini-batch that was trained on just now."""
        number = int(self.turn[self.seen])
        self.seen += 1
        if self.first is None:
            if self.seen == len(self.turn):  # an odd one, without a partner
                self.front.append(number)
            else:
                self.first = gradient.copy()
            return
        apart = self.first - gradient
        self.sum = np.zeros_like(apart) if self.sum is None else self.sum
        sign = -1 if self.sum.astype(np.float64) @ apart > 0 else 1  # |sum + d| < |sum - d| where the product is below 0
        self.sum += sign * apart
        before = int(self.turn[self.seen - 2])
        to_front, to_back = (before, number) if sign > 0 else (number, before)
        self.front.append(to_front)
        self.back.append(to_back)
        self.first = None

    def saved(self) -> tuple[dict[str, Any], dict[str, np.ndarray]]:
        """(JSON values, {name: array})."""
        meta = {"epoch": self.epoch, "turn": [int(number) for number in self.turn], "seen": self.seen, "front": self.front,
                "back": self.back}
        return meta, {name: array for name, array in (("sum", self.sum), ("first", self.first)) if array is not None}

    def restore(self, meta: Mapping[str, Any], arrays: Mapping[str, np.ndarray]) -> None:
        """Go on from what `saved` gave."""
        self.epoch, self.seen, self.turn = meta["epoch"], meta["seen"], np.array(meta["turn"])
        self.front, self.back = list(meta["front"]), list(meta["back"])
        self.sum, self.first = (None if name not in arrays else np.array(arrays[name]) for name in ("sum", "first"))


BY_NAME = {"sorted": Sorted, "shuffled": Shuffled, "random-batches": RandomBatches, "sorted-shuffled": Chosen,
           "drop-extremes": DropExtremes, "upper-quartile": UpperQuartile, "rs2": Rs2, "grab": Grab}


class OrderSampler:
    """The batches of a Loader and an Engine: lists of SampleSpec of one epoch, in an Order.

    spec(index, key) -> SampleSpec; count: mini-batches an epoch."""

    accumulate = 1

    def __init__(self, order: Order, count: int, seed: int, spec: Callable[[int, tuple], Any]):
        self.order = order
        self.seed = seed
        self.spec = spec
        self.batches = self.updates = count
        self.images, self.update_images = order.batches.size, order.batches.shape[1]
        self.start(0)

    def start(self, epoch: int, batch: int = 0) -> OrderSampler:
        """The next iteration yields the batches of this epoch from this batch on."""
        self.epoch, self.first = epoch, batch
        return self

    def __len__(self):
        return self.batches - self.first

    def __iter__(self) -> Iterable[list]:
        for number, batch in enumerate(self.order(self.epoch)):
            if number >= self.first:
                yield [self.spec(index, (self.seed, self.epoch, number, position)) for position, index in enumerate(batch)]
