"""Elementwise losses that several families sum in their own ways."""
from __future__ import annotations

from typing import Any


def binary_cross_entropy(F: Any, logits: Any, target: Any) -> Any:
    """Of logits against targets in [0, 1], without overflow."""
    return F.relu(logits) - logits * target + F.Activation(-F.abs(logits), act_type="softrelu")


def huber(F: Any, difference: Any, rho: float) -> Any:
    """Quadratic up to rho, then linear; rho 0 is the absolute value, and has a gradient everywhere."""
    size = F.abs(difference)
    if rho == 0:
        return size
    return F.where(size > rho, size - 0.5 * rho, (0.5 / rho) * F.square(difference))
