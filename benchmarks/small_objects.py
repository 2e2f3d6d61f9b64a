"""Small objects in large images: what `--tile` finds of them, and what it costs.

Draws images of 2,000 x 1,500 pixels with a few hundred of the embedded set's objects, all below 32 pixels, and a few large ones,
and evaluates the shipped detector on them: the whole image alone, with slices, and with slices merged by plain suppression, which
does not care whether a slice's edge cut a box. Counted at an IoU of 0.5 and --score; the last line is one JSON object."""
import contextlib
import os
import sys
import tempfile
import time

sys.path.insert(0, os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
import cv2
import numpy as np

from benchmarks.common import finish, machine, parser_of, say
from gluon_bof.data.drawn import ensure_drawn
from gluon_bof.data.shapes import CLASSES, FILES, SIDES, draw_ground, draw_object
from gluon_bof.data.voc import load_voc
from gluon_bof.errors import user_facing

SIZE = (2000, 1500)  # width, height
SMALL, LARGE = (14, 31), (150, 400)  # sides of boxes in pixels; the longer one is drawn from these
BELOW = 32.0  # pixels; a box of a smaller area than its square is small, as COCO's are
WITHIN = 3.0  # times its side: the part of the image that an object is drawn into
ROOM = 1.3  # times their half sides: how far apart two objects are at least
SEED = 20190212


def arguments_of(argv):
    parser = parser_of(__doc__)
    parser.add_argument("--weights", default="shapes", help="a detector of the embedded set's classes")
    parser.add_argument("--images", type=int, default=5, help="images that are drawn")
    parser.add_argument("--small", type=int, default=60, help="small objects an image")
    parser.add_argument("--large", type=int, default=4, help="large objects an image")
    parser.add_argument("--views", default="160,160/96,1024,1024/640", metavar="SHORT[/TILE]",
                        help="what is measured: the size that the network sees, and the tile's side, comma-separated")
    parser.add_argument("--overlap", type=float, default=0.3, help="of the tiles; 0.3 of 96 pixels is about a small object")
    parser.add_argument("--score", type=float, default=0.3, help="least score of what is counted")
    parser.add_argument("--keep", default=None, metavar="FOLDER", help="keep the drawn images there")
    return parser.parse_args(argv)


@user_facing
def main(argv=None):
    """Draw, measure, and print a row a view."""
    arguments = arguments_of(argv)
    rows = []
    with contextlib.ExitStack() as stack:
        root = arguments.keep or stack.enter_context(tempfile.TemporaryDirectory())
        stem = f"small-objects-{arguments.small}-{arguments.large}"
        drawn = ensure_drawn(root, {"test": arguments.images}, stem, 0, Drawing(arguments.small, arguments.large), FILES)
        found_set = load_voc(drawn, "val", classes=CLASSES, name="small objects")
        say("network's size  tile  merged by         recall small  large  precision  mAP@0.5  seconds an image")
        for view in arguments.views.split(","):
            rows += measure(found_set, arguments, *map(int, view.split("/")))
    finish({"weights": arguments.weights, "images": len(found_set), "size": SIZE, "small": arguments.images * arguments.small,
            "large": arguments.images * arguments.large, "overlap": arguments.overlap, "score": arguments.score,
            "machine": machine(), "rows": rows})


class Drawing:
    """draw(split, index) -> ((H, W, 3) uint8 RGB, [(class name, box, difficult)]), a pure function of its place."""

    def __init__(self, small, large):
        self.sides = [LARGE] * large + [SMALL] * small

    def __call__(self, split, index):
        rng = np.random.Generator(np.random.Philox(key=np.array((SEED, split), np.uint64),
                                                   counter=np.array((0, index, 0, 0), np.uint64)))
        canvas = draw_ground(rng, *SIZE[::-1])
        taken, objects = [], []
        for limits in self.sides:
            label = CLASSES[rng.integers(len(CLASSES))]
            side = float(np.exp(rng.uniform(*np.log(limits))))
            centre = _free_place(rng, side, taken)
            taken.append((*centre, side))
            objects.append((label, _draw_at(rng, canvas, label, side, centre), False))
        image = canvas + rng.normal(0, 3, canvas.shape)
        return image.clip(0, 255).astype(np.uint8), objects


def _free_place(rng, side, taken):
    """(x, y) that is far enough from the edges and from what is taken, [(x, y, side)]."""
    while True:
        x, y = (rng.uniform(side, limit - side) for limit in SIZE)
        if all(max(abs(x - left), abs(y - top)) > ROOM * (side + other) / 2 for left, top, other in taken):
            return x, y


def _draw_at(rng, canvas, label, side, centre):
    """Draw an object as the embedded set has it, made small or large as by a camera that is far or near. Returns its box."""
    drawn_side = 2 * rng.uniform(*SIDES)
    reach = int(np.ceil(WITHIN * side / 2))
    left, top = (max(0, int(place) - reach) for place in centre)
    part = canvas[top:top + 2 * reach, left:left + 2 * reach]
    scale = drawn_side / side
    enlarged = tuple(int(round(length * scale)) for length in part.shape[1::-1])
    patch = cv2.resize(part, enlarged, interpolation=cv2.INTER_LINEAR)
    box = np.array(draw_object(rng, patch, label, drawn_side / 1.3))  # an outline is turned and stretched: its box is larger
    part[:] = cv2.resize(patch, part.shape[1::-1], interpolation=cv2.INTER_AREA if scale > 1 else cv2.INTER_LINEAR)
    corners = box / np.tile(np.array(enlarged) / part.shape[1::-1], 2) + (left, top, left, top)
    return tuple(int(round(side)) for side in corners)


def measure(found_set, arguments, short, tile=None):
    """Rows of one view: the whole image; or slices, merged as they are by us, and by plain suppression."""
    from gluon_bof.evaluation.score import score
    from gluon_bof.evaluation.validation import Validation
    from gluon_bof.inference.model import open_model
    from gluon_bof.inference.tiles import tiling_of

    detector = open_model(arguments.weights, "cpu", short).detector
    validation = Validation(detector.options, found_set, tiling=tiling_of(tile, arguments.overlap if tile else None))
    rows = []
    for merging in ("ours", "plain suppression") if tile else ("",):
        began = time.perf_counter()
        with plain_suppression() if merging == "plain suppression" else contextlib.nullcontext():
            validation(detector)
        seconds = (time.perf_counter() - began) / len(found_set)
        counts = count(validation.detections, found_set, arguments.score)
        row = {"short": short, "tile": tile, "merged": merging, **counts, "seconds": seconds,
               "map": score(validation.detections, found_set, "voc07")["map"]}
        rows.append(row)
        say(f"{short:14}  {tile or '-':>4}  {merging or '-':16}  {row['recall_small']:12.3f}  {row['recall_large']:5.2f}  "
            f"{row['precision']:9.3f}  {row['map']:7.3f}  {seconds:16.2f}")
    return rows


@contextlib.contextmanager
def plain_suppression():
    """Merge without regard to edges."""
    from gluon_bof.inference import tiles
    usual = tiles.CUT_COUNTS, tiles.COVERED
    tiles.CUT_COUNTS, tiles.COVERED = 1.0, np.inf
    try:
        yield
    finally:
        tiles.CUT_COUNTS, tiles.COVERED = usual


def count(detections, found_set, least):
    """Recall of the small and the large boxes, and precision, of what scores at least that."""
    from gluon_bof.evaluation.matching import each_match, match_set

    shown = [type(found)(*(part[found.scores >= least] for part in found[:3])) for found in detections]
    everything, small, large = (match_set(each_match(shown, found_set.records, sizes), len(CLASSES))
                                for sizes in ((0, np.inf), (0, BELOW ** 2), (BELOW ** 2, np.inf)))
    return {"recall_small": float(small.hits.sum() / max(1, small.positives.sum())),
            "recall_large": float(large.hits.sum() / max(1, large.positives.sum())),
            "small": int(small.positives.sum()), "large": int(large.positives.sum()), "found": len(everything.hits),
            "precision": float(everything.hits.mean()) if len(everything.hits) else 0.0}


if __name__ == "__main__":
    main()
