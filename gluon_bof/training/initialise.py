"""What a training starts from: a pretrained base or another detector's weights; and what of it learns."""
from __future__ import annotations

from typing import Any

from gluon_bof.errors import LOGGER, UserError
from gluon_bof.training.freezing import freeze
from gluon_bof.weights.load import Transferred, load_backbone, transfer
from gluon_bof.weights.resolve import backbone_weights, resolve


def initialise_weights(network: Any, options: Any, checkpoint: str | None = None) -> None:
    """Fill an initialised network with what the options let it start from, and freeze what they say.

    checkpoint: of a run that goes on. Raises UserError where the start cannot be had or does not fit."""
    if checkpoint or options.starts_from_file:
        pass  # all weights are about to be replaced
    elif options.transfer:
        LOGGER.info("from %s: %s", options.transfer, transfer_from(network, options))
    elif options.pretrained_base != "no":
        load_backbone(network, backbone_weights(options.pretrained_base, options.network))
    freeze(network, options.freeze)


def transfer_from(network: Any, options: Any) -> Transferred:
    """Take over what an initialised network shares with the detector of --transfer. Returns what was kept, to be printed.

    Where the detector's class names are not known, all classes are re-initialised. Raises UserError for another network."""
    source = resolve(options.transfer)
    if source.classes is None:
        return transfer(network, source.path)
    if source.options.network != options.network:
        raise UserError(f"its network is {source.options.network}, not {options.network}", source.path,
                        f"give --{'backbone' if hasattr(options, 'backbone') else 'network'} {source.options.network}")
    return transfer(network, source.path, source.classes, by_name=not source.run)
