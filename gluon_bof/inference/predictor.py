"""A trained network at work: what detectors and segmenters have in common."""
from __future__ import annotations

from typing import Any, Sequence

import numpy as np

from gluon_bof.backend import gluon, mx
from gluon_bof.data.transforms import square
from gluon_bof.devices import first_context
from gluon_bof.freebies.augmentation import render
from gluon_bof.inference.engines import MXNetEngine
from gluon_bof.models.build import models_of, network_to_fill
from gluon_bof.weights.load import load_weights


class Predictor:
    """A network with its weights, on a device: `classes`, and `see`. graph: from images (B, H, W, 3) uint8 to what it finds."""

    def __init__(self, network: gluon.HybridBlock, options: Any, device: Any, graph: gluon.HybridBlock):
        self.network = network
        self.options = options
        self.classes = tuple(network.classes)
        self.device = device
        self.transform = models_of(options).eval_transform(options)
        self.batch = models_of(options).inference_batch(options)
        self.graph = graph
        if not options.disable_hybridization:
            # a network that sees many shapes would keep memory for each of them
            graph.hybridize(static_alloc=self.transform.fit is square)
        self.engine = MXNetEngine(graph, device)

    def warm_up(self) -> None:
        """Batches of black images as large as can come: takes the memory that validation will need, see Step.warm_up."""
        for height, width in self.transform.largest_shapes():
            self.graph(mx.nd.zeros((self.batch, height, width, 3), ctx=self.device, dtype=np.uint8))
        mx.nd.waitall()

    def see(self, image: np.ndarray) -> np.ndarray:
        """An image (H, W, 3) uint8 RGB as the network sees it."""
        return render(image, self.transform(image.shape))


def load_network(options: Any, classes: Sequence[str], weights: str, gpus_of_run: bool = False) -> tuple[Any, Any, str]:
    """(network with the weights of this file, the device that it is on, the file's SHA-256). gpus_of_run: as in Resolved."""
    device = first_context(options.gpus, gpus_of_run)
    network = network_to_fill(options, classes, [device])
    return network, device, load_weights(network, weights)
