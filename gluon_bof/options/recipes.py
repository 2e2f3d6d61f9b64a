"""Recipes: every row of the paper's Tables 1-6 and a few jobs of our own, as the scripts' options with a name.

A row is the row before it with one thing replaced, as the paper stacks its freebies. Where the paper is silent, a table's
`sources` say where each setting comes from; the rest are the scripts' defaults, which are GluonCV's."""
from __future__ import annotations

import dataclasses
from dataclasses import replace
from typing import Any, Iterable, Iterator, Mapping, NamedTuple

from gluon_bof.errors import UserError
from gluon_bof.options.classifier import ClassifierOptions
from gluon_bof.options.families import family_of
from gluon_bof.options.faster_rcnn import FasterRcnnOptions
from gluon_bof.options.flags import EMBEDDED
from gluon_bof.options.mask_rcnn import MaskRcnnOptions
from gluon_bof.options.minibatch import MinibatchOptions
from gluon_bof.options.segmentation import SegmentationOptions
from gluon_bof.options.ssd import SsdOptions
from gluon_bof.options.yolo3 import Yolo3Options

# The backbones that the package ships, without and with mixup: classifiers of single objects, drawn anew on images that no
# detector here is trained or tested on. --pretrained-base shipped, shipped-mixup.
SHIPPED_BACKBONE = ClassifierOptions(
    dataset="shapes-backbone", network="darknet-mini", epochs=10, no_wd=True, num_workers=1, gpus="", val_interval=5)
SHIPPED_BACKBONE_MIXUP = replace(SHIPPED_BACKBONE, mixup="beta")

# The embedded job: every freebie on, from the backbone that the package ships, at a size that two CPU cores finish in two
# minutes. So few updates want Adam and a small batch instead of the paper's SGD. The test size lies in the middle of the random
# shapes, as the paper's 416 in 320…608; the anchors are YOLOv3's own.
EMBEDDED_YOLO3 = Yolo3Options(
    dataset=EMBEDDED, network="darknet-mini", data_shape=128, random_shapes=(96, 160), batch_size=8, epochs=10,
    optimizer="adam", lr=0.003, lr_mode="cosine", warmup_epochs=1, no_wd=True, syncbn=True,
    mixup="beta", no_mixup_epochs=3, label_smooth_eps=0.1, pretrained_base="shipped",
    objectness_prior=0.01, num_workers=1, val_interval=10, log_interval=50, save_interval=0, seed=0)

# The detector that the package ships, "shapes"
SHIPPED_YOLO3 = replace(EMBEDDED_YOLO3, epochs=30, no_mixup_epochs=6)

# Without any pretrained base a start near the identity is what lets a network without shortcuts learn in minutes
FROM_SCRATCH = dict(network="mobilenet0.25", pretrained_base="no", init="near-identity", wd=0.0)
RESNET_FROM_SCRATCH = dict(network="resnet18_v1b", pretrained_base="no")

# The same for Faster R-CNN: a slim pyramid, with fewer proposals and regions than images of 600 pixels need.
EMBEDDED_FASTER_RCNN = FasterRcnnOptions(
    dataset=EMBEDDED, network="darknet-mini", use_fpn=True, norm_layer="syncbn", pretrained_base="shipped",
    image_short=(128,), image_max_size=192, batch_size=4, epochs=4, optimizer="adam", lr=0.001, lr_mode="cosine",
    lr_warmup=200, wd=0.0, mixup="beta", no_mixup_epochs=2, label_smooth_eps=0.1,
    num_fpn_filters=64, num_box_head_conv=0, num_box_head_dense_filters=256, rpn_channel=64,
    anchor_scales=(1, 2, 3, 4, 6), anchor_alloc_size=(64, 64), rpn_train_pre_nms=600, rpn_train_post_nms=200,
    rpn_test_pre_nms=300, rpn_test_post_nms=50, rpn_min_size=4, rcnn_num_samples=64,
    num_workers=1, val_interval=2, log_interval=50, save_interval=0, seed=0)

# The same for SSD: darknet-mini from the shipped backbone, and random shapes, which GluonCV's script does not have.
EMBEDDED_SSD = SsdOptions(
    dataset=EMBEDDED, network="darknet-mini", data_shape=128, random_shapes=(96, 160), batch_size=8, epochs=10,
    optimizer="adam", lr=0.002, lr_mode="cosine", warmup_epochs=1, no_wd=True, syncbn=True,
    mixup="beta", no_mixup_epochs=3, label_smooth_eps=0.1, pretrained_base="shipped", num_workers=1, val_interval=10,
    log_interval=50, save_interval=0, seed=0)

# Mask R-CNN, whose pyramid stands on the backbone that the package ships: slim heads as above, and one for masks;
# three epochs, of which two are mixed.
EMBEDDED_MASK_RCNN = MaskRcnnOptions(
    dataset=EMBEDDED, network="darknet-mini", use_fpn=True, norm_layer="syncbn", pretrained_base="shipped",
    image_short=(128,), image_max_size=192, batch_size=4, epochs=3, optimizer="adam", lr=0.001, lr_mode="cosine",
    lr_warmup=100, wd=0.0, mixup="beta", no_mixup_epochs=1, label_smooth_eps=0.1,
    num_fpn_filters=64, num_box_head_conv=0, num_box_head_dense_filters=256, rpn_channel=64, num_mask_head_convs=1,
    mask_channels=64, nms_thresh=0.3, anchor_scales=(1, 2, 3, 4, 6), anchor_alloc_size=(64, 64), rpn_train_pre_nms=600,
    rpn_train_post_nms=200, rpn_test_pre_nms=300, rpn_test_post_nms=50, rpn_min_size=4, rcnn_num_samples=64,
    num_workers=1, val_interval=3, log_interval=50, save_interval=0, seed=0)

# U-Net on the backbone that the package ships. The images' long side is 208 to 224 pixels; a base size of 160 shows them at 80 to
# 320, of which squares of 128 are cut.
EMBEDDED_SEGMENTATION = SegmentationOptions(
    dataset=EMBEDDED, model="unet", backbone="darknet-mini", upsampling="transposed", pretrained_base="shipped", base_size=160,
    crop_size=128, batch_size=8, test_batch_size=25, epochs=6, optimizer="adam", lr=0.003, lr_mode="cosine", warmup_epochs=1,
    no_wd=True, syncbn=True, mixup="beta", no_mixup_epochs=2, label_smooth_eps=0.1, ema=0.98, num_workers=1, val_interval=6,
    log_interval=50, seed=0)

# A few hundred photographs of one's own on two CPU cores: no pretrained base, colours and sizes as they are, because they may
# tell the class. Measured on 292 photographs of blood cells, see results/before-bundles.md.
SMALL_SET_YOLO3 = replace(
    EMBEDDED_YOLO3, **FROM_SCRATCH, data_shape=288, random_shapes=(224, 352), epochs=34, no_mixup_epochs=22, no_wd=False,
    syncbn=False, no_color=True, no_expand=True, on_bad_sample="skip", val_interval=1, log_interval=100, save_interval=10,
    seed=233)
SMALL_SET_FASTER_RCNN = replace(
    EMBEDDED_FASTER_RCNN, **RESNET_FROM_SCRATCH, image_short=(288,), image_max_size=480, epochs=10, no_mixup_epochs=5,
    lr_warmup=100, anchor_scales=(1, 2, 4, 6, 8), anchor_alloc_size=None, rpn_train_pre_nms=1000, rpn_train_post_nms=300,
    rpn_test_pre_nms=500, rpn_test_post_nms=100, rcnn_num_samples=96, on_bad_sample="skip", val_interval=1, log_interval=100,
    save_interval=1, seed=233)

# The same from the backbone that the package ships, so long that it fits its images: the whole bag of results/README.md, "On
# photographs", with the smoothing that six classes have there
PHOTOGRAPHS_FASTER_RCNN = replace(
    SMALL_SET_FASTER_RCNN, network="darknet-mini", pretrained_base="shipped", image_short=(224,), image_max_size=384, epochs=30,
    no_mixup_epochs=3, label_smooth_eps=0.03, seed=0)
# YOLOv3's whole bag of there: smaller images, and far longer
PHOTOGRAPHS_YOLO3 = replace(
    SMALL_SET_YOLO3, network="darknet-mini", pretrained_base="shipped", init="gluoncv", data_shape=160, random_shapes=(96, 224),
    epochs=360, warmup_epochs=2, no_mixup_epochs=36, wd=0.0005, no_wd=True, label_smooth_eps=0.03, val_interval=10,
    save_interval=0, seed=0)
# For somebody who has ten minutes: half of the pixels, two thirds of the epochs
QUICK_PHOTOGRAPHS_FASTER_RCNN = replace(
    PHOTOGRAPHS_FASTER_RCNN, image_short=(160,), image_max_size=274, epochs=20, no_mixup_epochs=2)

# "What's the Best Mini-batch?", section 4: batch, epochs and rates are the paper's; momentum and decay are those of the code that
# it builds on (kuangliu/pytorch-cifar), as are crop and flip (in Algorithm 1 the probes' too, here training's alone); one run for
# each of its four metrics
BEST_MINI_BATCH = MinibatchOptions(dataset="cifar10", network="dpn92", batch_size=256, epochs=150, lr=0.1,
                                   lr_decay_epoch=(50, 100), momentum=0.9, wd=0.0005)

EIGHT_GPUS, FOUR_GPUS = "0,1,2,3,4,5,6,7", "0,1,2,3"


@dataclasses.dataclass(frozen=True)
class Setup:
    """One row's work: the detector's options, those of its backbone's pre-training or None, and the sides in pixels at
    which it is evaluated; none: at its own. The last of them is the row's number."""

    options: object
    pretraining: ClassifierOptions | None = None
    sizes: tuple = ()


@dataclasses.dataclass(frozen=True)
class Row:
    """A cell of a table with a number. `baseline_key` is the key of the row that its gain is counted from."""

    key: str
    name: str
    paper_value: float  # in percent
    baseline_key: str
    paper: Setup
    small: Setup


@dataclasses.dataclass(frozen=True)
class Table:
    """metric: what `paper_value` and the evaluations are. sources: {fields: where their values come from}. small_note: what
    else has to be known of the small scale's rows."""

    number: int
    title: str
    metric: str
    rows: tuple
    sources: dict
    small_note: str = ""

    def row(self, key: str) -> Row:
        """The row of that key."""
        return next(row for row in self.rows if row.key == key)


VOC_METRIC, COCO_METRIC = "mAP@0.5", "AP@[.5:.95]"


def cumulative(baseline_key: str, paper: Setup, small: Setup, *steps: tuple[str, str, float, dict[str, Any]]) -> tuple[Row, ...]:
    """Rows of which each is the one before it with the named fields replaced, at both scales.

    steps: (key, the paper's name, its number, {field: value})."""
    rows, changes = [], {}
    for key, name, number, change in steps:
        changes = {**changes, **change}
        rows.append(Row(key, name, number, baseline_key, replaced(paper, changes), replaced(small, changes)))
    return tuple(rows)


def replaced(scale: Setup, changes: Mapping[str, Any]) -> Setup:
    """The same work with fields of the detector's options replaced."""
    return replace(scale, options=replace(scale.options, **changes))


# What the rows switch on
COSINE = dict(lr_mode="cosine")
SMOOTHING = dict(label_smooth_eps=0.1)
MIXUP = dict(mixup="beta")  # Beta(1.5, 1.5), weighted: the scripts' defaults

# The paper's work
YOLO3_VOC = Yolo3Options(
    dataset="voc", network="darknet53", gpus=EIGHT_GPUS, batch_size=64, num_workers=16, epochs=200,
    lr_decay_epoch=(160, 180), warmup_epochs=4, data_shape=416, no_random_shape=True, random_shapes=(320, 608))
YOLO3_COCO = replace(
    YOLO3_VOC, dataset="coco", num_workers=32, epochs=280, lr_decay_epoch=(220, 250), warmup_epochs=2, no_wd=True,
    skip_empty=True)
FASTER_RCNN_VOC = FasterRcnnOptions(
    dataset="voc", network="resnet50_v1b", gpus=FOUR_GPUS, batch_size=4, no_mixup_epochs=2)
FASTER_RCNN_COCO = FasterRcnnOptions(
    dataset="coco", network="resnet50_v1b", gpus=EIGHT_GPUS, batch_size=8, lr=0.01, no_mixup_epochs=3, skip_empty=True)
IMAGENET = ClassifierOptions(
    dataset="imagenet", data_shape=224, least_area=0.08, gpus=EIGHT_GPUS, batch_size=1024, num_workers=60, epochs=200, lr=0.4,
    warmup_epochs=5, no_wd=True, optimizer="nag", amp=True)
COCO_SIZES = (320, 416, 608)

# The same rows at a size that a CPU finishes. What is not about size is the embedded job's, without its freebies. As in the
# paper's work each image is seen a hundred times, for what freebies prevent is overfitting: hence so few images.
SMALL_IMAGES = {"trainval": 100, "test": 250}  # the first ones of the embedded set
SMALL_YOLO3 = replace(
    EMBEDDED_YOLO3, **FROM_SCRATCH, data_shape=96, no_random_shape=True, random_shapes=(96, 128), epochs=120, lr_mode="step",
    lr_decay_epoch=(96, 108), syncbn=False, mixup="", no_mixup_epochs=60, label_smooth_eps=0.0, val_interval=120, gpus="",
    log_interval=0, keep=1)
SMALL_FASTER_RCNN = replace(
    EMBEDDED_FASTER_RCNN, **RESNET_FROM_SCRATCH, epochs=16, lr_mode="step", lr_decay_epoch=(11, 15), lr_warmup=50, mixup="",
    no_mixup_epochs=4, label_smooth_eps=0.0, val_interval=16, gpus="", log_interval=0, keep=1)
SMALL_CLASSIFIER = ClassifierOptions(epochs=5, num_samples=2000, num_workers=1, gpus="", log_interval=0, val_interval=5)
SMALL_SIZES = (64, 96, 128)

PUBLISHED = "GluonCV's published command"
GPUS_AND_WORKERS = "gpus num_workers"
OF_YOLO3 = {
    "dataset data_shape random_shapes no_random_shape": "the paper, sections 3.6 and 4",
    "label_smooth_eps": "the paper's [21], which has 0.1; the paper names no value",
    "mixup mixup_alpha mixup_beta mixup_loss": "the paper, section 3.1 and Table 1",
}
YOLO3_VOC_SOURCES = {
    **OF_YOLO3,
    "syncbn lr_mode no_augment": "the paper, Table 2",
    f"network {GPUS_AND_WORKERS} batch_size epochs lr_decay_epoch warmup_epochs": f"{PUBLISHED} for yolo3_darknet53_voc",
}
YOLO3_COCO_SOURCES = {
    **OF_YOLO3,
    "syncbn lr_mode": "the paper's rows of Table 2, stacked",
    "skip_empty": "GluonCV's COCO training leaves out the 1,021 images without a box: 117,266 remain",
    f"network {GPUS_AND_WORKERS} batch_size epochs lr_decay_epoch warmup_epochs no_wd":
        f"{PUBLISHED} for yolo3_darknet53_coco; in place of its step schedule and --label-smooth the paper's",
}
OF_FASTER_RCNN = {
    "dataset": "the paper, section 4",
    "label_smooth_eps": OF_YOLO3["label_smooth_eps"],
    "mixup mixup_alpha mixup_beta mixup_loss": "the paper, section 3.1 and Table 1, which it measured on YOLOv3",
    "no_mixup_epochs": "a tenth of the epochs, as YOLOv3's 20 of 200; GluonCV's 20 would leave VOC's 20 epochs without mixup",
    "gradients": "not clipped, as in GluonCV 0.10.5; its script of the paper's time clipped them at 5 (deviation 37)",
}
FASTER_RCNN_VOC_SOURCES = {
    **OF_FASTER_RCNN,
    "lr_mode no_augment": "the paper, Table 3",
    f"network {GPUS_AND_WORKERS}": f"{PUBLISHED} for faster_rcnn_resnet50_v1b_voc",
    "batch_size": "one image a GPU, as GluonCV's script had it when that command was published (October 2018)",
}
FASTER_RCNN_COCO_SOURCES = {
    **OF_FASTER_RCNN,
    "lr_mode": "the paper's rows of Table 3, stacked",
    f"network {GPUS_AND_WORKERS}": f"{PUBLISHED}s for faster_rcnn_resnet50_v1b_coco and …_resnet101_v1d_coco. No pyramid: "
                                   "Table 6's 40.1 is the model zoo's number for ResNet-101 without one",
    "skip_empty": YOLO3_COCO_SOURCES["skip_empty"],
    "batch_size lr": "GluonCV's published training log of faster_rcnn_resnet50_v1b_coco: batch 8, 0.01",
}
IMAGENET_SOURCES = {
    "mixup": "the paper, Tables 5 and 6; Beta(0.2, 0.2) from section 3.1",
    f"dataset data_shape least_area network {GPUS_AND_WORKERS} batch_size epochs lr warmup_epochs no_wd amp last_gamma optimizer":
        "GluonCV's published ImageNet commands for darknet53 and resnet101_v1d with mixup, and their script; the same without",
}


# Table 1: 81.5 is what GluonCV's published VOC command reaches, so that command (synchronised BN, random shapes, step
# schedule, no smoothing) is read as the baseline
_BASE = dict(syncbn=True, no_random_shape=False)
TABLE_1 = Table(1, "Effect of various mixup approaches, YOLOv3, Pascal VOC 2007 test at 416", VOC_METRIC, cumulative(
    "baseline", Setup(YOLO3_VOC), Setup(SMALL_YOLO3),
    ("baseline", "baseline", 81.5, _BASE),
    ("even", "0.5:0.5 evenly", 83.05, dict(mixup="even", mixup_loss="unweighted")),
    ("beta-1.0", "beta(1.0, 1.0), weighted loss", 83.48,
     dict(mixup="beta", mixup_loss="weighted", mixup_alpha=1.0, mixup_beta=1.0)),
    ("beta-1.5", "beta(1.5, 1.5), weighted loss", 83.54, dict(mixup_alpha=1.5, mixup_beta=1.5)),
), {**YOLO3_VOC_SOURCES, "syncbn": f"{PUBLISHED} for yolo3_darknet53_voc, whose 81.5 is the baseline's number"})

TABLE_2 = Table(2, "Training refinements on YOLOv3, Pascal VOC 2007 test at 416", VOC_METRIC, cumulative(
    "baseline", Setup(YOLO3_VOC), Setup(SMALL_YOLO3),
    ("no-augmentation", "- data augmentation", 64.26, dict(no_augment=True)),
    ("baseline", "baseline", 80.25, dict(no_augment=False)),
    ("syncbn", "+ synchronize BN", 80.81, dict(syncbn=True)),
    ("random-shapes", "+ random training shapes", 81.23, dict(no_random_shape=False)),
    ("cosine", "+ cosine lr schedule", 81.69, COSINE),
    ("label-smoothing", "+ class label smoothing", 82.14, SMOOTHING),
    ("mixup", "+ mixup", 83.68, MIXUP),
), YOLO3_VOC_SOURCES,
    "On one device synchronised batch normalisation is batch normalisation, so its row repeats the baseline.")

TABLE_3 = Table(3, "Training refinements on Faster R-CNN, Pascal VOC 2007 test at 600 x 1000", VOC_METRIC, cumulative(
    "baseline", Setup(FASTER_RCNN_VOC), Setup(SMALL_FASTER_RCNN),
    ("no-augmentation", "- data augmentation", 77.61, dict(no_augment=True)),
    ("baseline", "baseline", 77.77, dict(no_augment=False)),
    ("cosine", "+ cosine lr schedule", 79.59, COSINE),
    ("label-smoothing", "+ class label smoothing", 80.23, SMOOTHING),
    ("mixup", "+ mixup", 81.32, MIXUP),
), FASTER_RCNN_VOC_SOURCES)

YOLO3_BAG = dict(syncbn=True, no_random_shape=False, **COSINE, **SMOOTHING)
FASTER_RCNN_BAG = dict(**COSINE, **SMOOTHING)


def _original_and_bag(key, name, numbers, paper, small, bag):
    """Table 4's two columns of a model: without the freebies, and with all of them."""
    return cumulative(f"{key}-orig", paper, small, (f"{key}-orig", f"{name}, Orig", numbers[0], {}),
                   (f"{key}-bof", f"{name}, Our BoF", numbers[1], {**bag, **MIXUP}))


_R101 = dict(network="resnet101_v1d")
TABLE_4 = Table(4, "Improvements by the bag of freebies, COCO 2017 val", COCO_METRIC, (
    *_original_and_bag("r50", "Faster-RCNN R50", (36.5, 37.6), Setup(FASTER_RCNN_COCO), Setup(SMALL_FASTER_RCNN),
                       FASTER_RCNN_BAG),
    *_original_and_bag("r101", "Faster-RCNN R101", (39.4, 41.1), replaced(Setup(FASTER_RCNN_COCO), _R101),
                       Setup(SMALL_FASTER_RCNN), FASTER_RCNN_BAG),
    *_original_and_bag("yolo3", "YOLOv3", (33.0, 37.0), Setup(YOLO3_COCO, sizes=COCO_SIZES),
                       Setup(SMALL_YOLO3, sizes=SMALL_SIZES), YOLO3_BAG),
), {
    "numbers of Orig": "other people's training (Detectron's R-50-C4 2x and R-101-FPN 1x, Darknet's YOLOv3-608); ours in "
                       "these rows is the same training as in Our BoF without the freebies",
    "pretrained_base": "the model zoo's backbones, darknet53 and resnet101_v1d trained with mixup: 37.0 and 41.1 are the "
                       "cells of Tables 5 and 6 with mixup in both",
    "sizes": "608: 33.0 is Darknet's at 608 and 37.0 is the model zoo's; the zoo's at 320 and 416 are 33.6 and 36.0",
    **{f"Faster R-CNN: {fields}": source for fields, source in FASTER_RCNN_COCO_SOURCES.items()},
    **{f"YOLOv3: {fields}": source for fields, source in YOLO3_COCO_SOURCES.items()},
}, "Both Faster R-CNNs have the same small network, so their rows repeat each other.")


def _grid(backbone, detector, numbers, paper, small):
    """Tables 5 and 6: mixup in neither phase, in the detector's, in the backbone's, in both."""
    rows = []
    for place, number in enumerate(numbers):
        in_backbone, in_detector = place // 2, place % 2
        scales = [replace(replaced(scale, MIXUP) if in_detector else scale,
                          pretraining=replace(scale.pretraining, mixup="beta" if in_backbone else ""))
                  for scale in (paper, small)]
        signs = "-+"[in_backbone], "-+"[in_detector]
        rows.append(Row(f"{('plain', 'mixup')[in_backbone]}-{('plain', 'mixup')[in_detector]}",
                        f"{signs[0]}Mixup {backbone}, {signs[1]}Mixup {detector}", number, "plain-plain", *scales))
    return tuple(rows)


TABLE_5 = Table(5, "Mixup in pre-training and in detection, YOLOv3, COCO 2017 val", COCO_METRIC, _grid(
    "darknet53", "YOLO3", (35.0, 35.3, 36.4, 37.0),
    replaced(Setup(YOLO3_COCO, replace(IMAGENET, network="darknet53"), COCO_SIZES), YOLO3_BAG),
    replaced(Setup(SMALL_YOLO3, SMALL_CLASSIFIER, SMALL_SIZES), YOLO3_BAG),
), {
    "other freebies": "all on, as 37.0 is Table 4's number too",
    "sizes": "608, as in Table 4",
    **YOLO3_COCO_SOURCES,
    **{f"backbone: {fields}": source for fields, source in IMAGENET_SOURCES.items()},
})

TABLE_6 = Table(6, "Mixup in pre-training and in detection, Faster R-CNN, COCO 2017 val", COCO_METRIC, _grid(
    "R101", "FRCNN", (39.9, 40.1, 40.1, 41.1),
    replaced(Setup(FASTER_RCNN_COCO, replace(IMAGENET, network="resnet101_v1d", last_gamma=True)),
            {**_R101, **FASTER_RCNN_BAG}),
    replaced(Setup(SMALL_FASTER_RCNN, replace(SMALL_CLASSIFIER, network="resnet18_v1b", num_samples=1000)), FASTER_RCNN_BAG),
), {
    "other freebies": "all on, as 41.1 is Table 4's number too",
    **FASTER_RCNN_COCO_SOURCES,
    **{f"backbone: {fields}": source for fields, source in IMAGENET_SOURCES.items()},
})

TABLES = {table.number: table for table in (TABLE_1, TABLE_2, TABLE_3, TABLE_4, TABLE_5, TABLE_6)}


# ---- recipes by name -----------------------------------------------------------------------------------------------

class Recipe(NamedTuple):
    """Options with a name. expected, tolerance: the metric that they should reach, at the last of `sizes`, and how near to it,
    fractions; without tolerance it is what another program's training reached. minutes: of training, on what the source says;
    None where nobody measured. pretraining: of its backbone; sizes: see Setup."""

    name: str
    family: str
    options: Any
    source: str
    metric: str = ""
    expected: float | None = None
    tolerance: float | None = None
    minutes: float | None = None
    pretraining: ClassifierOptions | None = None
    sizes: tuple = ()

    def summary(self) -> str:
        """Source, expected result and time in one line."""
        return f"{self.source}{self._told_expected()}{f', {self.minutes:g} min' if self.minutes else ''}"

    def _told_expected(self):
        if self.expected is None:
            return ""
        at = f" at {self.sizes[-1]} pixels" if self.sizes else ""
        near = ", another program's training" if self.tolerance is None else f" ± {100 * self.tolerance:.1f}"
        return f"; {self.metric}{at} {100 * self.expected:.1f}%{near}"


TOLERANCE = 0.005  # half a point: about the distance of two seeds on VOC
SMALL = "@small"  # ends the name of a row at the size that a CPU finishes

ON_BCCD = "this project, 292 photographs of BCCD on two CPU cores"
ON_CARDS = "this project, 296 photographs of playing cards on two CPU cores"
ON_FOLDS = "this project, 290 photographs of playing cards, five folds, on one CPU core each"
_OWN = [
    Recipe("embedded", "yolo3", EMBEDDED_YOLO3, "this project, two CPU cores", "voc07", 0.875, 0.03, 2.5),
    Recipe("shipped-shapes", "yolo3", SHIPPED_YOLO3, "this project, two CPU cores", "voc07", 0.925, 0.01),
    Recipe("shipped-backbone", "classifier", SHIPPED_BACKBONE, "this project, two CPU cores"),
    Recipe("shipped-backbone-mixup", "classifier", SHIPPED_BACKBONE_MIXUP, "this project, two CPU cores"),
    Recipe("embedded", "faster_rcnn", EMBEDDED_FASTER_RCNN, "this project, two CPU cores", "voc07", 0.907, 0.02, 3),
    Recipe("embedded", "ssd", EMBEDDED_SSD, "this project, two CPU cores", "voc07", 0.89, 0.03, 2.5),
    Recipe("embedded", "mask_rcnn", EMBEDDED_MASK_RCNN, "this project, two CPU cores", "mask AP@0.5", 0.956, 0.03, 4),
    Recipe("embedded", "segmentation", EMBEDDED_SEGMENTATION, "this project, two CPU cores", "mean IoU", 0.790, 0.03, 4),
    Recipe("embedded", "classifier", ClassifierOptions(), "this project, two CPU cores"),
    Recipe("best-mini-batch", "minibatch", BEST_MINI_BATCH, "What's the Best Mini-batch?, section 4; --metric is one of four"),
    Recipe("small-dataset", "yolo3", SMALL_SET_YOLO3, ON_BCCD, "voc07", 0.84, 0.03, 13),
    Recipe("small-dataset", "faster_rcnn", SMALL_SET_FASTER_RCNN, ON_BCCD, "voc07", 0.886, 0.03, 18.5),
    Recipe("photographs", "faster_rcnn", PHOTOGRAPHS_FASTER_RCNN, ON_CARDS, "voc07", 0.857, 0.03, 19),
    Recipe("photographs", "yolo3", PHOTOGRAPHS_YOLO3, ON_FOLDS, "mAP@0.5", 0.883, 0.05, 40),
    Recipe("photographs-quick", "faster_rcnn", QUICK_PHOTOGRAPHS_FASTER_RCNN, ON_CARDS, "voc07", 0.811, 0.03, 8),
]


def row_recipe(table: Table, row: Row, small: bool) -> Recipe:
    """The recipe of a table's row, at the paper's scale or at the small one. Table 4's Orig are other programs' trainings."""
    setup = row.small if small else row.paper
    expected = None if small else round(row.paper_value / 100, 6)
    tolerance = None if small or row.key.endswith("-orig") else TOLERANCE
    return Recipe(f"table-{table.number}/{row.key}{SMALL if small else ''}", family_of(setup.options).name, setup.options,
                  f"the paper, Table {table.number}: {row.name}" + (", at small scale" if small else ""),
                  "voc07" if table.metric == VOC_METRIC else "coco", expected, tolerance, None,
                  setup.pretraining, setup.sizes)


def backbone_recipe(table: Table, row: Row, small: bool) -> Recipe:
    """The recipe of the pre-training that a row of Tables 5 and 6 starts from; rows share it."""
    options = (row.small if small else row.paper).pretraining
    return Recipe(f"table-{table.number}/backbone-{'mixup' if options.mixup else 'plain'}{SMALL if small else ''}", "classifier",
                  options, f"the paper, Table {table.number}: the backbone" + (", at small scale" if small else ""))


class UnknownRecipe(UserError, KeyError):
    """A name that no recipe has: a KeyError too, for `in` and `get`."""


class Recipes(Mapping):
    """All recipes by name, "table-2/mixup" say. Those that several families have are "yolo3/embedded"; without the family's
    name they are the first family's."""

    def __init__(self, recipes: Iterable[Recipe]):
        self._recipes = {}
        shared = [recipe.name for recipe in recipes]
        for recipe in recipes:
            name = recipe.name if shared.count(recipe.name) == 1 else f"{recipe.family}/{recipe.name}"
            self._recipes[name] = recipe

    def __getitem__(self, name: str) -> Recipe:
        """Raises UserError for a name that no recipe has."""
        for known, recipe in self._recipes.items():
            if name in (known, recipe.name):
                return recipe
        raise UnknownRecipe(f"no recipe {name!r}", remedy=f"choose one of {', '.join(self._recipes)}")

    def __iter__(self) -> Iterator[str]:
        return iter(self._recipes)

    def __len__(self) -> int:
        return len(self._recipes)

    def of_family(self, family: str) -> dict[str, Recipe]:
        """{name, without the family's: Recipe} of a family's recipes."""
        return {recipe.name: recipe for recipe in self._recipes.values() if recipe.family == family}


def _of_tables():
    for small in (False, True):
        for table in TABLES.values():
            yield from (row_recipe(table, row, small) for row in table.rows)
            backbones = [backbone_recipe(table, row, small) for row in table.rows if row.paper.pretraining]
            yield from {recipe.name: recipe for recipe in backbones}.values()


RECIPES = Recipes([*_OWN, *_of_tables()])
