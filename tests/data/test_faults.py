"""What is done about a box that does not fit into its image. (Its messages: see the readers of each layout.)"""
import pytest

from gluon_bof.data.faults import fit_box


@pytest.mark.parametrize("box, cut", (((80, 10, 110, 30), (80, 10, 100, 30)), ((90, 10, 140, 30), None),
                                      ((-10, 10, 40, 30), (0, 10, 40, 30)), ((-40, 10, 20, 30), None),
                                      ((10, 60, 30, 90), (10, 60, 30, 80)), ((10, 70, 30, 120), None),
                                      ((10, -10, 30, 40), (10, 0, 30, 40)), ((10, -40, 30, 20), None)))
def test_a_box_is_cut_where_its_centre_is_in_the_image_and_dropped_where_it_is_not(box, cut):
    found, fault = fit_box(box, 100, 80, "cat")
    assert found == cut and fault[0] == "outside"


@pytest.mark.parametrize("box, kind", (((50, 10, 50 + 1e-7, 30), "no area"), ((50, 10, 60, 10 + 1e-320), "no area"),
                                       ((100 - 1e-7, 10, 101, 30), "outside"), ((50, 10, 50.01, 30), None)))
def test_a_box_without_area_in_float32_is_a_fault(box, kind):
    """Such boxes came to the networks as lines."""
    found, fault = fit_box(box, 100, 80, "cat")
    assert (found is None, fault and fault[0]) == (kind is not None, kind)
