"""The factorial is whole, and its rows differ in what their names say."""
import dataclasses

import pytest

from gluon_bof.paper import miniature


def test_every_combination_is_there_once_and_nothing_else_differs():
    cells = miniature.cells()
    assert len(cells) == 17 and len({cell.key for cell in cells}) == 17
    assert cells[1].options == miniature.BASELINE and len({cell.options for cell in cells}) == 17
    told = {field for change in miniature.FACTORS.values() for field in change} | {"no_augment"}
    validated = miniature.SCHEDULES.values()  # on the way, for Figure 6
    for cell in cells:
        differing = {field.name for field in dataclasses.fields(cell.options)
                     if getattr(cell.options, field.name) != getattr(miniature.BASELINE, field.name)}
        assert differing <= told | ({"val_interval"} if cell.key in validated else set())
        assert (cell.options.mixup == "beta") == ("mixup" in (cell.on or ()))
        assert (cell.options.lr_mode == "cosine") == ("cosine" in (cell.on or ()))
        assert (cell.options.label_smooth_eps > 0) == ("label-smoothing" in (cell.on or ()))
        assert (len(cell.options.training_sizes()) > 1) == ("random-shapes" in (cell.on or ()))
        cell.options.check()


def test_the_papers_rows_are_five_of_the_cells_and_each_adds_one_factor():
    keys = miniature.stacked()
    assert keys[:2] == ("no-augmentation", "baseline") and len(keys) == 6
    assert set(keys) <= {cell.key for cell in miniature.cells()}
    for before, after in zip(keys[2:], keys[3:]):
        assert after.startswith(before + "+")


def test_the_test_size_lies_in_the_middle_of_the_random_shapes():
    sizes = miniature.cells()[-1].options.training_sizes()
    assert min(sizes) < miniature.BASELINE.data_shape < max(sizes)
    assert min(sizes) / 128 == pytest.approx(320 / 416, abs=0.03) and max(sizes) / 128 == pytest.approx(608 / 416, abs=0.05)
