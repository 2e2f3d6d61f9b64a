"""GluonCV's Faster R-CNN networks for any classes, with and without a pyramid, with frozen or learning normalisation."""
from __future__ import annotations

from functools import lru_cache, partial
from typing import TYPE_CHECKING, Any, Callable, Iterable, NamedTuple, Sequence

from gluon_bof.backend import autograd, gluon, mx
from gluon_bof.errors import without_warnings
from gluon_bof.freebies.sync_batch_norm import AliasedBatchNorm, barrier_key, norm_layer
from gluon_bof.models.build import is_portable, with_inferred_shapes
from gluon_bof.models.darknet import darknet_mini, last_layers
from gluon_bof.models.faster_rcnn import on_cpu
from gluon_bof.models.faster_rcnn.targets import RegionSampler, RegionTargets, box_area
from gluon_bof.models.gather import batched_gather
from gluon_bof.models.heads import Rows
from gluon_bof.models.suppression import overlap_threshold

from gluoncv.model_zoo import resnest, resnetv1b
from gluoncv.model_zoo.rcnn.faster_rcnn.faster_rcnn import FasterRCNN as GluonCVFasterRCNN
from gluoncv.model_zoo.rcnn.rpn.proposal import RPNProposal
from gluoncv.nn.dropblock import set_drop_prob
from gluoncv.nn.feature import FPNFeatureExpander

if TYPE_CHECKING:
    from gluon_bof.options.faster_rcnn import FasterRcnnOptions

# name: (builder, last activations of the four stages, which the pyramid starts from)
BACKBONES = {
    "resnet18_v1b": (resnetv1b.resnet18_v1b, (3, 3, 3, 3)),
    "resnet50_v1b": (resnetv1b.resnet50_v1b, (8, 11, 17, 8)),
    "resnet101_v1b": (resnetv1b.resnet101_v1b, (8, 11, 68, 8)),
    "resnet101_v1d": (resnetv1b.resnet101_v1d, (8, 11, 68, 8)),
    "resnest50": (resnest.resnest50, (11, 15, 23, 11)),
    "resnest101": (resnest.resnest101, (11, 15, 91, 11)),
    "resnest269": (resnest.resnest269, (11, 119, 191, 31)),
}
DARKNET = "darknet-mini"  # the package's own, beside those
STEM = ("conv1.", "bn1.", "layer1.")
DARKNET_STEM = tuple(f"features.{place}." for place in range(last_layers()[0] + 1))
CLASSIFIER = ("fc.", "output.")  # heads of classifiers
STEM_AND_STAGES = ("conv1", "bn1", "relu", "maxpool", "layer1", "layer2", "layer3")
# what learns while normalisation is frozen: everything but it, the stem and the first stage
LEARNS_WHILE_FROZEN = (".*dense", ".*rpn", ".*mask", ".*down(2|3|4)_conv", ".*layers(2|3|4)_conv")
# GluonCV's names of a pyramid's normalisations, by the convolutions that they follow
PYRAMID_NORMS = {"P5_conv_lat": "P5_lat_bn", "P6_conv1": "P6_pre_bn",
                 **{f"P{level}_conv_lat": f"P{level}_conv1_bn" for level in (4, 3, 2)},
                 **{f"P{level}_conv1": f"P{level}_bn" for level in (5, 4, 3, 2)}}


MIN_SCORE = 1e-4  # GluonCV's; its cls_decoder has put all scores up to 0.01 to 0 before
OFF_IMAGE = -1e5  # pixels; ROIAlign gives 0 outside the image


class PaddedProposals(RPNProposal):
    """GluonCV's proposals of a level, (B, N, 5) of score and box, and `rows` that count for nothing (all -1): a small
    image has fewer anchors than proposals are asked for, at which GluonCV's network fails."""

    def __init__(self, rows, *arguments, **keywords):
        super().__init__(*arguments, **keywords)
        self._rows = rows

    def hybrid_forward(self, F, anchor, score, bbox_pred, img):
        found = super().hybrid_forward(F, anchor, score, bbox_pred, img)
        nothing = -F.ones_like(F.slice_axis(found, axis=1, begin=0, end=1))
        return F.concat(found, F.tile(nothing, reps=(1, self._rows, 1)), dim=1)


class OfObjects(NamedTuple):
    """What training knows of the regions: cut (B * S, C, h, w) features; regions (B, S, 4) and matches (B, S), as a RegionSampler
    gives them; and of at most Q objects index (B, Q), class_id (B, Q) and weight (B, Q), as RegionTargets does."""

    cut: Any
    regions: Any
    matches: Any
    index: Any
    class_id: Any
    weight: Any


class FasterRCNN(GluonCVFasterRCNN):
    """GluonCV's network and parameter names. Inference takes x (1, 3, H, W) and returns class ids (1, D, 1), scores (1, D, 1) and
    boxes (1, D, 4), -1 where suppression left none. Training takes (x (B, 3, H, W), truth (B, M, 6), keys (B, P + M),
    background_weight (B, 1)), any B, and returns raw predictions and what they should be:

    anchor logits (B, N), anchor boxes (B, N, 4); class logits (B, S, K + 1), class targets (B, S), their weights (B, S);
    box predictions (B, Q, 4) of the matched class, box targets (B, Q, 4), their weights (B, Q)."""

    # background, then classes; four sides of each class
    HEAD_ROWS = ((r"class_predictor\.(weight|bias)", Rows(1, 1, 1)), (r"box_predictor\.(weight|bias)", Rows(1, 0, 4)))

    def __init__(self, *arguments, samples, positive_iou, positive_share, **keywords):
        super().__init__(*arguments, num_sample=samples, pos_iou_thresh=positive_iou, pos_ratio=positive_share,
                         **keywords)
        wanted = max(keywords["rpn_train_post_nms"], keywords["rpn_test_post_nms"])
        with self.rpn.name_scope():
            self.rpn.region_proposer = PaddedProposals(-(-wanted // self.num_stages), keywords["clip"],
                                                       keywords["rpn_min_size"], stds=(1.0, 1.0, 1.0, 1.0))
        self.region_sampler = RegionSampler(samples, positive_iou, positive_share)
        self.region_targets = RegionTargets(int(samples * positive_share))
        self.is_on_cpus = False

    def hybrid_forward(self, F, x, truth=None, keys=None, background_weight=None):
        if not autograd.is_training():
            return self._detections(F, x)[0]
        return self._predictions(F, x, truth, keys, background_weight)[0]

    def _predictions(self, F, x, truth, keys, background_weight):
        """(what training returns, OfObjects)."""
        features = self._all_features(x)
        scores, proposals, anchor_logits, anchor_boxes = self._proposals(F, x, features)
        proposals, scores = F.stop_gradient(proposals), F.stop_gradient(scores)
        regions, samples, matches = self.region_sampler(
            proposals, scores, F.slice_axis(truth, axis=2, begin=0, end=4), keys)
        label, weight, index, class_id, box_target, box_weight = self.region_targets(
            regions, samples, matches, truth, background_weight)

        cut = self._cut_regions(F, features, _rois(F, regions))
        described = self._describe(F, cut)
        classes = F.reshape(self.class_predictor(described), (-4, -1, self._num_sample, 0))
        of_objects = batched_gather(F, F.reshape(described, (-4, -1, self._num_sample, 0)), index)
        boxes = F.reshape(self.box_predictor(F.reshape(of_objects, (-3, 0))),
                          (-4, -1, self.region_targets.most_positive, self.num_class * 4))
        boxes = F.reshape(boxes, (0, 0, -4, self.num_class, 4))
        # every class has its own box; only that of the matched class learns
        one_hot = F.expand_dims(F.one_hot(class_id, self.num_class), axis=3)
        boxes = F.sum(F.broadcast_mul(boxes, one_hot), axis=2)
        return ((F.squeeze(anchor_logits, axis=2), anchor_boxes, classes, label, weight, boxes, box_target, box_weight),
                OfObjects(cut, regions, matches, index, class_id, box_weight))

    def _detections(self, F, x):
        """((ids, scores, boxes), features): GluonCV's inference."""
        features = self._all_features(x)
        _, proposals, _, _ = self._proposals(F, x, features)
        regions = F.reshape(proposals, (-3, 0))
        of_first = F.zeros_like(F.slice_axis(regions, axis=1, begin=0, end=1))
        logits, boxes = self.of_regions(F, features, F.stop_gradient(F.concat(of_first, regions, dim=1)))
        return self.decoded(F, logits, boxes, proposals), features

    def of_regions(self, F: Any, features: Any, rois: Any) -> tuple[Any, Any]:
        """Class logits (R, K + 1) and boxes (R, K * 4) of rois (R, 5), image number and corners in x's pixels, from [features of
        each level], finest first."""
        described = self._describe(F, self._cut_regions(F, features, rois))
        return self.class_predictor(described), self.box_predictor(described)

    def decoded(self, F: Any, logits: Any, boxes: Any, proposals: Any) -> tuple[Any, Any, Any]:
        """Ids (1, D, 1), scores (1, D, 1) and boxes (1, D, 4) after suppression, of what `of_regions` tells of proposals
        (1, P, 4); without the detections that GluonCV makes of what fills up the proposals: a box of no area overlaps no other,
        so that suppression would leave each of them."""
        # (1, P, K) -> (K, P, 1): each class is suppressed by itself
        found = self.cls_decoder(F.softmax(F.expand_dims(logits, axis=0), axis=-1))
        ids, scores = (F.transpose(of_all, axes=(2, 1, 0)) for of_all in found)
        boxes = self.box_decoder(F.transpose(F.reshape(boxes, (0, self.num_class, 4)), axes=(1, 0, 2)), proposals)
        has_area = F.expand_dims(box_area(F, boxes), axis=2) > 0
        ids = F.where(has_area, ids, -F.ones_like(ids))
        scores = F.where(has_area, scores, F.zeros_like(scores))
        found = F.contrib.box_nms(F.concat(ids, scores, boxes, dim=2), overlap_thresh=overlap_threshold(self),
                                  # box_nms gives back what it got for 0, whatever overlaps or scores too little
                                  valid_thresh=MIN_SCORE, topk=self.nms_topk or -1, id_index=0, score_index=1, coord_start=2,
                                  force_suppress=False)
        found = F.expand_dims(F.reshape(found, (-3, 0)), axis=0)
        return tuple(F.slice_axis(found, axis=2, begin=begin, end=end) for begin, end in ((0, 1), (1, 2), (2, 6)))

    def _all_features(self, x):
        """[features of each level], finest first."""
        features = self.features(x)
        return list(features) if isinstance(features, (list, tuple)) else [features]

    def _proposals(self, F, x, features):
        """Scores (B, P, 1) and boxes (B, P, 4) of the best proposals, and of all anchors logits (B, N, 1) and boxes (B, N, 4), as
        GluonCV's RPN makes them."""
        rpn, nothing = self.rpn, F.zeros_like(x)
        found = [self._of_anchors(F, nothing, *level) for level in enumerate(features)]
        rows, logits, boxes = (F.concat(*of_levels, dim=1) if self.num_stages > 1 else of_levels[0] for of_levels in zip(*found))
        compared, kept = ((rpn._train_pre_nms, rpn._train_post_nms) if autograd.is_training() else
                          (rpn._test_pre_nms, rpn._test_post_nms))
        with autograd.pause():
            if self._runs_python() and compared >= on_cpu.MANY:
                best = on_cpu.suppressed(F, rows, rpn._nms_thresh, compared, kept)
            else:
                best = F.slice_axis(F.contrib.box_nms(rows, overlap_thresh=rpn._nms_thresh, topk=compared, coord_start=1,
                                                      score_index=0, id_index=-1, force_suppress=True), axis=1, begin=0, end=kept)
            return F.slice_axis(best, axis=2, begin=0, end=1), F.slice_axis(best, axis=2, begin=1, end=None), logits, boxes

    def _of_anchors(self, F, nothing, number, feature):
        """Of the anchors of one level: rows (B, N, 5) of score and decoded box, logits (B, N, 1) and boxes (B, N, 4)."""
        rpn, is_pyramid = self.rpn, self.num_stages > 1
        anchors = (rpn.anchor_generator[number] if is_pyramid else rpn.anchor_generator)(feature)
        head = rpn.rpn_head if is_pyramid else rpn
        if autograd.is_training() and self._runs_python() and head.conv1[0]._channels >= on_cpu.WIDE:
            seen = head.conv1[1](on_cpu.convolved(F, feature, head.conv1[0]))
        else:
            seen = head.conv1(feature)
        logits, boxes = (F.reshape(F.transpose(layer(seen), axes=(0, 2, 3, 1)), shape)
                         for layer, shape in ((head.score, (0, -1, 1)), (head.loc, (0, -1, 4))))
        rows = rpn.region_proposer(anchors, F.sigmoid(F.stop_gradient(logits)), F.stop_gradient(boxes), nothing)
        return rows, logits, boxes

    def _runs_python(self):
        """Whether operators of `on_cpu` may stand in the graph that is being built."""
        return self.is_on_cpus and not is_portable()

    def _cut_regions(self, F, features, rois):
        """(R, C, h, w) features of rois (R, 5): image number and corners; without a pyramid as the fourth stage sees them."""
        if self.num_stages > 1:
            cut = self._pyramid_roi_feats(F, features, rois, self._roi_size, self._strides, roi_mode=self._roi_mode)
        elif self._roi_mode == "align" and self._runs_python() and autograd.is_training():  # only its gradient is slow there
            level = F.zeros_like(F.slice_axis(rois, axis=1, begin=0, end=1))
            cut = on_cpu.roi_align(F, rois, level, features, self._roi_size, [self._strides], 0)
        else:
            cut = self._cut_out(F, features[0], rois, self._strides)
        return cut if self.top_features is None else self.top_features(cut)

    def _describe(self, F, cut):
        """(R, D) the head's features of regions (R, C, h, w)."""
        if self.box_features is None:
            return F.flatten(F.contrib.AdaptiveAvgPooling2D(cut, output_size=1))
        return self.box_features(cut)

    def _cut_out(self, F, features, rois, stride):
        if self._roi_mode == "pool":
            return F.ROIPooling(features, rois, self._roi_size, 1 / stride)
        return F.contrib.ROIAlign(features, rois, self._roi_size, 1 / stride, sample_ratio=2)

    def _pyramid_roi_feats(self, F, features, rpn_rois, roi_size, strides, roi_mode="align",
                           roi_canonical_scale=224.0, sampling_ratio=2, eps=1e-6):
        """GluonCV's choice of each region's level; the name and parameters are what its own forward asks for. It hides regions
        of other levels behind the image number -1, for which MXNet's ROIAlign on the CPU leaves foreign memory and overwrites
        the first regions; here they are moved out of sight."""
        _, left, top, right, bottom = F.split(rpn_rois, axis=1, num_outputs=5)
        side = F.sqrt((right - left + 1) * (bottom - top + 1))
        coarsest = min(self._max_stage, 5)  # the sixth level is for proposals only
        level = F.clip(F.floor(4 + F.log2(side / roi_canonical_scale + eps)), self._min_stage, coarsest)
        if roi_mode == "align" and self._runs_python():
            levels = features[:coarsest - self._min_stage + 1]
            return on_cpu.roi_align(F, rpn_rois, level, levels, roi_size, strides, self._min_stage)
        image = F.slice_axis(rpn_rois, axis=1, begin=0, end=1)
        nowhere = F.concat(*[image] + [F.ones_like(image) * OFF_IMAGE] * 4, dim=1)
        cut = []
        for number, stride, of_level in zip(range(self._min_stage, coarsest + 1), strides, features):
            here = F.broadcast_like(level == number, rpn_rois)
            if roi_mode == "pool":  # it always pools a cell at least, so what is not here is taken out afterwards
                pooled = self._cut_out(F, of_level, rpn_rois, stride)
                cut.append(F.broadcast_mul(pooled, F.reshape(level == number, (-1, 1, 1, 1))))
            else:
                cut.append(self._cut_out(F, of_level, F.where(here, rpn_rois, nowhere), stride))
        return F.ElementWiseSum(*cut)

    def freeze_the_rest(self) -> None:
        """Only what `collect_train_params` names learns: without normalisation that learns, neither do the stem and the
        first stage, as in GluonCV."""
        self.collect_params().setattr("grad_req", "null")
        for parameter in self.collect_train_params().values():
            if not isinstance(parameter, gluon.Constant):
                parameter.grad_req = "write"

    def backbone_parameters(self) -> dict[str, gluon.Parameter]:
        """{name in the file of a classifier on this backbone: Parameter}."""
        return self.of_backbone

    def stem_parameters(self) -> list[gluon.Parameter]:
        """[Parameter] of the first layers, up to a quarter of the image's sides."""
        return [parameter for name, parameter in self.of_backbone.items() if name.startswith(STEM + DARKNET_STEM)]

    def image_parameters(self) -> list[gluon.Parameter]:
        """[Parameter] of the backbone's layers that see the whole image; without a pyramid the fourth stage sees regions."""
        of_regions = self.top_features.collect_params().values() if self.top_features is not None else ()
        seeing_regions = {id(parameter) for parameter in of_regions}
        return [parameter for parameter in self.of_backbone.values() if id(parameter) not in seeing_regions]

    def trained_parameters(self) -> gluon.ParameterDict:
        """ParameterDict of what learns."""
        return self.collect_train_params()


def _rois(F, regions):
    """(B * S, 5) image number and corners of regions (B, S, 4)."""
    image = F.broadcast_like(F.reshape(F.contrib.arange_like(regions, axis=0), (-1, 1)),
                             F.slice_axis(regions, axis=2, begin=0, end=1), lhs_axes=1, rhs_axes=1)
    return F.stop_gradient(F.concat(F.reshape(image, (-1, 1)), F.reshape(regions, (-3, 0)), dim=1))


@lru_cache(maxsize=None)
def resnet_parameters(name: str) -> dict[str, gluon.Parameter]:
    """{name: Parameter} of a whole classifier of BACKBONES, shapes inferred."""
    network = darknet_mini() if name == DARKNET else BACKBONES[name][0](pretrained=False)
    return with_inferred_shapes(network)._collect_params_with_prefix()


def build_faster_rcnn(options: FasterRcnnOptions, classes: Iterable[str], devices: Sequence[mx.Context]) -> FasterRCNN:
    """The network of resolved FasterRcnnOptions for these class names, not yet initialised."""
    return assemble(FasterRCNN, options, classes, devices)


def assemble(network_class: type, options: FasterRcnnOptions, classes: Iterable[str], devices: Sequence[mx.Context],
             extra: Callable[[type, dict], dict] = lambda layer, arguments: {}) -> FasterRCNN:
    """The same of a class below FasterRCNN. extra(normalisation's layer, its arguments) -> what else that class takes."""
    learns = options.norm_layer == "syncbn"
    layer, arguments = norm_layer(learns, devices)
    if learns and layer is gluon.nn.BatchNorm:
        layer = AliasedBatchNorm
    base = _backbone(options, layer, dict(arguments) if learns else {}, frozen=not learns)
    if options.use_fpn:
        features, top, head = _pyramid(options, base, layer, arguments, devices), None, _box_head(options, layer, arguments)
    else:
        features, top, head = _single_level(base)
    network = network_class(
        features, top, list(classes), box_features=head, short=options.shorts()[1], max_size=options.image_max_size,
        min_stage=2 if options.use_fpn else 4, max_stage=6 if options.use_fpn else 4,
        train_patterns="(?!.*moving)" if learns else "|".join(_learning_while_frozen(options, base)),
        nms_thresh=options.nms_thresh, nms_topk=options.nms_topk, post_nms=options.post_nms, roi_mode=options.roi_mode,
        roi_size=options.roi_size, strides=options.strides if options.use_fpn else options.strides[0],
        clip=options.clip or None, rpn_channel=options.rpn_channel, base_size=options.anchor_base_size,
        scales=options.anchor_scales, ratios=options.anchor_aspect_ratio, alloc_size=options.anchor_alloc_size,
        rpn_nms_thresh=options.rpn_nms_thresh, rpn_train_pre_nms=options.rpn_train_pre_nms,
        rpn_train_post_nms=options.rpn_train_post_nms, rpn_test_pre_nms=options.rpn_test_pre_nms,
        rpn_test_post_nms=options.rpn_test_post_nms, rpn_min_size=options.rpn_min_size,
        samples=options.rcnn_num_samples, positive_iou=options.rcnn_pos_iou_thresh, positive_share=options.rcnn_pos_ratio,
        **extra(layer if learns else None, arguments))
    network.is_on_cpus = all(device.device_type == "cpu" for device in devices)
    network.of_backbone = {name: parameter for name, parameter in base._collect_params_with_prefix().items()
                           if not name.startswith(CLASSIFIER)}
    return network


def _learning_while_frozen(options, base):
    """Patterns of names."""
    patterns = LEARNS_WHILE_FROZEN + (("P",) if options.use_fpn else ())
    if options.network != DARKNET:
        return patterns
    return patterns + tuple(f"{parameter.name}$" for name, parameter in base._collect_params_with_prefix().items()
                            if name.endswith("weight") and not name.startswith(DARKNET_STEM + CLASSIFIER))


def _backbone(options, layer, arguments, frozen):
    if options.network == DARKNET:
        # a pyramid is saved under its backbone's names, which MXNet would number on with every network of a process
        return darknet_mini(norm_layer=layer, norm_kwargs={**arguments, **({"use_global_stats": True} if frozen else {})},
                            prefix="darknetv30_")
    builder, _ = BACKBONES[options.network]
    base = builder(pretrained=False, dilated=False, use_global_stats=frozen, norm_layer=layer, norm_kwargs=arguments)
    base.apply(partial(set_drop_prob, 0.0))  # ResNeSt's, which GluonCV switches off in detectors
    return base


def _single_level(base):
    """(features up to the third stage, the fourth on every region, None)."""
    features, top = gluon.nn.HybridSequential(), gluon.nn.HybridSequential()
    if not hasattr(base, "layer4"):
        end = last_layers()[2] + 1
        features.add(*base.features[:end])
        top.add(*base.features[end:])
        return features, top, None
    for part in STEM_AND_STAGES:
        features.add(getattr(base, part))
    top.add(base.layer4)
    return features, top, None


def _pyramid(options, base, layer, arguments, devices):
    norm = None
    if options.norm_layer:
        norm = _pyramid_norm if layer is AliasedBatchNorm else _synchronised_pyramid_norm(len(devices))
    with without_warnings():  # of the type of "data", which is whatever comes
        return FPNFeatureExpander(
            network=base, outputs=_pyramid_stands_on(options, base),
            num_filters=[options.num_fpn_filters] * 4, use_1x1=True, use_upsample=True, use_elewadd=True, use_p6=True,
            no_bias=norm is not None, pretrained=False, norm_layer=norm)


def _pyramid_stands_on(options, base):
    """Names of the four outputs within the backbone's graph, finest first."""
    if options.network != DARKNET:
        _, lasts = BACKBONES[options.network]
        return [f"layers{stage}_relu{last}_fwd" for stage, last in enumerate(lasts, 1)]
    names, seen = [], mx.sym.var("data")
    for layer in base.features:
        seen = layer(seen)
        names.append(seen.name[len(base.prefix):])
    return [names[place] for place in last_layers()]


def _pyramid_norm(convolved):
    return mx.sym.BatchNorm(convolved, name=PYRAMID_NORMS[convolved.name])


def _synchronised_pyramid_norm(devices):
    def norm(convolved):
        name = PYRAMID_NORMS[convolved.name]
        return mx.sym.contrib.SyncBatchNorm(convolved, name=name, key=barrier_key(name, devices), ndev=devices)
    return norm


def _box_head(options, layer, arguments):
    head = gluon.nn.HybridSequential()
    if options.pools_regions():
        head.add(gluon.nn.AvgPool2D(pool_size=(3, 3), strides=2, padding=1))
    # names that do not count on with a process's networks: a trainer sorts by them, and a checkpoint's states lie in its order
    for number in range(options.num_box_head_conv if options.norm_layer else 0):
        head.add(gluon.nn.Conv2D(options.num_box_head_conv_filters, 3, padding=1, use_bias=False, prefix=f"conv{number}_"),
                 layer(prefix=f"syncbatchnorm{number}_", **arguments), gluon.nn.Activation("relu"))
    for number in range(1 if options.norm_layer else 2):
        head.add(gluon.nn.Dense(options.num_box_head_dense_filters, weight_initializer=mx.init.Normal(0.01),
                                prefix=f"dense{number}_"), gluon.nn.Activation("relu"))
    return head
