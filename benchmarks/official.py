"""The official training pipelines, put together from GluonCV's own classes in the order of its scripts: the other side of
training.py. GluonCV's scripts are not in its package and start by downloading a backbone, which is why they are not run.

Run in a process of its own: python official.py '{"detector": …}'; the last line on standard output is one JSON object."""
import json
import os
import sys
import time
import warnings

import numpy as np

from gluon_bof.backend import autograd, gluon, mx  # MXNet on Python 3.12 and on GPUs without conda

import gluoncv as gcv
from gluoncv.data import CustomVOCDetection, MixupDetection, RandomTransformDataLoader
from gluoncv.data.batchify import FasterRCNNTrainBatchify, Pad, Stack, Tuple
from gluoncv.data.sampler import SplitSortedBucketSampler
from gluoncv.data.transforms.presets.rcnn import FasterRCNNDefaultTrainTransform
from gluoncv.data.transforms.presets.yolo import YOLO3DefaultTrainTransform
from gluoncv.model_zoo.rcnn.faster_rcnn.data_parallel import ForwardBackwardTask
from gluoncv.model_zoo.rcnn.faster_rcnn.faster_rcnn import custom_faster_rcnn_fpn  # get_model gives another's of this name
from gluoncv.utils.metrics.rcnn import RCNNAccMetric, RCNNL1LossMetric, RPNAccMetric, RPNL1LossMetric
from gluoncv.utils.parallel import Parallel


def images_of(root, classes):
    """GluonCV's VOC reader on root/VOC2007 with classes of its own."""
    CustomVOCDetection.CLASSES = [name.lower() for name in classes]
    return CustomVOCDetection(root=root, splits=((2007, "trainval"),))


def settled(network, shape, weights):
    """The network with the job's weights, or with new ones that keep activations in bounds."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of what is initialised twice
        network.initialize()
    network(mx.nd.zeros(shape))
    mx.nd.waitall()
    if weights:
        network.load_parameters(weights)
    else:
        for name, parameter in network.collect_params().items():
            if name.endswith("weight"):
                parameter.initialize(init=mx.init.MSRAPrelu(slope=0.1), force_reinit=True)
    return network


def build(job):
    if job["detector"] == "yolo3":
        network = gcv.model_zoo.get_model(f"yolo3_{job['network']}_custom", classes=job["classes"], pretrained_base=False)
        return settled(network, (1, 3, job["sizes"][0], job["sizes"][0]), job["weights"])
    return settled(build_faster_rcnn(job), (1, 3, job["short"], job["short"]), job["weights"])


def save_weights(job):
    """Weights for both sides to start from, so that they find the same proposals."""
    mx.random.seed(0)
    network = build(dict(job, weights=""))
    network.save_parameters(job["save"])


class Clock:
    """Notes when each step ended."""

    def __init__(self):
        self.ends = [time.perf_counter()]

    def step(self):
        self.ends.append(time.perf_counter())

    def seconds(self, warm, steps):
        mx.nd.waitall()
        return (time.perf_counter() - self.ends[warm]) if len(self.ends) == warm + steps + 1 else float("nan")


def batches_without_end(loader):
    while True:
        yield from loader


def train_yolo3(job):
    """As scripts/detection/yolo/train_yolo3.py: dense targets from the workers, a metric that waits after every batch."""
    network = build(job)
    images = images_of(job["root"], job["classes"])
    if job["mixup"]:  # before the workers are forked, so that they mix: the script sets it too late
        images = MixupDetection(images)
        images.set_mixup(np.random.beta, 1.5, 1.5)
    batchify = Tuple(*[Stack() for _ in range(6)], Pad(axis=0, pad_val=-1))
    transforms = [YOLO3DefaultTrainTransform(size, size, network, mixup=job["mixup"]) for size in job["sizes"]]
    if len(transforms) == 1:
        loader = gluon.data.DataLoader(images.transform(transforms[0]), job["batch"], True, batchify_fn=batchify,
                                       last_batch="rollover", num_workers=job["workers"])
    else:
        loader = RandomTransformDataLoader(transforms, images, batch_size=job["batch"], interval=10, last_batch="rollover",
                                           shuffle=True, batchify_fn=batchify, num_workers=job["workers"])
    trainer = gluon.Trainer(network.collect_params(), "sgd", {"wd": 0.0005, "momentum": 0.9, "learning_rate": job["lr"]},
                            kvstore="local")
    metrics = [mx.metric.Loss(name) for name in ("ObjLoss", "BoxCenterLoss", "BoxScaleLoss", "ClassLoss")]
    network.hybridize()
    clock, place = Clock(), [mx.cpu()]
    for _, batch in zip(range(job["warm"] + job["steps"]), batches_without_end(loader)):
        data, *fixed, boxes = [gluon.utils.split_and_load(part, ctx_list=place, batch_axis=0) for part in batch[:7]]
        with autograd.record():
            losses = [network(x, boxes[i], *[target[i] for target in fixed]) for i, x in enumerate(data)]
            autograd.backward([sum(parts) for parts in losses])
        trainer.step(job["batch"])
        for metric, loss in zip(metrics, zip(*losses)):
            metric.update(0, loss)
        clock.step()
    return clock.seconds(job["warm"], job["steps"])


def build_faster_rcnn(job):
    """GluonCV's network as its script builds it."""
    size = {"short": job["short"], "max_size": job["long"]}
    if job["fpn"]:
        return custom_faster_rcnn_fpn(
            classes=job["classes"], transfer=None, dataset="voc", pretrained_base=False,
            base_network_name=job["network"], norm_layer=gluon.contrib.nn.SyncBatchNorm, norm_kwargs={"num_devices": 1},
            sym_norm_layer=mx.sym.contrib.SyncBatchNorm, sym_norm_kwargs={"ndev": 1}, num_fpn_filters=256,
            num_box_head_conv=0, num_box_head_conv_filters=256,
            num_box_head_dense_filters=1024, min_stage=2, max_stage=6, nms_thresh=0.5, nms_topk=-1, post_nms=-1,
            roi_mode="align", roi_size=(7, 7), strides=(4, 8, 16, 32, 64), clip=4.14, rpn_channel=256, base_size=16,
            scales=(2, 4, 8, 16, 32), ratios=(0.5, 1, 2), alloc_size=(384, 384), rpn_nms_thresh=0.7,
            rpn_train_pre_nms=12000, rpn_train_post_nms=2000, rpn_test_pre_nms=6000, rpn_test_post_nms=1000,
            rpn_min_size=1, per_device_batch_size=job["batch"], num_sample=512, pos_iou_thresh=0.5, pos_ratio=0.25,
            max_num_gt=100, **size)
    network = gcv.model_zoo.get_model(f"faster_rcnn_{job['network']}_voc", pretrained_base=False,
                                      per_device_batch_size=job["batch"])
    network.initialize()
    network.reset_class(job["classes"])  # the one called custom has other anchors
    network.short, network.max_size = job["short"], job["long"]
    return network


def train_faster_rcnn(job):
    """As scripts/detection/faster_rcnn/train_faster_rcnn.py: RPN targets from the workers, eight metrics that wait."""
    network = build(job)
    images = images_of(job["root"], job["classes"])
    if job["mixup"]:
        images = MixupDetection(images)
        images.set_mixup(np.random.uniform, 0.5, 0.5)
    ratios = images.get_im_aspect_ratio() if hasattr(images, "get_im_aspect_ratio") else [1.0] * len(images)
    transform = FasterRCNNDefaultTrainTransform(network.short, network.max_size, network, ashape=network.ashape,
                                                multi_stage=job["fpn"])
    loader = gluon.data.DataLoader(images.transform(transform), num_workers=job["workers"],
                                   batch_sampler=SplitSortedBucketSampler(ratios, job["batch"], shuffle=True),
                                   batchify_fn=FasterRCNNTrainBatchify(network, 1))
    network.collect_params().setattr("grad_req", "null")
    network.collect_train_params().setattr("grad_req", "write")
    trainer = gluon.Trainer(network.collect_train_params(), "sgd",
                            {"learning_rate": job["lr"], "wd": 5e-4, "momentum": 0.9}, kvstore="device")
    task = ForwardBackwardTask(network, trainer, gluon.loss.SigmoidBinaryCrossEntropyLoss(from_sigmoid=False),
                               gluon.loss.HuberLoss(rho=1 / 9), gluon.loss.SoftmaxCrossEntropyLoss(),
                               gluon.loss.HuberLoss(rho=1.0), mix_ratio=0.5 if job["mixup"] else 1.0, amp_enabled=False)
    executor = Parallel(1, task)
    metrics = [mx.metric.Loss(name) for name in ("RPN_Conf", "RPN_SmoothL1", "RCNN_CrossEntropy", "RCNN_SmoothL1")]
    metrics += [RPNAccMetric(), RPNL1LossMetric(), RCNNAccMetric(), RCNNL1LossMetric()]
    network.hybridize()
    clock = Clock()
    for _, batch in zip(range(job["warm"] + job["steps"]), batches_without_end(loader)):
        parts = [part[0] if isinstance(part, (list, tuple)) else part for part in batch]
        executor.put([part.as_in_context(mx.cpu()) for part in parts])
        result = executor.get()
        trainer.step(job["batch"])
        for metric, loss in zip(metrics[:4], result):
            metric.update(0, [loss])
        for metric, pair in zip(metrics[4:], result[4:]):
            metric.update(pair[0], pair[1])
        clock.step()
    return clock.seconds(job["warm"], job["steps"])


def main():
    job = json.loads(sys.argv[1])
    mx.random.seed(0)
    np.random.seed(0)
    if "save" in job:
        save_weights(job)
        print("{}")
        return
    seconds = {"yolo3": train_yolo3, "faster_rcnn": train_faster_rcnn}[job["detector"]](job)
    print(json.dumps({"images_per_second": job["steps"] * job["batch"] / seconds}), flush=True)
    os._exit(0)  # the loader's workers and Parallel's thread are not worth waiting for


if __name__ == "__main__":
    main()
