"""The accuracy of a classifier."""
import numpy as np

from gluon_bof.backend import mx
from gluon_bof.training.classifier import accuracy


def test_accuracy_is_of_the_first_guess_and_of_the_first_five_in_whatever_order_images_come():
    rng = np.random.default_rng(0)
    logits, labels = rng.normal(size=(40, 8)), rng.integers(0, 8, 40)
    loader = [(mx.nd.array(logits[part]), part) for part in np.split(rng.permutation(40), 4)]
    found = accuracy(lambda images: images, loader, labels, mx.cpu(), 5)
    better = (logits > logits[np.arange(40), labels][:, None]).sum(axis=1)
    assert (found["accuracy"], found["top5"]) == ((better == 0).mean(), (better < 5).mean())
