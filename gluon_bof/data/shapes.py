"""The embedded set: four shapes in many colours and textures on cluttered ground, drawn from a seed into a cache folder."""
from __future__ import annotations

from typing import TYPE_CHECKING, Mapping

import cv2
import numpy as np

from gluon_bof.data.drawn import OVERSAMPLING, ensure_drawn, owners, tight_box
from gluon_bof.data.voc import load_voc
from gluon_bof.errors import UserError

if TYPE_CHECKING:
    from gluon_bof.boxes import DetectionSet

CLASSES = ("circle", "cross", "ring", "triangle")
VERSION = 1  # a new number wherever a pixel or a box changes: what was measured on them says it
FILES = 2  # a new number wherever a file does, so that an old cache is left alone; 2: the silhouettes came to the same images
SPLITS = {"trainval": 1000, "test": 250}
BACKBONE_SPLITS = {"trainval": 4000, "test": 400}  # numbered on from those above
SEED = 20190211
FRAMES = ((208, 160), (160, 208), (192, 192), (224, 160), (176, 176), (192, 144))  # width, height
PARTS = {"trainval": ("train", slice(None)), "test": ("val", slice(None)),
         "fit": ("train", slice(0, 800)), "held-out": ("train", slice(800, None))}  # the last two: of what trains
SIDES = (40, 96)  # of an object, in pixels
MIN_INSIDE = 0.65  # of an object, within the frame
MIN_VISIBLE = 0.7  # of an object, not covered by later ones
DIFFICULT_BELOW = 0.8
SURROUNDINGS = 4  # pixels around an object that its colour must stand out of
EMPTY_SHARE = 0.03
# colour and texture hint at the class, as they do in the world, but only the outline decides it
TYPICAL_HUE = dict(zip(CLASSES, range(0, 180, 45)))  # in OpenCV's half degrees
TYPICAL_TEXTURE = dict(circle="plain", cross="checks", ring="shaded", triangle="stripes")
TEXTURES = tuple(TYPICAL_TEXTURE.values())
TYPICAL_SHARE = 0.85


def load_shapes(role: str, root: str | None = None, masks: bool = False) -> DetectionSet:
    """The embedded DetectionSet for "train" or "val", drawn on first use.

    root: cache folder; by default $GLUON_BOF_CACHE, else the user's cache. masks: with each object's silhouette, as far as it is
    seen. Raises UserError where it cannot be written."""
    return load_voc(ensure_shapes(root), role, classes=CLASSES, name="shapes", masks=masks)


def load_backbone_shapes(role: str) -> DetectionSet:
    """The same of a further draw, which shares no image with the embedded set: for pre-training backbones."""
    folder = ensure_drawn(None, BACKBONE_SPLITS, "shapes-backbone", len(SPLITS), draw_scene, FILES, classes=CLASSES)
    return load_voc(folder, role, classes=CLASSES, name="shapes-backbone")


def ensure_shapes(root: str | None = None, splits: Mapping[str, int] | None = None) -> str:
    """The folder that holds the embedded set; draws it if it is not there. splits: {name: images}; default: SPLITS."""
    return ensure_drawn(root, splits or SPLITS, "shapes", 0, draw_scene, FILES, classes=CLASSES)


def part_of(split: str) -> tuple[str, slice]:
    """(role, places of its records) of a split of the embedded set: trainval or test; or, of trainval, the first 800 images, fit,
    to train on, and the last 200, held-out, to choose settings on. Raises UserError for another."""
    if split not in PARTS:
        raise UserError(f"the data set shapes has no split {split!r}", remedy=f"choose one of {', '.join(PARTS)}")
    return PARTS[split]


def draw_image(split: int, index: int) -> tuple[np.ndarray, list[tuple[str, tuple[int, int, int, int], bool]]]:
    """((H, W, 3) uint8 RGB, [(class name, (left, top, right, bottom), difficult)]), a pure function of its place."""
    image, placed = _draw(split, index)
    return image, _described(placed)


def draw_scene(split: int, index: int) -> tuple[np.ndarray, list[tuple], np.ndarray]:
    """The same, and whose each pixel is: (H, W) uint8, see `drawn.owners`."""
    image, placed = _draw(split, index)
    return image, _described(placed), owners([visible for _, _, visible in placed], image.shape[:2])


def _draw(split, index):
    """((H, W, 3) uint8, what `_place` remembers of each object)."""
    rng = np.random.Generator(np.random.Philox(key=np.array((SEED, split), np.uint64),
                                               counter=np.array((0, index, 0, 0), np.uint64)))
    width, height = FRAMES[rng.integers(len(FRAMES))]
    canvas = draw_ground(rng, height * OVERSAMPLING, width * OVERSAMPLING)
    placed = []
    wanted = 0 if rng.random() < EMPTY_SHARE else rng.integers(2, 7)
    for _ in range(wanted):
        _place(rng, canvas, placed)
    image = cv2.resize(canvas.clip(0, 255).astype(np.uint8), (width, height), interpolation=cv2.INTER_AREA)
    if rng.random() < 0.3:
        image = cv2.GaussianBlur(image, (3, 3), rng.uniform(0.4, 0.9))
    noise = rng.normal(0, rng.uniform(1, 6), image.shape)
    image = (image + noise).clip(0, 255).astype(np.uint8)
    return image, placed


def _described(placed):
    return [(label, tight_box(mask), _area(visible) < DIFFICULT_BELOW * _area(mask)) for label, mask, visible in placed]


def _muted_colour(rng):
    return rng.uniform(40, 215) + rng.normal(0, 14, 3)


def _vivid_colour(rng, label):
    hue = TYPICAL_HUE[label] + rng.normal(0, 6) if rng.random() < TYPICAL_SHARE else rng.uniform(0, 180)
    pixel = np.uint8([[[hue % 180, rng.integers(120, 256), rng.integers(90, 256)]]])
    return cv2.cvtColor(pixel, cv2.COLOR_HSV2RGB)[0, 0].astype(np.float64)


def draw_ground(rng: np.random.Generator, height: int, width: int) -> np.ndarray:
    """Gradient, patches, lines and fragments of outlines, (height, width, 3) float32 in [0, 255] and a little beyond."""
    ramp = np.linspace(0, 1, width)[None, :, None] if rng.random() < 0.5 else np.linspace(0, 1, height)[:, None, None]
    ground = np.ascontiguousarray(np.broadcast_to(_muted_colour(rng) * (1 - ramp) + _muted_colour(rng) * ramp,
                                                  (height, width, 3)), np.float32)
    patches = rng.normal(0, 25, (rng.integers(3, 9), rng.integers(3, 9), 1)) + rng.normal(0, 6, 3)
    patches = patches.astype(np.float32)
    ground += cv2.resize(patches, (width, height), interpolation=cv2.INTER_CUBIC)
    for _ in range(rng.integers(4, 14)):
        start, end = rng.integers(0, (width, height), (2, 2)).tolist()
        colour = (ground[start[1], start[0]] + rng.normal(0, 40) + rng.normal(0, 15, 3)).tolist()
        if rng.random() < 0.5:
            cv2.line(ground, start, end, colour, int(rng.integers(1, 8)), cv2.LINE_AA)
        else:
            first = rng.uniform(0, 360)
            cv2.ellipse(ground, start, (int(rng.integers(8, 90)), int(rng.integers(8, 90))), rng.uniform(0, 180), first,
                        first + rng.uniform(40, 150), colour, int(rng.integers(2, 9)), cv2.LINE_AA)
    return ground


def draw_object(rng: np.random.Generator, canvas: np.ndarray, label: str, side: float) -> tuple[int, int, int, int]:
    """Draw one object of this class, about `side` pixels large, into the middle of a canvas (H, W, 3) float32. Returns its box:
    left, top, right, bottom, the last two exclusive."""
    height, width = canvas.shape[:2]
    outline = _outline(label, side, rng.uniform(0.8, 1.25), rng.uniform(-15, 15))
    mask, _ = _mask(label, outline, (width / 2, height / 2), height, width)
    _paint(rng, canvas, mask, label)
    left, top, width, height = cv2.boundingRect(mask.view(np.uint8))
    return left, top, left + width, top + height


def _place(rng, canvas, placed):
    """Draw one object where it fits, if such a place is found; `placed` remembers (class, mask, visible mask)."""
    height, width = canvas.shape[:2]
    label = CLASSES[rng.integers(len(CLASSES))]
    side = float(np.exp(rng.uniform(*np.log(SIDES)))) * OVERSAMPLING
    outline = _outline(label, side, rng.uniform(0.8, 1.25), rng.uniform(-15, 15))
    for _ in range(25):
        centre = rng.uniform(0, (width, height))
        mask, whole = _mask(label, outline, centre, height, width)
        if _area(mask) < MIN_INSIDE * whole:
            continue
        if all(_area(visible & ~mask) >= MIN_VISIBLE * _area(old) for _, old, visible in placed):
            break
    else:
        return
    _paint(rng, canvas, mask, label)
    for number, (name, old, visible) in enumerate(placed):
        placed[number] = (name, old, visible & ~mask)
    placed.append((label, mask, mask.copy()))


def _outline(label, side, stretch, degrees):
    """(points, 2) polygon about the origin; a ring's is its outer edge."""
    if label in ("circle", "ring"):
        angles = np.linspace(0, 2 * np.pi, 60, endpoint=False)
        points = np.stack([np.cos(angles), np.sin(angles)], axis=1) / 2
    elif label == "triangle":
        points = np.array([(0, -0.55), (0.52, 0.42), (-0.52, 0.42)])
    else:
        arm = 0.17
        quarter = np.array([(arm, -0.5), (arm, -arm), (0.5, -arm)])
        turns = [np.array([(np.cos(a), -np.sin(a)), (np.sin(a), np.cos(a))]) for a in np.arange(4) * np.pi / 2]
        points = np.concatenate([quarter @ turn.T for turn in turns])
    points = points * side * (np.sqrt(stretch), 1 / np.sqrt(stretch))
    turn = np.deg2rad(degrees)
    return points @ np.array([(np.cos(turn), np.sin(turn)), (-np.sin(turn), np.cos(turn))])


def _mask(label, outline, centre, height, width):
    """(silhouette within the frame (height, width) bool, its area without the frame)."""
    margin = int(np.abs(outline).max()) + 2
    canvas = np.zeros((height + 2 * margin, width + 2 * margin), np.uint8)
    points = np.round(outline + centre + margin).astype(np.int32)
    cv2.fillPoly(canvas, [points], 1)
    if label == "ring":
        cv2.fillPoly(canvas, [np.round(outline * 0.55 + centre + margin).astype(np.int32)], 0)
    return canvas[margin:-margin, margin:-margin].astype(bool), cv2.countNonZero(canvas)


def _area(mask):
    return cv2.countNonZero(mask.view(np.uint8))


def _paint(rng, canvas, mask, label):
    """Fill the silhouette with a texture that stands out of what is behind it, and mostly give it an edge."""
    window = _window(mask)  # the rest of the frame stays as it is, and is not worth the time
    canvas, mask = canvas[window], mask[window]
    around = cv2.dilate(mask.view(np.uint8), np.ones((2 * SURROUNDINGS + 1,) * 2)).view(bool) & ~mask
    behind = canvas[around].mean() if around.any() else 128.0
    colour = _vivid_colour(rng, label)
    while abs(colour.mean() - behind) < 25:
        colour = _vivid_colour(rng, label)
    texture = TYPICAL_TEXTURE[label] if rng.random() < TYPICAL_SHARE else TEXTURES[rng.integers(len(TEXTURES))]
    contrast = rng.uniform(25, 50) * rng.choice((-1, 1))
    canvas[mask] = (colour + _texture(rng, texture, window)[mask][:, None] * contrast).astype(np.float32)
    if rng.random() < 0.7:
        inner = cv2.erode(mask.view(np.uint8), np.ones((3, 3)), iterations=int(rng.integers(1, 4)),
                          borderValue=1).view(bool)
        canvas[mask & ~inner] = colour * 0.35 if colour.mean() > behind else 255 - (255 - colour) * 0.35


def _window(mask):
    """(rows, columns) of the frame as slices: the silhouette and its surroundings."""
    x, y, width, height = cv2.boundingRect(mask.view(np.uint8))
    return tuple(slice(max(0, start - SURROUNDINGS), min(start + length + SURROUNDINGS, limit))
                 for start, length, limit in zip((y, x), (height, width), mask.shape))


def _texture(rng, name, window):
    """Pattern in [-1, 1] over a window of the frame, a pair of slices."""
    y, x = np.mgrid[window].astype(np.float32)
    turn = rng.uniform(-0.25, 0.25)
    pace = 2 * np.pi / (rng.uniform(12, 20) * OVERSAMPLING)
    along, across = (x * np.cos(turn) + y * np.sin(turn)) * pace, (y * np.cos(turn) - x * np.sin(turn)) * pace
    if name == "stripes":
        return np.sign(np.sin(across))
    if name == "checks":
        return np.sign(np.sin(along) * np.sin(across))
    if name == "shaded":
        return np.sin(along / 5)
    return np.zeros(x.shape)
