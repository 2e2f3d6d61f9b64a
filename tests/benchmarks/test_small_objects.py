"""benchmarks/small_objects.py: what it draws is as small as it says, and tiles find more of it."""
import json

import numpy as np
import pytest

from benchmarks.small_objects import SIZE, Drawing, main


def test_objects_are_as_small_as_they_are_said_to_be():
    image, objects = Drawing(12, 1)(0, 0)
    assert image.shape == (SIZE[1], SIZE[0], 3) and image.dtype == np.uint8
    boxes = np.array([box for _, box, _ in objects])
    sides = boxes[:, 2:] - boxes[:, :2]
    assert len(objects) == 13 and (sides[0] > 90).all() and (sides[1:].prod(axis=1) < 32 ** 2).all() and sides.min() >= 8
    assert (boxes >= 0).all() and (boxes <= SIZE * 2).all()
    assert np.array_equal(image, Drawing(12, 1)(0, 0)[0]) and not np.array_equal(image, Drawing(12, 1)(0, 1)[0])


@pytest.mark.slow
def test_the_last_line_has_a_row_a_view(tmp_path, capsys):
    main(["--images", "1", "--small", "8", "--large", "1", "--views", "160,160/500", "--keep", str(tmp_path)])
    whole, ours, plain = json.loads(capsys.readouterr().out.splitlines()[-1])["rows"]
    assert (whole["merged"], ours["merged"], plain["merged"]) == ("", "ours", "plain suppression")
    assert whole["small"] == 8 and whole["recall_small"] <= ours["recall_small"] and ours["found"] <= plain["found"]
