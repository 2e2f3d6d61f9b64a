"""Commands of the project as processes: options to flags, the exact line to print, runs trained or gone on with, results
kept in the run's folder."""
from __future__ import annotations

import dataclasses
import fcntl
import hashlib
import json
import os
import shlex
import shutil
import signal
import subprocess
import sys
import tempfile
from concurrent.futures import FIRST_EXCEPTION, ThreadPoolExecutor, wait
from functools import partial
from pathlib import Path

import gluon_bof
from gluon_bof.data.workers import end_with_parent
from gluon_bof.errors import UserError
from gluon_bof.files import write_atomically
from gluon_bof.options.classifier import PretrainOptions
from gluon_bof.options.faster_rcnn import FasterRcnnOptions, resolve
from gluon_bof.options.flags import EMBEDDED
from gluon_bof.runs.config import CONFIG, read_config
from gluon_bof.runs.folder import MAY_CHANGE

CHECKOUT = Path(gluon_bof.__file__).resolve().parent.parent
TRAINED = "training.json"  # in the run's folder: what the training command said last


def flags(options):
    """The words that make a script's parser give these options: one flag for each field that differs from its default.

    Raises ValueError for what no flag can say."""
    words = []
    if options.dataset == EMBEDDED and not isinstance(options, PretrainOptions):
        raise ValueError("with the embedded set a script starts from the embedded job, not from the defaults: name its folder")
    for field in dataclasses.fields(options):
        value = getattr(options, field.name)
        if value == field.default and type(value) is type(field.default):
            continue
        if field.metadata.get("hidden") or value is None or value is False:
            raise ValueError(f"no flag says {field.name}={value!r}")
        words.append("--" + field.name.replace("_", "-"))
        if value is not True:
            words.append(str(value))
    return words


def training_words(options):
    """The training command of these options, as words."""
    if isinstance(options, PretrainOptions):
        return [*module_words("pretrain"), *flags(options)]
    return [python(), script_of(options), *flags(options)]


def script_of(options):
    """Path of the script that trains these options, short where it lies here."""
    name = "train_faster_rcnn.py" if isinstance(options, FasterRcnnOptions) else "train_yolo3.py"
    path = CHECKOUT / name
    if not path.is_file():
        raise UserError("the training script is not there", str(path), "start from a checkout of the project")
    return name if Path.cwd().resolve() == CHECKOUT else str(path)


def module_words(command):
    """python -m gluon_bof COMMAND, as words."""
    return [python(), "-m", "gluon_bof", command]


def python():
    """How this Python is called: by its bare name where that finds it, else by its path."""
    found = shutil.which("python")
    return "python" if found and os.path.abspath(found) == os.path.abspath(sys.executable) else sys.executable


def line(words, environment):
    """The command as one would type it."""
    return " ".join([*(f"{name}={shlex.quote(value)}" for name, value in environment.items()),
                     *(shlex.quote(word) for word in words)])


def run(words, environment, quiet=False):
    """Run a command to its end; its last line on standard output, a JSON object, is returned.

    quiet: its standard error is kept and shown only if it fails. Raises UserError naming the command that failed."""
    with tempfile.TemporaryFile("w+") as errors:
        # a training whose harness was killed is asked to save and end, so that nothing holds its folder
        process = subprocess.Popen(words, stdout=subprocess.PIPE, stderr=errors if quiet else None, text=True,
                                   env={**os.environ, **environment}, preexec_fn=partial(end_with_parent, signal.SIGTERM))
        try:
            output, _ = process.communicate()
        except KeyboardInterrupt:
            process.wait()  # Ctrl-C reached it too, and it is saving
            raise
        if process.returncode:
            errors.seek(0)
            said = errors.read().strip().splitlines()[-1:] or [f"it ended with status {process.returncode}"]
            raise UserError(f"a command failed: {said[0].strip()[:300]}", remedy=f"try it by itself: {line(words, environment)}")
    try:
        return json.loads(output.strip().splitlines()[-1])
    except (ValueError, IndexError):
        raise UserError(f"a command gave no result: {line(words, environment)}", remedy="try it by itself") from None


def train(options, environment, quiet=False):
    """What the training of these options said last; trains them first, or goes on with a run that was cut off.

    Raises UserError where the run's folder holds a run with other settings."""
    folder = folder_of(options)
    kept = read_result(folder, TRAINED)
    if os.path.exists(os.path.join(folder, CONFIG)):
        refuse_other_settings(folder, options)
        if kept:
            return kept
        wait_until_free(folder)
        words = resuming_words(options)
    else:
        words = training_words(options)
    said = run(words, environment, quiet)
    keep_result(folder, TRAINED, {"command": line(training_words(options), environment), **said})
    return said


def folder_of(options):
    """The run's folder."""
    return os.path.join(options.runs, options.name)


def resuming_words(options):
    """The command that goes on with the run of these options."""
    words = module_words("pretrain") if isinstance(options, PretrainOptions) else [python(), script_of(options)]
    words += ["--resume", folder_of(options)]
    return words if options.gpus is None else [*words, "--gpus", options.gpus]


def refuse_other_settings(folder, options):
    """Raise UserError where the run that lies in this folder was not made with these options."""
    saved = read_config(folder)["options"]
    wanted = json.loads(json.dumps(dataclasses.asdict(
        resolve(options) if isinstance(options, FasterRcnnOptions) else options)))
    for name in sorted(set(wanted) - MAY_CHANGE - {"name", "runs"}):
        if saved.get(name) != wanted[name]:
            raise UserError(f"the run there has --{name.replace('_', '-')} {saved.get(name)} and not {wanted[name]}", folder,
                            "give another --runs, or move it away")


def wait_until_free(folder):
    """Wait for a process that still holds the run: one that saves before it ends."""
    try:
        with open(os.path.join(folder, "lock")) as lock:
            fcntl.flock(lock, fcntl.LOCK_EX)
    except FileNotFoundError:
        pass  # it was killed before it took its lock


def evaluate(options, words, name, environment, quiet=False):
    """The evaluation of the run's last weights, kept in its folder under this name and made anew for other weights."""
    folder = folder_of(options)
    weights = Path(folder, "last.params")
    kept = read_result(folder, name)
    if kept and weights.is_file() and kept.get("sha256") == hashlib.sha256(weights.read_bytes()).hexdigest():
        return kept
    result = {"command": line(words, environment), **run(words, environment, quiet)}
    keep_result(folder, name, result)
    return result


def read_result(folder, name):
    """A result that was kept in a run's folder, or None."""
    try:
        return json.loads(Path(folder, name).read_text())
    except FileNotFoundError:
        return None
    except ValueError:
        raise UserError("this result is not whole", os.path.join(folder, name), "remove it; it will be made again") from None


def keep_result(folder, name, result):
    """Write a result into a run's folder."""
    write_atomically(os.path.join(folder, name), json.dumps(result, indent=1).encode())


def run_in_parallel(lanes):
    """Run lists of functions, one thread a list. After an error no further function starts; it is raised at the end."""
    failed = []

    def walk(lane):
        for work in lane:
            if failed:
                return
            try:
                work()
            except BaseException as error:
                failed.append(error)
                raise

    if len(lanes) == 1:
        walk(lanes[0])
        return
    with ThreadPoolExecutor(len(lanes)) as pool:
        wait([pool.submit(walk, lane) for lane in lanes], return_when=FIRST_EXCEPTION)
    if failed:
        raise failed[0]
