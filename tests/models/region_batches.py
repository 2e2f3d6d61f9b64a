"""Batches of Faster and of Mask R-CNN, of two sets whose images are wide and high."""
from gluon_bof.data.loader import training_loader
from gluon_bof.data.sampler import BatchSampler
from gluon_bof.data.voc import load_voc
from gluon_bof.models.faster_rcnn.anchors import AnchorGrid
from tests.tiny_sets import write_voc_set

GRID = AnchorGrid((16,), 16, (1, 2), (0.5, 1, 2))


def wide_and_high(tmp_path_factory, masks=False):
    """Records of 6 wide images, then of 6 high ones."""
    wide = write_voc_set(tmp_path_factory.mktemp("wide"), images=6, width=140, height=90)
    high = write_voc_set(tmp_path_factory.mktemp("high"), images=6, width=90, height=120, seed=1)
    return [record for root in (wide, high) for record in load_voc(str(root), "train", masks=masks).records]


def arrays_of(dataset, kind, workers, mix, *more):
    """The arrays of each batch of an epoch; kind(shared, GRID, proposals, *more): its batchify."""
    sampler = BatchSampler(len(dataset.records), 2, 5, (64,), mix=mix, mix_until=1)
    loader = training_loader(dataset, sampler, workers, batchify=lambda shared: kind(shared, GRID, 50, *more))
    return [[array.asnumpy() for array in arrays] for *arrays, _ in loader]
