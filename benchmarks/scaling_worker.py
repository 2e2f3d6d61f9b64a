"""A worker of scaling.py: trains a small network, or times the parts of that. It is told one JSON object, and tells one.

{"what": "train" | "compute" | "exchange" | "compress", "steps": N}"""
import json
import os
import statistics
import sys
import time

import numpy as np

sys.path.insert(0, os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
from gluon_bof.backend import autograd, gluon, mx
from gluon_bof.distributed.progress import report

CHANNELS = (64, 128, 256, 256, 256)
NUMBERS = 64  # of a gradient that is compressed
LARGE, SMALL = (8, 1 << 20), (64, 1 << 10)  # keys and numbers of each, of the exchange


def network():
    """Five convolutions, 6 MB of weights."""
    mx.random.seed(0)
    layers = gluon.nn.HybridSequential()
    for number, channels in enumerate(CHANNELS):
        layers.add(gluon.nn.Conv2D(channels, 3, padding=1, activation="relu"))
        if number < 3:
            layers.add(gluon.nn.MaxPool2D(2))
    layers.add(gluon.nn.GlobalAvgPool2D(), gluon.nn.Dense(10))
    layers.initialize()
    layers.hybridize(static_alloc=True, static_shape=True)
    return layers


def train(steps, kvstore="dist_sync"):
    """Seconds of every step, of the processor here, and of the server's a step."""
    net = network()
    images, labels = mx.nd.random.uniform(shape=(4, 3, 64, 64)), mx.nd.array([0, 1, 2, 3])
    loss = gluon.loss.SoftmaxCrossEntropyLoss()
    with autograd.record():  # an inference would lay the weights out for oneDNN, and then no kvstore takes them
        net(images)
    trainer = gluon.Trainer(net.collect_params(), "sgd", {"learning_rate": 1e-3, "momentum": 0.9}, kvstore=kvstore,
                            update_on_kvstore=False)
    marks, work, served = [], [], []
    server = _server() if kvstore else None
    for step in range(steps + 1):
        with autograd.record():
            value = loss(net(images), labels)
        value.backward()
        trainer.step(4)
        mx.nd.waitall()
        marks.append(time.perf_counter())
        work.append(time.process_time())
        served.append(_processor_seconds(server) if server else 0.0)
        report("training", step + 1)
    return {"seconds": _differences(marks), "processor": _differences(work),
            "served": (served[-1] - served[0]) / steps, "sizes": _sizes(net),
            "update": 0.0 if kvstore else _update(trainer, net)}


def _sizes(net):
    return [parameter.data().size * 4 for parameter in net.collect_params().values()]


def _update(trainer, net):
    """Seconds of the processor that an update takes."""
    begin = time.process_time()
    for _ in range(20):
        trainer.update(4, ignore_stale_grad=True)
    mx.nd.waitall()
    return (time.process_time() - begin) / 20


def _differences(marks):
    return [after - before for before, after in zip(marks, marks[1:])]


def exchange(steps):
    """Seconds of the processor, here and of the server, that pushes and pulls of large and of small keys take."""
    store = mx.kv.create("dist_sync")
    server = _server()
    found = {}
    for name, (keys, numbers) in (("large", LARGE), ("small", SMALL)):
        arrays = [mx.nd.ones(numbers) for _ in range(keys)]
        names = [f"{name}-{number}" for number in range(keys)]
        for key, array in zip(names, arrays):
            store.init(key, array)
        found[name] = {"push": [], "pull": []}
        for step in range(steps + 1):
            for kind, act in (("push", store.push), ("pull", store.pull)):
                before = time.process_time(), _processor_seconds(server)
                act(names, arrays)
                mx.nd.waitall()
                after = time.process_time(), _processor_seconds(server)
                if step:  # the first connects
                    found[name][kind].append([after[0] - before[0], after[1] - before[1]])
            report("training", step + 1)
    return {name: {kind: [statistics.median(column) for column in zip(*rows)] for kind, rows in kinds.items()}
            for name, kinds in found.items()}


def compress(steps):
    """What servers sum of gradients that are sent as two bits a number, step by step. See scaling.compression."""
    store = mx.kv.create("dist_sync")
    store.set_gradient_compression({"type": "2bit", "threshold": 0.5})
    store.init("gradient", mx.nd.zeros(NUMBERS))
    found, out = [], mx.nd.zeros(NUMBERS)
    for step in range(steps):
        store.push("gradient", mx.nd.array(gradient(store.rank, step)))
        store.pull("gradient", out=out)
        found.append(out.asnumpy().tolist())
        report("training", step + 1)
    return {"sums": found}


def gradient(rank, step):
    """A worker's gradient at a step, the same for whoever asks."""
    return np.random.default_rng((rank, step)).standard_normal(NUMBERS).astype(np.float32)


def _server():
    """The process of this job's server."""
    for name in filter(str.isdigit, os.listdir("/proc")):
        try:
            with open(f"/proc/{name}/environ", "rb") as file:
                told = file.read().split(b"\0")
        except OSError:
            continue
        if b"DMLC_ROLE=server" in told and f"DMLC_PS_ROOT_PORT={os.environ['DMLC_PS_ROOT_PORT']}".encode() in told:
            return int(name)
    raise RuntimeError("no server of this job is on this machine")


def _processor_seconds(process):
    """Of all threads of a process."""
    total = 0
    for thread in os.listdir(f"/proc/{process}/task"):
        with open(f"/proc/{process}/task/{thread}/schedstat") as file:
            total += int(file.read().split()[0])
    return total / 1e9


def main():
    told = json.loads(sys.argv[1])
    act = {"train": train, "exchange": exchange, "compress": compress, "compute": lambda steps: train(steps, None)}[told["what"]]
    print(json.dumps(act(told["steps"])), flush=True)


if __name__ == "__main__":
    main()
