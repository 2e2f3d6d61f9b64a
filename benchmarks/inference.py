"""Validation: images a second of `gluon_bof evaluate` beside GluonCV's eval_yolo.py, whole loops: loading with workers,
network, suppression, metric.

Same images and weights on both sides, which take turns; the detections of both are compared as well. Prints images a
second, the ratio, and the share of the machine's matrix peak that is reached; with --profile where our time goes. The last
line is one JSON object."""
import os
import statistics
import sys
import tempfile
import time
import warnings

sys.path.insert(0, os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
import numpy as np

from benchmarks.common import add_arguments, finish, in_turn, machine, matrix_peak, parser_of, ratio, say, voc_folder
from gluon_bof.errors import user_facing

# of untrained weights, so that they find some hundred candidates an image
PRIOR, SPREAD = 5e-3, 1.0  # objectness, and deviation of the logits of objectness and classes
SAME_BOX = 0.95  # IoU from which two detections of one class are the same


def arguments_of(argv):
    parser = parser_of(__doc__)
    add_arguments(parser, 5, 32)
    parser.add_argument("--network", default="mobilenet1.0", choices=("darknet53", "mobilenet1.0", "mobilenet0.25"))
    parser.add_argument("--weights", default="", metavar="FILE", help="trained weights for the images' classes; default: "
                                                                      "untrained, with settled normalisation")
    parser.add_argument("--classes", type=int, default=20, help="classes of untrained weights: the images' own, and others")
    parser.add_argument("--size", type=int, default=416, help="side in pixels of what the network sees")
    parser.add_argument("--batch", type=int, default=8, help="images a batch, on both sides")
    parser.add_argument("-j", "--workers", type=int, default=1, help="data workers of either side")
    parser.add_argument("--profile", action="store_true", help="also print where our time goes")
    return parser.parse_args(argv)


class Ours:
    """What `gluon_bof evaluate` does with a set, once the weights are loaded."""

    def __init__(self, options, found_set):
        from gluon_bof.data.loader import ValidationImages, validation_loader
        from gluon_bof.models.build import models_of
        self.options, self.set, models = options, found_set, models_of(options)
        self.loader = validation_loader(ValidationImages(found_set.records, models.eval_transform(options)),
                                        models.inference_batch(options), options.num_workers)

    def load(self, weights):
        from gluon_bof.inference.detector import load_detector
        self.detector, _ = load_detector(self.options, self.set.classes, weights)

    def run(self):
        """([Detections], mAP)."""
        from gluon_bof.evaluation.detect import detect
        from gluon_bof.evaluation.score import score
        found = detect(self.detector.engine, self.loader, self.set.records)
        return found, score(found, self.set, "voc07")["map"]


class Theirs:
    """What scripts/detection/yolo/eval_yolo.py does, put together from GluonCV's own classes in its order."""

    def __init__(self, options, folder, classes):
        from gluon_bof.backend import gluon

        from gluoncv.data import CustomVOCDetection
        from gluoncv.data.batchify import Pad, Stack, Tuple
        from gluoncv.data.transforms.presets.yolo import YOLO3DefaultValTransform
        CustomVOCDetection.CLASSES = classes
        images = CustomVOCDetection(root=folder, splits=((2007, "test"),))
        # the script lets the last, smaller batch roll over, so that it is never looked at; here it is kept
        self.loader = gluon.data.DataLoader(
            images.transform(YOLO3DefaultValTransform(options.data_shape, options.data_shape)), options.batch_size, False,
            last_batch="keep", num_workers=options.num_workers, batchify_fn=Tuple(Stack(), Pad(pad_val=-1)))
        self.name, self.classes = f"yolo3_{options.network}_custom", classes

    def load(self, weights, device):
        from gluoncv.model_zoo import get_model
        self.device = device
        self.network = get_model(self.name, classes=self.classes, pretrained_base=False)
        self.network.load_parameters(weights, ctx=device)
        self.network.set_nms(nms_thresh=0.45, nms_topk=400)
        self.network.hybridize()

    def run(self):
        """([(ids, scores, boxes) of each batch], mAP)."""
        from gluon_bof.backend import gluon

        from gluoncv.utils.metrics.voc_detection import VOC07MApMetric
        metric = VOC07MApMetric(iou_thresh=0.5, class_names=self.classes)
        found = []
        for images, truth in self.loader:
            side = images.shape[2]
            images, = gluon.utils.split_and_load(images, ctx_list=[self.device], batch_axis=0, even_split=False)
            truth, = gluon.utils.split_and_load(truth, ctx_list=[self.device], batch_axis=0, even_split=False)
            ids, scores, boxes = self.network(images)
            found.append((ids, scores, boxes.clip(0, side)))
            metric.update([found[-1][2]], [ids], [scores],
                          *([truth.slice_axis(axis=-1, begin=begin, end=end)] for begin, end in ((0, 4), (4, 5), (5, 6))))
        return found, float(metric.get()[1][-1])


def settled_weights(options, found_set, path):
    """Write weights whose normalisation knows the mean and variance of these images, so that values neither die nor explode."""
    from gluon_bof.backend import autograd, gluon, mx
    from gluon_bof.data.loader import ValidationImages
    from gluon_bof.models.build import models_of
    from gluon_bof.models.preprocess import Normalise
    from gluon_bof.models.yolo3.network import build_yolo3, set_objectness_prior
    from gluon_bof.weights.load import save_weights

    class LastBatchOnly(gluon.nn.BatchNorm):
        def __init__(self, **arguments):
            super().__init__(**dict(arguments, momentum=0.0))

    mx.random.seed(0)
    images = ValidationImages(found_set.records, models_of(options).eval_transform(options))
    batch = mx.nd.array(np.stack([images[i][0] for i in range(min(8, len(images)))]), dtype=np.uint8)
    network = build_yolo3(options.network, found_set.classes, norm=(LastBatchOnly, {}))
    network.initialize()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        with autograd.record():
            raw = network(Normalise()(batch))
            loss = raw.sum()
        loss.backward()  # statistics are taken over in the backward pass
    logits = raw.asnumpy()[..., 4:]
    for output in network.yolo_outputs:
        weight = output.prediction.weight
        values = weight.data().asnumpy().reshape(-1, 5 + len(found_set.classes), weight.shape[1])
        values[:, 4:] *= SPREAD / logits.std()
        weight.set_data(mx.nd.array(values.reshape(weight.shape)))
    set_objectness_prior(network, PRIOR)
    save_weights(network, path)


def agreement(ours, theirs, records, side):
    """How alike the detections are: their number, the share that both have, and the largest differences of those.

    ours: [Detections]; theirs: [(ids, scores, boxes) of each batch], boxes in pixels of what the network sees."""
    rows = [row for batch in theirs for row in zip(*(array.asnumpy() for array in batch))]
    score_difference = box_difference = 0.0
    total = same = 0
    for found, (ids, scores, boxes), record in zip(ours, rows, records):
        kept = ids[:, 0] >= 0
        boxes = boxes[kept] * np.array([record.width, record.height] * 2, np.float32) / side
        pairs = pairs_of(found, ids[kept, 0], scores[kept, 0], boxes)
        total += max(len(found.scores), len(boxes))
        same += len(pairs)
        for mine, other in pairs:
            score_difference = max(score_difference, abs(found.scores[mine] - scores[kept, 0][other]))
            box_difference = max(box_difference, np.abs(found.boxes[mine] - boxes[other]).max())
    return {"detections": total, "same_detections": same / max(1, total), "score_difference": float(score_difference),
            "box_difference_pixels": float(box_difference)}


def pairs_of(found, ids, scores, boxes):
    """[(number in found, number of the other side)]: one class, almost one box, and of several such the nearest score."""
    from gluon_bof.boxes import iou
    alike = (iou(found.boxes, boxes) >= SAME_BOX) & (found.classes[:, None] == ids)
    distance = np.where(alike, np.abs(found.scores[:, None] - scores), np.inf)
    pairs = []
    while distance.size and np.isfinite(distance.min()):
        mine, other = np.unravel_index(distance.argmin(), distance.shape)
        pairs.append((mine, other))
        distance[mine], distance[:, other] = np.inf, np.inf
    return pairs


def seconds_of(run):
    start = time.perf_counter()
    run()
    return time.perf_counter() - start


def operations(network, side):
    """Multiplications and additions of the network's convolutions for one image."""
    from gluon_bof.backend import gluon, mx
    counts, hooks = [], []

    def count(block, _, output):
        counts.append(2 * block.weight.data().size * output.shape[2] * output.shape[3])

    network.apply(lambda block: hooks.append(block.register_forward_hook(count)) if isinstance(block, gluon.nn.Conv2D) else None)
    network.hybridize(False)
    network(mx.nd.zeros((1, 3, side, side), ctx=next(iter(network.collect_params().values())).list_ctx()[0]))
    for hook in hooks:
        hook.detach()
    return sum(counts)


def profile(side):
    """Print milliseconds an image of the parts of ours, each alone; in a run they overlap."""
    from gluon_bof.backend import mx
    from gluon_bof.evaluation.detect import detect
    from gluon_bof.evaluation.score import score
    graph, device = side.detector.graph, side.detector.device
    batches = [batch for batch, _ in side.loader]
    found = detect(side.detector.engine, side.loader, side.set.records)

    def forward():
        for batch in batches:
            graph(batch.as_in_context(device))
        mx.nd.waitall()

    parts = {"loading": lambda: [None for _ in side.loader], "normalisation": lambda: [graph.normalise(batch).wait_to_read()
                                                                                       for batch in batches],
             "network and suppression": forward, "metric": lambda: score(found, side.set, "voc07")}
    for name, run in parts.items():
        run()
        milliseconds = 1000 * statistics.median(seconds_of(run) for _ in range(3)) / len(side.set)
        say(f"    {name:24} {milliseconds:8.2f} ms")


@user_facing
def main(argv=None):
    arguments = arguments_of(argv)
    say(machine())
    with voc_folder(arguments.images, arguments.count, arguments.count) as (folder, classes), \
            tempfile.TemporaryDirectory() as scratch:
        from gluon_bof.data.sets import open_set
        from gluon_bof.options.yolo3 import Yolo3Options
        if not arguments.weights:
            classes = classes + [f"other{number}" for number in range(arguments.classes - len(classes))]
        found_set = open_set(folder, None, "val", tuple(classes))
        options = Yolo3Options(dataset=folder, network=arguments.network, pretrained_base="no", data_shape=arguments.size,
                               batch_size=arguments.batch, num_workers=arguments.workers)
        # the workers of both start before any network exists
        own, official = Ours(options, found_set), Theirs(options, folder, classes)
        weights = arguments.weights or os.path.join(scratch, "settled.params")
        if not arguments.weights:
            settled_weights(options, found_set, weights)
        own.load(weights)
        official.load(weights, own.detector.device)
        say(f"yolo3_{arguments.network} at {arguments.size}, batch {arguments.batch}, {arguments.workers} workers, "
            f"{len(classes)} classes, {len(found_set)} of the images: {arguments.images}")
        (our_detections, our_map), (their_detections, their_map) = own.run(), official.run()  # warm-up
        ours, theirs, peaks = in_turn({"ours, seconds": lambda: seconds_of(own.run),
                                       "GluonCV's, seconds": lambda: seconds_of(official.run),
                                       "matrix products, Gflop/s": matrix_peak}, arguments.rounds).values()
        speed, official_speed = (len(found_set) / statistics.median(seconds) for seconds in (ours, theirs))
        peak = max(peaks)
        result = {"ratio": ratio(theirs, ours), "network": arguments.network, "size": arguments.size, "classes": len(classes),
                  "batch": arguments.batch, "workers": arguments.workers, "images_per_second": speed,
                  "images_per_second_official": official_speed,
                  **agreement(our_detections, their_detections, found_set.records, arguments.size), "map": our_map,
                  "map_official": their_map, "matrix_peak_gflops": peak,
                  "share_of_peak": operations(official.network, arguments.size) * speed / 1e9 / peak}
        if arguments.profile:
            say("ours, milliseconds an image of each part alone")
            profile(own)
    say(f"ours {speed:.2f} images/s, GluonCV's {official_speed:.2f}, ratio {result['ratio']:.2f}; convolutions take "
        f"{100 * result['share_of_peak']:.0f}% of what {peak:.0f} Gflop/s could do")
    say(f"{100 * result['same_detections']:.2f}% of {result['detections']} detections are the same, scores within "
        f"{result['score_difference']:.1e}, boxes within {result['box_difference_pixels']:.2g} pixels; mAP {our_map:.4f} and "
        f"{their_map:.4f}")
    finish(result)


if __name__ == "__main__":
    main()
