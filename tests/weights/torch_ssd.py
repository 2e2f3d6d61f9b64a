"""A random ssd300_vgg16 under torchvision's names, an image, and what torchvision itself makes of it.

`torch_ssd300.npz` holds torchvision's outputs for some anchors, written by torchvision 0.28.0 with PyTorch 2.13.0 (CPU):

    python -m tests.weights.torch_ssd"""
from __future__ import annotations

from pathlib import Path

import numpy as np

EXPECTED = Path(__file__).with_name("torch_ssd300.npz")
SIDE = 300
ANCHORS = np.unique(np.r_[0:8732:211, 8600:8732:11, 8728:8732])  # of 8732; all levels, the last one's whole
# name: (filters, channels, size)
CONVOLUTIONS = {
    **{f"backbone.features.{place}": (filters, channels, 3) for place, filters, channels in (
        (0, 64, 3), (2, 64, 64), (5, 128, 64), (7, 128, 128), (10, 256, 128), (12, 256, 256), (14, 256, 256), (17, 512, 256),
        (19, 512, 512), (21, 512, 512))},
    **{f"backbone.extra.0.{place}": (512, 512, 3) for place in (1, 3, 5)},
    "backbone.extra.0.7.1": (1024, 512, 3), "backbone.extra.0.7.3": (1024, 1024, 1),
    **{f"backbone.extra.{level}.{place}": shape for level, shapes in enumerate(
        (((256, 1024, 1), (512, 256, 3)), ((128, 512, 1), (256, 128, 3)), ((128, 256, 1), (256, 128, 3)),
         ((128, 256, 1), (256, 128, 3))), 1) for place, shape in zip((0, 2), shapes)},
}
LEVELS = ((512, 4), (1024, 6), (512, 6), (256, 6), (256, 4), (256, 4))  # channels, anchors of a cell


def random_state(classes=90, seed=0):
    """{name: float32 array}, as `state_dict` names it."""
    rng, state = np.random.default_rng(seed), {}

    def convolution(name, filters, channels, size, gain):
        scale = (gain / (channels * size ** 2)) ** 0.5
        state[f"{name}.weight"] = scale * rng.standard_normal((filters, channels, size, size), dtype=np.float32)
        state[f"{name}.bias"] = 0.1 * rng.standard_normal(filters, dtype=np.float32)

    for name, shape in CONVOLUTIONS.items():
        convolution(name, *shape, 1e-4 if name == "backbone.features.0" else 2)  # images are 100 and more, features about 1
    state["backbone.scale_weight"] = rng.uniform(15, 25, 512).astype(np.float32)
    for level, (channels, anchors) in enumerate(LEVELS):
        for head, columns in (("classification", classes + 1), ("regression", 4)):
            convolution(f"head.{head}_head.module_list.{level}", anchors * columns, channels, 3, 1)
    return state


def image(seed=1):
    """(300, 300, 3) uint8: fields of colour."""
    return np.random.default_rng(seed).integers(0, 256, (30, 30, 3), np.uint8).repeat(10, 0).repeat(10, 1)


def main():
    """Write EXPECTED."""
    import torch

    library = torch.library.Library("torchvision", "DEF")  # where torchvision comes without its compiled part, which is not used
    for name in ("nms", "qnms"):
        library.define(f"{name}(Tensor dets, Tensor scores, float iou_threshold) -> Tensor")
    from torchvision.models.detection import ssd300_vgg16
    from torchvision.models.detection.image_list import ImageList
    model = ssd300_vgg16(weights=None, weights_backbone=None).eval()
    model.load_state_dict({name: torch.from_numpy(array) for name, array in random_state().items()})
    with torch.no_grad():
        pixels = torch.from_numpy(image().transpose(2, 0, 1)).float() / 255
        batch = ImageList(model.transform.normalize(pixels)[None], [(SIDE, SIDE)])
        features = list(model.backbone(batch.tensors).values())
        heads = model.head(features)
        anchors = model.anchor_generator(batch, features)[0]
        boxes = model.box_coder.decode_single(heads["bbox_regression"][0], anchors)
    kept = dict(logits=heads["cls_logits"][0], offsets=heads["bbox_regression"][0], anchors=anchors, boxes=boxes)
    np.savez_compressed(EXPECTED, **{name: array.numpy()[ANCHORS] for name, array in kept.items()})


if __name__ == "__main__":
    main()
