"""The sampler decides: everything random about a batch, drawn in the main process from a counter-based generator.

A spec depends on nothing but (seed, epoch, batch, position), so batches are the same bits for any number of workers,
nobody repeats another's draws, mixup can end at any epoch, and training resumes at any batch (paper, 3.1 and 3.6).
"""
from __future__ import annotations

from typing import NamedTuple

import numpy as np

from gluon_bof.rng import Purpose, generator


class SampleSpec(NamedTuple):
    """What a worker needs to make one sample. `partner` is -1 where nothing is mixed; `ratio` weighs `index`."""

    index: int
    partner: int
    ratio: float
    size: int
    key: tuple  # (seed, epoch, update, position), the key of the worker's own generator
    padding: tuple = ()  # what the whole batch is padded to, where other processes have parts of it


WINDOW = 32  # batches whose images are brought together by aspect ratio, so that each stays near its place


def aspect_ratio_buckets(order: np.ndarray, keys: np.ndarray, batch_size: int, rng: np.random.Generator) -> np.ndarray:
    """The order, some whole batches of items, with items of like keys in the same batches: windows of about WINDOW batches are
    sorted by key, and the batches of each shuffled. keys: of the items in their order."""
    batches = order.reshape(-1, batch_size)
    grouped = []
    for begin, end in _windows(len(batches)):
        by_key = np.argsort(keys[begin * batch_size:end * batch_size], kind="stable")
        window = batches[begin:end].ravel()[by_key].reshape(-1, batch_size)
        grouped.append(window[rng.permutation(len(window))])
    return np.concatenate(grouped).ravel()


def _windows(batches):
    """[(first, end)] that share so many batches out evenly: a short one left over would mix what is unlike."""
    bounds = np.linspace(0, batches, max(1, round(batches / WINDOW)) + 1).round().astype(int)
    return zip(bounds[:-1], bounds[1:])


def repeated(order: np.ndarray, repeats: np.ndarray, length: int, rng: np.random.Generator) -> np.ndarray:
    """(length,) the order's images, each floor or ceil of its repeats times and on average exactly so often, shuffled anew.

    order: (N,) places in `repeats`; length: of their sum, to the nearest whole number."""
    ends = np.cumsum(repeats[order])
    steps = np.floor(ends * (length / ends[-1]) + rng.random())
    steps[-1] = length  # whatever rounding did
    return rng.permutation(np.repeat(order, np.diff(steps, prepend=0).astype(int)))


class BatchSampler:
    """The batches of a Loader: lists of SampleSpec, of one epoch.

    The images form one endless stream of shuffled rounds and an epoch is `images // batch_size` batches of it (at
    least one), so no image is dropped, none is seen much more often, and the run is as long as its schedule. (With `repeats`
    whose sum is rounded down, a round of a small set may lack an image.)

    sizes: sides in pixels, one per batch, redrawn every `size_interval` batches. mix: MixRatio or None; applied in
    epochs before `mix_until`. shard: (rank, ranks), every process draws the same batch and takes its own part of it.
    aspects: width over height of each image, to bring alike ones together where batches are padded; or None. An epoch has the
    same images with it, in another order: rounds may begin within a batch, so batches are made of what the epoch has of the
    stream, not of a round. repeats: how often each image is in a round, on average, at least 1 (see `balance`); or None, once. An
    epoch is as long with them.

    padding: specs -> what a batch of them is padded to, where a part of a batch would be padded to less; each spec of a shard
    then carries that of the whole batch. Set afterwards; None: samples are all of one size.

    accumulate: batches that make one update. They are the parts, one after another, of the batch so many times as large that a
    sampler without it draws, to the bit of each spec; an epoch has whole updates only, `updates` of them."""

    def __init__(self, images, batch_size, seed, sizes, size_interval=10, mix=None, mix_until=0,
                 epoch_images=None, shard=(0, 1), aspects=None, repeats=None, accumulate=1):
        self.accumulate = accumulate
        self.padding = None
        self.update_images = batch_size * accumulate
        self.aspects = None if aspects is None or self.update_images == 1 else np.asarray(aspects)
        self.images = images
        self.batch_size = batch_size
        self.seed = seed
        self.sizes = tuple(sizes)
        self.size_interval = max(1, size_interval)
        self.mix = mix if images > 1 else None  # an image has no other to mix with
        self.mix_until = mix_until
        self.shard = shard
        self.updates = max(1, (epoch_images or images) // self.update_images)
        self.batches = self.updates * accumulate
        self.repeats = None if repeats is None or np.all(np.equal(repeats, 1)) else np.asarray(repeats, np.float64)
        self.round_length = images if self.repeats is None else int(round(self.repeats.sum()))
        self._ends = None if self.repeats is None else np.cumsum(self.repeats)
        self._round = self._grouped = (None, None)
        self.start(0)

    def start(self, epoch: int, batch: int = 0) -> BatchSampler:
        """The next iteration yields the batches of this epoch from this batch on."""
        self.epoch, self.first = epoch, batch
        return self

    def __len__(self):
        return self.batches - self.first

    def __iter__(self):
        for batch in range(self.first, self.batches):
            yield self.draw_batch(self.epoch, batch)

    def draw_batch(self, epoch: int, batch: int) -> list[SampleSpec]:
        """The specs of one batch, in order."""
        update, part = divmod(batch, self.accumulate)
        iteration = epoch * self.updates + update
        size = self.size_at(iteration)
        rank, ranks = self.shard
        first = part * self.batch_size
        if ranks > 1 and self.padding:
            specs = [self._draw(epoch, update, first + place, iteration, size) for place in range(self.batch_size)]
            padding = self.padding(specs)
            return [spec._replace(padding=padding) for spec in specs[rank::ranks]]
        return [self._draw(epoch, update, position, iteration, size)
                for position in range(first + rank, first + self.batch_size, ranks)]

    @property
    def largest_share(self) -> int:
        """The most images of a batch that any process has."""
        return -(-self.batch_size // self.shard[1])

    def size_at(self, iteration: int) -> int:
        """Training size in pixels of an update's batches, counted from the start of the run."""
        rng = generator(Purpose.SIZE, self.seed, iteration // self.size_interval)
        return int(self.sizes[rng.integers(len(self.sizes))])

    def _draw(self, epoch, update, position, iteration, size):
        index = self._image_at(iteration * self.update_images + position) if self.aspects is None else \
            self._grouped_epoch(epoch)[update * self.update_images + position]
        partner, ratio = -1, 1.0
        if self.mix is not None and epoch < self.mix_until:
            rng = generator(Purpose.MIXUP, self.seed, epoch, update, position)
            ratio = self.mix.draw(rng)
            partner_of = self._partner if self.repeats is None else self._repeated_partner
            other = partner_of(rng, index)
            if ratio < 1:
                partner = other
        return SampleSpec(index, partner, ratio, size, (self.seed, epoch, update, position))

    def _partner(self, rng, index):
        other = int(rng.integers(self.images - 1))
        return other + (other >= index)

    def _repeated_partner(self, rng, index):
        """Any other image, each as often as it is repeated."""
        own = self.repeats[index]
        place = rng.random() * (self._ends[-1] - own)
        if place >= self._ends[index] - own:
            place += own
        other = int(np.searchsorted(self._ends[:-1], place, side="right"))
        return other if other != index else (index + 1) % self.images  # by rounding alone

    def _image_at(self, stream_position):
        number, place = divmod(stream_position, self.round_length)
        if self._round[0] != number:
            order = generator(Purpose.ORDER, self.seed, number).permutation(self.images)
            if self.repeats is not None:
                order = repeated(order, self.repeats, self.round_length, generator(Purpose.REPEATS, self.seed, number))
            self._round = (number, order)
        return int(self._round[1][place])

    def _grouped_epoch(self, epoch):
        """The images of an epoch, in order, those of like aspect ratio in the same batches."""
        if self._grouped[0] != epoch:
            length = self.updates * self.update_images
            order = np.array([self._image_at(place) for place in range(epoch * length, (epoch + 1) * length)])
            order = aspect_ratio_buckets(order, self.aspects[order], self.update_images,
                                         generator(Purpose.GROUPS, self.seed, epoch))
            self._grouped = (epoch, order.tolist())
        return self._grouped[1]
