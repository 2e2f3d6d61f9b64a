"""The script as a user runs it, on a small real set; what it shares with train_yolo3.py is tested there."""
import json
import random
import signal
import subprocess
import sys

import pytest

from tests.scripts import ROOT, Script, after_rows, in_the_middle_of_a_checkpoint, parameters, wait_for
from tests.tiny_sets import write_voc_set

SMALL = ("--dataset voc --network darknet-mini --use-fpn --norm-layer syncbn --pretrained-base shipped --image-short 64 "
         "--image-max-size 96 --rpn-channel 16 --num-fpn-filters 16 --num-box-head-conv 1 --num-box-head-conv-filters 16 "
         "--num-box-head-dense-filters 32 --anchor-scales 1,1.5,2,3,4 --anchor-alloc-size 32,32 --rpn-min-size 2 "
         "--rpn-train-pre-nms 100 --rpn-train-post-nms 50 --rpn-test-pre-nms 50 --rpn-test-post-nms 20 "
         "--rcnn-num-samples 32 --batch-size 2 --epochs 3 --lr 0.01 --lr-mode cosine --lr-warmup 3 --mixup "
         "--no-mixup-epochs 1 --label-smooth-eps 0.1 -j 1 --log-interval 2 --seed 3")
SCRIPT = Script("train_faster_rcnn.py", SMALL)
training, kill_and_resume = SCRIPT.training, SCRIPT.kill_and_resume
SINGLE_LEVEL = ("--dataset voc --network resnet18_v1b --pretrained-base no --image-short 64 --image-max-size 96 "
                "--rpn-channel 16 --roi-size 4,4 --anchor-scales 1,2 --anchor-alloc-size 32,32 --rpn-min-size 2 "
                "--rcnn-num-samples 16 --epochs 2 -j 0 --no-augment --mixup even --mixup-loss global "
                "--no-mixup-epochs 1 --verbose").split()


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """A folder with a set of images of two shapes and a run that nobody interrupted."""
    return SCRIPT.folder_of_a_run(tmp_path_factory.mktemp("work"), 8)


@pytest.mark.slow  # tests/contracts.py has a run without the freebies
def test_the_last_line_is_the_outcome_and_the_folder_is_complete(folder):
    outcome = json.loads((folder / "outcome.json").read_text())
    assert outcome["run"] == "runs/whole" and 0 <= outcome["map"] <= 1 and outcome["iterations"] == 12
    place = folder / "runs" / "whole"
    for name in ("config.json", "metrics.csv", "intervals.csv", "last.params", "best.params", "classes.txt",
                 "epoch-0001.params", "images/training_images.png", "images/validation_images.png"):
        assert (place / name).stat().st_size > 0, name
    assert (place / "metrics.csv").read_text().startswith("epoch,iteration,learning_rate,rpn_class_loss,rpn_box_loss,"
                                                          "head_class_loss,head_box_loss")


@pytest.mark.slow  # tests/data/test_loader.py compares batches, tests/test_train_yolo3.py a run
@pytest.mark.parametrize("workers", ("0", "3"))
def test_the_workers_number_changes_no_bit(folder, workers):
    assert SCRIPT.run(folder, *training(folder, f"workers-{workers}"), "-j", workers).returncode == 0
    assert parameters(folder, f"workers-{workers}") == parameters(folder, "whole")


@pytest.mark.slow  # tests/contracts.py kills and resumes a smaller one, tests/test_train_yolo3.py kills while it writes
def test_killed_while_it_writes_a_checkpoint_it_goes_on_to_the_bit(folder):
    kill_and_resume(folder, "killed-writing", in_the_middle_of_a_checkpoint(1))


@pytest.mark.slow
@pytest.mark.parametrize("moment", range(4))
def test_killed_at_random_moments_it_goes_on_to_the_bit(folder, moment):
    rng = random.Random(moment)
    kill_and_resume(folder, f"killed-{moment}", rng.choice((after_rows("intervals", rng.randint(1, 5)),
                                                            after_rows("metrics", rng.randint(1, 2)),
                                                            in_the_middle_of_a_checkpoint(0))))


@pytest.mark.slow  # tests/training/test_engine.py stops within an epoch, tests/test_train_yolo3.py by a script
def test_stopped_within_an_epoch_it_goes_on_to_the_bit(folder):
    with SCRIPT.start(folder, *training(folder, "stopped")) as process:
        wait_for(process, lambda: after_rows("intervals", 1)(folder / "runs" / "stopped"))
        process.send_signal(signal.SIGINT)
        _, errors = process.communicate(timeout=60)
    assert process.returncode == 130 and "--resume runs/stopped" in errors and "Traceback" not in errors
    assert SCRIPT.run(folder, "--resume", "runs/stopped").returncode == 0
    assert parameters(folder, "stopped") == parameters(folder, "whole")


@pytest.mark.slow  # tests/test_train_yolo3.py has it of the same command
def test_evaluate_agrees_with_the_run(folder):
    answer = subprocess.run([sys.executable, "-m", "gluon_bof", "evaluate", str(folder / "runs/whole"), "--last"],
                            cwd=ROOT, capture_output=True, text=True)
    assert answer.returncode == 0, answer.stderr
    outcome = json.loads(answer.stdout)
    assert outcome["map"] == json.loads((folder / "outcome.json").read_text())["map"] and outcome["images"] == 4


@pytest.mark.slow  # tests/models/faster_rcnn/ hold its network, losses and mixup
def test_the_single_level_network_trains_frozen_with_gluoncvs_mixup(folder):
    words = [*SINGLE_LEVEL, "--dataset-root", str(folder / "set"), "--name", "single", "--save-prefix", "saved_"]
    finished = SCRIPT.run(folder, *words)
    assert finished.returncode == 0, finished.stderr
    assert "normalisation is frozen" in finished.stderr and "trained parameters: " in finished.stderr
    names = [path.name for path in folder.glob("saved_*")]
    assert "saved_faster_rcnn_resnet18_v1b_voc_best.params" in names and len(names) == 3


@pytest.mark.slow
def test_a_custom_model_trains(folder):
    words = [word for word in training(folder, "custom") if word != "--use-fpn"]
    finished = SCRIPT.run(folder, *words, "--epochs", "1", "--no-mixup-epochs", "0", "--lr-warmup", "1",
                          "custom-model", "--num-fpn-filters", "8", "--roi-size", "6,6")
    assert finished.returncode == 0, finished.stderr


def test_a_loss_that_is_not_finite_is_named_though_proposals_are_not_finite_either(tmp_path):
    write_voc_set(tmp_path / "set", images=4, validation=2)
    assert "lr" in SCRIPT.refused(tmp_path, *training(tmp_path, "wild"), "--lr", "1e30", "--lr-warmup", "0", "-j", "0")
