"""MXNet, made ready and imported once: `from gluon_bof.backend import mx, gluon, autograd, nd`.

A module that also imports gluoncv does so below that line, because gluoncv imports MXNet by itself."""
import os
import warnings

from gluon_bof import threads
from gluon_bof.compat import light_import, prepare_mxnet

with light_import():
    prepare_mxnet()
    threads.choose()
    ENVIRONMENT = dict(os.environ)  # as MXNet finds it, which never looks again (unless a program imported it before)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # both packages warn of what newer Pythons and NumPys made of their imports
        import mxnet as mx
        from mxnet import autograd, gluon, nd
        from mxnet.contrib import amp  # which MXNet does not import by itself

        import gluoncv  # 0.1 s, here so that its warnings are silenced too

__all__ = ["ENVIRONMENT", "amp", "autograd", "gluon", "gluoncv", "mx", "nd"]
