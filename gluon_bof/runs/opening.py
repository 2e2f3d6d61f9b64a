"""Runs begun, found again, and gone on with: what --name and --resume mean."""
from __future__ import annotations

import dataclasses
import filecmp
import os
import time
from typing import Any, Iterable

from gluon_bof.errors import UserError, warn, warn_once
from gluon_bof.files import numbered_folder
from gluon_bof.options.flags import as_dict, flag_name
from gluon_bof.options.training import other_devices
from gluon_bof.runs.config import (
    OF_DATA,
    is_run,
    is_same_set,
    read_config,
    read_options,
    require_run,
    require_set,
    write_config,
    written_options,
)
from gluon_bof.runs.environment import environment, versions_of
from gluon_bof.runs.folder import CHECKPOINT, PLANNED, Run, RunFolder, has_more_than

CLOCKS_DIFFER = 60  # seconds, between a host and a file server
# what may differ between a run and its continuation without changing a bit of its result; another number of devices does, and
# is warned of
MAY_CHANGE = {"resume", "gpus", "cpus", "horovod", "kv_store", "num_workers", "cache", "log_interval", "keep", "tensorboard",
              "report"}
OF_THE_PLACE = MAY_CHANGE | {"name", "runs"}  # options that say nothing of how a run learns
START_FILES = ("transfer", "pretrained_base")  # options that may be a path, of which a run keeps the whole


def create_run(options: Any) -> Run:
    """A new run's folder with its configuration. Raises UserError where the name is taken, and be it by a folder of other things,
    which would go with a run that fails at its start; and where the place is unwritable."""
    folder, is_given = os.path.join(options.runs, options.name), False
    if options.name:
        if is_run(folder):
            raise UserError("a run of this name is there already", folder, f"resume it: --resume {folder}, or choose --name")
        refuse_files_of_others(folder)
        is_given = os.path.isdir(folder) and not os.listdir(folder)
    try:
        run = Run(folder if options.name else _make_numbered(options))
    except OSError as error:
        raise UserError(f"the run's folder cannot be made ({error.strerror})", folder,
                        "choose another place with --runs") from None
    run.is_new, run.in_given_folder = True, is_given
    try:
        write_config(run.folder, options)
    except BaseException:
        run.close()
        raise
    return run


def refuse_files_of_others(folder: str) -> None:
    """Raise UserError where a new run's folder holds more than a table's plan and what a start that was killed at once left."""
    run = RunFolder(folder)
    own = {run.lock, run.checkpoints, run.images, run.result(PLANNED)}
    if any(has_more_than(place, made) for place, made in ((folder, own), (run.checkpoints, ()), (run.images, ()))):
        raise UserError("this is no run's folder, and it holds files", folder, "choose another place with --name or --runs")


def _make_numbered(options):
    dataset = os.path.basename(os.path.abspath(options.dataset_root or options.dataset))
    os.makedirs(options.runs or os.curdir, exist_ok=True)
    return numbered_folder(os.path.join(options.runs, f"{options.network}_{dataset}-"))


def find_run(where: str, options: Any) -> tuple[str | None, str | None]:
    """(folder, checkpoint or None) that --resume means: a run's folder, a checkpoint of it, or auto, the run that
    was begun last, by the time of its config.json.

    (None, None) where auto finds no run. Raises UserError for a place that holds no run."""
    if where == "auto":
        names = sorted(os.listdir(options.runs)) if os.path.isdir(options.runs) else []
        runs = [RunFolder(os.path.join(options.runs, name)) for name in names if options.name in ("", name)]
        runs = [run for run in runs if is_run(run.folder)]
        return (_newest(runs).folder, None) if runs else (None, None)
    if CHECKPOINT.fullmatch(os.path.basename(where)):
        if not os.path.isfile(where):
            raise UserError("there is no such checkpoint", where, "list the run's checkpoints folder")
        return os.path.dirname(os.path.dirname(os.path.abspath(where))), where
    require_run(where, "give a folder under runs/, a checkpoint, a .params file, or auto")
    return where, None


def _newest(runs):
    """The run begun last; warns where its time lies ahead, as after a clock that was set back, and so does not tell the order."""
    newest = max(runs, key=lambda run: os.path.getmtime(run.config))
    if len(runs) > 1 and os.path.getmtime(newest.config) > time.time() + CLOCKS_DIFFER:
        warn_once(f"{newest.config} has a time in the future, so {newest.folder} may not be the newest run; name the one that is "
                  "meant: --resume FOLDER")
    return newest


def asked_of(folder: str, options: Any, given: Iterable[str]) -> Any:
    """What a command line asks of the run in this folder, not yet resolved: the given options, by name, on top of the run's own,
    not of a recipe's. What says nothing of how a run learns is as these options have it."""
    saved = _options_for(folder, options)
    told = {name: getattr(options, name) for name in vars(saved) if name in given or name in OF_THE_PLACE}
    told["resume"] = folder if options.resume == "auto" else options.resume
    own = dataclasses.replace(saved, **{name: type(saved).__dataclass_fields__[name].default for name in saved.SAYS})
    return dataclasses.replace(own, **told)


def check_place(options: Any) -> None:
    """Refuse what cannot work of what a run that goes on may have otherwise; all else is the run's own, and stood by the rules of
    its day. Raises UserError."""
    told = {name: getattr(options, name) for name in vars(options).keys() & MAY_CHANGE - {"resume"}}
    dataclasses.replace(type(options)().resolved(), **told).check()


def _options_for(folder, options):
    """The options of the run in this folder. Raises UserError where it is another family's than these."""
    saved = read_options(folder)
    if type(saved) is not type(options):
        raise UserError("another script trains this run", folder, "its config.json names the family")
    return saved


def continued_options(folder: str, options: Any, given: set) -> Any:
    """The options with which a run that stopped goes on: its own, but for those of MAY_CHANGE that were given.

    given: names of the flags on the command line; those that would change the result are refused by name."""
    saved = _options_for(folder, options)
    asked, kept = as_dict(options), as_dict(saved)
    said_by = options.said_by(given)
    # "auto" is told where to look by these two, and the same command may be given again; "" is any name
    kept["runs"], own_name = os.path.split(os.path.abspath(folder))
    is_own = asked["name"] in ("", own_name, os.path.basename(os.path.realpath(folder)))
    kept["name"] = asked["name"] if is_own else own_name
    for name in sorted(said_by.keys() - MAY_CHANGE):
        if asked[name] != kept[name] and not (name in (*OF_DATA, *START_FILES, "runs") and is_same_set(asked[name], kept[name])):
            said = f"{flag_name(name)} {asked[name]}"
            if said_by[name] != name:
                said = f"{flag_name(said_by[name])}, so {said},"
            raise UserError(f"{said} differs from the run's {kept[name]}", folder,
                            f"a resumed run keeps its configuration: leave it out{_or_longer(folder, name, asked, kept)}")
    devices_differ(stated_devices(saved), stated_devices(options) if said_by.keys() & {"gpus", "cpus"} else None)
    # a run that began from a .params file still does, should it have been stopped before its first checkpoint
    changes = {name: getattr(options, name) for name in said_by.keys() & MAY_CHANGE - {"resume"}}
    if os.path.isdir(os.path.expanduser(saved.dataset)):
        changes["dataset_root"] = ""  # an earlier version took one beside a folder, and did not look at it
    return dataclasses.replace(saved, **other_devices(changes), **changes)


def other_settings(folder: str, options: Any, left_out: Iterable[str] = ()) -> list[tuple[str, Any, Any]]:
    """[(option, the run's value, the wanted one)] of what the run in this folder was not made with; nothing of options that
    change no result and of those that are left out. Raises UserError for a damaged configuration."""
    kept, wanted = written_options(folder), as_dict(options)
    names = sorted(wanted.keys() - OF_THE_PLACE - set(left_out))
    return [(name, kept.get(name), wanted[name]) for name in names if kept.get(name) != wanted[name]
            and not (name in START_FILES and _is_same_start(kept.get(name), wanted[name]))]


def _is_same_start(kept, wanted):
    """Whether the path that a run keeps is the wanted one, or was elsewhere that of the same run's weights."""
    if not (kept and wanted):
        return False
    if kept == os.path.abspath(wanted) or is_same_set(wanted, kept):
        return True
    both_are_here = os.path.isfile(kept) and os.path.isfile(wanted)
    return kept.split(os.sep)[-2:] == wanted.split(os.sep)[-2:] and not (both_are_here and not filecmp.cmp(kept, wanted, False))


def _or_longer(folder, name, asked, kept):
    """What else to do with a finished run, not a classifier's, that is to be trained for longer or at another rate."""
    if "start_epoch" not in kept or name not in ("epochs", "lr") or name == "epochs" and asked[name] < kept[name]:
        return ""
    run = RunFolder(folder)
    has_last_epoch = any(row.get("epoch") == str(kept["epochs"] - 1) for row in run.rows("metrics"))
    if not (has_last_epoch and os.path.isfile(run.last_weights)):
        return ""
    start = (", or start another run under another --name, with its other flags but for its start, from its weights: "
             f"--resume {run.last_weights} ")
    if name == "lr":
        return f"{start}--lr {asked[name]}"
    return (f"{start}--start-epoch {kept[name]} --epochs {asked[name]}, which has the rates of a schedule of {asked[name]} "
            "epochs from there on")


def stated_devices(options: Any) -> int | None:
    """How many devices of a process --gpus or --cpus states; None where it takes those that are there."""
    if options.cpus:
        return options.cpus
    return None if options.gpus is None else max(1, len([word for word in options.gpus.split(",") if word.strip()]))


def devices_differ(before: int | None, now: int | None) -> None:
    """Warn where a run goes on with another number of devices; None is one that nobody knows."""
    if None not in (before, now) and before != now:
        warn(f"the run was trained on {before} {'device' if before == 1 else 'devices'} and goes on with {now}: batch "
             "normalisation that learns and is not synchronised counts each device's images alone, so the result is another one")


def reopen_run(folder: str, checkpoint: str | None, options: Any, given: set) -> tuple[Run, Any, str | None]:
    """(run, its options, the checkpoint to go on from or None) of a run that stopped; see `continued_options`."""
    before = stated_devices(read_options(folder))
    options = continued_options(folder, options, given)
    require_set(folder, "put it back: a run goes on with its own")
    _warn_of_other_versions(folder)
    if not checkpoint:
        _refuse_lost_checkpoints(RunFolder(folder))
    run = Run(folder)  # what is refused is refused before: an error that somebody keeps would keep the lock
    run.devices_told = None not in (before, stated_devices(options))
    newest = run.checkpoint_paths()[-1:]
    run.origin = checkpoint or (newest[0] if newest else None)
    return run, options, run.origin


def _warn_of_other_versions(folder):
    """Warn where the run in this folder began with other packages, or another revision of this code, than it goes on with."""
    before, now = map(versions_of, (read_config(folder).get("environment"), environment()))
    others = [f"{name} {version} (now {now.get(name) or 'none'})" for name, version in before.items()
              if version and version != now.get(name)]
    if others:
        warn(f"{folder} was begun with {', '.join(others)}: its result may not be that of a run that was never interrupted")


def _refuse_lost_checkpoints(run):
    """Raise UserError where a run without a checkpoint has been saved before: from its beginning it would write over what it has.
    One that was killed in its first save, within the first epoch or after it, begins anew."""
    if run.checkpoint_paths():
        return
    epochs = len(run.rows("metrics"))
    weights = [path for path in (run.best_weights, run.epoch_weights(0), run.last_weights) if os.path.exists(path)]
    # the last weights are written before the first checkpoint, and the first epoch's line before the others
    if epochs > 1 or (not epochs and weights and weights[0] != run.last_weights):
        start = f"start another run from {weights[0]}" if weights else "start another run"
        raise UserError("the run's checkpoints are gone, so it cannot go on", run.folder, start)
