"""Path norms (Neyshabur, Tomioka and Srebro 2015) of networks that are a chain of layers."""
from __future__ import annotations

from typing import Iterable

import numpy as np

from gluon_bof.errors import UserError
from gluon_bof.studies.capacity.spectrum import kind_of


def log_path_norm(weights: Iterable[np.ndarray], power: int = 2) -> float:
    """log10 of (sum over all paths from an input to an output of the product of |w|^power along it)^(1/power).

    weights: (O, I) or (O, I, …) arrays, the first layer first; of a convolution every place of the kernel is a path, away from
    the image's edge. A dense layer after a flattened convolution takes each channel's values together. -inf where no
    path is left. Raises UserError where layers do not fit: a network with branches is no chain, and has no such number
    from its weights alone."""
    flow, log_scale = None, 0.0
    for place, weight in enumerate(weights):
        kind_of(np.shape(weight))
        matrix = (np.abs(np.asarray(weight, np.float64)) ** power).reshape(*np.shape(weight)[:2], -1).sum(axis=2)
        flow = np.ones(matrix.shape[1]) if flow is None else flow
        if matrix.shape[1] % len(flow):
            raise UserError(f"layer {place} takes {matrix.shape[1]} values and the one before gives {len(flow)}",
                            remedy="give layers that follow each other")
        flow = matrix @ np.repeat(flow, matrix.shape[1] // len(flow))
        largest = flow.max()
        if largest == 0:
            return -np.inf
        flow, log_scale = flow / largest, log_scale + np.log10(largest)  # a hundred layers would overflow
    return float((log_scale + np.log10(flow.sum())) / power)
