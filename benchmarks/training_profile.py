"""Where a training step of YOLOv3 or SSD goes, by operator, and how much faster it would be if all but its convolutions took no
time.

    training_profile.py                            # the embedded job's network at its size
    training_profile.py --network mobilenet0.25 --size 160
    training_profile.py --detector ssd --boxes 10  # beside the same of MXNet's operators alone

One batch of the script's own graph, again and again, measured by MXNet's profiler on the threads that OMP_NUM_THREADS says.
Prints milliseconds a step and the floors, matrix peak for convolutions and copies for the rest; the last line is one JSON
object."""
import importlib
import json
import os
import statistics
import sys
import tempfile
import time
from contextlib import nullcontext
from dataclasses import replace
from functools import partial

sys.path.insert(0, os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
import numpy as np

from benchmarks.common import finish, machine, machine_floors, parser_of, ratio, say, timed_in_turn
from gluon_bof.data.shapes import CLASSES
from gluon_bof.errors import user_facing

WARM = 5  # steps before anything is measured
SHOWN = 12  # operators


@user_facing
def main(argv=None):
    parser = parser_of(__doc__)
    parser.add_argument("--detector", choices=("yolo3", "ssd"), default="yolo3")
    parser.add_argument("--network", default="darknet-mini", help="backbone of the detector")
    parser.add_argument("--size", type=int, default=128, help="sides of the images, in pixels")
    parser.add_argument("--batch", type=int, default=8, help="images a step")
    parser.add_argument("--boxes", type=int, default=3, help="boxes an image; padded as the loader does, to 8, 16, …")
    parser.add_argument("--steps", type=int, default=20, help="steps that are measured, without the profiler and with it")
    arguments = parser.parse_args(argv)
    say(machine())
    step, arrays, _ = training_step(arguments)
    for _ in range(WARM):
        step(*arrays).asnumpy()
    seconds = [timed(step, arrays) for _ in range(arguments.steps)]
    operators = profile(step, arrays, arguments.steps)
    total = sum(operators.values())
    convolutions = sum(spent for name, spent in operators.items() if "Convolution" in name)
    for name, spent in sorted(operators.items(), key=lambda pair: -pair[1])[:SHOWN]:
        say(f"{name:28} {spent:8.2f} ms  {100 * spent / total:4.1f}%")
    say(f"convolutions are {100 * convolutions / total:.0f}% of the operators' time: without all else a step would be "
        f"{total / convolutions:.2f} times as fast")
    beside = beside_mxnets(arguments) if arguments.detector == "ssd" else {}
    finish({"detector": arguments.detector, "network": arguments.network, "size": arguments.size, "batch": arguments.batch,
            "boxes": arguments.boxes, "images_per_second": arguments.batch / statistics.median(seconds),
            "convolutions": convolutions / total, "bound": total / convolutions, "milliseconds": operators, **beside,
            **machine_floors()})


def beside_mxnets(arguments):
    """What the result tells of a step's processor time beside that of MXNet's operators alone."""
    from gluon_bof.backend import mx
    from gluon_bof.models.build import portable

    names = "ours", "MXNet's operators alone"
    sides = {name: training_step(arguments) for name in names}
    for name in names:
        step, arrays, _ = sides[name]
        with portable() if name == names[1] else nullcontext():  # counts where a graph is built, at its first call
            step(*arrays).asnumpy()

    def whole_step(step, arrays, _):
        step(*arrays)
        mx.nd.waitall()

    mx.nd.waitall()
    _, spent = timed_in_turn({name: partial(whole_step, *side) for name, side in sides.items()}, arguments.steps)
    ours, alone = ([array.asnumpy() for array in arrays()] for _, _, arrays in sides.values())
    same = all(map(np.array_equal, ours, alone))
    gain = ratio(*(spent[name] for name in reversed(names)))
    say(f"MXNet's operators alone over ours, of the processor's time: {gain:.2f}; what is learned "
        f"{'is' if same else 'is NOT'} the same to the last bit")
    return {"processor_ratio": gain, "same_as_mxnets_operators": same,
            "processor_milliseconds": {name: 1000 * statistics.median(found) for name, found in spent.items()}}


def training_step(arguments):
    """(the Step of a detector's script, arrays of a batch, function that gives what is learned) of the embedded recipe with
    another network and size."""
    from gluon_bof import freebies, training
    from gluon_bof.backend import mx
    from gluon_bof.data.loader import pad_truths
    from gluon_bof.options.recipes import EMBEDDED_SSD, EMBEDDED_YOLO3

    recipe = {"yolo3": EMBEDDED_YOLO3, "ssd": EMBEDDED_SSD}[arguments.detector]
    options = replace(recipe, network=arguments.network, data_shape=arguments.size, batch_size=arguments.batch,
                      pretrained_base=recipe.pretrained_base if arguments.network == recipe.network else "no")
    devices = [mx.cpu()]
    script = importlib.import_module(f"train_{arguments.detector}")
    network = script.initialised_network(options, CLASSES, devices)
    graph, inputs = graph_of(script, options, network)
    graph.hybridize(static_alloc=True)
    schedule = freebies.build_schedule(**training.epoch_schedule(options, updates=125))
    trainer = training.build_trainer(network.trained_parameters(), training.build_optimizer(options, schedule), devices)
    step = training.Step(graph, inputs, trainer, devices, options.batch_size)
    random = np.random.default_rng(0)
    images = random.integers(0, 256, (arguments.batch, arguments.size, arguments.size, 3))
    corners = random.uniform(0, arguments.size * 0.6, (arguments.batch, arguments.boxes, 2))
    far = corners + random.uniform(0.15, 0.4, corners.shape) * arguments.size
    rest = np.stack([random.integers(len(CLASSES), size=corners.shape[:2]), random.uniform(0.3, 1, corners.shape[:2])], axis=2)
    truth = pad_truths(np.concatenate([corners, far, rest], axis=2))
    return (step, (mx.nd.array(images, dtype=np.uint8), mx.nd.array(truth)),
            lambda: [parameter.data() for parameter in network.collect_params().values()])


def graph_of(script, options, network):
    """(a detector's training graph, function that makes what it takes of images and truth)."""
    from gluon_bof import freebies, models

    if script.__name__ == "train_ssd":
        smoothing = freebies.equation_3(options.label_smooth_eps, len(CLASSES) + 1)
        loss = models.ssd.MultiBoxLoss(len(CLASSES), smoothing, is_on_cpus=True)
        return models.ssd.TrainingGraph(network, loss), lambda *given: given
    loss = models.yolo3.YOLOv3Loss(len(CLASSES), script.class_smoothing(options, len(CLASSES)))
    anchors = options.anchor_rows() or models.yolo3.ANCHORS
    return models.yolo3.TrainingGraph(network, loss), lambda batch, truth: (
        batch, truth, *models.yolo3.grid_on(batch.context, batch.shape[1], anchors))


def timed(step, arrays):
    """Seconds of a step."""
    began = time.perf_counter()
    step(*arrays).asnumpy()
    return time.perf_counter() - began


def profile(step, arrays, steps):
    """{operator: milliseconds a step} of MXNet's profiler."""
    from gluon_bof.backend import mx

    with tempfile.TemporaryDirectory() as folder:
        mx.profiler.set_config(profile_all=True, aggregate_stats=True, filename=os.path.join(folder, "profile.json"))
        mx.profiler.set_state("run")
        for _ in range(steps):
            step(*arrays).asnumpy()
        mx.nd.waitall()
        mx.profiler.set_state("stop")
        kinds = json.loads(mx.profiler.dumps(format="json"))["Time"]
    waiting = ("WaitForVar", "DeleteVariable")
    return {name: row["Total"] / steps for name, row in kinds["operator"].items() if name not in waiting}


if __name__ == "__main__":
    main()
