"""Training: images a second of train_yolo3.py or train_faster_rcnn.py beside GluonCV's pipeline, workers included.

Both sides train the same network on the same images at the same sizes, each in processes of its own that take turns; the
first steps of each are not counted. Ours is the script itself; theirs is official.py. Prints images a second, the ratio,
and the share of the machine's matrix peak that is reached. The last line is one JSON object."""
import csv
import json
import os
import statistics
import sys
import tempfile

sys.path.insert(0, os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
from benchmarks.common import (
    CHECKOUT,
    HERE,
    add_arguments,
    finish,
    in_turn,
    machine,
    machine_floors,
    parser_of,
    ratio,
    run_side,
    say,
    voc_folder,
)
from gluon_bof.errors import user_facing

SLOW = 1e-9  # learning rate: the same work is done, and nothing becomes infinite in an untrained network
REGIONS = ("--num-box-head-conv", "0", "custom-model")  # GluonCV's own pyramid without the convolutions in its head


def arguments_of(argv):
    parser = parser_of(__doc__)
    add_arguments(parser, 3)
    parser.add_argument("--detector", choices=("yolo3", "faster_rcnn"), default="yolo3")
    parser.add_argument("--network", help="default: mobilenet0.25, for Faster R-CNN resnet18_v1b")
    parser.add_argument("--fpn", action="store_true", help="Faster R-CNN: a pyramid that learns its normalisation")
    parser.add_argument("--sizes", help="sides, for Faster R-CNN short sides, in pixels; default 160,288,416 or 320")
    parser.add_argument("--batch", type=int, help="images a step; default 8, for Faster R-CNN 1 (2 with --fpn)")
    parser.add_argument("-j", "--workers", type=int, default=1, help="data workers of either side")
    parser.add_argument("--warm", type=int, default=5, help="steps before the clock starts")
    parser.add_argument("--steps", type=int, default=15, help="steps that are timed, a size and a round")
    parser.add_argument("--no-mixup", action="store_true", help="train without mixup")
    arguments = parser.parse_args(argv)
    regions = arguments.detector == "faster_rcnn"
    arguments.network = arguments.network or ("resnet18_v1b" if regions else "mobilenet0.25")
    arguments.fpn = arguments.fpn or arguments.network == "resnet18_v1b"  # GluonCV has no other one of it
    arguments.sizes = [int(size) for size in (arguments.sizes or ("320" if regions else "160,288,416")).split(",")]
    arguments.batch = arguments.batch or (8 if not regions else 2 if arguments.fpn else 1)
    arguments.steps = -(-arguments.steps // arguments.warm) * arguments.warm  # whole intervals of the log
    return arguments


def long_side(short):
    """As VOC's 1000 belongs to 600."""
    return short * 5 // 3


def job_of(arguments, folder, classes, size, **more):
    """What official.py is told."""
    return json.dumps({"detector": arguments.detector, "network": arguments.network, "classes": classes, "root": folder,
                       "batch": arguments.batch, "sizes": [size], "short": size, "long": long_side(size),
                       "fpn": arguments.fpn, "workers": arguments.workers, "warm": arguments.warm,
                       "steps": arguments.steps, "mixup": not arguments.no_mixup, "lr": SLOW, **more})


def ours(arguments, folder, classes, size, seed):
    """Seconds an image of the script, from its log intervals after the first."""
    with tempfile.TemporaryDirectory() as runs:
        command = [sys.executable, os.path.join(CHECKOUT, f"train_{arguments.detector}.py"), "--dataset", folder,
                   "--classes", ",".join(classes), "--network", arguments.network, "--pretrained-base", "no",
                   "--batch-size", arguments.batch, "-j", arguments.workers, "--epochs", 1, "--lr", SLOW,
                   "--num-samples", (arguments.warm + arguments.steps) * arguments.batch,
                   "--log-interval", arguments.warm, "--no-mixup-epochs", 0, "--save-interval", 0, "--seed", seed,
                   "--runs", runs, "--name", "timed", "--gpus", "", "--resume", weights_in(folder)]
        if not arguments.no_mixup:
            command += ["--mixup"] if arguments.detector == "yolo3" else ["--mixup", "even", "--mixup-loss", "global"]
        if arguments.detector == "yolo3":
            command += ["--no-random-shape", "--data-shape", size]
        else:
            command += ["--image-short", size, "--image-max-size", long_side(size)]
            command += ["--norm-layer", "syncbn", *REGIONS] if arguments.fpn else []
        run_side([str(word) for word in command])
        with open(os.path.join(runs, "timed", "intervals.csv"), encoding="utf-8", newline="") as file:
            rows = list(csv.DictReader(file))[1:]
    return statistics.mean(1 / float(row["images_per_second"]) for row in rows)


def theirs(arguments, folder, classes, size):
    """Seconds an image of GluonCV's pipeline."""
    job = job_of(arguments, folder, classes, size, weights=weights_in(folder))
    return 1 / run_side([sys.executable, os.path.join(HERE, "official.py"), job])["images_per_second"]


def weights_in(folder):
    """The file of the weights that both sides start from."""
    return os.path.join(folder, "start.params")


@user_facing
def main(argv=None):
    arguments = arguments_of(argv)
    say(machine())
    say(f"{arguments.detector} {arguments.network}{' pyramid' if arguments.fpn else ''}, sizes {arguments.sizes}, batch "
        f"{arguments.batch}, {arguments.workers} workers, {'no ' if arguments.no_mixup else ''}mixup, "
        f"images: {arguments.images}")
    with voc_folder(arguments.images, arguments.count) as (folder, classes):
        run_side([sys.executable, os.path.join(HERE, "official.py"),
                  job_of(arguments, folder, classes, arguments.sizes[0], save=weights_in(folder))])
        seeds = iter(range(10 ** 6))
        found = in_turn({"ours, seconds an image": lambda: sum(ours(arguments, folder, classes, size, next(seeds))
                                                                for size in arguments.sizes) / len(arguments.sizes),
                         "GluonCV's": lambda: sum(theirs(arguments, folder, classes, size)
                                                  for size in arguments.sizes) / len(arguments.sizes)}, arguments.rounds)
    own, official = found.values()
    result = {"ratio": ratio(official, own), "detector": arguments.detector, "network": arguments.network,
              "sizes": arguments.sizes, "images_per_second": 1 / statistics.median(own),
              "images_per_second_official": 1 / statistics.median(official), **machine_floors()}
    say(f"ours {result['images_per_second']:.2f} images/s, GluonCV's {result['images_per_second_official']:.2f}, "
        f"ratio {result['ratio']:.2f}")
    finish(result)


if __name__ == "__main__":
    main()
