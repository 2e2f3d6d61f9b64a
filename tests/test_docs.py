"""The pages that people read: where their links lead, whether the commands in them have the flags that they are given, and
whether what their Python names is there."""
from __future__ import annotations

import argparse
import ast
import importlib
import re

import pytest

import gluon_bof
from gluon_bof.commands import COMMANDS
from gluon_bof.commands.completion import whole_parser
from gluon_bof.data import shapes, vocmini
from gluon_bof.options import families
from gluon_bof.paper import jobs
from gluon_bof.runs import folder
from gluon_bof.runs.folder import PLANNED, SETS, RunFolder
from gluon_bof.studies.minibatch.compare import OUTCOME
from tests.command_lines import options_of
from tests.scripts import ROOT

FOLDERS = (".", "docs", "results", "benchmarks")
PAGES = sorted(page for folder in FOLDERS for page in (ROOT / folder).glob("*.md"))
FENCED = re.compile(r"^```(\w*)\n(.*?)^```", re.MULTILINE | re.DOTALL)
LINK = re.compile(r"\[[^\]]*\]\((?!https?:)([^)\s#]*)(?:#([^)\s]*))?\)")
COMMAND = re.compile(r"(?:gluon-bof|python -m gluon_bof|train_(?P<family>\w+)\.py)(?:\s+(?P<words>.*))?$")
FAMILY = "|".join(family.name for family in families.FAMILIES)
TRAINING = re.compile(rf"(?:train_(?P<script>{FAMILY})\.py|(?:gluon-bof|gluon_bof|--) (?:train (?P<family>{FAMILY})|pretrain))"
                      r"(?P<words>(?:\s.*)?)$")
by_name = pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))


@by_name
def test_links_lead_to_a_file_and_to_a_heading_of_it(page):
    dead = []
    for target, anchor in LINK.findall(FENCED.sub("", page.read_text(encoding="utf-8"))):
        place = (page.parent / target).resolve() if target else page
        if not place.exists() or anchor and anchor not in anchors(place):
            dead.append(f"{target}#{anchor}")
    assert not dead


@by_name
def test_documented_commands_have_no_flag_that_is_not_there(page, parser):
    unknown = {command: found for command in commands(page.read_text(encoding="utf-8"))
               if (found := unknown_flags(command, parser))}
    assert not unknown


@pytest.mark.parametrize("page", [page for page in PAGES if "```python" in page.read_text(encoding="utf-8")],
                         ids=lambda page: str(page.relative_to(ROOT)))
def test_documented_python_names_nothing_that_is_not_there(page):
    blocks = [body for language, body in FENCED.findall(page.read_text(encoding="utf-8")) if language == "python"]
    assert blocks and not [name for block in blocks for name in unknown_names(block)]


def test_an_unknown_name_in_python_is_found():
    code = "import gluon_bof\nfrom gluon_bof.freebies import mix, spoil\ngluon_bof.load(1)\ngluon_bof.unload(2)"
    assert unknown_names(code) == ["gluon_bof.freebies.spoil", "gluon_bof.unload"]


def test_an_unknown_flag_of_a_command_and_of_what_it_launches_is_found(parser):
    assert unknown_flags("gluon-bof train yolo3 --data-shape 96 --roi-mode pool", parser) == ["--roi-mode"]
    assert unknown_flags("gluon-bof launch -n 2 -- train_ssd.py --use-fpn", parser) == ["--use-fpn"]
    assert unknown_flags("OMP_NUM_THREADS=1 python -m gluon_bof minibatch rank --probe sketch  # text --x", parser) == ["--probe"]


@pytest.fixture(scope="module")
def parser():
    return whole_parser(COMMANDS)


@by_name
def test_the_cache_folder_of_the_drawn_images_is_the_one_that_is_written(page):
    for found_set, name in ((shapes, r"shapes"), (vocmini, r"vocmini-[\w-]+?")):
        assert set(re.findall(rf"{name}-v(\d+)", page.read_text(encoding="utf-8"))) <= {str(found_set.FILES)}


@by_name
def test_documented_trainings_on_several_devices_are_not_refused_when_they_begin(page):
    refused = []
    for line in commands(page.read_text(encoding="utf-8")):
        options, workers = training(line)
        if not options:
            continue
        if options.batch_size < workers * len((options.gpus or "0").split(",")):
            refused.append(f"{line}: no image for each device")
        if workers > 1 and options.synchronises_batchnorm() and options.syncbn != "per-process":
            refused.append(f"{line}: normalisation cannot be synchronised over workers")
    assert not refused


def test_the_page_of_runs_and_the_module_name_every_file_of_a_run():
    run = RunFolder("")
    page = (ROOT / "docs" / "runs.md").read_text(encoding="utf-8")
    results = (SETS, PLANNED, jobs.TRAINING, "evaluation", "evaluation-*", OUTCOME)
    names = {*vars(run).values(), *map(run.result, results)} - {""}
    assert not [name for name in names if f"`{name}" not in page or name not in folder.__doc__]


def test_trainings_are_found_in_lines_with_their_workers():
    options, workers = training("$ gluon-bof launch -n 3 --print-env -- train yolo3 --batch-size 4 2>&1 >/dev/null  # text")
    assert (options.batch_size, options.recipe, options.syncbn, workers) == (4, "embedded", True, 3)
    options, workers = training("horovodrun -np 2 python train_faster_rcnn.py --horovod …")
    assert options.horovod and options.norm_layer == "syncbn" and workers == 2
    assert training("gluon-bof pretrain --gpus 0,1")[1] == 1 and training("gluon-bof check --gpus 0 FOLDER")[0] is None


def anchors(page):
    """The anchors of a page's headings, as GitHub makes them."""
    headings = re.findall(r"^#+ (.*)$", FENCED.sub("", page.read_text(encoding="utf-8")), re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", heading.strip().lower()).replace(" ", "-") for heading in headings}


def commands(text):
    """Lines of a page's blocks, and what stands between backticks elsewhere, each on one line."""
    blocks = [body.replace("\\\n", " ") for language, body in FENCED.findall(text) if language != "python"]
    inline = re.findall(r"`([^`]+)`", FENCED.sub("", text))
    return [line for block in blocks for line in block.splitlines()] + [" ".join(code.split()) for code in inline]


def unknown_names(code):
    """What Python imports from a module, or takes of the package, and is not there. Raises for a module that is not."""
    found = []
    for node in ast.walk(ast.parse(code)):
        if isinstance(node, ast.Import):
            for name in node.names:
                importlib.import_module(name.name)
        elif isinstance(node, ast.ImportFrom):
            module = importlib.import_module(node.module)
            found += [f"{node.module}.{name.name}" for name in node.names if not hasattr(module, name.name)]
        elif isinstance(node, ast.Attribute) and isinstance(node.value, ast.Name) and node.value.id == "gluon_bof":
            found += [] if hasattr(gluon_bof, node.attr) else [f"gluon_bof.{node.attr}"]
    return found


def below(parser):
    """{word: parser} of a parser's sub-commands."""
    return next((action.choices for action in parser._actions if isinstance(action, argparse._SubParsersAction)), {})


def training(line):
    """(resolved options, workers) of a line that trains on devices or workers that it names; (None, 0) of any other."""
    line = re.split(r"\s(?:#|\d?>)", line)[0].replace("…", "")
    workers = re.search(r"(?:launch|horovodrun).* -np? (\d+)", line)
    match = TRAINING.search(line)
    if not match or not workers and "--gpus" not in line:
        return None, 0
    family = match["script"] or match["family"] or "classifier"
    options = options_of(family, match["words"])
    options.check()
    return options, int(workers[1]) if workers else 1


def unknown_flags(line, parser):
    """Long flags in a line that its command, or what that launches, does not take; [] where it is no command of ours."""
    line, *behind = re.sub(r"\s#.*", "", line).split(" -- ")
    match = COMMAND.search(line)
    if not match:
        return []
    words = (match["words"] or "").split()
    if match["family"]:
        words = ["train", match["family"], *words]
    known = parser
    for word in words:
        if word not in below(known):
            break
        known = below(known)[word]
    takes = set(known._option_string_actions)
    if words[:1] == ["figure"]:  # whose help says that evaluate's are taken too
        takes |= set(below(parser)["evaluate"]._option_string_actions)
    flags = [re.split("[=…]", word)[0] for word in words if re.match("--[a-z]", word)]
    found = [flag for flag in flags if flag not in takes]
    if words[:1] == ["launch"] and behind:
        launched = behind[0] if COMMAND.search(behind[0]) else f"gluon-bof {behind[0]}"
        found += unknown_flags(launched, parser)
    return found
