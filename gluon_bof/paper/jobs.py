"""Commands of the project as processes: the exact line to print, runs trained or gone on with, results kept in their folders."""
from __future__ import annotations

import json
import os
import shlex
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from concurrent.futures import FIRST_EXCEPTION, ThreadPoolExecutor, wait
from functools import partial
from typing import Any, Callable, NamedTuple, Sequence

from gluon_bof.errors import UserError
from gluon_bof.files import sha256_of
from gluon_bof.options import families
from gluon_bof.options.flags import flag_name, flags_of, parse
from gluon_bof.options.recipes import RECIPES, Recipe
from gluon_bof.runs.config import is_run
from gluon_bof.runs.folder import RunFolder
from gluon_bof.runs.opening import other_settings
from gluon_bof.terminal import end_with_parent

TRAINING = "training"  # result in the run's folder: what the training command said last
WEIGHTS = "weights_sha256"  # in that result: of the weights that it left


class Training(NamedTuple):
    """A training as a command line, and the options that it stands for."""

    family: str
    words: tuple
    options: Any

    @property
    def run(self) -> RunFolder:
        """The run's folder."""
        return RunFolder(os.path.join(self.options.runs, self.options.name))

    def command(self) -> list[str]:
        """The training command, as words."""
        return [*script_words(self.family), *self.words]

    def resuming_command(self) -> list[str]:
        """The command that goes on with its run."""
        words = [*script_words(self.family), "--resume", self.run.folder]
        told = {"--gpus": self.options.gpus, "--cpus": str(self.options.cpus) if self.options.cpus else None}
        return words + [word for flag, value in told.items() if value is not None for word in (flag, value)]


def training(recipe: Recipe, extra: Sequence[str], **own: Any) -> Training:
    """The training of a recipe with further flags, and these options on top. Raises UserError for flags that cannot be read
    and files that they name and are not there."""
    options_class = families.by_name(recipe.family).options
    recipes = RECIPES.of_family(recipe.family)
    words = ["--recipe", recipe.name, *extra]
    base = parse(options_class, words, "", recipes).options
    words += flags_of(options_class(**{**vars(base), **own}), base)
    parsed = parse(options_class, words, "", recipes)
    return Training(recipe.family, tuple(words), families.prepared(parsed.options, parsed.given))


def script_words(family: str) -> list[str]:
    """The command that trains a family: its script where it lies here, else the installed one."""
    row = families.by_name(family)
    script = f"{row.script}.py"
    if row.command:
        return [python(), "-m", "gluon_bof", *row.command.split()]
    lies_here = os.path.realpath(script) == os.path.realpath(row.script_file)  # GluonCV's have these names
    return [python(), script] if lies_here else [*module_words("train"), family]


def module_words(command: str) -> list[str]:
    """python -m gluon_bof COMMAND, as words."""
    return [python(), "-m", "gluon_bof", command]


def python() -> str:
    """How this Python is called: by its bare name where that finds it, else by its path."""
    found = shutil.which("python")
    return "python" if found and os.path.abspath(found) == os.path.abspath(sys.executable) else sys.executable


def line(words: Sequence[str], environment: dict[str, str]) -> str:
    """The command as one would type it."""
    return " ".join([*(f"{name}={shlex.quote(value)}" for name, value in environment.items()),
                     *(shlex.quote(word) for word in words)])


def run(words: Sequence[str], environment: dict[str, str], quiet: bool = False) -> Any:
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
        if process.returncode == 128 + signal.SIGINT:
            raise KeyboardInterrupt  # before this process, where threads wait for others
        if process.returncode:
            errors.seek(0)
            told = errors.read().strip()
            if "Traceback" in told:
                print(told, file=sys.stderr)
            said = told.splitlines()[-1:] or [f"it ended with status {process.returncode}"]
            raise UserError(f"a command failed: {said[0].strip()[:300]}", remedy=f"try it by itself: {line(words, environment)}")
    try:
        return json.loads(output.strip().splitlines()[-1])
    except (ValueError, IndexError):
        raise UserError(f"a command gave no result: {line(words, environment)}", remedy="try it by itself") from None


def train(planned: Training, environment: dict[str, str], quiet: bool = False) -> Any:
    """What the training said last; trains first, or goes on with a run that was cut off or set back.

    Raises UserError where the run's folder holds a run with other settings."""
    kept = planned.run.read_result(TRAINING)
    if is_run(planned.run.folder):
        refuse_other_settings(planned)
        if kept and not _was_set_back(kept, planned.run):
            return kept
        planned.run.wait_until_free()
        words = planned.resuming_command()
    else:
        words = planned.command()
    said = run(words, environment, quiet)
    planned.run.keep_result(TRAINING, {"command": line(planned.command(), environment), **said, WEIGHTS: _checksum(planned.run)})
    return said


def _was_set_back(kept, run):
    """Whether the last weights are others than the training left: somebody has resumed an older checkpoint since. A result of
    before, which has no checksum, does not tell."""
    return bool(kept.get(WEIGHTS)) and _checksum(run) not in (None, kept[WEIGHTS])


def _checksum(run):
    """That of a run's last weights; None where they are not there."""
    return sha256_of(run.last_weights) if os.path.isfile(run.last_weights) else None


def refuse_other_settings(planned: Training) -> None:
    """Raise UserError where the run that lies in a training's folder was not made with its options."""
    for name, kept, wanted in other_settings(planned.run.folder, planned.options, left_out=("recipe",)):
        raise UserError(f"the run there has {flag_name(name)} {kept} and not {wanted}", planned.run.folder,
                        "give another --runs, or move it away")


def evaluate(planned: Training, words: Sequence[str], name: str, environment: dict[str, str], quiet: bool = False) -> Any:
    """The evaluation of the run's last weights, kept in its folder under this name and made again for other weights or by another
    command."""
    kept, weights, command = planned.run.read_result(name), planned.run.last_weights, line(words, environment)
    if kept and os.path.isfile(weights) and kept.get("sha256") == sha256_of(weights) and kept.get("command") == command:
        return kept
    began = time.monotonic()
    result = {"command": command, **run(words, environment, quiet)}
    result["seconds"] = time.monotonic() - began
    planned.run.keep_result(name, result)
    return result


def run_in_parallel(workers: Sequence[Sequence[Callable[[], Any]]]) -> None:
    """Run lists of functions, one thread a list. After an error no further function starts; it is raised at the end."""
    failed = []

    def walk(functions):
        for function in functions:
            if failed:
                return
            try:
                function()
            except BaseException as error:
                failed.append(error)
                raise

    if len(workers) == 1:
        walk(workers[0])
        return
    with ThreadPoolExecutor(len(workers)) as pool:
        try:
            wait([pool.submit(walk, functions) for functions in workers], return_when=FIRST_EXCEPTION)
        except KeyboardInterrupt as error:
            failed.append(error)  # what runs saves and ends; nothing further starts
    if failed:
        raise failed[0]
