"""An exponential moving average of a network's weights (--ema), which is validated and kept while the weights learn on."""
from __future__ import annotations

import contextlib
from typing import Any, Iterator, Mapping

import numpy as np

from gluon_bof.backend import mx
from gluon_bof.errors import LOGGER
from gluon_bof.weights.load import structured_parameters, without_constants

MOST_OF_START = 0.05  # share of the initial weights in the last average, above which a run is warned


class Averages:
    """decay * average + (1 - decay) * weight after every update, of all that a network has but its constants; normalisation's
    running statistics among them. They lie on the first device and begin as the weights are.

    decay: in [0, 1). saved: {structured name: array} of a checkpoint to go on from, or None."""

    def __init__(self, network: Any, decay: float, saved: Mapping[str, np.ndarray] | None = None):
        self.decay = decay
        self._parameters = without_constants(structured_parameters(network))
        self.arrays = {name: array.copy() for name, array in self._weights().items()}
        for name, array in (saved or {}).items():
            self.arrays[name][:] = mx.nd.array(array, dtype=array.dtype)

    def _weights(self):
        return {name: parameter.data(parameter.list_ctx()[0]) for name, parameter in self._parameters.items()}

    def update(self) -> None:
        """Take the weights of now into the average."""
        for name, weight in self._weights().items():
            average = self.arrays[name]
            average += (1 - self.decay) * (weight - average)  # what is frozen keeps its bits this way

    @contextlib.contextmanager
    def in_place(self) -> Iterator[None]:
        """Meanwhile the network has the averages in place of its weights, on the first device; then its weights' bits again."""
        weights = self._weights()
        kept = {name: weight.copy() for name, weight in weights.items()}
        _fill(weights, self.arrays)
        try:
            yield
        finally:
            _fill(weights, kept)

    def warn_of_the_start(self, updates: int) -> None:
        """Warn where so many updates are too few for the averages to forget the initial weights."""
        share = self.decay ** updates
        if share > MOST_OF_START:
            LOGGER.warning("--ema %s is slow for the %d updates of this run: the start will still be %.0f%% of the averages; "
                           "%.3g would leave 1%%", self.decay, updates, 100 * share, 0.01 ** (1 / updates))


def _fill(arrays, values):
    for name, array in arrays.items():
        values[name].copyto(array)
