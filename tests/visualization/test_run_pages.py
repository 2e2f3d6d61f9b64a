"""Labels of a run's pages can be read to their ends."""
import pytest
from matplotlib.figure import Figure

from gluon_bof.runs.folder import RunFolder
from gluon_bof.visualization import run_pages


@pytest.mark.parametrize("box", [(10, 1, 60, 40), (90, 30, 99, 40), (-5, 0, 20, 9), (40, 40, 60, 60)],
                         ids=["top", "right", "left", "middle"])
def test_no_label_is_cut_off_at_an_edge_of_its_image(box, tmp_path, monkeypatch):
    monkeypatch.setattr(Figure, "savefig", lambda *given, **how: None)
    figure, (axis, *_) = run_pages._page(1)
    axis.set(xlim=(0, 100), ylim=(100, 0), aspect="equal")
    run_pages._box(axis, box, 3, "crescent 0.87")
    run_pages._save(figure, RunFolder(str(tmp_path)), "page.png")
    figure.draw_without_rendering()  # its ground follows a label only then
    ground, image = axis.texts[0].get_bbox_patch().get_window_extent(), axis.get_window_extent()
    assert image.x0 - 0.5 <= ground.x0 and ground.x1 <= image.x1 + 0.5 and ground.y1 <= image.y1 + 0.5
    if box == (40, 40, 60, 60):
        assert tuple(axis.texts[0].get_position()) == pytest.approx(box[:2])  # where there is room, right above its box
