"""GluonCV's Faster R-CNN on the same weights and the same images, to compare with."""
from contextlib import contextmanager

import numpy as np

from gluon_bof.backend import autograd, gluon, mx
from gluon_bof.models.faster_rcnn import network as network_module
from gluon_bof.models.faster_rcnn.loss import FasterRCNNLoss
from gluon_bof.models.faster_rcnn.network import build_faster_rcnn
from gluon_bof.models.faster_rcnn.targets import anchor_targets
from gluon_bof.weights.load import set_weights, weights_of
from tests.command_lines import faster_rcnn_options
from tests.tiny_networks import settled

from gluoncv.model_zoo.rcnn.faster_rcnn.data_parallel import ForwardBackwardTask
from gluoncv.model_zoo.rcnn.rpn.rpn_target import RPNTargetGenerator

CLASSES = ("circle", "cross", "ring")
MAX_BOXES = 8
SMALL = ("--dataset voc --network resnet18_v1b --pretrained-base no --image-short 96 --image-max-size 160 --rpn-channel 32 "
         "--rpn-min-size 4 --rpn-train-pre-nms 300 --rpn-train-post-nms 100 --rcnn-num-samples 32 --anchor-scales {scales} "
         "--rpn-test-pre-nms 200 --rpn-test-post-nms 50 --num-fpn-filters 16 --num-box-head-dense-filters 32 "
         "--num-box-head-conv-filters 16 --anchor-alloc-size 64,64 {more}")
KINDS = {"single level": SMALL.format(scales="1,2,4", more="--roi-size 4,4 --rpn-nms-thresh 0.5"),
         "pyramid": SMALL.format(scales="1,2,4,6,8", more="--use-fpn"),
         "learning pyramid": SMALL.format(scales="1,2,4,6,8", more="--use-fpn --norm-layer syncbn")}
ON_DARKNET = "learning pyramid on darknet-mini"
ALL_KINDS = {**KINDS, ON_DARKNET: KINDS["learning pyramid"].replace("resnet18_v1b", "darknet-mini")}


def small_options(kind, *more):
    """Resolved options of a small network."""
    options = faster_rcnn_options(ALL_KINDS[kind], *more)
    options.check()
    return options


def filled(network):
    """The network with every parameter settled, its heads not too small to matter."""
    mx.random.seed(3)
    settled(network, 96, 128)
    for name, parameter in network.collect_params().items():
        if name.endswith("weight") and ("dense" in name or "rpn" in name):
            parameter.set_data(mx.nd.random.normal(0, 0.05, parameter.shape))
    return network


def pair(kind, batch):
    """(our network, GluonCV's with the same weights)."""
    options = small_options(kind)
    ours = filled(build_faster_rcnn(options, CLASSES, [mx.cpu()]))
    own_class = network_module.FasterRCNN
    try:
        network_module.FasterRCNN = lambda *arguments, samples, positive_iou, positive_share, **keywords: (
            network_module.GluonCVFasterRCNN(*arguments, num_sample=samples, pos_iou_thresh=positive_iou,
                                             pos_ratio=positive_share, per_device_batch_size=batch,
                                             max_num_gt=MAX_BOXES, **keywords))
        theirs = build_faster_rcnn(options, CLASSES, [mx.cpu()])
    finally:
        network_module.FasterRCNN = own_class
    set_weights(settled(theirs, 96, 128), weights_of(ours), "ours")
    mx.nd.waitall()
    return options, ours, theirs


def draw_batch(rng, sizes, canvas, boxes_each):
    """(x (B, 3, H, W) 0 in the padding, truth (B, M, 6) of weight 1)."""
    x = np.zeros((len(sizes), 3) + canvas, np.float32)
    truth = np.full((len(sizes), MAX_BOXES, 6), -1, np.float32)
    for image, rows, (height, width), count in zip(x, truth, sizes, boxes_each):
        image[:, :height, :width] = rng.normal(size=(3, height, width))
        sides = rng.uniform(12, 70, (count, 2))
        corner = rng.uniform(0, 1, (count, 2)) * (np.array([width, height]) - sides)
        rows[:count, :4] = np.hstack([corner, corner + sides])
        rows[:count, 4] = rng.integers(len(CLASSES), size=count)
        rows[:count, 5] = 1
    return x, truth


def official_anchor_targets(network, x_shape, sizes, truth, seed):
    """GluonCV's dense RPN targets: class (B, N), box (B, N, 4), mask (B, N, 4)."""
    features = network.features(mx.nd.zeros(x_shape))
    features = list(features) if isinstance(features, (list, tuple)) else [features]
    generators = network.rpn.anchor_generator if len(features) > 1 else [network.rpn.anchor_generator]
    anchors = mx.nd.concat(*[generator(feature).reshape((-1, 4))
                             for generator, feature in zip(generators, features)], dim=0)
    np.random.seed(seed)
    found = [RPNTargetGenerator()(mx.nd.array(rows[rows[:, 4] >= 0, :4]), anchors, width, height)
             for rows, (height, width) in zip(truth, sizes)]
    return [mx.nd.array(np.stack(parts)) for parts in zip(*found)]


def official_keys(network, batch, seed):
    """What GluonCV's region sampler draws after mx.random.seed(seed), (B, P + MAX_BOXES)."""
    mx.nd.waitall()
    mx.random.seed(seed)
    count = network.sampler._num_proposal + MAX_BOXES
    return mx.nd.stack(*[mx.nd.random.uniform(0, 1, shape=(count,)) for _ in range(batch)])


def gradients_of(network):
    """{structured name: gradient} of what learns."""
    learning = {id(parameter) for parameter in network.collect_train_params().values()}
    return {name: parameter.grad().asnumpy() for name, parameter in network._collect_params_with_prefix().items()
            if id(parameter) in learning and parameter.grad_req != "null"}


@contextmanager
def roi_align_of_the_gpu():
    """MXNet's ROIAlign gives 0 for the image number -1 on a GPU and reads foreign memory on the CPU: be the GPU."""
    of_the_cpu = mx.nd.contrib.ROIAlign

    def roi_align(features, rois, *arguments, **keywords):
        number = mx.nd.slice_axis(rois, axis=1, begin=0, end=1)
        safe = mx.nd.concat(mx.nd.relu(number), mx.nd.slice_axis(rois, axis=1, begin=1, end=5), dim=1)
        return mx.nd.broadcast_mul(of_the_cpu(features, safe, *arguments, **keywords),
                                   (number >= 0).reshape((-1, 1, 1, 1)))

    mx.nd.contrib.ROIAlign = roi_align
    try:
        yield
    finally:
        mx.nd.contrib.ROIAlign = of_the_cpu


def official_step(network, x, truth, targets, seed, mix_ratio, rpn_rho, head_rho):
    """(GluonCV's four losses, its gradients)."""
    task = ForwardBackwardTask(network, None, gluon.loss.SigmoidBinaryCrossEntropyLoss(from_sigmoid=False),
                               gluon.loss.HuberLoss(rho=rpn_rho), gluon.loss.SoftmaxCrossEntropyLoss(),
                               gluon.loss.HuberLoss(rho=head_rho), mix_ratio, False)
    mx.nd.waitall()  # the seed overtakes draws that are still under way
    mx.random.seed(seed)
    with roi_align_of_the_gpu():
        losses = task.forward_backward((mx.nd.array(x), mx.nd.array(truth), *targets))[:4]
    return np.array([loss.asscalar() for loss in losses]), gradients_of(network)


def our_anchor_rows(grid, truth, sizes, canvas, seed, weights=None):
    """(B, 256, 7) with the seed that `official_anchor_targets` takes; weights: of background, one an image."""
    rng = np.random.RandomState(seed)
    weights = weights or [1.0] * len(sizes)
    return np.stack([anchor_targets(grid, rows[rows[:, 4] >= 0], size, canvas, rng, weight)
                     for rows, size, weight in zip(truth, sizes, weights)])


def our_step(network, x, truth, rows, keys, background, smoothing, rpn_rho, head_rho):
    """(our four losses (4, B), gradients)."""
    loss = FasterRCNNLoss(len(CLASSES), smoothing, rpn_rho, head_rho)
    with autograd.record():
        outputs = network(mx.nd.array(x), mx.nd.array(truth), keys, mx.nd.array(background).reshape((-1, 1)))
        losses = loss(*outputs, mx.nd.array(rows))
        total = mx.nd.add_n(*losses)
    total.backward()
    return np.stack([part.asnumpy() for part in losses]), gradients_of(network)
