"""A torchvision SSD300's weights under GluonCV's names against torchvision's own outputs."""
import numpy as np
import pytest
from safetensors.numpy import save_file

from gluon_bof.backend import autograd, mx
from gluon_bof.data.coco import COCO_IDS
from gluon_bof.errors import UserError
from gluon_bof.freebies.augmentation import MEAN, STD
from gluon_bof.models.build import build_network
from gluon_bof.models.ssd.network import _decoded
from gluon_bof.options.ssd import SsdOptions
from gluon_bof.weights import convert, torchvision_ssd
from gluon_bof.weights.formats.params import dumps
from gluon_bof.weights.inspect import read_contents
from gluon_bof.weights.load import set_weights
from gluon_bof.weights.zoo import CLASSES
from tests.weights import torch_ssd

NINETY = tuple(f"id {number}" for number in range(1, 91))


@pytest.fixture(scope="module", name="file")
def written_by_torchvision(tmp_path_factory):
    """(path of its safetensors, torchvision's outputs)."""
    path = tmp_path_factory.mktemp("torchvision") / "ssd300.safetensors"
    save_file(torch_ssd.random_state(), path)
    with np.load(torch_ssd.EXPECTED) as expected:
        return path, dict(expected)


def outputs(imported, mean, std):
    """(class logits, offsets, anchors' corners, boxes) at ANCHORS of an imported network, of images normalised so."""
    network = build_network(SsdOptions(pretrained_base="no"), imported.classes, [mx.cpu()])
    set_weights(network, imported.arrays, "memory")
    x = (torch_ssd.image().transpose(2, 0, 1) / 255 - np.reshape(mean, (3, 1, 1))) / np.reshape(std, (3, 1, 1))
    with autograd.train_mode():
        logits, offsets, anchors = network(mx.nd.array(x[None]))
    boxes = _decoded(mx.nd, logits, offsets, anchors)[0]
    anchors = anchors.asnumpy()[0]
    anchors = np.concatenate([anchors[:, :2] - anchors[:, 2:] / 2, anchors[:, :2] + anchors[:, 2:] / 2], axis=1)
    return [array[torch_ssd.ANCHORS] for array in (logits.asnumpy()[0], offsets.asnumpy()[0], anchors, boxes.asnumpy()[0])]


def test_it_computes_what_torchvision_does(file):
    path, expected = file
    imported = convert.import_weights(path, "ssd_300_vgg16_atrous_custom", NINETY, verbatim=True)
    # GluonCV's network multiplies by ImageNet's deviation before its first layer
    logits, offsets, anchors, boxes = outputs(imported, torchvision_ssd.TORCHVISION_MEAN, STD)
    np.testing.assert_allclose(logits, expected["logits"], rtol=0, atol=1e-4)
    np.testing.assert_allclose(offsets, expected["offsets"], rtol=0, atol=1e-4)
    np.testing.assert_allclose(anchors, expected["anchors"], rtol=0, atol=1e-3)
    np.testing.assert_allclose(boxes, expected["boxes"], rtol=0, atol=0.02)


KEPT = [0, *COCO_IDS]


def test_cocos_classes_are_this_packages(file):
    imported = convert.import_weights(file[0], "ssd_300_vgg16_atrous_coco")
    assert imported.classes == CLASSES["coco"] and len(KEPT) == 81
    names = ("person", "stop sign", "backpack", "toothbrush")
    assert [KEPT[1 + imported.classes.index(name)] for name in names] == [1, 13, 27, 90]  # COCO's ids
    for part in ("weight", "bias"):
        theirs = torch_ssd.random_state()[f"head.classification_head.module_list.3.{part}"].reshape(6, 91, -1)
        np.testing.assert_array_equal(imported.arrays[f"class_predictors.3.predictor.{part}"].reshape(6, 81, -1), theirs[:, KEPT])


@pytest.mark.slow
def test_images_less_imagenets_mean_are_seen_as_torchvision_sees_them_less_its_own(file):
    path, expected = file
    logits, offsets, *_ = outputs(convert.import_weights(path, "ssd_300_vgg16_atrous_coco"), MEAN, STD)
    # but for the image's edge, beyond which the means are apart
    np.testing.assert_allclose(logits, expected["logits"][:, KEPT], rtol=0, atol=0.05)
    np.testing.assert_allclose(offsets, expected["offsets"], rtol=0, atol=0.05)
    np.testing.assert_allclose(logits.mean(), expected["logits"][:, KEPT].mean(), atol=1e-3)


@pytest.mark.slow  # looks for it among all networks
def test_what_it_is_is_shown_and_what_it_was_imported_as(file, tmp_path):
    path, _ = file
    assert read_contents(str(path)).fit == ("ssd_300_vgg16_atrous", 90, ())
    imported = convert.import_weights(path, "ssd_300_vgg16_atrous_coco")
    written = tmp_path / "a.params"
    written.write_bytes(dumps(imported.arrays))
    assert read_contents(str(written)).fit == ("ssd_300_vgg16_atrous", 80, ())


def test_the_first_layer_gives_what_it_gave_of_images_less_another_mean():
    rng = np.random.default_rng(0)
    names = [f"{torchvision_ssd.FIRST}.{part}" for part in ("weight", "bias")]
    arrays = dict(zip(names, (rng.normal(size=(2, 3, 3, 3)).astype(np.float32), rng.normal(size=2).astype(np.float32))))
    given, image = {name: array.copy() for name, array in arrays.items()}, rng.uniform(0, 255, (3, 3, 3))

    def layer(arrays, mean):
        kernel, bias = (arrays[name] for name in names)
        return (kernel * (image - 255 * np.reshape(mean, (3, 1, 1)))).sum(axis=(1, 2, 3)) + bias

    taken = torchvision_ssd.take_imagenets_mean(arrays)
    np.testing.assert_allclose(layer(taken, MEAN), layer(given, torchvision_ssd.TORCHVISION_MEAN), rtol=1e-5)
    for name in names:
        np.testing.assert_array_equal(arrays[name], given[name])


def refusal(path, target, *names):
    with pytest.raises(UserError) as refused:
        convert.import_weights(path, target, *names)
    assert str(path) in str(refused.value) and "\n" not in str(refused.value)
    return str(refused.value)


def test_other_networks_and_other_names_are_refused(file, tmp_path):
    path, _ = file
    assert "without names" in refusal(path, "ssd_300_vgg16_atrous_custom")
    for two in (("ant", "bee"), "ant,bee"):  # of a text the letters were counted
        assert "90 classes, not 2" in refusal(path, "ssd_300_vgg16_atrous_custom", two)
    assert "leave --classes out" in refusal(path, "ssd_300_vgg16_atrous_coco", NINETY)
    assert "foreign are backbone." in refusal(path, "resnet18_v1b") or "lacking" in refusal(path, "resnet18_v1b")
    state = {name: array[:1] for name, array in torch_ssd.random_state(2).items()}
    other = tmp_path / "other.safetensors"
    save_file(state, other)
    assert "no ssd300_vgg16" in refusal(other, "ssd_300_vgg16_atrous_coco")
    del state["backbone.scale_weight"]
    save_file(state, other)
    assert "lacking are backbone.scale_weight" in refusal(other, "ssd_300_vgg16_atrous_coco")
    (tmp_path / "a.weights").write_bytes(b"\0" * 100)
    assert "safetensors only" in refusal(tmp_path / "a.weights", "ssd_300_vgg16_atrous_coco")
