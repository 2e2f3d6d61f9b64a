"""Names with dollars, which matplotlib takes for mathematics, or no UTF-8, which it refuses, on pages and figures."""
import dataclasses
from types import SimpleNamespace

import numpy as np
import pytest
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure

from gluon_bof.boxes import Detections
from gluon_bof.data.voc import load_voc
from gluon_bof.evaluation.plots import LONGEST, confusion_figure, short
from gluon_bof.paper.figures.classes import draw_changes
from gluon_bof.paper.figures.detections import Options, draw
from gluon_bof.paper.figures.page import fit_labels, label_points, new_figure
from gluon_bof.studies.capacity.correlation import Model
from gluon_bof.studies.capacity.plots import draw_models
from gluon_bof.visualization import label_maps
from gluon_bof.visualization.draw import literal
from gluon_bof.visualization.run_pages import draw_localised, draw_validation_boxes
from tests.tiny_sets import write_image, write_voc_set

NAME = "a$b_$"
NAMES = (NAME, "$\\frac$", "c$$_d")


def drawn(text, **how):
    figure = Figure(figsize=(2, 1))
    canvas = FigureCanvasAgg(figure)
    figure.text(0.1, 0.5, text, **how)
    canvas.draw()
    return np.asarray(canvas.buffer_rgba())


@pytest.mark.parametrize("name", (*NAMES, "$1", "5 $", "\\$", "$a$ and $b$"))
def test_a_name_is_drawn_letter_by_letter(name):
    np.testing.assert_array_equal(drawn(literal(name)), drawn(name, parse_math=False))


def test_a_name_that_is_no_utf8_is_drawn_by_escapes():
    np.testing.assert_array_equal(drawn(literal("caf\udce9.jpg")), drawn(r"caf\udce9.jpg", parse_math=False))


def test_a_shortened_name_is_not_cut_within_an_escape():
    name = (LONGEST - 2) * "x" + "$$$"
    np.testing.assert_array_equal(drawn(short(name)), drawn(f"{name[:LONGEST - 1]}…", parse_math=False))


def test_classes_and_images_with_dollars_do_not_end_a_training_at_its_pages(tmp_path):
    found = load_voc(str(write_voc_set(tmp_path / "set", 2, 2)), "val")
    records = [dataclasses.replace(record, image_id=f"{NAME}\udce9/{record.image_id}") for record in found.records]
    found = dataclasses.replace(found, records=records, classes=NAMES)
    run = SimpleNamespace(images=str(tmp_path))
    right = [Detections(record.boxes, record.classes, np.ones(len(record.boxes), np.float32)) for record in found.records]
    draw_validation_boxes(run, found, right)
    image = np.zeros((32, 32, 3), np.uint8)
    draw_localised(run, [(image, 0)], [SimpleNamespace(class_id=1)], np.array([[0.1, 0.1, 0.5, 0.5]]),
                   {0: (0, np.array([0.1, 0.1, 0.6, 0.6]))}, NAMES)
    figure, rows = label_maps._page(1, 1)
    label_maps._show(rows[0][0], image, NAME)
    label_maps._save(figure, run, "maps.png", ("background", *NAMES))
    assert {path.name for path in tmp_path.glob("*.png")} == {"validation_images.png", "validation_boxes.png", "maps.png"}


def test_figures_show_names_with_dollars(tmp_path):
    confusion_figure(np.eye(4, dtype=int), [*NAMES, "background"]).savefig(tmp_path / "a.png")
    draw_changes([(name, 0.2, 0.4, 0.2) for name in NAMES], "AP").savefig(tmp_path / "b.png")
    draw_models([Model(name, name, 0.5, {"alpha": 1, "log_spectral_norm": 1, "alpha_hat": 1}) for name in NAMES],
                str(tmp_path / "c.png"))
    figure = new_figure(3)
    axis = figure.subplots()
    fit_labels(figure)
    label_points(axis, [(0.2, 0.2)], [NAME], (), [(0.5, NAME)])
    figure.savefig(tmp_path / "d.png")
    assert [text.get_text() for text in axis.texts] == [literal(NAME)] * 2
    (tmp_path / "JPEGImages").mkdir()
    (tmp_path / "Annotations").mkdir()
    write_image(tmp_path, NAME, np.random.default_rng(0), 120, 96)
    shown = draw(Options(weights="shapes", images=(str(tmp_path / "JPEGImages" / f"{NAME}.jpg"),)))
    shown.figure.savefig(tmp_path / "e.png")
    assert shown.figure.axes[0].get_title() == literal(f"{NAME}.jpg")
