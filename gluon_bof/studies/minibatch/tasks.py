"""What is trained and probed: a classifier of small images or a YOLOv3, with its images, losses and validation.

A task's data are there before its network is, so that data workers carry none of it."""
from __future__ import annotations

import hashlib
from dataclasses import replace
from functools import partial
from itertools import chain
from typing import Any, Callable, Iterable, Iterator, Sequence

import numpy as np

from gluon_bof.backend import gluon, mx
from gluon_bof.data.balance import untrained
from gluon_bof.data.cifar10 import CLASSES as CIFAR10_CLASSES
from gluon_bof.data.cifar10 import load_cifar10
from gluon_bof.data.class_sets import NO_SUCH_FLAG, open_boxes, open_classes
from gluon_bof.data.classification import ClassImages
from gluon_bof.data.images import read_image, read_or_name
from gluon_bof.data.loader import Loader, TrainingBatch, TrainingImages, validation_loader
from gluon_bof.data.sampler import SampleSpec
from gluon_bof.data.sets import set_mark
from gluon_bof.errors import abbreviate, warn
from gluon_bof.evaluation.validation import Validation
from gluon_bof.freebies.augmentation import Augmentation
from gluon_bof.inference.detector import Detector
from gluon_bof.models import yolo3
from gluon_bof.models.build import build_network
from gluon_bof.models.classifier import TrainingGraph
from gluon_bof.models.dpn import dpn92, dpn_mini
from gluon_bof.models.preprocess import InferenceGraph
from gluon_bof.models.unblocked import unblock
from gluon_bof.options.minibatch import MinibatchOptions
from gluon_bof.rng import augmentation_rng
from gluon_bof.studies.capacity.layers import block_of
from gluon_bof.training import pipeline
from gluon_bof.training.classifier import TOP_K, ClassBatch, accuracy
from gluon_bof.training.initialise import initialise_weights

from gluoncv.model_zoo import get_model

PADDING = 4  # pixels of black around an image that is then cropped at random, as CIFAR-10's training has it


def cifar_resnet20(classes: int) -> gluon.HybridBlock:
    """Gluon's ResNet-20 for CIFAR, not yet initialised."""
    network = get_model("cifar_resnet20_v1", classes=classes)
    unblock(network.features[-1])
    return network


BUILDERS = {"cifar_resnet20_v1": cifar_resnet20, "dpn92": dpn92, "dpn-mini": dpn_mini}


def open_task(options: MinibatchOptions) -> Any:
    """The Classification or Detection of these options, its data read. Raises UserError as the readers do."""
    return (Detection if options.detects else Classification)(options)


def build_classifier(name: str, class_count: int, side: int, device: Any) -> gluon.HybridBlock:
    """The initialised classifier of that name (a key of BUILDERS) for images (B, 3, side, side), on its device."""
    network = BUILDERS[name](classes=class_count)
    network.initialize(mx.init.MSRAPrelu(), ctx=device)
    network(mx.nd.zeros((1, 3, side, side), ctx=device))
    mx.nd.waitall()
    return network


class PixelImages(gluon.data.Dataset):
    """`dataset[spec]` -> (image (S, S, 3) uint8, label (3,) as ClassImages gives it), a pure function of the spec, cropped and
    flipped at random where it augments; `dataset[i]` -> (image, i)."""

    def __init__(self, images, class_ids, augments=False):
        self.images = images
        self.class_ids = class_ids
        self.augments = augments

    def __len__(self):
        return len(self.images)

    def __getitem__(self, spec):
        if isinstance(spec, int):
            return self.images[spec], spec
        image = self.images[spec.index]
        if self.augments:
            image = _cropped_and_flipped(augmentation_rng(spec), image)
        class_id = self.class_ids[spec.index]
        return image, np.array((class_id, class_id, 1), np.float32)


def _cropped_and_flipped(rng, image):
    height, width = image.shape[:2]
    padded = np.zeros((height + 2 * PADDING, width + 2 * PADDING, 3), np.uint8)
    padded[PADDING:-PADDING, PADDING:-PADDING] = image
    top, left = rng.integers(2 * PADDING + 1, size=2)
    view = padded[top:top + height, left:left + width]
    return view[:, ::-1] if rng.random() < 0.5 else view


class Task:
    """classes: names; marks: checksums of the sets that train and validate; labels: class ids of each training image; loss_names;
    loader and probes: Loaders of training batches and of images as they are, whose `batches`, lists of SampleSpec, are set before
    each pass. After start(): network, graph (-> losses, (B,) each), arguments (of one batch's arrays, for the graph) and blocks,
    {part of the network: pattern}."""

    loss_names: Sequence[str] = ()

    def __init__(self, options: MinibatchOptions):
        self.options = options

    def _open(self, training: Any, plain: Any, batchify: Callable) -> None:
        workers = self.options.num_workers
        self.plain = plain
        self.loader, self.probes = (Loader(images, [], batchify(workers > 0), workers) for images in (training, plain))

    def __len__(self):
        return len(self.labels)

    def spec(self, index: int, key: tuple = (0, 0, 0, 0)) -> SampleSpec:
        """What a data set is asked for one image; key: of its augmentation."""
        return SampleSpec(int(index), -1, 1.0, self.options.data_shape, key)

    def batches_of(self, partition: np.ndarray) -> Callable[[], Iterator[tuple]]:
        """A function that yields the arrays of each mini-batch of a partition, (K, B) indices, images as they are."""
        def batches():
            self.probes.batches = [[self.spec(index) for index in batch] for batch in partition]
            for *arrays, _ in self.probes:
                yield tuple(array.as_in_context(self.device) for array in arrays)
        return batches

    def start(self, device: Any, checkpoint: str | None = None) -> None:
        """Make the network as the options' seed has it, on a device, and its graph ready for training and probes."""
        pipeline.seed(self.options.seed)
        np.random.seed(self.options.seed % 2 ** 32)  # what MXNet's initialisers draw from
        self.build(device, checkpoint)
        self.graph.hybridize(static_alloc=True)

    def block(self, name: str) -> str:
        """The part of the network that a parameter belongs to, by its structured name."""
        raise NotImplementedError


class Classification(Task):
    """Small images of one class each, held in memory."""

    loss_names = ("cross_entropy",)

    def __init__(self, options: MinibatchOptions):
        super().__init__(options)
        *parts, self.classes = _pixels(options)
        (images, class_ids), (others, other_ids) = parts
        self.marks = tuple(_mark_of(*part) for part in parts)
        self.labels = [(int(class_id),) for class_id in class_ids]
        self._open(PixelImages(images, class_ids, not options.no_augment), PixelImages(images, class_ids), ClassBatch)
        self._wanted = other_ids
        self._validation = validation_loader(PixelImages(others, other_ids), 256, options.num_workers)

    def shown(self) -> Iterator[tuple]:
        """(image, None) of each training image as the network sees it, without augmentation."""
        return ((image, None) for image in self.plain.images)

    def build(self, device: Any, checkpoint: str | None = None) -> None:
        """Make the network, on a device, and its graph."""
        self.device = device
        self.network = build_classifier(self.options.network, len(self.classes), self.options.data_shape, device)
        self.graph = TrainingGraph(self.network, len(self.classes), self.options.label_smooth_eps)
        self.arguments = lambda *arrays: arrays
        scoring = InferenceGraph(self.network)
        scoring.hybridize()
        self.validate = partial(accuracy, scoring, self._validation, self._wanted, device, min(TOP_K, len(self.classes)))

    def block(self, name: str) -> str:
        """The stem, each stage and the output."""
        parts = name.split(".")
        return f"features.{parts[1]}" if parts[0] == "features" else parts[0]


class Detection(Task):
    """Images with boxes, for a YOLOv3."""

    loss_names = ("objectness", "centre", "scale", "class")

    def __init__(self, options: MinibatchOptions):
        super().__init__(options)
        own = self.detector_options = options.detector_options()
        place = options.dataset, options.dataset_root or None
        training = open_boxes(*place, "train", None)
        records = _first(options.num_images, training.records)
        self.classes = training.classes
        labels = [tuple(record.truth()[:, 4].astype(int)) for record in training.records]
        self.labels = labels[:len(records)]
        _warn_of_unseen(chain.from_iterable(self.labels), chain.from_iterable(labels), self.classes)
        augmentation = Augmentation.none() if options.no_augment else Augmentation()
        read = partial(_read_image, records)
        self._open(TrainingImages(records, augmentation, read=read), TrainingImages(records, Augmentation.none(), read=read),
                   TrainingBatch)
        validation = open_boxes(*place, "val", self.classes, [training])
        for sentence in untrained(training, validation):
            warn(f"{options.dataset}: {sentence}{NO_SUCH_FLAG}")
        self.marks = set_mark(replace(training, records=records)), set_mark(validation)
        self._validation = Validation(own, validation)

    def shown(self) -> Iterator[tuple]:
        """(image, truth) of each training image as the network sees it, without augmentation."""
        return (self.plain[self.spec(index)][:2] for index in range(len(self)))

    def build(self, device: Any, checkpoint: str | None = None) -> None:
        """Make the network, on a device, and its graph."""
        self.device = device
        own = self.detector_options
        self.network = build_network(own, self.classes, [device])
        if own.init == "near-identity" and own.pretrained_base == "no":
            yolo3.initialise_near_identity(self.network)
        yolo3.set_objectness_prior(self.network, own.objectness_prior)
        initialise_weights(self.network, own, checkpoint)
        self.graph = yolo3.TrainingGraph(self.network, yolo3.YOLOv3Loss(len(self.classes)))
        self.arguments = lambda batch, truth: (batch, truth, *yolo3.grid_on(batch.context, batch.shape[1]))
        self._detector = None

    def validate(self, should_stop: Callable[[], bool] = lambda: False) -> dict | None:
        """mAP as training has it, or None where should_stop said so."""
        if self._detector is None:
            self._detector = Detector(self.network, self.detector_options, self.device)
        return self._validation(self._detector, should_stop)

    def block(self, name: str) -> str:
        """Backbone, neck or heads."""
        return block_of(name)


def _read_image(records, index):
    """The image of a record, (H, W, 3). Raises UserError."""
    return read_or_name(read_image, records[index].path, records[index].orientation)


def _pixels(options):
    """((images, class ids) to train on, those to validate on, class names)."""
    if options.dataset == "cifar10":
        training, validation = (load_cifar10(role, options.dataset_root or None) for role in ("train", "val"))
        images, class_ids = training
        images = _first(options.num_images, images)
        _warn_of_unseen(class_ids[:len(images)], class_ids, CIFAR10_CLASSES)
        return (images, class_ids[:len(images)]), validation, CIFAR10_CLASSES
    training, validation = open_classes(options.dataset, options.dataset_root or None)
    samples = _first(options.num_images, training.samples)
    class_ids = [sample.class_id for sample in training.samples]
    _warn_of_unseen(class_ids[:len(samples)], class_ids, training.classes)
    return _decoded(samples, options.data_shape), _decoded(validation.samples, options.data_shape), training.classes


def _mark_of(images, class_ids):
    digest = hashlib.sha256(np.ascontiguousarray(images))
    digest.update(np.asarray(class_ids, np.int64).tobytes())
    return digest.hexdigest()


def _first(count, images):
    if count > len(images):
        warn(f"--num-images {count}: the set has {len(images)} images, and all are taken")
    return images[:count or None]


def _warn_of_unseen(seen, class_ids, classes):
    """Warn of classes of the set that its first images do not show: those of train/CLASS/ are the first class's."""
    unseen = [classes[class_id] for class_id in sorted(set(map(int, class_ids)) - set(map(int, seen)))]
    if unseen:
        warn(f"--num-images: the first images of the set show no {abbreviate(unseen)}")


def _decoded(samples: Iterable[Any], side: int) -> tuple[np.ndarray, np.ndarray]:
    images = ClassImages(samples, side)
    return np.stack([images[index][0] for index in range(len(images))]), np.array([one.class_id for one in samples])
