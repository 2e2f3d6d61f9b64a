"""python -m gluon_bof evaluate WEIGHTS: a run's folder or a .params file, on a data set."""
from __future__ import annotations

import argparse
import json
import os
import sys
import time
from math import nan

from gluon_bof.errors import UserError, user_facing
from gluon_bof.options import CLASSES, CONFIG, Yolo3Options, from_json, read_config

# what of a run's configuration evaluation uses, and may be given on the command line instead
FROM_RUN = ("network", "data_shape", "dataset", "dataset_root", "classes", "on_bad_sample", "val_split", "metric",
            "batch_size", "num_workers", "gpus")


@user_facing
def main(argv=None):
    """Detect and score; the table goes to standard error, the last line on standard output is one JSON object."""
    options, weights = read_arguments(argv)
    outcome = evaluate(options, weights)
    print(json.dumps(outcome), flush=True)


def read_arguments(argv):
    """(options, path of the weights): what is not given comes from the run that the weights lie in."""
    parser = _Parser(prog="python -m gluon_bof evaluate", description=__doc__)
    parser.add_argument("weights", help="a run's folder (its best weights), or a .params file")
    parser.add_argument("--last", action="store_true", help="of a run: its last weights, not its best")
    fields = Yolo3Options.__dataclass_fields__
    for name in FROM_RUN:
        how = dict(fields[name].metadata)
        short = how.pop("short", None)
        parser.add_argument(*["--" + name.replace("_", "-")] + ([short] if short else []), dest=name,
                            default=argparse.SUPPRESS, type=int if isinstance(fields[name].default, int) else str, **how)
    parser.add_argument("--save-json", default="", help="write the detections there, in COCO's result format")
    given = vars(parser.parse_args(argv))
    weights, last, save = given.pop("weights"), given.pop("last"), given.pop("save_json")
    folder = weights if os.path.isdir(weights) else os.path.dirname(os.path.abspath(weights))
    settings = {}
    if os.path.isfile(os.path.join(folder, CONFIG)):
        saved = from_json(Yolo3Options, read_config(folder)["options"], os.path.join(folder, CONFIG))
        settings = {name: getattr(saved, name) for name in FROM_RUN}
        settings["classes"] = os.path.join(folder, CLASSES)
        # another data set is not where the run's lay
        if given.get("dataset", saved.dataset) != saved.dataset:
            settings.update(dataset_root="", val_split="")
    elif os.path.isdir(weights):
        raise UserError("this is not a run's folder: it holds no config.json", weights,
                        "give a folder under runs/ or a .params file")
    if os.path.isdir(weights):
        weights = os.path.join(weights, "last.params" if last else "best.params")
    options = from_json(Yolo3Options, dict(settings, **given), weights)
    return argparse.Namespace(options=options, save=save, run=folder if settings else None), weights


class _Parser(argparse.ArgumentParser):
    def error(self, message):
        raise UserError(message, remedy="see python -m gluon_bof evaluate --help")


def evaluate(arguments, weights):
    """{"weights", "map", "metric", "per_class", …} of these weights on the options' validation set."""
    from gluon_bof.backend import mx
    from gluon_bof.data.loader import ValidationPictures, validation_loader
    from gluon_bof.data.sets import class_names, open_set
    from gluon_bof.evaluation.coco import save_detections
    from gluon_bof.evaluation.detect import detect
    from gluon_bof.evaluation.score import score
    from gluon_bof.evaluation.voc import per_class_table
    from gluon_bof.models.devices import contexts
    from gluon_bof.models.weights import load_weights
    from gluon_bof.models.yolo3.loss import InferenceGraph
    from gluon_bof.models.yolo3.network import build_yolo3

    options = arguments.options
    device = contexts(options.gpus)[0]
    names = class_names(options.classes) if options.classes else None
    found_set = open_set(options.dataset, options.dataset_root or None, "val", names, options.on_bad_sample,
                         options.val_split or None)
    loader = validation_loader(ValidationPictures(found_set.records, options.data_shape), options.batch_size,
                               options.num_workers)
    network = build_yolo3(options.network, found_set.classes)
    network.initialize(ctx=device)
    network(mx.nd.zeros((1, 3, 64, 64), ctx=device))
    digest = load_weights(network, weights)
    graph = InferenceGraph(network)
    graph.hybridize(static_alloc=True)
    began = time.perf_counter()
    detections = detect(graph, loader, found_set.records, options.data_shape, device, progress="evaluating")
    seconds = time.perf_counter() - began
    if arguments.save:
        save_detections(arguments.save, detections, found_set)
    result = score(detections, found_set, options.metric)
    print(per_class_table([nan if ap is None else ap for ap in result["per_class"].values()], found_set.classes),
          file=sys.stderr)
    return {"run": arguments.run, "weights": weights, "sha256": digest, "dataset": options.dataset,
            "pictures": len(found_set), "pictures_per_second": len(found_set) / seconds,
            "skipped": len(found_set.faults), **result}
