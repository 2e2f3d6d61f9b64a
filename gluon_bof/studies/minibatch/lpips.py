"""The perceptual distance LPIPS (Zhang et al., 2018, version 0.1) on AlexNet, between every image and the mean image (3.2.4).

Five feature maps of both images, each place's channels scaled to length 1; their squared difference, weighted by channel,
averaged over places and summed over the maps. The weights are not part of this package: AlexNet's and those of the five linear
layers are given as files."""
from __future__ import annotations

import itertools
import re
from typing import Callable, Iterable, NamedTuple, Sequence

import numpy as np

from gluon_bof.backend import mx
from gluon_bof.errors import UserError
from gluon_bof.studies.capacity.arrays import read_arrays

# (outputs, inputs, side), stride and padding of AlexNet's convolutions (Krizhevsky, 2014); the 2nd and 3rd follow max pooling
CONVOLUTIONS = (((64, 3, 11), 4, 2), ((192, 64, 5), 1, 2), ((384, 192, 3), 1, 1), ((256, 384, 3), 1, 1), ((256, 256, 3), 1, 1))
POOLED = (1, 2)
SHIFT, SCALE = (-0.030, -0.088, -0.188), (0.458, 0.448, 0.450)  # of images in [-1, 1], as the authors' code has them
EPSILON = 1e-10
LEAST_SIDE = 31  # pixels; of a smaller image the second pooling would have nothing left
BATCH = 64


class Lpips(NamedTuple):
    """Weights and biases of the convolutions, and of the linear layers, (C,) each, all on one device."""

    weights: list
    biases: list
    linear: list

    def features(self, images: np.ndarray) -> list:
        """The five maps (B, C, H, W), channels of length 1, of images (B, H, W, 3) in [0, 255]. Raises UserError where they are
        too small."""
        if min(images.shape[1:3]) < LEAST_SIDE:
            raise UserError(f"images of {images.shape[2]}x{images.shape[1]} are too small for AlexNet",
                            remedy=f"give --data-shape {LEAST_SIDE} or more")
        values = (np.asarray(images, np.float32) / 127.5 - 1 - np.float32(SHIFT)) / np.float32(SCALE)
        x, maps = mx.nd.array(values.transpose(0, 3, 1, 2)), []
        for place, ((shape, stride, padding), weight, bias) in enumerate(zip(CONVOLUTIONS, self.weights, self.biases)):
            if place in POOLED:
                x = mx.nd.Pooling(x, kernel=(3, 3), stride=(2, 2), pool_type="max")
            x = mx.nd.relu(mx.nd.Convolution(x, weight, bias, kernel=shape[2:] * 2, stride=(stride,) * 2, pad=(padding,) * 2,
                                             num_filter=shape[0]))
            maps.append(x / (mx.nd.sqrt(mx.nd.sum(x * x, axis=1, keepdims=True)) + EPSILON))
        return maps

    def between(self, first: Sequence, second: Sequence) -> np.ndarray:
        """(B,) distances between the maps of images; one image's maps (B = 1) go with any number."""
        total = 0
        for one, other, weights in zip(first, second, self.linear):
            apart = mx.nd.square(mx.nd.broadcast_sub(one, other))
            total = total + mx.nd.mean(mx.nd.sum(mx.nd.broadcast_mul(apart, weights.reshape((1, -1, 1, 1))), axis=1), axis=(1, 2))
        return total.asnumpy().astype(np.float64)

    def __call__(self, first: np.ndarray, second: np.ndarray) -> np.ndarray:
        """(B,) distances between images (B, H, W, 3) in [0, 255]."""
        return self.between(self.features(first), self.features(second))


def load_lpips(alexnet: str, linear: str) -> Lpips:
    """The network of two files of weights, .params or .safetensors. Raises UserError for what holds none, naming it.

    alexnet: torchvision's or GluonCV's AlexNet, features.N.weight and .bias; linear: the authors' lin0 to lin4."""
    arrays = read_arrays(alexnet)
    weights, biases = [], []
    for (outputs, inputs, side), _, _ in CONVOLUTIONS:
        name = next((name for name, array in arrays.items() if np.shape(array) == (outputs, inputs, side, side)), None)
        bias = re.sub(r"weight$", "bias", name or "")
        if name is None or bias == name or np.shape(arrays.get(bias)) != (outputs,):
            raise UserError(f"this is not AlexNet: no convolution of {outputs}x{inputs}x{side}x{side} with its bias is in it",
                            alexnet, "give torchvision's alexnet as .safetensors, or GluonCV's alexnet .params")
        weights.append(mx.nd.array(arrays[name]))
        biases.append(mx.nd.array(arrays[bias]))
    found = {int(match[1]): np.ravel(array) for name, array in read_arrays(linear).items()
             for match in [re.search(r"lin(\d)", name)] if match}
    wanted = [shape[0] for shape, _, _ in CONVOLUTIONS]
    if [len(found[place]) for place in sorted(found)] != wanted:
        raise UserError(f"there are no five layers lin0 to lin4 of {', '.join(map(str, wanted))} weights in it", linear,
                        "give the authors' alex weights (version 0.1) as .safetensors or .params")
    return Lpips(weights, biases, [mx.nd.array(found[place]) for place in range(len(wanted))])


def distances_to_mean(lpips: Lpips, shown: Callable[[], Iterable[tuple]]) -> np.ndarray:
    """(N,) distance of every image to the mean of all. shown() -> the same (image (H, W, 3) uint8, …) at each call, all of one
    shape."""
    total, count = 0, 0
    for image, *_ in shown():
        total, count = total + image.astype(np.float64), count + 1
    mean = lpips.features((total / count)[None])
    images = (image for image, *_ in shown())
    batches = iter(lambda: list(itertools.islice(images, BATCH)), [])
    return np.concatenate([lpips.between(lpips.features(np.stack(batch)), mean) for batch in batches])
