"""The package as people import it: load, train, evaluate, open_dataset, recipes. Errors speak of arguments here, not of flags."""
from __future__ import annotations

import os
from typing import Any, Sequence

from gluon_bof.boxes import DetectionSet
from gluon_bof.data import sets
from gluon_bof.errors import UserError, in_python
from gluon_bof.files import refuse_unwritable
from gluon_bof.inference.model import load
from gluon_bof.inference.tiles import tiling_of
from gluon_bof.options import families
from gluon_bof.options.flags import from_dict, on_recipe, text_of
from gluon_bof.options.recipes import RECIPES as recipes
from gluon_bof.training.entry import ready, run_training, train_of

__all__ = ["evaluate", "load", "open_dataset", "recipes", "train"]


@in_python()
def train(family: str = "yolo3", recipe: str | None = None, **options: Any) -> dict[str, Any]:
    """Train a detector ("yolo3", "faster_rcnn", "ssd" or "mask_rcnn") or a segmenter ("segmentation"), as the family's script
    does. Returns its outcome: {"run": folder, "map" or "miou": fraction, "weights": path, …}.

    recipe: a name in `recipes`, of this family; without it the options stand on the recipe "embedded" where the dataset is the
    embedded one ("shapes", or none is given), else on GluonCV's defaults. options: the flags' names with underscores, such as
    dataset, epochs, mixup ("beta" or "even"), label_smooth_eps, lr_mode; lists are tuples. Raises UserError."""
    from gluon_bof.weights.resolve import as_plain_values, require_choices
    options = as_plain_values(options)
    chosen = families.by_name(family)
    own = recipes.of_family(family)
    name = recipe or ""
    if name and name not in own:
        name = _own_name(name, family)
    families.require_known(options, chosen, ", or give the --family that is meant")
    given = from_dict(chosen.options, options, f"gluon_bof.train({family!r})")
    require_choices(given, options)
    wanted = on_recipe(chosen.options, {field: getattr(given, field) for field in options}, own, name)
    return _with_whole_paths(run_training(ready(wanted, set(options)), set(options), train_of(family)))


def _with_whole_paths(outcome):
    """The outcome of a run as a notebook finds it from another folder too; without a run, as it is. Of several workers the first
    alone has weights."""
    if not outcome.get("run"):
        return outcome
    whole = {name: os.path.abspath(outcome[name]) for name in ("run", "weights") if name in outcome}
    if "images" in outcome:
        whole["images"] = [os.path.abspath(path) for path in outcome["images"]]
    return {**outcome, **whole}


def _own_name(name, family):
    """The name that a recipe has within its family. Raises UserError for another family's, and for one that nobody has."""
    found = recipes[name]
    if found.family != family:
        raise UserError(f"the recipe {name!r} is {families.by_name(found.family).title}'s", remedy=f"--family {found.family} has "
                        f"it; {family} has {', '.join(recipes.of_family(family))}")
    return found.name


@in_python()
def evaluate(weights: Any, last: bool = False, save: Any = "", tile: int | None = None, overlap: float | None = None,
             engine: str = "mxnet", **options: Any) -> dict[str, Any]:
    """Score weights on a data set: {"map": fraction, "metric", "per_class": {class: AP}, …}; weights that segment: {"miou",
    "pixel_accuracy": fractions, "per_class": {class: IoU}, …}.

    weights, options: as `load` takes them; options may also be dataset, dataset_root, val_split, metric ("voc07", "voc", "coco"),
    data_shape, num_workers, gpus: what of a run's configuration is to be another. save: file for the detections, in COCO's result
    format. tile, overlap: as `Model.predict` takes them; engine: as `load`. Raises UserError."""
    from gluon_bof.evaluation.validation import evaluate as score_weights
    from gluon_bof.weights.resolve import resolve
    tiling, save = tiling_of(tile, overlap), os.fspath(save)
    if save:
        refuse_unwritable(save)
    found = resolve(weights, options, last)
    found.refuse_idle(options)
    return score_weights(found, save, tiling=tiling, engine=engine)


@in_python(dataset_root="root")
def open_dataset(dataset: Any, role: str = "train", root: Any = None, classes: Sequence[str] | None = None,
                 on_bad_sample: str = "error", split: str | None = None, layout: str = "auto",
                 val_share: float = 0.0, masks: bool = False) -> DetectionSet:
    """Read one part, "train" or "val", of "shapes", "voc", "coco" or a folder -> DetectionSet of records with boxes.

    root: where a named set lies; classes: names in the order of their ids; on_bad_sample: "error" or "skip"; split: another part
    than the role's; layout: "voc", "coco", "yolo" or "labelme" where a folder may have two; val_share: of the images, what
    validates where no part does; masks: with the mask of each box, see gluon_bof.masks. Raises UserError."""
    dataset = text_of("dataset", dataset, f"give one of {', '.join(sets.NAMES)}, or a folder's path")
    root = None if root is None else text_of("dataset_root", root, "give a folder's path")
    return sets.open_set(dataset, root, role, classes, on_bad_sample, split,
                         layout=layout, val_share=val_share, masks=masks)
