"""Strict and partial loading, and heads for other classes against GluonCV's reset_class."""
import hashlib
import re
import shutil

import numpy as np
import pytest

from gluon_bof.backend import autograd, gluon, mx
from gluon_bof.errors import UserError
from gluon_bof.files import digest_of, sha256_of
from gluon_bof.models.faster_rcnn.network import build_faster_rcnn
from gluon_bof.models.ssd.network import build_ssd
from gluon_bof.models.yolo3.network import ANCHORS, build_yolo3
from gluon_bof.weights.formats import params as params_format
from gluon_bof.weights.load import (
    load_backbone,
    load_partially,
    load_weights,
    save_weights,
    structured_parameters,
    transfer,
    weights_of,
)
from tests.marks import slow_but
from tests.models.faster_rcnn import oracle
from tests.tiny_networks import settled

from gluoncv.model_zoo import get_model

OLD, NEW = ("cat", "dog", "cow", "car"), ("bus", "cow", "cat")
WIDER = tuple(tuple(side + 1 for side in row) for row in ANCHORS)


def lively(network, seed, side=64):
    """The network, every parameter random, heads not too small to matter."""
    mx.random.seed(seed)
    settled(network, side, start=mx.init.Normal(0.1))
    for name, parameter in structured_parameters(network).items():
        if name.startswith(("class_predictor", "box_predictor", "yolo_outputs")) and not name.endswith(("anchors", "offsets")):
            parameter.set_data(mx.nd.random.normal(0, 1, parameter.shape))
    mx.nd.waitall()
    return network


def yolo3(classes, seed=1, network="mobilenet0.25-slim", **how):
    return lively(build_yolo3(network, classes, **how), seed)


def faster_rcnn(classes, kind="pyramid", seed=1, more=()):
    return lively(build_faster_rcnn(oracle.small_options(kind, *more), classes, [mx.cpu()]), seed, 96)


def ssd(classes, side=128, seed=1):
    return lively(build_ssd("darknet-mini", side, "shapes", classes), seed)


@pytest.fixture(scope="module")
def old():
    """A YOLOv3 of the classes OLD, which tests leave as it is."""
    return yolo3(OLD)


@pytest.fixture(scope="module")
def old_pyramid():
    """The same of Faster R-CNN."""
    return faster_rcnn(OLD)


@pytest.fixture
def saved(tmp_path):
    """Save a network and give the path."""
    def save(network):
        path = str(tmp_path / "a.params")
        save_weights(network, path)
        return path
    return save


def same(ours, theirs, names):
    for name in names:
        np.testing.assert_array_equal(ours[name], theirs[name], err_msg=name)


# strict and partial

def test_strict_loading_names_what_does_not_fit(old, saved, tmp_path):
    network = old
    path = saved(network)
    arrays = weights_of(network)
    arrays["other.weight"] = arrays.pop("stages.0.0.weight")
    arrays["stages.0.1.gamma"] = np.ones(3, np.float32)
    changed = tmp_path / "changed.params"
    changed.write_bytes(params_format.dumps(arrays))
    with pytest.raises(UserError, match=r"missing: stages.0.0.weight; foreign: other.weight; of another shape: stages.0.1.gamma "
                                        r"\(3,\) instead of \(8,\); .* or its run's folder, which tells them$"):
        load_weights(network, str(changed))
    same(weights_of(network), params_format.loads(open(path, "rb").read()), weights_of(network))  # nothing was touched
    assert load_weights(yolo3(OLD, 2), path) == sha256_of(path)


@pytest.mark.parametrize("damage, told", [
    ({"0.bias": None}, "missing: 0.bias;"),
    ({"other": np.ones(2, np.float32)}, "foreign: other;"),
    ({"0.bias": np.ones((2, 1), np.float32)}, r"of another shape: 0.bias \(2, 1\) instead of \(2,\);"),
])
def test_one_thing_that_does_not_fit_is_enough(damage, told, tmp_path):
    network = gluon.nn.HybridSequential()
    network.add(gluon.nn.Dense(2, in_units=3))
    network.initialize()
    before = weights_of(network)
    arrays = {name: array for name, array in {**before, **damage}.items() if array is not None}
    path = tmp_path / "a.params"
    path.write_bytes(params_format.dumps(arrays))
    with pytest.raises(UserError, match=f"the weights do not fit this network; {told}"):
        load_weights(network, str(path))
    same(weights_of(network), before, before)


@pytest.mark.parametrize("values, told", [
    (np.array((0, np.nan), np.float32), "0.bias holds values that are not finite"),
    (np.array((0, np.inf), np.float16), "0.bias holds values that are not finite"),
    (np.array((0, 1), np.int32), "0.bias holds int32 in the place of floats")])
def test_a_file_of_values_that_no_network_has_learned_is_refused(values, told, tmp_path):
    """It found nothing, or was read as other numbers, without a word: a byte of the type, or of a value, is quickly another."""
    network = gluon.nn.HybridSequential()
    network.add(gluon.nn.Dense(2, in_units=3))
    network.initialize()
    path = tmp_path / "a.params"
    path.write_bytes(params_format.dumps({**weights_of(network), "0.bias": values}))
    for load in (load_weights, load_partially):
        with pytest.raises(UserError, match=f"a.params: .*{told}; save it again"):
            load(network, str(path))


def test_weights_that_are_not_those_of_the_checksum_in_their_name_are_refused(old, saved, tmp_path, caplog):
    """One byte was another, and other boxes were found without a word."""
    path = saved(old)

    def named(digits):
        return shutil.copy(path, tmp_path / f"yolo3-{digits}.params")

    other, network = named("c24ae72f"), yolo3(OLD, seed=2)
    told = f"{other}: its SHA-1 is not c24ae72f, which its name has; copy it again, or rename it if it was changed on purpose"
    for load in (load_weights, load_partially, transfer, load_backbone):
        with pytest.raises(UserError, match=re.escape(told)):
            load(network, other)
    for digits in (digest_of(path, hashlib.sha1()).hexdigest()[:8], "20240131"):  # a date
        load_weights(network, named(digits))
    assert not caplog.messages
    load_weights(network, named("00000012"))
    assert caplog.messages == [f"{tmp_path}/yolo3-00000012.params: its SHA-1 is not 00000012, which its name has; copy it again, "
                               "unless that means something else"]


def test_partial_loading_takes_what_fits_and_says_what_not(old, saved):
    path = saved(old)
    network = yolo3(NEW, 2, anchors=WIDER)
    before, source = weights_of(network), weights_of(old)
    loaded = load_partially(network, path)
    after = weights_of(network)
    constants = [name for name in after if name.endswith(("anchors", "offsets"))]
    heads = [name for name in after if ".prediction." in name]
    same(after, before, heads + constants)
    same(after, source, after.keys() - heads - set(constants))
    assert (loaded.initial, loaded.left_out) == (sorted(heads), sorted(heads))
    assert set(loaded.filled) == after.keys() - heads - set(constants)
    assert str(loaded).startswith(f"{len(loaded.filled)} arrays loaded; initial values stay in: ")


def test_weights_of_another_backbone_are_refused(old, old_pyramid, saved):
    path = saved(old_pyramid)
    before = weights_of(old)
    with pytest.raises(UserError, match="it holds another backbone"):
        load_partially(old, path)
    same(weights_of(old), before, before)


def test_a_pyramids_backbone_counts_by_its_own_names(old_pyramid, saved):
    path = saved(old_pyramid)
    loaded = load_partially(faster_rcnn(NEW, seed=2), path)
    assert loaded.initial == sorted(f"{layer}.{what}" for layer in ("box_predictor", "class_predictor")
                                    for what in ("weight", "bias"))


# heads for other classes

def test_yolo3s_head_is_that_of_reset_class(saved):
    official = get_model("yolo3_mobilenet0.25_custom", classes=list(OLD), pretrained_base=False)
    path = saved(lively(official, 1))
    official.reset_class(list(NEW), reuse_weights=["cow", "cat"])
    ours = yolo3(NEW, 2, "mobilenet0.25")
    before = weights_of(ours)
    result = transfer(ours, path, OLD)
    assert (result.shared, result.new, result.dropped) == (["cow", "cat"], ["bus"], ["dog", "car"])
    after, expected = weights_of(ours), weights_of(official)
    heads = [name for name in after if ".prediction." in name]
    same(after, expected, after.keys() - heads)
    for name in heads:
        new, theirs, initial = (arrays[name].reshape(3, 8, -1) for arrays in (after, expected, before))
        kept = [0, 1, 2, 3, 4, 6, 7]
        np.testing.assert_array_equal(new[:, kept], theirs[:, kept])
        np.testing.assert_array_equal(new[:, 5], initial[:, 5])
        assert not np.array_equal(new[:, 5], theirs[:, 5])


def test_what_yolo3_predicts_of_a_kept_class_stays(old, saved):
    ours = yolo3(NEW, 2)
    transfer(ours, saved(old), OLD)
    x = mx.nd.random.uniform(-2, 2, (1, 3, 64, 64))
    with autograd.train_mode():
        before, after = old(x).asnumpy(), ours(x).asnumpy()
    np.testing.assert_allclose(after[..., :5], before[..., :5], atol=1e-4)
    for name in ("cow", "cat"):
        np.testing.assert_allclose(after[..., 5 + NEW.index(name)], before[..., 5 + OLD.index(name)], atol=1e-4)


@pytest.mark.parametrize("kind", slow_but(oracle.KINDS, "pyramid"))
def test_faster_rcnns_head_is_that_of_reset_class(saved, kind):
    official = faster_rcnn(OLD, kind)
    path = saved(official)
    official.reset_class(list(NEW), reuse_weights=["cow", "cat"])
    ours = faster_rcnn(NEW, kind, 2)
    before = weights_of(ours)
    result = transfer(ours, path, OLD)
    assert (result.shared, result.new, result.dropped) == (["cow", "cat"], ["bus"], ["dog", "car"])
    after, expected = weights_of(ours), weights_of(official)
    heads = [f"{layer}.{what}" for layer in ("class_predictor", "box_predictor") for what in ("weight", "bias")]
    same(after, expected, after.keys() - heads)
    for name in heads:
        of_bus = slice(1, 2) if name.startswith("class") else slice(0, 4)
        kept = np.ones(len(after[name]), bool)
        kept[of_bus] = False
        np.testing.assert_array_equal(after[name][kept], expected[name][kept])
        np.testing.assert_array_equal(after[name][of_bus], before[name][of_bus])


def test_classes_are_told_apart_by_name_and_not_by_place_or_number(old, saved):
    ours = yolo3(("van", "tram", "bike", "ship"), 2, anchors=WIDER)
    before = weights_of(ours)
    result = transfer(ours, saved(old), OLD)
    assert result.shared == [] and str(result).startswith("no class kept; re-initialised: van, tram")
    name = "yolo_outputs.1.prediction.weight"
    after = weights_of(ours)
    new, theirs, initial = (arrays[name].reshape(3, 9, -1) for arrays in (after, weights_of(old), before))
    np.testing.assert_array_equal(new[:, :5], theirs[:, :5])
    np.testing.assert_array_equal(new[:, 5:], initial[:, 5:])
    same(after, before, ["yolo_outputs.0.anchors"])
    assert not np.array_equal(before["yolo_outputs.0.anchors"], weights_of(old)["yolo_outputs.0.anchors"])


def test_classes_that_nobody_knows_begin_anew_even_if_they_are_as_many(old, saved):
    ours = yolo3(("van", "tram", "bike", "ship"), 2)
    before = weights_of(ours)
    assert str(transfer(ours, saved(old))).startswith("no class kept; re-initialised: van, tram")
    after = weights_of(ours)
    for name in (name for name in after if ".prediction." in name):
        new, theirs, initial = (arrays[name].reshape(3, 9, -1) for arrays in (after, weights_of(old), before))
        np.testing.assert_array_equal(new[:, :5], theirs[:, :5])
        np.testing.assert_array_equal(new[:, 5:], initial[:, 5:])


def test_a_smaller_backbone_does_not_pass_as_a_part_of_a_larger(tmp_path):
    network = yolo3(NEW)
    arrays = {name: array for name, array in weights_of(network).items() if not name.startswith("stages.2.")}
    path = tmp_path / "part.params"
    path.write_bytes(params_format.dumps(arrays))
    with pytest.raises(UserError, match="another backbone; missing: features.*; give weights of a network on the same backbone$"):
        load_partially(network, str(path))
    with pytest.raises(UserError, match="do not fit this backbone.*; give weights of the same backbone$"):
        load_backbone(network, str(path))


@pytest.mark.parametrize("classes, match", [(OLD[:3], "3 classes on this network make it"), ((), "0 classes")])
def test_wrong_class_names_are_refused(old, saved, classes, match):
    path, ours = saved(old), yolo3(NEW, 2)
    with pytest.raises(UserError, match=match):
        transfer(ours, path, classes)


def test_the_name_of_a_file_does_not_stand_in_the_way_of_its_own_classes(old, saved, caplog):
    """Whoever edits GluonCV's script for VOC saves own classes under VOC's name."""
    path = saved(old)
    result = transfer(yolo3(NEW, 2), path, [f"class {number}" for number in range(20)], by_name=True)
    assert (result.shared, result.new) == ([], list(NEW)) and "of 20 classes, and has 4: nobody knows which" in caplog.text
    assert transfer(yolo3(NEW, 2), path, OLD, by_name=True).shared == ["cow", "cat"]


def test_a_transfer_from_another_network_is_refused_and_touches_nothing(old, saved):
    path, ours = saved(old), lively(build_yolo3("darknet-mini", NEW), 2)
    before = weights_of(ours)
    with pytest.raises(UserError, match="do not fit"):
        transfer(ours, path, OLD)
    same(weights_of(ours), before, before)


def test_weights_of_another_network_are_called_what_they_are(saved):
    """The refusal listed layers, and the remedy was to give the network that nobody knew."""
    path = saved(settled(build_yolo3("mobilenet0.25", OLD), 2))
    with pytest.raises(UserError) as caught:
        load_weights(settled(build_yolo3("darknet-mini", OLD), 2), path)
    assert caught.value.remedy.startswith("it fits yolo3_mobilenet0.25 with 4 classes: give what that name says")
    assert caught.value.remedy.endswith("call it yolo3_mobilenet0.25_custom.params")


# anchors

def test_an_ssd_goes_on_with_the_files_anchors_as_gluoncvs_reset_class_has_it(saved):
    """GluonCV's networks for VOC have others than the same ones for other sets; boxes are matched to what the network holds."""
    old = ssd(OLD)
    wider = old.anchor_generators[1].anchors
    wider.set_data(wider.data() * mx.nd.array([1, 1, 1.3, 1.1] * 6))
    path = saved(old)
    for take in (lambda network: transfer(network, path, OLD), lambda network: load_partially(network, path)):
        ours = ssd(NEW, seed=2)
        assert str(take(ours)).endswith("; the file's anchors")
        with autograd.train_mode():
            np.testing.assert_array_equal(ours(mx.nd.zeros((1, 3, 64, 64)))[2].asnumpy(),
                                          old(mx.nd.zeros((1, 3, 64, 64)))[2].asnumpy())
    assert str(transfer(ssd(NEW), saved(ssd(OLD)), OLD)).endswith("; anchors as in the file")


def test_an_ssd_for_another_side_has_anchors_of_that_side(saved):
    ours = ssd(NEW, 160)
    before = weights_of(ours)
    assert str(transfer(ours, saved(ssd(OLD)), OLD)).endswith("; the network's own anchors, which are not the file's")
    same(weights_of(ours), before, ["anchor_generators.1.anchors"])


def test_an_rcnns_other_anchors_are_told_of(saved):
    """Its boxes are matched to the anchors of the options."""
    small = oracle.ON_DARKNET
    old = faster_rcnn(OLD, small, more=["--anchor-scales 1,2,3,4,5"])
    path = saved(old)
    assert str(transfer(faster_rcnn(NEW, small), path, OLD)).endswith("; the network's own anchors, which are not the file's")
    larger = faster_rcnn(NEW, small, more=["--anchor-scales 1,2,3,4,5", "--anchor-alloc-size 80,48"])
    assert str(transfer(larger, path, OLD)).endswith("; anchors as in the file")


def test_a_file_of_a_graphs_names_is_told_what_it_is(tmp_path):
    """The remedy named network and classes, which were right."""
    network = yolo3(OLD)
    paths = [tmp_path / name for name in ("collected.params", "exported-0000.params")]
    network.collect_params().save(str(paths[0]))
    arrays = params_format.loads(paths[0].read_bytes())
    paths[1].write_bytes(params_format.dumps({f"arg:{name}": array for name, array in arrays.items()}))
    for path in map(str, paths):
        for load in (load_weights, load_partially, load_backbone, transfer):
            with pytest.raises(UserError, match="names are those of a graph, .* write it with net.save_parameters"):
                load(network, path)
