"""Names that weights are saved under."""
import pytest

from gluon_bof.backend import mx
from gluon_bof.models.build import models_of
from gluon_bof.options import families


@pytest.mark.parametrize("family, how", [("yolo3", {}), ("ssd", {}), ("mask_rcnn", {"use_fpn": True}), ("mask_rcnn", {}),
                                         ("faster_rcnn", {"use_fpn": True, "norm_layer": "syncbn"}),
                                         ("mask_rcnn", {"use_fpn": True, "norm_layer": "syncbn"})])
def test_a_second_network_of_a_process_has_the_names_of_the_first(family, how):
    options = families.by_name(family).options(dataset="voc", network="darknet-mini", pretrained_base="no", **how).resolved()
    first, second = (list(models_of(options).build(options, ("a", "b"), [mx.cpu()])._collect_params_with_prefix())
                     for _ in range(2))
    assert first == second
    if how.get("use_fpn"):  # as files have them that were written before
        assert "features.darknetv30_conv0_weight" in first
