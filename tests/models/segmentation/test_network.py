"""The networks: GluonCV's FCN under its own names, the paper's FCN on a classifier's weights, U-Net; freezing, heads, export."""
import dataclasses
import os
from types import SimpleNamespace

import numpy as np
import pytest

from gluon_bof.backend import autograd, gluon, mx
from gluon_bof.errors import UserError
from gluon_bof.inference import export_scores, onnx_operators
from gluon_bof.inference.segmenter import Segmenter
from gluon_bof.models.build import build_network, with_inferred_shapes
from gluon_bof.models.heads import rows_of
from gluon_bof.models.segmentation.network import PaperFCN, PlainDescent, ResNetFCN, UNet, darknet_features, vgg_features
from gluon_bof.models.segmentation.upsampling import Bilinear
from gluon_bof.options.segmentation import UPSAMPLINGS, SegmentationOptions
from gluon_bof.options.training import FREEZE
from gluon_bof.training.freezing import freeze
from gluon_bof.weights.fitting import fitting_network
from gluon_bof.weights.load import (
    load_backbone,
    load_weights,
    save_weights,
    structured_parameters,
    transfer,
    weights_of,
)
from tests.tiny_networks import settled

from gluoncv.model_zoo.fcn import FCN

CLASSES = ("background", "blue", "red")
SMALL_VGG = dict(layers=(1, 1, 1, 1, 1), filters=(2, 3, 4, 5, 6), units=8)


def options(**changes):
    changes = {"crop_size": 64, "pretrained_base": "no", **changes}
    return dataclasses.replace(SegmentationOptions(), **changes).resolved()


def network_of(seed=1, classes=CLASSES, **changes):
    mx.random.seed(seed)
    np.random.seed(seed)
    return build_network(options(**changes), classes, [mx.cpu()])


def seen(seed=0, side=64, images=2):
    return mx.nd.array(np.random.default_rng(seed).normal(size=(images, 3, side, side)))


@pytest.mark.slow
def test_gluoncvs_fcn_has_gluoncvs_weights_and_gives_its_numbers(tmp_path):
    ours = network_of(model="fcn", backbone="resnet50", aux=True)
    theirs = settled(FCN(3, "resnet50", True, pretrained_base=False, crop_size=64))
    path = str(tmp_path / "a.params")
    theirs.save_parameters(path)
    load_weights(ours, path)
    for found, wanted in zip(ours(seen()), theirs(seen())):
        assert found.shape == (2, 3, 64, 64)
        np.testing.assert_allclose(found.asnumpy(), wanted.asnumpy(), atol=1e-5)
    save_weights(ours, path)
    theirs.load_parameters(path)  # strict


def test_vggs_dense_layers_become_convolutions_with_the_classifiers_weights(tmp_path):
    classifier = gluon.model_zoo.vision.VGG(SMALL_VGG["layers"], SMALL_VGG["filters"], classes=5)
    units = SMALL_VGG["units"]
    for place in [number for number, layer in enumerate(classifier.features) if isinstance(layer, gluon.nn.Dense)]:
        # 4096 units would only take time
        classifier.features._children[str(place)] = gluon.nn.Dense(units, activation="relu", weight_initializer="normal")
    settled(classifier, 224)
    path = str(tmp_path / "vgg.params")
    classifier.save_parameters(path)
    features, ends, channels = vgg_features(**SMALL_VGG)
    network = settled(PaperFCN(CLASSES, features, ends, channels, 32, "bilinear"))
    load_backbone(network, path)
    images = seen(3, 224, 1)
    wanted = classifier.features(images).asnumpy().reshape(-1)
    found = network.features(images).asnumpy()
    assert found.shape == (1, units, 7, 7)
    np.testing.assert_allclose(found[0, :, 3, 3], wanted, rtol=1e-4, atol=1e-5)


def test_real_vgg16_has_the_names_and_shapes_of_its_classifiers_file():
    """Nothing is computed: a hundred million weights would take their time."""
    classifier = gluon.model_zoo.vision.vgg16()
    classifier.infer_shape(mx.nd.zeros((1, 3, 224, 224)))
    wanted = {name: parameter.shape for name, parameter in classifier._collect_params_with_prefix().items()
              if name.startswith("features.")}
    features, ends, channels = vgg_features()
    own = PaperFCN(CLASSES, features, ends, channels, 8, "transposed").backbone_parameters()
    assert {name: parameter.shape for name, parameter in own.items()} == wanted and channels == (256, 512, 4096)


def test_gluoncvs_fcn_is_told_by_its_names_and_its_heads_learn_ten_times_as_fast():
    for aux in (False, True):
        network = with_inferred_shapes(ResNetFCN(CLASSES, "resnet50", 64, aux))
        theirs = FCN(3, "resnet50", aux, pretrained_base=False, crop_size=64)
        theirs.infer_shape(mx.nd.zeros((1, 3, 64, 64)))
        shapes, wanted = ({name: parameter.shape for name, parameter in structured_parameters(one).items()}
                          for one in (network, theirs))
        assert shapes == wanted
        fit = fitting_network(shapes)
        assert (fit.network, fit.classes, fit.differing) == ("fcn_resnet50", 3, ())
        heads = {name for name in shapes if name.startswith(("head", "auxlayer"))}
        assert {structured_parameters(network)[name].lr_mult for name in heads} == {10}
        assert not heads & network.backbone_parameters().keys()


@pytest.mark.parametrize("stride", (32, 16, 8))
def test_finer_scores_begin_at_nothing_and_then_count(stride):
    mx.random.seed(2)
    features, ends, channels = darknet_features()
    network = settled(PaperFCN(CLASSES, features, ends, channels, stride, "bilinear"))
    images = seen(4)
    fine, middle, coarse = network.seen(images)
    assert [array.shape[2] for array in (fine, middle, coarse)] == [8, 4, 2]
    score = network.scores[0](coarse)
    wanted = score
    for factor in {32: (32,), 16: (2, 16), 8: (2, 2, 8)}[stride]:
        wanted = Bilinear(factor)(wanted)
    np.testing.assert_allclose(network(images).asnumpy(), wanted.asnumpy(), atol=1e-5)
    if stride < 32:
        network.scores[1].bias.set_data(mx.nd.array([0, 1, 0]))
        moved = network(images).asnumpy() - wanted.asnumpy()
        np.testing.assert_allclose(moved[:, 1], 1, atol=1e-5)
        np.testing.assert_allclose(moved[:, [0, 2]], 0, atol=1e-5)


@pytest.mark.parametrize("way", UPSAMPLINGS)
def test_unets_hybrid_graph_is_its_own_and_every_layer_gets_a_gradient(way):
    mx.random.seed(3)
    channels = (4, 6, 8)
    network = settled(UNet(CLASSES, PlainDescent(channels, way == "max-unpooling"), (), channels, way), 32)
    images = seen(5, 32)
    wanted = network(images).asnumpy()
    assert wanted.shape == (2, 3, 32, 32)
    network.hybridize()
    np.testing.assert_allclose(network(images).asnumpy(), wanted, atol=1e-5)
    with autograd.record():
        loss = mx.nd.log_softmax(network(images), axis=1)[:, 1].mean()
    loss.backward()
    for name, parameter in structured_parameters(network).items():
        if parameter.grad_req != "null":
            assert np.abs(parameter.grad().asnumpy()).max() > 0, name


def test_unet_looks_at_every_level_of_a_pretrained_backbone():
    mx.random.seed(4)
    network = network_of(model="unet", backbone="darknet-mini", upsampling="nearest")
    assert [array.shape[1:] for array in network.seen(seen(6, 64, 1))] == [
        (8, 64, 64), (16, 32, 32), (32, 16, 16), (64, 8, 8), (128, 4, 4), (256, 2, 2)]
    from gluon_bof.weights.resolve import backbone_weights
    load_backbone(network, backbone_weights("shipped", "darknet-mini"))


@pytest.mark.parametrize("changes", (dict(model="unet", backbone="plain"), dict(model="unet", backbone="darknet-mini"),
                                     dict(model="fcn16s", backbone="darknet-mini")), ids=str)
def test_more_is_frozen_from_way_to_way_and_the_head_always_learns(changes):
    network, frozen = network_of(**changes), []
    parameters = structured_parameters(network)
    known = {id(parameter) for parameter in parameters.values()}
    stem, backbone = ({id(parameter) for parameter in part} for part in (network.stem_parameters(), network.image_parameters()))
    assert stem and stem < backbone < known
    for how in FREEZE:
        frozen.append(set(freeze(network, how)))
        heads = [name for name in parameters if rows_of(network.HEAD_ROWS, name)]
        assert heads and all(parameters[name].grad_req == "write" for name in heads)
    assert not frozen[0] and frozen[1] and all(fewer <= more for fewer, more in zip(frozen, frozen[1:]))


@pytest.mark.parametrize("changes", (dict(model="unet", backbone="plain"),
                                     dict(model="fcn8s", backbone="darknet-mini", upsampling="transposed")), ids=str)
def test_other_classes_take_over_what_they_share(changes, tmp_path):
    source, path = network_of(2, **changes), str(tmp_path / "a.params")
    for parameter in structured_parameters(source).values():
        parameter.set_data(parameter.data() + 0.01)
    save_weights(source, path)
    network = network_of(3, ("background", "violet", "blue"), **changes)
    before = weights_of(network)
    moved = transfer(network, path, CLASSES)
    assert (moved.shared, moved.new, moved.dropped) == (["background", "blue"], ["violet"], ["red"])
    old, after = weights_of(source), weights_of(network)
    for name in sorted(after):
        if rows_of(network.HEAD_ROWS, name):
            np.testing.assert_array_equal(after[name][[0, 2]], old[name][[0, 1]], err_msg=name)
            np.testing.assert_array_equal(after[name][1], before[name][1], err_msg=name)
        else:
            np.testing.assert_array_equal(after[name], old[name], err_msg=name)


EXPORTED = [dict(model="unet", backbone="plain", upsampling=way) for way in UPSAMPLINGS] + [
    dict(model="fcn8s", backbone="darknet-mini", upsampling="transposed"),
    dict(model="fcn16s", backbone="darknet-mini", upsampling="nearest")]


@pytest.mark.parametrize("changes", [changes if changes["model"] != "unet" or changes["upsampling"] == "max-unpooling" else
                                     pytest.param(changes, marks=pytest.mark.slow) for changes in EXPORTED],
                         ids=lambda changes: "-".join(changes.values()))
def test_the_exported_network_agrees_with_onnxruntime(changes, tmp_path):
    onnxruntime = pytest.importorskip("onnxruntime")
    pytest.importorskip("onnx")
    network = network_of(5, **changes)
    segmenter = Segmenter(network, options(**changes), mx.cpu())
    path = str(tmp_path / "a.onnx")
    check = export_scores.export_scores(segmenter, path)
    assert check.score_difference < 1e-4 and check.images == 4 and check.pixels == 4 * 64 * 64 and check.other_labels < 10
    session = onnxruntime.InferenceSession(path, providers=["CPUExecutionProvider"])
    images = np.random.default_rng(7).integers(0, 256, (3, 64, 64, 3)).astype(np.uint8)
    found, = session.run(["scores"], {"image": images})
    np.testing.assert_allclose(found, segmenter.scores(images), atol=1e-4)
    np.testing.assert_allclose(found.sum(axis=1), 1, atol=1e-5)


@pytest.fixture(scope="module", name="segmenter")
def small_segmenter():
    changes = dict(model="unet", backbone="plain", upsampling="nearest")
    return Segmenter(network_of(5, **changes), options(**changes), mx.cpu())


def test_an_export_of_other_labels_is_told_and_not_written(segmenter, tmp_path, monkeypatch):
    pytest.importorskip("onnxruntime")

    def of_other_classes(images):
        scores = segmenter.scores(images)
        return np.concatenate([np.roll(scores[:1], 1, axis=1), scores[1:]])

    check = export_scores._compared(segmenter, of_other_classes, (64, 64), ())
    assert check.other_labels == 64 * 64 == check.pixels / 4 and check.score_difference > 1e-4
    session = SimpleNamespace(run=lambda names, given: [of_other_classes(given["image"])])
    monkeypatch.setattr(export_scores, "quiet_session", lambda data: session)
    with pytest.raises(UserError, match="onnxruntime disagrees with MXNet: probabilities differ by"):
        export_scores.export_scores(segmenter, str(tmp_path / "a.onnx"))
    monkeypatch.delitem(onnx_operators.TRANSLATIONS, "_image_normalize")
    with pytest.raises(UserError, match="no ONNX for _image_normalize; report it, with the network's name$"):
        export_scores.export_scores(segmenter, str(tmp_path / "a.onnx"))  # and not the format that a segmenter does not have
    assert not os.listdir(tmp_path)


def test_within_a_recorded_step_the_scores_are_the_same(segmenter):
    images = np.random.default_rng(7).integers(0, 256, (1, 64, 64, 3)).astype(np.uint8)
    wanted = segmenter.scores(images)
    with mx.autograd.record():
        np.testing.assert_array_equal(segmenter.scores(images), wanted)


def test_the_memory_taken_before_a_training_is_that_of_the_shape_that_every_image_comes_in(segmenter):
    seen = {segmenter.see(np.zeros((*size, 3), np.uint8)).shape[:2] for size in ((48, 64), (200, 30), (64, 64))}
    assert seen == set(segmenter.transform.largest_shapes())


def test_a_name_with_another_network_is_told_by_the_weights():
    for changes, wanted in ((dict(model="unet", backbone="plain"), "unet_plain"),
                          (dict(model="unet", backbone="darknet-mini"), "unet_darknet-mini")):
        shapes = {key: array.shape for key, array in weights_of(network_of(**changes)).items()}
        fit = fitting_network(shapes)
        assert (fit.network, fit.classes) == (wanted, 3)
