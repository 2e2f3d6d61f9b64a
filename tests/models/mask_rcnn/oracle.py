"""GluonCV's Mask R-CNN on the same weights and the same images, to compare with."""
import numpy as np

from gluon_bof.backend import autograd, gluon, mx
from gluon_bof.masks import pack
from gluon_bof.models.faster_rcnn.loss import FasterRCNNLoss
from gluon_bof.models.faster_rcnn.network import assemble
from gluon_bof.models.mask_rcnn.loss import MaskLoss
from gluon_bof.models.mask_rcnn.network import build_mask_rcnn
from gluon_bof.weights.load import set_weights, weights_of
from tests.command_lines import mask_rcnn_options
from tests.models.faster_rcnn import oracle
from tests.tiny_networks import settled

from gluoncv.model_zoo.rcnn.mask_rcnn.data_parallel import ForwardBackwardTask
from gluoncv.model_zoo.rcnn.mask_rcnn.mask_rcnn import MaskRCNN as GluonCVMaskRCNN

HEAD = "--mask-channels 8 --num-mask-head-convs 1"
KINDS = {"single level": oracle.SMALL.format(scales="1,2,4", more="--roi-size 4,4 --mask-channels 8"),
         "pyramid": oracle.SMALL.format(scales="1,2,4,6,8", more=f"--use-fpn {HEAD}"),
         "learning pyramid": oracle.SMALL.format(scales="1,2,4,6,8", more=f"--use-fpn --norm-layer syncbn {HEAD}")}
RHOS = dict(rpn_rho=1 / 9, head_rho=1.0)


def drawn_masks(rng, truth, canvas):
    """(B, M, H, W) uint8: an ellipse in each box, nothing in padding."""
    dense = np.zeros((*truth.shape[:2], *canvas), np.uint8)
    y, x = np.mgrid[:canvas[0], :canvas[1]] + 0.5
    for masks, rows in zip(dense, truth):
        for mask, (left, top, right, bottom, label, _) in zip(masks, rows):
            if label >= 0:
                mask[...] = (((2 * x - left - right) / (right - left)) ** 2 + ((2 * y - top - bottom) / (bottom - top)) ** 2 < 1)
    return dense


def planes_of(dense):
    return mx.nd.array(np.stack([pack(masks, -(-len(masks) // 8)) for masks in dense]), dtype=np.uint8)


def pair(kind, batch):
    """(options, our network, GluonCV's with the same weights)."""
    options = mask_rcnn_options(KINDS[kind])
    options.check()
    ours = oracle.filled(build_mask_rcnn(options, oracle.CLASSES, [mx.cpu()]))

    def gluoncvs(*arguments, samples, positive_iou, positive_share, mask_head, most_masks, mask_size, **keywords):
        assert mask_size == options.mask_size()
        network = GluonCVMaskRCNN(
            *arguments, num_sample=samples, pos_iou_thresh=positive_iou, pos_ratio=positive_share, per_device_batch_size=batch,
            max_num_gt=oracle.MAX_BOXES, mask_channels=mask_head["channels"], num_fcn_convs=mask_head["convolutions"],
            target_roi_scale=options.target_roi_scale, rcnn_max_dets=most_masks, **keywords)
        if mask_head["layer"]:  # GluonCV only takes SyncBatchNorm there, which waits for devices
            network.mask.deconv = ours_again.mask.deconv
        return network

    ours_again = build_mask_rcnn(options, oracle.CLASSES, [mx.cpu()])
    theirs = assemble(gluoncvs, options, oracle.CLASSES, [mx.cpu()], lambda layer, arguments: dict(
        mask_head=dict(channels=8, convolutions=options.num_mask_head_convs, layer=layer), mask_size=options.mask_size(),
        most_masks=50))
    with oracle.roi_align_of_the_gpu():
        settled(theirs, 96, 128)
    set_weights(theirs, weights_of(ours), "ours")
    mx.nd.waitall()
    return options, ours, theirs


def official_step(network, x, truth, dense, targets, seed):
    """(GluonCV's five losses, its gradients)."""
    task = ForwardBackwardTask(network, None, gluon.loss.SigmoidBinaryCrossEntropyLoss(from_sigmoid=False),
                               gluon.loss.HuberLoss(rho=RHOS["rpn_rho"]), gluon.loss.SoftmaxCrossEntropyLoss(),
                               gluon.loss.HuberLoss(rho=RHOS["head_rho"]),
                               gluon.loss.SigmoidBinaryCrossEntropyLoss(from_sigmoid=False), False)
    mx.nd.waitall()  # the seed overtakes draws that are still under way
    mx.random.seed(seed)
    with oracle.roi_align_of_the_gpu():
        losses = task.forward_backward((mx.nd.array(x), mx.nd.array(truth), mx.nd.array(dense), *targets))[:5]
    return np.array([loss.asscalar() for loss in losses]), oracle.gradients_of(network)


def our_step(network, x, truth, dense, rows, keys, weight=1.0):
    """(our five losses (5, B), gradients)."""
    four, fifth = FasterRCNNLoss(len(oracle.CLASSES), **RHOS), MaskLoss()
    with autograd.record():
        *outputs, logits, target, mask_weight = network(mx.nd.array(x), mx.nd.array(truth), keys,
                                                        mx.nd.full((len(x), 1), weight), planes_of(dense))
        losses = [*four(*outputs, mx.nd.array(rows)), fifth(logits, target, mask_weight)[0]]
        total = mx.nd.add_n(*losses)
    total.backward()
    return np.stack([part.asnumpy() for part in losses]), oracle.gradients_of(network)
