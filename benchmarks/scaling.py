"""Time of a training step against processes, devices and hosts: measured here, simulated, and predicted past this machine.

    scaling.py                # 1, 2 and 4 real processes of this machine beside the simulation of them
    scaling.py --predict      # 8, 64 and 512 GPUs, with constants measured here and published figures of GPUs and networks
    scaling.py --parts        # readers of RecordIO and of files, annotations, the loader, compressed gradients

Prints tables; the last line is one JSON object. README.md beside it says what it means."""
import dataclasses
import json
import os
import statistics
import sys
import tempfile
import time

sys.path.insert(0, os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
import numpy as np

from benchmarks.common import HERE, finish, machine, parser_of, run_side, say, voc_folder
from benchmarks.scaling_worker import LARGE, SMALL
from benchmarks.simulation import Costs, Plan, Training
from gluon_bof.distributed.launch import Job, run_job
from gluon_bof.distributed.roles import this_machine
from gluon_bof.errors import user_facing

WORKER = os.path.join(HERE, "scaling_worker.py")
# published, not measured here: NVIDIA's data sheet of the V100 (float32), the flops of YOLOv3's paper (one forward at 416 with
# multiplications and additions counted apart), NVLink's all-reduce bandwidth of NCCL's table for eight V100
V100_FLOPS, YOLO3_FLOPS, NVLINK = 15.7e12, 65.86e9, 130e9
CORES = len(os.sched_getaffinity(0))
SIMULATED = 8  # hosts; with more each stands for several
REACHED = 0.4  # assumed: the share of a GPU's peak that training reaches
SHAPES = sum(size ** 2 for size in range(320, 609, 32)) / 10 / 416 ** 2  # work of the random shapes over that at 416
BATCH = 8  # images a GPU
IDEAL_SECONDS = 3 * YOLO3_FLOPS * SHAPES * BATCH / (V100_FLOPS * REACHED)  # a step's, with nothing to wait for
NETWORKS = {"10 Gbit/s": 10e9 / 8, "25 Gbit/s": 25e9 / 8, "100 Gbit/s": 100e9 / 8}
# network, servers a host, share of the gradients that is pushed
MEANS = (("25 Gbit/s", 1, 1.0), ("25 Gbit/s", 4, 1.0), ("100 Gbit/s", 4, 1.0), ("25 Gbit/s", 4, 1 / 16))
COCO, TEN_MILLION = 117_266, 10_000_000
EPOCHS = 280  # of the paper's COCO schedule


@user_facing
def main(argv=None):
    parser = parser_of(__doc__)
    parser.add_argument("--rounds", type=int, default=3, help="how often the measurements take turns")
    parser.add_argument("--steps", type=int, default=30, help="steps of each")
    parser.add_argument("--predict", action="store_true", help="predict 8, 64 and 512 GPUs instead")
    parser.add_argument("--parts", action="store_true", help="measure readers, loader and compression instead")
    arguments = parser.parse_args(argv)
    os.environ["OMP_NUM_THREADS"] = "1"
    say(machine())
    finish(parts(arguments) if arguments.parts else predict(arguments) if arguments.predict else compare(arguments))


# real processes and their simulation

def job(what, steps, workers):
    """The object that the first worker of a real job ends with."""
    with tempfile.TemporaryDirectory() as logs:
        words = (WORKER, json.dumps({"what": what, "steps": steps}))
        outcome = run_job(Job(words, workers, tuple(this_machine(workers)), servers=1, log_dir=logs))
    if outcome["status"]:
        raise RuntimeError(outcome["failure"])
    return outcome["outcome"]


def alone(steps):
    """The same of a worker by itself."""
    return run_side([sys.executable, WORKER, json.dumps({"what": "compute", "steps": steps})])


def exchange_costs(steps, rounds):
    """Costs of pushes and pulls, by the processor's time: lines through large and small keys."""
    found = [job("exchange", steps, 1) for _ in range(rounds)]
    costs = {}
    for side, (kind, column) in {"send": ("push", 0), "take": ("push", 1), "receive": ("pull", 0), "give": ("pull", 1)}.items():
        # medians, as of what they are to predict: the best of several rounds made it 3 to 5 % too fast
        large, small = (statistics.median(one[size][kind][column] for one in found) for size in ("large", "small"))
        (large_keys, large_numbers), (small_keys, small_numbers) = LARGE, SMALL
        a_byte = max(0.0, (large / large_keys - small / small_keys) / (4 * (large_numbers - small_numbers)))
        costs[side], costs[f"{side}_key"] = a_byte, max(0.0, small / small_keys - a_byte * 4 * small_numbers)
    return Costs(**costs)


def local_plan(workers, compute, costs, background=0.0):
    """The plan of `workers` processes of scaling_worker.py on this machine. compute: what it measured alone."""
    sizes = compute["sizes"][::-1]  # the last layer's gradients come first
    work = statistics.median(compute["processor"]) - compute["update"]
    forward, each = work / 3, 2 * work / 3 / len(sizes)
    return Plan(workers, 1, 1, (forward + each, *[each] * (len(sizes) - 1)), tuple(sizes),
                costs._replace(update=compute["update"]), cores=CORES, background=background)


def background(compute):
    """How many lanes of other programs a worker by itself shared the cores with: 0 on an idle machine."""
    share = statistics.median(processor / seconds for processor, seconds in zip(compute["processor"], compute["seconds"]))
    return max(0.0, CORES / share - 1) if share < 0.97 else 0.0


def compare(arguments):
    costs = exchange_costs(arguments.steps, arguments.rounds)
    for who, push, pull in (("worker", "send", "receive"), ("server", "take", "give")):
        told = costs._asdict()
        say(f"{who}: a push {1e9 * told[push]:.2f} ns a byte and {1e6 * told[push + '_key']:.0f} us a key, a pull "
            f"{1e9 * told[pull]:.2f} and {1e6 * told[pull + '_key']:.0f}")
    result = {"costs": costs._asdict(), "processes": {count: [] for count in (1, 2, 4)}}
    before = alone(arguments.steps)
    for _ in range(arguments.rounds):
        for count, rows in result["processes"].items():
            found = job("train", arguments.steps, count)
            measured = statistics.median(found["seconds"])
            spent = count * statistics.median(found["processor"]) + found["served"]
            after = alone(arguments.steps)
            busy = (background(before) + background(after)) / 2
            compute = {**before, "processor": before["processor"] + after["processor"]}
            predicted = Training(local_plan(count, compute, costs, busy), 20).seconds_a_step()
            # on one core of their own, which always has something to do, a step takes what all of them spend of the processor
            on_one = Training(dataclasses.replace(local_plan(count, compute, costs), cores=1), 20).seconds_a_step()
            rows.append({"measured": measured, "simulated": predicted, "ratio": predicted / measured, "background": busy,
                         "processor": spent, "simulated_on_one_core": on_one, "ratio_on_one_core": on_one / spent})
            say(f"{count} processes: {1e3 * measured:.1f} ms a step, simulated {1e3 * predicted:.1f}, ratio "
                f"{predicted / measured:.2f} ({busy:.1f} threads of other programs); of the processor {1e3 * spent:.1f} ms, "
                f"simulated {1e3 * on_one:.1f}, ratio {on_one / spent:.2f}")
            before = after
    for name in ("ratio", "ratio_on_one_core"):
        result[f"{name}s"] = {count: statistics.median(row[name] for row in rows) for count, rows in result["processes"].items()}
        say(f"medians of {name}: {result[f'{name}s']}")
    return result


# past this machine

def yolo3_sizes():
    """Bytes of the gradients of YOLOv3 on darknet53 with 80 classes, the last layer's first."""
    from gluon_bof.backend import mx

    from gluoncv.model_zoo import yolo3_darknet53_custom

    net = yolo3_darknet53_custom([str(number) for number in range(80)], pretrained_base=False)
    net.initialize()
    net(mx.nd.zeros((1, 3, 64, 64)))
    return tuple(parameter.data().size * 4 for parameter in net.collect_params().values() if parameter.grad_req != "null")[::-1]


def gpu_plan(gpus, network, servers_a_host, sizes, costs, compressed):
    """Hosts of eight V100 and 32 cores, one worker each, BATCH images a GPU; servers beside them."""
    hosts = min(SIMULATED, max(1, gpus // 8))
    parts = merged(sizes)
    compute = tuple(IDEAL_SECONDS / len(parts) * (1 + (number == 0) * len(parts) / 2) / 1.5 for number in range(len(parts)))
    return Plan(hosts, hosts, hosts * servers_a_host, compute, parts, costs, 32, NETWORKS[network], True,
                2 * 7 / 8 / NVLINK, 0.05, 8, 8 * BATCH, compressed=compressed,
                crowd=max(1, gpus // 8 // hosts))


def merged(sizes, count=24):
    """So many parts of about the same bytes, for keys by the hundred make no other picture."""
    total, parts, gathered = sum(sizes), [], 0
    for size in sizes:
        gathered += size
        if gathered >= total / count:
            parts.append(gathered)
            gathered = 0
    return (*parts, gathered) if gathered else tuple(parts)


def predict(arguments):
    costs = exchange_costs(arguments.steps, arguments.rounds)._replace(image=loader_seconds())
    sizes = yolo3_sizes()
    say(f"YOLOv3 darknet53: {sum(sizes) / 1e6:.0f} MB of gradients; {BATCH / IDEAL_SECONDS:.0f} images a second and GPU; loader "
        f"{1e3 * costs.image:.1f} ms an image and core; server {1e9 * costs.take:.2f} + {1e9 * costs.give:.2f} ns a byte")
    result = {"costs": costs._asdict(), "gradient_bytes": sum(sizes), "rows": []}
    for gpus in (8, 64, 512):
        for network, servers, compressed in MEANS if gpus > 8 else MEANS[:1]:
            plan = gpu_plan(gpus, network, servers, sizes, costs, compressed)
            if gpus == 8:  # one process: its devices sum among themselves, and no server is there
                plan = dataclasses.replace(plan, costs=Costs(image=costs.image))
            training = Training(plan, 10)
            seconds = training.seconds_a_step()
            load = sorted(training.load().items(), key=lambda pair: -pair[1])[:3]
            a_second = gpus * BATCH / seconds
            row = {"gpus": gpus, "network": network, "servers_a_host": servers, "pushed_share": compressed,
                   "seconds_a_step": seconds, "images_a_second": a_second, "efficiency": IDEAL_SECONDS / seconds,
                   "busiest": dict(load), "coco_hours": COCO * EPOCHS / a_second / 3600,
                   "ten_million_hours_an_epoch": TEN_MILLION / a_second / 3600}
            result["rows"].append(row)
            say("{gpus:4} GPUs, {network}, {servers_a_host} servers a host, {pushed_share:.2f} pushed: {seconds_a_step:.3f} s a "
                "step, {images_a_second:.0f} images/s, efficiency {efficiency:.2f}; COCO {coco_hours:.1f} h, an epoch of ten "
                "million {ten_million_hours_an_epoch:.2f} h".format(**row) + "; busiest: "
                + ", ".join(f"{lane} {share:.2f}" for lane, share in load))
    return result


# parts

def loader_seconds(count=48):
    """Seconds of one core for a training image of YOLOv3 at 416 with mixup, images of about 640x480."""
    from gluon_bof.data.loader import TrainingImages
    from gluon_bof.data.sampler import BatchSampler
    from gluon_bof.data.sets import open_set
    from gluon_bof.freebies import Augmentation
    from gluon_bof.freebies.mixup import MixRatio
    with voc_folder("shapes", count) as (folder, classes):
        records = open_set(folder, None, "train", tuple(classes)).records
        images = TrainingImages(records, Augmentation(), True, "error")
        sampler = BatchSampler(len(records), 8, 0, (416,), 1, MixRatio(1.5, 1.5, False), 9)
        sampler.start(0, 0)
        draws = [draw for batch in sampler for draw in batch]
        images[draws[0]]
        begin = time.process_time()
        for draw in draws:
            images[draw]
        return (time.process_time() - begin) / len(draws)


def parts(arguments):
    result = {**readers(), "loader_seconds": loader_seconds(), "annotation_seconds": annotation_seconds(),
              "compression": compression()}
    say(json.dumps(result, indent=1))
    return result


def readers(count=512, size=160_000):
    """Images a second of one core, from RecordIO by index and in order, and from files: bytes only, from the page cache."""
    from gluon_bof.backend import mx
    data = np.random.default_rng(0).bytes(size)
    order = np.random.default_rng(1).permutation(count).tolist()
    found = {}
    with tempfile.TemporaryDirectory() as folder:
        path = os.path.join(folder, "shard")
        shard = mx.recordio.MXIndexedRecordIO(f"{path}.idx", f"{path}.rec", "w")
        for number in range(count):
            shard.write_idx(number, mx.recordio.pack(mx.recordio.IRHeader(0, 0.0, number, 0), data))
            with open(os.path.join(folder, f"{number:06d}.jpg"), "wb") as file:
                file.write(data)
        shard.close()
        indexed = mx.recordio.MXIndexedRecordIO(f"{path}.idx", f"{path}.rec", "r")
        in_order = mx.recordio.MXRecordIO(f"{path}.rec", "r")

        def from_file(number):
            with open(os.path.join(folder, f"{number:06d}.jpg"), "rb") as file:
                return file.read()

        for name, read in (("recordio_by_index", indexed.read_idx), ("recordio_in_order", lambda _: in_order.read()),
                           ("files", from_file)):
            begin = time.process_time()
            for number in order:
                read(number)
            found[f"{name}_images_a_second"] = count / (time.process_time() - begin)
    return found


def annotation_seconds(count=200):
    """Seconds an image that opening a set in VOC's layout takes, sizes and annotations read."""
    from gluon_bof.data.sets import open_set
    with voc_folder("shapes", count) as (folder, classes):
        begin = time.process_time()
        found = open_set(folder, None, "train", tuple(classes))
        return (time.process_time() - begin) / len(found.records)


def compression(steps=200, numbers=1 << 18, workers=4):
    """What two bits a number do to the sum of gradients: (cosine, ratio of norms) of compressed and whole, of one step and of the
    sum of all, by MXNet's rule (a residual is kept; what exceeds the threshold is sent as the threshold), which a test compares
    with its own servers. Gradients: a common part of deviation 1 and noise of 2."""
    random = np.random.default_rng(0)
    common = random.standard_normal(numbers).astype(np.float32)
    found = {}
    for threshold in (0.5, 1.0, 4.0):
        residuals = [np.zeros(numbers, np.float32) for _ in range(workers)]
        whole, sent, first = np.zeros(numbers), np.zeros(numbers), None
        for _ in range(steps):
            gradients = [common + 2 * random.standard_normal(numbers).astype(np.float32) for _ in range(workers)]
            told = sum(two_bits(gradient, residual, threshold) for gradient, residual in zip(gradients, residuals))
            whole, sent = whole + sum(gradients), sent + told
            first = first or likeness(told, sum(gradients))
        found[threshold] = {"one_step": first, f"{steps}_steps": likeness(sent, whole)}
    return found


def two_bits(gradient, residual, threshold):
    """What is sent of a gradient: -threshold, 0 or threshold; the rest stays in the residual."""
    residual += gradient
    sent = threshold * ((residual >= threshold).astype("float32") - (residual <= -threshold))
    residual -= sent
    return sent


def likeness(one, other):
    """(cosine, ratio of the norms)."""
    norms = np.linalg.norm(one), np.linalg.norm(other)
    return [float(np.dot(one, other) / (norms[0] * norms[1])), float(norms[0] / norms[1])]


if __name__ == "__main__":
    main()
