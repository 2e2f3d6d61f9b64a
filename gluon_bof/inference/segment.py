"""Images through a segmenter: each with its label map over it, and the map itself; shares of the classes in segments.json."""
from __future__ import annotations

import io
import json
import os
import sys
import time
from typing import TYPE_CHECKING, Any, Sequence

import numpy as np

from gluon_bof.data.images import read_upright
from gluon_bof.errors import UserError
from gluon_bof.files import prepare_folder, write_atomically
from gluon_bof.inference.results import write_drawn
from gluon_bof.inference.sources import OF_SEGMENTS, refuse_foreign
from gluon_bof.masks import write_numbers
from gluon_bof.terminal import progress_bar

if TYPE_CHECKING:
    from gluon_bof.inference.segmentation_model import SegmentationModel
    from gluon_bof.inference.sources import Source

MAP_ENDING = ".labels.png"


def segment_all(model: SegmentationModel, sources: Sequence[Source], out: str, skip_broken: bool = False) -> dict[str, Any]:
    """Write, for every image, the drawn one and its label map (see `map_paths`), whose pixels are class numbers, into the folder
    `out`. Returns the summary, a dict for JSON. skip_broken: name broken images and go on. Raises UserError for a video."""
    videos = [source.path for source in sources if source.is_video]
    if videos:
        raise UserError("a segmenter takes images, not videos", videos[0], "cut it into images")
    rows, skipped, began = [], [], time.perf_counter()
    paths, summary = map_paths(sources), os.path.join(out, OF_SEGMENTS)
    refuse_foreign([*paths.values(), summary], out)

    def save():
        write_atomically(summary, json.dumps({"classes": list(model.classes), "images": rows}, indent=1).encode())

    prepare_folder(out)
    if not os.path.exists(summary):
        save()  # should this be cut off, the folder is known as one of predictions
    try:
        for source in progress_bar(sources, "segmenting", unit="file"):
            try:
                image = read_upright(source.path)
            except UserError as error:
                if not skip_broken:
                    raise
                print(f"skipped: {error}", file=sys.stderr)
                skipped.append(source.path)
                continue
            rows.append(_written(model, source, image, paths[source]))
    finally:
        save()
    seconds = time.perf_counter() - began
    print(f"{len(rows)} images in {out}", file=sys.stderr)
    return {"device": str(model.segmenter.device), "engine": "mxnet", "files": len(rows), "images": len(rows), "skipped": skipped,
            "images_per_second": len(rows) / max(seconds, 1e-9), "out": out, "json": summary}


def map_paths(sources: Sequence[Source]) -> dict[Source, str]:
    """{source: where its label map goes}: beside the drawn image, NAME.labels.png. a.jpg and a.png would have one file for both:
    the second gets a number, and none takes the place of a drawn or of a given image."""
    taken = {os.path.realpath(path) for source in sources for path in source}
    paths = {}
    for source in sources:
        stem = os.path.splitext(source.target)[0]
        path, number = stem + MAP_ENDING, 1
        while os.path.realpath(path) in taken:
            number += 1
            path = f"{stem}-{number}{MAP_ENDING}"
        taken.add(os.path.realpath(path))
        paths[source] = path
    return paths


def _written(model, source, image, path):
    """Write what is found in an image, its label map to `path`. Returns its row of the summary."""
    from gluon_bof.visualization.label_maps import overlay

    found = model.predict(image)
    write_drawn(source.target, overlay(image, found.labels, model.classes))
    file = io.BytesIO()
    write_numbers(file, found.labels)
    write_atomically(path, file.getvalue(), lasting=False)
    counts = np.bincount(found.labels.ravel(), minlength=len(model.classes))
    return {"file": source.path, "width": image.shape[1], "height": image.shape[0], "labels": path,
            "shares": {name: int(count) / found.labels.size for name, count in zip(model.classes, counts) if count}}
