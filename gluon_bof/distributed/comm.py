"""Which of several processes this one is."""
from __future__ import annotations

from gluon_bof.errors import UserError


def start_horovod():
    """horovod.mxnet, started. Raises UserError where it is not installed."""
    try:
        import horovod.mxnet as horovod
    except ImportError:
        raise UserError("--horovod: horovod is not installed", remedy="install horovod with MXNet, or use --gpus") \
            from None
    horovod.init()
    return horovod
