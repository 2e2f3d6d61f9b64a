"""What a training starts from: a pretrained base or another detector's weights; and what of it learns."""
from __future__ import annotations

from gluon_bof.data.sets import class_names
from gluon_bof.models.freezing import freeze
from gluon_bof.models.weights import load_backbone, load_partially, transfer
from gluon_bof.models.zoo import base_file, find
from gluon_bof.training.run import LOGGER


def begin(network, options):
    """Fill an initialised network with what the options let it start from, and freeze what they say.

    Raises UserError where that cannot be had or does not fit."""
    if options.resume:
        pass  # all weights are about to be replaced
    elif options.transfer:
        LOGGER.info("from %s: %s", options.transfer, transferred(network, options.transfer))
    elif options.pretrained_base != "no":
        load_backbone(network, base_file(options.pretrained_base, options.network))
    freeze(network, options.freeze)


def transferred(network, weights):
    """Take over what an initialised network shares with a trained detector. Returns what was kept, to be printed.

    Where the detector's class names are not known, all classes begin anew. Raises UserError for another backbone."""
    source, path, _ = find(weights)
    return transfer(network, path, class_names(source.classes)) if source.classes else load_partially(network, path)
