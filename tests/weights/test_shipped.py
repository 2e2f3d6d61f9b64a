"""What the package ships: whole files of a few MB that fit the networks they name, made by commands that stand beside them."""
import dataclasses
import json
import os
import shlex
from pathlib import Path

import numpy as np
import pytest

from gluon_bof.backend import mx
from gluon_bof.errors import UserError
from gluon_bof.models.build import build_network
from gluon_bof.options.classifier import ClassifierOptions
from gluon_bof.options.flags import build_parser
from gluon_bof.options.recipes import EMBEDDED_YOLO3, SHIPPED_BACKBONE, SHIPPED_BACKBONE_MIXUP, SHIPPED_YOLO3
from gluon_bof.options.yolo3 import Yolo3Options
from gluon_bof.weights import zoo
from gluon_bof.weights.load import load_backbone, read_weights
from gluon_bof.weights.resolve import backbone_weights

RECIPES = {"shipped": SHIPPED_BACKBONE, "shipped-mixup": SHIPPED_BACKBONE_MIXUP}
OWN = {"runs", "name", "log_interval", "seed"}


def given(options_class, command):
    """{option: value} of the flags in a command."""
    words = shlex.split(command)
    first = next(place for place, word in enumerate(words) if word.startswith("--"))
    return vars(build_parser(options_class, "").parse_args(words[first:]))


@pytest.mark.parametrize("name", zoo.BACKBONES)
def test_a_backbone_is_whole_small_and_made_by_its_recipe(name):
    path = backbone_weights(name, "darknet-mini")
    about = json.loads(Path(path).with_suffix(".json").read_text())
    assert os.path.getsize(path) <= 4e6 and about["network"] == "darknet-mini" and 0.5 < about["accuracy"] < 1
    assert all(array.dtype == np.float32 for array in read_weights(path).values())
    told = given(ClassifierOptions, about["command"])
    made = dataclasses.replace(ClassifierOptions(), **{field: value for field, value in told.items() if field not in OWN})
    assert made == RECIPES[name]


def test_the_two_backbones_are_two():
    plain, mixed = (read_weights(backbone_weights(name, "darknet-mini")) for name in zoo.BACKBONES)
    assert plain.keys() == mixed.keys() and not any(np.array_equal(plain[name], mixed[name]) for name in plain)


def test_the_embedded_job_starts_from_the_shipped_backbone():
    network = build_network(EMBEDDED_YOLO3, ["a", "b"], [mx.cpu()])
    load_backbone(network, backbone_weights(EMBEDDED_YOLO3.pretrained_base, EMBEDDED_YOLO3.network))
    EMBEDDED_YOLO3.check()
    sizes = EMBEDDED_YOLO3.training_sizes()
    assert min(sizes) < EMBEDDED_YOLO3.data_shape < max(sizes)  # as the paper's 416 lies in 320…608
    assert EMBEDDED_YOLO3.mixup and EMBEDDED_YOLO3.label_smooth_eps and EMBEDDED_YOLO3.lr_mode == "cosine"
    assert EMBEDDED_YOLO3.syncbn and EMBEDDED_YOLO3.warmup_epochs and not EMBEDDED_YOLO3.no_augment


@pytest.mark.parametrize("base, network, message", [("shipped", "darknet53", "train on darknet-mini"),
                                                    ("yes", "darknet-mini", "--pretrained-base shipped")])
def test_a_backbone_that_does_not_fit_is_refused_with_one_that_does(base, network, message):
    with pytest.raises(UserError, match=message):
        backbone_weights(base, network)


def test_the_shipped_detector_is_made_by_the_command_beside_it():
    _, about = zoo.shipped()
    told = given(Yolo3Options, about["command"])
    wanted = {field for field in vars(SHIPPED_YOLO3) if getattr(SHIPPED_YOLO3, field) != getattr(EMBEDDED_YOLO3, field)}
    assert {field: told.get(field) for field in wanted} == {field: getattr(SHIPPED_YOLO3, field) for field in wanted}
    assert set(told) - OWN <= wanted and about["options"]["data_shape"] == SHIPPED_YOLO3.data_shape
    assert about["options"]["network"] == SHIPPED_YOLO3.network and about["map"] >= 0.9
