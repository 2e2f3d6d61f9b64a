"""Flags, defaults and refusals of the scripts, through the real parser."""
import json
import subprocess
import sys
import time
from dataclasses import fields, replace
from pathlib import Path

import pytest

import train_faster_rcnn
import train_yolo3
from gluon_bof.errors import UserError
from gluon_bof.options.families import FAMILIES, by_name
from gluon_bof.options.flags import build_parser
from gluon_bof.options.yolo3 import Yolo3Options
from tests.command_lines import refused

ROOT = Path(__file__).resolve().parents[2]

# `vars(parse_args([]))` of GluonCV 0.10.5's scripts/detection/yolo/train_yolo3.py
OFFICIAL_DEFAULTS = dict(
    network="darknet53", data_shape=416, batch_size=64, num_workers=4, epochs=200, resume="", start_epoch=0, lr=0.001,
    lr_mode="step", lr_decay=0.1, lr_decay_period=0, lr_decay_epoch="160,180", warmup_lr=0.0, warmup_epochs=0,
    momentum=0.9, wd=0.0005, log_interval=100, save_prefix="", save_interval=10, val_interval=1, seed=233,
    num_samples=-1, syncbn=False, no_random_shape=False, no_wd=False, mixup=False, no_mixup_epochs=20,
    label_smooth=False, amp=False, horovod=False)

PUBLISHED = {
    "--network darknet53 --dataset coco --gpus 0,1,2,3,4,5,6,7 --batch-size 64 -j 32 --log-interval 100 "
    "--lr-decay-epoch 220,250 --epochs 280 --syncbn --warmup-epochs 2 --mixup --no-mixup-epochs 20 --label-smooth "
    "--no-wd": dict(OFFICIAL_DEFAULTS, dataset="coco", gpus="0,1,2,3,4,5,6,7", num_workers=32, lr_decay_epoch="220,250",
                    epochs=280, syncbn=True, warmup_epochs=2, mixup=True, label_smooth=True, no_wd=True),
    "--network darknet53 --dataset voc --gpus 0,1,2,3,4,5,6,7 --batch-size 64 -j 16 --log-interval 100 "
    "--lr-decay-epoch 160,180 --epochs 200 --syncbn --warmup-epochs 4": dict(
        OFFICIAL_DEFAULTS, dataset="voc", gpus="0,1,2,3,4,5,6,7", num_workers=16, syncbn=True, warmup_epochs=4),
    "--network mobilenet1.0 --dataset coco --gpus 0,1,2,3,4,5,6,7 --batch-size 64 -j 32 --log-interval 100 "
    "--lr-decay-epoch 220,250 --epochs 280 --syncbn --warmup-epochs 2": dict(
        OFFICIAL_DEFAULTS, network="mobilenet1.0", dataset="coco", gpus="0,1,2,3,4,5,6,7", num_workers=32,
        lr_decay_epoch="220,250", epochs=280, syncbn=True, warmup_epochs=2),
    "--network mobilenet1.0 --dataset voc --gpus 0,1,2,3,4,5,6,7 --batch-size 64 -j 32 --log-interval 100 "
    "--lr-decay-epoch 160,180 --epochs 200 --syncbn --warmup-epochs 4": dict(
        OFFICIAL_DEFAULTS, network="mobilenet1.0", dataset="voc", gpus="0,1,2,3,4,5,6,7", num_workers=32, syncbn=True,
        warmup_epochs=4),
}


def dry_run(words, capsys):
    train_yolo3.main(words.split() + ["--dry-run"])
    return json.loads(capsys.readouterr().out)


def test_defaults_are_the_official_ones(capsys):
    resolved = dry_run("--dataset voc", capsys)
    assert {name: resolved[name] for name in OFFICIAL_DEFAULTS} == OFFICIAL_DEFAULTS


def test_without_a_data_set_the_embedded_job_runs_with_every_freebie(capsys):
    resolved = dry_run("", capsys)
    assert resolved["dataset"] == "shapes" and resolved["mixup"] is True and resolved["label_smooth_eps"] > 0
    assert resolved["lr_mode"] == "cosine" and resolved["syncbn"] and not resolved["no_random_shape"]
    assert not resolved["no_augment"] and resolved["no_mixup_epochs"] < resolved["epochs"]
    assert dry_run("--epochs 9", capsys)["epochs"] == 9


def test_a_flag_that_stands_for_another_of_the_recipes_takes_its_place(capsys):
    found = dry_run("--label-smooth", capsys)
    assert found["label_smooth"] is True and found["label_smooth_eps"] == 0
    found = dry_run("--recipe table-2/mixup --cpus 2", capsys)
    assert found["cpus"] == 2 and found["gpus"] is None
    assert "give one" in refused(train_yolo3.main, capsys, "--label-smooth", "--label-smooth-eps", "0.1", "--dry-run")


def test_every_official_flag_is_accepted():
    flags = {option for action in build_parser(Yolo3Options, "")._actions for option in action.option_strings}
    assert {"--" + name.replace("_", "-") for name in OFFICIAL_DEFAULTS} | {"-j", "--gpus", "--dataset"} <= flags


def test_mixup_takes_even_beta_or_nothing(capsys):
    assert dry_run("--dataset voc --mixup", capsys)["mixup"] is True
    assert dry_run("--dataset voc --mixup beta", capsys)["mixup"] is True
    assert dry_run("--dataset voc --mixup even", capsys)["mixup"] == "even"


def test_help_and_dry_run_answer_at_once_and_without_mxnet():
    for flag in ("--help", "--dry-run"):
        code = (f"import sys, train_yolo3\ntry:\n    train_yolo3.main(['{flag}'])\nexcept SystemExit as stop:\n"
                "    assert not stop.code\nassert 'mxnet' not in sys.modules and 'numpy' not in sys.modules")
        began = time.perf_counter()
        subprocess.run([sys.executable, "-c", code], check=True, cwd=ROOT, stdout=subprocess.DEVNULL)
        assert time.perf_counter() - began < 10  # the claim of one second is measured elsewhere; this only catches a hang


@pytest.mark.parametrize("words,named", (
    ("--no-such-flag", "--no-such-flag"), ("--epochs ten", "--epochs"), ("--epochs 0", "--epochs"),
    ("--batch-size 0", "--batch-size"), ("--batch-size -4", "--batch-size"), ("-j -1", "--num-workers"),
    ("--lr 0", "--lr"), ("--lr nan", "--lr"), ("--lr -0.1", "--lr"), ("--lr inf", "--lr"),
    ("--lr-mode linear", "--lr-mode"), ("--lr-decay 2", "--lr-decay"), ("--lr-decay-epoch a,b", "--lr-decay-epoch"),
    ("--network vgg16", "--network"), ("--data-shape 300", "--data-shape"), ("--data-shape 0", "--data-shape"),
    ("--data-shape 1056", "--data-shape"), ("--transfer shapes --pretrained-base a.params", "--transfer"),
    ("--random-shapes 320", "--random-shapes"), ("--random-shapes 608,320", "--random-shapes"),
    ("--random-shapes " + "9" * 400, "is not a list of whole numbers"),
    ("--random-shapes 300,600", "--random-shapes"), ("--random-shapes x,y", "--random-shapes"),
    ("--random-shape-interval 0", "--random-shape-interval"), ("--mixup odd", "--mixup"),
    ("--mixup-alpha 0", "--mixup-alpha"), ("--mixup-beta -1", "--mixup-beta"), ("--mixup-alpha 1e-9", "is below 0.001"),
    ("--mixup-loss both", "--mixup-loss"),
    ("--mixup-loss global", "Faster and Mask R-CNN only"),
    ("--no-mixup-epochs -1", "--no-mixup-epochs"), ("--label-smooth-eps 1", "--label-smooth-eps"),
    ("--label-smooth-eps -0.1", "--label-smooth-eps"), ("--label-smooth --label-smooth-eps 0.1", "--label-smooth"),
    ("--momentum 1", "--momentum"), ("--momentum -1", "--momentum"), ("--wd -1", "--wd"), ("--wd nan", "--wd"),
    ("--warmup-epochs 13 --epochs 13", "--warmup-epochs"), ("--warmup-lr 1", "--warmup-lr"),
    ("--dataset voc --scale-lr --batch-size 8 --warmup-epochs 2 --warmup-lr 0.0005", "0.000125 by --scale-lr"),
    ("--num-samples 0", "--num-samples 0 is no number of images"), ("--num-samples -2", "--num-samples -2"),
    ("--optimizer lamb", "--optimizer"), ("--beta1 1", "--beta1"), ("--epsilon 0", "--epsilon"),
    ("--seed -1", "--seed"), ("--seed x", "--seed"), (f"--seed {2 ** 64}", "is above"), ("--keep 0", "--keep"),
    ("--val-interval 0", "--val-interval"),
    ("--on-bad-sample ignore", "--on-bad-sample"), ("--metric map", "--metric"), ("--name ../x", "--name"),
    ("--start-epoch 99", "--start-epoch"), ("--save-interval -1", "--save-interval"), ("extra", "extra"),
))
def test_options_that_cannot_work_are_refused_by_name(words, named, capsys):
    assert named in refused(train_yolo3.main, capsys, *words.split())


@pytest.mark.parametrize("main", (train_yolo3.main, train_faster_rcnn.main))
@pytest.mark.parametrize("words, told", (
    ("--save-dir runs/a", "unrecognized arguments: --save-dir runs/a; see"),
    ("elsewhere", "unrecognized arguments: elsewhere; see"),
    ("--dataset=voc --no-augmented", "unrecognized arguments: --no-augmented (is --no-augment meant?); see")))
def test_a_flag_that_is_not_known_is_named_not_its_value_and_so_is_the_one_that_it_looks_like(main, words, told, capsys):
    """Faster R-CNN took the value for GluonCV's word custom-model, and complained of it alone."""
    assert told in refused(main, capsys, *words.split())


@pytest.mark.parametrize("family", ("yolo3", "faster_rcnn", "ssd", "mask_rcnn", "segmentation"))
def test_a_folder_in_place_of_a_backbones_weights_is_refused_with_the_file_in_it(family, tmp_path, monkeypatch):
    """It was, after the sets were read, a file that cannot be read."""
    monkeypatch.chdir(tmp_path)
    for folder in ("runs/c", "shipped"):
        (tmp_path / folder).mkdir(parents=True)
    options = by_name(family).options(dataset="voc").resolved()
    with pytest.raises(UserError, match="^runs/c: .*takes a file, and this is a folder; of a run give runs/c/last.params$"):
        replace(options, pretrained_base="runs/c").check()
    replace(options, pretrained_base="shipped").check()


@pytest.mark.parametrize("family", FAMILIES, ids=lambda family: family.name)
def test_the_hint_of_an_option_that_may_be_none_says_so(family):
    assert all("None" in field.type for field in fields(family.options) if field.default is None)


@pytest.mark.parametrize("family", FAMILIES, ids=lambda family: family.name)
def test_a_rate_that_would_decay_before_the_first_epoch_is_refused(family):
    """The whole run had a tenth of --lr."""
    for epochs, told in (((-3,), "-3"), ((8, 0), "8,0")):
        with pytest.raises(UserError, match=f"^--lr-decay-epoch {told}: by a step schedule all epochs would have the decayed"):
            replace(family.options(dataset="voc"), lr_decay_epoch=epochs).resolved().check()


def test_mixup_that_never_happens_is_said(capsys):
    train_yolo3.main("--dataset voc --mixup --epochs 20 --dry-run".split())
    assert "--mixup does nothing" in capsys.readouterr().err


@pytest.mark.parametrize("family, name", (("yolo3", "yolo3_darknet53"), ("ssd", "ssd_512_resnet50_v1"),
                                          ("faster_rcnn", "faster_rcnn_resnet50_v1b"), ("mask_rcnn", "mask_rcnn_resnet50_v1b"),
                                          ("segmentation", "fcn_resnet50")))
def test_a_name_of_ones_own_set_is_not_taken_for_vocs(family, name):
    told = by_name(family).options.from_file_name
    for ending in ("", ".params", "_best.params", "_0010_0.7312.params", "-1a2b3c4d.params", "-0000.params", "_best",
                   "_last.params", "-best.params", "-1a2b3c4d", "_0010", *(f"{ending} (1).params" for ending in
                   ("", "_best", "_0010_0.7312", "-1a2b3c4d"))):
        assert told(f"{name}_voc{ending}"), ending
    for ending in ("_cards_best.params", "_2007cards_best.params", "_2007_cards_best.params", "-cards_best.params",
                   "_best_cards.params", "_best-cards.params", "_lasts.params", "_int8", ".cards_best.params"):
        assert told(f"{name}_voc{ending}") == {}, ending
