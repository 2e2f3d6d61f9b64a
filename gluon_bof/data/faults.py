"""What to do about something wrong in a data set: stop, or leave it out and remember."""
from __future__ import annotations

from gluon_bof.boxes import Fault
from gluon_bof.errors import UserError

SLACK = 1.0  # pixels by which a box may reach over the edge: sets differ in where they count from
REMEDY = "fix it, leave it out with --on-bad-sample skip, or list all faults with: python -m gluon_bof check"


class FaultPolicy:
    """on_bad_sample "error": the first fault raises UserError; "skip": faults are collected."""

    def __init__(self, on_bad_sample):
        if on_bad_sample not in ("error", "skip"):
            raise ValueError(f"on_bad_sample is {on_bad_sample!r}, neither error nor skip")
        self.skip = on_bad_sample == "skip"
        self.faults = []

    def report(self, path, kind, message):
        """One fault. Raises UserError unless faults are skipped."""
        if not self.skip:
            raise UserError(f"{kind}: {message}", path, REMEDY)
        self.faults.append(Fault(str(path), kind, message))


def fit_box(box, width, height, name):
    """(box cut to the image or None, fault (kind, message) or None). box: four floats, corners from 0."""
    left, top, right, bottom = box
    text = f"{name} at {left:g}, {top:g}, {right:g}, {bottom:g}"
    if not all(abs(side) < 1e9 for side in box):  # also catches NaN
        return None, ("no number", text)
    if right <= left or bottom <= top:
        return None, ("no area", text)
    cut = max(left, 0.0), max(top, 0.0), min(right, float(width)), min(bottom, float(height))
    if left >= -SLACK and top >= -SLACK and right <= width + SLACK and bottom <= height + SLACK:
        if cut[2] <= cut[0] or cut[3] <= cut[1]:
            return None, ("outside", f"{text} in an image of {width} x {height}")
        return cut, None
    centre = (left + right) / 2, (top + bottom) / 2
    inside = 0 <= centre[0] < width and 0 <= centre[1] < height
    return cut if inside else None, ("outside", f"{text} in an image of {width} x {height}")
