"""torchvision's and timm's ResNets in NumPy: their names and shapes, and what they compute."""
from __future__ import annotations

import numpy as np

BLOCKS = {18: (2, 2, 2, 2), 50: (3, 4, 6, 3), 101: (3, 4, 23, 3)}
EPSILON = 1e-5
# by whether it is deep: (convolution, filters, channels, size, the normalisation that follows)
STEMS = {False: (("conv1", 64, 3, 7, "bn1"),),
         True: (("conv1.0", 32, 3, 3, "conv1.1"), ("conv1.3", 32, 32, 3, "conv1.4"), ("conv1.6", 64, 32, 3, "bn1"))}


def random_state(depth, deep=False, classes=1000, seed=0):
    """{name: float32 array} of a random network, as `state_dict` names it; deep: timm's resnet…d."""
    rng, state = np.random.default_rng(seed), {}

    def convolution(name, filters, channels, size):
        scale = (1.0 / (channels * size ** 2)) ** 0.5
        state[f"{name}.weight"] = scale * rng.standard_normal((filters, channels, size, size), dtype=np.float32)

    def normalisation(name, count):
        for part, low, high in (("weight", 0.5, 1.1), ("bias", -0.4, 0.4), ("running_mean", -0.4, 0.4),
                                ("running_var", 0.5, 1.5)):
            state[f"{name}.{part}"] = rng.uniform(low, high, count).astype(np.float32)
        state[f"{name}.num_batches_tracked"] = np.array(7, np.int64)

    for name, filters, channels, size, norm in STEMS[deep]:
        convolution(name, filters, channels, size)
        normalisation(norm, filters)
    channels = 64
    for stage, blocks in enumerate(BLOCKS[depth]):
        width = 64 << stage
        out = width if depth == 18 else 4 * width
        for block in range(blocks):
            name = f"layer{stage + 1}.{block}"
            parts = ((width, channels, 3), (width, width, 3)) if depth == 18 else (
                (width, channels, 1), (width, width, 3), (out, width, 1))
            for number, part in enumerate(parts, 1):
                convolution(f"{name}.conv{number}", *part)
                normalisation(f"{name}.bn{number}", part[0])
            if channels != out or (stage and not block):
                convolution(f"{name}.downsample.{int(deep)}", out, channels, 1)
                normalisation(f"{name}.downsample.{1 + deep}", out)
            channels = out
    state["fc.weight"] = 0.02 * rng.standard_normal((classes, channels), dtype=np.float32)
    state["fc.bias"] = rng.standard_normal(classes, dtype=np.float32)
    return state


def forward(state, x, depth, deep=False):
    """(features of the four stages, logits) of images (B, 3, H, W), in float64."""
    x = x.astype(np.float64)
    if deep:
        x = _relu(_norm(state, "conv1.1", _conv(state, "conv1.0", x, 2)))
        x = _relu(_norm(state, "conv1.4", _conv(state, "conv1.3", x)))
        x = _conv(state, "conv1.6", x)
    else:
        x = _conv(state, "conv1", x, 2)
    x = _windows(_relu(_norm(state, "bn1", x)), 3, 2, 1, -np.inf).max(axis=(4, 5))
    stages = []
    for stage, blocks in enumerate(BLOCKS[depth]):
        for block in range(blocks):
            x = _block(state, f"layer{stage + 1}.{block}", x, 2 if stage and not block else 1, depth == 18, deep)
        stages.append(x)
    return stages, x.mean(axis=(2, 3)) @ state["fc.weight"].T.astype(np.float64) + state["fc.bias"]


def _block(state, name, x, stride, basic, deep):
    strides = (stride, 1) if basic else (1, stride, 1)
    y = x
    for number, step in enumerate(strides, 1):
        y = _norm(state, f"{name}.bn{number}", _conv(state, f"{name}.conv{number}", y, step))
        y = y if number == len(strides) else _relu(y)
    if f"{name}.downsample.{int(deep)}.weight" in state:
        if deep and stride == 2:
            x = _average_of_four(x)
        x = _conv(state, f"{name}.downsample.{int(deep)}", x, 1 if deep else stride)
        x = _norm(state, f"{name}.downsample.{1 + deep}", x)
    return _relu(x + y)


def _average_of_four(x):
    """Average pooling 2 x 2 that keeps an odd last row and column (ceil_mode, count_include_pad=False)."""
    odd = [(0, 0), (0, 0), (0, x.shape[2] % 2), (0, x.shape[3] % 2)]
    return np.nanmean(_windows(np.pad(x, odd, constant_values=np.nan), 2, 2), axis=(4, 5))


def _conv(state, name, x, stride=1):
    kernel = state[f"{name}.weight"].astype(np.float64)
    windows = _windows(x, kernel.shape[2], stride, kernel.shape[2] // 2)
    return np.moveaxis(np.tensordot(windows, kernel, ((1, 4, 5), (1, 2, 3))), 3, 1)


def _windows(x, size, stride, padding=0, value=0.0):
    """(B, C, H', W', size, size)"""
    x = np.pad(x, [(0, 0), (0, 0), (padding, padding), (padding, padding)], constant_values=value)
    return np.lib.stride_tricks.sliding_window_view(x, (size, size), (2, 3))[:, :, ::stride, ::stride]


def _norm(state, name, x):
    weight, bias, mean, variance = (state[f"{name}.{part}"].astype(np.float64)[:, None, None]
                                    for part in ("weight", "bias", "running_mean", "running_var"))
    return (x - mean) / np.sqrt(variance + EPSILON) * weight + bias


def _relu(x):
    return np.maximum(x, 0)
