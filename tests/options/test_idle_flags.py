"""Flags that were given and do nothing are told, and nobody else is bothered; published command lines mean what they meant."""
import importlib
import json

import pytest

from gluon_bof.options import families
from gluon_bof.options.flags import parse
from gluon_bof.options.recipes import RECIPES
from tests.command_lines import options_of
from tests.options import test_faster_rcnn, test_flags, test_mask_rcnn, test_segmentation, test_ssd

PUBLISHED = {"yolo3": test_flags, "faster_rcnn": test_faster_rcnn, "ssd": test_ssd, "mask_rcnn": test_mask_rcnn,
             "segmentation": test_segmentation}
COMMAND_LINES = [(family, words) for family, module in PUBLISHED.items() for words in module.PUBLISHED]


def said_of(family, words, caplog):
    caplog.clear()
    options, given, _ = parse(families.by_name(family).options, words.split(), "", RECIPES.of_family(family))
    options = options.resolved()
    options.check()
    options.warn_of_idle(given)
    return [record.getMessage() for record in caplog.records]


@pytest.mark.parametrize("family, words, told", (
    ("yolo3", "--balance-threshold 0.01", "--balance-threshold 0.01 does nothing without --balance repeat"),
    ("yolo3", "--allow-partial", "--allow-partial does nothing without --resume FILE.params"),
    ("segmentation", "--allow-partial --transfer a.params", "--allow-partial does nothing without --resume FILE.params"),
    ("ssd", "--mixup-alpha 1", "--mixup-alpha 1.0 does nothing without --mixup beta"),
    ("ssd", "--mixup even --mixup-beta 1", "--mixup-beta 1.0 does nothing without --mixup beta"),
    ("yolo3", "--mixup-loss unweighted", "--mixup-loss unweighted does nothing without --mixup"),
    ("faster_rcnn", "--syncbn per-process", "--syncbn per-process does nothing without --norm-layer syncbn"),
    ("mask_rcnn", "--syncbn per-process", "--syncbn per-process does nothing without --norm-layer syncbn"),
    ("yolo3", "--epochs 100", "--lr-decay-epoch 160,180 does nothing with --epochs 100: the learning rate never decays"),
    ("yolo3", "--lr-decay-period 200", "--lr-decay-period 200 does nothing with --epochs 200: "),
    ("faster_rcnn", "--epochs 14", "--lr-decay-epoch 14,20 does nothing with --epochs 14: "),
    ("segmentation", "--epochs 4 --lr-mode step", "--lr-decay-epoch 30,40 does nothing with --epochs 4: "),
    ("mask_rcnn", "--mixup", "--mixup ends after 6 of 26 epochs: --no-mixup-epochs is 20 by default"),
    ("yolo3", "--mixup --epochs 40 --start-epoch 20",
     "--mixup does nothing: --no-mixup-epochs 20 covers all 20 epochs from --start-epoch 20 on"),
    ("segmentation", "--mixup --epochs 9 --start-epoch 6 --no-mixup-epochs 3", "--mixup does nothing: --no-mixup-epochs 3 "),
    ("mask_rcnn", "--mixup --epochs 50 --start-epoch 20", "--mixup ends after 10 of 30 epochs from --start-epoch 20 on: "),
    ("segmentation", "--lr-decay-epoch 3,5", "--lr-decay-epoch 3,5 does nothing with --lr-mode poly"),
    ("minibatch", "--lr-mode cosine --lr-decay 0.5", "--lr-decay 0.5 does nothing with --lr-mode cosine"),
    ("yolo3", "--lr-decay-period 9 --lr-decay-epoch 3", "--lr-decay-epoch 3 does nothing with --lr-decay-period"),
    ("yolo3", "--optimizer adam --momentum 0.8", "--momentum 0.8 does nothing with --optimizer adam"),
    ("classifier", "--beta1 0.8", "--beta1 0.8 does nothing with --optimizer sgd"),
    ("ssd", "--optimizer adam --rho 0.8", "--rho 0.8 does nothing with --optimizer adam"),
    ("ssd", "--epsilon 1e-6", "--epsilon 1e-06 does nothing with --optimizer sgd"),
    ("yolo3", "--warmup-lr 0.0001", "--warmup-lr 0.0001 does nothing without --warmup-epochs"),
    ("faster_rcnn", "--lr-warmup-factor 0.1", "--lr-warmup-factor 0.1 does nothing without --lr-warmup"),
    ("faster_rcnn", "--use-fpn --num-box-head-conv 4", "--num-box-head-conv 4 does nothing without --use-fpn --norm-layer"),
    ("faster_rcnn", "--num-fpn-filters 64", "--num-fpn-filters 64 does nothing without --use-fpn"),
    ("minibatch", "--probe none --statistics batch", "--statistics batch does nothing with --probe none"),
    ("minibatch", "--cache there", "--cache there does nothing with --probe two-pass"),
    ("minibatch", "--alexnet a.params", "--alexnet a.params does nothing with --metric intensity"),
    ("minibatch", "--null-partitions 0 --null-interval 2", "--null-interval 2 does nothing with --null-partitions 0"),
    ("classifier", "--last-gamma", "--last-gamma does nothing with --network mobilenet0.25"),
    ("classifier", "--last-gamma --network resnet18_v1b", "--last-gamma does nothing with --network resnet18_v1b"),
    ("classifier", "--no-augment --least-area 0.3", "--least-area 0.3 does nothing with --no-augment"),
    ("segmentation", "--aux-weight 0.3", "--aux-weight 0.3 does nothing without --aux"),
    ("segmentation", "--no-augment --base-size 300", "--base-size 300 does nothing with --no-augment"),
    ("yolo3", "--no-random-shape --random-shapes 320,416", "--random-shapes 320,416 does nothing with --no-random-shape"),
    ("yolo3", "--data-shape 224", "--data-shape 224 is outside the random shapes of the training, 320 to 608"),
    ("ssd", "--random-shapes 320,416", "--data-shape 300 is outside the random shapes of the training, 320 to 416"),
    ("mask_rcnn", "--post-nms 50", "--post-nms 50 does nothing here"),
    ("ssd", "--random-shape-interval 5", "--random-shape-interval 5 does nothing without --random-shapes"),
    ("yolo3", "--epochs 6 --val-interval 5 --early-stop 1", "--early-stop 1 does nothing with --epochs 6 and --val-interval 5"),
    ("yolo3", "--epochs 9 --start-epoch 6 --early-stop 2", "--early-stop 2 does nothing with --epochs 9"),
    ("segmentation", "--early-stop 2 --no-val", "--early-stop 2 does nothing with --no-val: there is one validation"),
    ("segmentation", "--no-val --val-interval 5", "--val-interval does nothing with --no-val"),
    ("segmentation", "--model unet --model-zoo fcn_resnet50_voc", "--model does nothing with --model-zoo fcn_resnet50_voc"),
    ("faster_rcnn", "--static-alloc --disable-hybridization", "--static-alloc does nothing with --disable-hybridization"),
    ("minibatch", "--statistics batch --null-batches 3", "--null-batches 3 does nothing with --statistics batch"),
    ("yolo3", "--transfer a.params --objectness-prior 0.01", "--objectness-prior 0.01 does nothing with --transfer"),
    ("yolo3", "--resume a.params --init near-identity", "--init near-identity does nothing with --resume FILE.params"),
    ("ssd", "--transfer a.params --pretrained-base shipped", "--pretrained-base shipped does nothing with --transfer"),
    ("segmentation", "--resume a.params --pretrained-base yes", "--pretrained-base yes does nothing with --resume FILE.params"),
    ("minibatch", "--network yolo3_darknet-mini --pretrained-base shipped --init near-identity",
     "--init near-identity does nothing with --pretrained-base shipped")))
def test_a_flag_without_the_one_that_it_needs_does_not_do_nothing_without_a_word(family, words, told, caplog):
    said = said_of(family, on_a_set(family, words), caplog)
    assert any(text.startswith(told) for text in said)


@pytest.mark.parametrize("family, words", (
    ("yolo3", "--balance repeat --balance-threshold 0.01"), ("yolo3", "--resume a.params --allow-partial"),
    ("ssd", "--mixup --mixup-alpha 1"), ("yolo3", "--mixup even --mixup-loss unweighted"),
    ("yolo3", "--mixup --epochs 34 --no-mixup-epochs 22 --lr-mode cosine"), ("mask_rcnn", "--mixup --epochs 40"),
    ("yolo3", "--mixup --epochs 40 --start-epoch 20 --no-mixup-epochs 15 --lr-mode cosine"),
    ("faster_rcnn", "--syncbn per-process --norm-layer syncbn"), ("segmentation", "--early-stop 2"),
    ("yolo3", "--epochs 100 --lr-decay-period 60"), ("ssd", "--epochs 100 --lr-decay-epoch 60,160"), ("ssd", "--epochs 1"),
    ("mask_rcnn", "--epochs 17 --lr-mode cosine"), ("segmentation", "--epochs 4"),
    ("yolo3", "--lr-decay-epoch 3,5 --lr-decay 0.5 --momentum 0.8"), ("yolo3", "--optimizer adam --beta1 0.8 --epsilon 1e-6"),
    ("ssd", "--lr-mode cosine --warmup-epochs 2 --warmup-lr 0.0001"), ("faster_rcnn", "--lr-warmup 9 --lr-warmup-factor 0.1"),
    ("faster_rcnn", "--num-box-head-conv 2 --num-fpn-filters 64 --norm-layer syncbn custom-model"),
    ("minibatch", "--probe cache --cache there --statistics batch --null-interval 2"),
    ("classifier", "--last-gamma --network resnet50_v1b --least-area 0.3"), ("segmentation", "--aux --aux-weight 0.3"),
    ("yolo3", "--epochs 7 --val-interval 3 --early-stop 1 --lr-mode cosine"),
    ("ssd", "--random-shapes 300,332 --random-shape-interval 5"), ("yolo3", "--objectness-prior 0.01 --init near-identity"),
    ("yolo3", "--resume a.params --allow-partial --objectness-prior 0.01"),
    ("faster_rcnn", "--transfer a.params --pretrained-base no --lr-mode cosine")))
def test_a_flag_with_the_one_that_it_needs_is_not_warned_of(family, words, caplog):
    assert not said_of(family, on_a_set(family, words), caplog)


def on_a_set(family, words):
    """Words that stand on the family's defaults: those without a set have a recipe."""
    return words if family in ("minibatch", "classifier") else f"--dataset voc {words}"


@pytest.mark.parametrize("family, words", COMMAND_LINES)
def test_published_command_lines_resolve_to_gluoncvs_values(family, words, capsys):
    importlib.import_module(families.by_name(family).script).main([*words.split(), "--dry-run"])
    found, wanted = json.loads(capsys.readouterr().out), PUBLISHED[family].PUBLISHED[words]
    assert {name: found[name] for name in wanted} == wanted
    assert None not in {value for name, value in found.items() if name not in ("gpus", "norm_layer")}
    if family == "ssd":
        name = f"ssd_{found['data_shape']}_{found['network']}_{found['dataset']}"
        assert options_of(family, words).gluoncv_name() == name


def test_no_recipe_and_no_published_command_line_is_warned_of_idle_flags_but_of_dali(caplog):
    everything = [(recipe.family, f"--recipe {recipe.name}") for recipe in RECIPES.values()]
    everything += COMMAND_LINES
    assert len(everything) > 40
    for family, words in everything:
        idle = [text for text in said_of(family, words, caplog) if "does nothing" in text or "--mixup ends" in text]
        assert [text.partition(" does nothing here")[0] for text in idle] == ["--dali"] * words.count("--dali"), words


@pytest.mark.parametrize("family, words, told", (
    ("ssd", "--syncbn", "--syncbn does nothing on vgg16_atrous, which has no batch normalisation"),
    ("segmentation", "--model fcn8s --syncbn per-process",
     "--syncbn per-process does nothing on vgg16, which has no batch normalisation"),
    ("ssd", "--dali", "--dali does nothing here: the data workers make the batches"),
    ("segmentation", "--mode hybrid", "--mode hybrid does nothing here: networks are always hybridised"),
    ("segmentation", "--logging-file a.log", "--logging-file a.log does nothing here: a run's log is log.txt")))
def test_a_flag_that_does_nothing_here_is_told_to_who_gave_it(family, words, told, caplog):
    assert [text for text in said_of(family, on_a_set(family, words), caplog) if text.startswith(told)]


def test_nothing_is_told_of_flags_that_do_nothing_here_and_were_not_given(caplog):
    """A table's plan and a recipe of one's own may have them."""
    for family, changes in (("ssd", {"syncbn": True, "dali": True}),
                            ("segmentation", {"model": "fcn8s", "syncbn": True, "mode": "hybrid", "logging_file": "a.log"})):
        options = families.by_name(family).options(dataset="voc", **changes).resolved()
        options.check()
        options.warn_of_idle(())
    assert not caplog.records
