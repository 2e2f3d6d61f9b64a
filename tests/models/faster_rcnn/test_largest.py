"""The largest batches that Faster R-CNN can meet, and what they are for: memory taken before training."""
import numpy as np
import pytest

from gluon_bof.backend import mx
from gluon_bof.boxes import Record
from gluon_bof.data.transforms import ShortSide
from gluon_bof.freebies.augmentation import Augmentation
from gluon_bof.models.faster_rcnn.anchors import anchor_grid
from gluon_bof.models.faster_rcnn.batch import KeyedImages, RegionBatch, largest_batches
from tests.models.faster_rcnn import oracle


def dataset(*counts):
    """KeyedImages of records with so many boxes, whose files need not be there."""
    records = [Record("", "", number, 100, 80, np.zeros((count, 4), np.float32), np.zeros(count, np.int64),
                      np.zeros(count, bool), np.zeros(count, bool)) for number, count in enumerate(counts)]
    return KeyedImages(records, Augmentation.none(), fit=ShortSide(160))


@pytest.mark.parametrize("more, rows", (((), 16), (("--mixup",), 32)))
def test_largest_batches_lie_and_stand_and_hold_the_boxes_of_the_fullest_images(more, rows):
    options = oracle.small_options("pyramid", "--batch-size", "2", "--epochs", "30", *more)
    batchify = RegionBatch(False, anchor_grid(options), options.rpn_train_post_nms)
    batches = list(largest_batches(dataset(1, 9, 0, 8), batchify, options))
    assert [batch[0].shape for batch in batches] == [(2, 96, 160, 3), (2, 160, 96, 3)]
    for canvas, truth, sizes, anchors, keys in batches:
        assert canvas.dtype == np.uint8 and truth.shape == (2, rows, 6) and (truth.asnumpy() == -1).all()
        np.testing.assert_array_equal(sizes.asnumpy(), [[*canvas.shape[1:3], 1]] * 2)
        assert anchors.shape[0] == 2 and anchors.shape[2] == 7
        assert keys.shape == (2, options.rpn_train_post_nms + rows)
        assert all(isinstance(array, mx.nd.NDArray) for array in (canvas, truth, sizes, anchors, keys))
