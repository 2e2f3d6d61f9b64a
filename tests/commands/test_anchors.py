"""python -m gluon_bof anchors: a file, a table, a plot and one line of JSON; refusals on one line."""
import json
from functools import partial

import numpy as np
import pytest
from PIL import Image

from gluon_bof.commands.anchors import main
from gluon_bof.data.anchors import box_sizes, default_anchors, mean_best_iou, read_anchors, size_iou
from gluon_bof.data.sets import open_set
from tests import command_lines
from tests.data import coco_files, voc_files
from tests.tiny_sets import write_voc_set

run, refused = partial(command_lines.answer_of, main), partial(command_lines.refused, main)


@pytest.fixture(scope="module")
def tiny(tmp_path_factory):
    return str(write_voc_set(tmp_path_factory.mktemp("set"), images=12, validation=6))


def test_the_command_says_what_it_writes(tiny, tmp_path, capsys):
    out = str(tmp_path / "anchors.json")
    told, text = run(capsys, tiny, "--out", out, "--data-shape", "32")  # at which boxes are smaller than default anchors
    sizes = box_sizes(open_set(tiny, None, "train").records, 32)
    anchors = np.reshape(read_anchors(out), (9, 2))
    np.testing.assert_array_equal(told["anchors"], anchors)
    assert told["boxes"] == len(sizes) and (told["data_shape"], told["out"], told["plot"]) == (32, out, None)
    assert told["mean_best_iou"] == pytest.approx(mean_best_iou(sizes, anchors))
    assert told["mean_best_iou_of_default"] == pytest.approx(mean_best_iou(sizes, default_anchors()))
    assert told["mean_best_iou"] > told["mean_best_iou_of_default"] and told["recall"] > told["recall_of_default"]
    kept = json.loads((tmp_path / "anchors.json").read_text())
    assert {key: told[key] for key in kept} == kept
    rows = [line for line in text.splitlines() if line.split()[:1] in (["8"], ["16"], ["32"])]
    assert [row.split()[0] for row in rows] == ["8"] * 3 + ["16"] * 3 + ["32"] * 3 and f"{out}: written" in text
    assert f"{told['mean_best_iou']:.4f}, of the default anchors {told['mean_best_iou_of_default']:.4f}" in text
    assert f"{100 * told['recall']:.1f} % of the boxes, of the default anchors {100 * told['recall_of_default']:.1f} %" in text
    for name, boxes in (("recall", anchors), ("recall_of_default", default_anchors())):
        overlaps = size_iou(sizes, boxes)
        best, nearest = overlaps.max(axis=1), overlaps.argmax(axis=1)
        assert told[name] == pytest.approx((best > 0.5).mean())
        for number, (row, (width, height)) in enumerate(zip(rows, boxes)):
            mine = best[nearest == number]
            iou = f"{mine.mean():.3f}" if len(mine) else ""
            assert f"{width:7.1f} x {height:5.1f}{100 * len(mine) / len(sizes):6.1f} %  {iou:>8}" in row


def test_anchors_are_the_same_again_unless_the_seed_is_another(tiny, tmp_path, capsys):
    one, same, other = (run(capsys, tiny, "--out", str(tmp_path / "a.json"), "--starts", "1", "--seed", seed)[0]["anchors"]
                        for seed in ("1", "1", "2"))
    assert one == same != other


def test_only_the_boxes_that_are_asked_for(tiny, tmp_path, capsys):
    skip = ("--on-bad-sample", "skip")  # a box of another class is a fault
    counts = [run(capsys, tiny, "--out", str(tmp_path / "a.json"), *words)[0]["boxes"]
              for words in ((), ("--classes", "red,green", *skip), ("--split", "trainval,test"))]
    assert 9 <= counts[1] < counts[0] < counts[2]


def test_the_plot_opens(tiny, tmp_path, capsys):
    plot = tmp_path / "a $x^{ and $.png"  # no formula, though matplotlib might take a title for one
    folder = tmp_path / "b $x^{ and $"
    folder.symlink_to(tiny)
    told, _ = run(capsys, str(folder), "--out", str(tmp_path / "a.json"), "--plot", str(plot))
    assert told["plot"] == str(plot)
    with Image.open(plot) as image:
        assert image.format == "PNG" and min(image.size) > 500
        colours = np.unique(np.asarray(image.convert("RGB")).reshape(-1, 3), axis=0)
    assert len(colours) > 100


def test_no_file_of_the_sets_folder_is_replaced_but_what_the_command_wrote_there(tmp_path, capsys):
    """A list, the names of classes and another part's annotations are not in the part that is read, and were lost."""
    folder = write_voc_set(tmp_path / "set", 12, 6) / "VOC2007"
    kept = [folder / "ImageSets/Main/test.txt", folder / "Annotations/000012.xml", folder / "classes.txt"]
    kept[-1].write_text("blue\ngreen\nred\n")
    before = [path.read_bytes() for path in kept]
    for path in kept:
        for flag in ("--out", "--plot"):
            line = refused(capsys, str(folder.parent), "--out", str(tmp_path / "a.json"), flag, str(path))
            assert f"{path}: this file lies in the set's folder, and would be replaced; give another name, or remove it" in line
    assert [path.read_bytes() for path in kept] == before
    for _ in range(2):
        run(capsys, str(folder.parent), "--starts", "1", "--out", str(folder / "anchors.txt"), "--plot", str(folder / "a.png"))


def test_faulty_boxes_stop_the_command_or_are_left_out(tmp_path, capsys):
    good = [("dog", 2 + number, 2, 20 + 3 * number, 40 + number) for number in range(12)]
    annotations = {"a": voc_files.xml(*good), "b": voc_files.xml(("dog", 30, 30, 30, 20))}
    voc_files.write_set(tmp_path / "set", annotations, {"trainval": "ab"})
    words = (str(tmp_path / "set"), "--out", str(tmp_path / "a.json"))
    assert "b.xml" in refused(capsys, *words)
    told, _ = run(capsys, *words, "--on-bad-sample", "skip")
    assert told["boxes"] == 12


def test_bad_arguments_are_refused_on_one_line(tiny, tmp_path, capsys):
    out = ("--out", str(tmp_path / "a.json"))
    assert "no data set" in refused(capsys, str(tmp_path / "missing"), *out)
    assert "gone" in refused(capsys, "voc", "--dataset-root", str(tmp_path / "gone"), *out)
    assert "neither" in refused(capsys, str(tmp_path), *out)
    assert "--data-shape 400" in refused(capsys, tiny, "--data-shape", "400", *out)
    assert "--data-shape -32" in refused(capsys, tiny, "--data-shape", "-32", *out)
    assert "--starts" in refused(capsys, tiny, "--starts", "0", *out)
    assert "--seed" in refused(capsys, tiny, "--seed", "-1", *out)
    assert "--seed" in refused(capsys, tiny, "--seed", 2 ** 64, *out)
    assert "--data-shape" in refused(capsys, tiny, "--data-shape", "many", *out)
    assert "DATASET" in refused(capsys) and "see gluon-bof anchors --help" in refused(capsys, "--colour")
    assert "no-such-split" in refused(capsys, tiny, "--split", "no-such-split", *out)
    for flag, where in (("--out", ()), ("--plot", out)):  # before the set is even looked for
        assert "no file can be written there" in refused(capsys, "no-set", *where, flag, str(tmp_path / "nowhere" / "a.json"))
    coco_files.write_set(tmp_path / "coco")
    assert "too few for 9 anchors" in refused(capsys, str(tmp_path / "coco"), *out)
    read = tmp_path / "coco" / "annotations" / "instances_train2017.json"
    before = read.read_bytes()
    assert "the command reads this file" in refused(capsys, str(tmp_path / "coco"), "--out", str(read))
    assert "two outputs would go into this file" in refused(capsys, "no-set", *out, "--plot", f"{tmp_path}/coco/../a.json")
    assert read.read_bytes() == before and [path.name for path in tmp_path.iterdir()] == ["coco"]
