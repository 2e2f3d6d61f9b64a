"""Imports point one way: __main__ → paper, studies → training | evaluation → models → data → options, errors."""
import ast
from pathlib import Path

import pytest

PACKAGE = Path(__file__).resolve().parent.parent / "gluon_bof"
# A module may import its own group, and groups of a lower rank
GROUPS = {"errors": "base", "compat": "base", "backend": "base", "options": "base", "rcnn_options": "base", "saved_options": "base", "files": "base",
          "__init__": "base", "__version__": "base"}
RANKS = {"base": 0, "data": 1, "models": 2, "training": 3, "evaluation": 3, "paper": 4, "studies": 4, "__main__": 5}
USERS_OF_MXNET = ("models", "training", "evaluation", "paper", "studies")
LOADER = "gluon_bof.data.loader"  # the one module of data that makes MXNet's arrays: batches on the wire


def group_of(name):
    """Group of a dotted name in the package; a new top module has to be given one above."""
    first = (name.split(".") + ["__init__"])[1]
    group = GROUPS.get(first, first)
    assert group in RANKS, f"{name}: say in this test to which layer {first} belongs"
    return group


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


def is_within(name, module):
    return name == module or name.startswith(module + ".")


def faults(module, source):
    """What is wrong with the imports of a module, one text each."""
    group = group_of(module)
    found = []
    prepared = False
    for line, name in imports(source):
        place = f"{module}:{line} imports {name}"
        if name.startswith("."):
            found.append(f"{place}: write it in full")
        elif is_within(name, "gluon_bof"):
            target = group_of(name)
            if target != group and RANKS[target] >= RANKS[group]:
                found.append(f"{place}: {group} stands below or beside {target}")
        elif name.startswith("train_"):
            found.append(f"{place}: nothing imports a script")
        if module == "gluon_bof.backend":
            continue
        prepared = prepared or is_within(name, "gluon_bof.backend")
        if is_within(name, "mxnet"):
            found.append(f"{place}: only the backend does")
        if any(is_within(name, heavy) for heavy in ("gluoncv", "gluon_bof.backend", LOADER)):
            if group not in USERS_OF_MXNET and module != LOADER:
                found.append(f"{place}: {group} has to start without MXNet")
            elif is_within(name, "gluoncv") and not prepared:
                found.append(f"{place}: gluon_bof.backend has to come first")
    return found


def module_name(path):
    parts = path.relative_to(PACKAGE.parent).with_suffix("").parts
    return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)


def test_imports_point_one_way():
    paths = sorted(PACKAGE.rglob("*.py"))
    assert len(paths) > 10
    found = [fault for path in paths for fault in faults(module_name(path), path.read_text(encoding="utf-8"))]
    assert not found, "\n".join(found)


@pytest.mark.parametrize("module, source", [
    ("gluon_bof.data.voc", "from gluon_bof.models import norm"),
    ("gluon_bof.models.norm", "from gluon_bof import training"),
    ("gluon_bof.training.loop", "import gluon_bof.evaluation.voc"),
    ("gluon_bof.evaluation.voc", "def score():\n    from gluon_bof.training.run import Run"),
    ("gluon_bof.paper.tables", "from gluon_bof.studies import capacity"),
    ("gluon_bof.options", "from gluon_bof.data.voc import VOC_CLASSES"),
    ("gluon_bof.options", "from gluon_bof.backend import mx"),
    ("gluon_bof.data.sets", "from gluon_bof.data.loader import training_loader"),
    ("gluon_bof.data.voc", "import gluoncv.data"),
    ("gluon_bof.training.loop", "from mxnet import gluon"),
    ("gluon_bof.models.yolo3.network", "from gluoncv import nn\nfrom gluon_bof.backend import mx"),
    ("gluon_bof.paper.tables", "from train_yolo3 import main"),
    ("gluon_bof.models.norm", "from . import weights"),
])
def test_a_wrong_import_is_caught(module, source):
    assert len(faults(module, source)) == 1


@pytest.mark.parametrize("module, source", [
    ("gluon_bof", "from gluon_bof.compat import check_versions"),
    ("gluon_bof.data.loader", "from gluon_bof.backend import mx"),
    ("gluon_bof.models.yolo3.network", "from gluon_bof.backend import mx\nfrom gluoncv import nn"),
    ("gluon_bof.training.run", "from gluon_bof import __version__"),
    ("gluon_bof.paper.tables", "from gluon_bof.training.run import Run\nfrom gluon_bof.evaluation import voc"),
])
def test_a_right_import_passes(module, source):
    assert faults(module, source) == []
