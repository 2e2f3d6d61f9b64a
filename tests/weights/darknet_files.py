"""Darknet's YOLOv3 as its own .cfg and .weights files, written from Darknet's description and from nothing of ours."""
from __future__ import annotations

import struct
from typing import NamedTuple

import numpy as np

ANCHORS = "10,13, 16,30, 33,23, 30,61, 62,45, 59,119, 116,90, 156,198, 373,326"
HEADERS = {"0.1.0": struct.pack("<iiiI", 0, 1, 0, 123), "0.2.0": struct.pack("<iiiQ", 0, 2, 0, 32_013_312),
           "0.2.5": struct.pack("<iiiQ", 0, 2, 5, 1 << 40), "0.0.0": struct.pack("<iiiii", 0, 0, 0, 7, 0)}
# data/coco.names and data/voc.names
COCO_NAMES = ("person bicycle car motorbike aeroplane bus train truck boat traffic_light fire_hydrant stop_sign parking_meter "
              "bench bird cat dog horse sheep cow elephant bear zebra giraffe backpack umbrella handbag tie suitcase frisbee "
              "skis snowboard sports_ball kite baseball_bat baseball_glove skateboard surfboard tennis_racket bottle wine_glass "
              "cup fork knife spoon bowl banana apple sandwich orange broccoli carrot hot_dog pizza donut cake chair sofa "
              "pottedplant bed diningtable toilet tvmonitor laptop mouse remote keyboard cell_phone microwave oven toaster sink "
              "refrigerator book clock vase scissors teddy_bear hair_drier toothbrush")
VOC_NAMES = ("aeroplane bicycle bird boat bottle bus car cat chair cow diningtable dog horse motorbike person pottedplant sheep "
             "sofa train tvmonitor").split()
COCO_NAMES = [name.replace("_", " ") for name in COCO_NAMES.split()]
BACKBONE_LAYERS = 52


class Layer(NamedTuple):
    """A convolution with batch normalisation, or (a prediction) with a bias."""

    filters: int
    channels: int
    size: int
    normalised: bool

    def count(self):
        """Values in a .weights file."""
        return self.filters * ((4 if self.normalised else 1) + self.channels * self.size ** 2)


def yolov3(classes, width=416, height=416):
    """(text of yolov3.cfg, [Layer]) for so many classes."""
    text, layers = [f"[net]\nwidth={width}\nheight={height}\nchannels=3"], []

    def convolution(filters, size, channels, stride=1):
        layers.append(Layer(filters, channels, size, True))
        text.append(f"[convolutional]\nbatch_normalize=1\nfilters={filters}\nsize={size}\nstride={stride}\npad=1\n"
                    "activation=leaky")

    convolution(32, 3, 3)
    for filters, blocks in ((64, 1), (128, 2), (256, 8), (512, 8), (1024, 4)):
        convolution(filters, 3, filters // 2, stride=2)
        for _ in range(blocks):
            convolution(filters // 2, 1, filters)
            convolution(filters, 3, filters // 2)
            text.append("[shortcut]\nfrom=-3\nactivation=linear")
    channels = 1024
    for filters, mask, route in ((512, "6,7,8", 61), (256, "3,4,5", 36), (128, "0,1,2", None)):
        for _ in range(3):
            convolution(filters, 1, channels)
            convolution(2 * filters, 3, filters)
            channels = 2 * filters
        layers.append(Layer(3 * (5 + classes), channels, 1, False))
        text.append(f"[convolutional]\nsize=1\nstride=1\npad=1\nfilters={3 * (5 + classes)}\nactivation=linear")
        text.append(f"[yolo]\nmask={mask}\nanchors={ANCHORS}\nclasses={classes}\nnum=9")
        if route:
            text.append("[route]\nlayers=-4")
            convolution(filters // 2, 1, filters)
            text.append(f"[upsample]\nstride=2\n\n[route]\nlayers=-1,{route}")
            channels = filters // 2 + filters
    return "\n\n".join(text), layers


def write_weights(path, layers, header, seed=0):
    """A .weights file of random values that keep the outputs of every layer near 1."""
    rng = np.random.default_rng(seed)
    with open(path, "wb") as file:
        file.write(header)
        for layer in layers:
            if layer.normalised:
                for low, high in ((-0.4, 0.4), (0.5, 1.1), (-0.4, 0.4), (0.5, 1.5)):  # bias, scale, mean, variance
                    file.write(rng.uniform(low, high, layer.filters).astype("<f4").tobytes())
            else:
                file.write(rng.normal(0, 1, layer.filters).astype("<f4").tobytes())
            kernel = rng.standard_normal(layer.filters * layer.channels * layer.size ** 2, dtype=np.float32)
            kernel *= (1.2 / (layer.channels * layer.size ** 2)) ** 0.5 if layer.normalised else 0.02
            file.write(kernel.astype("<f4", copy=False))


def write_zeros(path, layers, header, extra=0):
    """A .weights file of zeros, and `extra` bytes, that takes no room on the disk."""
    with open(path, "wb") as file:
        file.write(header)
        file.truncate(len(header) + 4 * sum(layer.count() for layer in layers) + extra)
    return path
