"""How well `check --with WEIGHTS` finds labels that were spoilt on purpose: a dropped box, a swapped class, a shifted box.

For each seed it spoils a share of a set's labels, has a trained detector go through the images, and counts which of the first
suspects are spoilt labels. The detector is one that exists (--weights), or with --train one that is trained on the spoilt
labels themselves, as people's are: --train="--network mobilenet0.25-slim --epochs 20", flags of train_yolo3.py. Prints a row a
seed and part; the last line is one JSON object."""
import contextlib
import glob
import os
import shlex
import subprocess
import sys
import tempfile
from collections import Counter

sys.path.insert(0, os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
import numpy as np

from benchmarks.common import CHECKOUT, finish, machine, parser_of, say, voc_folders, write_annotation, write_split
from benchmarks.spoiling import KINDS, judge, spoil
from gluon_bof.data.sets import open_set
from gluon_bof.errors import UserError, user_facing
from gluon_bof.evaluation.doubts import detections_of
from gluon_bof.evaluation.suspects import find_suspects
from gluon_bof.weights.resolve import resolve

FIRST = 50
SPLITS = {"train": "trainval", "val": "test"}


def arguments_of(argv):
    parser = parser_of(__doc__)
    parser.add_argument("--images", default="shapes", metavar="FOLDER",
                        help="a folder of VOC's or COCO's layout, or one whose train/ and test/ hold images and VOC's XML side "
                             "by side; default: the embedded set")
    parser.add_argument("--weights", default="shapes", help="the detector; default: the one that comes with the package")
    parser.add_argument("--train", default=None, metavar="FLAGS", help="train one on the spoilt labels instead")
    parser.add_argument("--keep", default=None, metavar="FOLDER", help="keep what --train trains there, a folder a seed, and "
                                                                       "take it from there where it is")
    parser.add_argument("--share", type=float, default=0.05, help="of the labels that are spoilt")
    parser.add_argument("--seeds", default="0,1,2", help="of what is spoilt, comma-separated")
    return parser.parse_args(argv)


@user_facing
def main(argv=None):
    """Measure, and print a row a seed and part."""
    arguments = arguments_of(argv)
    rows = []
    with in_vocs_layout(arguments.images) as folder:
        sets = {part: open_set(folder, None, part, on_bad_sample="skip") for part in SPLITS}
        say("seed  part   labels  spoilt  of the first 50  right kind  found by 50  by twice as many as spoilt  at all  "
            + "  ".join(KINDS))
        for seed in map(int, arguments.seeds.split(",")):
            rows += measure(sets, arguments, seed)
    finish({"images": arguments.images, "weights": None if arguments.train else arguments.weights, "train": arguments.train,
            "share": arguments.share, "machine": machine(), "rows": rows})


def measure(sets, arguments, seed):
    """A row of each part, and one of both."""
    classes = sets["train"].classes
    spoilt = {part: spoil(found.records, len(classes), arguments.share, seed) for part, found in sets.items()}
    if arguments.train is None:
        found = {part: detections_of(resolve(arguments.weights), one.records, classes) for part, one in sets.items()}
    else:
        with contextlib.ExitStack() as stack:
            folder = os.path.join(os.path.abspath(arguments.keep), f"seed-{seed}") if arguments.keep else \
                stack.enter_context(tempfile.TemporaryDirectory())
            weights = os.path.join(folder, "runs", "spoilt")
            if not os.path.exists(weights):
                write_voc(folder, classes, {part: records for part, (records, _) in spoilt.items()})
                train(folder, arguments.train, seed)
            found = {part: detections_of(resolve(weights), one.records, classes) for part, one in sets.items()}
    rows = [row_of(seed, part, found[part], *spoilt[part], len(classes)) for part in SPLITS]
    first = len(spoilt["train"][0])
    both = [one._replace(image=one.image + first) for one in spoilt["val"][1]]
    rows.append(row_of(seed, "both", found["train"] + found["val"], spoilt["train"][0] + spoilt["val"][0],
                       spoilt["train"][1] + both, len(classes)))
    return rows


def row_of(seed, part, detections, records, spoilt, class_count):
    """One row of the table, printed and as a dict."""
    suspects = find_suspects(detections, records, class_count)
    found = judge(suspects, spoilt)
    count = len(spoilt)
    twice = found[:2 * count]
    of_kind = Counter(one.kind for one in spoilt)
    right = [suspect.kind == spoilt[number].kind for suspect, number in zip(suspects[:FIRST], found) if number >= 0]
    row = {"seed": seed, "part": part, "images": len(records), "labels": int(sum(len(one.boxes) for one in records)),
           "spoilt": count, "suspects": len(suspects),
           "precision_of_first_50": float((found[:FIRST] >= 0).mean()), "highest_possible": min(1.0, count / FIRST),
           "right_kind": float(np.mean(right)) if right else 0.0,
           "recall_of_first_50": float((found[:FIRST] >= 0).sum() / count),
           "recall_of_twice_as_many": float((twice >= 0).sum() / count), "recall": float((found >= 0).sum() / count),
           "recall_by_kind": {kind: sum(spoilt[number].kind == kind for number in found if number >= 0) / max(of_kind[kind], 1)
                              for kind in KINDS}}
    say(f"{seed:4}  {part:5}  {row['labels']:6}  {count:6}  {row['precision_of_first_50']:15.2f}  {row['right_kind']:10.2f}  "
        f"{row['recall_of_first_50']:11.2f}  {row['recall_of_twice_as_many']:26.2f}  {row['recall']:6.2f}  "
        + "  ".join(f"{row['recall_by_kind'][kind]:{len(kind)}.2f}" for kind in KINDS))
    return row


def train(folder, flags, seed):
    """Train on a folder, with the run's folder in it."""
    command = [sys.executable, os.path.join(CHECKOUT, "train_yolo3.py"), "--dataset", folder, "--runs",
               os.path.join(folder, "runs"), "--name", "spoilt", "--seed", str(seed), *shlex.split(flags)]
    ended = subprocess.run(command, stdout=subprocess.PIPE, text=True, check=False)
    if ended.returncode:
        raise UserError("the training failed", remedy="see what it said above")
    say(ended.stdout.splitlines()[-1])


@contextlib.contextmanager
def in_vocs_layout(images):
    """The folder itself, or a temporary one of links in VOC's layout to images and XML that lie side by side."""
    parts = {split: sorted(glob.glob(os.path.join(images, part, "*.xml")))
             for part, split in (("train", "trainval"), ("test", "test"))}
    if images == "shapes" or not all(parts.values()):
        yield images
        return
    with tempfile.TemporaryDirectory() as folder:
        voc_folders(folder)
        for split, annotations in parts.items():
            names = []
            for path in annotations:
                stem, name = os.path.splitext(path)[0], f"{split}_{os.path.splitext(os.path.basename(path))[0]}"
                image = next((found for found in glob.glob(glob.escape(stem) + ".*") if not found.endswith(".xml")), None)
                if image:
                    os.symlink(os.path.abspath(path), os.path.join(folder, "Annotations", f"{name}.xml"))
                    os.symlink(os.path.abspath(image), os.path.join(folder, "JPEGImages", f"{name}.jpg"))
                    names.append(name)
            write_split(folder, split, names)
        yield folder


def write_voc(folder, classes, parts):
    """Write records as a set in VOC's layout, with links to their images. parts: {"train": [Record], "val": [Record]}."""
    voc_folders(folder)
    for part, records in parts.items():
        names = [f"{part}_{number:05d}" for number in range(len(records))]
        for name, record in zip(names, records):
            os.symlink(os.path.realpath(record.path), os.path.join(folder, "JPEGImages", f"{name}.jpg"))
            objects = [(classes[label], difficult, [f"{value + 1:.1f}" for value in box.tolist()])  # VOC counts from 1
                       for box, label, difficult in zip(record.boxes, record.classes, record.difficult)]
            write_annotation(os.path.join(folder, "Annotations", f"{name}.xml"), (record.width, record.height), objects)
        write_split(folder, SPLITS[part], names)


if __name__ == "__main__":
    main(sys.argv[1:])
