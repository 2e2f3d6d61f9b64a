"""Labels of a run's pages can be read to their ends, and a page that cannot be written costs no result."""
import dataclasses
import os
from types import SimpleNamespace

import numpy as np
import pytest
from matplotlib.figure import Figure
from PIL import Image

from gluon_bof.boxes import DetectionSet
from gluon_bof.data.label_sets import LabelledImage
from gluon_bof.errors import UserError
from gluon_bof.masks import write_numbers
from gluon_bof.runs.folder import Run
from gluon_bof.visualization import label_maps, run_pages
from tests.evaluation.drawn_detections import found_of, record_of


@pytest.mark.parametrize("box", [(10, 1, 60, 40), (90, 30, 99, 40), (-5, 0, 20, 9), (40, 40, 60, 60)],
                         ids=["top", "right", "left", "middle"])
def test_no_label_is_cut_off_at_an_edge_of_its_image(box, tmp_path, monkeypatch):
    monkeypatch.setattr(Figure, "savefig", lambda *given, **how: None)
    figure, (axis, *_) = run_pages._page(1)
    axis.set(xlim=(0, 100), ylim=(100, 0), aspect="equal")
    run_pages._box(axis, box, 3, "crescent 0.87")
    run_pages._save(figure, SimpleNamespace(images=str(tmp_path)), "page.png")
    figure.draw_without_rendering()  # its ground follows a label only then
    ground, image = axis.texts[0].get_bbox_patch().get_window_extent(), axis.get_window_extent()
    assert image.x0 - 0.5 <= ground.x0 and ground.x1 <= image.x1 + 0.5 and ground.y1 <= image.y1 + 0.5
    if box == (40, 40, 60, 60):
        assert tuple(axis.texts[0].get_position()) == pytest.approx(box[:2])  # where there is room, right above its box


def test_a_page_that_cannot_be_written_is_named_at_the_start_and_costs_no_result_in_the_end(tmp_path, caplog):
    """After the last epoch the outcome was lost; at the start a line without a file was told, and the run's folder stayed."""
    run = Run(str(tmp_path / "run"))
    for name in ("training_images.png", "validation_images.png", "learning_rate_and_losses.png"):
        os.makedirs(os.path.join(run.images, name))  # no file can take its place
    nothing = SimpleNamespace(batches=0)
    for draw in (run_pages.draw_training_batch, label_maps.draw_training_maps):
        with pytest.raises(UserError, match="training_images.png: cannot be written"):
            draw(run, SimpleNamespace(mixes=False), nothing, ("a",))
    label_maps.draw_validation_maps(run, (), ("a",))
    run.record("metrics", {"epoch": 0, "iteration": 3, "learning_rate": 0.1, "a_loss": 2.0, "map": 0.5})
    drawn = [os.path.basename(path) for path in run_pages.draw_run(run)]
    assert "validation_map.png" in drawn and "learning_rate_and_losses.png" in drawn
    assert [record.getMessage().split(": cannot")[0] for record in caplog.records] == [
        os.path.join(run.images, name) for name in ("validation_images.png", "learning_rate_and_losses.png")]
    run.close()


def test_each_image_is_shown_with_its_own_truth_and_what_is_found_in_it_for_sure(tmp_path, monkeypatch):
    """From the first image to the last: of 23 the first twelve were shown."""
    figures, path = [], tmp_path / "a.png"
    monkeypatch.setattr(run_pages, "COMPARED", 2)
    monkeypatch.setattr(run_pages, "_save", lambda figure, *_: figures.append(figure))
    Image.new("RGB", (40, 40)).save(path)
    records = [dataclasses.replace(record_of([(k, 0, k + 9, 9)], [k // 2], number=k), path=str(path)) for k in range(4)]
    found = [found_of([(k, 1, k + 9, 9), (k, 2, k + 9, 9)], [1 - k // 2, 0], [0.8, 0.29]) for k in range(4)]
    run_pages.draw_validation_boxes(None, DetectionSet("own", ("ant", "bee"), records), found)
    shown = [(axis.get_title(), [patch.get_xy() for patch in axis.patches], [text.get_text() for text in axis.texts])
             for axis in figures[0].axes[:4]]
    assert shown == [("0: truth", [(0, 0)], ["ant"]), ("0: found", [(0, 1)], ["bee 0.80"]),
                     ("3: truth", [(3, 0)], ["bee"]), ("3: found", [(3, 1)], ["ant 0.80"])]


def test_an_image_stands_beside_its_label_map_and_the_one_that_was_found(tmp_path, monkeypatch):
    figures, sample = [], LabelledImage(str(tmp_path / "a.png"), str(tmp_path / "map.png"), "7")
    monkeypatch.setattr(label_maps, "_save", lambda figure, *_: figures.append(figure))
    image, truth = np.full((8, 8, 3), 90, np.uint8), np.eye(8, dtype=np.uint8)
    Image.fromarray(image).save(sample.path)
    write_numbers(sample.mask, truth)
    label_maps.draw_validation_maps(None, [(sample, 1 - truth)], ("background", "ant"))
    for axis, title, picture in zip(figures[0].axes, ("7", "truth", "found"), (
            image, label_maps.overlay(image, truth), label_maps.overlay(image, 1 - truth))):
        assert axis.get_title() == title
        np.testing.assert_array_equal(axis.images[0].get_array(), picture)
