"""Numbers of annotations."""
import pytest

from gluon_bof.data.fields import finite_number


def test_numbers_are_finite():
    assert finite_number(" 12.5\n") == 12.5 and finite_number(3) == 3.0
    for bad in ("", "a", "nan", "inf", float("nan"), True, None, [1], 10 ** 400, "1e999", "1_0"):
        with pytest.raises(ValueError):
            finite_number(bad)
    with pytest.raises(ValueError, match="^.{,110}$"):  # messages are of one line that can be read
        finite_number("9" * 5000)
