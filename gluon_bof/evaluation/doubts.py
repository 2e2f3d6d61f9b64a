"""A trained network goes through a whole set and names the labels that it doubts: as text, numbers and a page."""
from __future__ import annotations

import os
from collections import Counter
from dataclasses import replace
from typing import Iterable, Mapping, Sequence

import numpy as np

from gluon_bof.boxes import Detections, DetectionSet, Fault, Record
from gluon_bof.errors import UserError, abbreviate, printable
from gluon_bof.evaluation.gallery import thumbnail
from gluon_bof.evaluation.page import write_page
from gluon_bof.evaluation.suspects import KINDS, SAID, Suspect, find_suspects
from gluon_bof.weights.resolve import Resolved

THUMBNAILS = 18  # of a kind
LISTED = 100  # rows of the page's table
TOLD = 20  # lines of text
MOST_AT_ONCE = 16  # images a batch
BROKEN = "broken image"  # the kind of fault that keeps an image from being looked at


def doubt_set(resolved: Resolved, dataset: str, sets: Mapping[str, DetectionSet], faults: Sequence[Fault] = (),
              page: str | None = None, workers: int = 0) -> tuple[dict, str]:
    """({"count", "by_kind", "first": [suspect as a dict], "page"}, text for people) of a set and a trained network.

    resolved: what `weights.resolve` found. dataset, sets: the set's name and its parts, as `open_parts` gives them. faults: of
    that set, so that broken images are left out. page: file to write the page into. Raises UserError for weights that do not
    know the set's classes."""
    broken = {fault.path for fault in faults if fault.kind == BROKEN}
    records = images_of(record for found in sets.values() for record in found.records if record.path not in broken)
    classes = next(iter(sets.values())).classes
    ends = next(iter(sets.values())).ends_of(resolved.box_ends)  # parts of one set have one format
    found = [ends.as_edges(one) for one in detections_of(resolved, records, classes, workers)]
    suspects = find_suspects(found, records, len(classes))
    entries = entries_of(suspects, records, classes)
    counts = Counter(one.kind for one in suspects)
    told = {"count": len(suspects), "by_kind": {kind: counts[kind] for kind in KINDS},
            "first": [{key: entry[key] for key in ("kind", "suspicion", "path", "label", "seen", "score", "found")}
                      for entry in entries[:TOLD]]}
    if page:
        write_suspects(page, entries, records, {"data set": dataset, "weights": resolved.run or resolved.path})
        told["page"] = page
    return told, as_text(entries)


def images_of(records: Iterable[Record]) -> list[Record]:
    """A record, without masks, of each image file, with the boxes of all of its records: an image may be in both parts, and JSON
    of COCO's may name its file more than once, as where an entry is made for every box."""
    of_files = {}
    for record in records:
        of_files.setdefault((os.path.realpath(record.path), record.orientation), []).append(record)
    return [_united(same) for same in of_files.values()]


def _united(records):
    """A record of the boxes of several of one image, each once: of two that are equal a detection matches one, and the other
    would be doubted."""
    fields = {field: np.concatenate([getattr(record, field) for record in records])
              for field in ("boxes", "classes", "difficult", "crowd")}
    _, firsts = np.unique(np.column_stack(list(fields.values())), axis=0, return_index=True)
    return replace(records[0], masks=None, **{field: rows[np.sort(firsts)] for field, rows in fields.items()})


def detections_of(resolved: Resolved, records: Sequence[Record], classes: Sequence[str], workers: int = 0) -> list[Detections]:
    """[Detections] of records by a network, in the numbers of `classes`, which it has to know."""
    from gluon_bof.data.loader import ValidationImages, validation_loader
    from gluon_bof.evaluation.detect import detect
    from gluon_bof.inference.detector import load_detector
    from gluon_bof.models.build import models_of

    resolved.require_file()
    options = resolved.options
    known = resolved.classes or classes
    resolved.warn_of_order(classes)
    unknown = [name for name in classes if name not in known]
    if unknown:
        raise UserError(f"the network knows no {abbreviate(unknown)}", resolved.run or resolved.path,
                        "train one on these classes, or name those that it shares: --classes")
    models = models_of(options)
    # a batch of training may be far larger than inference needs
    loader = validation_loader(ValidationImages(records, models.eval_transform(options)),
                               min(models.inference_batch(options), MOST_AT_ONCE), workers)
    detector, _ = load_detector(options, known, resolved.path, gpus_of_run=resolved.gpus_of_run)
    found = detect(detector.engine, loader, records, progress="looking for doubtful labels")
    place = np.array([classes.index(name) if name in classes else -1 for name in known])
    return [_renumbered(one, place) for one in found]


def _renumbered(found, place):
    classes = place[found.classes]
    kept = classes >= 0
    return Detections(found.boxes[kept], classes[kept], found.scores[kept])


def entries_of(suspects: Sequence[Suspect], records: Sequence[Record], classes: Sequence[str]) -> list[dict]:
    """Suspects as dicts for a page: kind, suspicion, rank, said, index and path of the image, found and labelled boxes, …"""
    entries = []
    for rank, one in enumerate(suspects, 1):
        record = records[one.image]
        labelled = one.label >= 0
        label = classes[record.classes[one.label]] if labelled else None
        seen = f"{classes[one.class_id]} {one.score:.2f}"
        said = {"missing": f"{seen}, but no box", "class": f"labelled {label}, looks like {seen}",
                "place": f"{label}: IoU {one.overlap:.2f} with {seen}"}[one.kind]
        entries.append({"kind": one.kind, "suspicion": one.suspicion, "rank": rank, "said": f"{rank}. {said}", "index": one.image,
                        "image": str(record.image_id), "path": record.path, "source": record.source, "label": label,
                        "seen": classes[one.class_id], "score": one.score, "overlap": one.overlap, "found": list(one.box),
                        "labelled": record.boxes[one.label].tolist() if labelled else None})
    return entries


def write_suspects(path: str, entries: Sequence[dict], records: Sequence[Record], about: dict) -> None:
    """Write the page of `entries_of`, and all of them as JSON beside it. Raises UserError where they cannot be written."""
    shown = {kind: [entry for entry in entries if entry["kind"] == kind][:THUMBNAILS] for kind in KINDS}
    thumbnails = {kind: [thumbnail(entry, records) for entry in chosen] for kind, chosen in shown.items()}
    counts = Counter(entry["kind"] for entry in entries)
    write_page(path, "suspects.html.j2", {"about": about, "images": len(records), "suspects": entries}, shown=shown,
               thumbnails=thumbnails, said=SAID, counts=counts, listed=LISTED)


def as_text(entries: Sequence[dict]) -> str:
    """The first of them, a line each."""
    lines = [f"labels that the network doubts: {len(entries)}" + (", the most doubtful first" if entries else "")]
    lines += [f"  {entry['suspicion']:.2f}  {entry['path']}: {entry['said'].split('. ', 1)[1]} at "
              f"({', '.join(f'{side:.0f}' for side in entry['found'])})" for entry in entries[:TOLD]]
    return "\n".join(printable(line) for line in lines)
