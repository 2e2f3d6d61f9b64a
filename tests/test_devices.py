"""Devices that there are, that are missing, and that MXNet cannot use."""
import pytest

from gluon_bof.backend import mx
from gluon_bof.devices import contexts, parse_cards, refuse_too_new
from gluon_bof.errors import UserError


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
