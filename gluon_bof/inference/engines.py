"""What computes a network's graph: MXNet itself; `onnx_engine` has others for detectors.

An engine is a callable: images (B, H, W, 3) uint8, MXNet's or numpy's, -> of a detector ids (B, D, 1), scores (B, D, 1), boxes
(B, D, 4) in the pixels of what it sees, and masks (B, D, S, S) if it finds them. MXNet's answers may still be computed when they
are returned; `arrays` waits for them."""
from __future__ import annotations

from typing import Any, Sequence

import numpy as np

from gluon_bof.backend import autograd, mx
from gluon_bof.devices import refuse_numpy_arrays
from gluon_bof.locks import fork_safe_lock

# For whoever calls or traces a network. Gluon traces it at its first call and keeps on its blocks where it is, which another
# thread would change; and MXNet now and then waits for ever where two threads call a traced one at once. Both only begin in
# here: the computing goes on outside.
calling = fork_safe_lock()


def arrays(outputs: Sequence[Any]) -> list[np.ndarray]:
    """The outputs of an engine or of a block, which may be one alone, as numpy arrays, once they are there."""
    if not isinstance(outputs, (list, tuple)):
        outputs = [outputs]
    return [output if isinstance(output, np.ndarray) else output.asnumpy() for output in outputs]


class MXNetEngine:
    """The network's own graph."""

    name = "mxnet"

    def __init__(self, graph: Any, device: Any):
        self.graph = graph
        self.device = device

    def __call__(self, images: Any) -> Sequence[Any]:
        refuse_numpy_arrays()
        if isinstance(images, np.ndarray):
            images = mx.nd.array(images, ctx=self.device, dtype=np.uint8)
        with calling, autograd.pause(train_mode=False):  # also where whoever asks records a training step
            return self.graph(images.as_in_context(self.device))

    def expect(self, images: int) -> None:
        """So many images are to come: nothing depends on it."""
