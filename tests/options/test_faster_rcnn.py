"""train_faster_rcnn.py's flags against GluonCV's script's meanings and defaults."""
import dataclasses
import itertools
import json
import re

import pytest

import train_faster_rcnn
from gluon_bof.options.faster_rcnn import FasterRcnnOptions
from gluon_bof.options.flags import NUMBERS
from gluon_bof.options.mask_rcnn import MaskRcnnOptions
from tests.command_lines import faster_rcnn_options, refused

VOC = dict(epochs=20, lr=0.001, lr_decay_epoch="14,20", lr_warmup=-1, wd=5e-4, lr_decay=0.1, momentum=0.9,
           batch_size=1, num_workers=4, log_interval=100, save_interval=1, val_interval=1, seed=233, mixup=False,
           no_mixup_epochs=20, norm_layer=None, rpn_smoothl1_rho=1 / 9, rcnn_smoothl1_rho=1.0, use_fpn=False,
           static_alloc=False, amp=False, horovod=False, executor_threads=1, kv_store="nccl", start_epoch=0,
           lr_warmup_factor=1 / 3, disable_hybridization=False, network="resnet50_v1b", custom_model=False)
COCO = dict(VOC, epochs=26, lr=0.00125, lr_decay_epoch="17,23", lr_warmup=1000, wd=1e-4)
EIGHT = "--gpus 0,1,2,3,4,5,6,7 --dataset coco"
PUBLISHED = {
    "--gpus 0,1,2,3 --dataset voc --network resnet50_v1b": dict(VOC, gpus="0,1,2,3", dataset="voc"),
    f"{EIGHT} --batch-size 16 --use-fpn --lr 0.02 --lr-warmup 500 --rpn-smoothl1-rho 0.001 --rcnn-smoothl1-rho 0.001 -j16 "
    "--network resnest50 --executor-threads 8 --val-interval 1 --epochs 26 --lr-decay-epoch 20,24 "
    "--lr-warmup-factor 0.3333 --norm-layer syncbn --disable-hybridization":
        dict(COCO, batch_size=16, use_fpn=True, lr=0.02, lr_warmup=500, rpn_smoothl1_rho=0.001, rcnn_smoothl1_rho=0.001,
             num_workers=16, network="resnest50", executor_threads=8, lr_decay_epoch="20,24", lr_warmup_factor=0.3333,
             norm_layer="syncbn", disable_hybridization=True, image_short="640,800", rpn_channel=256, num_box_head_conv=4),
    f"{EIGHT} --batch-size 8 --use-fpn --lr 0.01 --lr-warmup 1000 --rpn-smoothl1-rho 0.001 --rcnn-smoothl1-rho 0.001 -j16 "
    "--network resnest269 --executor-threads 8 --val-interval 1 --epochs 26 --lr-decay-epoch 20,24 "
    "--lr-warmup-factor 0.3333 --norm-layer syncbn --disable-hybridization":
        dict(COCO, batch_size=8, use_fpn=True, lr=0.01, rpn_smoothl1_rho=0.001, rcnn_smoothl1_rho=0.001, num_workers=16,
             network="resnest269", executor_threads=8, lr_decay_epoch="20,24", lr_warmup_factor=0.3333,
             norm_layer="syncbn", disable_hybridization=True, image_short="640,864", image_max_size=1440),
    f"{EIGHT} --network resnet101_v1d --epochs 26 --lr-decay-epoch 17,23 --val-interval 2 --use-fpn":
        dict(COCO, network="resnet101_v1d", val_interval=2, use_fpn=True, rcnn_num_samples=512, roi_size="7,7"),
    f"{EIGHT} --network resnet101_v1d --epochs 26 --lr-decay-epoch 17,23 --val-interval 26":
        dict(COCO, network="resnet101_v1d", val_interval=26, rcnn_num_samples=128, roi_size="14,14"),
    f"{EIGHT} --network resnet50_v1b --epochs 26 --lr-decay-epoch 17,23 --val-interval 2 --use-fpn":
        dict(COCO, val_interval=2, use_fpn=True, nms_thresh=0.5, clip=4.14),
    f"{EIGHT} --network resnet50_v1b --epochs 26 --lr-decay-epoch 17,23 --val-interval 26":
        dict(COCO, val_interval=26, image_short="800", image_max_size=1300),
}


def test_without_a_data_set_the_embedded_job_runs_with_every_freebie(capsys):
    train_faster_rcnn.main(["--dry-run"])
    found = json.loads(capsys.readouterr().out)
    assert found["dataset"] == "shapes" and found["mixup"] is True and found["label_smooth_eps"] == 0.1
    assert found["lr_mode"] == "cosine" and found["lr_warmup"] > 0 and found["norm_layer"] == "syncbn"
    assert found["epochs"] > found["no_mixup_epochs"]


def test_the_word_custom_model_has_gluoncvs_defaults_and_takes_flags_before_and_after_it():
    found = faster_rcnn_options("--dataset voc --network resnet18_v1b --norm-layer syncbn --rpn-channel 128 custom-model",
                                "--num-fpn-filters 64 --num_box_head_dense_filters 512 --no-pretrained-base",
                                "--image-short 640,800")
    expected = dict(custom_model=True, use_fpn=True, num_fpn_filters=64, num_box_head_dense_filters=512, rpn_channel=128,
                    num_box_head_conv=4, num_box_head_conv_filters=256, image_short=(640, 800), image_max_size=1333,
                    nms_thresh=0.5, nms_topk=-1, post_nms=-1, roi_mode="align", roi_size=(7, 7), strides=(4, 8, 16, 32, 64),
                    clip=4.14, anchor_base_size=16, anchor_aspect_ratio=(0.5, 1, 2), anchor_scales=(2, 4, 8, 16, 32),
                    anchor_alloc_size=(384, 384), rpn_nms_thresh=0.7, rpn_train_pre_nms=12000, rpn_train_post_nms=2000,
                    rpn_test_pre_nms=6000, rpn_test_post_nms=1000, rpn_min_size=1, rcnn_num_samples=512,
                    rcnn_pos_iou_thresh=0.5, rcnn_pos_ratio=0.25, max_num_gt=100, pretrained_base="no")
    assert {name: getattr(found, name) for name in expected} == expected
    found.check()
    assert faster_rcnn_options("--name custom-model").custom_model is False


@pytest.mark.parametrize("family", (FasterRcnnOptions, MaskRcnnOptions))
def test_the_help_of_a_part_tells_every_default_that_it_has_and_no_other(family):
    parts = [field for field in dataclasses.fields(family) if field.metadata.get("part") and "default" in field.metadata["help"]]
    builds = itertools.product(("voc", "coco"), family.__dataclass_fields__["network"].metadata["choices"], (False, True),
                               (None, "syncbn"))
    resolved = [family(dataset=dataset, network=network, use_fpn=pyramid, norm_layer=norm).resolved()
                for dataset, network, pyramid, norm in builds]
    for field in parts:
        told = field.metadata["help"].rpartition("; default ")[2]
        values = {getattr(options, field.name) for options in resolved}
        written = {value if isinstance(value, str) else NUMBERS.write(value if isinstance(value, tuple) else (value,))
                   for value in values}
        assert set(re.findall(r"(?<![\w.,])(?:-?\d[\d.]*(?:,[\d.]+)*|align)", told)) == written, field.name


@pytest.mark.parametrize("words, base", (("--no-pretrained-base", "no"), ("--resume a.params", "shipped"),
                                         ("--transfer a.params", "shipped")))
def test_a_recipes_base_is_no_second_start(words, base):
    options = faster_rcnn_options(words)
    options.check()
    assert options.pretrained_base == base and options.resolved() == options


@pytest.mark.parametrize("family", (FasterRcnnOptions, MaskRcnnOptions))
@pytest.mark.parametrize("changes, is_told", (({}, True), ({"norm_layer": "syncbn"}, False), ({"resume": "runs/a"}, False),
                                              ({"resume": "auto"}, True),
                                              ({"transfer": "a.params"}, False), ({"pretrained_base": "yes"}, False)))
def test_a_frozen_network_that_nothing_has_trained_is_warned_of_before_it_trains(family, changes, is_told, caplog):
    family(**{"pretrained_base": "no", **changes}).resolved().check()
    assert ("normalisation is frozen and the backbone is untrained" in caplog.text) is is_told


def test_a_resolved_configuration_stays_as_it_is():
    options = faster_rcnn_options("--dataset coco --use-fpn --norm-layer syncbn")
    assert options.resolved() == options


@pytest.mark.parametrize("words, named", [
    ("--network vgg16", "--network"), ("--batch-size 0", "--batch-size"), ("--image-short 0", "--image-short"),
    ("--image-short 800,600", "--image-short"), ("--image-short 5,6,7", "--image-short"),
    ("--image-max-size 300", "--image-max-size"), ("--roi-size 7", "--roi-size"), ("--strides 8", "--strides"),
    ("--use-fpn --anchor-scales 2,4", "--anchor-scales"), ("--anchor-scales x", "--anchor-scales"),
    ("--anchor-alloc-size 8,8", "--anchor-alloc-size"), ("--lr-warmup-factor 2", "--lr-warmup-factor"),
    ("--rcnn-pos-ratio 0", "--rcnn-pos-ratio"), ("--rcnn-pos-ratio 1", "no place for background"),
    ("--rcnn-num-samples 3", "no place for objects"),
    ("--rpn-train-post-nms 100", "--rcnn-num-samples 128"), ("--rpn-train-pre-nms 90", "--rcnn-num-samples 128"),
    ("--rpn-smoothl1-rho -1", "--rpn-smoothl1-rho"), ("--nms-thresh -1", "--nms-thresh"), ("--nms-thresh nan", "--nms-thresh"),
    ("--rpn-nms-thresh -0.1", "--rpn-nms-thresh"),
    ("--mixup --no-mixup-epochs 1 --mixup-loss global", "--mixup even"), ("--amp --norm-layer syncbn", "--amp"),
    ("--norm-layer gn", "--norm-layer"), ("--lr nan", "--lr"), ("--epochs 0", "--epochs"), ("--nonsense", "--nonsense"),
    ("--lr-decay-epoch a,b", "--lr-decay-epoch"), ("--label-smooth-eps 1", "--label-smooth-eps"),
    ("--pretrained-base shipped --no-pretrained-base", "are two starts"),
    ("--resume a.params --pretrained-base shipped-mixup", "--resume a.params and --pretrained-base shipped-mixup are two"),
    ("custom-model --nonsense", "--nonsense"), ("something", "something"),
    # it took the value for the word
    ("--nonsense 3 custom-model --clip 4", "unrecognized arguments: --nonsense 3; see"),
    ("custom-model custom-model", "unrecognized arguments: custom-model; see")])
def test_options_that_cannot_work_are_refused_by_name(words, named, capsys):
    assert named in refused(train_faster_rcnn.main, capsys, "--dataset", "voc", *words.split(), "--dry-run")
