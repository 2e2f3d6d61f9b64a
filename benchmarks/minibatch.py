"""What a probe of the mini-batch study costs: its time over that of one epoch of forward and backward passes, and its memory
beyond that of training, in units of the learned parameters' bytes.

Both sides read the same mini-batches through the same loader. The memory is the process's peak (Linux), of a
training with momentum first and then of probes of two numbers of mini-batches; the last line is one JSON object."""
import os
import statistics
import sys
import tempfile

sys.path.insert(0, os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
import numpy as np

from benchmarks.common import finish, parser_of, ratio, say, timed_in_turn
from gluon_bof.errors import user_facing
from gluon_bof.options.minibatch import NETWORKS, PROBES, STATISTICS, MinibatchOptions


def peak_mb(forget=False):
    """The largest resident memory of this process, in MB; forget: since now on."""
    if forget:
        with open("/proc/self/clear_refs", "w", encoding="ascii") as file:
            file.write("5")
    with open("/proc/self/status", encoding="ascii") as file:
        return int(next(line for line in file if line.startswith("VmHWM")).split()[1]) / 1024


@user_facing
def main(argv=None):
    parser = parser_of(__doc__)
    parser.add_argument("--network", default="cifar_resnet20_v1", choices=NETWORKS)
    parser.add_argument("--cifar10", default="", metavar="FOLDER", help="CIFAR-10's binary files, in place of the embedded set")
    parser.add_argument("--data-shape", type=int, default=32, help="side of the images in pixels [32]")
    parser.add_argument("--batch-size", type=int, default=32, help="images a mini-batch [32]")
    parser.add_argument("--batches", type=int, default=8, help="mini-batches [8]; memory is also measured with twice as many")
    parser.add_argument("--method", default="two-pass", choices=PROBES[:-1])
    parser.add_argument("--statistics", default="frozen", choices=STATISTICS)
    parser.add_argument("--rounds", type=int, default=3, help="how often the two sides take turns [3]")
    given = parser.parse_args(argv)
    options = MinibatchOptions(network=given.network, data_shape=given.data_shape, batch_size=given.batch_size,
                               num_images=2 * given.batches * given.batch_size, statistics=given.statistics, gpus="",
                               **dict(dataset="cifar10", dataset_root=given.cifar10) if given.cifar10 else {})
    with tempfile.TemporaryDirectory() as folder:
        finish({**vars(given), "threads": os.environ.get("OMP_NUM_THREADS"), **measure(options, given, folder)})


def measure(options, given, folder):
    """{"time_ratio", "memory_in_parameters", …}."""
    batches, step, probe = prepared(options, given, folder)
    outcome = time_of(batches, step, probe, given.rounds)
    outcome.update(memory_of(batches, step, probe, given.batches, outcome["parameters_mb"]))
    told = ", ".join(f"{value:.2f} x parameters ({count} mini-batches)"
                     for count, value in outcome["memory_in_parameters"].items())
    say(f"{given.network}, {given.method}, {given.statistics}: {outcome['time_ratio']:.2f} times one epoch of forward and "
        f"backward (by processor time {outcome['processor_ratio']:.2f}); memory beyond training: {told}")
    return outcome


def prepared(options, given, folder):
    """(batches, step, probe): batches() yields the arrays of each mini-batch, step(*arrays) trains on one, and probe(count)
    returns the Gradients of the first so many, by default of as many as batches() yields."""
    from gluon_bof.backend import mx
    from gluon_bof.devices import return_large_arrays
    from gluon_bof.freebies.schedule import build_schedule
    from gluon_bof.studies.minibatch.gradients import Gradients
    from gluon_bof.studies.minibatch.partition import cut
    from gluon_bof.studies.minibatch.probe import Probe
    from gluon_bof.studies.minibatch.tasks import open_task
    from gluon_bof.training.loop import Step
    from gluon_bof.training.optimizer import build_optimizer, build_trainer
    return_large_arrays()
    task = open_task(options)
    task.build(mx.cpu())
    task.graph.hybridize(static_alloc=True)
    partition = cut(np.arange(len(task)), given.batch_size)[:2 * given.batches]
    trainer = build_trainer(task.network.collect_params(), build_optimizer(options, build_schedule("step", 1e-3, 10 ** 6)),
                            [mx.cpu()])
    step = Step(task.graph, task.arguments, trainer, [mx.cpu()], given.batch_size)

    def probe(count=given.batches):
        gradients = Gradients(task.graph, task.network, task.arguments, given.statistics == "frozen", task.block)
        Probe(gradients, given.method, folder).measure(task.batches_of(partition[:count]))
        return gradients

    return task.batches_of(partition[:given.batches]), step, probe


def time_of(batches, step, probe, rounds):
    """{"time_ratio", "processor_ratio", "seconds", "parameters_mb"} of a probe and one epoch of forward and backward passes."""
    from gluon_bof.backend import autograd, mx

    def passes():
        for arrays in batches():
            with autograd.record():
                total = mx.nd.add_n(*step.graph(*step.arguments(*arrays)))
            total.backward()
        mx.nd.waitall()

    for arrays in list(batches())[:2] * 2:  # training takes its memory
        step(*arrays)
    passes()
    size = 4 * probe().size / 2 ** 20
    for arrays in list(batches())[:2]:
        step(*arrays)
    mx.nd.waitall()
    seconds, processor = timed_in_turn({"forward and backward": passes, "probe": probe}, rounds)
    return {"time_ratio": ratio(seconds["probe"], seconds["forward and backward"]),
            "processor_ratio": ratio(processor["probe"], processor["forward and backward"]),
            "seconds": {name: statistics.median(values) for name, values in seconds.items()}, "parameters_mb": size}


def memory_of(batches, step, probe, count, size):
    """{"training_mb", "memory_in_parameters": {mini-batches: what their probe takes beyond training}}. size: MB of parameters."""
    peak_mb(forget=True)
    for arrays in batches():
        step(*arrays).wait_to_read()
    training, memory = peak_mb(), {}
    for probed in (count, 2 * count):
        peak_mb(forget=True)
        probe(probed)
        memory[probed] = (peak_mb() - training) / size
    return {"training_mb": training, "memory_in_parameters": memory}


if __name__ == "__main__":
    main()
