"""Darknet's `.weights` format, read in NumPy: a short header, then float32 values without names or shapes. No MXNet in here."""
from __future__ import annotations

import os
import struct
from typing import IO, NamedTuple, Sequence

import numpy as np

FIELDS = struct.Struct("<iii")  # major, minor, revision; then the number of images seen, of 32 or 64 bits
VALUE = np.dtype("<f4")
YOLO3, DARKNET = "yolov3", "darknet53"
# networks by their number of values; a detector has so many more for each class and for the five numbers of a box
BACKBONE_VALUES = 40_620_640
FEATURES = 1024  # that a classifier's output layer sees
CLASSIFIER_VALUES = BACKBONE_VALUES + 1000 * (FEATURES + 1)  # darknet53.weights: ImageNet's 1000 classes
EACH, EACH_OF_TINY = 3 * (1025 + 513 + 257), 3 * (513 + 257)
DETECTORS = {YOLO3: (61_544_032, EACH), "yolov3-spp": (62_594_656, EACH), "yolov4": (63_971_680, EACH),
             "yolov3-tiny": (8_662_384, EACH_OF_TINY), "yolov4-tiny": (5_866_464, EACH_OF_TINY)}
MAX_CLASSES = 10_000


class Header(NamedTuple):
    """What a file says of itself. size: bytes before the values; count: values after them; network: a name in DETECTORS or
    DARKNET, by the count; classes: their number, 0 for a backbone."""

    version: str
    seen: int
    size: int
    count: int
    network: str
    classes: int


class Convolution(NamedTuple):
    """One layer in a file. weight: name, shape: (O, I, H, W); norm: prefix of its batch normalisation, or None, then bias
    is a name."""

    weight: str
    shape: tuple
    norm: str | None
    bias: str | None

    def parts(self) -> list[tuple[str, tuple]]:
        """[(name, shape)] in the order of a file: beta, gamma, mean and variance, or the bias; then the weights."""
        parts = ("beta", "gamma", "running_mean", "running_var")
        before = [f"{self.norm}.{part}" for part in parts] if self.norm else [self.bias]
        return [(name, self.shape[:1]) for name in before] + [(self.weight, self.shape)]

    @property
    def count(self) -> int:
        """Values of the layer in a file."""
        return sum(int(np.prod(shape)) for _, shape in self.parts())


def output_layer(classes: int) -> list[Convolution]:
    """What a classifier's file holds after the backbone's layers: nothing where there are 0 classes."""
    return [Convolution("output.weight", (classes, FEATURES, 1, 1), None, "output.bias")] if classes else []


def network_of(count: int) -> tuple[str | None, int]:
    """(network, number of classes), as in Header, of a number of values; (None, 0) of any other number."""
    if count in (BACKBONE_VALUES, CLASSIFIER_VALUES):
        return DARKNET, 0 if count == BACKBONE_VALUES else 1000
    for name, (fixed, each) in DETECTORS.items():
        numbers, rest = divmod(count - fixed, each)
        if rest == 0 and 5 < numbers <= 5 + MAX_CLASSES:
            return name, numbers - 5
    return None, 0


def read_header(file: IO[bytes]) -> Header:
    """Header of a binary file at its beginning. Raises ValueError for a foreign or cut one, which has another size than the
    networks above; reads no values."""
    total = os.fstat(file.fileno()).st_size
    start = file.read(FIELDS.size + 8)
    if len(start) < FIELDS.size + 4:
        raise ValueError(f"{total} bytes are too few for a header")
    major, minor, revision = FIELDS.unpack_from(start)
    if not (0 <= major <= 9 and 0 <= minor <= 9 and 0 <= revision < 10000):
        raise ValueError(f"it states the version {major}.{minor}.{revision}, as no program of Darknet's does")
    wide = major * 10 + minor >= 2  # Darknet's own rule
    if (total - FIELDS.size) % VALUE.itemsize or (wide and total < FIELDS.size + 8):
        raise ValueError(f"{total} bytes are no header and whole 4-byte values: it is cut or foreign")
    count = (total - FIELDS.size) // VALUE.itemsize - (2 if wide else 1)
    # programs in PyTorch write the version 0.0.0 and yet five numbers, as from version 0.2 on
    if (major, minor, revision) == (0, 0, 0) and not network_of(count)[0] and network_of(count - 1)[0]:
        wide, count = True, count - 1
    if not network_of(count)[0]:
        fixed, each = DETECTORS[YOLO3]
        raise ValueError(f"{count} values are too many or too few: Darknet-53 has {BACKBONE_VALUES} and a YOLOv3 of K "
                         f"classes {fixed} + (5 + K) * {each}")
    seen, = struct.unpack_from("<Q" if wide else "<I", start, FIELDS.size)
    return Header(f"{major}.{minor}.{revision}", seen, FIELDS.size + (8 if wide else 4), count, *network_of(count))


def read_values(file: IO[bytes], header: Header) -> np.ndarray:
    """(count,) float32 after the header. Raises ValueError where the file ends earlier than it did."""
    file.seek(header.size)
    data = file.read(header.count * VALUE.itemsize)
    if len(data) != header.count * VALUE.itemsize:
        raise ValueError("it became shorter while it was read")
    return np.frombuffer(data, VALUE)


def unpack(values: np.ndarray, convolutions: Sequence[Convolution]) -> dict[str, np.ndarray]:
    """{name: array} of the values of these layers. Raises ValueError where the values are not exactly theirs."""
    wanted = sum(layer.count for layer in convolutions)
    if wanted != len(values):
        raise ValueError(f"{len(values)} values, where these layers have {wanted}")
    arrays, at = {}, 0
    for layer in convolutions:
        for name, shape in layer.parts():
            count = int(np.prod(shape))
            arrays[name] = values[at:at + count].reshape(shape)
            at += count
    return arrays
