"""From a command line, or from Python, to a run that is trained: options are read and checked, a run is opened or made.

Neither MXNet nor NumPy is imported here: --help and --dry-run answer at once, and a run's folder comes before MXNet, so that a
run killed while it starts can be resumed."""
from __future__ import annotations

import dataclasses
import importlib.util
import json
import os
import sys
import uuid
from types import ModuleType
from typing import Any, Callable, Collection, Sequence

from gluon_bof import threads
from gluon_bof.compat import for_cpu_contexts
from gluon_bof.distributed import comm, exchange, progress
from gluon_bof.errors import UserError, as_users, told_before, user_facing, warn
from gluon_bof.options import families
from gluon_bof.options.flags import as_dict, from_dict, parse, to_json
from gluon_bof.options.recipes import RECIPES
from gluon_bof.options.training import OWN_BASES
from gluon_bof.runs.config import read_options, threads_of
from gluon_bof.runs.folder import PLANNED, FollowedRun, Run, RunFolder
from gluon_bof.runs.opening import (
    START_FILES,
    asked_of,
    check_place,
    continued_options,
    create_run,
    find_run,
    reopen_run,
    stated_devices,
)

WORDS = ("", "auto", *OWN_BASES)
PLACES = ("resume", *START_FILES)  # files and folders that a run may need again, from elsewhere
Train = Callable[[Any, Run, "str | None"], dict]


@comm.ends_for_all
@user_facing
def run_script(family: str, argv: Sequence[str] | None, description: str, train: Train | None = None,
               prog: str | None = None) -> dict | None:
    """A training script: train as the flags say; the last line on standard output is one JSON object, which is returned.

    train: the family's, where the caller is its script."""
    options_class = families.by_name(family).options
    options, given, dry_run = parse(options_class, argv, description, RECIPES.of_family(family), prog)
    options = ready(options, given, _is_planned(options))
    if dry_run:
        shown = shown_options(options, given)
        warn_of_idle_devices(shown)
        print(to_json(shown))
        return None
    outcome = run_training(options, given, train or train_of(family))
    if comm.is_main():
        print(json.dumps(outcome), flush=True)
    comm.close()
    return outcome


def _is_planned(options):
    """Whether a table has planned the run, which writes a whole configuration out as flags: what is idle of it is no mistake."""
    return bool(options.name) and os.path.exists(RunFolder(os.path.join(options.runs, options.name)).result(PLANNED))


def train_of(family: str) -> Train:
    """The function train(options, run, checkpoint) of a family's script."""
    return script_of(family).train


def script_of(family: str) -> ModuleType:
    """A family's script. Raises UserError where Python finds another one of its name, as in a folder with GluonCV's scripts."""
    row = families.by_name(family)
    found = importlib.util.find_spec(row.script)  # which runs nothing of it
    place = os.path.abspath(found.origin or row.script) if found else row.script_file  # a folder of its name has no origin
    if os.path.realpath(place) != os.path.realpath(row.script_file):
        raise UserError(f"this takes the place of gluon_bof's script {row.script}.py", place,
                        "work in another folder, or rename it")
    return importlib.import_module(row.script)


def ready(options: Any, given: Collection[str] = (), is_planned: bool = False) -> Any:
    """The options with everything filled in that depends on others or on files, checked; warns of those that were given, by
    name, and do nothing, unless a table has planned the run. Raises UserError."""
    folder = folder_to_go_on(options.resolved())  # which may say its place
    if folder:
        return _ready_to_go_on(folder, options, given)
    options = families.prepared(options, given)
    options.check()
    options.warn_of_idle(() if is_planned else given)
    return options


def _ready_to_go_on(folder, options, given):
    """The same of a run that goes on: its own options are below those that are given, and have told what there is to warn of."""
    with told_before():
        options = families.prepared(asked_of(folder, options, given), given)
        continued_options(folder, options, given)  # what differs from the run's is told as such, though it cannot work either
        check_place(options)
    return options


def folder_to_go_on(options: Any) -> str | None:
    """The folder of the run that --resume names; None where it names none, or finds none. Raises UserError."""
    return find_run(options.resume, options)[0] if options.continues_run else None


def shown_options(options: Any, given: set) -> Any:
    """What --dry-run prints: the options, or those of the run that --resume names."""
    folder = folder_to_go_on(options)
    return continued_options(folder, options, given) if folder else options


def warn_of_idle_devices(options: Any) -> None:
    """Warn of a batch that has no image for each of the devices that are named, as the start of a training refuses it."""
    devices = stated_devices(options)
    if devices and options.batch_size < devices and not options.horovod:  # which gives a process one of them
        warn(f"--batch-size {options.batch_size} has no image for each of {devices} devices, and training refuses it: give "
             f"{devices} at least")


def run_training(options: Any, given: set, train: Train) -> dict:
    """Train in a new run, or in the one that --resume names. Returns the outcome. given: names of the options that were given."""
    options = dataclasses.replace(options, **{name: os.path.abspath(place) for name, place in vars(options).items()
                                              if name in PLACES and place not in WORDS and os.path.exists(place)})
    start(dataclasses.replace(options, cpus=_cpus_of(options, given)))
    run, options, checkpoint = open_run(options, given)
    try:
        from gluon_bof.data.workers import ending_workers

        run.start_logging(options.tensorboard)
        with ending_workers():
            return train(options, run, checkpoint)
    except Exception as error:
        if as_users(error) is not None:
            run.discard_if_unused()
        raise
    finally:
        run.close()


def _cpus_of(options, given):
    """On how many contexts of the CPU: a run that goes on says it itself where no flag does."""
    folder = None if options.said_by(given).keys() & {"cpus", "gpus"} else folder_to_go_on(options)
    return read_options(folder).cpus if folder else options.cpus


def start(options: Any) -> None:
    """Join the other processes of this training, if there are any, and make MXNet ready for several CPU contexts.

    Raises UserError where flags ask for others and nobody says where they are."""
    progress.report("starting")
    if options.cpus > 1 and "mxnet" not in sys.modules:
        for name, value in for_cpu_contexts(options.cpus).items():
            os.environ.setdefault(name, str(value))
    if options.horovod or options.kv_store.startswith("dist") or comm.is_told_of_others():
        from gluon_bof.distributed.groups import start_group  # which brings MXNet

        start_group(options.kv_store, options.horovod)


def open_run(options: Any, given: set) -> tuple[Any, Any, str | None]:
    """(run, its options, checkpoint to go on from or None), made or opened by rank 0; the others follow it."""
    if comm.size() == 1:
        return _open_run(options, given)
    opened = []

    def open_and_tell():
        run, own, checkpoint = _open_run(options, given)
        opened.append((run, own, checkpoint))
        os.makedirs(run.exchange, exist_ok=True)
        exchange.clear(run.exchange)
        return {"folder": os.path.abspath(run.folder), "options": as_dict(own),
                "checkpoint": checkpoint and os.path.abspath(checkpoint), "start": uuid.uuid4().hex}

    told = comm.from_main(open_and_tell)
    run, own, checkpoint = opened[0] if opened else (FollowedRun(told["folder"], comm.rank()),
                                                     from_dict(type(options), told["options"], told["folder"]),
                                                     told["checkpoint"])
    run.devices_told = False  # of all processes together no flag has told
    exchange.use_folder(run.exchange, told["start"])
    return run, own, checkpoint


def _open_run(options, given):
    run = checkpoint = None
    if options.continues_run:
        folder, checkpoint = find_run(options.resume, options)
        if folder:
            run, options, checkpoint = reopen_run(folder, checkpoint, options, given)
            threads.choose(threads_of(folder))
        else:
            called = options.name and f" called {options.name}"
            warn(f"--resume auto found no run{called} in {options.runs}: a new one begins")
            options = dataclasses.replace(options, resume="")
    if run is None:
        threads.choose()
        run = create_run(options)
    return run, options, checkpoint
