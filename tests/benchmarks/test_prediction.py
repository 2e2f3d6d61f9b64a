"""benchmarks/prediction.py: every side runs, finds the same, and its last line has every figure."""
import json

import pytest

from benchmarks.prediction import main
from tests.tiny_sets import write_voc_set

pytest.importorskip("onnxruntime")


@pytest.mark.slow  # three sides of the command, two of the network
def test_the_last_line_has_every_side(tmp_path, monkeypatch, capsys):
    monkeypatch.setenv("GLUON_BOF_CACHE", str(tmp_path / "cache"))
    folder = write_voc_set(tmp_path / "set", images=3, validation=1)
    main(["--images", str(folder), "--count", "2", "--rounds", "1", "--size", "96", "--peers", "onnxruntime,opencv"])
    result = json.loads(capsys.readouterr().out.splitlines()[-1])
    assert result["images"] == 2 and result["size"] == 96
    for kind in ("folder", "video"):
        assert set(result[kind]) == {"one by one", "mxnet", "onnx"} and min(result[f"ratio_{kind}"].values()) > 0
    assert result["same_detections"]["onnxruntime"] == 1.0 and result["detections_images_per_second"]["ours"] > 0
    assert min(result[name] for name in ("decode_ms", "network_ms", "share_of_peak")) > 0
