"""A training step, forward and back, with batch normalisation kept from oneDNN's reference code and without, on the CPU.

    unblocked.py                          # YOLOv3 of 3 classes on darknet-mini, U-Net, and the mini-batch study's classifiers
    unblocked.py --only dpn92 --rounds 3

The second side is the same network without gluon_bof.models.unblocked. Prints milliseconds a step and the ratio of each; the
last line is one JSON object."""
import os
import statistics
import sys
from unittest import mock

sys.path.insert(0, os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
from benchmarks.common import finish, machine, machine_floors, parser_of, ratio, say, timed_in_turn
from gluon_bof.errors import user_facing

WARM = 2  # steps before anything is measured
# name: (images a step, their sides in pixels)
CASES = {"yolo3 darknet-mini": (8, 160), "yolo3 mobilenet1.0": (4, 320), "unet darknet-mini": (8, 128),
         "cifar_resnet20_v1": (32, 32), "dpn-mini": (32, 32), "dpn92": (4, 32)}
SMALL = tuple(name for name in CASES if name not in ("yolo3 mobilenet1.0", "dpn92"))  # that take no minutes


def network_of(name):
    """The network of one of CASES, not yet initialised."""
    from gluon_bof.models.segmentation.network import UNet, darknet_features
    from gluon_bof.models.yolo3.network import build_yolo3
    from gluon_bof.studies.minibatch.tasks import BUILDERS
    if name in BUILDERS:
        return BUILDERS[name](classes=10)
    kind, backbone = name.split()
    return build_yolo3(backbone, "abc") if kind == "yolo3" else UNet("abcde", *darknet_features(finest=0), "bilinear")


def in_blocks():
    """Within it graphs are built as if there were no gluon_bof.models.unblocked."""
    return mock.patch("gluon_bof.models.unblocked._unblocked", lambda F, x: x)


def step_of(name):
    """A function that trains a network of one of CASES on one batch, again and again."""
    from gluon_bof.backend import autograd, mx
    images, side = CASES[name]
    network, batch = network_of(name), mx.nd.random.uniform(shape=(images, 3, side, side))
    network.initialize(mx.init.Xavier())
    with autograd.train_mode():
        network(batch)  # every shape is known from here on
    network.hybridize(static_alloc=True)

    def step():
        with autograd.record():
            loss = network(batch).square().mean()
        loss.backward()
        mx.nd.waitall()

    for _ in range(WARM):
        step()
    return step


@user_facing
def main(argv=None):
    parser = parser_of(__doc__)
    parser.add_argument("--only", choices=CASES, default=None, help="one network; default: the small ones")
    parser.add_argument("--rounds", type=int, default=15, help="how often the two sides take turns")
    arguments = parser.parse_args(argv)
    say(machine())
    result = {}
    for name in [arguments.only] if arguments.only else SMALL:
        sides = {"ours": step_of(name)}
        with in_blocks():
            sides["in blocks"] = step_of(name)
        seconds, processor = timed_in_turn(sides, arguments.rounds)
        ours, other = (1000 * statistics.median(seconds[side]) for side in sides)
        result[name] = {"ours": ours, "in blocks": other, "ratio": ratio(seconds["in blocks"], seconds["ours"]),
                        "processor_ratio": ratio(processor["in blocks"], processor["ours"])}
        say(f"{name:20} {ours:8.1f} ms, in blocks {other:8.1f} ms: {result[name]['ratio']:.2f}, of the processor's time "
            f"{result[name]['processor_ratio']:.2f}")
    finish({**result, **machine_floors()})


if __name__ == "__main__":
    main()
