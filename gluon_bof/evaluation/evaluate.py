"""Weights on a data set: detect, and score."""
from __future__ import annotations

import sys
import time
from math import nan


def evaluate(arguments, weights):
    """{"weights", "map", "metric", "per_class", …} of these weights on the options' validation set."""
    from gluon_bof.data.loader import ValidationImages, validation_loader
    from gluon_bof.data.sets import class_names, open_set
    from gluon_bof.evaluation.coco import save_detections
    from gluon_bof.evaluation.detect import detect
    from gluon_bof.evaluation.score import score
    from gluon_bof.evaluation.voc import per_class_table
    from gluon_bof.inference.detector import load_detector
    from gluon_bof.models.build import eval_transform, inference_batch

    options = arguments.options
    names = class_names(options.classes) if options.classes else None
    found_set = open_set(options.dataset, options.dataset_root or None, "val", names, options.on_bad_sample,
                         options.val_split or None)
    loader = validation_loader(ValidationImages(found_set.records, eval_transform(options)), inference_batch(options),
                               options.num_workers)
    detector, digest = load_detector(options, found_set.classes, weights)
    began = time.perf_counter()
    detections = detect(detector.graph, loader, found_set.records, detector.device, progress="evaluating")
    seconds = time.perf_counter() - began
    if arguments.save:
        save_detections(arguments.save, detections, found_set)
    result = score(detections, found_set, options.metric)
    print(per_class_table([nan if ap is None else ap for ap in result["per_class"].values()], found_set.classes),
          file=sys.stderr)
    return {"run": arguments.run, "weights": weights, "sha256": digest, "dataset": options.dataset,
            "images": len(found_set), "images_per_second": len(found_set) / seconds,
            "skipped": len(found_set.faults), **result}
