"""Which ground-truth box each anchor is matched with and where it lies, for the whole batch on the device.

The numbers are those of GluonCV's SSDTargetGenerator without its sampling, from boxes (B, M) alone."""
from __future__ import annotations

from gluon_bof.backend import gluon
from gluon_bof.models.build import is_portable
from gluon_bof.models.gather import batched_gather
from gluon_bof.models.ssd import on_cpu
from gluon_bof.models.ssd.network import STDS

MATCH_IOU = 0.5
LEAST_IOU = 1e-12  # what counts as an overlap


class MultiBoxTargets(gluon.HybridBlock):
    """(truth (B, M, 6), anchors (1, N, 4) of centre and size in pixels) -> of every anchor

    label (B, N): class number + 1 where it is matched, 0 where it is background; weight (B, N): the mix weight of its box, 0 for
    background; box (B, N, 4): what should be predicted of its box, whatever it is for background.

    Three matches, the first that there is counts: boxes and anchors are paired by falling IoU, each once; an anchor whose best
    box has no better anchor is that box's; an anchor whose best IoU is 0.5 or more is that box's. A box that overlaps no anchor
    (it has no area) is nobody's; in GluonCV every anchor is matched with such a one. Sides below a pixel count as a pixel.
    is_on_cpus: whether it computes on CPUs alone, where an operator of Python's pairs faster, and the same."""

    def __init__(self, is_on_cpus=False, **keywords):
        super().__init__(**keywords)
        self._is_on_cpus = is_on_cpus

    def hybrid_forward(self, F, truth, anchors):
        match = self._match(F, F.slice_axis(truth, axis=2, begin=0, end=4), anchors)
        is_matched = match >= 0
        chosen = batched_gather(F, truth, F.relu(match))  # (B, N, 6)
        class_id, weight = (F.squeeze(F.slice_axis(chosen, axis=2, begin=i, end=i + 1), axis=2) for i in (4, 5))
        return (class_id + 1) * is_matched, weight * is_matched, self._offsets(F, chosen, anchors)

    def _match(self, F, boxes, anchors):
        """(B, N) number of the matched box, -1 for background."""
        iou = F.transpose(F.contrib.box_iou(_corners(F, anchors), boxes), axes=(1, 0, 2))  # (B, N, M); padding overlaps nothing
        if self._is_on_cpus and not is_portable():
            paired = on_cpu.paired(F, iou, LEAST_IOU)
        else:
            paired = F.contrib.bipartite_matching(iou, threshold=LEAST_IOU, is_ascend=False)[0]
        best, best_iou = F.argmax(iou, axis=2), F.max(iou, axis=2)
        highest = F.squeeze(batched_gather(F, F.expand_dims(F.max(iou, axis=1), axis=2), best), axis=2)
        is_good = F.broadcast_logical_or((best_iou >= highest) * (best_iou > LEAST_IOU), best_iou >= MATCH_IOU)
        return F.where(paired >= 0, paired, F.where(is_good, best, -F.ones_like(best)))

    @staticmethod
    def _offsets(F, boxes, anchors):
        """(B, N, 4): centres' distance over the anchor's size, logarithm of size over size, over STDS."""
        def columns(array, begin):
            return F.slice_axis(array, axis=2, begin=begin, end=begin + 2)

        size = columns(boxes, 2) - columns(boxes, 0)
        centre = columns(boxes, 0) + size * 0.5
        shift = F.broadcast_div(F.broadcast_sub(centre, columns(anchors, 0)), columns(anchors, 2))
        growth = F.log(F.broadcast_div(F.maximum(size, 1), columns(anchors, 2)))
        return F.concat(shift / STDS[0], growth / STDS[2], dim=2)


def _corners(F, anchors):
    """(N, 4) of (1, N, 4)."""
    centre, half = F.slice_axis(anchors, axis=2, begin=0, end=2), F.slice_axis(anchors, axis=2, begin=2, end=4) / 2
    return F.reshape(F.concat(centre - half, centre + half, dim=2), (-1, 4))
