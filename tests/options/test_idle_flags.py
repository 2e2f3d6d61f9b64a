"""Flags that were given and do nothing are told, and nobody else is bothered."""
import pytest

from gluon_bof.options import families
from gluon_bof.options.flags import parse
from gluon_bof.options.recipes import RECIPES
from tests.options import test_faster_rcnn, test_flags, test_mask_rcnn, test_segmentation, test_ssd

PUBLISHED = {"yolo3": test_flags, "faster_rcnn": test_faster_rcnn, "ssd": test_ssd, "mask_rcnn": test_mask_rcnn,
             "segmentation": test_segmentation}


def said_of(options, caplog):
    caplog.clear()
    options.resolved().check()
    return [record.getMessage() for record in caplog.records]


def options_of(family, words):
    return parse(families.by_name(family).options, words.split(), "", RECIPES.of_family(family)).options


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
    ("segmentation", "--early-stop 2 --no-val", "--early-stop 2 does nothing with --no-val: there is one validation")))
def test_a_flag_without_the_one_that_it_needs_does_not_do_nothing_without_a_word(family, words, told, caplog):
    said = said_of(options_of(family, f"--dataset voc {words}"), caplog)
    assert any(text.startswith(told) for text in said)


@pytest.mark.parametrize("family, words", (
    ("yolo3", "--balance repeat --balance-threshold 0.01"), ("yolo3", "--resume a.params --allow-partial"),
    ("ssd", "--mixup --mixup-alpha 1"), ("yolo3", "--mixup even --mixup-loss unweighted"),
    ("yolo3", "--mixup --epochs 34 --no-mixup-epochs 22 --lr-mode cosine"), ("mask_rcnn", "--mixup --epochs 40"),
    ("faster_rcnn", "--syncbn per-process --norm-layer syncbn"), ("segmentation", "--early-stop 2"),
    ("yolo3", "--epochs 100 --lr-decay-period 60"), ("ssd", "--epochs 100 --lr-decay-epoch 60,160"), ("ssd", "--epochs 1"),
    ("mask_rcnn", "--epochs 17 --lr-mode cosine"), ("segmentation", "--epochs 4")))
def test_a_flag_with_the_one_that_it_needs_is_not_warned_of(family, words, caplog):
    assert not said_of(options_of(family, f"--dataset voc {words}"), caplog)


def test_no_recipe_and_no_published_command_line_is_warned_of_idle_flags(caplog):
    everything = [recipe.options for recipe in RECIPES.values()]
    everything += [options_of(family, words) for family, module in PUBLISHED.items() for words in module.PUBLISHED]
    assert len(everything) > 40
    for options in everything:
        assert not [text for text in said_of(options, caplog) if "does nothing with" in text or "--mixup ends" in text]
