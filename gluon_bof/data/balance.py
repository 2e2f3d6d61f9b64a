"""Classes that few images show: how often each image is to be seen, and what to advise.

Repeat-factor sampling (Gupta et al., "LVIS: A Dataset for Large Vocabulary Instance Segmentation", CVPR 2019): a class in the
share f of the images has the factor max(1, sqrt(t / f)) with a threshold t, an image the largest factor of its classes."""
from __future__ import annotations

from typing import Any, Sequence

import numpy as np

from gluon_bof.boxes import DetectionSet, Record
from gluon_bof.data.names import composed
from gluon_bof.errors import abbreviate, warn

IMBALANCED = 3  # a class in so many times fewer images than the middle one is worth a word


def repeat_factors(records: Sequence[Record], class_count: int, threshold: float) -> np.ndarray:
    """(N,) float64, at least 1: how often each image is seen in a round. Crowds do not count, an image without a box has 1."""
    class_factors = factors_of_shares(image_shares(records, class_count), threshold)
    return np.array([max([1.0, *class_factors[record.classes[~record.crowd]]]) for record in records])


def factors_of_shares(shares: Sequence[float], threshold: float) -> np.ndarray:
    """(C,) max(1, sqrt(threshold / share)); 1 for a class that no image shows."""
    shares = np.asarray(shares, np.float64)
    return np.where(shares > 0, np.maximum(1.0, np.sqrt(threshold / np.where(shares > 0, shares, 1.0))), 1.0)


def image_shares(records: Sequence[Record], class_count: int) -> np.ndarray:
    """(C,) share of the images that show each class, in [0, 1]."""
    counts = np.zeros(class_count)
    for record in records:
        counts[np.unique(record.classes[~record.crowd])] += 1
    return counts / max(len(records), 1)


def untrained(training: DetectionSet, validation: DetectionSet) -> list[str]:
    """Sentences for people about classes that no box trains, and the remedy. Both sets have the same classes; where those are the
    names of numbers, as of labels that nothing names, none can be left out, and nothing is said."""
    bare = np.flatnonzero(image_shares(training.records, len(training.classes)) == 0)
    if training.unnamed or not bare.size:
        return []
    shown = {number for found in (training, validation) for record in found.records for number in record.classes.tolist()}
    unused = [training.classes[number] for number in bare if number not in shown]
    others = [training.classes[number] for number in bare if number in shown]
    said = []
    if unused:
        said.append(f"no box of the class {abbreviate(unused)} trains or validates, and the network learns it all the same; if "
                    "it is none of yours, give --classes without it")
    if others:
        said.append(f"no box trains the class {abbreviate(others)}, of which others validate or are crowds; name another part "
                    "with --train-split, or annotate it")
    return said


def hardly_told_apart(classes: Sequence[str]) -> list[str]:
    """Sentences for people about classes whose names differ in capitals alone, or in the Unicode form of the same letters."""
    alike = {}
    for name in classes:
        alike.setdefault(composed(name.lower()), []).append(name)
    return [f"{' and '.join(names)} are {len(names)} classes, told apart by {_difference(names)} alone; if they are one, write "
            "them alike in the annotations" for names in alike.values() if len(names) > 1]


def _difference(names):
    form = "Unicode form (NFC or NFD)"
    if len(set(map(composed, names))) == 1:
        return form
    return "capitals" if len(set(map(str.lower, names))) == 1 else f"capitals and {form}"


def repeats_of(options: Any, detection_set: DetectionSet) -> np.ndarray | None:
    """What --balance asks for: repeat factors of the set's images, or None. Warns where they change nothing."""
    if options.balance == "none":
        return None
    repeats = repeat_factors(detection_set.records, len(detection_set.classes), options.balance_threshold)
    if (repeats == 1).all():
        shares = image_shares(detection_set.records, len(detection_set.classes))
        warn(f"--balance repeat changes nothing: every class is in more than {100 * options.balance_threshold:g} % of the "
             f"images; --balance-threshold {advised_threshold(shares):.2g} would repeat those below the middle one")
    return repeats


def advised_threshold(shares: Sequence[float]) -> float:
    """The share of images of the middle class: rarer ones are repeated up to it by its square root."""
    known = np.asarray(shares)[np.asarray(shares) > 0]
    return float(np.median(known)) if known.size else 0.0


def advice(shares: Sequence[float], classes: Sequence[str]) -> str | None:
    """A sentence for people about the rarest class, with the flags that mend it; None where classes are about as frequent."""
    shares = np.asarray(shares, np.float64)
    middle = advised_threshold(shares)
    rare = [(share, name) for share, name in zip(shares, classes) if 0 < share * IMBALANCED <= middle]
    if not rare:
        return None
    share, name = min(rare)
    factor = factors_of_shares([share], middle)[0]
    others = f" and {len(rare) - 1} more" if len(rare) > 1 else ""
    return (f"rare: {name} is in {100 * share:.1f} % of the images{others}, the middle class in {100 * middle:.0f} %; train with "
            f"--balance repeat --balance-threshold {middle:.2g} to show its images {factor:.1f} times as often")
