"""A run's configuration: what config.json and classes.txt of its folder say, in this version's words."""
from __future__ import annotations

import json
import operator
import os
import sys
from typing import TYPE_CHECKING, Any, Iterable, Sequence

from gluon_bof.errors import UserError, abbreviate, warn
from gluon_bof.files import write_atomically
from gluon_bof.options import families
from gluon_bof.options.flags import as_dict, flag_name, from_dict
from gluon_bof.options.training import NAMED_SETS
from gluon_bof.runs.environment import environment

if TYPE_CHECKING:
    from gluon_bof.boxes import BoxEnds

CONFIG = "config.json"
CLASSES = "classes.txt"
STARTED_IN = "started_in"  # the folder that relative paths of the configuration begin in
OF_DATA = ("dataset", "dataset_root", "classes")  # options that may be such a path
DROPPED = ("start_epoch", "save_prefix")  # fields that classifiers had in version 0.1, and never used


def require_run(folder: str, remedy: str) -> None:
    """Raise UserError, with the remedy, unless a folder holds a run's configuration."""
    if not is_run(folder):
        raise UserError(f"this is not a run's folder: it holds no {CONFIG} of a run", folder, remedy)


def is_run(folder: str) -> bool:
    """Whether a folder holds a run's configuration, be it a damaged one; other programs have files of that name too."""
    try:
        with open(os.path.join(folder, CONFIG), encoding="utf-8") as file:
            content = json.load(file)
    except OSError:
        return os.path.isfile(os.path.join(folder, CONFIG))  # which cannot be read
    except (ValueError, RecursionError):
        return True
    return not isinstance(content, dict) or "options" in content


def require_run_of_last(last: bool, weights: Iterable[str]) -> None:
    """Raise UserError where last weights are asked for, and none of these is, or seems to be, a folder, which alone has them."""
    if last and not any(os.path.isdir(place) or _seems_folder(place) for place in weights):
        raise UserError("--last: there is no run among WEIGHTS", remedy="leave it out")


def _seems_folder(place):
    """Of a folder that is not there; whoever reads it says so."""
    return bool(os.path.dirname(place)) and not place.endswith(".params") and not os.path.exists(place)


def read_config(folder: str) -> dict[str, Any]:
    """{"family": name, "options": {…}, …} of a run's folder, runs of version 0.1 included. Raises UserError."""
    path = os.path.join(folder, CONFIG)
    try:
        with open(path, encoding="utf-8") as file:
            config = json.load(file)
        if not isinstance(config["options"], dict):
            raise ValueError("options is no object")
    except (OSError, ValueError, KeyError, TypeError, RecursionError) as error:
        raise UserError(f"the run's configuration cannot be read ({error})", path, "is this a run's folder?") from None
    try:
        family = families.of_config(config)
    except UserError as error:
        raise UserError(error.problem, path, error.remedy) from None
    if not family.detects:
        config["options"] = {name: value for name, value in config["options"].items() if name not in DROPPED}
    return dict(config, family=family.name)


def box_ends(folder: str) -> BoxEnds:
    """How the boxes end that the run in this folder trained on. Raises UserError for a word that means none."""
    from gluon_bof.boxes import BoxEnds  # with NumPy, which --help and --dry-run need not wait for

    word = read_config(folder).get("box_ends", BoxEnds.EDGE.value)
    try:
        return BoxEnds(word)
    except ValueError:
        raise UserError(f"box_ends cannot be {word!r}", os.path.join(folder, CONFIG),
                        f"write {' or '.join(ends.value for ends in BoxEnds)}") from None


def read_options(folder: str, **changes: Any) -> Any:
    """The options of the run in this folder, with changes to what its configuration says, as JSON has them. A relative path of
    its data is that from where it was started, also elsewhere; where nothing is there any more, or the run was copied with its
    project, that from today's folder.

    Raises UserError for a damaged configuration and for a change to an option that the family has not."""
    config = read_config(folder)
    family = families.by_name(config["family"])
    families.require_known(changes, family)
    values = {**config["options"], **_kept_places(folder, config), **changes}
    return from_dict(family.options, values, os.path.join(folder, CONFIG))


def written_options(folder: str) -> dict[str, Any]:
    """{option: value} of the run in this folder, as JSON has them and paths of its data as they were given: a copy of all may lie
    in another folder than it was started in. Raises UserError."""
    written = read_config(folder)["options"]
    return {**as_dict(read_options(folder)), **{name: written[name] for name in OF_DATA if name in written}}


def _kept_places(folder, config):
    """{option: path from where the run was started} of its data, as far as they are there and today's folder is another."""
    start, options = _start_of(config), config["options"]
    if start in ("", os.getcwd()):
        return {}
    copied = _lies_below(folder, os.getcwd()) and not _lies_below(folder, start)
    places = {name: os.path.join(start, options[name]) for name in OF_DATA
              if isinstance(options.get(name), str) and options[name] not in ("", *NAMED_SETS)}
    return {name: path for name, path in places.items() if (os.path.isfile if name == "classes" else os.path.exists)(path)
            and not (copied and os.path.exists(options[name]))}


def _lies_below(path, folder):
    path, folder = os.path.realpath(path), os.path.realpath(folder)
    return os.path.commonpath((path, folder)) == folder


def _start_of(config):
    """The folder that the run was started in; "" where nothing tells it."""
    start = config.get(STARTED_IN)
    return start if isinstance(start, str) else ""


def require_set(folder: str, remedy: str) -> None:
    """Raise UserError where the data set of the run in this folder is not there any more; warn where another folder, of the same
    path from today's folder, is taken for it."""
    dataset = read_options(folder).dataset
    if dataset in NAMED_SETS:
        return
    place = os.path.expanduser(dataset)
    before = os.path.join(_start_of(read_config(folder)), place)
    if not os.path.exists(place):
        raise UserError("the data set of this run is not there any more", before, remedy)
    if os.path.abspath(place) != os.path.abspath(before):
        warn(f"the data set of {folder} was {before}; {os.path.abspath(place)} is taken for it")


def is_same_set(dataset: str, other: str) -> bool:
    """Whether two words of --dataset mean one set; a folder may be written in several ways."""
    return dataset == other or os.path.exists(dataset) and os.path.realpath(dataset) == os.path.realpath(other)


OF_THE_SET = {"dataset": is_same_set, "val_split": operator.eq}  # what a run is evaluated on: whether two values mean one


def warn_of_unlike_scores(folders: Sequence[str], of_runs: Sequence[Any]) -> None:
    """Warn where the scores of these runs, of these options, are not of one data set, part of it and metric, as comparing them
    takes it."""
    for name, are_alike in {**OF_THE_SET, "metric": operator.eq}.items():
        values = [getattr(options, name, "") for options in of_runs]
        other = next((number for number, value in enumerate(values) if not are_alike(value, values[0])), None)
        if other is not None:
            warn(f"{folders[other]} was scored with {flag_name(name)} {values[other] or 'none'}, {folders[0]} with "
                 f"{values[0] or 'none'}: their scores do not compare")


def threads_of(folder: str) -> str:
    """Threads that the run in this folder computes with, as text; "" where that was left to MXNet. Raises UserError."""
    environment = read_config(folder).get("environment")
    return str(environment.get("omp_num_threads", "")) if isinstance(environment, dict) else ""


def write_config(folder: str, options: Any) -> None:
    """Write the configuration of a new run: its family, its options, the command, what it runs on."""
    from gluon_bof.boxes import BoxEnds

    # whatever it starts from, what it trains on ends as our readers have it
    config = {"family": families.family_of(options).name, "options": as_dict(options), "box_ends": BoxEnds.EDGE.value,
              "command": sys.argv, STARTED_IN: os.getcwd(), "environment": environment()}
    write_atomically(os.path.join(folder, CONFIG), json.dumps(config, indent=2).encode())


def write_classes(folder: str, classes: Any) -> None:
    """Keep the class names, one a line, for whoever uses the weights."""
    write_atomically(os.path.join(folder, CLASSES), "".join(f"{name}\n" for name in classes).encode())


def read_classes(folder: str) -> list[str] | None:
    """The class names that `write_classes` kept; None where there are none."""
    try:
        with open(os.path.join(folder, CLASSES), encoding="utf-8-sig", errors="replace", newline="") as file:
            return file.read().replace("\r\n", "\n").rstrip("\n").split("\n")  # as editors of Windows leave it
    except FileNotFoundError:
        return None


def refuse_other_classes(classes: Sequence[str], before: Sequence[str], where: str, remedy: str) -> None:
    """Raise UserError where a set's classes are not, in their order, those that the weights in `where` were trained on."""
    classes, before = list(classes), list(before)
    if classes != before:
        same = len(os.path.commonprefix([classes, before]))
        raise UserError(f"from class {same} on the set's are {abbreviate(classes[same:])}, and those that this was trained on "
                        f"{abbreviate(before[same:])}", where, remedy)
