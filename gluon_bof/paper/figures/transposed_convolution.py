"""Figure transposed-convolution: convolutions as matrices, and what their transposes do: the lecture's examples."""
from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from matplotlib.patches import Rectangle

from gluon_bof.backend import mx
from gluon_bof.paper.convolution_matrix import FILTER, IMAGE, VALUES, convolution_matrix, line_example, sums
from gluon_bof.paper.figures.page import BLUE, GREY, ORANGE, SMALL, Drawn, new_figure
from gluon_bof.paper.figures.request import FigureOptions

COLUMNS = ("part", "what", "row", "column", "value")
STRIDES = (1, 2)


@dataclass(frozen=True)
class Options(FigureOptions):
    """Options of the figure: it has none of its own."""


def draw(given: Options) -> Drawn:
    """The figure -> Drawn; a row of its table for every entry of a matrix, and of what it gives."""
    figure = new_figure(6.6)
    lines, images = figure.subfigures(2, 1, height_ratios=(2.3, 2))
    rows = []
    for axes, stride in zip(lines.subplots(2, 2, width_ratios=(1, 1.1)), STRIDES):
        rows += _draw_line(axes, line_example(stride))
    more, numbers = _draw_image(images)
    return Drawn(figure, COLUMNS, rows + more, numbers)


def _draw_line(axes, example):
    """Left the matrix times the padded line, right its transpose times as many values as the matrix has rows."""
    letters, part = example.letters(), f"1-D, stride {example.stride}"
    padded, values = ["0", *VALUES, "0"], list(VALUES[:len(letters)])
    turned = [list(column) for column in zip(*letters)]
    rows = []
    for axis, matrix, vector, title in ((axes[0], letters, padded, f"{part}, padding 1: X a"),
                                        (axes[1], turned, values, "its transpose: Xᵀ a")):
        result = sums(matrix, vector)
        _equation(axis, matrix, vector, result, title)
        rows += [(part, title, row, column, value) for row, line in enumerate(matrix) for column, value in enumerate(line)]
        rows += [(part, f"{title}, result", row, 0, value) for row, value in enumerate(result)]
    return rows


def _equation(axis, matrix, vector, result, title):
    """Tables of text side by side: matrix, vector = result."""
    height = max(len(matrix), len(vector))
    width = len(matrix[0])
    _cells(axis, matrix, 0, height)
    _cells(axis, [[value] for value in vector], width + 0.7, height)
    axis.text(width + 2.3, height / 2, "=", ha="center", va="center")
    for row, text in enumerate(result):
        axis.text(width + 2.9, (height - len(result)) / 2 + row + 0.5, text, va="center", fontsize=SMALL)
    _bare(axis, (-0.2, width + 7), height, title)


def _cells(axis, texts, left, height, wide=1.0):
    top = (height - len(texts)) / 2
    for row, line in enumerate(texts):
        for column, text in enumerate(line):
            _cell(axis, left + wide * column, top + row, text, str(text) != "0", wide)


def _cell(axis, x, y, text, filled, wide):
    axis.add_patch(Rectangle((x, y), wide, 1, facecolor="#DCE9F4" if filled else "white", edgecolor=GREY, linewidth=0.5))
    axis.text(x + wide / 2, y + 0.5, str(text), ha="center", va="center", fontsize=SMALL, color="black" if filled else GREY)


def _bare(axis, across, height, title):
    axis.set(xlim=across, ylim=(height + 0.1, -0.1), aspect="equal", title=title)
    axis.set_axis_off()
    axis.set_anchor("W")


def _draw_image(figure):
    """The lecture's image and filter; the matrix; and the transpose of it, beside MXNet's own operators."""
    matrix = convolution_matrix(FILTER, IMAGE.shape)
    found = (matrix @ IMAGE.ravel()).reshape(2, 2)
    back = (matrix.T @ found.ravel()).reshape(IMAGE.shape)
    convolved, transposed = by_mxnet(IMAGE, FILTER), by_mxnet(found, FILTER, transposed=True)
    above, below = figure.subplots(2, 1, height_ratios=(1.15, 1))
    _cells(above, matrix.tolist(), 0, 4)
    _bare(above, (-0.2, 22), 4, "2-D: the filter as a matrix X of 4 x 16, for an image of 4 x 4 read line by line")
    place = 0
    for texts, title, colour in ((FILTER, "filter", GREY), (IMAGE, "image", BLUE), (found, "X image", ORANGE),
                                 (back, "Xᵀ (X image)", BLUE)):
        wide = 1.0 if texts.max() < 10 else 1.8
        _cells(below, texts.tolist(), place, 4, wide)
        below.text(place + wide * len(texts[0]) / 2, 4.65, title, ha="center", va="center", fontsize=SMALL, color=colour)
        place += wide * len(texts[0]) + 1.2
    _bare(below, (-0.2, 22), 5.1, "convolved by X, and brought back to 4 x 4 by its transpose")
    rows = [("2-D", what, row, column, value) for what, array in
            (("matrix", matrix), ("filter", FILTER), ("image", IMAGE), ("convolved", found), ("transposed", back))
            for row, line in enumerate(array.tolist()) for column, value in enumerate(line)]
    apart = max(np.abs(convolved - found).max(), np.abs(transposed - back).max())
    return rows, {"convolved": found.ravel().tolist(), "transposed": back.tolist(), "largest_difference_from_mxnet": float(apart)}


def by_mxnet(image: np.ndarray, weights: np.ndarray, transposed: bool = False, stride: int = 1, adj: int = 0) -> np.ndarray:
    """MXNet's Convolution, or its Deconvolution, of an image (H, W) by weights (h, w), without padding."""
    data, weight = (mx.nd.array(array[None, None], dtype=np.float32) for array in (image, weights))
    how = dict(kernel=weights.shape, stride=(stride if weights.shape[0] > 1 else 1, stride), num_filter=1, no_bias=True)
    if transposed:
        return mx.nd.Deconvolution(data, weight, adj=(0, adj), **how).asnumpy()[0, 0]
    return mx.nd.Convolution(data, weight, **how).asnumpy()[0, 0]
