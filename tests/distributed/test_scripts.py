"""The scripts with several workers, as real processes: what one process trains, validates, writes; stops, resumes, refusals."""
import json
import os
import signal
import subprocess
import sys
import time

import numpy as np
import pytest

from gluon_bof.runs.folder import RunFolder, checkpoints
from gluon_bof.weights.load import read_weights
from tests.distributed.group import ROOT, Group, environment, read, train
from tests.tiny_sets import write_voc_set

# what every pixel goes through is frozen, what is exact in one process and in many is compared
YOLO = (ROOT / "train_yolo3.py", *"--network mobilenet0.25-slim --pretrained-base no --data-shape 64 --random-shapes 64,96 "
        "--random-shape-interval 2 --batch-size 3 --accumulate 2 --epochs 10 --lr-decay-epoch 5 --mixup --no-mixup-epochs 4 "
        "--label-smooth --ema 0.5 --val-interval 5 --log-interval 1 --seed 3 -j 1 --freeze all-but-head --lr 0.0005".split())
# all regions train the head, so that none is left out by the last bit of a score
RCNN = (ROOT / "train_faster_rcnn.py", *"--network resnet18_v1b --pretrained-base no --image-short 64 --image-max-size 96 "
        "--rpn-channel 8 --roi-size 2,2 --anchor-scales 2 --anchor-aspect-ratio 1 --anchor-alloc-size 32,32 --rpn-min-size 2 "
        "--rpn-nms-thresh 2 --rcnn-num-samples 64 --batch-size 3 --epochs 5 --lr-decay-epoch 2 --mixup --no-mixup-epochs 1 "
        "--val-interval 5 --log-interval 1 --seed 3 -j 0 --lr 0.001".split())
# nothing of what is seen learns, so that the same background anchors are the hard ones
SSD = (ROOT / "train_ssd.py", *"--network darknet-mini --pretrained-base no --data-shape 64 --batch-size 3 --epochs 5 "
       "--lr-decay-epoch 2 --mixup --no-mixup-epochs 1 --label-smooth-eps 0.1 --val-interval 5 --log-interval 1 --seed 3 -j 0 "
       "--freeze all-but-head --lr 0.0005".split())
PRETRAIN = ("-m", "gluon_bof", "pretrain",
            *"--network mobilenet0.25 --data-shape 32 --epochs 2 --batch-size 7 -j 0 --mixup".split())


@pytest.fixture(scope="module")
def data(tmp_path_factory):
    """A set whose images have two shapes."""
    root = write_voc_set(tmp_path_factory.mktemp("set"), images=8, validation=0, width=120, height=96)
    other = write_voc_set(tmp_path_factory.mktemp("more"), images=4, validation=5, seed=1, width=80, height=110)
    for kind in ("JPEGImages", "Annotations"):
        for path in (other / "VOC2007" / kind).iterdir():
            path.rename(root / "VOC2007" / kind / f"1{path.name}")
    lists = root / "VOC2007" / "ImageSets" / "Main"
    for split in ("trainval", "test"):
        more = (other / "VOC2007" / "ImageSets" / "Main" / f"{split}.txt").read_text().split()
        own = (lists / f"{split}.txt").read_text().split() if split == "trainval" else []
        (lists / f"{split}.txt").write_text("\n".join(own + [f"1{name}" for name in more]) + "\n")
    return root


def words_of(script, data, folder, name, *more):
    return [*map(str, script), "--dataset", str(data), "--runs", str(folder), "--name", name, *more]


def alone(words, folder):
    """The outcome of one process."""
    said = subprocess.run([sys.executable, *words], cwd=folder, env=environment(), capture_output=True, text=True, timeout=200)
    assert said.returncode == 0, said.stderr
    return json.loads(said.stdout.splitlines()[-1])


def require_equal_runs(folder, name, other, tolerance=1e-5):
    runs = [RunFolder(str(folder / one)) for one in (name, other)]
    found, wanted = (read_weights(run.last_weights) for run in runs)
    for key, array in wanted.items():
        np.testing.assert_allclose(found[key], array, rtol=tolerance, atol=tolerance, err_msg=key)
    for table in ("metrics", "intervals"):
        rows, others = (run.rows(table) for run in runs)
        assert len(rows) == len(others)
        for row, wanted in zip(rows, others):
            for column in row:
                if column == "map" or column.endswith(("_loss", "rate", "epoch", "iteration")):
                    assert float(row[column] or 0) == pytest.approx(float(wanted[column] or 0), rel=1e-4), (table, column)


@pytest.mark.slow
def test_two_workers_train_and_validate_as_one_process_and_one_of_them_writes(data, tmp_path):
    short = ("--epochs", "2", "--lr-decay-epoch", "1", "--no-mixup-epochs", "1", "--val-interval", "2")
    one = alone(words_of(YOLO, data, tmp_path, "one", *short), tmp_path)
    first, second = train(2, words_of(YOLO, data, tmp_path, "two", *short), tmp_path)
    two = json.loads(first.out.splitlines()[-1])
    assert second.out == "" and "worker 1: " in second.err and "epoch 0 batch" not in second.err
    for key in ("iterations", "epochs", "skipped", "per_class", "metric"):
        assert two[key] == one[key]
    require_equal_runs(tmp_path, "two", "one")
    names = [sorted(os.listdir(tmp_path / name)) for name in ("one", "two")]
    assert [name for name in names[1] if name != "workers"] == names[0] and os.listdir(tmp_path / "two" / "workers") != []
    told = sorted((tmp_path / f"progress-{number}").read_text().split() for number in range(2))
    assert told == [["0", "4", "drawing"], ["1", "4", "scoring"]]  # what takes a while is told to whoever watches


@pytest.mark.slow
@pytest.mark.parametrize("script", (YOLO, RCNN, SSD), ids=("yolo3", "faster_rcnn", "ssd"))
@pytest.mark.parametrize("workers", (2, 3))
def test_any_number_of_workers_trains_as_one_process(script, workers, data, tmp_path):
    one = alone(words_of(script, data, tmp_path, "one"), tmp_path)
    first, *_ = train(workers, words_of(script, data, tmp_path, "many"), tmp_path)
    many = json.loads(first.out.splitlines()[-1])
    assert many["iterations"] == one["iterations"] == 20
    require_equal_runs(tmp_path, "many", "one")


@pytest.mark.slow
def test_workers_pretrain_and_another_number_of_them_goes_on(data, tmp_path):
    first, _ = train(2, words_of(PRETRAIN, data, tmp_path, "two", "--keep", "2"), tmp_path)
    outcome, run = json.loads(first.out.splitlines()[-1]), RunFolder(str(tmp_path / "two"))
    before, weights = run.rows("metrics"), read_weights(run.last_weights)
    again = alone([*map(str, PRETRAIN[:3]), "--resume", checkpoints(run.checkpoints)[0]], tmp_path)  # after the first epoch
    assert again["iterations"] == outcome["iterations"] == int(before[1]["iteration"]) and again["epochs"] == 2
    after = run.rows("metrics")
    assert after[0] == before[0] and [row["epoch"] for row in after] == ["0", "1"]
    # the second epoch was trained once more: two workers normalise by the halves of a batch, so its bits are others
    assert any((weights[name] != array).any() for name, array in read_weights(run.last_weights).items())


@pytest.mark.slow
def test_a_validation_in_shares_has_the_metrics_of_one_to_the_bit(data, tmp_path):
    first, *_ = train(3, words_of(RCNN, data, tmp_path, "three", "--epochs", "1", "--no-mixup-epochs", "0", "--val-interval", "1",
                                  "--lr-decay-epoch", "2"), tmp_path)
    three = json.loads(first.out.splitlines()[-1])
    said = subprocess.run([sys.executable, "-m", "gluon_bof", "evaluate", str(tmp_path / "three"), "--last"], cwd=tmp_path,
                          env=environment(), stdout=subprocess.PIPE, text=True, check=True)
    one = json.loads(said.stdout.splitlines()[-1])
    assert (one["map"], one["per_class"]) == (three["map"], three["per_class"]) and one["map"] > 0


def wait_for(condition, group, seconds=90):
    until = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < until and all(worker.poll() is None for worker in group.workers), [
            read(worker.files[1]) for worker in group.workers]
        time.sleep(0.02)


@pytest.mark.slow
@pytest.mark.parametrize("asked, status, resumed", ((signal.SIGTERM, 143, 3), (signal.SIGINT, 130, 1)))
def test_a_signal_to_one_worker_stops_all_at_one_step_and_another_number_goes_on(asked, status, resumed, data, tmp_path):
    words = words_of(YOLO, data, tmp_path, "run", "--epochs", "20", "--lr-decay-epoch", "10")
    alone([*words, "--name", "whole"], tmp_path)
    group = Group(2, words, tmp_path)
    table = tmp_path / "run" / "intervals.csv"
    wait_for(lambda: table.exists() and table.read_text().count("\n") > 12, group)
    second = next(worker for number, worker in enumerate(group.workers)
                  if (tmp_path / f"progress-{number}").read_text().startswith("1 "))
    second.send_signal(asked)
    for worker in group.wait():
        assert worker.status == status and "Traceback" not in worker.err, worker.err
    saved = checkpoints(str(tmp_path / "run" / "checkpoints"))
    assert 6 <= int(saved[-1][-14:-5]) < 40
    more = [str(YOLO[0]), "--resume", str(tmp_path / "run")]
    if resumed == 1:
        alone(more, tmp_path)
    else:
        train(resumed, more, tmp_path)
    require_equal_runs(tmp_path, "run", "whole")


@pytest.mark.slow
def test_a_signal_in_a_validation_stops_all_and_that_validation_comes_again(data, tmp_path):
    words = words_of(RCNN, data, tmp_path, "run", "--val-interval", "1")
    alone(words_of(RCNN, data, tmp_path, "whole", "--val-interval", "1"), tmp_path)
    group = Group(2, words, tmp_path)
    files = [tmp_path / f"progress-{number}" for number in range(2)]
    wait_for(lambda: any(file.exists() and "validating" in file.read_text() for file in files), group)
    group.workers[1].send_signal(signal.SIGTERM)
    assert [worker.status for worker in group.wait()] == [143, 143]
    train(2, [str(RCNN[0]), "--resume", str(tmp_path / "run")], tmp_path)
    require_equal_runs(tmp_path, "run", "whole")


def refusals(workers, words, folder):
    """The error lines of workers that all were refused."""
    ended = Group(workers, words, folder).wait() if workers > 1 else []
    lines = []
    for worker in ended:
        errors = [line for line in worker.err.splitlines() if line.startswith("error: ")]
        assert worker.status == 2 and len(errors) == 1 and "Traceback" not in worker.err, worker.err
        lines += errors
    return sorted(lines)


def test_what_cannot_be_is_refused_by_every_worker(data, tmp_path):
    syncbn = words_of(YOLO, data, tmp_path, "syncbn", "--syncbn")
    assert all("--syncbn per-process" in line for line in refusals(2, syncbn, tmp_path))
    assert not (tmp_path / "syncbn").exists()


@pytest.mark.slow
def test_what_stops_the_first_worker_is_told_by_all(data, tmp_path):
    (tmp_path / "taken").mkdir()
    (tmp_path / "taken" / "config.json").write_text("{}")
    own, other = refusals(2, words_of(YOLO, data, tmp_path, "taken"), tmp_path)
    assert "a run of this name is there already" in own and "worker 0 cannot go on" in other
    assert all("no image for each of 4 x 1" in line
               for line in refusals(4, words_of(YOLO, data, tmp_path, "small"), tmp_path))


@pytest.mark.slow
def test_workers_with_unlike_data_are_refused(data, tmp_path):
    # the options are the first worker's, so that a folder is unlike only where hosts have files of their own
    other = write_voc_set(tmp_path / "other", images=11, validation=4)
    for number, place in enumerate((data, other)):
        (tmp_path / f"home-{number}" / ".mxnet" / "datasets").mkdir(parents=True)
        (tmp_path / f"home-{number}" / ".mxnet" / "datasets" / "voc").symlink_to(place)
    group = Group(2, [*map(str, YOLO), "--runs", str(tmp_path), "--name", "unlike", "--dataset", "voc"], tmp_path,
                  home=lambda number: tmp_path / f"home-{number}")
    ended = group.wait()
    assert all(worker.status == 2 for worker in ended)
    assert all("is another one than that of worker 0" in worker.err for worker in ended)
