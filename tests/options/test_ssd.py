"""train_ssd.py's flags against GluonCV's script's meanings and defaults."""
import json

import pytest

import train_ssd
from gluon_bof.errors import UserError
from gluon_bof.options.flags import as_dict, build_parser
from gluon_bof.options.ssd import NETWORKS, SsdOptions
from gluon_bof.weights.resolve import resolve
from tests.command_lines import ssd_options

# `vars(parse_args([]))` of GluonCV 0.10.5's scripts/detection/ssd/train_ssd.py
OFFICIAL_DEFAULTS = dict(
    network="vgg16_atrous", data_shape=300, batch_size=32, num_workers=4, epochs=240, resume="", start_epoch=0, lr=0.001,
    lr_decay=0.1, lr_decay_epoch="160,200", momentum=0.9, wd=0.0005, log_interval=100, save_prefix="", save_interval=10,
    val_interval=1, seed=233, syncbn=False, dali=False, amp=False, horovod=False)
COCO = dict(OFFICIAL_DEFAULTS, val_interval=10)  # which the script sets for COCO
FOUR = "--gpus 0,1,2,3 -j 32 --network"
SCHEDULE = "--lr 0.001 --lr-decay-epoch 160,200 --lr-decay 0.1 --epochs 240"
# its model zoo's commands, but for `horovodrun -np 4` before the one with --horovod
PUBLISHED = {f"{FOUR} {network} --data-shape {side} --dataset {dataset} {SCHEDULE}{more}": dict(
    defaults, num_workers=32, gpus="0,1,2,3", network=network.replace("1_0", "1.0"), data_shape=side, dataset=dataset, **changes)
    for dataset, defaults, network, side, more, changes in (
        ("voc", OFFICIAL_DEFAULTS, "vgg16_atrous", 300, "", {}),
        ("voc", OFFICIAL_DEFAULTS, "vgg16_atrous", 512, " --batch-size 32", {}),
        ("voc", OFFICIAL_DEFAULTS, "resnet50_v1", 512, "", {}),
        ("voc", OFFICIAL_DEFAULTS, "mobilenet1_0", 512, "", {}),
        ("coco", COCO, "vgg16_atrous", 300, "", {}),
        ("coco", COCO, "vgg16_atrous", 512, "", {}),
        ("coco", COCO, "resnet34_v1b", 300, " --batch-size 64 --dali --horovod", dict(batch_size=64, dali=True, horovod=True)),
        ("coco", COCO, "resnet50_v1", 512, "", {}),
        ("coco", COCO, "mobilenet1.0", 512, "", {}))}


def dry_run(words, capsys):
    train_ssd.main(words.split() + ["--dry-run"])
    return json.loads(capsys.readouterr().out)


def test_defaults_are_the_official_ones(capsys):
    resolved = dry_run("--dataset voc", capsys)
    assert {name: resolved[name] for name in OFFICIAL_DEFAULTS} == OFFICIAL_DEFAULTS
    assert [resolved[name] for name in ("mixup", "label_smooth_eps", "lr_mode", "optimizer")] == [False, 0, "step", "sgd"]


def test_every_official_flag_is_accepted():
    flags = {option for action in build_parser(SsdOptions, "")._actions for option in action.option_strings}
    assert {"--" + name.replace("_", "-") for name in OFFICIAL_DEFAULTS} <= flags
    assert {"-j", "--gpus", "--dataset", "--dataset-root"} <= flags


def test_without_a_data_set_the_embedded_job_runs_with_every_freebie(capsys):
    found = dry_run("", capsys)
    assert found["dataset"] == "shapes" and found["mixup"] is True and found["label_smooth_eps"] > 0
    assert found["lr_mode"] == "cosine" and found["syncbn"] and found["random_shapes"] and found["warmup_epochs"] > 0
    assert not found["no_augment"] and found["no_mixup_epochs"] < found["epochs"]


@pytest.mark.parametrize("words, named", [
    ("--network vgg16", "--network"), ("--network vgg16_atrous --data-shape 200", "--data-shape 200"),
    ("--network darknet-mini --data-shape 640", "--data-shape 640"), ("--base-shape 512 --network mobilenet0.25", "512 pixels"),
    ("--mixup-loss global", "--mixup-loss global"), ("--random-shapes 300", "--random-shapes 300"),
    ("--random-shapes 300,200", "--random-shapes"), ("--random-shapes 64,300", "--random-shapes 64"),
    ("--random-shape-interval 0", "--random-shape-interval"), ("--warmup-epochs 240", "--warmup-epochs"),
    ("--val-interval 0", "--val-interval")])
def test_what_cannot_work_is_refused_by_name(words, named):
    with pytest.raises(UserError, match=named):
        ssd_options(f"--dataset voc {words}").check()


def test_sizes_that_are_others_than_those_that_were_asked_for_are_told(caplog):
    ssd_options("--dataset voc --network resnet50_v1 --data-shape 400").check()
    ssd_options("--dataset voc --random-shapes 300,512").check()
    assert "made for images of 512 pixels" in caplog.text
    assert "the largest of --random-shapes 300,512 is 492" in caplog.text
    assert not ssd_options("--dataset voc --syncbn").synchronises_batchnorm()
    assert ssd_options("--dataset voc --network resnet50_v1 --data-shape 512 --syncbn").synchronises_batchnorm()


def test_another_test_size_keeps_the_network():
    for network in NETWORKS:
        options = ssd_options(f"--dataset voc --network {network} --data-shape {512 if 'net' in network else 300}")
        again = options.at_size(320)
        assert again.data_shape == 320 and again.made_for() == options.made_for()


def test_a_run_evaluated_at_another_size_keeps_the_network_that_its_weights_fit(tmp_path):
    options = ssd_options("--dataset voc --network vgg16_atrous --data-shape 300")
    (tmp_path / "config.json").write_text(json.dumps({"family": "ssd", "options": as_dict(options)}))
    (tmp_path / "classes.txt").write_text("a\nb\n")
    found = resolve(str(tmp_path), {"data_shape": 512}).options
    assert (found.data_shape, found.made_for()) == (512, 300)
    assert resolve(str(tmp_path), {"data_shape": 512, "base_shape": 512}).options.made_for() == 512


def test_random_shapes_are_sides_in_steps_and_off_without_the_flag():
    assert list(ssd_options("--dataset voc").training_sizes()) == [300]
    options = ssd_options("--dataset voc --network darknet-mini --data-shape 128 --random-shapes 96,160")
    assert list(options.training_sizes()) == [96, 128, 160]
