"""Evidence bundles: one JSON file for each finished run, written last and whole. Every published number is made from them alone.

A bundle says what was run, on what, from what and with what result; it holds no path and no name of a machine. What would be run
now is compared with it setting by setting, so that a number never stands for another configuration."""
from __future__ import annotations

import hashlib
import json
import os
import pickle
import platform
import re
from datetime import datetime, timezone
from typing import Any, Iterable, Mapping, Sequence

from gluon_bof import weights
from gluon_bof.errors import UserError
from gluon_bof.files import folders_below, read_json, sha256_of, stamp_of, write_atomically
from gluon_bof.options import families
from gluon_bof.options.flags import as_dict, flag_name
from gluon_bof.runs.opening import MAY_CHANGE, stated_devices

FORMAT = 1
FOLDER = "runs"  # of the results' folder
CONTENT = "content_sha256"  # of all else in a bundle
LABELS = "labels"  # in what is said of data: a hash of what its labels are read from
COST = "cost"  # in a table's bundle: what its row costs in inference beside another
PLACES = {"name", "runs", "recipe", "dataset", "dataset_root", "pretrained_base"}  # the same run has others elsewhere
WHOLE = {"format": int, "name": str, "experiment": str, "row": str, "seed": int, "commands": list, "configuration": dict,
         "configuration_sha256": str, "git_revision": str, "versions": dict, "machine": dict, "times": dict,
         "weights_sha256": str, "training": dict, "evaluations": dict}


class Store:
    """The bundles in a folder of results, each read and checked once while its file stays the same."""

    def __init__(self, results: str):
        self.folder = os.path.join(results, FOLDER)
        self._kept = {}  # {name: (what tells its file from another, the bundle as bytes, for a caller may change what it reads)}

    def path(self, name: str) -> str:
        """Where the bundle of a run lies, or would."""
        return os.path.join(self.folder, f"{name}.json")

    def read(self, name: str) -> dict[str, Any] | None:
        """The bundle of a run, None where it has none. Raises UserError for a damaged one."""
        path = self.path(name)
        try:
            stamp = stamp_of(path)
            if name not in self._kept or self._kept[name][0] != stamp:
                self._kept[name] = stamp, pickle.dumps(_read_whole(path, name))
        except FileNotFoundError:
            return None
        return pickle.loads(self._kept[name][1])

    def everything(self) -> list[dict[str, Any]]:
        """All bundles, by name."""
        names = sorted(os.listdir(self.folder)) if os.path.isdir(self.folder) else []
        return [self.read(name[:-len(".json")]) for name in names if name.endswith(".json")]

    def of(self, experiment: str) -> list[dict[str, Any]]:
        """All bundles of an experiment, by name."""
        return [bundle for bundle in self.everything() if bundle["experiment"] == experiment]

    def write(self, bundle: Mapping[str, Any]) -> None:
        """Keep a bundle; it appears whole or not at all."""
        os.makedirs(self.folder, exist_ok=True)
        whole = {**bundle, CONTENT: _hash_of_content(bundle)}
        write_atomically(self.path(bundle["name"]), (json.dumps(whole, indent=1, sort_keys=True) + "\n").encode())


def _read_whole(path, name):
    """The bundle in a file. Raises UserError for a damaged one."""
    found = read_json(path, "this bundle is no JSON", "remove it; the run will be made again")
    whole = isinstance(found, dict) and all(isinstance(found.get(field), kind) for field, kind in WHOLE.items())
    if not whole or found["format"] != FORMAT or found["name"] != name:
        raise UserError("this is no bundle of the run that it is named after", path, "remove it; the run will be made again")
    if hash_of(found["configuration"]) != found["configuration_sha256"]:
        raise UserError("the configuration of this bundle was changed after it was written", path,
                        "remove it; the run will be made again")
    if CONTENT in found and found[CONTENT] != _hash_of_content(found):  # bundles of before have none
        raise UserError("this bundle was changed after it was written", path, "remove it; the run will be made again")
    return found


# ---- configurations ------------------------------------------------------------------------------------------------

def configuration(options: Any, data: Mapping[str, Any], before: Mapping[str, Any] | None = None) -> dict[str, Any]:
    """What a run's result depends on, without any place: options, what it reads, and the configuration of the run whose weights
    it starts from."""
    kept = {name: value for name, value in as_dict(options).items() if name not in PLACES | MAY_CHANGE}
    base = getattr(options, "pretrained_base", None)
    if base is not None:
        kept["pretrained_base"] = "weights of starts_from" if before else _told_base(base)
    return {"family": families.family_of(options).name, "options": kept, "devices": stated_devices(options),
            "data": dict(data), "starts_from": before}


def _told_base(base):
    """What bundles say of a backbone that no run of the experiment trained."""
    if not base.startswith("shipped"):
        return os.path.basename(base)
    return f"{base} {shipped(base.replace('shipped', 'darknet-mini'))['sha256']}"


def shipped(stem: str) -> dict[str, Any]:
    """What the JSON beside shipped weights says. Read here, since weights.zoo, whose names these are, brings MXNet along."""
    with open(os.path.join(os.path.dirname(weights.__file__), "shipped", f"{stem}.json"), encoding="utf-8") as file:
        return json.load(file)


def hash_of(content: Any) -> str:
    """SHA-256 of a JSON object, in hexadecimal, whatever the order of its keys."""
    return hashlib.sha256(json.dumps(content, sort_keys=True, separators=(",", ":")).encode()).hexdigest()


def _hash_of_content(bundle):
    """SHA-256 of all of a bundle but this hash, as it is once it was written and read."""
    return hash_of(json.loads(json.dumps({name: value for name, value in bundle.items() if name != CONTENT})))


def difference(found: Mapping[str, Any], wanted: Mapping[str, Any], beside: Sequence[str] = ("devices", "data")) -> str | None:
    """What a bundle's configuration has otherwise than the wanted one, in words; None where it is the same. beside: what is
    compared beside the options.

    An option that came into the world after the bundle has its default in it; data without a hash of labels, as it was said
    before, may have had any."""
    if found["family"] != wanted["family"]:
        return f"{found['family']} and not {wanted['family']}"
    defaults = as_dict(families.by_name(wanted["family"]).options().resolved())
    for name in sorted({*found["options"], *wanted["options"]}):
        values = [side["options"].get(name, defaults.get(name)) for side in (found, wanted)]
        if json.dumps(values[0]) != json.dumps(values[1]):
            return f"{flag_name(name)} {values[0]} and not {values[1]}"
    for name in beside:
        values = found[name], wanted[name]
        words = [json.dumps(value, sort_keys=True) for value in (_known(*values) if name == "data" else values)]
        if words[0] != words[1]:
            return f"{name} {words[0]} and not {words[1]}"
    return _difference_before(found["starts_from"], wanted["starts_from"], beside)


def _known(*data):
    """What is said of data, without the hash of labels unless all have it."""
    unknown = () if all(LABELS in one for one in data) else (LABELS,)
    return [{name: value for name, value in one.items() if name not in unknown} for one in data]


def _difference_before(found, wanted, beside):
    if found is None or wanted is None:
        return None if found is wanted else "another start"
    before = difference(found, wanted, beside)
    return before and f"a start from a run with {before}"


def refuse_other(bundle: Mapping[str, Any], wanted: Mapping[str, Any], path: str) -> None:
    """Raise UserError, naming what differs, where a bundle is of another configuration than the wanted one."""
    differing = difference(bundle["configuration"], wanted)
    if differing:
        raise UserError(f"the bundle there has {differing}", path,
                        "move it and its run's folder away, or give another --out and --runs")


# ---- what surrounds a run ------------------------------------------------------------------------------------------

def fingerprint(folder: str) -> dict[str, Any]:
    """What tells a folder of data from another, quickly: how many files it has, a hash of their names and sizes, and one of the
    contents of those that are no images. Links are followed; hidden files, and links to nothing, are left out."""
    from gluon_bof.data.images import ENDINGS  # with OpenCV, which pages need not wait for

    places = folders_below(folder, lambda path: os.path.basename(path).startswith("."))
    paths = [os.path.join(place, name) for place, names in places for name in names if not name.startswith(".")]
    files = sorted((os.path.relpath(path, folder), os.path.getsize(path)) for path in paths if os.path.exists(path))
    return {"folder": os.path.basename(os.path.abspath(folder)), "files": len(files), "sha256": hash_of(files),
            LABELS: hash_of_files(folder, (path for path in paths if not path.lower().endswith(ENDINGS)))}


def hash_of_files(folder: str, paths: Iterable[str]) -> str:
    """Hash of the contents of files in a folder and their names in it; what is no file is left out."""
    return hash_of(sorted((os.path.relpath(path, folder), sha256_of(path)) for path in paths if os.path.isfile(path)))


def machine() -> dict[str, Any]:
    """What computes: cores that this process may use, the processor's name, its architecture. No name of the machine."""
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count()
    return {"cores": cores, "cpu": _cpu_name() or platform.processor(), "architecture": platform.machine()}


def _cpu_name():
    try:
        with open("/proc/cpuinfo", encoding="utf-8", errors="replace") as file:
            match = re.search(r"^model name\s*:\s*(.+)$", file.read(), re.MULTILINE)
    except OSError:
        return ""
    return match.group(1).strip() if match else ""


def utc(seconds: float) -> str:
    """A time as ISO 8601 has it, in UTC, of seconds since 1970."""
    return datetime.fromtimestamp(seconds, timezone.utc).strftime("%Y-%m-%dT%H:%M:%SZ")


def without_places(text: str, places: Iterable[tuple[str, str]]) -> str:
    """A command without paths of this machine. places: (path, what stands for it), the longest first."""
    for path, name in places:
        text = text.replace(path, name)
    return text
