"""Flags of several devices and workers: the linear rule, what cannot be, what GluonCV's words mean."""
import dataclasses
import json

import pytest

from gluon_bof.errors import UserError
from gluon_bof.options.classifier import ClassifierOptions
from gluon_bof.options.faster_rcnn import FasterRcnnOptions
from gluon_bof.options.flags import as_dict, from_dict, parse
from gluon_bof.options.recipes import RECIPES
from gluon_bof.options.yolo3 import Yolo3Options
from gluon_bof.training.entry import run_script


@pytest.mark.parametrize("options, usual", ((Yolo3Options(), 64), (FasterRcnnOptions().resolved(), 1), (ClassifierOptions(), 32)),
                         ids=("yolo3", "faster_rcnn", "classifier"))
def test_the_learning_rate_follows_the_batch_of_all_workers_together(options, usual):
    for batch, accumulate in ((usual, 1), (8 * usual, 1), (usual, 4), (3 * usual, 2)):
        changed = dataclasses.replace(options, batch_size=batch, accumulate=accumulate)
        assert changed.scaled_lr() == options.lr
        assert dataclasses.replace(changed, scale_lr=True).scaled_lr() == pytest.approx(options.lr * batch * accumulate / usual)


@pytest.mark.parametrize("name", ("yolo3/embedded", "faster_rcnn/embedded", "ssd/embedded", "segmentation/embedded",
                                  "shipped-backbone", "table-3/mixup", "table-2/mixup@small"))
def test_a_recipes_rate_is_that_of_its_own_batch(name):
    recipe = RECIPES[name]
    own = recipe.options.resolved()
    for words, factor in ((["--scale-lr"], 1), (["--scale-lr", "--batch-size", str(3 * own.batch_size)], 3)):
        given = parse(type(own), ["--recipe", recipe.name, *words], "", RECIPES.of_family(recipe.family)).options.resolved()
        assert given.scaled_lr() == pytest.approx(factor * own.lr)


def test_gluoncvs_rates_for_coco_are_the_linear_rules():
    """Its published commands: 0.01 for a batch of 8, 0.02 for 16."""
    for batch, published in ((8, 0.01), (16, 0.02)):
        options = FasterRcnnOptions(dataset="coco", batch_size=batch, scale_lr=True).resolved()
        assert options.scaled_lr() == pytest.approx(published)


@pytest.mark.parametrize("changes, told", (
    (dict(kv_store="dist_async"), "--kv-store dist_async"), (dict(kv_store="nonsense"), "--kv-store nonsense"),
    (dict(horovod=True, kv_store="dist_sync"), "two ways to join workers"), (dict(horovod=True, cpus=2), "one device"),
    (dict(cpus=2, gpus="0,1"), "two choices of devices"), (dict(cpus=-1), "--cpus -1 is below 0")))
def test_what_cannot_be_is_refused_by_name(changes, told):
    with pytest.raises(UserError, match=told):
        Yolo3Options(**changes).check()


@pytest.mark.parametrize("words, told", (("--gpus 0,1,2,3,4,5,6,7 --batch-size 4", True), ("--cpus 3 --batch-size 2", True),
                                         ("--gpus 0,1,2,3 --batch-size 4", False), ("--batch-size 1", False)))
def test_a_dry_run_says_that_a_batch_has_no_image_for_each_device(words, told, capsys):
    """Only the start of the training did, where the devices are."""
    run_script("yolo3", [*words.split(), "--dataset", "voc", "--dry-run"], "")
    out, err = capsys.readouterr()
    assert ("has no image for each of" in err) == told and json.loads(out)["batch_size"] == int(words[-1])


def test_syncbn_stays_a_flag_and_takes_one_word():
    def of(*words):
        return parse(Yolo3Options, [*words, "--dataset", "voc"], "", {}).options.syncbn

    assert (of(), of("--syncbn"), of("--syncbn", "per-process")) == (False, True, "per-process")
    for value in (False, True, "per-process"):
        options = Yolo3Options(syncbn=value)
        assert from_dict(Yolo3Options, as_dict(options), "here") == options
        assert options.synchronises_batchnorm() == bool(value)
    with pytest.raises(UserError, match="per-process"):
        of("--syncbn", "everywhere")
