"""train_segmentation.py's flags against GluonCV's script's names, defaults and published commands; refusals."""
import json

import pytest

import train_segmentation
from gluon_bof.errors import UserError
from gluon_bof.options import families
from gluon_bof.options.flags import as_dict, from_dict
from gluon_bof.options.segmentation import MODELS, UPSAMPLINGS, SegmentationOptions
from tests.command_lines import segmentation_options
from tests.scripts import Script

SCRIPT = Script("train_segmentation.py")
# GluonCV's defaults, by our names of its flags
GLUONCV = dict(model="fcn", backbone="resnet50", num_workers=16, base_size=520, crop_size=480, train_split="train", aux=False,
               aux_weight=0.5, epochs=50, start_epoch=0, batch_size=16, test_batch_size=16, optimizer="sgd", lr=1e-3,
               warmup_epochs=0, momentum=0.9, wd=1e-4, no_wd=False, kv_store="device", dtype="float32",
               resume="", log_interval=20, eval=False, no_val=False, syncbn=False, lr_mode="poly", mixup=False,
               label_smooth_eps=0.0, pretrained_base="yes",
               upsampling="bilinear", amp=False)
FOUR = "0,1,2,3"
R101 = dict(GLUONCV, backbone="resnet101", aux=True, syncbn=True, gpus=FOUR, name="res101")
PUBLISHED = {  # of GluonCV's model zoo, FCN on Pascal VOC and COCO
    "--dataset pascal_aug --model fcn --aux --backbone resnet50 --lr 0.001 --checkname mycheckpoint":
        dict(GLUONCV, dataset="pascal_aug", aux=True, name="mycheckpoint"),
    "--dataset pascal_voc --model fcn --aux --backbone resnet50 --lr 0.0001 --checkname mycheckpoint "
    "--resume runs/pascal_aug/fcn/mycheckpoint/checkpoint.params":
        dict(GLUONCV, dataset="pascal_voc", aux=True, lr=0.0001, name="mycheckpoint",
             resume="runs/pascal_aug/fcn/mycheckpoint/checkpoint.params"),
    "--dataset pascal_aug --model-zoo fcn_resnet101_coco --aux --lr 0.001 --syncbn --ngpus 4 --checkname res101":
        dict(R101, dataset="pascal_aug"),
    "--dataset pascal_voc --model fcn --aux --backbone resnet101 --lr 0.0001 --syncbn --ngpus 4 --checkname res101 "
    "--resume runs/pascal_aug/fcn/res101/checkpoint.params":
        dict(R101, dataset="pascal_voc", lr=0.0001, resume="runs/pascal_aug/fcn/res101/checkpoint.params"),
    "--dataset coco --model fcn --aux --backbone resnet101 --lr 0.01 --syncbn --ngpus 4 --checkname res101":
        dict(R101, dataset="coco", lr=0.01),
}


def test_every_flag_of_gluoncvs_script_is_taken_by_its_name():
    words = ("--model fcn --model-zoo fcn_resnet50_ade --pretrained --backbone resnet50 --dataset pascal_voc --workers 3 "
             "--base-size 400 --crop-size 320 --train-split trainval --aux --aux-weight 0.4 --epochs 7 --start_epoch 1 "
             "--batch-size 4 "
             "--test-batch-size 2 --optimizer adam --lr 0.01 --warmup-epochs 2 --momentum 0.8 --weight-decay 0.001 --no-wd "
             "--mode hybrid --no-cuda --kvstore local --dtype float32 --save-dir there/it --log-interval 5 --logging-file a.log "
             "--no-val --syncbn")
    found = segmentation_options(words)
    assert (found.num_workers, found.start_epoch, found.wd, found.kv_store) == (3, 1, 0.001, "local")
    assert found.gpus == "" and (found.runs, found.name) == ("there", "it") and found.val_interval == 7
    assert found.transfer == "fcn_resnet50_ade" and found.aux and found.backbone == "resnet50"
    assert segmentation_options("--dataset pascal_voc --ngpus 2").gpus == "0,1"
    assert segmentation_options("--dataset pascal_voc --ngpus 0").gpus == ""
    assert segmentation_options("--dataset pascal_voc --dtype float16").amp


def test_resolving_twice_changes_nothing_and_json_brings_it_back():
    for words in (*PUBLISHED, "", "--dataset pascal_voc --no-cuda --no-val --save-dir a/b"):
        found = segmentation_options(words)
        assert found.resolved() == found
        assert from_dict(SegmentationOptions, json.loads(json.dumps(as_dict(found))), "memory") == found


def test_without_a_data_set_the_embedded_job_runs_with_every_freebie(capsys):
    train_segmentation.main(["--dry-run"])
    found = json.loads(capsys.readouterr().out)
    assert found["dataset"] == "shapes" and found["model"] == "unet" and found["pretrained_base"] == "shipped"
    assert found["mixup"] is True and found["label_smooth_eps"] == 0.1 and found["lr_mode"] == "cosine" and found["syncbn"]
    assert found["warmup_epochs"] > 0 and found["ema"] > 0 and found["epochs"] > found["no_mixup_epochs"]


@pytest.mark.parametrize("words, told", [
    ("--model fcn --backbone vgg16", "fcn is not built on vgg16"),
    ("--model fcn8s --backbone vgg16 --upsampling max-unpooling", "max-unpooling wants layers after it"),
    ("--model unet --backbone darknet-mini --pretrained-base no --upsampling max-unpooling", "wants poolings"),
    ("--upsampling nearest", "GluonCV's FCN is upsampled bilinearly"), ("--model unet --aux", "unet has no second head"),
    ("--model unet --pretrained-base shipped", "no weights to start from"), ("--crop-size 100", "--crop-size 100 is no size"),
    ("--model unet --crop-size 72", "multiple of 32"), ("--no-cuda --ngpus 2", "two choices of devices"),
    ("--gpus 1 --ngpus 3", "two choices of devices"), ("--model-zoo psp_resnet101_voc", "no FCN 'psp_resnet101_voc'"),
    ("--pretrained", "--pretrained wants --model-zoo"), ("--eval", "--eval has no weights"),
    ("--model-zoo fcn_resnet101_coco --pretrained --resume a.params", "are two starts"),
    ("--pretrained-base b.params --transfer a.params", "--transfer a.params and --pretrained-base b.params are two starts"),
    ("--model-zoo fcn_resnet101_coco --pretrained --transfer a.params", "--pretrained and --transfer a.params are two starts"),
    ("--resume a.params --pretrained-base b.params", "are two starts"),
    ("--save-dir a/b --name c", "--save-dir a/b and --name c are two places"),
    ("--save-dir a/b --runs d", "--save-dir a/b and --runs d are two places"),
    ("--checkname e --name c", "--checkname e and --name c are two places"),
    ("--aux --aux-weight 0", "--aux-weight 0.0 must be above 0"),
    ("--start-epoch 50", "--start-epoch 50 is not before"), ("--aux-weight -1", "--aux-weight -1.0 must be 0 or more")])
def test_what_cannot_be_is_refused_in_one_line(words, told, tmp_path):
    assert told in SCRIPT.refused(tmp_path, "--dataset", "pascal_voc", *words.split())
    assert not list(tmp_path.iterdir())


def test_another_network_than_the_embedded_jobs_begins_with_its_own_defaults():
    def kept(words):
        found = segmentation_options(words)
        found.check()
        assert found.dataset == "shapes" and found.crop_size == 128
        return found.model, found.backbone, found.upsampling, found.pretrained_base

    assert kept("") == ("unet", "darknet-mini", "transposed", "shipped")
    assert kept("--model fcn8s") == ("fcn8s", "darknet-mini", "transposed", "shipped")
    assert kept("--upsampling nearest --pretrained-base no") == ("unet", "darknet-mini", "nearest", "no")
    assert kept("--model fcn") == ("fcn", "resnet50", "bilinear", "yes")
    for words in ("--model fcn --backbone resnet101", "--model-zoo fcn_resnet101_voc"):
        assert kept(words) == ("fcn", "resnet101", "bilinear", "yes")
    assert kept("--model fcn8s --backbone vgg16 --pretrained-base no") == ("fcn8s", "vgg16", "transposed", "no")
    assert kept("--backbone plain") == ("unet", "plain", "transposed", "no")


def test_gluoncvs_weights_have_a_second_head_and_vgg_has_nothing_to_synchronise():
    assert segmentation_options("--dataset pascal_voc --model-zoo fcn_resnet101_voc --pretrained").aux
    assert segmentation_options("--dataset pascal_voc --backbone resnet101 --transfer fcn_resnet101_voc").aux
    assert not segmentation_options("--dataset pascal_voc --model-zoo fcn_resnet101_voc").aux
    assert not segmentation_options("--dataset pascal_voc --model fcn8s --syncbn").synchronises_batchnorm()
    assert segmentation_options("--dataset pascal_voc --syncbn").synchronises_batchnorm()


def test_every_model_has_its_backbones_and_its_own_way_of_upsampling():
    for model, backbones in MODELS.items():
        found = segmentation_options(f"--dataset pascal_voc --model {model}")
        assert found.backbone == backbones[0] and found.upsampling == ("bilinear" if model == "fcn" else "transposed")
        found.check()
    for way in UPSAMPLINGS:
        segmentation_options(f"--dataset pascal_voc --model unet --upsampling {way}").check()


def test_gluoncvs_file_names_tell_the_network():
    for name in ("fcn_resnet101_voc", "fcn_resnet50_ade", "fcn_resnet101_coco"):
        family, told = families.told_by_file_name(f"folder/{name}-0000.params")
        assert family.name == "segmentation"
        assert from_dict(SegmentationOptions, told, "memory").resolved().gluoncv_name() == name
    assert SegmentationOptions.from_file_name("fcn_resnet18_voc.params") == {}


def test_a_size_that_the_network_cannot_take_is_refused():
    assert segmentation_options("--dataset pascal_voc").at_size(320).crop_size == 320
    with pytest.raises(UserError, match="--short 321 is no size for fcn"):  # the flag that was given
        segmentation_options("--dataset pascal_voc").at_size(321)
