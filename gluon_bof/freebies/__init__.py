"""The paper's tricks, one file each: each can be imported, and used, without the package's networks, data readers and training.

mixup (section 3.1), label_smoothing (3.2), augmentation (3.3), schedule (3.4), sync_batch_norm (3.5)."""
from gluon_bof._lazy import attach

__getattr__, __dir__, __all__ = attach(__name__, __file__)
