"""Repeat-factor sampling: LVIS's rule, and a sampler that keeps to it and else changes nothing."""
from collections import Counter

import numpy as np
import pytest
from scipy import stats

from gluon_bof.boxes import DetectionSet, Record
from gluon_bof.data.balance import advice, factors_of_shares, hardly_told_apart, image_shares, repeat_factors, repeats_of
from gluon_bof.data.loader import TrainingImages, training_loader
from gluon_bof.data.sampler import BatchSampler
from gluon_bof.data.voc import load_voc
from gluon_bof.freebies.mixup import MixRatio
from gluon_bof.options.yolo3 import Yolo3Options
from tests.tiny_sets import CLASSES, write_voc_set


def record(labels, crowd=()):
    labels = np.array(labels, np.int64)
    crowds = np.isin(np.arange(len(labels)), crowd)
    return Record("", "", 0, 9, 9, np.zeros((len(labels), 4), np.float32), labels, np.zeros(len(labels), bool), crowds)


# class 0 in 16 of 16 images, 1 in four, 2 in one, 3 in none
RECORDS = [record(labels) for labels in ([0, 0, 1], [0, 1, 2], [0, 1], [0, 1], *[[0]] * 11)] + [record([0, 2], crowd=[1])]
THRESHOLD = 0.5


def epochs_of(draws, count):
    return [list(draws.start(epoch)) for epoch in range(count)]


def test_factors_are_lvis():
    assert image_shares(RECORDS, 4).tolist() == [1, 0.25, 1 / 16, 0]
    # sqrt(0.5 / 0.25), sqrt(0.5 / 0.0625)
    assert factors_of_shares([1, 0.25, 1 / 16, 0], THRESHOLD) == pytest.approx([1, 2 ** 0.5, 8 ** 0.5, 1])
    assert repeat_factors(RECORDS, 4, THRESHOLD) == pytest.approx([2 ** 0.5, 8 ** 0.5, 2 ** 0.5, 2 ** 0.5] + [1] * 12)
    assert repeat_factors([record([])], 4, 1.0).tolist() == [1]


def test_each_image_is_seen_as_often_as_its_factor_says():
    repeats = repeat_factors(RECORDS, 4, THRESHOLD)
    draws = BatchSampler(16, 4, 3, (32,), repeats=repeats)
    assert draws.batches == 4 and draws.round_length == round(repeats.sum())
    rounds = 400
    seen = Counter()
    for start in range(rounds):
        places = [draws._image_at(start * draws.round_length + place) for place in range(draws.round_length)]
        counts = np.bincount(places, minlength=16)
        scaled = repeats * draws.round_length / repeats.sum()
        assert (counts >= np.floor(scaled)).all() and (counts <= np.ceil(scaled)).all()
        seen.update(places)
    shares = np.array([seen[index] for index in range(16)]) / rounds
    assert shares == pytest.approx(repeats * draws.round_length / repeats.sum(), abs=0.1)


def test_it_is_deterministic_resumable_and_shared_out():
    repeats = repeat_factors(RECORDS, 4, THRESHOLD)
    make = lambda **more: BatchSampler(16, 4, 3, (32,), mix=MixRatio(), mix_until=9, repeats=repeats, **more)  # noqa: E731
    whole = epochs_of(make(), 6)
    assert epochs_of(make(), 6) == whole
    assert list(make().start(4, 2)) == whole[4][2:]
    parts = [list(make(shard=(rank, 2)).start(5)) for rank in (0, 1)]
    assert [sorted(a + b) for a, b in zip(*parts)] == [sorted(batch) for batch in whole[5]]
    assert epochs_of(BatchSampler(16, 4, 4, (32,), mix=MixRatio(), mix_until=9, repeats=repeats), 6) != whole


def test_partners_are_others_and_rare_classes_are_among_them_as_often():
    repeats = np.array([1, 2.5, 1, 1.5])
    draws = BatchSampler(4, 4, 0, (32,), mix=MixRatio(), mix_until=1000, repeats=repeats)
    pairs = Counter((draw.index, draw.partner) for epoch in epochs_of(draws, 1000) for batch in epoch for draw in batch)
    assert all(index != partner and 0 <= partner < 4 for index, partner in pairs)
    for index in range(4):
        weights = np.delete(repeats, index)
        counts = np.array([pairs[index, partner] for partner in range(4) if partner != index])
        assert stats.chisquare(counts, weights / weights.sum() * counts.sum()).pvalue > 1e-3


def test_nothing_changes_where_nothing_is_rare():
    plain = BatchSampler(16, 4, 3, (32, 64), mix=MixRatio(), mix_until=2, aspects=np.arange(16))
    same = BatchSampler(16, 4, 3, (32, 64), mix=MixRatio(), mix_until=2, aspects=np.arange(16), repeats=np.ones(16))
    assert epochs_of(plain, 3) == epochs_of(same, 3)


def test_the_flag_is_off_by_default_and_says_when_it_does_nothing(caplog):
    found = DetectionSet("own", tuple("abcd"), RECORDS)
    assert repeats_of(Yolo3Options(), found) is None
    assert (repeats_of(Yolo3Options(balance="repeat"), found) == 1).all()
    said = caplog.text
    caplog.clear()
    assert "--balance repeat changes nothing" in said and "--balance-threshold 0.25" in said
    assert repeats_of(Yolo3Options(balance="repeat", balance_threshold=0.25), found).max() == 2
    assert not caplog.records


def test_a_rare_class_is_named_with_its_remedy():
    said = advice(image_shares(RECORDS, 4), tuple("abcd"))
    assert said.startswith("rare: c is in 6.2 % of the images") and "--balance repeat --balance-threshold 0.25" in said
    assert "2.0 times" in said
    assert advice([0.5, 0.4, 0.3, 0], "abcd") is None and advice([0, 0], "ab") is None


def test_classes_that_capitals_or_unicodes_form_alone_tell_apart_are_named():
    """Of the latter, which look the same, nothing was said."""
    assert hardly_told_apart(("Cat", "cat", "dog")) == [
        "Cat and cat are 2 classes, told apart by capitals alone; if they are one, write them alike in the annotations"]
    assert hardly_told_apart(("cat", "dog")) == []
    form = "Unicode form (NFC or NFD)"
    for names, how in ((("caf\u00e9", "cafe\u0301"), form), (("\u00c9", "\u00e9"), "capitals"),
                       (("\u00c9", "e\u0301"), f"capitals and {form}")):
        said, = hardly_told_apart(names)
        assert f"{names[0]} and {names[1]} are 2 classes, told apart by {how} alone;" in said


def test_batches_are_the_same_bits_for_any_number_of_workers(tmp_path):
    records = load_voc(str(write_voc_set(tmp_path, 12, 1)), "train", classes=CLASSES).records
    repeats = repeat_factors(records, 3, 1.0)
    batches = []
    for workers in (0, 1, 3):
        draws = BatchSampler(12, 4, 0, (64, 96), 1, MixRatio(), 9, repeats=repeats)
        loader = training_loader(TrainingImages(records), draws, workers)
        batches.append([array.asnumpy().tobytes() for epoch in range(2) for batch in _pass(loader, draws, epoch)
                        for array in batch[:2]])
    assert repeats.max() > 1 and batches[0] == batches[1] == batches[2] and len(set(batches[0])) > 8


def _pass(loader, draws, epoch):
    draws.start(epoch)
    return list(loader)
