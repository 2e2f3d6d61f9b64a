"""The engine with a tiny network: what it writes, when it validates, and that it stops and goes on to the bit."""
import csv
import logging
import os
import signal
import sys
import threading

import cv2
import numpy as np
import pytest

from gluon_bof.backend import gluon, mx
from gluon_bof.boxes import Record
from gluon_bof.data.loader import ValidationImages
from gluon_bof.data.sampler import BatchSampler
from gluon_bof.data.workers import WorkerLost
from gluon_bof.errors import UserError
from gluon_bof.freebies.augmentation import as_it_is
from gluon_bof.freebies.schedule import CountedFromOne, build_schedule, rates_of
from gluon_bof.options.classifier import ClassifierOptions
from gluon_bof.options.faster_rcnn import FasterRcnnOptions
from gluon_bof.options.yolo3 import Yolo3Options
from gluon_bof.runs.folder import Run
from gluon_bof.training.checkpoint import load_checkpoint
from gluon_bof.training.engine import DETECTION, Engine, Recorder, Saver, Scoring, Stopped, StopRequest, resume_command
from gluon_bof.training.entry import run_training
from gluon_bof.training.loop import EpochLosses, Step
from gluon_bof.training.optimizer import build_trainer
from gluon_bof.weights.formats.checkpoint import read_checkpoint, write_checkpoint
from gluon_bof.weights.load import read_weights, weights_of

LOSSES = ("first", "second")
OPTIONS = Yolo3Options(epochs=4, keep=2, log_interval=2, save_interval=2, val_interval=2, start_epoch=0)
BATCHES = 3  # an epoch, of two images
SCHEDULE = dict(mode="cosine", base_lr=0.05, iterations=4 * BATCHES)
RATES = rates_of(**SCHEDULE)


class TwoLosses(gluon.HybridBlock):
    """A linear model and the square and the size of its error, of each image."""

    def __init__(self, network):
        super().__init__()
        self.network = network

    def hybrid_forward(self, F, images, truth):
        error = self.network(images) - truth
        return F.sum(error ** 2, axis=1), F.sum(F.abs(error), axis=1)


class Loader:
    """Batches of numbers that depend on the image alone; `broken` names an image of the second batch."""

    def __init__(self, sampler, broken=()):
        self.sampler = sampler
        self.broken = broken

    def __iter__(self):
        for number, batch in enumerate(self.sampler):
            rows = np.array([np.random.default_rng(spec.index).normal(size=6) for spec in batch])
            yield mx.nd.array(rows[:, :4]), mx.nd.array(rows[:, 4:]), list(self.broken) if number == 1 else []


class Scores:
    """A validation: a rising mAP by the number of calls, and what it is told to do meanwhile."""

    def __init__(self, values=(0.2, 0.1, 0.4, 0.3), meanwhile=lambda call: None):
        self.values = values
        self.meanwhile = meanwhile
        self.calls = 0

    def __call__(self, should_stop):
        self.calls += 1
        self.meanwhile(self.calls)
        return None if should_stop() else {"map": self.values[self.calls - 1], "metric": "voc07"}


@pytest.fixture
def opened(tmp_path):
    """Function that opens runs, which are closed at the end."""
    runs = []

    def open_run(name):
        runs.append(Run(str(tmp_path / name)))
        return runs[-1]

    yield open_run
    for run in runs:
        run.close()


def engine_of(run, validate, options=OPTIONS, broken=(), resume=False, layers=list, batches=BATCHES,
              scoring=DETECTION):
    """An engine over a network of its own. layers() -> layers below the last one, of four numbers."""
    mx.random.seed(5)
    network = gluon.nn.HybridSequential()
    with network.name_scope():
        network.add(*layers(), gluon.nn.Dense(2, in_units=4))
    network.initialize()
    graph = TwoLosses(network)
    optimizer = mx.optimizer.SGD(momentum=0.9, lr_scheduler=CountedFromOne(build_schedule(**SCHEDULE)))
    trainer = build_trainer(network.collect_params(), optimizer, [mx.cpu()])
    size = 2 // options.accumulate
    sampler = BatchSampler(batches * 2, size, 1, (8,), accumulate=options.accumulate)
    step = Step(graph, lambda *arrays: arrays, trainer, [mx.cpu()], size, accumulate=options.accumulate)
    position = load_checkpoint(run.checkpoint_paths()[-1], network, trainer) if resume else {}
    return Engine(run, options, network, step, sampler, Loader(sampler, broken), LOSSES, validate, position, scoring)


def table(run, name):
    with open(run.table(name), newline="") as file:
        return list(csv.DictReader(file))


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


def test_the_score_is_the_one_that_a_training_names_whatever_else_is_told(opened, caplog):
    run = opened("named")
    told = iter(({"miou": 0.3, "map": 0.1, "pixel_accuracy": 0.5}, {"miou": 0.2, "map": 0.9, "pixel_accuracy": None}))
    engine = engine_of(run, lambda should_stop: next(told), Yolo3Options(**{**vars(OPTIONS), "epochs": 2, "val_interval": 1}),
                       scoring=Scoring(("pixel_accuracy", "miou"), "miou", "mean IoU"))
    with caplog.at_level(logging.INFO, "gluon_bof"):
        engine.run_epochs()
    assert engine.best == {"score": 0.3, "epoch": 0} and engine.waited == 1 and "mean IoU 0.2000" in caplog.text
    assert [list(row.items())[-2:] for row in table(run, "metrics")] == [
        [("pixel_accuracy", "0.5"), ("miou", "0.3")], [("pixel_accuracy", ""), ("miou", "0.2")]]


def test_validation_comes_every_so_many_epochs_and_after_the_last(opened):
    for epochs, interval, wanted in ((4, 2, [1, 3]), (3, 2, [1, 2]), (3, 9, [2])):
        run = opened(f"{epochs}-{interval}")
        validate = Scores((0.0, 0.2))  # 0 is a score
        engine_of(run, validate, Yolo3Options(**{**vars(OPTIONS), "epochs": epochs, "val_interval": interval})).run_epochs()
        assert [int(row["epoch"]) for row in table(run, "metrics") if row["map"]] == wanted
        assert validate.calls == len(wanted)


def test_rows_hold_the_means_of_the_losses_and_the_rates(opened):
    run = opened("whole")
    engine = engine_of(run, Scores())
    values, step = [], engine.step

    class Heard:
        trainer, devices, accumulate = step.trainer, step.devices, step.accumulate

        def __call__(self, *arrays):
            values.append(step(*arrays))
            return values[-1]

    engine.step = Heard()
    engine.run_epochs()
    losses = np.array([value.asnumpy() for value in values]).reshape(4, BATCHES, 2)
    for epoch, row in enumerate(table(run, "metrics")):
        means = [float(row[f"{name}_loss"]) for name in (*LOSSES, "total")]
        np.testing.assert_allclose(means, [*losses[epoch].mean(axis=0), losses[epoch].mean(axis=0).sum()], rtol=1e-6)
        assert int(row["iteration"]) == (epoch + 1) * BATCHES
        assert float(row["learning_rate"]) == RATES[(epoch + 1) * BATCHES - 1]
        assert float(row["images_per_second"]) * float(row["seconds"]) == pytest.approx(2 * BATCHES)
        assert 0 < float(row["data_wait_seconds"]) < float(row["seconds"])
    rows = table(run, "intervals")
    assert [(int(row["epoch"]), int(row["iteration"])) for row in rows] == [(epoch, epoch * BATCHES + 2) for epoch in range(4)]
    for epoch, row in enumerate(rows):
        np.testing.assert_allclose([float(row[f"{name}_loss"]) for name in LOSSES], losses[epoch, :2].mean(axis=0), rtol=1e-6)
        assert float(row["learning_rate"]) == RATES[epoch * BATCHES + 1]


def test_an_interval_counts_from_the_one_before(opened):
    run = opened("rows")
    recorder = Recorder(run, BATCHES, DETECTION)
    losses = EpochLosses(LOSSES)
    losses.learning_rate = 0.1
    recorder.begin(losses)
    for batch, value in enumerate((1, 3, 10, 20)):
        losses.add((value, 2 * value))
        losses.images += 2
        losses.waiting += 0.5
        losses.seconds += 1 + batch // 2  # a batch of the second interval takes twice as long
        if batch % 2:
            recorder.interval(0, batch, losses)
    for column, wanted in (("first_loss", [2, 15]), ("total_loss", [6, 45]), ("images_per_second", [2, 1]),
                           ("data_wait_share", [0.5, 0.25])):
        assert [float(row[column]) for row in table(run, "intervals")] == wanted


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


def test_weights_that_are_not_finite_are_never_saved_and_the_remedy_can_be_followed(opened):
    """The last update of an epoch may spoil them: its losses, of before it, are finite. A run that goes on keeps its --lr."""
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
    engine_of(run, Scores(), Yolo3Options(**{**vars(OPTIONS), "epochs": 1})).run_epochs()
    engine = engine_of(run, Scores(), resume=True)
    engine.saver.network[0].weight.data()[:] = np.inf
    with pytest.raises(UserError, match="first loss became nan, .* at epoch 1, .*with a lower --lr and --resume .*last.params"):
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
    os.mkdir(os.path.join(run.folder, unwritable))
    with pytest.raises(UserError, match=f"{unwritable}.* cannot be written"):
        engine_of(run, Scores()).run_epochs()
    meta, _ = read_checkpoint(run.checkpoint_paths()[-1])
    assert (meta["epoch"], meta["batch"]) == (int(unwritable == "best.params"), BATCHES)
    os.rmdir(os.path.join(run.folder, unwritable))
    finished = engine_of(run, Scores(), resume=True)
    run.forget_after(finished.iteration, finished.epoch)
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


def test_the_saver_keeps_as_many_checkpoints_as_it_is_told(opened):
    run = opened("kept")
    engine = engine_of(run, Scores())
    saver = Saver(run, OPTIONS, engine.saver.network, engine.saver.trainer)
    for iteration in (3, 6, 9):
        saver.save(iteration, {"epoch": iteration})
    assert run.checkpoint_paths() == [run.checkpoint(6), run.checkpoint(9)]
    assert [read_checkpoint(path)[0]["epoch"] for path in run.checkpoint_paths()] == [6, 9]


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
