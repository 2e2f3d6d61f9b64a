"""A worker for tests of the launcher: steps of push and pull over MXNet's parameter server, counted in the progress file.

python kvworker.py STEPS SECONDS [--name NAME] [--runs FOLDER] [--resume auto]: each step sleeps; rank 0 keeps the last step in
FOLDER/NAME, and a resumed job goes on behind it. SIGTERM and Ctrl-C end it after a step, saved, with the shell's status."""
import argparse
import json
import os
import signal
import sys
from pathlib import Path

from gluon_bof.compat import prepare_mxnet


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("steps", type=int)
    parser.add_argument("seconds", type=float)
    parser.add_argument("--name", default="run")
    parser.add_argument("--runs", default="runs")
    parser.add_argument("--resume", default="")
    arguments = parser.parse_args()
    saved = Path(arguments.runs, arguments.name)
    asked = []
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda number, _: asked.append(number))
    prepare_mxnet()
    import mxnet as mx
    store = mx.kv.create("dist_sync")
    first = int(saved.read_text()) if arguments.resume and saved.exists() else 0
    store.init("weight", mx.nd.zeros(1000))
    total, stops = mx.nd.zeros(1000), mx.nd.zeros(1)
    store.init("stop", stops)
    for step in range(first, arguments.steps):
        store.push("weight", mx.nd.full(1000, store.rank + 1))
        store.pull("weight", out=total)
        store.push("stop", mx.nd.array([len(asked)]))
        store.pull("stop", out=stops)
        stop = stops.asscalar() > 0  # the same for all: none waits for another who has left
        Path(os.environ["GLUON_BOF_PROGRESS"]).write_text(f"{store.rank} {step + 1} train")
        if store.rank == 0:
            saved.parent.mkdir(parents=True, exist_ok=True)
            saved.write_text(str(step + 1))
        if stop:
            sys.exit(128 + (asked or [signal.SIGTERM])[0])
        mx.nd.waitall()
        import time
        time.sleep(arguments.seconds)
    print(json.dumps({"rank": store.rank, "first": first, "sum": float(total[0].asscalar())}))


if __name__ == "__main__":
    main()
