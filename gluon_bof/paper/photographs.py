"""The bag on photographs: baseline and whole bag of both detectors, cross-validated on a folder of one's own, from the shipped
backbone, which has seen drawn shapes alone. The folds are written once; the folder itself is only read."""
from __future__ import annotations

import json
import os
from collections import Counter
from dataclasses import dataclass, replace
from typing import Any, Sequence

from gluon_bof.data.convert import convert_set
from gluon_bof.data.images import ENDINGS
from gluon_bof.errors import UserError
from gluon_bof.files import folder_beside, prepare_folder, read_json, sha256_of, whole_folder, write_atomically, write_text
from gluon_bof.options.recipes import PHOTOGRAPHS_FASTER_RCNN, PHOTOGRAPHS_YOLO3
from gluon_bof.paper import bundles, harness, miniature
from gluon_bof.paper.choices import flags_of_trainings
from gluon_bof.paper.harness import Job

EXPERIMENT = "photographs"
FOLDS = 5
SOURCE = "source.json"  # in a copied folder: what tells the one that it was copied from
SEEDS = (0,)
RESERVED = ("classes", "layout", "pretrained_base", "train_split", "val_split")  # flags that trainings may not be given
SMOOTHING = 0.005  # epsilon over the number of classes, without background: 0.1 / 20, as the miniature's YOLOv3
MINUTES = 35.0  # of a run of either detector, where no bundle tells
SHARED = dict(num_workers=1, gpus="", val_interval=1000, save_interval=0, log_interval=0, keep=1, lr_mode="step", mixup="",
              label_smooth_eps=0.0, network="darknet-mini", pretrained_base="shipped")

# As docs/miniature.md has it: the test size in the middle of the random shapes, as 416 in 320…608; a clean tail of a tenth; the
# two schedules with the miniature's peaks. YOLOv3 sees some 104,000 images, nearly as many as the miniature's longest rows, for
# at 224 pixels and a third of them its whole bag was underfitted (results/README.md, "On photographs"). Here are the baselines;
# the whole bags are the recipes photographs again.
YOLO3 = replace(PHOTOGRAPHS_YOLO3, **SHARED, lr_decay_epoch=(288, 324), lr=miniature.BASELINE.lr, no_random_shape=True)
FASTER_RCNN = replace(PHOTOGRAPHS_FASTER_RCNN, **SHARED, lr_decay_epoch=(24, 27), lr=miniature.FASTER_RCNN_BASELINE.lr)
BAGS = {"yolo3": dict(no_random_shape=False, lr_mode="cosine", lr=miniature.PEAK_OF_COSINE, mixup="beta"),
        "faster_rcnn": dict(miniature.FASTER_RCNN_FACTORS["cosine"], mixup="beta")}
BASES = {"yolo3": YOLO3, "faster_rcnn": FASTER_RCNN}


@dataclass(frozen=True)
class Setting:
    """A detector, without the freebies or with all of them."""

    family: str
    is_bag: bool

    @property
    def key(self) -> str:
        """A name for files."""
        return f"{self.family.replace('_', '-')}-{'bag' if self.is_bag else 'baseline'}"

    def options(self, classes: int) -> Any:
        """Its options on a set of so many classes."""
        changes = dict(BAGS[self.family], label_smooth_eps=round(SMOOTHING * classes, 6)) if self.is_bag else {}
        return replace(BASES[self.family], **changes)


SETTINGS = tuple(Setting(family, is_bag) for family in BASES for is_bag in (False, True))


@dataclass(frozen=True)
class Folds:
    """A set in folds. folder: its copy in VOC's layout, whose split files are the folds'; data: what bundles say of it."""

    name: str
    count: int
    folder: str
    classes: tuple
    data: dict

    def split(self, fold: int, part: str) -> str:
        """Name of the split file of a fold; part: train or test."""
        return f"fold-{fold}-{part}"


def plan(folds: Folds, seeds: Sequence[int] = SEEDS, runs: str = "runs", rows: Sequence[str] = (),
         extra: Sequence[str] = ()) -> list[Job]:
    """Every run of the rows (keys of SETTINGS; none: all), seed by seed and fold by fold. extra: further flags of all
    trainings."""
    settings = _settings(rows)
    changes = changes_of(rows, extra)
    return [_job(folds, setting, seed, fold, runs, changes[setting.family], extra)
            for seed in seeds for fold in range(folds.count) for setting in settings]


def changes_of(rows: Sequence[str], extra: Sequence[str]) -> dict[str, dict[str, Any]]:
    """{family: {option: value}} of further flags of the trainings of these rows. Raises UserError for what none may be given."""
    return {setting.family: flags_of_trainings(type(BASES[setting.family]), extra, RESERVED) for setting in _settings(rows)}


def _settings(rows):
    return [setting for setting in SETTINGS if not rows or setting.key in rows]


def _job(folds, setting, seed, fold, runs, changes, extra):
    experiment = experiment_of(folds.name)
    own = dict(dataset=folds.folder, layout="voc", train_split=folds.split(fold, "train"), val_split=folds.split(fold, "test"),
               classes="", seed=seed, runs=runs, name=f"{experiment}-{setting.key}-fold-{fold}-seed-{seed}")
    training = harness.training(replace(setting.options(len(folds.classes)), **{**changes, **own}))
    evaluated = miniature.DESIGNS[setting.family].evaluated
    evaluations = tuple(harness.evaluation(training, f"evaluation-{part}", split=folds.split(fold, part), metric="coco",
                                           more=evaluated) for part in ("test", "train"))
    again = harness.words_again(EXPERIMENT, setting.key, seed, folds.name, "--folds", str(folds.count), extra=extra)
    return Job(setting, seed, training, evaluations=evaluations, experiment=experiment, data=folds.data, marks={"fold": fold},
               again=again)


def experiment_of(name: str) -> str:
    """The experiment's name in bundles, which begins those of its runs."""
    return f"{EXPERIMENT}-{name}"


# ---- folds ---------------------------------------------------------------------------------------------------------

def prepare(dataset: str, count: int, runs: str, results: str) -> Folds:
    """The folds of a folder in any layout. They are written once, into RESULTS/folds-NAME-COUNT.json; the images are copied once,
    into RUNS/sets/NAME-COUNT, which then stands for the folder, be it there or not. Faulty boxes and images are left out. Raises
    UserError where the images are others than the file's, and where the folder is another than was copied."""
    name, folder, path = _places(dataset, count, runs, results)
    if not _is_copied(dataset, folder):
        prepare_folder(results)
        _copy(dataset, folder)
    folds = _written_folds(path, _digests(folder), count)
    _write_splits(folder, folds, count)
    return Folds(name, count, folder, _classes(folder), _data_of(name, count, path, folder))


def foresee(dataset: str, count: int, runs: str, results: str) -> Folds:
    """The Folds that `prepare` will give, of which nothing is left behind: what is not there yet is made in a temporary folder.
    Raises UserError as `prepare` does."""
    name, folder, path = _places(dataset, count, runs, results)
    near = runs  # where links are made in place of copies
    while not os.path.isdir(near):
        near = os.path.dirname(os.path.abspath(near))
    with folder_beside(os.path.join(near, os.path.basename(folder))) as temporary:
        copy = folder
        if not _is_copied(dataset, folder):
            copy = os.path.join(temporary, os.path.basename(folder))
            convert_set(dataset, copy, "voc", on_bad_sample="skip")
        if not os.path.exists(path):
            path = os.path.join(temporary, os.path.basename(path))
        _written_folds(path, _digests(copy), count)
        return Folds(name, count, folder, _classes(copy), _data_of(name, count, path, copy))


def _places(dataset, count, runs, results):
    """(the set's name, the folder of its copy, the file of its folds)."""
    name = os.path.basename(os.path.abspath(dataset)).lower()
    return name, os.path.join(runs, "sets", f"{name}-{count}"), os.path.join(results, f"folds-{name}-{count}.json")


def _is_copied(dataset, folder):
    """Whether there is a copy of a folder. Raises UserError where it is another's or not whole, and where there is neither."""
    if os.path.isdir(folder) and os.listdir(folder):
        _refuse_damaged(folder)
        if os.path.isdir(dataset):
            _refuse_another(dataset, folder)
        return True
    if not os.path.isdir(dataset):
        raise UserError("the folder of the data set does not exist", dataset, "give --dataset FOLDER")
    return False


def _copy(dataset, folder):
    """Copy a folder. Two tables may do so at once: the first to end wins."""
    source = json.dumps(bundles.fingerprint(dataset))
    try:
        with whole_folder(folder) as copy:
            convert_set(dataset, copy, "voc", on_bad_sample="skip", copy=True)
            write_text(copy, SOURCE, source)
    except UserError:
        if not _is_copied(dataset, folder):
            raise


def _digests(folder):
    """{image: hash of its bytes} of a copy."""
    images = os.path.join(folder, "JPEGImages")
    return {os.path.splitext(file)[0]: sha256_of(os.path.join(images, file)) for file in sorted(os.listdir(images))
            if os.path.splitext(file)[1].lower() in ENDINGS}


def _classes(folder):
    with open(os.path.join(folder, "classes.txt"), encoding="utf-8") as file:
        return tuple(file.read().splitlines())


def _refuse_damaged(folder):
    for name in ("JPEGImages", "Annotations", "classes.txt"):
        path = os.path.join(folder, name)
        if not (os.path.isfile(path) or os.path.isdir(path) and os.listdir(path)):
            raise UserError("this copy of photographs is not whole", path, f"remove {folder}; it will be made again")


def _refuse_another(dataset, folder):
    """Raise UserError where a folder is not what was copied; a copy of before sources were kept is taken as it is."""
    path = os.path.join(folder, SOURCE)
    if not os.path.isfile(path):
        return
    copied = read_json(path, "this does not tell what was copied", f"give --runs another folder, or remove {folder}",
                       lambda content: isinstance(content, dict))
    now = bundles.fingerprint(dataset)
    if any(copied.get(key, now[key]) != now[key] for key in ("sha256", bundles.LABELS)):  # one of before has no hash of labels
        raise UserError(f"it has other files than what was copied to {folder}", dataset,
                        "give --runs another folder, or move that copy away")


def assigned(digests: dict[str, str], count: int) -> dict[str, int]:
    """{image: fold} of {image: hash of its bytes}: images of the same bytes are in one fold, and folds differ by at most one such
    group. It depends on nothing but the bytes. Raises UserError where there are fewer images than folds."""
    groups = sorted(set(digests.values()))
    if not 2 <= count <= len(groups):
        raise UserError(f"{len(groups)} images cannot be parted into {count} folds", remedy="5 is usual")
    place = {digest: number % count for number, digest in enumerate(groups)}
    return {image: place[digest] for image, digest in digests.items()}


def _written_folds(path, digests, count):
    """{image: fold} of the file, which is written where it is not there."""
    if not os.path.exists(path):
        folds = assigned(digests, count)
        images = {image: {"sha256": digests[image], "fold": folds[image]} for image in sorted(digests)}
        content = {"folds": count, "images": images}
        os.makedirs(os.path.dirname(path) or ".", exist_ok=True)
        write_atomically(path, (json.dumps(content, indent=0, sort_keys=True) + "\n").encode())
        return folds
    content = _read_folds(path, count)
    if {image: told["sha256"] for image, told in content["images"].items()} != digests:
        raise UserError("the folds were made of other images", path, "bring those, or give another --out")
    return {image: told["fold"] for image, told in content["images"].items()}


def _read_folds(path, count):
    """{"folds": count, "images": {image: {"sha256", "fold"}}} of a file. Raises UserError where an image is in no fold, and for
    another number of folds."""
    remedy = "bring it back, or remove it: the same images give the same folds"
    content = read_json(path, "this is no whole file of folds", remedy, _are_folds)
    if content["folds"] != count:
        raise UserError(f"this file parts its images into {content['folds']} folds, not into {count}", path, remedy)
    return content


def _are_folds(content):
    """Whether every image has a checksum and is in one of the folds."""
    if not isinstance(content, dict) or type(content.get("folds")) is not int or not isinstance(content.get("images"), dict):
        return False
    return all(isinstance(told, dict) and isinstance(told.get("sha256"), str) and type(told.get("fold")) is int
               and 0 <= told["fold"] < content["folds"] for told in content["images"].values())


def told_folds(name: str, count: int, path: str) -> dict[str, Any]:
    """What bundles say of a set in folds but for its labels, from the file of its folds."""
    content = _read_folds(path, count)
    sizes = Counter(told["fold"] for told in content["images"].values())
    return {"set": name, "folds": count, "images": [sizes[fold] for fold in range(count)], "sha256": bundles.hash_of(content)}


def _data_of(name, count, path, copy):
    """What bundles say of a set in folds whose copy is there."""
    annotations = os.path.join(copy, "Annotations")
    labels = [os.path.join(annotations, file) for file in os.listdir(annotations)] + [os.path.join(copy, "classes.txt")]
    return {**told_folds(name, count, path), bundles.LABELS: bundles.hash_of_files(copy, labels)}


def _write_splits(folder, folds, count):
    main = os.path.join(folder, "ImageSets", "Main")
    for fold in range(count):
        for part, is_in in (("train", lambda place, fold=fold: place != fold), ("test", lambda place, fold=fold: place == fold)):
            path = os.path.join(main, f"fold-{fold}-{part}.txt")
            text = "".join(f"{image}\n" for image in sorted(folds) if is_in(folds[image])).encode()
            if not os.path.exists(path):
                write_atomically(path, text)
