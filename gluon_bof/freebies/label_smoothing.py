"""Label smoothing (paper, section 3.2): Eq. 3, and the variant that GluonCV's YOLOv3 has."""
from typing import NamedTuple


class Smoothing(NamedTuple):
    """What the class target of a box is: `positive` for its own class, `negative` for the others."""

    positive: float = 1.0
    negative: float = 0.0


def equation_3(epsilon, class_count):
    """q' = (1 - epsilon) q + epsilon / K, applied to the limits of a sigmoid's range. epsilon in [0, 1)."""
    if not 0 <= epsilon < 1:
        raise ValueError(f"label smoothing of {epsilon} is outside [0, 1)")
    return Smoothing(1 - epsilon + epsilon / class_count, epsilon / class_count)


def gluoncv_variant(class_count):
    """delta = min(1/K, 1/40): negatives delta, positives 1 - delta."""
    delta = min(1 / class_count, 1 / 40)
    return Smoothing(1 - delta, delta)
