"""The script as a user runs it; what it shares with the other families' is tested by tests/contracts.py."""
import json
import shutil

import pytest

from gluon_bof.backend import mx
from tests.scripts import Script, after_rows, parameters
from tests.tiny_sets import write_voc_set

SMALL = ("--dataset voc --network darknet-mini --use-fpn --norm-layer syncbn --pretrained-base shipped --image-short 64 "
         "--image-max-size 96 --rpn-channel 16 --num-fpn-filters 16 --num-box-head-conv 0 --num-box-head-dense-filters 32 "
         "--mask-channels 8 --num-mask-head-convs 1 --anchor-scales 1,1.5,2,3,4 --anchor-alloc-size 32,32 --rpn-min-size 2 "
         "--rpn-train-pre-nms 100 --rpn-train-post-nms 50 --rpn-test-pre-nms 50 --rpn-test-post-nms 20 --rcnn-num-samples 32 "
         "--batch-size 2 --epochs 3 --lr 0.01 --lr-mode cosine --lr-warmup 3 --mixup --no-mixup-epochs 1 --label-smooth-eps 0.1 "
         "--clip-gradient 5 -j 1 --log-interval 2 --seed 3")
SCRIPT = Script("train_mask_rcnn.py", SMALL)
training = SCRIPT.training


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """A folder with a set of images with masks and a run that nobody interrupted, every freebie on."""
    return SCRIPT.folder_of_a_run(tmp_path_factory.mktemp("work"), 8)


@pytest.mark.slow  # tests/contracts.py has a run without the freebies
def test_with_every_freebie_the_folder_is_complete_and_says_both_scores(folder):
    outcome = json.loads((folder / "outcome.json").read_text())
    assert outcome["iterations"] == 12 and 0 <= outcome["map"] <= 1 and 0 <= outcome["box_map"] <= 1
    assert (folder / "runs/whole/metrics.csv").read_text().split("\n")[0].count("_loss") == 6
    assert (folder / "runs/whole/images/validation_images.png").stat().st_size > 0


@pytest.mark.slow  # tests/models/mask_rcnn/test_batch.py compares batches
@pytest.mark.parametrize("workers", ("0", "3"))
def test_the_workers_number_changes_no_bit(folder, workers):
    assert SCRIPT.run(folder, *training(folder, f"workers-{workers}"), "-j", workers).returncode == 0
    assert parameters(folder, f"workers-{workers}") == parameters(folder, "whole")


@pytest.mark.slow  # tests/contracts.py resumes a run without the freebies
def test_killed_with_every_freebie_it_goes_on_to_the_bit(folder):
    SCRIPT.kill_and_resume(folder, "killed", after_rows("metrics", 1))


@pytest.mark.slow
def test_weights_decay_and_biases_do_not_as_in_gluoncvs_script(tmp_path):
    write_voc_set(tmp_path / "set", images=2, validation=2)
    found = []
    for decay in ("0", "1"):  # of one update
        words = ("--epochs", "1", "--lr-warmup", "0", "--no-mixup-epochs", "0", "--wd", decay)
        assert SCRIPT.run(tmp_path, *training(tmp_path, f"decay-{decay}"), *words).returncode == 0
        found.append(mx.nd.load(str(tmp_path / f"runs/decay-{decay}/last.params")))
    same = {name for name, values in found[0].items() if (values == found[1][name]).asnumpy().all()}
    biases = {name for name in found[0] if name.endswith("bias")}
    assert biases and biases <= same and "mask.deconv.0.weight" in found[0].keys() - same


@pytest.mark.slow
def test_the_embedded_job_finds_masks(tmp_path):
    finished = SCRIPT.run(tmp_path, "--epochs", "2", "--val-interval", "2", "--name", "embedded", seconds=1800)
    assert finished.returncode == 0, finished.stderr
    assert json.loads(finished.stdout.splitlines()[-1])["map"] >= 0.6


def test_a_set_without_masks_is_one_line(tmp_path):
    write_voc_set(tmp_path / "set", images=4, validation=2)
    shutil.rmtree(tmp_path / "set" / "VOC2007" / "SegmentationObject")
    assert "no masks" in SCRIPT.refused(tmp_path, *training(tmp_path, "without"))


def test_a_warm_up_that_does_not_fit_is_told_before_a_backbone_is_fetched_or_read(tmp_path):
    write_voc_set(tmp_path / "set", images=4, validation=2)
    (tmp_path / "foreign.params").write_text("no weights")
    told = SCRIPT.refused(tmp_path, *training(tmp_path, "warm"), "--lr-warmup", "1000", "--pretrained-base", "foreign.params")
    assert "does not fit into a run of 6" in told and "--lr-warmup" in told
