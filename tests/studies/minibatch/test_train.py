"""Training on sorted mini-batches through the command: probes at the starting parameters, phases, resume to the bit."""
import json
import os
import signal
from types import SimpleNamespace

import numpy as np
import pytest

from gluon_bof.backend import gluon, mx
from gluon_bof.commands.minibatch import main
from gluon_bof.errors import UserError
from gluon_bof.options.minibatch import MinibatchOptions
from gluon_bof.runs.folder import Run, RunFolder
from gluon_bof.studies.minibatch import tasks, train
from gluon_bof.studies.minibatch.heatmap import read_probes
from gluon_bof.studies.minibatch.partition import cut, ranking
from gluon_bof.studies.minibatch.probe import NotFinite
from gluon_bof.studies.minibatch.tasks import _mark_of
from gluon_bof.studies.minibatch.train import _let_observe, cache_of, write_partition
from gluon_bof.training.engine import Stopped
from gluon_bof.training.loop import Step
from gluon_bof.training.optimizer import build_trainer
from gluon_bof.weights.formats.checkpoint import read_checkpoint
from tests.cifar10_files import write_cifar10
from tests.command_lines import refused
from tests.tiny_sets import write_voc_set

EACH, BATCH, EPOCHS = 5, 4, 3  # images a file; 6 mini-batches of 4, and an image left out
BATCHES = 5 * EACH // BATCH


@pytest.fixture(scope="module")
def place(tmp_path_factory):
    folder = tmp_path_factory.mktemp("minibatch")
    write_cifar10(folder / "cifar10", EACH, 5)
    return folder


def words(place, name, *more):
    return ["train", "--dataset", "cifar10", "--dataset-root", str(place / "cifar10"), "--network", "dpn-mini", "--batch-size",
            str(BATCH), "--epochs", str(EPOCHS), "--lr-decay-epoch", "1,2", "--null-partitions", "2", "--null-batches", "1",
            "--gpus", "", "--runs", str(place), "--name", name, *more]


@pytest.fixture(scope="module")
def whole(place):
    """The run's folder, trained without a stop."""
    assert main(words(place, "whole")) == 0
    return RunFolder(str(place / "whole"))


def stop_at(monkeypatch, number):
    """SIGTERM when so many images have been read."""
    read, seen = tasks.PixelImages.__getitem__, []

    def counted(images, spec):
        seen.append(spec)
        if len(seen) == number:
            os.kill(os.getpid(), signal.SIGTERM)
        return read(images, spec)

    monkeypatch.setattr(tasks.PixelImages, "__getitem__", counted)


def test_every_epoch_is_probed_in_its_phase_and_the_table_has_its_score(whole):
    probes = read_probes(whole)
    assert [probe["epoch"] for probe in probes] == [0, 1, 2]
    assert [probe["phase"] for probe in probes] == [0, 1, 2]
    assert [probe["learning_rate"] for probe in probes] == pytest.approx([0.1, 0.01, 0.001])
    assert all(len(probe["distance"]) == len(probe["class_entropy"]) == BATCHES for probe in probes)
    assert probes[0]["null"]["batches"] == 2 and probes[0]["null"]["partitions"] == 2
    assert set(probes[0]["blocks"]) == {"features.0", "features.1", "features.3", "features.4", "features.5", "output"}
    total = np.sqrt(np.sum([np.square(part["distance"]) for part in probes[1]["blocks"].values()], axis=0))
    assert probes[1]["distance"] == pytest.approx(total, rel=1e-12)
    assert len(whole.rows("metrics")) == EPOCHS
    partition = json.load(open(whole.partition))
    means = np.array(partition["scores"])[np.array(partition["batches"])].mean(axis=(1, 2))
    assert np.array_equal(means, np.sort(means)) and len(partition["batches"]) == BATCHES


def test_a_probe_changes_nothing_of_the_training(place, whole):
    main(words(place, "blind", "--probe", "none"))
    assert open(whole.last_weights, "rb").read() == open(place / "blind" / "last.params", "rb").read()
    assert not os.path.exists(place / "blind" / "probes")


# images read: two passes of 24 and 2 mini-batches of random partitions are a probe, 56; then 24 to train on and 5 to validate
@pytest.mark.parametrize("number, batch, probes", [
    pytest.param(30, 0, 0, marks=pytest.mark.slow), (56 + 10, 3, 1),
    pytest.param(56 + 24 + 5 + 50, 0, 1, marks=pytest.mark.slow)])
def test_a_run_that_is_stopped_goes_on_to_the_bit(place, whole, monkeypatch, number, batch, probes):
    name = f"halted-{number}"
    with monkeypatch.context() as patch, pytest.raises(Stopped):
        stop_at(patch, number)
        main(words(place, name))
    run = RunFolder(str(place / name))
    assert read_checkpoint(run.checkpoint_paths()[-1])[0]["batch"] == batch
    assert len(run.probe_epochs()) == probes
    assert main(["train", "--resume", run.folder]) == 0
    assert open(run.last_weights, "rb").read() == open(whole.last_weights, "rb").read()
    assert read_probes(run) == read_probes(whole)


def test_a_run_does_not_go_on_with_other_mini_batches_and_keeps_its_own(tmp_path):
    """Images beyond the last whole mini-batch changed the order without a word, and its file."""
    options, run = MinibatchOptions(batch_size=2), Run(str(tmp_path / "run"))
    scores = np.array([[3.0], [1.0], [2.0], [4.0], [5.0]])
    partition = cut(ranking(scores), 2)
    write_partition(run, options, scores, partition)
    run.origin = run.checkpoint(1)
    write_partition(run, options, scores * (1 + 1e-9), partition)  # another machine's last bits
    kept = run.read_result("partition")
    for others in (scores[:4], scores[::-1], scores * 2):
        with pytest.raises(UserError, match="the set makes other mini-batches than the run was trained on; put the set back"):
            write_partition(run, options, others, cut(ranking(others), 2))
    assert run.read_result("partition") == kept
    run.origin = None  # nothing was saved yet: it begins anew
    write_partition(run, options, scores[:4], cut(ranking(scores[:4]), 2))
    run.close()
    assert len(run.read_result("partition")["scores"]) == 4


def test_other_images_or_classes_of_them_make_another_set(tmp_path):
    """As many are no sign that they are the same."""
    marks = [_mark_of(np.zeros((2, 4, 4, 3), np.uint8) + level, class_ids) for level, class_ids in ((0, (0, 1)), (0, (0, 1)),
                                                                                             (1, (0, 1)), (0, (1, 0)))]
    assert len(set(marks)) == 3 and marks[0] == marks[1]


def test_a_killed_cache_is_cleared_away_and_a_cache_gives_the_same_probes(place, whole, monkeypatch):
    with monkeypatch.context() as patch, pytest.raises(Stopped):
        stop_at(patch, 5)
        main(words(place, "cached", "--probe", "cache", "--epochs", "2"))
    left = place / "cached" / "probes" / "gradients-left"
    left.mkdir()
    (left / "0.float32").write_bytes(b"x")
    main(["train", "--resume", str(place / "cached")])
    run = RunFolder(str(place / "cached"))
    assert sorted(os.listdir(run.probes)) == ["epoch-0000.json", "epoch-0001.json"]
    for cached, two_pass in zip(read_probes(run), read_probes(whole)):
        assert cached["distance"] == pytest.approx(two_pass["distance"], rel=1e-7)


def test_grabs_order_goes_on_to_the_bit_and_differs_from_the_sorted_one(place, whole, monkeypatch):
    grab = ("--order", "grab", "--probe", "none")
    main(words(place, "grab", *grab))
    with monkeypatch.context() as patch, pytest.raises(Stopped):
        stop_at(patch, 29 + 10)  # in the second epoch, between the two of a pair
        main(words(place, "grab-halted", *grab))
    meta, arrays = read_checkpoint(RunFolder(str(place / "grab-halted")).checkpoint_paths()[-1])
    assert meta["order"]["seen"] == 3 and "order/first" in arrays
    main(["train", "--resume", str(place / "grab-halted")])
    runs = {name: open(place / name / "last.params", "rb").read() for name in ("grab", "grab-halted", "whole")}
    assert runs["grab"] == runs["grab-halted"] != runs["whole"]


def test_grab_is_shown_gradients():
    line, seen = gluon.nn.Dense(1, in_units=3, use_bias=False), []
    line.initialize()
    trainer = build_trainer(line.collect_params(), mx.optimizer.SGD(learning_rate=0.1), [mx.cpu()])
    step = Step(lambda images: (line(images).reshape(-1),), lambda images: (images,), trainer, [mx.cpu()], 4)
    _let_observe(SimpleNamespace(observe=seen.append), SimpleNamespace(saver=SimpleNamespace()), step, None, {})
    images = np.random.default_rng(0).normal(size=(4, 3)).astype(np.float32)
    step(mx.nd.array(images))
    assert [list(gradient) for gradient in seen] == [pytest.approx(images.sum(axis=0), rel=1e-5)]


def test_a_detector_is_probed_by_block_and_by_loss(tmp_path):
    root = write_voc_set(tmp_path / "set", 4, 2)
    assert main(["train", "--dataset", str(root), "--network", "yolo3_darknet-mini", "--data-shape", "32", "--batch-size", "2",
                 "--epochs", "1", "--lr-decay-epoch", "", "--lr", "0.001", "--metric", "objects", "--by-loss", "--gpus", "",
                 "--null-partitions", "0", "--runs", str(tmp_path), "--name", "yolo"]) == 0
    probe, = read_probes(RunFolder(str(tmp_path / "yolo")))
    assert set(probe["blocks"]) == {"backbone", "neck", "heads"}
    assert list(probe["losses"]) == ["objectness", "centre", "scale", "class"]
    blocks, losses = (np.array([part["distance"] for part in probe[kind].values()]) for kind in ("blocks", "losses"))
    assert np.linalg.norm(blocks, axis=0) == pytest.approx(probe["distance"], rel=1e-12)
    assert losses.min() > 0 and len(np.unique(losses[:, 0])) == 4
    assert all(losses.sum(axis=0) >= probe["distance"])  # of gradients that add up


def test_phases_are_those_of_one_learning_rate_or_thirds():
    paper = MinibatchOptions(epochs=150, lr_decay_epoch=(50, 100))
    assert paper.phase_ends() == [50, 100, 150] and [paper.phase_of(epoch) for epoch in (0, 49, 50, 149)] == [0, 0, 1, 2]
    assert MinibatchOptions(epochs=9, lr_mode="cosine").phase_ends() == [3, 6, 9]


@pytest.mark.parametrize("given, told", [
    (["--metric", "perceptual"], "--metric perceptual needs the weights of AlexNet and of LPIPS"),
    (["--metric", "objects"], "--metric objects is for detection"), (["--by-loss"], "--by-loss is for detection"),
    (["--data-shape", "24"], "CIFAR-10's images are 32"), (["--network", "yolo3_darknet-mini"], "CIFAR-10 has no boxes"),
    (["--batch-size", "64"], "25 images make no mini-batch of 64"), (["--batch-size", "15"], "the set makes 1 mini-batch"),
    (["--dataset-root", "nowhere"], "nowhere"), (["--mixup"], "mixup"),
    (["--gpus", "0,1"], "on one device"), (["--cpus", "2"], "--cpus 2: the study trains"),
    (["--kv-store", "dist_sync"], "--kv-store dist_sync: the study trains"),
    (["--pretrained-base", "shipped"], "--pretrained-base is for a YOLOv3, and dpn-mini is a classifier"),
    (["--network", "yolo3_darknet-mini", "--dataset", "shapes", "--label-smooth-eps", "0.1"], "--label-smooth-eps is for")])
def test_what_cannot_work_is_one_line_with_status_2(place, capsys, given, told):
    assert told in refused(main, capsys, *words(place, "refused", *given), at_once=False)
    assert not os.path.exists(place / "refused")


def test_what_a_killed_run_left_in_a_shared_cache_goes_and_another_runs_stays(tmp_path):
    options = MinibatchOptions(probe="cache", cache=str(tmp_path / "cache"))
    runs = [RunFolder(str(tmp_path / place / "run")) for place in "ab"]
    with cache_of(runs[0], options) as killed, cache_of(runs[1], options) as other:
        for folder in (killed, other):
            os.makedirs(os.path.join(folder, "gradients-left"))
        with cache_of(runs[0], options) as again:
            assert again == killed != other
            assert os.listdir(killed) == [] and os.listdir(other) == ["gradients-left"]
        assert not os.path.exists(killed)


def test_a_cache_that_cannot_be_made_leaves_no_run(place, capsys):
    given = words(place, "uncached", "--probe", "cache", "--cache", str(place / "cifar10" / "test_batch.bin"))
    assert "there can be no cache" in refused(main, capsys, *given, at_once=False)
    assert not os.path.exists(place / "uncached")


def test_an_epoch_whose_gradients_are_not_finite_is_trained_without_a_probe(place, monkeypatch):
    def refuse(*_):
        raise NotFinite("not finite")
    monkeypatch.setattr(train, "probe_task", refuse)
    assert main(words(place, "unprobed", "--epochs", "1", "--lr-decay-epoch", "")) == 0
    run = RunFolder(str(place / "unprobed"))
    assert run.probe_epochs() == [] and "epoch 0 is not probed: not finite" in open(run.log).read()


def test_the_learning_rate_is_scaled_where_that_is_asked_for(place):
    main(words(place, "scaled", "--epochs", "1", "--lr-decay-epoch", "", "--null-partitions", "0", "--scale-lr"))
    run = RunFolder(str(place / "scaled"))
    wanted = 0.1 * BATCH / MinibatchOptions.batch_size
    assert float(run.rows("metrics")[0]["learning_rate"]) == pytest.approx(wanted)
    assert read_probes(run)[0]["learning_rate"] == pytest.approx(wanted)
