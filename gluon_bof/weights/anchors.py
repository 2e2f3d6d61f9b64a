"""What --anchors means: a file, the numbers of one, or those of the weights that training starts from. No MXNet in here."""
from __future__ import annotations

import dataclasses
import os
from typing import Any

from gluon_bof.errors import UserError
from gluon_bof.runs.config import is_run, read_options

CONSTANTS = "yolo_outputs.{}.anchors"  # a network's, coarsest features first


def resolve_anchors(options: Any) -> Any:
    """The options with `anchors` as 18 numbers, as a run's configuration keeps them, or () for YOLOv3's own: of the file that
    --anchors names, or of the run or file that --transfer or --resume FILE.params names.

    Raises UserError for a file that does not hold nine pairs, for a start that is not there, and for anchors other than
    those of weights that are about to be resumed whole."""
    anchors = options.anchors
    if isinstance(anchors, str):
        from gluon_bof.data.anchors import read_anchors  # NumPy, for which --dry-run need not wait
        anchors = tuple(float(side) for row in read_anchors(anchors, options.data_shape) for side in row)
    resumed = options.resume if options.starts_from_file else ""
    start = resumed or options.transfer
    if (not anchors or resumed) and start:
        of_start = _anchors_of(start)
        if resumed and anchors and anchors != of_start and not options.allow_partial:
            raise UserError("it was trained with other anchors than --anchors says", resumed,
                            f"leave --anchors out, or start with --transfer {resumed}")
        anchors = anchors or of_start
    return dataclasses.replace(options, anchors=anchors)


def _anchors_of(start):
    """The anchors of a run's folder or a .params file; () for YOLOv3's own, and for a model's name."""
    if is_run(start):
        return getattr(read_options(start), "anchors", ())
    if os.path.isfile(start):
        return _constants(start)
    if os.sep in start or start.endswith(".params"):
        raise UserError("no such run or file", start, "check the path")
    return ()


def _constants(path):
    """The same of a file's constants; () where it is damaged or has none, which loading it will tell."""
    from gluon_bof.data.anchors import DEFAULT
    from gluon_bof.weights.formats import params
    try:
        with open(path, "rb") as file:
            arrays = params.loads(file.read())
        rows = [arrays[CONSTANTS.format(output)].reshape(-1).tolist() for output in (2, 1, 0)]
    except (OSError, ValueError, KeyError):
        return ()
    return () if rows == [list(row) for row in DEFAULT] else tuple(round(side, 6) for row in rows for side in row)
