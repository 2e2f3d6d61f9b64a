"""What a training starts from: a pretrained base or another detector's weights; and what of it learns."""
from __future__ import annotations

from gluon_bof.data.sets import class_names
from gluon_bof.errors import UserError
from gluon_bof.runs.folder import LOGGER
from gluon_bof.training.freezing import freeze
from gluon_bof.weights.load import load_backbone, transfer
from gluon_bof.weights.resolve import backbone_weights, find


def initialise_weights(network, options, checkpoint=None):
    """Fill an initialised network with what the options let it start from, and freeze what they say.

    checkpoint: of a run that goes on. Raises UserError where the start cannot be had or does not fit."""
    if checkpoint or options.resume.endswith(".params"):
        pass  # all weights are about to be replaced
    elif options.transfer:
        LOGGER.info("from %s: %s", options.transfer, transfer_from(network, options))
    elif options.pretrained_base != "no":
        load_backbone(network, backbone_weights(options.pretrained_base, options.network))
    freeze(network, options.freeze)


def transfer_from(network, options):
    """Take over what an initialised network shares with the detector of --transfer. Returns what was kept, to be printed.

    Where the detector's class names are not known, all classes re-initialised. Raises UserError for another network."""
    source, path, _ = find(options.transfer)
    if not source.classes:
        return transfer(network, path)
    if source.network != options.network:
        raise UserError(f"its network is {source.network}, not {options.network}", path, f"give --network {source.network}")
    return transfer(network, path, class_names(source.classes))
