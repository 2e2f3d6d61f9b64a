"""A network's gradient on one mini-batch, piece by piece, with nothing of the network changed.

The graph that trains is the graph that is probed: a second one would hold its own activations. Its batch normalisation is made
to use the running statistics, or the running statistics are put back."""
from __future__ import annotations

import contextlib
from typing import Any, Callable, Iterator, Sequence

import numpy as np

from gluon_bof.backend import autograd, gluon, mx
from gluon_bof.devices import numpy_view
from gluon_bof.models.blocks import blocks_of
from gluon_bof.training.loop import statistics_kept
from gluon_bof.weights.load import structured_parameters

PIECE = 1 << 16  # numbers that are handled at once: what they become in float64 stays in the processor's cache
TRANSFER = 1 << 22  # numbers that are taken off a GPU at once


class Gradients:
    """The gradient of the sum of a graph's losses over a mini-batch's images, with respect to what learns.

    graph: HybridBlock -> the losses, (B,) each, of arguments(*arrays); frozen: see `standing_still`; block: name of a parameter
    -> its part of the network; loss: the number of the only loss that counts, or None for the sum of all."""

    def __init__(self, graph: gluon.HybridBlock, network: gluon.HybridBlock, arguments: Callable[..., tuple] = lambda *a: a,
                 frozen: bool = True, block: Callable[[str], str] = lambda name: "all", loss: int | None = None):
        self.graph = graph
        self.arguments = arguments
        self.frozen = frozen
        self.loss = loss
        self.parameters = {name: parameter for name, parameter in structured_parameters(network).items()
                           if parameter.grad_req != "null"}
        names = [block(name) for name in self.parameters]
        self.blocks = tuple(dict.fromkeys(names))
        self.places = []  # (block's number, first number, one past the last) of each parameter in the whole gradient
        first = 0
        for name, parameter in zip(names, self.parameters.values()):
            size = int(np.prod(parameter.shape))
            self.places.append((self.blocks.index(name), first, first + size))
            first += size
        self.size = first

    @contextlib.contextmanager
    def standing_still(self) -> Iterator[None]:
        """While it is active gradients may be computed; afterwards parameters and running statistics are as they were, to the
        bit. frozen: batch normalisation goes by the running statistics meanwhile, so that an image's loss does not depend
        on the others of its mini-batch; else by the mini-batch's own."""
        norms = [block for block in blocks_of(self.graph) if isinstance(block, gluon.nn.BatchNorm)] if self.frozen else []
        before = [norm._kwargs["use_global_stats"] for norm in norms]
        self._use_global([True] * len(norms), norms)
        for parameter in self.parameters.values():
            parameter.zero_grad()  # what these losses do not reach would keep training's gradient
        try:
            with statistics_kept(self.graph):
                yield
        finally:
            self._use_global(before, norms)
            for parameter in self.parameters.values():
                if parameter.grad_req == "add":
                    parameter.zero_grad()
            mx.nd.waitall()

    def _use_global(self, values, norms):
        for norm, value in zip(norms, values):
            norm._kwargs["use_global_stats"] = value
        if norms:
            self.graph.hybridize(static_alloc=True)  # which also forgets the graph that was traced with the other value

    def compute(self, arrays: Sequence[Any]) -> int:
        """Leave the gradient of a mini-batch in the parameters. Returns how many images it has. Raises ValueError for losses
        that are not one number an image, of which a mean would be divided once more."""
        images = arrays[0].shape[0]
        for parameter in self.parameters.values():
            if parameter.grad_req == "add":
                parameter.zero_grad()
        with autograd.record():
            losses = self.graph(*self.arguments(*arrays))
            for loss in losses:
                if loss.shape[:1] != (images,):
                    raise ValueError(f"a loss of shape {loss.shape} is not one number for each of {images} images")
            total = mx.nd.add_n(*losses) if self.loss is None else losses[self.loss]
        total.backward()
        return images

    def pieces(self) -> Iterator[tuple[int, slice, np.ndarray]]:
        """(block's number, place in the whole gradient, float32 numbers) of the gradient that is there, in order. The numbers are
        only to be read, and gone with the next gradient."""
        mx.nd.waitall()
        for (block, first, end), parameter in zip(self.places, self.parameters.values()):
            gradient = parameter.grad(parameter.list_ctx()[0])
            for begin, values in _host_parts(gradient, end - first):
                for at in range(0, len(values), PIECE):
                    part = values[at:at + PIECE]
                    yield block, slice(first + begin + at, first + begin + at + len(part)), part


def _host_parts(array, size):
    """(first number, numbers as numpy has them) of an array's parts: one, without a copy, of one that the host holds."""
    if array.context.device_type == "cpu" and array.dtype == np.float32:
        yield 0, numpy_view(array).reshape(-1)
    else:
        flat = array.reshape((-1,))
        for begin in range(0, size, TRANSFER):
            yield begin, flat[begin:begin + TRANSFER].asnumpy()
