"""Loading: samples a second on one core, beside GluonCV's transforms on the same images.

YOLOv3 at 416 with mixup and without, and Faster R-CNN at a short side of 600 and a long one of at most 1000: decoding, mixing,
augmenting, targets, and the batch that crosses to the trainer, on both sides. Prints medians, ratios, how far ours is from the
time of the JPEG decodes alone (the floor), and the shared memory of a running loader; with --profile where our time goes. The
last line is one JSON object. Times are those of the core, all threads of a side together."""
import contextlib
import functools
import os
import statistics
import sys
import time

os.environ.setdefault("OMP_NUM_THREADS", "1")
sys.path.insert(0, os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
import cv2
import numpy as np

from benchmarks.common import add_arguments, finish, in_turn, machine, parser_of, ratio, say, voc_folder
from gluon_bof.errors import user_facing

SIZE = 416
CLASSES = 20  # VOC's: GluonCV's dense targets grow with their number, so the images' own are filled up with others
SHORT, LONG = 600, 1000
KINDS = ("mixup", "plain", "rcnn")
CACHED = ("mixup", "plain")  # which are measured with decoded images kept, too
clock = time.process_time  # of one core the same as on the wall, and other work on the machine hardly touches it


def arguments_of(argv):
    parser = parser_of(__doc__)
    add_arguments(parser, 9)
    parser.add_argument("--samples", type=int, default=64, help="samples of ours, a round; GluonCV's side takes half as many")
    parser.add_argument("--batch", type=int, default=8, help="samples a batch; Faster R-CNN has one")
    parser.add_argument("-j", "--workers", type=int, default=2, help="workers while shared memory is measured")
    parser.add_argument("--profile", action="store_true", help="also print how long each stage of ours takes")
    return parser.parse_args(argv)


class Ours:
    """The data set, sampler and batchify function that the scripts hand to the DataLoader, run in this process."""

    def __init__(self, records, batch, samples, kind, cache="none"):
        from gluon_bof.data.cache import image_reader
        from gluon_bof.data.loader import TrainingBatch, TrainingImages
        from gluon_bof.data.sampler import BatchSampler
        from gluon_bof.data.transforms import ShortSide
        from gluon_bof.freebies.augmentation import Augmentation
        from gluon_bof.freebies.mixup import MixRatio
        if kind == "rcnn":
            from gluon_bof.models.faster_rcnn.anchors import anchor_grid
            from gluon_bof.models.faster_rcnn.batch import KeyedImages, RegionBatch
            from gluon_bof.options.faster_rcnn import FasterRcnnOptions
            options = FasterRcnnOptions(dataset="voc").resolved()
            augmentation = Augmentation(False, False, False, True, False, cv2.INTER_LINEAR)
            self.images = KeyedImages(records, augmentation, fit=ShortSide(LONG))
            self.batch_of = functools.partial(RegionBatch, grid=anchor_grid(options), proposals=options.rpn_train_post_nms)
        else:
            self.images = TrainingImages(records, read=image_reader(records, cache))
            self.batch_of = TrainingBatch
        self.batchify = self.batch_of(True)  # into shared memory, as a worker does
        self.sampler = BatchSampler(len(records), batch, 0, (SHORT if kind == "rcnn" else SIZE,), 1,
                                MixRatio() if kind == "mixup" else None, 10 ** 6, samples)
        self.epoch = 0

    def batches(self):
        """What a worker makes of each list of draws, whose buffers it has back when the next is asked for."""
        from gluon_bof.data.shared_memory import Lending, Lent
        lending = Lending()
        self.epoch += 1
        for sampler in self.sampler.start(self.epoch):
            batch = self.batchify([self.images[spec] for spec in sampler])
            lending.sent(batch)
            try:
                yield batch
            finally:
                lending.take_back([(part.number, part.generation) for part in batch if isinstance(part, Lent)])

    def wire_bytes(self):
        """Bytes of a batch over those of its images."""
        *arrays, _ = next(iter(self.batches()))
        return sum(map(bytes_of, arrays)) / arrays[0].size

    def peak_shared_memory(self, workers):
        """Bytes of shared memory while the stock loader runs with so many workers and is always ahead of its user."""
        import multiprocessing

        from gluon_bof.data.loader import training_loader
        self.epoch += 1
        loader = training_loader(self.images, self.sampler.start(self.epoch), workers, batchify=self.batch_of)
        pause = 3 * self.sampler.batch_size * 0.005
        peak = 0
        for _ in loader:
            time.sleep(pause)
            peak = max(peak, shared_memory([os.getpid()] + [child.pid for child in multiprocessing.active_children()]))
        return peak


class Theirs:
    """GluonCV's data set, transform and batchify function, as its scripts hand them to the DataLoader."""

    def __init__(self, folder, classes, batch, samples, kind):
        from benchmarks.official import images_of
        from gluon_bof.backend import mx

        from gluoncv.data import MixupDetection
        from gluoncv.data.batchify import FasterRCNNTrainBatchify, Pad, Stack, Tuple
        from gluoncv.data.transforms.presets.rcnn import FasterRCNNDefaultTrainTransform
        from gluoncv.data.transforms.presets.yolo import YOLO3DefaultTrainTransform
        from gluoncv.model_zoo import get_model
        images = images_of(folder, classes)
        if kind == "mixup":
            images = MixupDetection(images)
            images.set_mixup(np.random.beta, 1.5, 1.5)
        name, options = ("faster_rcnn_resnet50_v1b_custom", {"per_device_batch_size": 1}) if kind == "rcnn" else (
            "yolo3_mobilenet0.25_custom", {})
        network = get_model(name, classes=classes, pretrained_base=False, **options)
        network.initialize()
        network(mx.nd.zeros((1, 3, SIZE, SIZE)))
        mx.nd.waitall()
        if kind == "rcnn":
            transform = FasterRCNNDefaultTrainTransform(SHORT, LONG, network, ashape=network.ashape)
            self.batchify = FasterRCNNTrainBatchify(network, 1)
        else:
            transform = YOLO3DefaultTrainTransform(SIZE, SIZE, network, mixup=kind == "mixup")
            self.batchify = Tuple(*[Stack() for _ in range(6)], Pad(axis=0, pad_val=-1))
        self.samples = images.transform(transform)
        self.batch, self.count = batch, samples

    def batches(self):
        """What a worker makes of each list of indices; MXNet's operators work in the background, hence the wait."""
        from gluon_bof.backend import mx
        order = np.random.permutation(len(self.samples))
        for begin in range(0, self.count, self.batch):
            yield self.batchify([self.samples[int(order[i % len(order)])] for i in range(begin, begin + self.batch)])
            mx.nd.waitall()

    def wire_bytes(self):
        """Bytes of a batch over those that its images have as uint8."""
        parts = [part[0] if isinstance(part, (list, tuple)) else part for part in next(iter(self.batches()))]
        return sum(map(bytes_of, parts)) / parts[0].size


def bytes_of(array):
    return array.size * np.dtype(array.dtype).itemsize


def shared_memory(processes):
    """Bytes of MXNet's shared memory that these processes hold open; its files have no name any more."""
    held = {}
    for process in processes:
        folder = f"/proc/{process}/fd"
        for name in os.listdir(folder):
            with contextlib.suppress(FileNotFoundError):  # closed while we look
                path = os.path.join(folder, name)
                if os.readlink(path).startswith("/dev/shm/mx_"):
                    status = os.stat(path)
                    held[status.st_ino] = status.st_blocks * 512
    return sum(held.values())


def timed(batches, batch):
    """Milliseconds a sample of an iterator's batches."""
    start = clock()
    count = sum(1 for _ in batches)
    return 1000 * (clock() - start) / (count * batch)


def decode(paths):
    """Milliseconds of decoding one JPEG."""
    start = clock()
    for path in paths:
        cv2.imread(path)
    return 1000 * (clock() - start) / len(paths)


class Stages:
    """Wraps functions so that the time between entry and exit, without that of others wrapped, is a stage's."""

    def __init__(self):
        self.seconds = {}
        self.running = []

    @contextlib.contextmanager
    def watching(self):
        """Functions are wrapped meanwhile."""
        places = [(module, name, getattr(module, name), stage) for stage, module, names in stages_of_ours()
                  for name in names.split()]
        for module, name, function, stage in places:
            setattr(module, name, self.wrapped(stage, function))
        try:
            yield self
        finally:
            for module, name, function, _ in places:
                setattr(module, name, function)

    def wrapped(self, stage, function):
        """The function, timed."""
        @functools.wraps(function)
        def run(*args, **kwargs):
            self.running.append(0.0)
            start = clock()
            try:
                return function(*args, **kwargs)
            finally:
                spent = clock() - start
                self.seconds[stage] = self.seconds.get(stage, 0) + spent - self.running.pop()
                if self.running:
                    self.running[-1] += spent
        return run


def stages_of_ours():
    """(stage, module or class, names of its functions) of what a sample passes through."""
    from gluon_bof import boxes
    from gluon_bof.data import images, loader, sampler
    from gluon_bof.freebies import augmentation as augment
    from gluon_bof.models.faster_rcnn import batch
    return (("reading", images, "read_bytes _is_cut_short _scanned"), ("decode", cv2, "imdecode"),
            ("channel order", cv2, "cvtColor"), ("blend", loader, "blend_images"), ("colour", cv2, "transform"),
            ("expand", cv2, "copyMakeBorder"),
            ("crop, resize", augment, "_resize"), ("boxes", boxes, "crop translate resize flip iou"),
            ("draws", augment.Augmentation, "draw"), ("draws", sampler.BatchSampler, "draw_batch"),
            ("anchors", batch, "anchor_targets"))


def profile(side, passes=4):
    """Print milliseconds a sample of each stage of a side of ours; watching takes a little time itself."""
    stages = Stages()
    batchify = side.batchify
    side.batchify = stages.wrapped("copy", batchify)
    run = stages.wrapped("the rest", lambda: [None for _ in side.batches()])
    with stages.watching():
        batches = sum(len(run()) for _ in range(passes))
    side.batchify = batchify
    samples = batches * side.sampler.batch_size
    total = sum(stages.seconds.values())
    for stage, seconds in sorted(stages.seconds.items(), key=lambda pair: -pair[1]):
        say(f"    {stage:14} {1000 * seconds / samples:7.3f} ms  {100 * seconds / total:3.0f}%")


@user_facing
def main(argv=None):
    arguments = arguments_of(argv)
    say(f"{machine()}, one of them used")
    cores = os.sched_getaffinity(0)
    os.sched_setaffinity(0, {max(cores)})
    cv2.setNumThreads(0)
    np.random.seed(0)
    with voc_folder(arguments.images, arguments.count) as (folder, classes):
        from gluon_bof.data.sets import open_set
        classes += [f"other{number}" for number in range(CLASSES - len(classes))]
        records = open_set(folder, None, "train", tuple(classes)).records
        own, official = {}, {}
        for kind in KINDS:
            batch = 1 if kind == "rcnn" else arguments.batch
            own[kind] = Ours(records, batch, arguments.samples, kind)
            official[kind] = Theirs(folder, classes, batch, max(batch, arguments.samples // 2), kind)
        cached = {kind: Ours(records, arguments.batch, arguments.samples, kind, "ram") for kind in CACHED}
        found, result = measured(arguments, records, own, official, cached)
        if arguments.profile:
            for kind in KINDS:
                say(f"ours, {kind}: {result['milliseconds'][f'ours, {kind}']:.2f} ms a sample, of which")
                profile(own[kind])
        os.sched_setaffinity(0, cores)
        result["workers"] = arguments.workers
        result["shared_memory_megabytes"] = own["mixup"].peak_shared_memory(arguments.workers) / 1e6
    for kind in KINDS:
        ours, theirs = (result["milliseconds"][f"{side}, {kind}"] for side in ("ours", "GluonCV's"))
        say(f"{kind:6} ours {ours:7.2f} ms ({1000 / ours:.0f} samples/s), GluonCV's {theirs:7.2f} ms ({1000 / theirs:.0f}), "
            f"ratio {result[f'ratio_{kind}']:.1f}")
    for kind in cached:
        say(f"{kind:6} with --cache ram, every image decoded already: ratio {result[f'ratio_{kind}_cached']:.1f}")
    say(f"ours takes {result['times_decode']:.2f} times the two decodes with mixup, {result['times_decode_plain']:.2f} times the "
        f"one without; on the wire {result['wire_bytes']:.3f} times the images' bytes, GluonCV's "
        f"{result['wire_bytes_official']:.1f}; {arguments.workers} workers hold at most "
        f"{result['shared_memory_megabytes']:.1f} MB of shared memory with batches of {arguments.batch}")
    finish(result)


def measured(arguments, records, own, official, cached):
    """({side: milliseconds a sample of each round}, the result so far)."""
    paths = [records[i % len(records)].path for i in range(arguments.samples)]
    sides = {"decode": lambda: decode(paths)}
    for kind in KINDS:
        sides[f"ours, {kind}"] = lambda kind=kind: timed(own[kind].batches(), own[kind].sampler.batch_size)
        sides[f"GluonCV's, {kind}"] = lambda kind=kind: timed(official[kind].batches(), official[kind].batch)
    for kind, side in cached.items():
        sides[f"ours, {kind}, --cache ram"] = lambda side=side: timed(side.batches(), side.sampler.batch_size)
    for side in sides.values():  # warm-up
        side()
    say("milliseconds a sample, one core")
    found = in_turn(sides, arguments.rounds)
    result = {f"ratio_{kind}": ratio(found[f"GluonCV's, {kind}"], found[f"ours, {kind}"]) for kind in KINDS}
    for kind in cached:
        result[f"ratio_{kind}_cached"] = ratio(found[f"GluonCV's, {kind}"], found[f"ours, {kind}, --cache ram"])
    result["times_decode"] = ratio(found["ours, mixup"], found["decode"]) / 2
    result["times_decode_plain"] = ratio(found["ours, plain"], found["decode"])
    result["wire_bytes"] = own["mixup"].wire_bytes()
    result["wire_bytes_rcnn"] = own["rcnn"].wire_bytes()
    result["wire_bytes_official"] = official["mixup"].wire_bytes()
    result["milliseconds"] = {name: statistics.median(values) for name, values in found.items()}
    result["image_bytes"] = statistics.mean(os.path.getsize(path) for path in paths)
    return found, result


if __name__ == "__main__":
    main()
