"""The backbone within a network, by the names that a classifier's file has for it."""
from __future__ import annotations

from typing import Sequence

from gluon_bof.backend import gluon


class OnBackbone:
    """What a network has besides its forward pass where all of its backbone sees the whole image, and everything learns; see
    models.build."""

    def backbone_parameters(self) -> dict[str, gluon.Parameter]:
        """{name in the file of a classifier on this backbone: Parameter}."""
        raise NotImplementedError

    def image_parameters(self) -> list[gluon.Parameter]:
        """[Parameter] of the backbone's layers that see the whole image: all."""
        return list(self.backbone_parameters().values())

    def trained_parameters(self) -> gluon.ParameterDict:
        """ParameterDict of what learns: everything."""
        return self.collect_params()


def laid_end_to_end(stages: Sequence[gluon.nn.HybridSequential]) -> dict[str, gluon.Parameter]:
    """{name in the file of a classifier whose `features` were cut into these stages: Parameter}."""
    found, first = {}, 0
    for stage in stages:
        for name, parameter in stage._collect_params_with_prefix().items():
            layer, rest = name.split(".", 1)
            found[f"features.{first + int(layer)}.{rest}"] = parameter
        first += len(stage)
    return found
