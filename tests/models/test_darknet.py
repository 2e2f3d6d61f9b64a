"""darknet-mini against GluonCV's Darknet-53, of which it is the small one."""
import numpy as np
import pytest

from gluon_bof.backend import mx
from gluon_bof.models.classifier import BUILDERS, build_classifier
from gluon_bof.models.darknet import darknet_mini, stage_ends
from gluon_bof.models.yolo3.network import NETWORKS, build_yolo3
from gluon_bof.options.classifier import NETWORKS as CLASSIFIERS
from gluon_bof.options.yolo3 import Yolo3Options
from gluon_bof.weights.load import load_backbone, save_weights, structured_parameters
from tests.tiny_networks import settled


def test_stages_end_where_gluoncv_cuts_darknet53():
    assert stage_ends((1, 2, 8, 8, 4)) == NETWORKS["darknet53"][1]


def test_features_of_the_three_stages_have_strides_8_16_and_32():
    network = build_yolo3("darknet-mini", ("a",))
    network.initialize()
    x, seen = mx.nd.zeros((1, 3, 96, 64)), []
    for stage in network.stages:
        x = stage(x)
        seen.append(x.shape[1:])
    assert seen == [(64, 12, 8), (128, 6, 4), (256, 3, 2)]


def test_parameters_are_named_as_gluoncv_names_darknet53s():
    small, large = ({name.split(".", 2)[-1] if name.startswith("features") else name for name in structured_parameters(network)}
                    for network in (darknet_mini(), NETWORKS["darknet53"][0](pretrained=False)))
    assert small == large
    assert len(structured_parameters(darknet_mini())) == 20 * 5 + 2  # weight, gamma, beta, mean, variance; and the classifier's


def test_a_pretrained_one_is_not_pretended():
    with pytest.raises(ValueError, match="no weights"):
        darknet_mini(pretrained=True)


def test_it_is_known_wherever_networks_are():
    assert "darknet-mini" in BUILDERS and "darknet-mini" in CLASSIFIERS
    assert set(Yolo3Options.__dataclass_fields__["network"].metadata["choices"]) == set(NETWORKS)


def test_a_detector_takes_the_classifiers_features(tmp_path):
    classifier = build_classifier("darknet-mini", 7, [mx.cpu()], 64)
    save_weights(classifier, str(tmp_path / "base.params"))
    detector = settled(build_yolo3("darknet-mini", ("a", "b")))
    load_backbone(detector, str(tmp_path / "base.params"))
    image = mx.nd.random.uniform(-2, 2, (1, 3, 64, 64))
    x = image
    for stage in detector.stages:
        x = stage(x)
    np.testing.assert_array_equal(x.asnumpy(), classifier.features(image).asnumpy())
