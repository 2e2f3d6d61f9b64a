"""Which anchors a training has: those that flags or a file say, or those of the weights that it starts from. No MXNet in here."""
from __future__ import annotations

import contextlib
import dataclasses
import os
from typing import Any, Collection

from gluon_bof.errors import UserError, warn_once
from gluon_bof.files import seems_path
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
    start = _start_of(options)
    if (not anchors or resumed) and start:
        of_start = _anchors_of(start)
        if resumed and anchors and anchors != of_start and not options.allow_partial:
            raise UserError("it was trained with other anchors than --anchors says", resumed,
                            f"leave --anchors out, or start with --transfer {resumed}")
        anchors = anchors or of_start
    return dataclasses.replace(options, anchors=anchors)


def keep_anchors(options: Any, given: Collection[str] = ()) -> Any:
    """The resolved options of a Faster or Mask R-CNN with the anchors of the run or model that --transfer or --resume FILE.params
    names, but for what is given of them, by name; warns where a recipe's stand back. A pyramid has one scale a level, and keeps
    none of a network without it, which has all in each cell."""
    start = _start_of(options)
    source = _options_of(start) if start else None
    if getattr(source, "use_fpn", None) != options.use_fpn:
        return options
    kept = {name: getattr(source, name) for name in OF_RCNN if name not in given}
    anchored = dataclasses.replace(options, **kept)
    before, after = as_dict(options), as_dict(anchored)
    changed = [f"{flag_name(name)} {after[name]}, not {before[name]}" for name in kept if after[name] != before[name]]
    if changed and options.recipe:
        warn_once(f"the anchors are those of {start}, not of the recipe {options.recipe}: {'; '.join(changed)}")
    return anchored


def _start_of(options):
    """The run, file or model whose anchors a new run may take; "" where there is none, and for a run that goes on, as it has its
    own. (--resume auto may find no run to go on with.)"""
    if options.starts_from_file:
        return options.resume
    return "" if options.continues_run and options.resume != "auto" else options.transfer


def _options_of(start):
    """The resolved options of a run, of that which a file lies in, or that a name of GluonCV's tells; None where nothing does.

    Raises UserError for a run's damaged configuration; beside a file it may be another program's."""
    if is_run(start):
        return read_options(start).resolved()
    if os.path.isfile(start):
        with contextlib.suppress(UserError):
            return read_options(os.path.dirname(os.path.abspath(start))).resolved()
    family, told = told_by_file_name(start)
    return family.options(**told).resolved() if "dataset" in told else None  # of one's own classes: perhaps one's own anchors


def _anchors_of(start):
    """The anchors of a run's folder or a .params file; () for YOLOv3's own, and for a model's name."""
    if is_run(start):
        return getattr(read_options(start), "anchors", ())
    if os.path.isfile(start):
        return _constants(start)
    if seems_path(start):
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
