"""benchmarks/suspects.py: what it lays out for a training is what it spoilt, and its last line has every figure."""
import json
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from benchmarks.spoiling import spoil
from benchmarks.suspects import in_vocs_layout, write_voc
from gluon_bof.data.sets import open_set
from tests.tiny_networks import write_run
from tests.tiny_sets import CLASSES, write_voc_set

ROOT = Path(__file__).resolve().parents[2]


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return write_voc_set(tmp_path_factory.mktemp("set"), 8, 4)


def boxes_of(records):
    return [(record.width, record.height, record.classes.tolist(), record.boxes.round(1).tolist()) for record in records]


def test_spoilt_labels_are_written_and_read_back_the_same(folder, tmp_path):
    parts = {part: spoil(open_set(str(folder), None, part).records, 3, 0.4)[0] for part in ("train", "val")}
    write_voc(str(tmp_path), CLASSES, parts)
    for part, records in parts.items():
        again = open_set(str(tmp_path), None, part, CLASSES)
        for (_, _, labels, boxes), (_, _, labels_again, boxes_again) in zip(boxes_of(records), boxes_of(again.records)):
            assert labels == labels_again
            np.testing.assert_allclose(np.reshape(boxes, (-1, 4)), np.reshape(boxes_again, (-1, 4)), atol=0.11)


def test_images_and_xml_side_by_side_are_laid_out_anew(folder, tmp_path):
    source = folder / "VOC2007"
    for part, split in (("train", "trainval"), ("test", "test")):
        (tmp_path / part).mkdir()
        for name in (source / "ImageSets/Main" / f"{split}.txt").read_text().split():
            (tmp_path / part / f"{name}.JPG").write_bytes((source / "JPEGImages" / f"{name}.jpg").read_bytes())
            (tmp_path / part / f"{name}.xml").write_bytes((source / "Annotations" / f"{name}.xml").read_bytes())
    with in_vocs_layout(str(tmp_path)) as laid_out:
        for part in ("train", "val"):
            assert boxes_of(open_set(laid_out, None, part).records) == boxes_of(open_set(str(folder), None, part).records)
    with in_vocs_layout(str(folder)) as same:
        assert same == str(folder)


@pytest.mark.slow
def test_the_last_line_has_a_row_a_seed_and_part(folder, tmp_path):
    words = ["--images", str(folder), "--weights", write_run(tmp_path / "run"), "--seeds", "0,1", "--share", "0.2"]
    process = subprocess.run([sys.executable, str(ROOT / "benchmarks" / "suspects.py"), *words], capture_output=True,
                             text=True, check=False, env=dict(os.environ, OMP_NUM_THREADS="1"))
    assert process.returncode == 0, process.stderr
    rows = json.loads(process.stdout.splitlines()[-1])["rows"]
    assert [(row["seed"], row["part"]) for row in rows] == [(seed, part) for seed in (0, 1) for part in ("train", "val", "both")]
    assert all(0 <= row["precision_of_first_50"] <= row["highest_possible"] and row["spoilt"] > 0 for row in rows)
