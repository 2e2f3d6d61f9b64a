"""A set that detectors are scored on: its loader, one call that detects and scores, and weights on it."""
from __future__ import annotations

import io
import time
from typing import Any, Callable

import numpy as np

from gluon_bof.boxes import BoxEnds, Detections, DetectionSet
from gluon_bof.data.faults import UnknownClass, log_faults, warn_of_score
from gluon_bof.data.loader import ValidationImages, slicing_loader, validation_loader
from gluon_bof.data.sets import open_set, refuse_output, set_mark
from gluon_bof.data.workers import ending_workers
from gluon_bof.distributed import comm, exchange
from gluon_bof.distributed import progress as progress_file
from gluon_bof.errors import UserError, abbreviate, warn
from gluon_bof.evaluation.coco import save_detections
from gluon_bof.evaluation.curves import calibration
from gluon_bof.evaluation.detect import detect, detect_slices
from gluon_bof.evaluation.matching import each_match, match_set
from gluon_bof.evaluation.score import score, score_masks
from gluon_bof.files import numbers_beside
from gluon_bof.freebies.augmentation import as_it_is
from gluon_bof.inference.detector import load_detector
from gluon_bof.inference.segmentation_model import refuse_of_segmenters
from gluon_bof.inference.tiles import Tiling, refuse_tiles
from gluon_bof.models.build import models_of
from gluon_bof.options.families import family_of
from gluon_bof.weights.resolve import Resolved


class Validation:
    """`validation(detector)` -> {"map": fraction, "metric": …, "per_class": …}; `detections` and `result` are the last call's.

    Of several processes each detects in its share of the batches, and rank 0 scores what all have found, so that the metrics are
    those of one process to the bit; it alone has all `detections`, the others None in place of theirs.

    Made before the network is, so that the data workers carry none of it. options: of the detectors that it scores; box_ends: how
    the boxes ended that these were trained on. What is scored on boxes of COCO's format ends as they do. tiling: the detectors
    look at slices of large images, too."""

    def __init__(self, options: Any, detection_set: DetectionSet, box_ends: BoxEnds = BoxEnds.EDGE,
                 tiling: Tiling | None = None):
        models = models_of(options)
        refuse_tiles(options, tiling)
        self.set = detection_set
        self.score = score_masks if family_of(options).masks else score
        self.metric = options.metric
        self.ends = detection_set.ends_of(box_ends)
        self.detections = self.result = None
        self.loader = validation_loader(ValidationImages(detection_set.records, models.eval_transform(options)),
                                        models.inference_batch(options), options.num_workers, (comm.rank(), comm.size()))
        self.tiling = tiling
        if tiling:
            large = [number for number, record in enumerate(detection_set.records) if tiling.cuts((record.height, record.width))]
            self.slices = slicing_loader(ValidationImages(detection_set.records, as_it_is), large,
                                         options.num_workers if large else 0)

    def __call__(self, detector: Any, should_stop: Callable[[], bool] = lambda: False,
                 progress: str = "validating") -> dict | None:
        """The metrics, or None where should_stop said so."""
        found = detect(detector.engine, self.loader, self.set.records, should_stop, progress)
        if self.tiling and found is not None:
            found = detect_slices(detector, self.slices, found, self.tiling, should_stop, progress)
        self.detections = found
        progress_file.report("scoring")  # of a large set that takes a while, and is no standing still
        self.result = exchange.decide(_packed(found) if comm.size() > 1 else found, self._judge)
        return self.result

    def _judge(self, shares):
        """The metrics of what all processes have found, as `_packed`, or of what this one has found by itself."""
        if comm.size() > 1:
            shares = list(map(_unpacked, shares))
        self.detections = None if None in shares else shares[0]
        for share in shares[1:] if self.detections else ():
            self.detections = [one or other for one, other in zip(self.detections, share)]
        return None if self.detections is None else self.score(self.scored(), self.set, self.metric)

    def scored(self) -> list[Detections]:
        """The detections of the last call with boxes that end as those of the ground truth."""
        return [self.ends.as_edges(found) for found in self.detections]

    def report(self, run: str) -> None:
        """Write the page, and its numbers, of the detections of the last call into a run's folder. Raises UserError."""
        from gluon_bof.evaluation.report import report_run  # which brings matplotlib

        report_run(run, self.scored(), self.set, self.result, _about_masks(self.result))


def _packed(found):
    """Bytes of [Detections or None] or of None."""
    arrays = {} if found is None else {f"{number}-{field}": array for number, detections in enumerate(found) if detections
                                       for field, array in detections._asdict().items() if array is not None}
    file = io.BytesIO()
    np.savez(file, count=-1 if found is None else len(found), **arrays)
    return file.getvalue()


def _unpacked(data):
    with np.load(io.BytesIO(data), allow_pickle=False) as arrays:
        count = int(arrays["count"])
        if count < 0:
            return None
        names = set(arrays.files)
        return [Detections(*(arrays[name] for field in Detections._fields for name in [f"{number}-{field}"] if name in names))
                if f"{number}-{Detections._fields[0]}" in names else None for number in range(count)]


def validation_set(options: Any) -> DetectionSet:
    """The DetectionSet that weights with these options validate on. Raises UserError as `open_set` does."""
    try:
        return open_set(options.dataset, options.dataset_root or None, "val", options.classes or None, options.on_bad_sample,
                        options.val_split or None, options.unannotated, layout=options.layout,
                        val_share=0 if options.val_split else options.val_share, masks=family_of(options).masks)
    except UnknownClass as error:
        raise UserError(f"the weights do not know the set's class {error.name!r}", error.path,
                        "--on-bad-sample skip scores without its boxes and what else is faulty; if it is another name of one of "
                        "theirs, give all with --classes as the set has them") from None


@ending_workers()
def evaluate(resolved: Resolved, save: str = "", report: str = "", tiling: Tiling | None = None,
             engine: str = "mxnet", further: Callable[[Any, DetectionSet], dict] | None = None,
             found_set: DetectionSet | None = None) -> dict[str, Any]:
    """{"run", "family", "weights", "map", "metric", "per_class", "calibration_error", …} of what `weights.resolve` found, on its
    options' validation set.

    save: where to write the detections in COCO's result format, "" for nowhere. report: where to write the page
    that says why, and its numbers as JSON beside it. tiling: look at slices of large images, too. engine: what computes
    the network, "mxnet", "onnx" or "auto", see inference.onnx_engine. further(detector, set) -> what else to tell. found_set: of
    detectors that set, where it is open already. The calibration error, in [0, 1], is the mean distance of a detection's score
    from the share of hits at IoU 0.5 among those of its tenth. Raises UserError."""
    options = resolved.options
    if family_of(options).segments:
        from gluon_bof.evaluation.segmentation import evaluate_maps
        refuse_of_segmenters(engine, save_json=save, report=report, tile=tiling, sliding_patch=further)
        return evaluate_maps(resolved)
    resolved.require_file()
    resolved.require_set()
    found_set = validation_set(options) if found_set is None else found_set
    resolved.warn_of_order(found_set.classes)
    log_faults(found_set)
    resolved.warn_of_another_set(set_mark(found_set))
    _warn_of_set(found_set, options, tiling)
    for path in filter(None, (save, report, report and numbers_beside(report))):
        refuse_output(path, found_set, resolved.files)
    ends = resolved.box_ends
    validation = Validation(options, found_set, ends, tiling)
    detector, digest = load_detector(options, found_set.classes, resolved.path, engine, resolved.gpus_of_run)
    detector.engine.expect(len(found_set))
    began = time.perf_counter()
    result = validation(detector, progress="evaluating")
    seconds = time.perf_counter() - began
    if save:
        save_detections(save, list(map(ends.as_edges, validation.detections)), found_set)
    if report:
        from gluon_bof.evaluation.report import write_report
        about = {"weights": resolved.path, "SHA-256": digest, "data set": options.dataset,
                 **({"tiles": f"{tiling.tile} pixels, overlap {tiling.overlap:g}"} if tiling else {}), **_about_masks(result)}
        numbers = write_report(report, validation.scored(), found_set, result, about, resolved.run)
        calibration_error = numbers["calibration"]["error"]
    else:
        calibration_error = _calibration_error(validation.scored(), found_set)
    return {"run": resolved.run, "family": family_of(options).name, "weights": resolved.path, "sha256": digest,
            "dataset": options.dataset, "val_split": options.val_split, "engine": detector.engine.name, "images": len(found_set),
            "images_per_second": len(found_set) / seconds, "skipped": len(found_set.faults),
            "calibration_error": calibration_error,
            **({"report": report} if report else {}), **(further(detector, found_set) if further else {}),
            **(tiling._asdict() if tiling else {}), **result}


def _warn_of_set(found_set, options, tiling):
    """Warn of what the numbers of such a set do not say: what its classes are taken for, that it has nothing to find, or more
    than the network gives."""
    if found_set.unnamed:
        warn(f"{options.dataset} names no classes: the numbers of its labels are taken for {abbreviate(found_set.classes)}, in "
             "this order; a classes.txt in it tells another")
    whole = [record for record in found_set.records if not (tiling and tiling.cuts((record.height, record.width)))]
    warn_of_score(options.dataset_root or options.dataset, found_set.records, options.most_found, whole)


def _about_masks(result):
    """What the head of a page, which is about boxes, says of the masks: {} where there are none, or nothing to find."""
    if "masks" not in result or result["map"] is None:
        return {}
    return {"AP of the masks": f"{result['map']:.4f}; this page is about the boxes"}


def _calibration_error(detections, detection_set):
    matches = match_set(each_match(detections, detection_set.records), len(detection_set.classes))
    return calibration(matches.scores, matches.hits).error
