"""What a run keeps of its network: which weights and checkpoints, and under which names."""
import os

import numpy as np
import pytest

from gluon_bof.errors import UserError
from gluon_bof.options.yolo3 import Yolo3Options
from gluon_bof.training.saver import Saver
from gluon_bof.weights.formats.checkpoint import read_checkpoint
from gluon_bof.weights.load import read_weights, weights_of
from tests.training.tiny_engine import BATCHES, OPTIONS, Scores, engine_of


def test_a_prefix_in_a_folder_that_is_missing_is_refused_before_training_and_a_sets_path_is_no_part_of_it(opened, tmp_path):
    run = opened("whole")
    set_in_a_folder = {**vars(OPTIONS), "dataset": str(tmp_path / "sets" / "mine")}
    engine = engine_of(run, Scores(), Yolo3Options(**{**set_in_a_folder, "save_prefix": str(tmp_path / "saved_")}))
    assert engine.saver.prefix == str(tmp_path / f"saved_yolo3_{OPTIONS.network}_mine")
    with pytest.raises(UserError, match="no file can be written there; make the folder") as error:
        engine_of(run, Scores(), Yolo3Options(**{**set_in_a_folder, "save_prefix": str(tmp_path / "missing" / "a_")}))
    assert error.value.path == str(tmp_path / "missing" / f"a_yolo3_{OPTIONS.network}_mine_best.params")


def test_a_run_keeps_the_last_the_best_and_every_so_many_epochs_weights(opened, tmp_path):
    run = opened("whole")
    validate = Scores()
    prefix = str(tmp_path / "saved_")
    options = Yolo3Options(**{**vars(OPTIONS), "val_interval": 1, "save_prefix": prefix, "dataset": "voc"})
    engine = engine_of(run, validate, options)
    after, epoch = {}, engine._finish_epoch

    def finish():
        after[engine.epoch] = weights_of(engine.saver.network)
        epoch()

    engine._finish_epoch = finish
    assert engine.run_epochs() == {"map": 0.3, "metric": "voc07"}
    assert engine.is_finished and engine.iteration == 4 * BATCHES and engine.best == {"score": 0.4, "epoch": 2}
    for path, number in ((run.last_weights, 3), (run.best_weights, 2), (run.epoch_weights(1), 1), (run.epoch_weights(3), 3)):
        for name, values in read_weights(path).items():
            np.testing.assert_array_equal(values, after[number][name], err_msg=path)
    assert not os.path.exists(run.epoch_weights(0)) and not os.path.exists(run.epoch_weights(2))
    assert [os.path.basename(path) for path in run.checkpoint_paths()] == ["iteration-000000009.ckpt", "iteration-000000012.ckpt"]
    names = sorted(path.name for path in tmp_path.glob("saved_*"))
    assert names == [f"saved_yolo3_darknet53_voc_{ending}.params" for ending in ("0001_0.1000", "0003_0.3000", "best")]


def test_the_saver_keeps_as_many_checkpoints_as_it_is_told(opened):
    run = opened("kept")
    engine = engine_of(run, Scores())
    saver = Saver(run, OPTIONS, engine.saver.network, engine.saver.trainer)
    for iteration in (3, 6, 9):
        saver.save(iteration, {"epoch": iteration})
    assert run.checkpoint_paths() == [run.checkpoint(6), run.checkpoint(9)]
    assert [read_checkpoint(path)[0]["epoch"] for path in run.checkpoint_paths()] == [6, 9]
