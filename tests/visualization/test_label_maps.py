"""Label maps over their images: what is clear, what is coloured, what a legend names."""
import numpy as np
import pytest

from gluon_bof.data.label_sets import CITYSCAPES, ade20k_classes
from gluon_bof.data.voc import VOC_CLASSES
from gluon_bof.masks import NOBODY, voc_palette
from gluon_bof.visualization.label_maps import legend_of, overlay

GREY = np.full((8, 8, 3), 200, np.uint8)


@pytest.mark.parametrize("classes, clear", ((("background", *VOC_CLASSES), True), (("nothing", "cat"), True), ((), True),
                                            (tuple(CITYSCAPES.values()), False), (ade20k_classes(), False)))
def test_the_first_class_is_clear_but_of_sets_whose_first_class_is_no_background(classes, clear):
    labels = np.zeros((8, 8), np.uint8)
    labels[4:] = NOBODY
    drawn = overlay(GREY, labels, classes)
    assert (drawn[0, 0] == (200 if clear else 90)).all() and (drawn[6, 6] == 230).all()
    labels[:] = 1
    assert (overlay(GREY, labels, classes)[0, 0] == np.round(90 + 0.55 * voc_palette()[1])).all()


def test_a_legend_names_the_first_class_where_it_is_drawn():
    assert legend_of(tuple(CITYSCAPES.values()))[:2] == [(0, "road"), (1, "sidewalk")]
    assert legend_of(("background", "cat")) == [(1, "cat")]
