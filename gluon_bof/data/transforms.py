"""How large an image is made, in training and in validation: geometry alone, no pixels."""
from __future__ import annotations

from typing import NamedTuple, Sequence

from gluon_bof.freebies.augmentation import whole_view


def square(shape: Sequence[int], size: int) -> tuple[int, int]:
    """(size, size): the aspect ratio goes, as YOLOv3's does in the paper. shape: (H, W, ...) of the image."""
    return size, size


class ShortSide:
    """(width, height) with the short side at `size` but the long one at most at `longest`, as Faster R-CNN's images."""

    def __init__(self, longest):
        self.longest = longest

    def __call__(self, shape, size):
        height, width = shape[:2]
        scale = size / min(height, width)
        if round(scale * max(height, width)) > self.longest:
            scale = self.longest / max(height, width)
        # Python rounds halves to even, as GluonCV's rounding does
        return max(1, int(round(width * scale))), max(1, int(round(height * scale)))


class EvalTransform(NamedTuple):
    """How validation and prediction see an image: fit and size as in training; interpolation: OpenCV's number, or None
    for the one that suits the resize. A callable, shape (H, W, ...) -> View."""

    fit: object
    size: int
    interpolation: object = None

    def __call__(self, shape):
        return whole_view(shape, self.fit(shape, self.size), self.interpolation)

    def largest_shapes(self) -> list[tuple[int, int]]:
        """[(H, W)] of the largest images that it makes, lying and standing."""
        longest = getattr(self.fit, "longest", self.size)
        return sorted({(self.size, longest), (longest, self.size)})
