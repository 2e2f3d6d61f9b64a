"""Global names of parameters, by which a trainer sorts them and so a checkpoint's optimizer states."""
import dataclasses

from gluon_bof import models
from gluon_bof.backend import mx
from gluon_bof.options.recipes import RECIPES


def order_of(options):
    """Structured names of what a trainer would hold, in its order."""
    network = models.build_network(options, ("a", "b"), [mx.cpu()])
    known = {id(parameter): name for name, parameter in network._collect_params_with_prefix().items()}
    trainer = mx.gluon.Trainer(network.trained_parameters(), "sgd", kvstore=None)
    return [(known[id(parameter)], parameter.name) for parameter in trainer._params]


def test_the_third_network_of_a_process_has_its_momenta_in_the_order_of_the_first():
    options = dataclasses.replace(RECIPES["faster_rcnn/embedded"].options, num_box_head_conv=4).resolved()
    first, _, third = (order_of(options) for _ in range(3))  # MXNet would count on: conv8 to conv11, of which conv10 comes first
    assert [name for name, _ in third] == [name for name, _ in first]
    of_head = [own for name, own in third if name.startswith("box_features")]
    assert len(of_head) == 4 * (1 + 4) + 2  # whichever network of its process this one is
    weights = {own for own in of_head if own.endswith("weight")}
    assert weights == {"conv0_weight", "conv1_weight", "conv2_weight", "conv3_weight", "dense0_weight"}
