"""Imports point one way, from scripts and commands down to the pages that all know; and some rooms never import MXNet."""
import ast
import json
import re
import subprocess
import sys
from pathlib import Path

import pytest

PACKAGE = Path(__file__).resolve().parent.parent / "gluon_bof"
# From the ground up. A module may import its own room, and rooms of a lower floor.
FLOORS = (
    ("locks",),
    ("errors", "boxes", "masks", "rng", "_version", "_lazy"),
    ("options", "compat", "files", "terminal", "threads"),
    ("distributed",),
    ("runs", "backend"),
    ("freebies", "devices", "distributed.groups", "distributed.words"),
    ("data", "distributed.launch"),
    ("models", "visualization"),
    ("weights",),
    ("training", "inference"),
    ("evaluation",),
    ("studies",),
    ("paper",),
    ("commands",),
    ("__main__", "api"),
)
FLOOR_OF = {room: number for number, rooms in enumerate(FLOORS) for room in rooms}
FLOOR_OF["__init__"] = -1  # everybody may import the package itself
# rooms, or single modules of a room, that start without MXNet: --help, --dry-run and data workers do
WITHOUT_MXNET = ("gluon_bof.locks", "gluon_bof.errors", "gluon_bof.boxes", "gluon_bof.masks", "gluon_bof.rng",
                 "gluon_bof.threads", "gluon_bof.terminal", "gluon_bof.files", "gluon_bof.options", "gluon_bof.runs",
                 "gluon_bof.distributed", "gluon_bof.weights.formats", "gluon_bof.data", "gluon_bof.commands",
                 "gluon_bof.visualization", "gluon_bof.paper.choices", "gluon_bof.paper.jobs", "gluon_bof.paper.pages",
                 "gluon_bof.paper.table_pages", "gluon_bof.paper.tables", "gluon_bof.studies")
# the only users of MXNet in these rooms: make batches of its arrays, and train or probe networks for a study
WITH_MXNET = ("gluon_bof.data.loader", "gluon_bof.data.shared_memory", "gluon_bof.distributed.groups",
              "gluon_bof.studies.capacity.group_pair",
              *(f"gluon_bof.studies.minibatch.{name}" for name in ("gradients", "lpips", "measure", "probe", "rank", "single",
                                                                   "tasks", "train")))


def room_of(name):
    """First part of a dotted name below the package; a new room has to be given a floor above."""
    parts = (name.split(".") + ["__init__"])[1:]
    room = ".".join(parts[:2]) if ".".join(parts[:2]) in FLOOR_OF else parts[0]
    assert room in FLOOR_OF, f"{name}: say in this test on which floor {room} stands"
    return room


def imports(source):
    """(line, dotted name) of everything that a source imports, wherever it stands in it; "from a import b" is a.b."""
    found = []
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Import):
            found += [(node.lineno, alias.name) for alias in node.names]
        elif isinstance(node, ast.ImportFrom):
            found += [(node.lineno, "." * node.level + ".".join(filter(None, (node.module, alias.name))))
                      for alias in node.names]
    return sorted(found)


def is_within(name, *modules):
    return any(name == module or name.startswith(module + ".") for module in modules)


def faults(module, source):
    """What is wrong with the imports of a module, one text each."""
    room = room_of(module)
    floor = len(FLOORS) if room == "__init__" else FLOOR_OF[room]
    found = []
    prepared = False
    for line, name in imports(source):
        place = f"{module}:{line} imports {name}"
        if name.startswith("."):
            found.append(f"{place}: write it in full")
        elif is_within(name, "gluon_bof"):
            target = room_of(name)
            if target != room and FLOOR_OF[target] >= floor:
                found.append(f"{place}: {room} stands below or beside {target}")
        elif name.startswith("train_"):
            found.append(f"{place}: nothing imports a script")
        elif is_within(name, "argparse") and room not in ("options", "commands"):
            found.append(f"{place}: only options and commands know the command line")
        if module == "gluon_bof.backend":
            continue
        prepared = prepared or is_within(name, "gluon_bof.backend")
        if is_within(name, "mxnet"):
            found.append(f"{place}: only the backend does")
        elif is_within(name, "gluoncv") and not prepared:
            found.append(f"{place}: gluon_bof.backend has to come first")
    return found


def module_name(path):
    parts = path.relative_to(PACKAGE.parent).with_suffix("").parts
    return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)


MODULES = [module_name(path) for path in sorted(PACKAGE.rglob("*.py"))]


def test_imports_point_one_way():
    assert len(MODULES) > 80
    paths = sorted(PACKAGE.rglob("*.py"))
    found = [fault for path in paths for fault in faults(module_name(path), path.read_text(encoding="utf-8"))]
    assert not found, "\n".join(found)


def test_no_module_changes_a_notebooks_backend_or_figures():
    assert not [path.name for path in PACKAGE.rglob("*.py") if re.search(r"pyplot|matplotlib\.use\(", path.read_text("utf-8"))]


def test_the_page_of_the_design_has_the_same_floors():
    rows = re.findall(r"^\| \d+ \| (.*) \|$", (PACKAGE.parent / "docs" / "design.md").read_text(encoding="utf-8"), re.MULTILINE)
    told = [{room for room in re.findall(r"`([\w.]+)`", row) if not room.startswith("train_")} for row in rows]
    assert told == [set(rooms) for rooms in FLOORS]


IMPORT_EACH = """
import importlib, json, os, sys
import cv2, numpy  # once for all of them
for room, names in json.load(sys.stdin).items():
    if os.fork() == 0:
        for name in names:
            importlib.import_module(name)
        print(json.dumps([room, [name for name in sys.modules if name.split(".")[0] in ("mxnet", "gluoncv")]]), flush=True)
        os._exit(0)
    os.wait()
"""


def test_each_room_without_mxnet_starts_by_itself_and_without_it():
    rooms = {room: [name for name in MODULES if is_within(name, room) and name not in WITH_MXNET] for room in WITHOUT_MXNET}
    assert all(rooms.values())
    said = subprocess.run([sys.executable, "-c", IMPORT_EACH], cwd=PACKAGE.parent, input=json.dumps(rooms), capture_output=True,
                          text=True, check=True)
    assert dict(map(json.loads, said.stdout.splitlines())) == {room: [] for room in WITHOUT_MXNET}, said.stderr


@pytest.mark.parametrize("module, source", [
    ("gluon_bof.data.voc", "from gluon_bof.models import build"),
    ("gluon_bof.freebies.mixup", "from gluon_bof import training"),
    ("gluon_bof.training.loop", "import gluon_bof.evaluation.voc"),
    ("gluon_bof.training.loop", "from gluon_bof.inference import detector"),
    ("gluon_bof.evaluation.voc", "def score():\n    from gluon_bof.commands.evaluate import main"),
    ("gluon_bof.options.flags", "from gluon_bof.data.voc import VOC_CLASSES"),
    ("gluon_bof.models.build", "from gluon_bof.weights.load import load_weights"),
    ("gluon_bof.data.voc", "import gluoncv.data"),
    ("gluon_bof.training.loop", "from mxnet import gluon"),
    ("gluon_bof.evaluation.score", "import argparse"),
    ("gluon_bof.models.yolo3.network", "from gluoncv import nn\nfrom gluon_bof.backend import mx"),
    ("gluon_bof.paper.tables", "from train_yolo3 import main"),
    ("gluon_bof.studies.capacity.report", "from gluon_bof.commands.capacity import table"),
    ("gluon_bof.evaluation.score", "from gluon_bof.studies.capacity import analyze"),
    ("gluon_bof.models.build", "from . import weights"),
])
def test_a_wrong_import_is_caught(module, source):
    assert len(faults(module, source)) == 1


@pytest.mark.parametrize("module, source", [
    ("gluon_bof", "from gluon_bof.compat import check_versions"),
    ("gluon_bof.data.loader", "from gluon_bof.backend import mx"),
    ("gluon_bof.models.yolo3.network", "from gluon_bof.backend import mx\nfrom gluoncv import nn"),
    ("gluon_bof.runs.folder", "from gluon_bof._version import __version__"),
    ("gluon_bof.options.flags", "import argparse"),
    ("gluon_bof.paper.tables", "from gluon_bof.runs.folder import Run\nfrom gluon_bof.evaluation import voc"),
])
def test_a_right_import_passes(module, source):
    assert faults(module, source) == []
