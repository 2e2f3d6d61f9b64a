"""vocmini: a drawn set that is hard in the way Pascal VOC is. 20 classes that share outlines, textures and colours pairwise,
in scenes that tell something of the class; sizes, crowding, truncation and difficult objects about as in VOC 2007.

Drawn from a seed into the cache folder when first opened, part by part, as JPEG, VOC XML and VOC's PNGs of silhouettes
(docs/miniature.md)."""
from __future__ import annotations

import cv2
import numpy as np

from gluon_bof.boxes import DetectionSet
from gluon_bof.data.drawn import OVERSAMPLING, ensure_drawn, owners, tight_box
from gluon_bof.data.voc import load_voc
from gluon_bof.errors import UserError
from gluon_bof.masks import NOBODY

VERSION = 3  # a new number wherever a pixel or a box changes: what was measured on them says it
FILES = 4  # a new number wherever a file does, so that an old cache is left alone; 4: the silhouettes came to the same images
SEED = 20070607
OUTLINES = ("disc", "triangle", "box", "house", "star", "cross", "crescent", "arrow", "ring", "bolt")
TEXTURES = ("plain", "stripes", "bars", "checks", "dots", "shaded", "circles", "waves", "grain", "hatch")
SCENES = 5
# what each split is: its number, which with an image's place is all that its pixels depend on, and its images
SPLITS = {"pretrain": (0, 4000), "pretrain-val": (1, 400), "train": (2, 2000), "tune": (3, 1000), "test": (4, 2000),
          "test-other": (5, 2000)}
OTHER_CONTEXTS = (5,)  # numbers of splits whose objects stand where their class does not
TRAINING_SIZES = (125, 250, 500, 1000, 2000)  # splits train-N: the first N images of train
DEFAULT_SPLIT = {"train": "train-500", "val": "test"}

FRAMES = ((192, 144), (192, 144), (192, 128), (144, 192))  # width, height: VOC's 500 x 375 and so on, at 0.384
MOST_OBJECTS = 12
ALONE_SHARE = 0.42  # images with one object
MORE_SHARE = 0.74  # of the others with one more, and so on
SPECK_SHARE = 0.2  # objects that are far away
HOME_SHARE = 0.85  # objects that stand in a scene of their class
COMPANION_SHARE = 0.6  # objects with something of their scene beside them
TYPICAL_SHARE = 0.8  # objects in their class's colour
LEAST_INSIDE = 0.6  # of an object, within the frame
LEAST_VISIBLE = 0.3  # of an object that a later one may cover
TRUNCATED_BELOW = 0.85  # visible box over whole box; VOC's guidelines: more than 15 to 20% outside the box
DIFFICULT_VISIBLE = 0.5  # below this visible share an object is difficult
DIFFICULT_SIDE = 15  # pixels; below this an object is difficult
PERIODS = (12, 18)  # of a texture, in pixels
CONTRASTS = (45, 95)  # of a texture, in units of 255
LEAST_SIDE = 6  # pixels; what is smaller is not drawn
SPACING = 0.06  # of an outline's points at most, as a share of its size


def outline_of(class_id: int) -> int:
    """Index into OUTLINES; classes 2k and 2k + 1 share it."""
    return class_id // 2


def texture_of(class_id: int) -> int:
    """Index into TEXTURES; classes 2k - 1 and 2k share it."""
    return (class_id + 1) // 2 % len(TEXTURES)


NAMES = tuple(f"{OUTLINES[outline_of(class_id)]}-{TEXTURES[texture_of(class_id)]}" for class_id in range(20))


def hue_of(class_id: int) -> int:
    """In OpenCV's half degrees; four classes share it, none of which shares an outline or a texture."""
    return 36 * ((class_id + class_id // SCENES) % SCENES)


def scene_of(class_id: int) -> int:
    """The scene that a class is at home in; classes that share an outline or a texture are at home in different ones."""
    return class_id % SCENES


def load_vocmini(role: str, root: str | None = None, split: str | None = None, masks: bool = False) -> DetectionSet:
    """One split as a DetectionSet, drawn on first use.

    role: "train" or "val"; split: a key of SPLITS or train-N for N of TRAINING_SIZES; default: DEFAULT_SPLIT of the role. root:
    cache folder; masks: with each object's silhouette, as far as it is seen. Raises UserError for other splits."""
    split = split or DEFAULT_SPLIT[role]
    return load_voc(ensure_vocmini(split, root), role, classes=NAMES, split=split, name="vocmini", masks=masks)


def ensure_vocmini(split: str, root: str | None = None) -> str:
    """The folder that holds a split; draws it if it is not there. Raises UserError for a split that there is not."""
    part = "train" if split.startswith("train-") else split
    known = [*SPLITS, *(f"train-{size}" for size in TRAINING_SIZES)]
    if split not in known:
        raise UserError(f"the data set vocmini has no split {split!r}", remedy=f"choose one of {', '.join(known)}")
    number, count = SPLITS[part]
    heads = {f"train-{size}": size for size in TRAINING_SIZES if part == "train"}
    return ensure_drawn(root, {part: count}, f"vocmini-{part}", number, draw_scene, FILES, heads, NAMES)


# ---- one image -----------------------------------------------------------------------------------------------------

def draw_image(split: int, index: int) -> tuple[np.ndarray, list[tuple]]:
    """((H, W, 3) uint8 RGB, [(class name, (left, top, right, bottom), difficult, truncated)]), a pure function of its place."""
    image, placed = _draw(split, index)
    return image, [found for found in map(_described, placed) if found]


def draw_scene(split: int, index: int) -> tuple[np.ndarray, list[tuple], np.ndarray]:
    """The same, and whose each pixel is: (H, W) uint8, the object's number from 1; NOBODY's is what has too little left to be
    labelled."""
    image, placed = _draw(split, index)
    described = [_described(entry) for entry in placed]
    found = [about for about in described if about]
    of_placed, number = np.zeros(256, np.uint8), 0
    of_placed[NOBODY] = NOBODY
    for place, about in enumerate(described, 1):
        number += about is not None
        of_placed[place] = number if about else NOBODY
    numbers = owners([visible for _, _, visible, _, _ in placed], image.shape[:2])
    return image, found, of_placed[numbers]


def _draw(split, index):
    """((H, W, 3) uint8, what `_place` remembers of each object)."""
    rng = np.random.Generator(np.random.Philox(key=np.array((SEED, split), np.uint64),
                                               counter=np.array((0, index, 0, 0), np.uint64)))
    width, height = FRAMES[rng.integers(len(FRAMES))]
    size = height * OVERSAMPLING, width * OVERSAMPLING
    scene = int(rng.integers(SCENES))
    canvas = _ground(rng, scene, *size)
    placed = []
    for class_id, side in _wanted(rng, scene, size, split in OTHER_CONTEXTS):
        _place(rng, canvas, placed, class_id, side, split in OTHER_CONTEXTS)
    return _photograph(rng, canvas, (width, height)), placed


def _wanted(rng, scene, size, is_other):
    """[(class id, side in pixels of the canvas)], large ones first, so that small ones stand before them."""
    count = 1 if rng.random() < ALONE_SHARE else 2
    while 1 < count < MOST_OBJECTS and rng.random() < MORE_SHARE:
        count += 1
    scale = np.sqrt(size[0] * size[1])
    found = []
    kind = int(rng.integers(len(NAMES)))
    for _ in range(count):
        if not found or rng.random() < 0.5:  # things of one class come in groups
            kind = _class_in(rng, scene, is_other)
        if rng.random() < SPECK_SHARE:
            share = rng.uniform(0.06, 0.24)
        else:  # with more around, each is smaller
            share = rng.beta(2.4, 0.8 + 0.26 * (count - 1)) * 0.95 + 0.08
        found.append((kind, share * scale))
    return sorted(found, key=lambda pair: -pair[1])


def _class_in(rng, scene, is_other):
    at_home = np.flatnonzero(np.arange(len(NAMES)) % SCENES == scene)
    others = np.flatnonzero(np.arange(len(NAMES)) % SCENES != scene)
    if is_other or rng.random() > HOME_SHARE:
        return int(others[rng.integers(len(others))])
    return int(at_home[rng.integers(len(at_home))])


def _photograph(rng, canvas, size):
    """The canvas as a camera of changing light, focus and noise sees it, uint8."""
    light = rng.uniform(0.75, 1.15) * rng.uniform(0.9, 1.1, 3)
    image = cv2.resize((canvas * light.astype(np.float32)).clip(0, 255).astype(np.uint8), size, interpolation=cv2.INTER_AREA)
    if rng.random() < 0.3:
        image = cv2.GaussianBlur(image, (5, 5), rng.uniform(0.4, 1.1))
    noise = rng.normal(0, rng.uniform(1, 4), image.shape)
    return (image + noise).clip(0, 255).astype(np.uint8)


def _described(entry):
    """(class name, visible box, difficult, truncated) of a placed object; None where too little is left to be labelled."""
    class_id, mask, visible, whole_area, whole_box = entry
    seen = cv2.countNonZero(visible)
    _, _, width, height = cv2.boundingRect(visible)
    if seen < 0.15 * whole_area or min(width, height) < LEAST_SIDE * OVERSAMPLING:
        return None
    difficult = (seen < DIFFICULT_VISIBLE * whole_area
                 or np.sqrt(width * height) < DIFFICULT_SIDE * OVERSAMPLING)
    return NAMES[class_id], tight_box(visible), bool(difficult), bool(width * height < TRUNCATED_BELOW * whole_box)


# ---- scenes --------------------------------------------------------------------------------------------------------

def _ground(rng, scene, height, width):
    """What stands behind: (height, width, 3) float32 of a scene's colours and patterns, with clutter."""
    first, second = (_scene_colour(rng, scene) for _ in range(2))
    slope = rng.uniform(-0.3, 0.3)
    y, x = np.mgrid[0:height, 0:width].astype(np.float32)
    ramp = ((y / height) + slope * (x / width - 0.5)).clip(0, 1)[..., None]
    ground = (first * (1 - ramp) + second * ramp).astype(np.float32)
    patches = rng.normal(0, 22, (rng.integers(3, 8), rng.integers(3, 8), 1)).astype(np.float32)
    ground += cv2.resize(patches, (width, height), interpolation=cv2.INTER_CUBIC)[..., None]
    ground += _scene_pattern(rng, scene, y, x)[..., None] * rng.uniform(10, 24)
    for _ in range(rng.integers(2, 6)):
        _clutter(rng, ground)
    for _ in range(rng.integers(0, 3)):
        _prop(rng, ground, scene, rng.uniform(0, (width, height)), rng.uniform(20, 70) * OVERSAMPLING / 2)
    return ground


def _scene_colour(rng, scene):
    """A colour that is common in a scene, RGB in [0, 255], though not only there."""
    hue = 36 * scene + rng.normal(0, 16)
    pixel = np.uint8([[[hue % 180, rng.integers(20, 110), rng.integers(60, 230)]]])
    return cv2.cvtColor(pixel, cv2.COLOR_HSV2RGB)[0, 0].astype(np.float32)


def _scene_pattern(rng, scene, y, x):
    """The scene's pattern in [-1, 1]: ripples, bricks, grass, clouds or tiles."""
    pace = 2 * np.pi / (rng.uniform(14, 30) * OVERSAMPLING)
    if scene == 0:
        return np.sin(y * pace * 1.5 + 2 * np.sin(x * pace * 0.5 + rng.uniform(0, 6)))
    if scene == 1:
        rows = np.floor(y * pace / np.pi)
        return np.where((np.abs(np.sin(y * pace)) < 0.16) | (np.abs(np.sin(x * pace / 2 + rows * np.pi / 2)) < 0.09), -1, 0.15)
    if scene == 2:
        blades = rng.normal(0, 1, (max(2, y.shape[0] // 16), max(2, x.shape[1] // 3))).astype(np.float32)
        return cv2.resize(blades, (x.shape[1], y.shape[0]), interpolation=cv2.INTER_LINEAR).clip(-1.5, 1.5) / 1.5
    if scene == 3:
        puffs = rng.normal(0, 1, (max(2, y.shape[0] // 40), max(2, x.shape[1] // 60))).astype(np.float32)
        return cv2.resize(puffs, (x.shape[1], y.shape[0]), interpolation=cv2.INTER_CUBIC).clip(-1.5, 1.5) / 1.5
    turn = rng.uniform(-0.3, 0.3)
    return np.sign(np.sin((x + turn * y) * pace * 0.6) * np.sin((y - turn * x) * pace * 0.6)) * 0.6


def _clutter(rng, ground):
    """A line, an arc or a fragment of some outline, in a colour near that of its place."""
    height, width = ground.shape[:2]
    start, end = rng.integers(0, (width, height), (2, 2)).tolist()
    colour = (ground[start[1], start[0]] + rng.normal(0, 40) + rng.normal(0, 18, 3)).tolist()
    kind = rng.integers(3)
    if kind == 0:
        cv2.line(ground, start, end, colour, int(rng.integers(1, 8)), cv2.LINE_AA)
    elif kind == 1:
        first = rng.uniform(0, 360)
        cv2.ellipse(ground, start, (int(rng.integers(8, 90)), int(rng.integers(8, 90))), rng.uniform(0, 180), first,
                    first + rng.uniform(40, 150), colour, int(rng.integers(2, 9)), cv2.LINE_AA)
    else:
        corners = (rng.normal(0, rng.uniform(12, 50), (int(rng.integers(4, 6)), 2)) + start).astype(np.int32)
        cv2.fillPoly(ground, [cv2.convexHull(corners)], colour, cv2.LINE_AA)


def _prop(rng, ground, scene, place, side):
    """Something unlabelled that belongs to a scene: a pole, a crate, tufts, a balloon on a string, steps."""
    colour = (_scene_colour(rng, scene) * rng.uniform(0.5, 1.3)).tolist()
    x, y = (int(value) for value in place)
    side = max(6, int(side))
    thick = max(2, side // 8)
    if scene == 0:
        cv2.line(ground, (x, y), (x + side // 8, y + 2 * side), colour, thick, cv2.LINE_AA)
        cv2.line(ground, (x - side // 3, y + side // 4), (x + side // 3, y + side // 4), colour, thick, cv2.LINE_AA)
    elif scene == 1:
        cv2.rectangle(ground, (x, y), (x + side, y + 2 * side // 3), colour, thick, cv2.LINE_AA)
        cv2.line(ground, (x, y), (x + side, y + 2 * side // 3), colour, thick, cv2.LINE_AA)
    elif scene == 2:
        for lean in (-0.5, -0.2, 0.1, 0.4):
            cv2.line(ground, (x, y), (x + int(lean * side), y - side), colour, thick, cv2.LINE_AA)
    elif scene == 3:
        cv2.circle(ground, (x, y), side // 3, colour, thick, cv2.LINE_AA)
        cv2.line(ground, (x, y + side // 3), (x, y + side), colour, max(1, thick // 2), cv2.LINE_AA)
    else:
        for step in range(3):
            cv2.rectangle(ground, (x + step * side // 3, y - step * side // 3), (x + side, y - (step - 1) * side // 3),
                          colour, max(1, thick // 2), cv2.LINE_AA)


# ---- objects -------------------------------------------------------------------------------------------------------

def _place(rng, canvas, placed, class_id, side, is_other):
    """Draw one object where it fits, if such a place is found; `placed` remembers (class, mask, visible mask, area and box area
    of the whole silhouette, also of what lies outside the frame)."""
    height, width = canvas.shape[:2]
    contours = _outline(rng, OUTLINES[outline_of(class_id)], side)
    for _ in range(20):
        centre = rng.uniform(0.1, 0.9, 2) * (width, height)
        mask, whole_area, whole_box = _mask(contours, centre, height, width)
        inside = cv2.countNonZero(mask)
        if inside < LEAST_INSIDE * whole_area or inside < 20:
            continue
        if all(cv2.countNonZero(visible & ~mask & 1) >= LEAST_VISIBLE * area for _, _, visible, area, _ in placed):
            break
    else:
        return
    if rng.random() < COMPANION_SHARE:
        home = scene_of(class_id)
        shown = int((home + rng.integers(1, SCENES)) % SCENES) if is_other else home
        beside = centre + rng.choice((-1, 1)) * np.array((0.75 * side, 0)) + rng.normal(0, 0.12 * side, 2)
        _prop(rng, canvas, shown, beside, 0.6 * side)
    _paint(rng, canvas, mask, class_id)
    for number, (kind, old, visible, area, box) in enumerate(placed):
        placed[number] = (kind, old, visible & ~mask & 1, area, box)
    placed.append((class_id, mask, mask.copy(), whole_area, whole_box))


def _outline(rng, name, side):
    """Closed contours (points, 2) about the origin, the outer one first, warped as no other object's."""
    contours = [np.array(points, np.float64) for points in _contours(name, rng)]
    flip = rng.choice((-1, 1)) if name in ("crescent", "arrow", "bolt") else 1
    stretch = np.exp(rng.normal(0, 0.16))
    shear, turn = rng.normal(0, 0.08), np.deg2rad(rng.normal(0, 10))
    warp = (np.array([(np.cos(turn), -np.sin(turn)), (np.sin(turn), np.cos(turn))])
            @ np.array([(1, shear), (0, 1)]) @ np.diag((flip * np.sqrt(stretch), 1 / np.sqrt(stretch))))
    taper, waves = rng.normal(0, 0.1), rng.normal(0, 0.01, (2, 3))
    phases = rng.uniform(0, 2 * np.pi, (2, 3))
    found = []
    for points in contours:
        points = _dense(points)
        points = points * (1 + taper * points[:, 1:])  # wider above or below, as things seen from there
        angle = np.arctan2(points[:, 1], points[:, 0])[:, None]
        wobble = np.stack([(wave * np.sin(np.arange(2, 5) * angle + phase)).sum(axis=1)
                           for wave, phase in zip(waves, phases)], axis=1)
        found.append((points + wobble) @ warp.T * side)
    return found


def _dense(points):
    """The same polygon with points no further apart than SPACING."""
    ends = np.roll(points, -1, axis=0)
    parts = [start + (end - start) * np.linspace(0, 1, max(1, int(np.hypot(*(end - start)) / SPACING)), endpoint=False)[:, None]
             for start, end in zip(points, ends)]
    return np.concatenate(parts)


def _circle(radius):
    angles = np.linspace(0, 2 * np.pi, 48, endpoint=False)
    return np.stack([np.cos(angles), np.sin(angles)], axis=1) * radius


def _contours(name, rng):
    """Closed polygons of about unit size; of a ring the second is its hole."""
    if name == "disc":
        return [_circle(0.5)]
    if name == "ring":
        return [_circle(0.5), _circle(rng.uniform(0.2, 0.32))]
    if name == "triangle":
        return [[(0, -0.52), (0.5, 0.42), (-0.5, 0.42)]]
    if name == "box":
        return [[(-0.45, -0.45), (0.45, -0.45), (0.45, 0.45), (-0.45, 0.45)]]
    if name == "house":
        eaves = rng.uniform(-0.2, 0.05)
        return [[(0, -0.52), (0.45, eaves), (0.45, 0.45), (-0.45, 0.45), (-0.45, eaves)]]
    if name == "star":
        inner = rng.uniform(0.19, 0.27)
        angles = np.arange(10) * np.pi / 5 - np.pi / 2
        return [np.stack([np.cos(angles), np.sin(angles)], axis=1) * np.where(np.arange(10) % 2, inner, 0.52)[:, None]]
    if name == "cross":
        a = rng.uniform(0.12, 0.2)
        return [[(a, -0.5), (a, -a), (0.5, -a), (0.5, a), (a, a), (a, 0.5), (-a, 0.5), (-a, a), (-0.5, a), (-0.5, -a), (-a, -a),
                 (-a, -0.5)]]
    if name == "crescent":
        outer, depth = _circle(0.5), rng.uniform(0.12, 0.3)
        angles = np.linspace(-np.pi / 2, np.pi / 2, 24)
        inner = np.stack([depth * np.cos(angles), 0.5 * np.sin(angles)], axis=1)
        return [np.concatenate([outer[(outer[:, 0] <= 1e-9)][np.argsort(-outer[outer[:, 0] <= 1e-9][:, 1])],
                                inner * (-0.25, 0.98)])]
    if name == "arrow":
        a = rng.uniform(0.1, 0.18)
        return [[(-0.5, -a), (0.05, -a), (0.05, -0.42), (0.52, 0), (0.05, 0.42), (0.05, a), (-0.5, a)]]
    lean = rng.uniform(0.1, 0.2)
    return [[(-0.1 + lean, -0.5), (0.38, -0.5), (0.12, -0.1), (0.36, -0.1), (-0.3, 0.52), (-0.06, 0.06), (-0.34, 0.06)]]


def _mask(contours, centre, height, width):
    """(silhouette within the frame (height, width) uint8 of 0 and 1, area of the whole, area of the whole's box)."""
    margin = int(np.abs(contours[0]).max()) + 2
    canvas = np.zeros((height + 2 * margin, width + 2 * margin), np.uint8)
    for number, points in enumerate(contours):
        cv2.fillPoly(canvas, [np.round(points + centre + margin).astype(np.int32)], int(number == 0))
    box = cv2.boundingRect(canvas)
    return np.ascontiguousarray(canvas[margin:-margin, margin:-margin]), cv2.countNonZero(canvas), box[2] * box[3]


def _paint(rng, canvas, mask, class_id):
    """Fill the silhouette with the class's texture in a colour that stands out a little, shade it, mostly give it an edge."""
    x, y, width, height = cv2.boundingRect(mask)
    window = slice(y, y + height), slice(x, x + width)
    part, inside = canvas[window], mask[window].astype(bool)
    behind = part.mean()
    colour = _colour(rng, class_id)
    for _ in range(8):
        if abs(colour.mean() - behind) >= 25:
            break
        colour = _colour(rng, class_id)
    pattern = _texture(rng, TEXTURES[texture_of(class_id)], height, width)
    rows, columns = np.mgrid[-1:1:height * 1j, -1:1:width * 1j].astype(np.float32)
    shade = rng.normal(0, 16) * rows + rng.normal(0, 16) * columns
    contrast = np.exp(rng.uniform(*np.log(CONTRASTS))) * rng.choice((-1, 1))
    filled = colour + (pattern * contrast + shade)[..., None] + rng.normal(0, 6, 3)
    part[inside] = filled[inside].astype(np.float32)
    if rng.random() < 0.6:
        inner = cv2.erode(inside.view(np.uint8), np.ones((3, 3)), iterations=int(rng.integers(1, 3)), borderValue=1).view(bool)
        part[inside & ~inner] = colour * 0.4 if colour.mean() > behind else 255 - (255 - colour) * 0.4


def _colour(rng, class_id):
    hue = hue_of(class_id) + rng.normal(0, 6) if rng.random() < TYPICAL_SHARE else rng.uniform(0, 180)
    pixel = np.uint8([[[hue % 180, rng.integers(50, 230), rng.integers(80, 240)]]])
    return cv2.cvtColor(pixel, cv2.COLOR_HSV2RGB)[0, 0].astype(np.float32)


def _texture(rng, name, height, width):
    """Pattern in [-1, 1], (height, width)."""
    y, x = np.mgrid[0:height, 0:width].astype(np.float32)
    turn = rng.normal(0, 0.18)
    pace = 2 * np.pi / (rng.uniform(*PERIODS) * OVERSAMPLING)
    along = (x * np.cos(turn) + y * np.sin(turn)) * pace + rng.uniform(0, 6)
    across = (y * np.cos(turn) - x * np.sin(turn)) * pace + rng.uniform(0, 6)
    if name == "stripes":
        return np.sign(np.sin(across))
    if name == "bars":
        return np.sign(np.sin(along))
    if name == "checks":
        return np.sign(np.sin(along) * np.sin(across))
    if name == "dots":
        return np.where(np.sin(along) + np.sin(across) > 0.9, 1.0, -0.35)
    if name == "shaded":
        return np.sin(along / 5) * 1.2
    if name == "circles":
        return np.sign(np.sin(np.hypot(x - width * rng.uniform(0.4, 0.6), y - height * rng.uniform(0.4, 0.6)) * pace * 1.2))
    if name == "waves":
        return np.sign(np.sin(across + 1.3 * np.sin(along)))
    if name == "grain":
        grains = rng.normal(0, 1, (max(2, int(height * pace / 2.2)), max(2, int(width * pace / 2.2)))).astype(np.float32)
        return cv2.resize(grains, (width, height), interpolation=cv2.INTER_LINEAR).clip(-1, 1)
    if name == "hatch":
        one, other = (np.abs(np.sin(half)) < 0.3 for half in (along / 2 + across / 2, along / 2 - across / 2))
        return np.where(one | other, 1.0, -0.3)
    return np.zeros((height, width), np.float32)
