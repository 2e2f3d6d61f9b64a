"""Labels of a run's pages can be read to their ends, and a page that cannot be written costs no result."""
import os
from types import SimpleNamespace

import pytest
from matplotlib.figure import Figure

from gluon_bof.errors import UserError
from gluon_bof.runs.folder import Run
from gluon_bof.visualization import label_maps, run_pages


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
