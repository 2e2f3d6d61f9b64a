"""The contracts of tests/contracts.py for every detector family of the package."""
import pytest

pytest.register_assert_rewrite("tests.contracts")

from gluon_bof.backend import gluon  # noqa: E402
from gluon_bof.models.darknet import darknet_mini  # noqa: E402
from gluon_bof.options import families  # noqa: E402
from tests.contracts import (  # noqa: E402,F401
    Case,
    Contracts,
    folder_of_a_run,
    initialised,
    lively_network,
    start_of_the_run,
)

from gluoncv.model_zoo import get_model  # noqa: E402
from gluoncv.model_zoo.rcnn.faster_rcnn import get_faster_rcnn  # noqa: E402
from gluoncv.model_zoo.rcnn.mask_rcnn.mask_rcnn import get_mask_rcnn  # noqa: E402
from gluoncv.model_zoo.rcnn.rcnn import custom_rcnn_fpn  # noqa: E402
from gluoncv.nn.feature import FPNFeatureExpander  # noqa: E402

TINY = "--dataset voc --pretrained-base no -j 0 --log-interval 1 --gpus= --seed 3 --epochs 2 --batch-size 2 --save-interval 0 "
YOLO3 = TINY + "--network mobilenet0.25 --data-shape 64 --no-random-shape --lr 0.01"
FASTER_RCNN = TINY + (
    "--network resnet18_v1b --use-fpn --image-short 64 --image-max-size 96 --rpn-channel 16 --num-fpn-filters 16 "
    "--rpn-min-size 2 --num-box-head-dense-filters 32 --anchor-scales 1,1.5,2,3,4 --anchor-alloc-size 32,32 --lr 0.01 "
    "--rpn-train-pre-nms 100 --rpn-train-post-nms 50 --rpn-test-pre-nms 50 --rpn-test-post-nms 20 --rcnn-num-samples 32")
MASK_RCNN = FASTER_RCNN.replace("resnet18_v1b", "darknet-mini") + " --mask-channels 8 --lr 0.012 --lr-warmup -1"

SSD = TINY + "--network mobilenet0.25 --base-shape 300 --data-shape 64 --lr 0.01"


def gluoncvs_yolo3(classes):
    """GluonCV's YOLOv3 of these classes."""
    return initialised(get_model("yolo3_mobilenet0.25_custom", classes=list(classes), pretrained_base=False))


def gluoncvs_faster_rcnn(classes):
    """GluonCV's network with the sizes of FASTER_RCNN: its pyramid on ResNet-18, and a head of two dense layers, which only its
    larger pyramids have."""
    features, top_features, _ = custom_rcnn_fpn(False, "resnet18_v1b", norm_kwargs={}, num_fpn_filters=16)
    head = gluon.nn.HybridSequential()
    for _ in range(2):
        head.add(gluon.nn.Dense(32), gluon.nn.Activation("relu"))
    return initialised(get_faster_rcnn(
        "fpn_resnet18_v1b", "voc", features=features, top_features=top_features, box_features=head, classes=list(classes),
        short=64, max_size=96, min_stage=2, max_stage=6, nms_thresh=0.3, nms_topk=400, post_nms=100, roi_mode="align",
        roi_size=(7, 7), strides=(4, 8, 16, 32, 64), clip=None, rpn_channel=16, base_size=16, scales=(1, 1.5, 2, 3, 4),
        ratios=(0.5, 1, 2), alloc_size=(32, 32), rpn_nms_thresh=0.7, rpn_train_pre_nms=100, rpn_train_post_nms=50,
        rpn_test_pre_nms=50, rpn_test_post_nms=20, rpn_min_size=2, num_sample=32, pos_iou_thresh=0.5, pos_ratio=0.25,
        max_num_gt=100, per_device_batch_size=1))


def gluoncvs_ssd(classes):
    """GluonCV's SSD of these classes."""
    return initialised(get_model("ssd_300_mobilenet0.25_custom", classes=list(classes), pretrained_base=False))


def gluoncvs_mask_rcnn(classes):
    """GluonCV's network with the sizes of MASK_RCNN, on a small one of its Darknets."""
    base = darknet_mini(norm_kwargs={"use_global_stats": True}, prefix="darknetv30_")
    ends = [f"darknetbasicblockv3{block}__plus0" for block in (1, 3, 5, 6)]  # of strides 4, 8, 16 and 32
    features = FPNFeatureExpander(network=base, outputs=ends, num_filters=[16] * 4, use_1x1=True, use_upsample=True,
                                  use_elewadd=True, use_p6=True, no_bias=False, pretrained=False)
    head = gluon.nn.HybridSequential()
    for _ in range(2):
        head.add(gluon.nn.Dense(32), gluon.nn.Activation("relu"))
    return initialised(get_mask_rcnn(
        "fpn_darknet-mini", "voc", features=features, top_features=None, box_features=head, classes=list(classes),
        short=64, max_size=96, min_stage=2, max_stage=6, nms_thresh=0.5, nms_topk=-1, post_nms=-1, roi_mode="align",
        roi_size=(7, 7), strides=(4, 8, 16, 32, 64), clip=4.42, rpn_channel=16, base_size=16, scales=(1, 1.5, 2, 3, 4),
        ratios=(0.5, 1, 2), alloc_size=(32, 32), rpn_nms_thresh=0.7, rpn_train_pre_nms=100, rpn_train_post_nms=50,
        rpn_test_pre_nms=50, rpn_test_post_nms=20, rpn_min_size=2, num_sample=32, pos_iou_thresh=0.5, pos_ratio=0.25,
        max_num_gt=100, per_device_batch_size=1, mask_channels=8, num_fcn_convs=2, target_roi_scale=2))


CASES = {name: Case(families.by_name(name), tuple(words.split()), *of_family) for name, words, *of_family in (
    ("yolo3", YOLO3, gluoncvs_yolo3, ("objectness", "centre", "scale", "class")),
    # a level is asked for nothing where none of its anchors is matched or hard
    ("ssd", SSD, gluoncvs_ssd, ("class", "box"), r"(class|box)_predictors\.\d\.predictor\.bias"),
    ("faster_rcnn", FASTER_RCNN, gluoncvs_faster_rcnn, ("rpn_class", "rpn_box", "head_class", "head_box")),
    ("mask_rcnn", MASK_RCNN, gluoncvs_mask_rcnn, ("rpn_class", "rpn_box", "head_class", "head_box", "head_mask"),
     r"features\.P5_conv1_bias"))}


@pytest.mark.parametrize("family", families.detectors(), ids=lambda family: family.name)
def test_every_family_has_a_case_here(family):
    assert family.name in CASES, f"give {family.name} a tiny case, so that the contracts are run for it"


@pytest.fixture(scope="module", params=sorted(CASES))
def case(request):
    """A Case of each family."""
    return CASES[request.param]


class TestFamilies(Contracts):
    """Everything that the base class asks."""
