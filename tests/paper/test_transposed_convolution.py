"""A transposed convolution is multiplication by the transpose of the convolution's matrix: the lecture's examples, number for
number, and any filter, in MXNet's own operators."""
import csv

import numpy as np
import pytest

from gluon_bof.commands import figure as figures
from gluon_bof.paper.convolution_matrix import FILTER, IMAGE, convolution_matrix, line_example, sums
from gluon_bof.paper.figures.transposed_convolution import by_mxnet
from tests.command_lines import answer_of

STRIDE_1 = ["xyz000", "0xyz00", "00xyz0", "000xyz"]
STRIDE_2 = ["xyz000", "00xyz0"]


@pytest.mark.parametrize("stride, rows, forward, backward", [
    (1, STRIDE_1, ["ay + bz", "ax + by + cz", "bx + cy + dz", "cx + dy"],
     ["ax", "ay + bx", "az + by + cx", "bz + cy + dx", "cz + dy", "dz"]),
    (2, STRIDE_2, ["ay + bz", "bx + cy + dz"], ["ax", "ay", "az + bx", "by", "bz", "0"])])
def test_the_lectures_lines_come_out_letter_for_letter(stride, rows, forward, backward):
    example = line_example(stride)
    letters = example.letters()
    assert ["".join(row) for row in letters] == rows
    assert sums(letters, ["0", *"abcd", "0"]) == forward
    turned = [list(column) for column in zip(*letters)]
    assert sums(turned, list("abcd"[:len(rows)])) == backward


@pytest.mark.parametrize("stride", (1, 2))
def test_mxnets_operators_are_the_lines_matrix_and_its_transpose(stride):
    weights, line = np.array([2.0, -3.0, 5.0]), np.array([7.0, 11.0, 13.0, 17.0])
    matrix = line_example(stride).matrix(weights)
    padded = np.pad(line, 1)
    np.testing.assert_array_equal(by_mxnet(padded[None], weights[None], stride=stride)[0], matrix @ padded)
    values = line[:len(matrix)]
    found = by_mxnet(values[None], weights[None], True, stride, adj=stride - 1)[0]
    np.testing.assert_array_equal(found, matrix.T @ values)


def test_the_lectures_image_gives_the_lectures_matrix_and_numbers():
    matrix = convolution_matrix(FILTER, IMAGE.shape)
    wanted = ["1410143033100000", "0141014303310000", "0000141014303310", "0000014101430331"]
    np.testing.assert_array_equal(matrix, [list(map(int, row)) for row in wanted])
    found = (matrix @ IMAGE.ravel()).reshape(2, 2)
    np.testing.assert_array_equal(found, [[122, 148], [126, 134]])
    np.testing.assert_array_equal(by_mxnet(IMAGE, FILTER), found)
    back = by_mxnet(found, FILTER, transposed=True)
    np.testing.assert_array_equal(back.ravel(), matrix.T @ found.ravel())
    assert back[0, 0] == 122 and back[3, 3] == 134 and back[0, 1] == 4 * 122 + 148


@pytest.mark.parametrize("stride", (1, 2, 3))
def test_of_any_filter_the_transposed_convolution_is_the_transpose_of_the_matrix(stride):
    rng = np.random.default_rng(stride)
    image, weights = rng.normal(size=(8, 11)).astype(np.float32), rng.normal(size=(2, 5)).astype(np.float32)
    matrix = convolution_matrix(weights, image.shape, stride)
    found = by_mxnet(image, weights, stride=stride)
    np.testing.assert_allclose(found.ravel(), matrix @ image.ravel(), atol=1e-4)
    back = by_mxnet(found, weights, True, stride)  # rows and columns that no window reaches are not there
    wanted = (matrix.T @ found.ravel()).reshape(image.shape)
    np.testing.assert_allclose(back, wanted[:back.shape[0], :back.shape[1]], atol=1e-4)
    assert not wanted[back.shape[0]:].any() and not wanted[:, back.shape[1]:].any()


def test_the_figure_says_the_same_numbers(tmp_path, capsys):
    answer, _ = answer_of(figures.main, capsys, "transposed-convolution", "--out", tmp_path)
    assert answer["convolved"] == [122, 148, 126, 134] and answer["largest_difference_from_mxnet"] == 0
    with open(answer["csv"], newline="") as file:
        rows = list(csv.DictReader(file))
    matrix = convolution_matrix(FILTER, IMAGE.shape)
    of_matrix = [row for row in rows if row["what"] == "matrix"]
    assert len(of_matrix) == 64 and all(matrix[int(row["row"]), int(row["column"])] == int(row["value"]) for row in of_matrix)
