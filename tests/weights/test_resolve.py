"""Options of a run's folder that other programs, or chance, have written into."""
import hashlib
import json
import os
from dataclasses import fields
from functools import partial
from pathlib import Path

import numpy as np
import pytest

import gluon_bof
from gluon_bof.commands import evaluate
from gluon_bof.data.names import class_names
from gluon_bof.errors import UserError
from gluon_bof.options.classifier import ClassifierOptions
from gluon_bof.options.families import by_name, family_of
from gluon_bof.options.flags import as_dict
from gluon_bof.options.minibatch import MinibatchOptions
from gluon_bof.options.recipes import RECIPES
from gluon_bof.options.segmentation import SegmentationOptions
from gluon_bof.options.yolo3 import Yolo3Options
from gluon_bof.runs.config import require_run_of_last, write_config
from gluon_bof.weights import zoo
from gluon_bof.weights.formats import params as params_format
from gluon_bof.weights.inspect import read_contents
from gluon_bof.weights.load import read_weights
from gluon_bof.weights.resolve import backbone_weights, require_choices, resolve
from tests.command_lines import refused
from tests.weights.zoo_server import NAME, archive, stem, zipped

from gluoncv.model_zoo import get_model_list


def write_run(folder, **changes):
    options = dict(as_dict(Yolo3Options(network="mobilenet0.25", data_shape=64)), **changes)
    (folder / "config.json").write_text(json.dumps({"options": options}))
    return str(folder)


def test_a_runs_options_come_back(tmp_path):
    options, path, run, _ = resolve(write_run(tmp_path), {"metric": "voc"})
    assert (options.network, options.data_shape, options.metric) == ("mobilenet0.25", 64, "voc")
    assert (path, run) == (str(tmp_path / "best.params"), str(tmp_path))
    with pytest.raises(UserError, match="--batch-size 0"):
        resolve(str(tmp_path), {"batch_size": 0})
    assert resolve(str(tmp_path), {}, last=True).path == str(tmp_path / "last.params")


@pytest.mark.parametrize("changes", [{"network": ["x"]}, {"data_shape": "x"}, {"data_shape": 64.5}, {"anchors": [1]},
                                     {"lr": None}, {"no_wd": 3}])
def test_values_of_another_kind_are_refused_by_name(tmp_path, changes):
    with pytest.raises(UserError, match=f"config.json: {next(iter(changes))} cannot be"):
        resolve(write_run(tmp_path, **changes), {})


def test_paths_and_numpys_numbers_are_options_as_pythons_are(tmp_path):
    folder = write_run(tmp_path)
    given = {"data_shape": np.int64(96), "lr": np.float64(0.25), "lr_decay_epoch": np.array([3, 5]), "no_wd": np.bool_(True),
             "dataset": tmp_path}
    options = resolve(folder, given).options
    assert [getattr(options, name) for name in given] == [96, 0.25, (3, 5), True, str(tmp_path)]
    assert type(options.data_shape) is int


@pytest.mark.parametrize("value, meant", [(0, "'0'"), ([0, 1], "'0,1'")])
def test_numbers_in_place_of_a_text_are_told_as_it(tmp_path, value, meant):
    with pytest.raises(UserError) as caught:
        resolve(write_run(tmp_path), {"gpus": value})
    assert f"gpus cannot be {value}" in caught.value.problem and meant in caught.value.remedy


@pytest.mark.parametrize("text", ["[" * 200_000, "{", "[]", '{"options": 3}'])
def test_a_damaged_configuration_is_refused(tmp_path, text):
    (tmp_path / "config.json").write_text(text)
    with pytest.raises(UserError, match="configuration cannot be read"):
        resolve(str(tmp_path), {})


def test_the_configuration_of_an_unknown_family_is_named(tmp_path):
    (tmp_path / "config.json").write_text('{"options": {}, "family": "yolo9"}')
    with pytest.raises(UserError, match="config.json: unknown family 'yolo9'; choose one of yolo3, "):
        resolve(str(tmp_path), {})


def test_another_programs_configuration_does_not_stand_in_the_way(tmp_path):
    (tmp_path / "config.json").write_text('{"architectures": ["ResNet"]}')
    weights = str(tmp_path / "a.params")
    options, path, run, _ = resolve(weights, {"network": "mobilenet1.0", "classes": "a,b"})
    assert (options.network, path, run) == ("mobilenet1.0", weights, None)
    with pytest.raises(UserError, match="not a run's folder"):
        resolve(str(tmp_path), {})


@pytest.mark.parametrize("family, network", (("ssd", "darknet35"), ("faster_rcnn", "darknet53"), ("mask_rcnn", "vgg"),
                                             ("yolo3", "vgg16")))
def test_a_network_that_the_family_lacks_is_refused_by_name(family, network, tmp_path):
    title = by_name(family).title
    with pytest.raises(UserError, match=f"{title} has no --network {network}; choose one of "):
        resolve(str(tmp_path / "x.params"), {"family": family, "network": network, "classes": "a,b"})


def test_a_choice_that_only_another_family_has_is_refused_by_name(tmp_path):
    told = {"classes": "a,b", "network": "resnet50_v1b", "norm_layer": "bn"}
    resolve(str(tmp_path / "x.params"), {**told, "family": "mask_rcnn"})
    with pytest.raises(UserError, match="Faster R-CNN has no --norm-layer bn; choose one of syncbn"):
        resolve(str(tmp_path / "x.params"), {**told, "family": "faster_rcnn"})


def test_every_recipe_has_what_its_flags_may_have():
    for recipe in RECIPES.values():
        require_choices(recipe.options, recipe.options.__dataclass_fields__)


def test_another_data_set_does_not_get_the_layout_of_the_runs_own(tmp_path):
    write_run(tmp_path, dataset="own", dataset_root="there", val_split="dev", layout="yolo", val_share=0.2,
              on_bad_sample="skip")  # as the recipe photographs has it; skipped, unknown classes' boxes would not be missed
    own, other, told = (resolve(str(tmp_path), given).options
                        for given in ({}, {"dataset": "other"}, {"dataset": "other", "layout": "coco"}))
    assert (own.dataset_root, own.val_split, own.layout, own.val_share) == ("there", "dev", "yolo", 0.2)
    assert (other.dataset_root, other.val_split, other.layout, other.val_share) == ("", "", "auto", 0.2)
    assert (own.on_bad_sample, other.on_bad_sample) == ("skip", "error")
    assert told.layout == "coco" and resolve(str(tmp_path), {"dataset": "vocmini"}).options.val_share == 0


def test_the_runs_own_set_written_another_way_keeps_its_split_and_share(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "pets").mkdir()
    (tmp_path / "run").mkdir()
    write_run(tmp_path / "run", dataset="pets", val_split="dev", layout="yolo", val_share=0.2)
    for dataset in ("pets", "./pets", "pets/", str(tmp_path / "pets")):
        found = resolve(str(tmp_path / "run"), {"dataset": dataset}).options
        assert (found.val_split, found.layout, found.val_share) == ("dev", "yolo", 0.2)


def test_a_segmenters_run_is_asked_for_another_data_set_though_it_has_no_layout(tmp_path):
    options = dict(as_dict(SegmentationOptions(dataset="own", val_split="dev")))
    (tmp_path / "config.json").write_text(json.dumps({"family": "segmentation", "options": options}))
    assert resolve(str(tmp_path), {"dataset": "other"}).options.val_split == ""


@pytest.mark.parametrize("classes", ("dog,cat", "cat,dog,cow", ["cow", "cat"], "names.txt"))
def test_the_outputs_of_a_run_are_not_called_by_other_classes_than_its_own(classes, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    Path("names.txt").write_text("dog\ncat\n")
    Path("classes.txt").write_text("cat\ndog\n")
    write_run(tmp_path)
    with pytest.raises(UserError, match="its classes are cat, dog; leave --classes out"):
        resolve(str(tmp_path), {"classes": classes})
    assert resolve(str(tmp_path), {"classes": "cat, dog"}).classes == ("cat", "dog")
    Path("classes.txt").unlink()
    assert resolve(str(tmp_path), {"classes": classes}).classes == class_names(",".join(classes) if isinstance(classes, list)
                                                                               else classes)


def test_outputs_that_are_called_by_names_of_ones_own_are_told(tmp_path, caplog):
    (tmp_path / "classes.txt").write_text("cat\ndog\n")
    write_run(tmp_path)
    assert resolve(str(tmp_path), {"classes": "Katze,dog"}).classes == ("Katze", "dog")
    assert "are cat, dog, and called Katze, dog" in caplog.text


def test_the_outputs_of_weights_that_are_named_are_not_called_by_other_classes():
    with pytest.raises(UserError, match="shapes: its classes are circle, cross, ring, triangle; leave --classes out"):
        resolve("shapes", {"classes": "triangle,ring,cross,circle"})


CANNOT_BE_BUILT = [
    ("faster_rcnn", {"roi_size": "7"}, "--roi-size 7 is not a height and a width"),
    ("faster_rcnn", {"strides": "8"}, "--strides 8 are not those of the network"),
    ("faster_rcnn", {"image_short": ""}, "--image-short is not a list of positive numbers"),
    ("faster_rcnn", {"anchor_alloc_size": "128"}, "--anchor-alloc-size 128 .* does not cover"),
    ("faster_rcnn", {"use_fpn": True, "anchor_scales": "2,4"}, "--anchor-scales 2,4 are not one for each"),
    ("faster_rcnn", {"rpn_channel": 0}, "--rpn-channel 0 is below 1"),
    ("mask_rcnn", {"target_roi_scale": 2}, "--target-roi-scale 2 is not what the mask head gives"),
    ("segmentation", {"model": "unet", "backbone": "resnet50"}, "unet is not built on resnet50"),
    ("segmentation", {"model": "fcn8s", "upsampling": "max-unpooling"}, "--upsampling max-unpooling wants layers"),
    ("segmentation", {"model": "unet", "aux": True}, "unet has no second head"),
    ("yolo3", {"anchors": "none.json"}, "none.json: there is no such file of anchors"),
    ("ssd", {"base_shape": 512, "network": "resnet34_v1b"}, "resnet34_v1b has no anchors for images of 512 pixels")]


@pytest.mark.parametrize("family, given, told", CANNOT_BE_BUILT)
def test_a_network_that_cannot_be_built_is_refused_before_it_is_outside_training_too(family, given, told, tmp_path):
    told_of_file = {"family": family} if family != "segmentation" else {}
    with pytest.raises(UserError, match=told):
        resolve(str(tmp_path / "x.params"), {"classes": "a,b", **told_of_file, **given})
    network = {name: given[name] for name in ("model", "network", "use_fpn") if name in given}
    options = by_name(family).options(**network).resolved()
    (tmp_path / "config.json").write_text(json.dumps({"family": family, "options": as_dict(options)}))
    with pytest.raises(UserError, match=told):
        resolve(str(tmp_path), given)


@pytest.mark.parametrize("name, family, told", (
    ("yolo3_mobilenet1.0_custom_best.params", "yolo3", {"network": "mobilenet1.0"}),
    ("ssd_512_mobilenet1.0_custom.params", "ssd", {"network": "mobilenet1.0", "data_shape": 512, "base_shape": 512}),
    ("faster_rcnn_fpn_syncbn_resnet50_v1b_custom_last.params", "faster_rcnn", {"use_fpn": True, "norm_layer": "syncbn"}),
    ("mask_rcnn_fpn_resnet18_v1b_custom.params", "mask_rcnn", {"network": "resnet18_v1b", "use_fpn": True})))
def test_gluoncvs_names_of_networks_for_ones_own_classes_tell_the_network_and_no_classes(name, family, told):
    """They told nothing: any was a YOLOv3 on darknet53, which the weights then did not fit."""
    found = resolve(name)
    assert family_of(found.options).name == family and found.classes is None
    assert {option: getattr(found.options, option) for option in told} == told
    assert resolve(name, {"classes": ["person"]}).classes == ("person",)


@pytest.mark.parametrize("name", sorted(name for name in get_model_list() if "classes" in zoo.parse_name(name)))
def test_published_networks_can_be_built(name, tmp_path, monkeypatch):
    monkeypatch.setattr("gluon_bof.weights.resolve.download", lambda name: f"{name}.params")
    assert resolve(name).classes


@pytest.mark.parametrize("family", ("faster_rcnn", "mask_rcnn", "segmentation"))
def test_a_run_that_an_older_version_wrote_opens_without_options_that_came_later(family, tmp_path):
    whole = by_name(family).options().resolved()
    later = {field.name for field in fields(whole) if field.default is None and field.metadata.get("builds" if family ==
             "segmentation" else "part")}
    told = {name: value for name, value in as_dict(whole).items() if name not in later}
    (tmp_path / "config.json").write_text(json.dumps({"family": family, "options": told}))
    found = resolve(str(tmp_path)).options
    assert later and {name: getattr(found, name) for name in later} == {name: getattr(whole, name) for name in later}


def test_what_a_files_name_tells_of_another_family_than_the_one_that_is_given_is_not_blamed_on_the_user():
    for given in ({"family": "yolo3"}, {"network": "darknet53"}):
        found = resolve("faster_rcnn_fpn_resnet50_v1b_custom.params", {"classes": "a,b", **given})
        assert family_of(found.options).name == "yolo3" and found.options.network == "darknet53"


def test_options_of_another_family_are_refused_by_name_with_a_remedy_that_there_is(tmp_path):
    """A run's family is its own; outside a run, a segmenter has no --network."""
    lone = tmp_path / "lone" / "x.params"
    for given in ({"use_fpn": True}, {"colour": "red"}, {"crop_size": 64}):
        told = f"YOLOv3 has no --{next(iter(given)).replace('_', '-')}; leave it out"
        with pytest.raises(UserError, match=f"{told}$"):
            resolve(write_run(tmp_path), given)
        with pytest.raises(UserError, match=f"{told}, or give the --network or --model that is meant$"):
            resolve(str(lone), {"classes": "a,b", "network": "darknet53", **given})


@pytest.mark.parametrize("family, given, told", (
    ("faster_rcnn", {"batch_size": 8}, "batch_size does nothing here: Faster R-CNN takes it to train; leave it out"),
    ("segmentation", {"batch_size": 8, "model_zoo": "fcn_resnet101_voc"}, "batch_size does .* is test_batch_size meant"),
    ("yolo3", {"epochs": 3}, "epochs does nothing here")))
def test_what_only_training_takes_is_refused_and_not_passed_over(family, given, told, tmp_path, capsys):
    (tmp_path / "config.json").write_text(json.dumps({"family": family, "options": {}}))
    for opened in (gluon_bof.evaluate, gluon_bof.load):
        with pytest.raises(UserError, match=told):
            opened(tmp_path, **given)
    if "batch_size" in given:
        assert "--batch-size does nothing here" in refused(evaluate.main, capsys, tmp_path, "--batch-size", 8)


def test_a_run_is_not_told_another_data_set_where_nothing_is_scored(tmp_path):
    with pytest.raises(UserError, match="dataset is for weights outside a run; leave it out"):
        gluon_bof.load(write_run(tmp_path), dataset="voc")


def test_workers_below_0_are_refused_outside_training_too(tmp_path):
    with pytest.raises(UserError, match="--num-workers -1"):
        resolve(write_run(tmp_path), {"num_workers": -1})


@pytest.mark.parametrize("options, title", ((ClassifierOptions(), "a classifier's run"),
                                            (MinibatchOptions(network="yolo3_darknet-mini"), "a mini-batch study's run")))
def test_a_run_of_no_command_that_looks_at_images_is_called_what_it_is(options, title, tmp_path):
    write_config(str(tmp_path), options)
    with pytest.raises(UserError, match=f"this is {title}, and what is wanted is a detector or a segmenter"):
        resolve(str(tmp_path))


def test_a_segmenter_is_named_as_a_family():
    arguments = evaluate.build_parser().parse_args(["x.params", "--family", "segmentation", "--classes", "a,b"])
    assert isinstance(evaluate.resolved(arguments).options, SegmentationOptions)


def test_a_pretrained_base_is_a_file_a_backbones_or_a_detectors_name(params, cache, serve, tmp_path, monkeypatch):
    serve(archive(params))
    assert backbone_weights(NAME, "mobilenet0.25") == str(cache / f"{stem(params)}.params")
    assert backbone_weights("my.params", "darknet53") == "my.params"
    backbone = b"a backbone"
    digest = hashlib.sha1(backbone).hexdigest()
    monkeypatch.setitem(zoo.CHECKSUMS, "darknet53", digest)
    serve(zipped({f"darknet53-{digest[:8]}.params": backbone}))
    for word in ("yes", "darknet53"):
        assert Path(backbone_weights(word, "darknet53")).read_bytes() == backbone
    with pytest.raises(UserError, match="'resnet152'.*resnet50_v1b"):
        zoo.download_backbone("resnet152")


@pytest.mark.parametrize("dataset, first, count", (("coco", "background", 21), ("voc", "background", 21),
                                                   ("ade20k", "wall", 150), ("citys", "road", 19)))
def test_a_named_sets_classes_are_a_segmenters_not_a_detectors(dataset, first, count, tmp_path):
    found = resolve(str(tmp_path / "a.params"), {"model": "unet", "dataset": dataset})
    assert (found.classes[0], len(found.classes)) == (first, count)
    if dataset in ("coco", "voc"):
        assert len(resolve(str(tmp_path / "a.params"), {"network": "darknet53", "dataset": dataset}).classes) == {
            "coco": 80, "voc": 20}[dataset]


def test_a_run_or_file_goes_before_a_name(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    Path("yolo3_darknet53_voc").mkdir()
    with pytest.raises(UserError, match="not a run's folder"):
        resolve("yolo3_darknet53_voc")
    Path("yolo3_darknet53_voc/config.json").write_text(json.dumps({"options": {"network": "mobilenet0.25", "dataset": "x"}}))
    for weights in ("yolo3_darknet53_voc", "yolo3_darknet53_voc/yolo3_darknet53_voc_best.params"):
        options, path, run, _ = resolve(weights)
        assert (options.network, options.dataset) == ("mobilenet0.25", "x")
        assert os.path.abspath(run) == os.path.dirname(os.path.abspath(path)) == str(tmp_path / "yolo3_darknet53_voc")
        assert options.classes == os.path.join(run, "classes.txt")
    Path("yolo3_mobilenet1.0_coco_best.params").write_bytes(b"")
    options, path, run, _ = resolve("yolo3_mobilenet1.0_coco_best.params", {"data_shape": 320})
    assert (options.network, options.data_shape, options.dataset, run) == ("mobilenet1.0", 320, "coco", None)
    assert len(class_names(options.classes)) == 80


@pytest.mark.parametrize("name, dataset", (("faster_rcnn_resnet50_v1b_coco", "own"), ("faster_rcnn_resnet50_v1b_voc", "coco"),
                                           ("faster_rcnn_fpn_syncbn_resnet50_v1b_coco", "own"), ("ssd_512_resnet50_v1_voc", "x"),
                                           ("mask_rcnn_fpn_resnet50_v1b_coco", "own"), ("yolo3_darknet53_coco", "own")))
def test_another_data_set_to_score_on_does_not_build_the_network_that_a_name_tells_anew(name, dataset):
    told, other = (vars(resolve(f"{name}_best.params", given).options) for given in ({}, {"dataset": dataset}))
    assert other == {**told, "dataset": dataset}


def test_a_file_whose_name_tells_nothing_is_built_for_the_set_that_is_given():
    given = {"network": "resnet50_v1b", "family": "faster_rcnn"}
    coco, other = (resolve("a.params", {**given, "dataset": dataset}).options for dataset in ("coco", "own"))
    assert (coco.image_short, coco.nms_thresh, other.image_short, other.nms_thresh) == ((800,), 0.5, (600,), 0.3)


def test_an_export_in_the_place_of_weights_is_told_as_such_and_not_asked_for_its_classes(tmp_path):
    """Nor is it read as weights that are cut, or as Darknet's."""
    folder = write_run(tmp_path)
    for name, told in (("net.onnx", "an ONNX file is"), ("net.ONNX", "an ONNX file is"), ("net-symbol.json", "a graph")):
        path = os.path.join(folder, name)
        Path(path).write_bytes(b"\x08\0\0\0" * 9)
        for read in (partial(resolve, given={"classes": "cat,dog"}), read_weights, read_contents):
            with pytest.raises(UserError, match=f"^{path}: {told}.* not read back; give the run or .params file .* exported$"):
                read(path)


@pytest.mark.parametrize("name", ("street.jpg", "yolov3.weights", "notes"))
def test_a_file_of_another_kind_in_the_place_of_weights_is_told_as_such_and_not_asked_for_its_classes(name, tmp_path):
    path = tmp_path / name
    path.write_bytes(b"\xff\xd8\xff\xe0" * 9)
    with pytest.raises(UserError, match=f"{name}: this is no file of MXNet's weights, which come first; give a run's folder"):
        resolve(str(path))


def test_weights_of_any_name_are_known_by_their_beginning_and_damaged_ones_by_their_ending(tmp_path):
    for name, data in (("mine", params_format.dumps({"stages.0.weight": np.zeros(1, np.float32)})), ("cut.PARAMS", b"")):
        (tmp_path / name).write_bytes(data)
        assert resolve(str(tmp_path / name)).path == str(tmp_path / name)


def test_a_graphs_parameters_are_told_as_such_and_a_networks_go_on(tmp_path):
    path, array = str(tmp_path / "net-0000.params"), np.zeros(1, np.float32)
    unknown = "the class names of these weights are not known"
    for names, told in ((("arg:yolov30_conv0_weight", "aux:yolov30_norm0_running_var"), "an exported graph's parameters are"),
                        (("arg:stages.0.weight", "aux:stages.0.running_var"), unknown), (("stages.0.weight",), unknown)):
        Path(path).write_bytes(params_format.dumps(dict.fromkeys(names, array)))
        with pytest.raises(UserError, match=f"^{path}: {told}"):
            resolve(path).require()


def test_the_last_weights_of_what_is_no_run_are_refused(tmp_path):
    for weights in (os.path.join(write_run(tmp_path), "best.params"), "shapes"):
        with pytest.raises(UserError, match="--last: there is no run among WEIGHTS"):
            resolve(weights, last=True)
    with pytest.raises(UserError, match="runs/typo: there are no such weights"):
        require_run_of_last(True, ["runs/typo"])
        resolve("runs/typo", last=True)
