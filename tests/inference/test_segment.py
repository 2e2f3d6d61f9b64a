"""Label maps on their way into files."""
import json
from types import SimpleNamespace

import numpy as np
import pytest

from gluon_bof.errors import UserError
from gluon_bof.inference.segment import segment_all
from gluon_bof.inference.segmentation_model import SegmentationModel
from gluon_bof.inference.segmenter import LabelMap
from gluon_bof.inference.sources import Source
from gluon_bof.masks import read_numbers, write_numbers


class Model:
    classes = ("background", "cat")
    segmenter = SimpleNamespace(device="cpu")

    def predict(self, image):
        labels = np.random.default_rng(0).integers(0, 2, image.shape[:2]).astype(np.uint8)
        return LabelMap(labels, np.ones(labels.shape, np.float32))


def test_a_label_map_that_cannot_be_written_is_named_and_leaves_no_part_in_its_place(tmp_path):
    image, out = tmp_path / "a.png", tmp_path / "out"
    write_numbers(image, np.zeros((20, 30), np.uint8))
    source = Source(str(image), str(out / "a.png"))
    segment_all(Model(), [source], str(out))
    found, (row,) = read_numbers(out / "a.labels.png"), json.loads((out / "segments.json").read_text())["images"]
    assert (row["width"], row["height"]) == (30, 20) == found.shape[::-1]
    assert row["shares"] == pytest.approx({"background": (found == 0).mean(), "cat": (found == 1).mean()})
    (out / "a.labels.png").unlink()
    (out / "a.labels.png").mkdir()
    with pytest.raises(UserError, match=r"a.labels.png: cannot be written \(Is a directory\)"):
        segment_all(Model(), [source], str(out))
    assert sorted(path.name for path in out.iterdir()) == ["a.labels.png", "a.png", "segments.json"]


def test_an_export_that_no_segmenter_has_is_refused_by_flags_in_a_command_and_by_arguments_in_python():
    model = SegmentationModel(SimpleNamespace(classes=Model.classes))
    for export, remedies in ((model.export, ("give format onnx", "leave nms out")),
                             (model.write, ("give --format onnx", "leave --no-nms out"))):
        for (kind, nms), remedy in zip((("mxnet", True), ("onnx", False)), remedies):
            with pytest.raises(UserError, match=f"a segmenter .*; {remedy}$"):
                export("a", kind, None, nms, ())
