"""The accuracy of a classifier."""
import numpy as np

from gluon_bof.backend import mx
from gluon_bof.distributed import comm, exchange
from gluon_bof.training.classifier import accuracy


def test_accuracy_is_of_the_first_guess_and_of_the_first_five_in_whatever_order_images_come():
    rng = np.random.default_rng(0)
    logits, labels = rng.normal(size=(40, 8)), rng.integers(0, 8, 40)
    loader = [(mx.nd.array(logits[part]), part) for part in np.split(rng.permutation(40), 4)]
    found = accuracy(lambda images: images, loader, labels, mx.cpu(), 5)
    better = (logits > logits[np.arange(40), labels][:, None]).sum(axis=1)
    assert (found["accuracy"], found["top5"]) == ((better == 0).mean(), (better < 5).mean())


class FirstOfTwo(comm.Alone):
    size = 2


def test_accuracy_over_two_workers_is_of_the_images_of_both(tmp_path, monkeypatch):
    monkeypatch.setattr(comm, "_group", FirstOfTwo())
    monkeypatch.setattr(exchange, "_folder", str(tmp_path))
    monkeypatch.setattr(exchange, "_number", 0)
    labels = np.arange(8)
    ours = [(mx.nd.array(np.eye(8)[[0, 1, 7]]), np.array([0, 1, 2]))]  # two of three are right
    (tmp_path / f"{exchange._start}-000001-share-1").write_text("[3, 5]")  # of the other's five
    found = accuracy(lambda images: images, ours, labels, mx.cpu(), 1)
    assert found["accuracy"] == 5 / 8 and found["top5"] == 7 / 8
