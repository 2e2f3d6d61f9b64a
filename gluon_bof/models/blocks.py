"""A walk through a network."""
from __future__ import annotations

from typing import Iterator

from gluon_bof.backend import gluon


def blocks_of(block: gluon.Block) -> Iterator[gluon.Block]:
    """The block, then those of each child, in order."""
    yield block
    for child in block._children.values():
        yield from blocks_of(child)
