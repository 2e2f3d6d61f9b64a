"""What every detector family keeps, whichever it is: tests of a `case`, a family at a tiny size.

tests/test_contracts.py runs them for the families of the package, tests/test_third_family.py for a family that is made up."""
from __future__ import annotations

import contextlib
import csv
import dataclasses
import importlib
import importlib.util
import io
import json
import os
import re
import sys
from pathlib import Path
from typing import Any, Callable, NamedTuple

import numpy as np
import pytest

from gluon_bof.backend import autograd, gluon, mx
from gluon_bof.errors import UserError
from gluon_bof.inference.detector import Detector
from gluon_bof.inference.model import load
from gluon_bof.models.build import ExportForm, build_network, models_of, network_to_fill
from gluon_bof.models.heads import rows_of
from gluon_bof.options import families
from gluon_bof.options.flags import as_dict, flags_of, from_dict, parse
from gluon_bof.options.recipes import RECIPES
from gluon_bof.options.training import FREEZE
from gluon_bof.runs.config import read_config, read_options
from gluon_bof.runs.folder import RunFolder
from gluon_bof.training.freezing import freeze
from gluon_bof.weights.formats import params as params_format
from gluon_bof.weights.load import load_backbone, load_weights, save_weights, structured_parameters, transfer, weights_of
from gluon_bof.weights.resolve import resolve
from tests.command_lines import options_of, refused
from tests.marks import slow_but
from tests.pages import without_pages
from tests.scripts import started, wait_for
from tests.tiny_networks import settled
from tests.tiny_sets import CLASSES, write_voc_set

ROOT = Path(__file__).resolve().parents[1]
ENVIRONMENT = dict(os.environ, PYTHONPATH=os.pathsep.join([str(ROOT), os.environ.get("PYTHONPATH", "")]))
OTHERS = ("red", "violet", "blue")  # two of CLASSES in another order, and a new one
SIZES = ((96, 120), (50, 200), (130, 64))  # height, width of images
STATISTICS = re.compile(r"(running|moving)_(mean|var)$")


class Case(NamedTuple):
    """A family as small as it gets. words: command line of a training without its set; theirs(classes): a network of GluonCV's,
    built by its own code, that has the same weights; loss_names: of its losses; idle: regular expression of parameters that learn
    and that a step may leave as they are, because the images ask nothing of them."""

    family: families.Family
    words: tuple
    theirs: Callable[[tuple], Any]
    loss_names: tuple
    idle: str = "$^"

    @property
    def script(self) -> Any:
        """The family's script, imported."""
        return importlib.import_module(self.family.script)

    def options(self, *more: str) -> Any:
        """Resolved options of the case's command line and further words."""
        return options_of(self.family.name, *self.words, *more)

    def network(self, classes: tuple = CLASSES, seed: int = 7, **changes: Any) -> Any:
        """An initialised network, as the script makes it."""
        options = dataclasses.replace(self.options(), seed=seed, **changes)
        return self.script.initialised_network(options, classes, [mx.cpu()])


class Folder(NamedTuple):
    """A folder with a set and a run that nobody interrupted, and what that said last."""

    path: Path
    outcome: dict

    @property
    def whole(self) -> RunFolder:
        """The run."""
        return RunFolder(str(self.path / "runs" / "whole"))

    def words(self, case: Case, name: str, *more: str) -> list[str]:
        """The command line of a training here."""
        return [*case.words, "--dataset-root", str(self.path / "set"), "--runs", str(self.path / "runs"), "--name", name, *more]


def trained(case, words):
    """What the family's script says last, in this process."""
    with contextlib.redirect_stdout(io.StringIO()) as said, contextlib.redirect_stderr(io.StringIO()):
        returned = case.script.main(words)
    assert json.loads(said.getvalue().splitlines()[-1]) == json.loads(json.dumps(returned))
    return returned


def initialised(network):
    """A network that none of our builders made, every shape known."""
    return settled(network, 96, 128)


def lively(network, seed=5):
    """The network with random weights that neither drown nor blow up what they see."""
    rng = np.random.default_rng(seed)
    fixed = {id(parameter) for parameter in getattr(network, "fixed_parameters", list)()}
    for name, parameter in sorted(structured_parameters(network).items()):
        shape = parameter.shape
        if isinstance(parameter, gluon.Constant) or id(parameter) in fixed:
            continue
        if name.endswith("weight"):
            parameter.set_data(mx.nd.array(rng.normal(0, np.sqrt(1 / np.prod(shape[1:])), shape)))
        elif name.endswith(("gamma", "var")):
            parameter.set_data(mx.nd.array(rng.uniform(0.8, 1.2, shape)))
        else:
            parameter.set_data(mx.nd.array(rng.normal(0, 0.1, shape)))
    mx.nd.waitall()
    return network


def normalisations(network):
    """{structured name of its running mean: layer} of every BatchNorm that is a layer; a pyramid's are nodes of its symbol."""
    names = {id(parameter): name for name, parameter in structured_parameters(network).items()}
    layers = []
    network.apply(lambda layer: layers.append(layer) if isinstance(layer, gluon.nn.BatchNorm) else None)
    return {names[id(layer.running_mean)]: layer for layer in layers}


def uses_running_statistics(layer):
    """Whether a BatchNorm does in training what it does in inference."""
    x = mx.nd.random.normal(3, 2, (2, layer.running_mean.shape[0], 4, 4))
    with autograd.train_mode():
        training = layer(x).asnumpy()
    return np.allclose(training, layer(x).asnumpy(), atol=1e-3)


def differing(before, after):
    """Names whose bits are others."""
    assert before.keys() == after.keys()
    return {name for name in before if before[name].tobytes() != after[name].tobytes()}


def parts_of(answer):
    """The arrays of a network's answer, which is one or several."""
    return answer if isinstance(answer, (list, tuple)) else [answer]


def images(seed=0):
    """Images of several sizes: fields of colour, so that something is in them."""
    rng = np.random.default_rng(seed)
    return [rng.integers(0, 256, (height // 10 + 1, width // 10 + 1, 3), np.uint8).repeat(10, 0).repeat(10, 1)[:height, :width]
            for height, width in SIZES]


@pytest.fixture(scope="module", name="folder")
def folder_of_a_run(case, tmp_path_factory):
    """Folder of two epochs of two steps."""
    path = tmp_path_factory.mktemp(case.family.name)
    write_voc_set(path / "set", images=4, validation=2)
    unfinished = Folder(path, {})
    return unfinished._replace(outcome=trained(case, unfinished.words(case, "whole")))


@pytest.fixture(scope="module", name="source")
def lively_network(case):
    """A network whose weights are nobody's start; tests leave it as it is."""
    return lively(case.network())


class Start(NamedTuple):
    """What a training starts from: {name: array}, names of what learns, {--freeze: names of what then stays}."""

    weights: dict
    learning: set
    staying: dict


@pytest.fixture(scope="module", name="start")
def start_of_the_run(case):
    """The start of the case's command line, by the seed that it gives."""
    network = case.network(seed=case.options().seed)
    weights = weights_of(network)
    learning = {name for name, parameter in structured_parameters(network).items() if parameter.grad_req != "null"}
    return Start(weights, learning, {how: set(freeze(network, how)) for how in FREEZE})


def killed_after_a_checkpoint(words, folder, run):
    """Run a training as a process and end it by SIGKILL after its first checkpoint."""
    with started(words, cwd=folder, env=ENVIRONMENT) as process:
        wait_for(process, run.checkpoint_paths, 120)
        process.kill()
        process.communicate()
    assert len(run.rows("metrics")) < 2, "it was not killed in time"


class Contracts:
    """The module of a subclass imports the fixtures of this one and has one named `case`, of module scope."""

    # options

    def test_its_options_come_back_from_json_and_from_a_command_line(self, case):
        base = case.family.options()
        for options in (base, case.options()):
            assert from_dict(type(options), json.loads(json.dumps(as_dict(options))), "memory") == options
        wanted = case.options()
        words = flags_of(wanted, base.resolved())
        # a parser stands on the defaults; what they leave to be resolved is given or resolved the same way
        again = parse(case.family.options, words, "", RECIPES.of_family(case.family.name)).options.resolved()
        assert again == wanted

    def test_gluoncvs_names_of_its_networks_come_back(self, case):
        field = case.family.options.__dataclass_fields__["network"]
        for network in field.metadata["choices"]:
            for dataset in ("voc", "coco"):
                options = case.family.options(network=network, dataset=dataset).resolved()
                family, told = families.told_by_file_name(f"folder/{options.gluoncv_name()}_best.params")
                assert family == case.family
                again = from_dict(case.family.options, told, "memory").resolved()
                assert (again.network, again.dataset, again.gluoncv_name()) == (network, dataset, options.gluoncv_name())
        assert case.family.options.from_file_name("something_else_voc.params") == {}

    def test_a_dry_run_says_all_options_and_touches_nothing(self, case, tmp_path, capsys, monkeypatch):
        monkeypatch.chdir(tmp_path)
        assert case.script.main([*case.words, "--dry-run"]) is None
        assert from_dict(case.family.options, json.loads(capsys.readouterr().out), "stdout") == case.options()
        assert not list(tmp_path.iterdir())

    @pytest.mark.parametrize("words, told", ((["--horovod"], "Horovod is not installed"),
                                             (["--kv-store", "dist_sync"], "--kv-store dist_sync joins workers"),
                                             (["--kv-store", "dist_async"], "--kv-store dist_async is none that trains rightly")))
    def test_workers_that_nobody_started_are_refused_in_one_line(self, case, words, told, tmp_path, capsys, monkeypatch):
        if importlib.util.find_spec("horovod") and "--horovod" in words:
            pytest.skip("Horovod is installed, and a process by itself trains with it")
        monkeypatch.chdir(tmp_path)
        said = refused(case.script.main, capsys, *case.words, *words, at_once=False)  # untrained and frozen, in so few epochs
        assert said.startswith(f"error: {told}") and ("dist_async" in told or "gluon-bof launch" in said)
        assert not list(tmp_path.iterdir())

    # network

    def test_it_builds_and_says_which_of_its_parameters_are_what(self, case):
        network = build_network(case.options(), CLASSES, [mx.cpu()])
        parameters = structured_parameters(network)
        assert list(network.classes) == list(CLASSES)
        assert all(np.isfinite(array).all() for array in weights_of(network).values())
        known = {id(parameter) for parameter in parameters.values()}
        stem, seeing, backbone, learning = (
            {id(parameter) for parameter in part} for part in
            (network.stem_parameters(), network.image_parameters(), network.backbone_parameters().values(),
             network.trained_parameters().values()))
        assert stem and stem < seeing <= backbone < known and learning <= known
        heads = {name: rows for name in parameters for rows in [rows_of(network.HEAD_ROWS, name)] if rows}
        assert heads and not {id(parameters[name]) for name in heads} & backbone
        for name, rows in heads.items():
            assert parameters[name].shape[0] == rows.groups * (rows.common + rows.each * len(CLASSES)), name

    def test_its_package_offers_what_is_asked(self, case):
        options, models = case.options(), models_of(case.options())
        assert isinstance(models.export_form(options), ExportForm) and models.inference_batch(options) >= 1
        transform = models.eval_transform(options)
        for height, width in SIZES:
            view = transform((height, width))
            assert view.window == (0, 0, width, height)
            assert any(0 < view.size[0] <= w and 0 < view.size[1] <= h for h, w in transform.largest_shapes())
        assert list(models.matches({"something.weight": (2, 2)})) == []

    def test_every_seed_has_its_own_start_and_always_the_same(self, case, start):
        seed = case.options().seed
        assert not differing(start.weights, weights_of(case.network(seed=seed)))
        assert differing(start.weights, weights_of(case.network(seed=seed + 1)))

    # training

    def test_its_losses_are_finite_and_named_and_the_outcome_and_the_files_are_the_runs(self, case, folder):
        with open(folder.whole.table("metrics"), newline="") as file:
            rows = list(csv.DictReader(file))
        columns = [name for name in rows[0] if name.endswith("_loss")]
        assert columns == [f"{name}_loss" for name in (*case.loss_names, "total")] and len(rows) == 2
        assert all(np.isfinite(float(row[name])) for row in rows for name in columns)
        assert all(float(row["total_loss"]) > 0 for row in rows)
        assert folder.outcome["iterations"] == 4 and 0 <= folder.outcome["map"] <= 1
        assert set(folder.outcome["per_class"]) == set(CLASSES)
        for name in ("config.json", "intervals.csv", "log.txt", "best.params", "last.params", "classes.txt",
                     "images/training_images.png", "images/validation_images.png"):
            assert Path(folder.whole.folder, name).stat().st_size > 0, name

    def test_the_run_says_its_family_and_its_options(self, case, folder):
        config = read_config(folder.whole.folder)
        assert config["family"] == case.family.name
        wanted = case.options("--dataset-root", str(folder.path / "set"), "--runs", str(folder.path / "runs"), "--name", "whole")
        assert read_options(folder.whole.folder) == wanted
        found = resolve(folder.whole.folder)
        assert type(found.options) is case.family.options and found.classes == CLASSES
        assert found.path == folder.whole.best_weights

    @pytest.mark.parametrize("how", slow_but(FREEZE, "none", "all-but-head"))
    def test_one_step_changes_exactly_what_learns(self, case, folder, start, how, monkeypatch):
        without_pages(monkeypatch)
        words = ["--epochs", "1", "--num-samples", str(case.options().batch_size), "--freeze", how]
        outcome = trained(case, folder.words(case, f"step-{how}", *words))
        assert outcome["iterations"] == 1
        after = params_format.loads(Path(folder.path / "runs" / f"step-{how}" / "last.params").read_bytes())
        learning = start.learning - start.staying[how]
        # normalisation that learns moves its statistics, too
        moving = {name for name in after if STATISTICS.search(name) and STATISTICS.sub("beta", name) in learning}
        changed = differing(start.weights, after)
        assert learning and changed <= learning | moving
        assert [name for name in (learning | moving) - changed if not re.fullmatch(case.idle, name)] == []
        assert not start.staying[how] & moving

    def test_more_is_frozen_from_way_to_way_and_the_head_always_learns(self, case):
        network, frozen = case.network(), []
        learns = {name for name, parameter in structured_parameters(network).items() if parameter.grad_req != "null"}
        for how in FREEZE:
            frozen.append(set(freeze(network, how)))
            for name, parameter in structured_parameters(network).items():
                if rows_of(network.HEAD_ROWS, name):
                    assert parameter.grad_req == "write", name
                elif name in frozen[-1]:
                    assert parameter.grad_req == "null", name
            for name, layer in normalisations(network).items():
                stays = name in frozen[-1] or STATISTICS.sub("beta", name) not in learns
                assert uses_running_statistics(layer) == stays, f"{name}, --freeze {how}"
        assert not frozen[0] and frozen[1] and all(fewer <= more for fewer, more in zip(frozen, frozen[1:]))

    def test_killed_it_goes_on_to_the_bit(self, case, folder, monkeypatch):
        words = [sys.executable, "-W", "ignore", "-m", case.family.script, *folder.words(case, "killed")]
        run = RunFolder(str(folder.path / "runs" / "killed"))
        killed_after_a_checkpoint(words, folder.path, run)
        without_pages(monkeypatch)
        outcome = trained(case, ["--resume", run.folder])
        with open(run.log, encoding="utf-8") as log:
            assert "going on from" in log.read()
        assert Path(run.last_weights).read_bytes() == Path(folder.whole.last_weights).read_bytes()
        assert outcome["map"] == folder.outcome["map"]
        assert [row["iteration"] for row in run.rows("metrics")] == [row["iteration"] for row in folder.whole.rows("metrics")]

    @pytest.mark.slow  # tests/data/test_cache.py compares batches; this, that every script hands the flag on
    @pytest.mark.parametrize("where", ("ram", "disk"))
    def test_kept_images_train_it_to_the_same_bits(self, case, folder, where, monkeypatch):
        without_pages(monkeypatch)
        trained(case, folder.words(case, f"kept-{where}", "--cache", where))
        run = RunFolder(str(folder.path / "runs" / f"kept-{where}"))
        with open(run.log, encoding="utf-8") as log:
            assert f"--cache {where}:" in log.read()
        assert Path(run.last_weights).read_bytes() == Path(folder.whole.last_weights).read_bytes()

    # inference

    def test_what_it_predicts_has_the_promised_shapes_types_and_ranges(self, case, folder):
        model = load(folder.whole.folder, last=True)
        lively(model.detector.network)
        predictions = model.predict(images())
        assert model.classes == CLASSES and len(predictions) == len(SIZES)
        assert sum(len(prediction.scores) for prediction in predictions) > 5
        for prediction, (height, width) in zip(predictions, SIZES):
            boxes, classes, names, scores, *masks = prediction
            count = len(scores)
            assert len(masks) == case.family.masks
            for of_objects in masks:
                assert of_objects.shape == (count, height, width) and of_objects.dtype == bool
            assert boxes.shape == (count, 4) and classes.shape == scores.shape == (count,) and len(names) == count
            assert boxes.dtype == scores.dtype == np.float32 and classes.dtype == np.int64
            assert (boxes >= 0).all() and (boxes <= [width, height, width, height]).all()
            assert (boxes[:, :2] <= boxes[:, 2:]).all()
            assert (scores >= 0).all() and (scores <= 1).all() and (np.diff(scores) <= 0).all()
            assert names == [CLASSES[number] for number in classes]
        sure = model.predict(images()[0], score=float(predictions[0].scores[0]))
        assert isinstance(sure, type(predictions[0])) and 1 <= len(sure.scores) <= len(predictions[0].scores)

    def test_what_finds_masks_refuses_in_one_line_what_has_none(self, case, source, folder, tmp_path):
        if not case.family.masks:
            pytest.skip("it finds boxes alone")
        detector = Detector(source, case.options(), mx.cpu())
        from gluon_bof.evaluation.validation import Validation
        from gluon_bof.inference.export import export_mxnet, export_onnx
        from gluon_bof.inference.tiles import Tiling
        model = load(folder.whole.folder)
        path = str(tmp_path / "a")
        for call in (lambda: export_onnx(detector, path, nms=False), lambda: export_mxnet(detector, path, nms=False),
                     lambda: model.predict(images(), tile=64), lambda: model.predict(images()[0], tile=64),
                     lambda: Validation(case.options(), None, tiling=Tiling(64))):
            with pytest.raises(UserError, match=case.family.title):
                call()
        assert not list(tmp_path.iterdir())

    def test_it_exports_to_onnx_that_finds_the_same_by_itself_and_as_an_engine(self, case, source, tmp_path, monkeypatch):
        onnxruntime = pytest.importorskip("onnxruntime")
        onnx = pytest.importorskip("onnx")
        monkeypatch.setenv("GLUON_BOF_CACHE", str(tmp_path / "cache"))
        detector = Detector(source, case.options(), mx.cpu())
        path = str(tmp_path / "a.onnx")
        from gluon_bof.inference.agreement import BOX_TOLERANCE, SCORE_TOLERANCE, match_rows
        from gluon_bof.inference.export import export_onnx, input_size
        from gluon_bof.inference.onnx_engine import _keep, engine_of
        check = export_onnx(detector, path)
        assert check.detections > 5 and check.unmatched <= 2
        height, width = input_size(detector)
        image = images(3)[0][:height, :width]
        image = np.pad(image, ((0, height - image.shape[0]), (0, width - image.shape[1]), (0, 0)))[None]
        session = onnxruntime.InferenceSession(path, providers=["CPUExecutionProvider"])
        wanted = [array.asnumpy() for array in detector.graph(mx.nd.array(image, dtype=np.uint8))]
        engine = engine_of("onnx", detector, "weights")
        kept = engine.path((height, width))
        _keep(kept, Path(path).read_bytes())  # the same file as the engine would make
        for found in (session.run(["ids", "scores", "boxes", *["masks"] * case.family.masks], {"image": image}), engine(image)):
            rows, score, box, unmatched = match_rows(*(
                np.concatenate([array[0].reshape(array.shape[1], -1) for array in arrays], axis=1) for arrays in (wanted, found)),
                max(height, width))
            assert rows > 1 and unmatched <= 1 and score < SCORE_TOLERANCE and box < BOX_TOLERANCE
        engine.sessions.clear()
        lacking = onnx.load(path)
        name = lacking.graph.output.pop().name
        _keep(kept, lacking.SerializeToString())
        with pytest.raises(UserError, match=f"^{kept}: onnxruntime cannot run this export .*{name}.*; give --engine mxnet$"):
            engine(image)
        assert not os.path.exists(kept) and engine_of("auto", detector, "weights").possible

    def test_it_exports_to_mxnets_files_that_give_the_same_bits(self, case, source, tmp_path):
        detector = Detector(source, case.options(), mx.cpu())
        prefix = str(tmp_path / "a")
        from gluon_bof.inference.export import export_mxnet, input_size
        check = export_mxnet(detector, prefix)
        assert check.detections > 5 and check.score_difference == check.box_difference == check.unmatched == 0
        assert json.loads((tmp_path / "a.json").read_text())["detector"] == case.family.name
        block = gluon.SymbolBlock.imports(f"{prefix}-symbol.json", ["image"], f"{prefix}-0000.params")
        image = mx.nd.random.randint(0, 256, (1, *input_size(detector), 3)).astype("uint8")
        for wanted, found in zip(detector.graph(image), block(image)):
            np.testing.assert_array_equal(found.asnumpy(), wanted.asnumpy())

    # weights

    def test_weights_are_saved_as_gluoncv_loads_them(self, case, source, tmp_path):
        theirs = case.theirs(CLASSES)
        path = str(tmp_path / "a.params")
        save_weights(source, path)
        theirs.load_parameters(path)  # strict: a name that is missing or foreign is an error
        assert not differing(weights_of(source), weights_of(theirs))
        theirs.save_parameters(path)
        again = build_network(case.options(), CLASSES, [mx.cpu()])
        load_weights(again, path)
        assert not differing(weights_of(source), weights_of(again))
        filled = network_to_fill(case.options(), CLASSES, [mx.cpu()])
        load_weights(filled, path)
        assert not differing(weights_of(source), weights_of(filled))
        image = mx.nd.array(images()[0][None, :64, :64].transpose(0, 3, 1, 2))
        assert [part.asnumpy().tobytes() for part in parts_of(filled(image))] \
            == [part.asnumpy().tobytes() for part in parts_of(again(image))]
        assert [parameter.grad_req for parameter in filled.collect_params().values()] \
            == [parameter.grad_req for parameter in again.collect_params().values()]

    def test_weights_that_do_not_fit_are_refused_by_name(self, source, tmp_path):
        """All at once, for which network they may fit takes a second; each alone: tests/weights/test_load.py."""
        before = weights_of(source)
        missing, reshaped = list(before)[:2]
        arrays = {key: array + 1 for key, array in before.items() if key != missing}
        arrays.update({"stranger.weight": np.zeros(3, np.float32),
                       reshaped: np.zeros(before[reshaped].shape + (1,), np.float32)})
        path = tmp_path / "damaged.params"
        path.write_bytes(params_format.dumps(arrays))
        told = f"missing: {re.escape(missing)}; foreign: stranger.weight; of another shape: {re.escape(reshaped)} "
        with pytest.raises(UserError, match=told) as refusal:
            load_weights(source, str(path))
        assert str(path) in str(refusal.value)
        assert not differing(before, weights_of(source))

    def test_weights_alone_can_be_started_from(self, case, folder, source, tmp_path, monkeypatch):
        without_pages(monkeypatch)
        path = str(tmp_path / "start.params")
        save_weights(source, path)
        # steps so small that they move no bit
        trained(case, folder.words(case, "warm", "--resume", path, "--start-epoch", "1", "--lr", "1e-30", "--wd", "0"))
        found = params_format.loads(Path(folder.path / "runs" / "warm" / "last.params").read_bytes())
        assert all(STATISTICS.search(name) for name in differing(weights_of(source), found))
        assert [row["epoch"] for row in RunFolder(str(folder.path / "runs" / "warm")).rows("metrics")] == ["1"]

    def test_a_classifiers_file_fills_the_backbone_and_nothing_else(self, case, source, tmp_path):
        network = case.network(seed=8)
        arrays = {name: parameter.data().asnumpy() for name, parameter in source.backbone_parameters().items()}
        path = tmp_path / "backbone.params"
        path.write_bytes(params_format.dumps({**arrays, "output.weight": np.zeros((3, 3), np.float32)}))
        before = weights_of(network)
        load_backbone(network, str(path))
        for name, parameter in network.backbone_parameters().items():
            np.testing.assert_array_equal(parameter.data().asnumpy(), arrays[name], err_msg=name)
        backbone = {id(parameter) for parameter in network.backbone_parameters().values()}
        of_backbone = {name for name, parameter in structured_parameters(network).items() if id(parameter) in backbone}
        assert differing(before, weights_of(network)) <= of_backbone

    def test_other_classes_take_over_what_they_share(self, case, folder):
        network = case.network(OTHERS, seed=8)
        before = weights_of(network)
        moved = transfer(network, folder.whole.last_weights, CLASSES)
        assert (moved.shared, moved.new, moved.dropped) == (["red", "blue"], ["violet"], ["green"])
        after, source = weights_of(network), params_format.loads(Path(folder.whole.last_weights).read_bytes())
        for name, parameter in structured_parameters(network).items():
            rows = rows_of(network.HEAD_ROWS, name)
            if rows is None and not isinstance(parameter, gluon.Constant):
                np.testing.assert_array_equal(after[name], source[name], err_msg=name)
            elif rows is not None:
                new, old, initial = (array[name].reshape(rows.groups, -1, *array[name].shape[1:])
                                     for array in (after, source, before))
                np.testing.assert_array_equal(new[:, :rows.common], old[:, :rows.common], err_msg=name)
                of = [slice(rows.common + number * rows.each, rows.common + (number + 1) * rows.each) for number in range(3)]
                for place, label in enumerate(OTHERS):
                    wanted = old[:, of[CLASSES.index(label)]] if label in CLASSES else initial[:, of[place]]
                    np.testing.assert_array_equal(new[:, of[place]], wanted, err_msg=f"{name}: {label}")
