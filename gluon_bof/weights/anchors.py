"""Which anchors a training has: those that flags or a file say, or those of the weights that it starts from. No MXNet in here."""
from __future__ import annotations

import dataclasses
import os
from typing import Any, Collection

from gluon_bof.errors import UserError, warn
from gluon_bof.options.families import told_by_file_name
from gluon_bof.options.flags import as_dict, flag_name
from gluon_bof.runs.config import is_run, read_options

CONSTANTS = "yolo_outputs.{}.anchors"  # a network's, coarsest features first
OF_RCNN = ("anchor_base_size", "anchor_scales", "anchor_aspect_ratio")  # options of a Faster or Mask R-CNN


def resolve_anchors(options: Any, given: Collection[str] = ()) -> Any:
    """The options with `anchors` as 18 numbers, as a run's configuration keeps them, or () for YOLOv3's own: of the file that
    --anchors names, or of the run or file that --transfer or --resume FILE.params names.

    Raises UserError for a file that does not hold nine pairs, for a start that is not there, and for anchors other than
    those of weights that are about to be resumed whole. given: not asked, since no recipe has anchors."""
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


def keep_anchors(options: Any, given: Collection[str] = ()) -> Any:
    """The resolved options of a Faster or Mask R-CNN with the anchors of the run or model that --transfer or --resume FILE.params
    names, but for what is given of them, by name; warns where a recipe's stand back."""
    start = options.resume if options.starts_from_file else options.transfer
    source = _options_of(start) if start else None
    kept = {name: getattr(source, name) for name in OF_RCNN if name not in given and hasattr(source, name)}
    anchored = dataclasses.replace(options, **kept)
    before, after = as_dict(options), as_dict(anchored)
    changed = [f"{flag_name(name)} {after[name]}, not {before[name]}" for name in kept if after[name] != before[name]]
    if changed and options.recipe:
        warn(f"the anchors are those of {start}, not of the recipe {options.recipe}: {'; '.join(changed)}")
    return anchored


def _options_of(start):
    """The resolved options of a run, of that which a file lies in, or that a name of GluonCV's tells; None where nothing does."""
    folder = start if os.path.isdir(start) else os.path.dirname(os.path.abspath(start))
    if os.path.exists(start) and is_run(folder):
        return read_options(folder).resolved()
    family, told = told_by_file_name(start)
    return family.options(**told).resolved() if family else None


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
