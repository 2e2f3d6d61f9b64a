"""The engine with a tiny network: what it writes, when it validates, and that it stops and goes on to the bit."""
import logging
import os
import signal
import sys
import threading

import cv2
import numpy as np
import pytest

from gluon_bof.boxes import Record
from gluon_bof.data.loader import ValidationImages
from gluon_bof.data.workers import WorkerLost
from gluon_bof.errors import UserError
from gluon_bof.freebies.augmentation import as_it_is
from gluon_bof.options.classifier import ClassifierOptions
from gluon_bof.options.faster_rcnn import FasterRcnnOptions
from gluon_bof.options.yolo3 import Yolo3Options
from gluon_bof.training.engine import Stopped, StopRequest, resume_command
from gluon_bof.training.entry import run_training
from gluon_bof.training.loop import EpochLosses
from gluon_bof.weights.formats.checkpoint import read_checkpoint, write_checkpoint
from tests.training.tiny_engine import BATCHES, LOSSES, OPTIONS, Scores, engine_of, table


def test_validation_comes_every_so_many_epochs_and_after_the_last(opened):
    for epochs, interval, wanted in ((4, 2, [1, 3]), (3, 2, [1, 2]), (3, 9, [2])):
        run = opened(f"{epochs}-{interval}")
        validate = Scores((0.0, 0.2))  # 0 is a score
        engine_of(run, validate, Yolo3Options(**{**vars(OPTIONS), "epochs": epochs, "val_interval": interval})).run_epochs()
        assert [int(row["epoch"]) for row in table(run, "metrics") if row["map"]] == wanted
        assert validate.calls == len(wanted)


@pytest.mark.parametrize("number, status", ((signal.SIGTERM, 143), (signal.SIGINT, 130)))
def test_asked_to_stop_within_an_epoch_it_saves_there_and_goes_on_to_the_bit(opened, number, status, caplog):
    whole = opened("whole")
    engine_of(whole, Scores()).run_epochs()
    run = opened("stopped")
    engine = engine_of(run, Scores())
    after_batch = engine._after_batch

    def ask(batch):
        if engine.epoch == 2 and batch == 0:
            os.kill(os.getpid(), number)
        return after_batch(batch)

    engine._after_batch = ask
    before = signal.getsignal(number)
    with caplog.at_level(logging.INFO, "gluon_bof"), pytest.raises(Stopped) as stopped:
        engine.run_epochs()
    assert stopped.value.code == status and signal.getsignal(number) is before
    assert f"--resume {run.folder}" in caplog.text
    meta, _ = read_checkpoint(run.checkpoint_paths()[-1])
    # what was in flight is finished first, so that nothing of it is lost
    assert (meta["epoch"], meta["batch"]) == (engine.epoch, engine.batch) and meta["losses"]["batches"] == meta["batch"]

    resumed = engine_of(run, Scores((0.1, 0.4)), resume=True)
    resumed.run_epochs()
    assert open(run.last_weights, "rb").read() == open(whole.last_weights, "rb").read()
    for name in ("metrics", "intervals"):
        assert of_losses(run, name) == of_losses(whole, name)


def of_losses(run, name):
    return [{column: row[column] for column in ("epoch", "iteration", "first_loss", "second_loss")} for row in table(run, name)]


def test_a_save_or_a_stop_within_an_epoch_changes_neither_weights_nor_rows(opened, monkeypatch):
    """An interval's row held the mean of the batches since the save alone, under the whole interval's name."""
    options = Yolo3Options(**{**vars(OPTIONS), "epochs": 2, "log_interval": 6, "keep": 99})
    whole, saved, stopped = map(opened, ("whole", "saved", "stopped"))
    engine_of(whole, Scores(), options, batches=8).run_epochs()
    assert len(of_losses(whole, "intervals")) == 2
    with monkeypatch.context() as patch:
        patch.setattr("gluon_bof.training.engine.SAVE_SECONDS", 0)  # after every batch
        engine_of(saved, Scores(), options, batches=8).run_epochs()
    assert len(whole.checkpoint_paths()) == 2 < len(saved.checkpoint_paths())
    assert open(saved.last_weights, "rb").read() == open(whole.last_weights, "rb").read()
    engine = engine_of(stopped, Scores(), options, batches=8)
    after_batch = engine._after_batch
    engine._after_batch = lambda batch: batch == 1 and os.kill(os.getpid(), signal.SIGTERM) or after_batch(batch)
    with pytest.raises(Stopped):
        engine.run_epochs()
    assert read_checkpoint(stopped.checkpoint_paths()[-1])[0]["batch"] == 4
    other = engine_of(stopped, Scores(), Yolo3Options(**{**vars(options), "log_interval": 3}), batches=8, resume=True)
    assert other.recorder.before["batches"] == 4  # its interval began at 3, of which nothing is known
    engine_of(stopped, Scores(), options, batches=8, resume=True).run_epochs()
    assert of_losses(saved, "intervals") == of_losses(stopped, "intervals") == of_losses(whole, "intervals")


def test_stopped_while_it_validates_it_validates_again(opened):
    run = opened("stopped")
    with pytest.raises(Stopped):
        engine_of(run, Scores(meanwhile=lambda call: os.kill(os.getpid(), signal.SIGTERM))).run_epochs()
    meta, _ = read_checkpoint(run.checkpoint_paths()[-1])
    assert (meta["epoch"], meta["batch"]) == (1, BATCHES)
    validate = Scores()
    engine_of(run, validate, resume=True).run_epochs()
    assert validate.calls == 2 and [row["epoch"] for row in table(run, "metrics")] == ["0", "1", "2", "3"]


def test_a_run_whose_training_set_has_changed_is_refused_and_one_of_0_1_ends(opened):
    """It went through no batch for ever, once it stood behind the last one of the smaller set."""
    run = opened("changed")
    with pytest.raises(Stopped):
        engine_of(run, Scores(meanwhile=lambda call: os.kill(os.getpid(), signal.SIGTERM))).run_epochs()
    with pytest.raises(UserError, match="the training set has 4 images, the run was trained on 6; put the set back, or start"):
        engine_of(run, Scores(), resume=True, batches=2)
    old = engine_of(opened("old"), Scores(), Yolo3Options(**{**vars(OPTIONS), "epochs": 2}))
    old.epoch, old.batch = 1, BATCHES + 1
    assert old.run_epochs() == {"map": 0.2, "metric": "voc07"}


@pytest.mark.parametrize("scores, remedy", (((0.2, 0.1), "start another run with .* a longer warm-up, and --resume "
                                                           r".*best\.params \(of epoch 0\)$"),
                                            ((0.0, 0.0), "start another run with a lower --lr or a longer warm-up$")))
def test_weights_that_are_not_finite_are_never_saved_and_the_remedy_can_be_followed(opened, scores, remedy):
    """The last update of an epoch may spoil them: its losses, of before it, are finite. A run that goes on keeps its --lr. Losses
    explode before they are nan, so the last weights may be ruined: the remedy named them."""
    run = opened("diverged")
    engine = engine_of(run, Scores())
    train = engine._train

    def train_and_spoil():
        train()
        engine.saver.network[0].weight.data()[:] = np.nan

    engine._train = train_and_spoil
    with pytest.raises(UserError, match="weights became nan or infinite at epoch 0, batch 3, .*; lower --lr, or lengthen"):
        engine.run_epochs()
    assert not run.checkpoint_paths() and not os.path.exists(run.last_weights) and not os.path.exists(run.best_weights)
    engine_of(run, Scores(scores), Yolo3Options(**{**vars(OPTIONS), "epochs": 2, "val_interval": 1})).run_epochs()
    engine = engine_of(run, Scores(), resume=True)
    engine.saver.network[0].weight.data()[:] = np.inf
    with pytest.raises(UserError, match=f"first loss became nan, .* at epoch 2, .*; {remedy}"):
        engine.run_epochs()


@pytest.mark.parametrize("flag", ("resume", "transfer"))
def test_weights_that_are_ruined_from_the_start_are_said_to_be_so(opened, flag):
    """A lower --lr, which the remedy was, changes nothing of a loss of before the first update."""
    engine = engine_of(opened("ruined"), Scores(), Yolo3Options(**{**vars(OPTIONS), flag: "boom.params"}))
    engine.saver.network[0].weight.data()[:] = np.inf
    with pytest.raises(UserError, match=r"at epoch 0, batch 0, .*; boom\.params gives it before anything is learnt"):
        engine.run_epochs()


@pytest.mark.parametrize("while_training", (False, True))
def test_memory_that_runs_short_for_data_is_told_after_the_save(opened, while_training):
    """Whatever the data raise: the network is whole, and all since the last save would be lost."""
    def fail(call=None):
        raise MemoryError

    run = opened("short")
    engine = engine_of(run, Scores(meanwhile=fail))
    if while_training:
        loader = engine.loader
        engine.loader = (fail() if number == 1 else batch for number, batch in enumerate(loader))
    with pytest.raises(WorkerLost, match="the memory does not suffice; give a smaller -j or --batch-size"):
        engine.run_epochs()
    meta, _ = read_checkpoint(run.checkpoint_paths()[-1])
    assert (meta["epoch"], meta["batch"]) == ((0, 1) if while_training else (1, BATCHES))


def test_a_lack_of_memory_before_the_first_batch_leaves_the_runs_name_free(tmp_path):
    def train(options, run, checkpoint):
        raise MemoryError

    for _ in range(2):
        with pytest.raises(MemoryError):
            run_training(Yolo3Options(runs=str(tmp_path), name="run"), {"name"}, train)


@pytest.mark.parametrize("unwritable", ("metrics.csv", "best.params"))
def test_an_epochs_file_that_cannot_be_written_costs_no_batch(opened, unwritable):
    """It cost the epoch, which nothing had saved."""
    whole, run = opened("whole"), opened("full")
    engine_of(whole, Scores()).run_epochs()
    engine, place = engine_of(run, Scores()), os.path.join(run.folder, unwritable)
    train = engine._train

    def train_and_lose_the_place():
        train()
        os.makedirs(place, exist_ok=True)

    engine._train = train_and_lose_the_place
    with pytest.raises(UserError, match=f"{unwritable}.* cannot be written"):
        engine.run_epochs()
    meta, _ = read_checkpoint(run.checkpoint_paths()[-1])
    assert (meta["epoch"], meta["batch"]) == (int(unwritable == "best.params"), BATCHES)
    os.rmdir(place)
    finished = engine_of(run, Scores(), resume=True)
    finished.run_epochs()
    assert open(run.last_weights, "rb").read() == open(whole.last_weights, "rb").read()
    assert [row["epoch"] for row in table(run, "metrics")] == ["0", "1", "2", "3"]
    assert finished.best == {"score": 0.2, "epoch": 1} and finished.waited == 1


def test_a_stop_in_the_last_batches_still_ends_the_run(opened):
    run = opened("last")
    validate = Scores(meanwhile=lambda call: call == 2 and os.kill(os.getpid(), signal.SIGTERM))
    engine = engine_of(run, validate)
    with pytest.raises(Stopped):
        engine.run_epochs()
    finished = engine_of(run, Scores((0.9,)), resume=True)
    assert finished.run_epochs()["map"] == 0.9 and finished.is_finished


def test_a_second_request_is_the_systems(request):
    before = signal.signal(signal.SIGINT, signal.default_int_handler)  # what is started in the background has it ignored
    request.addfinalizer(lambda: signal.signal(signal.SIGINT, before))
    with StopRequest() as stop:
        os.kill(os.getpid(), signal.SIGINT)
        assert stop
        with pytest.raises(KeyboardInterrupt):
            os.kill(os.getpid(), signal.SIGINT)


def test_a_thread_of_a_program_trains_too_and_hears_no_signal(opened):
    engine, outcome = engine_of(opened("thread"), Scores(), Yolo3Options(**{**vars(OPTIONS), "epochs": 1})), []
    thread = threading.Thread(target=lambda: outcome.append(engine.run_epochs()))
    thread.start()
    thread.join()
    assert outcome == [{"map": 0.2, "metric": "voc07"}]


def test_a_skipped_image_is_named_once_and_remembered(opened, caplog):
    run = opened("skipped")
    with caplog.at_level(logging.WARNING, "gluon_bof"):
        engine_of(run, Scores(), broken=("a.jpg: torn",)).run_epochs()
    assert caplog.text.count("a.jpg: torn (1 so far)") == 1
    meta, _ = read_checkpoint(run.checkpoint_paths()[-1])
    assert meta["skipped"] == ["a.jpg: torn"]


@pytest.mark.parametrize("update, changes, remedy", (
    (6, {}, ""), (9, {}, "each of them 1.5 times: give a smaller --batch-size"),
    (9, {"start_epoch": 3}, "each of them 1.5 times"), (6, {"num_samples": 6}, ""),
    (6, {"num_samples": 5}, "an update has 6 images, and so has an epoch, with --num-samples 5: give a smaller --batch-size")))
def test_an_update_larger_than_the_set_is_warned_of_where_a_run_begins_and_not_where_it_goes_on(opened, update, changes, remedy,
                                                                                                caplog):
    """It trained on every image several times an update without a word."""
    engine = engine_of(opened("run"), Scores((0.2, 0.1)), Yolo3Options(**{**vars(OPTIONS), **changes}))
    engine.sampler.update_images = update
    engine.run_epochs()
    assert ("an update has" in caplog.text) is bool(remedy) and remedy in caplog.text
    caplog.clear()
    engine.run_epochs()
    assert "an update has" not in caplog.text


@pytest.mark.parametrize("images, is_told", ((1, True), (2, False)))
def test_mixup_of_one_image_is_said_to_do_nothing(opened, images, is_told, caplog):
    engine = engine_of(opened("lone"), Scores(), Yolo3Options(**{**vars(OPTIONS), "epochs": 1, "mixup": "beta"}))
    engine.sampler.images, engine.stopped_early = images, True  # it ends as it has begun
    engine.run_epochs()
    assert ("--mixup does nothing: the training set has one image" in caplog.text) is is_told


def test_weights_alone_begin_at_the_epoch_that_is_given(opened):
    run = opened("late")
    engine = engine_of(run, Scores(), Yolo3Options(**{**vars(OPTIONS), "start_epoch": 3}))
    assert engine.iteration == 3 * BATCHES
    engine.run_epochs()
    assert [row["epoch"] for row in table(run, "metrics")] == ["3"]


def test_the_command_to_go_on_with_is_the_one_that_was_started(monkeypatch):
    for program, options, command in (("train_yolo3.py", Yolo3Options(), "python train_yolo3.py"),
                                      ("/some where/train_faster_rcnn.py", FasterRcnnOptions(),
                                       "python '/some where/train_faster_rcnn.py'"),
                                      ("/bin/gluon-bof", Yolo3Options(), "gluon-bof train yolo3"),
                                      ("/x/gluon_bof/__main__.py", FasterRcnnOptions(), "gluon-bof train faster_rcnn"),
                                      ("/bin/gluon-bof", ClassifierOptions(), "gluon-bof pretrain"),
                                      ("-c", Yolo3Options(), "gluon-bof train yolo3")):
        monkeypatch.setattr(sys, "argv", [program])
        assert resume_command(options, "runs/it is") == f"{command} --resume 'runs/it is'"


def test_losses_in_the_checkpoints_of_version_0_1_are_taken_up():
    losses = EpochLosses(LOSSES, {"batches": 2, "pictures": 4, "seconds": 1.5, "waiting": 0.5, "sums": [3.0, 5.0]})
    assert losses.images == 4 and losses.means() == {"first": 1.5, "second": 2.5, "total": 4.0}
    assert losses.saved() == {"batches": 2, "images": 4, "seconds": 1.5, "waiting": 0.5, "sums": [3.0, 5.0],
                              "learning_rate": None}


def test_the_best_in_the_checkpoints_of_version_0_1_is_taken_up(opened):
    run = opened("old")
    engine_of(run, Scores(), Yolo3Options(**{**vars(OPTIONS), "epochs": 2})).run_epochs()
    path, best = run.checkpoint_paths()[-1], open(run.best_weights, "rb").read()
    meta, arrays = read_checkpoint(path)
    write_checkpoint(path, arrays, {**meta, "best": {"map": 0.2, "epoch": 1}})
    resumed = engine_of(run, Scores((0.1,)), resume=True)
    resumed.run_epochs()
    assert resumed.best == {"score": 0.2, "epoch": 1} and resumed.waited == 1
    assert open(run.best_weights, "rb").read() == best


@pytest.mark.parametrize("while_training", (False, True))
def test_an_image_that_cannot_be_read_costs_no_batch_and_the_mended_run_ends_in_the_same_bits(opened, tmp_path, while_training):
    """It cost all since the last save, of a short first epoch all of it."""
    whole, run = opened("whole"), opened("broken")
    options = Yolo3Options(**{**vars(OPTIONS), "epochs": 1})
    image = tmp_path / "image.png"
    cv2.imwrite(str(image), np.zeros((8, 8, 3), np.uint8))
    sound = image.read_bytes()
    shown = ValidationImages([Record(str(image), "", "image", 8, 8, np.zeros((0, 4)), np.zeros(0, int), np.zeros(0, bool),
                                     np.zeros(0, bool))], as_it_is)

    def engine(of_run, resume=False):
        made = engine_of(of_run, Scores(meanwhile=lambda call: shown[0]), options, resume=resume)
        if while_training:
            loader = made.loader
            made.loader = (batch for number, batch in enumerate(loader) if number != 1 or shown[0])
        return made

    engine(whole).run_epochs()
    image.write_bytes(sound[:40])
    with pytest.raises(UserError, match="image.png"):
        engine(run).run_epochs()
    meta, _ = read_checkpoint(run.checkpoint_paths()[-1])
    assert (meta["epoch"], meta["batch"]) == (0, 1 if while_training else BATCHES)
    image.write_bytes(sound)
    assert engine(run, resume=True).run_epochs() == {"map": 0.2, "metric": "voc07"}
    assert open(run.last_weights, "rb").read() == open(whole.last_weights, "rb").read()
