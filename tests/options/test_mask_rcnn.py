"""train_mask_rcnn.py's flags against GluonCV's script's meanings and defaults."""
import json

import pytest

import train_mask_rcnn
from gluon_bof.options import families
from tests.command_lines import mask_rcnn_options, refused

COCO = dict(dataset="coco", network="resnet50_v1b", epochs=26, lr=0.01, lr_decay_epoch="17,23", lr_warmup=1000, wd=1e-4,
            lr_decay=0.1, momentum=0.9, batch_size=8, num_workers=4, log_interval=100, save_interval=1, val_interval=1, seed=233,
            norm_layer=None, clip_gradient=-1.0, rpn_smoothl1_rho=1 / 9, rcnn_smoothl1_rho=1.0, use_fpn=False,
            static_alloc=False, amp=False, horovod=False, executor_threads=1, kv_store="nccl", start_epoch=0,
            lr_warmup_factor=1 / 3, verbose=False, disable_hybridization=False, custom_model=False, use_ext=False, mixup=False)
# of its model zoo
SINGLE = dict(image_short="800", image_max_size=1333, nms_thresh=0.5, nms_topk=-1, post_nms=-1, roi_mode="align", strides="16",
              roi_size="14,14", clip=4.42, rpn_channel=1024, anchor_base_size=16, anchor_scales="2,4,8,16,32",
              anchor_alloc_size="128,128",
              rpn_nms_thresh=0.7, rpn_train_pre_nms=12000, rpn_train_post_nms=2000, rpn_test_pre_nms=6000, rpn_test_post_nms=1000,
              rpn_min_size=1, rcnn_num_samples=128, rcnn_pos_iou_thresh=0.5, rcnn_pos_ratio=0.25, mask_channels=256,
              rcnn_max_dets=1000, target_roi_scale=1, num_mask_head_convs=0)
SINGLE_18 = dict(SINGLE, rcnn_num_samples=256)
PYRAMID = dict(SINGLE, strides="4,8,16,32,64", anchor_alloc_size="384,384", rcnn_num_samples=512, target_roi_scale=2,
               num_mask_head_convs=4, num_fpn_filters=256, num_box_head_dense_filters=1024)
PYRAMID_18 = dict(PYRAMID, roi_size="7,7", num_mask_head_convs=2)
EIGHT = "--gpus 0,1,2,3,4,5,6,7 --dataset coco"
# https://github.com/dmlc/web-data/tree/master/gluoncv/logs/instance, and the benchmark of its script
PUBLISHED = {
    f"{EIGHT} --network resnet50_v1b --epochs 26 --lr-decay-epoch 17,23 --val-interval 2 --use-fpn":
        dict(COCO, val_interval=2, use_fpn=True, **PYRAMID),
    f"{EIGHT} --network resnet50_v1b --epochs 26 --lr-decay-epoch 17,23 --val-interval 2 --use-fpn -j 32 --executor-threads 8":
        dict(COCO, val_interval=2, use_fpn=True, num_workers=32, executor_threads=8, **PYRAMID),
    f"{EIGHT} --network resnet101_v1d --epochs 26 --lr-decay-epoch 17,23 --val-interval 2 --use-fpn":
        dict(COCO, network="resnet101_v1d", val_interval=2, use_fpn=True, **PYRAMID),
    f"{EIGHT} --network resnet101_v1d --epochs 26 --lr-decay-epoch 17,23 --val-interval 2":
        dict(COCO, network="resnet101_v1d", val_interval=2, **SINGLE),
    f"{EIGHT} --network resnet18_v1b --val-interval 2 -j 8 --verbose --use-fpn":
        dict(COCO, network="resnet18_v1b", val_interval=2, num_workers=8, verbose=True, use_fpn=True, **PYRAMID_18),
    f"{EIGHT} --network resnet18_v1b --val-interval 2 -j 8 --verbose":
        dict(COCO, network="resnet18_v1b", val_interval=2, num_workers=8, verbose=True, **SINGLE_18),
    EIGHT: dict(COCO, **SINGLE),  # published without --dataset, which is coco there
    "--dataset coco -j4 --lr-decay-epoch 8,10 --epochs 12 --log-interval 100 --val-interval 12 --batch-size 16 --use-fpn "
    "--lr 0.02 --lr-warmup-factor 0.03 --lr-warmup 1000 --static-alloc --clip-gradient 1.5 --use-ext --horovod --amp":
        dict(COCO, num_workers=4, lr_decay_epoch="8,10", epochs=12, val_interval=12, batch_size=16, use_fpn=True, lr=0.02,
             lr_warmup_factor=0.03, static_alloc=True, clip_gradient=1.5, use_ext=True, horovod=True, amp=True, **PYRAMID),
    "--dataset coco --num-workers 8 --lr-decay-epoch 10,14 --epochs 12 --val-interval 1 --batch-size 192 --use-fpn --lr 0.16 "
    "--lr-warmup-factor 0.001 --lr-warmup 1600 --static-alloc --clip-gradient 1.5 --use-ext --horovod --amp":
        dict(COCO, num_workers=8, lr_decay_epoch="10,14", epochs=12, batch_size=192, use_fpn=True, lr=0.16, lr_warmup=1600,
             lr_warmup_factor=0.001, static_alloc=True, clip_gradient=1.5, use_ext=True, horovod=True, amp=True, **PYRAMID),
}


@pytest.mark.parametrize("batch_size, lr, warmup", [(8, 0.01, 1000), (4, 0.005, 2000), (1, 0.00125, 8000), (16, 0.02, 1000)])
def test_the_batch_decides_rate_and_warmup_as_in_gluoncvs_script(batch_size, lr, warmup):
    found = mask_rcnn_options(f"--dataset coco --batch-size {batch_size}")
    assert found.lr == pytest.approx(lr) and found.lr_warmup == warmup
    scaled = mask_rcnn_options(f"--dataset coco --batch-size {batch_size} --scale-lr")
    assert scaled.scaled_lr() == pytest.approx(lr)  # the linear rule is already in it, and counts once


def test_without_a_data_set_the_embedded_job_runs_with_every_freebie(capsys):
    train_mask_rcnn.main(["--dry-run"])
    found = json.loads(capsys.readouterr().out)
    assert found["dataset"] == "shapes" and found["mixup"] is True and found["label_smooth_eps"] == 0.1
    assert found["lr_mode"] == "cosine" and found["lr_warmup"] > 0 and found["norm_layer"] == "syncbn"
    assert found["epochs"] > found["no_mixup_epochs"] and found["pretrained_base"] == "shipped"


def test_a_pyramid_whose_normalisation_learns_has_gluoncvs_region_proposals():
    for network in ("resnet18_v1b", "resnet50_v1b", "resnet101_v1d"):
        for learning, channels in (("--norm-layer syncbn", 1024), ("", 1024)):
            assert mask_rcnn_options(f"--dataset coco --network {network} --use-fpn {learning}").rpn_channel == channels


def test_the_word_custom_model_has_gluoncvs_defaults():
    found = mask_rcnn_options("--dataset coco --network resnet18_v1b --norm-layer bn custom-model --image-short 640,800",
                              "--no-pretrained-base")
    expected = dict(custom_model=True, use_fpn=True, norm_layer="syncbn", num_fpn_filters=256, num_box_head_conv=4,
                    num_box_head_conv_filters=256, num_box_head_dense_filters=1024, image_short=(640, 800), image_max_size=1333,
                    nms_thresh=0.5, nms_topk=-1, post_nms=-1, roi_mode="align", roi_size=(14, 14), strides=(4, 8, 16, 32, 64),
                    clip=4.14, rpn_channel=256, anchor_base_size=16, anchor_scales=(2, 4, 8, 16, 32), rpn_min_size=1,
                    anchor_alloc_size=(384, 384), rpn_train_pre_nms=12000, rpn_train_post_nms=2000, rpn_test_pre_nms=6000,
                    rpn_test_post_nms=1000, rcnn_num_samples=512, rcnn_pos_iou_thresh=0.5, rcnn_pos_ratio=0.25,
                    target_roi_scale=2, num_mask_head_convs=4, pretrained_base="no")
    assert {name: getattr(found, name) for name in expected} == expected
    assert found.pools_regions() and found.mask_size() == (28, 28)
    found.check()


def test_names_of_gluoncvs_model_zoo_are_told_apart_from_faster_rcnns():
    from gluon_bof.backend import gluoncv
    names = [name for name in gluoncv.model_zoo.get_model_list() if name.startswith("mask_rcnn") and "mobilenet" not in name]
    assert len(names) == 7
    for name in names:
        family, told = families.told_by_file_name(f"{name}_best.params")
        assert family.name == "mask_rcnn" and family.options(**told).resolved().gluoncv_name() == name
    assert families.told_by_file_name("faster_rcnn_resnet50_v1b_coco.params")[0].name == "faster_rcnn"
    given = dict(network="resnet50_v1b", num_mask_head_convs=4)
    assert families.of_given(given).name == "mask_rcnn" and families.of_given({"network": "resnet50_v1b"}).name == "faster_rcnn"


@pytest.mark.parametrize("words, named", [
    ("--network resnest50", "--network"), ("--use-fpn --target-roi-scale 1", "--target-roi-scale"),
    ("--target-roi-scale 2", "--target-roi-scale"), ("--roi-size 7,7", "--roi-size"), ("--mask-channels 0", "--mask-channels"),
    ("--num-mask-head-convs -1", "--num-mask-head-convs"), ("--norm-layer gn", "--norm-layer"),
    ("--nms-thresh -1", "--nms-thresh"), ("--metric voc12", "--metric"), ("--layout yolo", "choose from 'auto', 'voc', 'coco'")])
def test_options_that_cannot_work_are_refused_by_name(words, named, capsys):
    assert named in refused(train_mask_rcnn.main, capsys, "--dataset", "voc", *words.split(), "--dry-run")
