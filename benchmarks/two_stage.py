"""Faster R-CNN's inference on the CPU: our network beside GluonCV's of the same weights, the image in memory, nothing else.

    two_stage.py                       # a pyramid on ResNet-18 at 320 pixels, as training.py --detector faster_rcnn has it
    two_stage.py --kind slim           # the embedded job's on a ResNet-18, at its size
    two_stage.py --kind level          # GluonCV's ResNet-50 without a pyramid

A third side is ours of MXNet's operators alone. Prints milliseconds an image, also of the processor, which other processes of
the machine touch less, and the floors; the last line is one JSON object."""
import os
import statistics
import sys
import warnings

sys.path.insert(0, os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
import numpy as np

from benchmarks.common import finish, machine, machine_floors, parser_of, ratio, say, timed_in_turn
from gluon_bof.data.shapes import CLASSES
from gluon_bof.errors import user_facing

SPREAD = 0.05  # of the heads' weights, so that scores differ from place to place
KINDS = ("pyramid", "slim", "level")


def options_of(kind, short):
    """Resolved options of a kind, and the sides of its image."""
    from dataclasses import replace

    from gluon_bof.options.faster_rcnn import FasterRcnnOptions
    from gluon_bof.options.recipes import EMBEDDED_FASTER_RCNN, RESNET_FROM_SCRATCH
    short = short or (128 if kind == "slim" else 320)
    sizes = dict(image_short=(short,), image_max_size=short * 5 // 3)
    if kind == "slim":
        options = replace(EMBEDDED_FASTER_RCNN, **RESNET_FROM_SCRATCH, **sizes)
    elif kind == "pyramid":
        options = FasterRcnnOptions(dataset="shapes", network="resnet18_v1b", use_fpn=True, norm_layer="syncbn",
                                    custom_model=True, num_box_head_conv=0, pretrained_base="no", **sizes)
    else:
        options = FasterRcnnOptions(dataset="shapes", network="resnet50_v1b", pretrained_base="no", **sizes)
    return options.resolved(), (short, short * 4 // 3)


def networks(options, size):
    """(ours, GluonCV's) of the same weights."""
    from gluon_bof.backend import mx
    from gluon_bof.models.build import build_network
    from gluon_bof.models.faster_rcnn.network import assemble
    from gluon_bof.weights.load import set_weights, weights_of

    from gluoncv.model_zoo.rcnn.faster_rcnn.faster_rcnn import FasterRCNN

    def official(*arguments, samples, positive_iou, positive_share, **keywords):
        return FasterRCNN(*arguments, num_sample=samples, pos_iou_thresh=positive_iou, pos_ratio=positive_share,
                          per_device_batch_size=1, max_num_gt=100, **keywords)

    mx.random.seed(0)
    own, theirs = build_network(options, CLASSES, [mx.cpu()]), assemble(official, options, CLASSES, [mx.cpu()])
    for parameter in own.collect_params(".*(dense|rpn).*weight").values():
        parameter.set_data(mx.nd.random.normal(0, SPREAD, parameter.shape))
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of what is initialised twice
        theirs.initialize()
    theirs(mx.nd.zeros((1, 3, *size)))
    mx.nd.waitall()
    set_weights(theirs, weights_of(own), "ours")
    mx.nd.waitall()
    return own, theirs


def sides(options, size):
    """{name: function that finds boxes in the image}."""
    from gluon_bof.backend import mx
    from gluon_bof.models.build import portable
    from gluon_bof.models.preprocess import InferenceGraph
    own, theirs = networks(options, size)
    image = np.random.default_rng(0).integers(0, 256, (1, *size, 3)).astype(np.uint8)
    given = mx.nd.array(image, dtype=np.uint8)
    found = {}
    for name, network in (("ours", own), ("MXNet's operators alone", own), ("GluonCV's", theirs)):
        graph = InferenceGraph(network)
        graph.hybridize()
        if name == "ours":
            graph(given)
        with portable():  # counts where a graph is built, at its first call
            graph(given)
        found[name] = lambda graph=graph: [output.asnumpy() for output in graph(given)]
    return found


@user_facing
def main(argv=None):
    parser = parser_of(__doc__)
    parser.add_argument("--kind", choices=KINDS, default=KINDS[0], help="which network")
    parser.add_argument("--short", type=int, default=0, help="short side of the image in pixels; default: 320, slim 128")
    parser.add_argument("--rounds", type=int, default=7, help="how often the sides take turns")
    arguments = parser.parse_args(argv)
    options, size = options_of(arguments.kind, arguments.short)
    say(machine())
    say(f"{options.gluoncv_name()}, image {size[1]} x {size[0]}")
    found = sides(options, size)
    ours, alone = found["ours"](), found["MXNet's operators alone"]()
    same = all(np.array_equal(mine, other) for mine, other in zip(ours, alone))
    seconds, processor = timed_in_turn(found, arguments.rounds)
    result = {"kind": arguments.kind, "size": size, "same_as_mxnets_operators": same}
    for name in found:
        milliseconds, of_processor = (1000 * statistics.median(times[name]) for times in (seconds, processor))
        say(f"{name:28} {milliseconds:9.1f} ms, of the processor {of_processor:9.1f} ms")
        result[name] = {"milliseconds": milliseconds, "processor_milliseconds": of_processor}
    result["ratio"], result["processor_ratio"] = (ratio(times["GluonCV's"], times["ours"]) for times in (seconds, processor))
    say(f"GluonCV's over ours: {result['ratio']:.2f}, of the processor's time {result['processor_ratio']:.2f}; detections "
        f"{'are' if same else 'are NOT'} those of MXNet's operators to the last bit")
    finish({**result, **machine_floors()})


if __name__ == "__main__":
    main()
