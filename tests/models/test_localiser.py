"""Classification with localisation: the losses in closed form, the classifier as without a box, what a detector takes of it."""
import numpy as np
import pytest
import scipy.special

from gluon_bof.backend import autograd, mx
from gluon_bof.models.localiser import CENTRE, TrainingGraph, build_localiser
from gluon_bof.models.preprocess import Normalise
from gluon_bof.models.yolo3.network import build_yolo3
from gluon_bof.training.localisation import Localisation, clipped, paired_iou
from gluon_bof.weights.fitting import fitting_network
from gluon_bof.weights.load import load_backbone, save_weights, structured_parameters, weights_of
from tests.tiny_networks import settled

SIDE, K = 64, 3
NETWORKS = ("darknet-mini", "mobilenet0.25", "resnet18_v1b")


def batch(count=4, seed=0):
    """Images and labels, every second one mixed."""
    rng = np.random.default_rng(seed)
    images = mx.nd.array(rng.integers(0, 256, (count, SIDE, SIDE, 3)), dtype="uint8")
    labels = rng.uniform(0, 1, (count, 11))
    labels[:, :2] = rng.integers(0, K, (count, 2))
    labels[::2, 2] = 1
    return images, labels


@pytest.fixture(name="localiser", scope="module", params=NETWORKS)
def each_localiser(request):
    mx.random.seed(1)
    return request.param, build_localiser(request.param, K, [mx.cpu()], SIDE)


def test_both_losses_are_the_closed_forms_and_boxes_weigh_as_their_images(localiser):
    _, network = localiser
    images, labels = batch()
    logits, corners = (part.asnumpy().astype(np.float64) for part in network(Normalise()(images)))
    epsilon, weight = 0.1, 7.0
    found = [loss.asnumpy() for loss in TrainingGraph(network, K, epsilon, weight)(images, mx.nd.array(labels))]
    smooth = (1 - epsilon) * np.eye(K) + epsilon / K  # Eq. 3
    np.testing.assert_allclose(found[0], expected_entropy(logits, labels, smooth), rtol=1e-4)
    share = labels[:, 2]
    distances = [((corners - labels[:, begin:begin + 4]) ** 2).sum(axis=1) for begin in (3, 7)]
    np.testing.assert_allclose(found[1], weight * (share * distances[0] + (1 - share) * distances[1]), rtol=1e-4)


def expected_entropy(logits, labels, smooth):
    share = labels[:, 2:3]
    target = share * smooth[labels[:, 0].astype(int)] + (1 - share) * smooth[labels[:, 1].astype(int)]
    return -(target * scipy.special.log_softmax(logits, axis=1)).sum(axis=1)


def test_the_boxs_bias_has_the_gradient_of_the_squared_distance(localiser):
    _, network = localiser
    images, labels = batch()
    graph = TrainingGraph(network, K, 0.0, 7.0)
    with autograd.record():
        box = graph(images, mx.nd.array(labels))[1]
    box.backward()
    with autograd.record():  # normalisation by the batch's statistics, as above
        corners = network(Normalise()(images))[1].asnumpy()
    share = labels[:, 2:3]
    pulled = share * (corners - labels[:, 3:7]) + (1 - share) * (corners - labels[:, 7:])
    np.testing.assert_allclose(network.network.box.bias.grad().asnumpy(), 2 * 7.0 * pulled.sum(axis=0), rtol=1e-3, atol=1e-3)


def test_the_classes_are_those_of_gluoncvs_classifier_and_an_untrained_box_is_in_the_middle(localiser):
    _, network = localiser
    x = Normalise()(batch(seed=2)[0])
    logits, corners = network(x)
    np.testing.assert_allclose(logits.asnumpy(), network.network(x).asnumpy(), rtol=1e-5, atol=1e-6)
    assert np.abs(corners.asnumpy() - CENTRE).max() < 0.2


def test_the_box_sees_the_map_before_it_is_pooled():
    network = build_localiser("darknet-mini", K, [mx.cpu()], SIDE)
    features = network.network.features(Normalise()(batch()[0]))
    assert network.network.box.weight.shape == (4, features[0].size) and features.shape[2:] == (2, 2)


def test_its_weights_are_a_detectors_pretrained_base(tmp_path):
    mx.random.seed(3)
    network = build_localiser("darknet-mini", K, [mx.cpu()], SIDE).network
    path = str(tmp_path / "last.params")
    save_weights(network, path)
    assert {"box.weight", "box.bias", "features.0.0.weight"} <= set(weights_of(network))
    detector = settled(build_yolo3("darknet-mini", ("a", "b")), SIDE)
    load_backbone(detector, path)
    kept = structured_parameters(network)
    for name, parameter in detector.backbone_parameters().items():
        np.testing.assert_array_equal(parameter.data().asnumpy(), kept[name].data().asnumpy())


# evaluation

class Sample:
    """What evaluation asks of a sample."""

    window = (0, 0, 100, 50)

    def __init__(self, class_id, box):
        self.class_id, self.box = class_id, box


def test_accuracy_iou_and_both_together_are_counted():
    truth = [(0, 0, 50, 25), (20, 10, 60, 30), (0, 0, 100, 50), (10, 10, 20, 20)]
    said = np.array([(0, 0, 0.5, 0.5), (0.2, 0.2, 0.42, 0.6), (-1, 0, 0.4, 1.0), (0.9, 0.9, 0.8, 0.8)])
    right = (True, True, True, False)
    logits = np.array([[9, 0] if is_right else [0, 9] for is_right in right], np.float32)
    loader = [(mx.nd.zeros((4, 8, 8, 3), dtype="uint8"), np.arange(4))]
    validation = Localisation(lambda images: (mx.nd.array(logits), mx.nd.array(said)), loader,
                              [Sample(0, box) for box in truth], mx.cpu())
    found = validation()
    shares = (1.0, 0.55, 0.4, 0.0)  # the same box; a part of it; cut at the edge; sides that are crossed
    assert found["mean_iou"] == pytest.approx(np.mean(shares), abs=1e-6)
    assert found["accuracy"] == 0.75 and found["localisation"] == 0.5
    assert validation(lambda: True) is None and validation.predictions == {}


def test_paired_iou_is_the_usual_iou():
    from gluon_bof.boxes import iou

    corners = np.sort(np.random.default_rng(0).uniform(0, 1, (2, 50, 2, 2)), axis=2)
    a, b = corners[0].reshape(50, 4), corners[1].reshape(50, 4)
    np.testing.assert_allclose(paired_iou(a, b), iou(a, b).diagonal(), rtol=1e-9)
    assert clipped(np.array([[-1, 0.5, 2, 0.4]])).tolist() == [[0, 0.5, 1, 0.5]]


def test_its_file_is_told_to_be_of_its_backbone_as_a_classifiers_is():
    network = build_localiser("darknet-mini", K, [mx.cpu()], SIDE).network
    shapes = {name: parameter.shape for name, parameter in structured_parameters(network).items()}
    assert {"box.weight", "box.bias"} < shapes.keys() and fitting_network(shapes).network == "darknet-mini"
