"""A worker for tests of the launcher alone: it counts steps in its progress file and meets no server.

python plainworker.py STEPS SECONDS [--who worker-1 --at STEP --do kill|stop|wedge|exit:STATUS]]: the others wait one step
later, as workers do that miss one. --child leaves a process behind in the worker's group."""
import argparse
import json
import os
import signal
import subprocess
import sys
import time

PROGRESS = os.environ["GLUON_BOF_PROGRESS"]
NAME = os.path.basename(PROGRESS).split(".")[0]


def do(what):
    if what == "kill":
        os.kill(os.getpid(), signal.SIGKILL)
    elif what == "stop":
        os.kill(os.getpid(), signal.SIGSTOP)
    elif what.startswith("exit"):
        print("a last word", file=sys.stderr)
        sys.exit(int(what.split(":")[1]))
    while True:  # wedged
        time.sleep(0.05)


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("steps", type=int)
    parser.add_argument("seconds", type=float)
    for name in ("--who", "--do", "--name", "--runs", "--resume"):
        parser.add_argument(name, default="")
    parser.add_argument("--at", type=int, default=-1)
    parser.add_argument("--child", action="store_true")
    parser.add_argument("--deaf", action="store_true")
    arguments = parser.parse_args()
    if arguments.child:
        subprocess.Popen([sys.executable, "-c", "import time; time.sleep(600)"])
    asked = []
    signal.signal(signal.SIGTERM, signal.SIG_IGN if arguments.deaf else lambda *_: asked.append(signal.SIGTERM))
    signal.signal(signal.SIGINT, lambda *_: asked.append(signal.SIGINT))
    for step in range(1, arguments.steps + 1):
        with open(PROGRESS, "w") as file:
            file.write(f"{NAME[-1]} {step} train")
        if step == arguments.at + (NAME != arguments.who) > 0 and not arguments.resume:
            do(arguments.do if NAME == arguments.who else "wait")
        if asked:
            print(f"saved at {step}, asked {len(asked)} times")
            sys.exit(128 + asked[0])
        time.sleep(arguments.seconds)
    print(json.dumps({"steps": arguments.steps, "resumed": arguments.resume}))


if __name__ == "__main__":
    main()
