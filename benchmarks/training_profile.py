"""Where a training step of YOLOv3 goes, by operator, and how much faster it would be if all but its convolutions took no time.

    training_profile.py                            # the embedded job's network at its size
    training_profile.py --network mobilenet0.25 --size 160

One batch of train_yolo3.py's own graph, again and again, measured by MXNet's profiler on the threads that OMP_NUM_THREADS says.
Prints milliseconds a step and the floors, matrix peak for convolutions and copies for the rest; the last line is one JSON
object."""
import argparse
import json
import os
import statistics
import sys
import tempfile
import time
from dataclasses import replace

sys.path.insert(0, os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
from benchmarks.common import finish, machine, machine_floors, say
from gluon_bof.errors import user_facing

CLASSES = ("circle", "cross", "ring", "triangle")
BOXES = 3  # an image
WARM = 5  # steps before anything is measured
SHOWN = 12  # operators


@user_facing
def main(argv=None):
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--network", default="darknet-mini", help="backbone of the YOLOv3")
    parser.add_argument("--size", type=int, default=128, help="sides of the images, in pixels")
    parser.add_argument("--batch", type=int, default=8, help="images a step")
    parser.add_argument("--steps", type=int, default=20, help="steps that are measured, without the profiler and with it")
    arguments = parser.parse_args(argv)
    say(machine())
    step, arrays = training_step(arguments)
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
    finish({"network": arguments.network, "size": arguments.size, "batch": arguments.batch,
            "images_per_second": arguments.batch / statistics.median(seconds), "convolutions": convolutions / total,
            "bound": total / convolutions, "milliseconds": operators, **machine_floors()})


def training_step(arguments):
    """(the Step of train_yolo3.py, arrays of a batch) of the embedded recipe with another network and size."""
    import numpy as np

    import train_yolo3
    from gluon_bof import freebies, models, training
    from gluon_bof.backend import mx
    from gluon_bof.options.recipes import EMBEDDED_YOLO3

    base = EMBEDDED_YOLO3.pretrained_base if arguments.network == EMBEDDED_YOLO3.network else "no"
    options = replace(EMBEDDED_YOLO3, network=arguments.network, pretrained_base=base, data_shape=arguments.size,
                      batch_size=arguments.batch)
    devices = [mx.cpu()]
    network = train_yolo3.initialised_network(options, CLASSES, devices)
    graph = models.yolo3.TrainingGraph(network, models.yolo3.YOLOv3Loss(
        len(CLASSES), train_yolo3.class_smoothing(options, len(CLASSES))))
    graph.hybridize(static_alloc=True)
    schedule = freebies.build_schedule(**train_yolo3.learning_rate(options, updates=125))
    trainer = training.build_trainer(network.trained_parameters(), training.build_optimizer(options, schedule), devices)
    anchors = options.anchor_rows() or models.yolo3.ANCHORS
    step = training.Step(
        graph, lambda batch, truth: (batch, truth, *models.yolo3.grid_on(batch.context, batch.shape[1], anchors)), trainer,
        devices, options.batch_size)
    random = np.random.default_rng(0)
    images = random.integers(0, 256, (arguments.batch, arguments.size, arguments.size, 3))
    corners = random.uniform(0, arguments.size * 0.6, (arguments.batch, BOXES, 2))
    far = corners + random.uniform(0.15, 0.4, corners.shape) * arguments.size
    rest = np.stack([random.integers(len(CLASSES), size=corners.shape[:2]), random.uniform(0.3, 1, corners.shape[:2])], axis=2)
    return step, (mx.nd.array(images, dtype=np.uint8), mx.nd.array(np.concatenate([corners, far, rest], axis=2)))


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
