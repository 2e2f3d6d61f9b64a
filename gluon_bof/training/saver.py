"""What a run keeps of its network: checkpoints, and files of weights."""
from __future__ import annotations

import contextlib
import hashlib
from typing import Any

import numpy as np

from gluon_bof.backend import mx
from gluon_bof.distributed import comm, progress
from gluon_bof.files import refuse_unwritable
from gluon_bof.training.checkpoint import save_checkpoint
from gluon_bof.training.ema import Averages
from gluon_bof.weights.load import on_device, save_weights


class Saver:
    """Writes what a run keeps of its network: checkpoints, the last and the best weights, those of some epochs.

    averages: Averages, which the files of weights then hold; a checkpoint holds the weights themselves and them. further() ->
    (JSON values, {name: array}) that a checkpoint holds besides. Of several processes, which all have the same, one writes, and
    it alone calls `best` and `after_epoch`."""

    def __init__(self, run: Any, options: Any, network: Any, trainer: Any, averages: Averages | None = None):
        self.run = run
        self.keep = options.keep
        self.save_interval = options.save_interval
        self.prefix = getattr(options, "save_prefix", "") and f"{options.save_prefix}{options.gluoncv_name()}"
        if self.prefix and comm.is_main():
            refuse_unwritable(self._under_prefix("best"), "make the folder, or start anew with another --save-prefix")
        self.network = network
        self.trainer = trainer
        self.averages = averages
        self.further = lambda: ({}, {})

    def averaged(self) -> Any:
        """A context in which the network has what is validated and saved: the averages, if there are any."""
        return self.averages.in_place() if self.averages else contextlib.nullcontext()

    def save(self, iteration: int, meta: dict[str, Any]) -> None:
        """The last weights, and a checkpoint that training goes on from."""
        if not comm.is_main():
            return
        progress.report("saving", iteration)
        self._write(self.run.last_weights)
        values, arrays = self.further()
        save_checkpoint(self.run.checkpoint(iteration), self.network, self.trainer, {**meta, **values},
                        self.averages.arrays if self.averages else None, arrays)
        self.run.keep_newest(self.keep)

    def is_finite(self) -> bool:
        """Whether all that has been learned, and its average, is finite."""
        return all(np.isfinite(array.asnumpy()).all() for array in self._arrays())

    def mark(self) -> str:
        """A checksum of the weights and of their averages."""
        mx.nd.waitall()
        digest = hashlib.blake2b()
        for array in self._arrays():
            digest.update(array.asnumpy().tobytes())
        return digest.hexdigest()

    def _arrays(self):
        return [*on_device(self.network).values(), *(self.averages.arrays.values() if self.averages else ())]

    def best(self) -> None:
        """The best weights so far."""
        self._write(self.run.best_weights)
        self._as_gluoncv("best")

    def after_epoch(self, epoch: int, score: float) -> None:
        """Weights that are kept for good, every --save-interval epochs."""
        if self.save_interval and (epoch + 1) % self.save_interval == 0:
            self._write(self.run.epoch_weights(epoch))
            self._as_gluoncv(f"{epoch:04d}_{score:.4f}")

    def _as_gluoncv(self, ending):
        """Files under GluonCV's names, for those who asked with --save-prefix."""
        if self.prefix:
            self._write(self._under_prefix(ending))

    def _under_prefix(self, ending):
        return f"{self.prefix}_{ending}.params"

    def _write(self, path):
        with self.averaged():
            save_weights(self.network, path)
