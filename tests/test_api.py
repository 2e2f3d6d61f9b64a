"""The package from Python: public names, one small training scored and loaded again, and errors that speak of arguments."""
import ast
import importlib
import inspect
import json
import re
import subprocess
import sys
from types import SimpleNamespace

import numpy as np
import pytest

import gluon_bof
from gluon_bof import api
from gluon_bof.inference.segmentation_model import SegmentationModel
from gluon_bof.options.families import by_name
from gluon_bof.options.flags import parse
from gluon_bof.training.entry import ready
from tests.pages import without_pages
from tests.scripts import ROOT
from tests.tiny_sets import CLASSES, write_voc_set

SMALL = dict(dataset="voc", network="mobilenet0.25-slim", data_shape=64, no_random_shape=True, batch_size=2, epochs=1, lr=0.01,
             pretrained_base="no", num_workers=0, gpus="", seed=3, mixup="even", no_mixup_epochs=0, lr_decay_epoch=(1,))
ROOMS = ("boxes", "data", "evaluation", "freebies", "inference", "models", "options", "runs", "training", "visualization",
         "weights")


@pytest.fixture(scope="module")
def place(tmp_path_factory):
    """A folder with a set and a run that was trained from Python."""
    path = tmp_path_factory.mktemp("api")
    write_voc_set(path / "set", images=4, validation=2)
    with pytest.MonkeyPatch.context() as patch:
        without_pages(patch)
        outcome = gluon_bof.train("yolo3", dataset_root=str(path / "set"), runs=str(path / "runs"), name="one", **SMALL)
    (path / "outcome.json").write_text(json.dumps(outcome))
    return path


def test_what_is_trained_from_python_has_the_arguments_as_options(place):
    options = gluon_bof.runs.read_options(str(place / "runs" / "one"))
    assert {name: getattr(options, name) for name in SMALL} == SMALL
    assert options.save_interval == 10  # GluonCV's default, for no recipe was asked for


def test_it_is_scored_and_loaded(place):
    run = str(place / "runs" / "one")
    told = json.loads((place / "outcome.json").read_text())
    found = gluon_bof.evaluate(run, last=True, num_workers=0)
    assert found["map"] == told["map"] and found["run"] == run and set(found["per_class"]) == set(CLASSES)
    assert gluon_bof.evaluate(place / "runs" / "one", data_shape=96, num_workers=0)["images"] == 2
    model = gluon_bof.load(run, last=True)
    assert model.classes == CLASSES
    found = model.predict(np.zeros((40, 60, 3), np.uint8))
    assert found.boxes.shape == (len(found.scores), 4)


def test_a_set_is_opened_by_its_role(place):
    root = str(place / "set")
    training, validation = (gluon_bof.open_dataset("voc", role, root=root) for role in ("train", "val"))
    assert (len(training), len(validation)) == (4, 2) and training.classes == CLASSES
    with pytest.raises(gluon_bof.UserError, match="'green' is not among the 1 classes given"):
        gluon_bof.open_dataset("voc", root=root, classes=["cat"])
    with pytest.raises(gluon_bof.UserError, match="does not exist; point root at the data"):
        gluon_bof.open_dataset("voc", root=root + "/none")


def test_a_place_that_cannot_be_written_is_refused_before_weights_are_scored_or_exported(place, tmp_path, monkeypatch):
    run, there = str(place / "runs" / "one"), str(tmp_path / "none" / "x.json")
    monkeypatch.setattr("gluon_bof.weights.resolve.resolve", lambda *how: pytest.fail("work that would be lost"))
    with pytest.raises(gluon_bof.UserError, match="x.json: no file can be written there"):
        gluon_bof.evaluate(run, save=there)
    monkeypatch.undo()
    monkeypatch.setattr("gluon_bof.inference.model.export_mxnet", lambda *how: pytest.fail("work that would be lost"))
    with pytest.raises(gluon_bof.UserError, match="x.json-0000.params: no file can be written there"):
        gluon_bof.load(run, last=True).export(there, "mxnet")
    with pytest.raises(gluon_bof.UserError, match="x.json: no file can be written there"):
        SegmentationModel(SimpleNamespace(classes=())).export(there)


def test_a_broken_image_is_not_answered_with_a_flag_that_predict_of_python_has_not(place, tmp_path):
    (tmp_path / "--no-a.jpg").write_bytes(b"no image")
    with pytest.raises(gluon_bof.UserError, match=r"--no-a.jpg: not an image.*; replace it") as refusal:
        gluon_bof.load(str(place / "runs" / "one"), last=True).predict(tmp_path / "--no-a.jpg")
    assert "bad" not in str(refusal.value)


def test_recipes_are_known_by_name_and_others_refused():
    assert gluon_bof.recipes["faster_rcnn/embedded"].family == "faster_rcnn"
    assert gluon_bof.recipes["table-2/mixup"].options.mixup == "beta"
    with pytest.raises(gluon_bof.UserError, match="no recipe 'nothing'"):
        gluon_bof.recipes["nothing"]


@pytest.mark.parametrize("family, words, arguments", (
    ("yolo3", ["--dataset", "shapes"], dict(dataset="shapes")),
    ("yolo3", [], {}),
    ("yolo3", ["--dataset", "voc"], dict(dataset="voc")),
    ("faster_rcnn", ["--recipe", "small-dataset", "--dataset", "x"], dict(recipe="faster_rcnn/small-dataset", dataset="x")),
    ("segmentation", ["--model", "fcn"], dict(model="fcn")),  # the recipe's upsampling and backbone are a U-Net's
    ("yolo3", ["--dataset", "voc", "--classes", "cat,dog"], dict(dataset="voc", classes=["cat", "dog"]))))
def test_training_from_python_has_not_other_options_than_the_command_line(family, words, arguments, monkeypatch):
    monkeypatch.setattr(api, "run_training", lambda options, given, train: {"options": options})
    of_words = parse(by_name(family).options, words, "", gluon_bof.recipes.of_family(family)).options
    assert gluon_bof.train(family, **arguments) == {"options": ready(of_words)}


def test_a_run_is_found_from_another_folder_too(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    outcome = {"run": "runs/one", "weights": "runs/one/last.params", "images": ["runs/one/a.png"], "map": 0.5}
    monkeypatch.setattr(api, "run_training", lambda *_: outcome)
    run = str(tmp_path / "runs/one")
    assert gluon_bof.train() == {"run": run, "weights": f"{run}/last.params", "images": [f"{run}/a.png"], "map": 0.5}
    monkeypatch.setattr(api, "run_training", lambda *_: {"run": "runs/one", "map": 0.5})  # of a worker that is not the first
    assert gluon_bof.train() == {"run": run, "map": 0.5}
    monkeypatch.setattr(api, "run_training", lambda *_: outcome)
    outcome.update(run=None, weights="a_zoos_name")  # of --eval, which keeps none
    assert gluon_bof.train() == outcome


@pytest.mark.parametrize("recipe, told", (("faster_rcnn/small-dataset", "Faster R-CNN's"), ("ssd/embedded", "SSD's"),
                                          ("shipped-backbone", "classifier's")))
def test_the_recipe_of_another_family_does_not_train_this_ones_by_the_same_name(recipe, told, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    with pytest.raises(gluon_bof.UserError, match=f"the recipe '{recipe}' is {told}"):
        gluon_bof.train("yolo3", recipe=recipe)
    assert not list(tmp_path.iterdir())


def test_classes_may_be_names_where_weights_are_scored(place, tmp_path):
    run = str(place / "runs" / "one")
    told = json.loads((place / "outcome.json").read_text())
    assert gluon_bof.evaluate(run, last=True, num_workers=0, classes=list(CLASSES))["map"] == told["map"]
    with pytest.raises(gluon_bof.UserError, match="class 'cat' is named twice"):
        gluon_bof.evaluate(run, classes=["cat", "cat"])


@pytest.mark.parametrize("arguments, told", (
    (dict(lr_mode="linear"), "YOLOv3 has no lr_mode linear; choose one of step"),
    (dict(family="segmentation", model="unet9"), "segmentation has no model unet9; choose one of fcn"),
    (dict(family="ssd7"), "unknown family 'ssd7'"),
    (dict(no_such_thing=3), "YOLOv3 has no no_such_thing; leave it out, or give the family that"),
    (dict(epoch=3), "YOLOv3 has no epoch; is epochs meant?"),
    (dict(epochs="many"), "epochs cannot be 'many'"),
    (dict(lr=-1.0), "lr -1.0 must be above 0"),
    (dict(label_smooth_eps=1.5), r"label_smooth_eps 1.5 is outside"),
    (dict(no_random_shape=True, data_shape=65), "data_shape 65 is not a multiple of 32"),
    (dict(kv_store="dist_sync"), "kv_store dist_sync joins workers.*gluon-bof launch"),
    (dict(recipe="nothing"), "no recipe 'nothing'")))
def test_errors_speak_of_arguments_and_make_no_run(arguments, told, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    with pytest.raises(gluon_bof.UserError, match=told) as refusal:
        gluon_bof.train(**{"dataset": "voc", **arguments})
    assert "--" not in str(refusal.value)
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("value", (None, b"shapes", 3, ["shapes"]))
def test_what_is_neither_path_nor_name_is_no_weights_and_no_set(value):
    for use in (gluon_bof.load, gluon_bof.evaluate):
        with pytest.raises(gluon_bof.UserError, match=re.escape(f"weights cannot be {value!r}; give a run's folder")):
            use(value)
    with pytest.raises(gluon_bof.UserError, match=re.escape(f"dataset cannot be {value!r}; give one of shapes, vocmini, voc")):
        gluon_bof.open_dataset(value)


def test_a_root_and_a_split_of_another_kind_are_told_by_name(place):
    with pytest.raises(gluon_bof.UserError, match="^root cannot be 3; give a folder's path"):
        gluon_bof.open_dataset("voc", root=3)
    with pytest.raises(gluon_bof.UserError, match=r"^split cannot be \['trainval', 'test'\]; give a text, .* comma-separated"):
        gluon_bof.open_dataset(place / "set", split=["trainval", "test"])


def test_every_public_name_is_there_and_documented():
    for room in (gluon_bof, *(getattr(gluon_bof, name) for name in ROOMS if name != "boxes")):
        assert room.__all__ == sorted(room.__all__) and set(room.__all__) <= set(dir(room)), room.__name__
        for name in room.__all__:
            found = getattr(room, name)
            assert not (inspect.isfunction(found) or inspect.isclass(found)) or found.__doc__, f"{room.__name__}.{name}"
        with pytest.raises(AttributeError, match="no_such_name"):
            room.no_such_name  # noqa: B018


SECTIONS = dict(re.findall(r"^##+ (gluon_bof[\w.]*)\n(.*?)(?=^##|\Z)", (ROOT / "docs" / "api.md").read_text(encoding="utf-8"),
                           re.MULTILINE | re.DOTALL))
OF_EVERY_FAMILY = {"backbones", "build", "eval_transform", "export_form", "inference_batch", "matches"}  # told once, in front


@pytest.mark.parametrize("place", SECTIONS)
def test_the_page_has_every_public_name_and_the_arguments_that_it_takes(place):
    module = importlib.import_module(place)
    told = re.findall(r"`(\w+)(?:\(([^`]*)\))?`", " ".join(SECTIONS[place].split()))
    missing = set(getattr(module, "__all__", ())) - {name for name, _ in told}
    assert missing <= (OF_EVERY_FAMILY if place.startswith("gluon_bof.models.") else set())
    others = {f"{name}({words})": str(inspect.signature(getattr(module, name))) for name, words in told
              if words and callable(getattr(module, name, None)) and not takes(getattr(module, name), words)}
    assert not others


def takes(function, words):
    """Whether a function has these arguments, no others unless they end in …, and the defaults that are written as values."""
    all_but_more = re.sub(r"(?:^|, )…$", "", words)
    names = ast.parse(f"lambda {all_but_more}: 0".replace("…", "..."), mode="eval").body.args
    defaults = [None] * (len(names.args) - len(names.defaults)) + names.defaults
    real = [found for found in inspect.signature(function).parameters.values()
            if found.kind is not found.VAR_KEYWORD
            and (found.name, found.default) not in (("prefix", None), ("params", None))]  # of every Block
    return (len(names.args) == len(real) or len(names.args) < len(real) and all_but_more != words) and all(
        name.arg == found.name and (default is None) == (found.default is found.empty)
        and (not isinstance(default, (ast.Constant, ast.Tuple)) or ast.literal_eval(default) in (found.default, ...))
        for name, default, found in zip(names.args, defaults, real))


def test_the_package_starts_without_mxnet_and_its_names_come_when_they_are_used():
    program = "import sys, gluon_bof, gluon_bof.options, gluon_bof.freebies\nassert gluon_bof.__version__\n" \
              "print('mxnet' in sys.modules)\ngluon_bof.load\nprint('mxnet' in sys.modules)"
    said = subprocess.run([sys.executable, "-W", "ignore", "-c", program], capture_output=True, text=True, check=True)
    assert said.stdout.split() == ["False", "True"]
