"""Every row of the paper as data, and the embedded job: a recipe is the scripts' options."""
from gluon_bof.options import EMBEDDED, Yolo3Options

# The embedded job: every freebie on, at a size that two CPU cores finish in minutes. No pretrained base is at hand
# there, which is why it takes Adam, a small batch and a start near the identity instead of the paper's SGD.
EMBEDDED_YOLO3 = Yolo3Options(
    dataset=EMBEDDED, network="mobilenet0.25", data_shape=160, random_shapes="128,192", batch_size=8, epochs=12,
    optimizer="adam", lr=0.003, lr_mode="cosine", warmup_epochs=1, wd=0.0, no_wd=True, syncbn=True,
    mixup=True, no_mixup_epochs=5, label_smooth_eps=0.1, pretrained_base="no", init="near-identity",
    objectness_prior=0.01, num_workers=1, val_interval=4, log_interval=50, save_interval=0, seed=0)
