"""Devices that there are, that are missing, and that MXNet cannot use."""
import json

import numpy as np
import pytest

from gluon_bof.backend import mx
from gluon_bof.commands import check, evaluate
from gluon_bof.devices import contexts, parse_cards, refuse_too_new
from gluon_bof.errors import UserError
from gluon_bof.inference.engines import MXNetEngine
from gluon_bof.models.build import build_network
from tests.command_lines import refused
from tests.tiny_networks import write_run
from tests.tiny_sets import write_voc_set


def test_a_missing_gpu_and_one_too_new_are_refused_by_name():
    assert contexts("") == [mx.cpu(0)]
    for gpus in ("99", "0,0", "x"):
        with pytest.raises(UserError):
            contexts(gpus)
    cards = parse_cards("NVIDIA GeForce RTX 4090, 8.9\nNVIDIA H100 PCIe, 9.0\nnonsense\n")
    assert cards == [("NVIDIA GeForce RTX 4090", 8.9), ("NVIDIA H100 PCIe", 9.0)]
    refuse_too_new(cards[:1])
    with pytest.raises(UserError, match="H100"):
        refuse_too_new(cards)


def test_weights_of_a_run_on_gpus_are_used_where_there_are_none_and_only_given_ones_are_insisted_on(tmp_path, capsys):
    run, place = write_run(tmp_path / "run"), str(tmp_path / "set")
    write_voc_set(tmp_path / "set", images=2, validation=2)
    config = json.loads((tmp_path / "run" / "config.json").read_text())
    config["options"].update(gpus="98,99", dataset=place)
    (tmp_path / "run" / "config.json").write_text(json.dumps(config))
    for command, words in ((evaluate.main, [run, "--num-workers", "0"]), (check.main, [place, "--with", run])):
        command(words)
        said = capsys.readouterr()
        assert said.err.count("warning: the run was trained with --gpus 98,99, which cannot be had here") == 1
        assert "map" in json.loads(said.out.splitlines()[-1]) or "suspects" in json.loads(said.out.splitlines()[-1])
    assert "GPU 98 was asked for" in refused(evaluate.main, capsys, run, "--num-workers", "0", "--gpus", "98")


@pytest.mark.parametrize("call", (MXNetEngine(None, mx.cpu()), lambda images: build_network(None, ("a",), [mx.cpu()])))
def test_a_program_with_numpys_arrays_is_told_and_gets_no_traceback_of_mxnets(call):
    mx.npx.set_np()
    try:
        with pytest.raises(UserError, match="call mx.npx.reset_np"):
            call(np.zeros((1, 64, 64, 3), np.uint8))
    finally:
        mx.npx.reset_np()
