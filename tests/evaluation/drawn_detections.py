"""Ground truth and detections drawn at random, with every kind of error in them."""
import numpy as np

from gluon_bof.boxes import Detections, Record

SIDE = 400  # of an image, in pixels


def record_of(boxes, classes, difficult=None, crowd=None, number=0):
    """A Record of boxes without an image file."""
    none = np.zeros(len(boxes), bool)
    return Record("", "", number, SIDE, SIDE, np.asarray(boxes, np.float32).reshape(-1, 4), np.asarray(classes, np.int64),
                  none if difficult is None else np.asarray(difficult, bool), none if crowd is None else np.asarray(crowd, bool))


def found_of(boxes, classes, scores):
    """Detections, best score first."""
    order = np.argsort(-np.asarray(scores, np.float32), kind="stable")
    return Detections(np.asarray(boxes, np.float32).reshape(-1, 4)[order], np.asarray(classes, np.int64)[order],
                      np.asarray(scores, np.float32)[order])


def draw(seed, images=60, classes=4, crowds=0.0):
    """([Detections], [Record]): boxes that are found, shifted, of another class, twice, missed; and boxes in nothing."""
    rng = np.random.default_rng(seed)
    pairs = [_draw_image(rng, number, classes, crowds) for number in range(images)]
    return [found for found, _ in pairs], [record for _, record in pairs]


def _draw_image(rng, number, classes, crowds):
    count = rng.integers(0, 6)
    truths, labels = _boxes(rng, count), rng.integers(0, classes, count)
    boxes, found_labels, scores = [], [], []
    for box, label in zip(truths, labels):
        for _ in range(rng.choice((0, 1, 1, 2, 3))):
            shift = rng.normal(0, rng.choice((0.03, 0.2)), 4) * (box[2] - box[0])
            moved = box + shift
            boxes.append(np.concatenate([np.minimum(moved[:2], moved[2:]), np.maximum(moved[:2], moved[2:]) + 1]))
            found_labels.append(label if rng.random() < 0.8 else rng.integers(0, classes))
            scores.append(rng.beta(3, 2))
    for box in _boxes(rng, rng.integers(0, 4)):
        boxes.append(box)
        found_labels.append(rng.integers(0, classes))
        scores.append(rng.beta(2, 3))
    crowd = rng.random(count) < crowds
    return found_of(boxes, found_labels, scores), record_of(truths, labels, crowd=crowd, number=number)


def _boxes(rng, count):
    corners = rng.uniform(0, SIDE * 0.7, (count, 2))
    return np.concatenate([corners, corners + np.exp(rng.uniform(np.log(12), np.log(200), (count, 2)))], axis=1)
