"""What the benchmarks share: the images, the machine, sides that run in turn, and the closing line.

`voc_folder` lays images out for both sides, `machine` and `machine_floors` say on what was measured, `in_turn`,
`timed_in_turn` and `ratio` measure, `finish` prints the result. A side that needs a process of its own goes through
`run_side`."""
import argparse
import contextlib
import json
import os
import platform
import statistics
import subprocess
import sys
import tempfile
import time
from xml.etree import ElementTree

import cv2
import numpy as np

from gluon_bof.data.images import read_image
from gluon_bof.data.sets import open_set
from gluon_bof.errors import UserError
from gluon_bof.paper import bundles

HERE = os.path.dirname(os.path.abspath(__file__))
CHECKOUT = os.path.dirname(HERE)
ENLARGEMENT = 3  # of the embedded set's images, to about 640 x 480
# Enlarged drawings compress to a third of a photograph's bytes and decode too fast. With this grain an image has 0.16 MB,
# as COCO's have on average
GRAIN = 10


def parser_of(description):
    """A benchmark's parser, whose --help has its docstring line by line."""
    return argparse.ArgumentParser(description=description, formatter_class=argparse.RawDescriptionHelpFormatter)


def add_arguments(parser, rounds, count=64):
    """The flags that every benchmark has, with a benchmark's own defaults."""
    parser.add_argument("--images", default="shapes", metavar="FOLDER",
                        help="a folder in VOC's or COCO's layout; default: the embedded set, enlarged to about 640x480")
    parser.add_argument("--count", type=int, default=count, help="images of it that are used")
    parser.add_argument("--rounds", type=int, default=rounds, help="how often the two sides take turns")


@contextlib.contextmanager
def voc_folder(images, count, validation=1):
    """A temporary folder whose VOC2007 holds `count` images as JPEGs, for both sides -> (folder, class names).

    All of them are the split trainval and the first `validation` are the split test. Class names are in lower case, as
    GluonCV's reader wants them; a box keeps a pixel of distance from every edge. JPEGs that both sides decode alike stay
    as they are. Raises UserError where no image has a box, and as `open_set` does."""
    found = open_set(images, None, "train", on_bad_sample="skip")
    records = [record for record in found.records if len(record.boxes)][:count]
    if not records:
        raise UserError("no image with a box", images, "give another folder")
    names = [name.lower() for name in found.classes]
    write = _write_enlarged if images == "shapes" else _copy
    with tempfile.TemporaryDirectory() as folder:
        root = os.path.join(folder, "VOC2007")
        voc_folders(root)
        for number, record in enumerate(records):
            scale, (height, width) = write(record, os.path.join(root, "JPEGImages", f"{number:06d}.jpg"), number)
            objects = [(names[int(label)], False, _inside(box, width, height))
                       for box, label in zip(scale * record.boxes.astype(float), record.classes)]
            write_annotation(os.path.join(root, "Annotations", f"{number:06d}.xml"), (width, height), objects)
        for split, listed in (("trainval", len(records)), ("test", validation)):
            write_split(root, split, [f"{number:06d}" for number in range(min(listed, len(records)))])
        yield folder, sorted({names[int(label)] for record in records for label in record.classes})


def _write_enlarged(record, path, seed):
    """Write the image enlarged and with a photograph's grain -> (scale, (height, width))."""
    image = cv2.cvtColor(read_image(record.path, record.orientation), cv2.COLOR_RGB2BGR)
    image = cv2.resize(image, None, fx=ENLARGEMENT, fy=ENLARGEMENT, interpolation=cv2.INTER_CUBIC)
    grain = np.random.default_rng(seed).normal(0, GRAIN, image.shape)
    _write_jpeg(path, (image + grain).clip(0, 255).astype(np.uint8))
    return ENLARGEMENT, image.shape[:2]


def _copy(record, path, _):
    """Write the image's own file, if it is a JPEG that nobody turns by its EXIF header -> (scale, (height, width))."""
    image = cv2.cvtColor(read_image(record.path, record.orientation), cv2.COLOR_RGB2BGR)
    with open(record.path, "rb") as file:
        data = file.read()
    if data[:2] == b"\xff\xd8" and np.array_equal(cv2.imread(record.path), image):
        with open(path, "wb") as file:
            file.write(data)
    else:
        _write_jpeg(path, image)
    return 1, image.shape[:2]


def _write_jpeg(path, image):
    if not cv2.imwrite(path, image, [cv2.IMWRITE_JPEG_QUALITY, 95]):
        raise UserError("the image cannot be written", path, "make room there, or set TMPDIR to another folder")


def _inside(box, width, height):
    """Whole (xmin, ymin, xmax, ymax) of a box, a pixel from every edge."""
    corners = [round(float(value)) for value in box]
    for low, high, side in ((0, 2, width), (1, 3, height)):
        corners[low] = min(max(corners[low], 1), side - 2)
        corners[high] = min(max(corners[high], corners[low] + 1), side - 1)
    return corners


def voc_folders(root):
    """Make the folders of VOC's layout."""
    for part in ("Annotations", "JPEGImages", os.path.join("ImageSets", "Main")):
        os.makedirs(os.path.join(root, part))


def write_split(root, split, names):
    """Write a list of VOC's."""
    with open(os.path.join(root, "ImageSets", "Main", f"{split}.txt"), "w", encoding="utf-8") as file:
        file.writelines(f"{name}\n" for name in names)


def write_annotation(path, size, objects):
    """Write VOC's XML. size: (width, height); objects: [(class name, difficult, (xmin, ymin, xmax, ymax) as VOC counts)]."""
    annotation = ElementTree.Element("annotation")
    _add(ElementTree.SubElement(annotation, "size"), width=size[0], height=size[1], depth=3)
    for name, difficult, corners in objects:
        thing = ElementTree.SubElement(annotation, "object")
        _add(thing, name=name, difficult=int(difficult))
        _add(ElementTree.SubElement(thing, "bndbox"), **dict(zip(("xmin", "ymin", "xmax", "ymax"), corners)))
    ElementTree.ElementTree(annotation).write(path)


def _add(element, **values):
    for tag, value in values.items():
        ElementTree.SubElement(element, tag).text = str(value)


def machine():
    """One line that says on what this was measured."""
    from gluon_bof.backend import mx
    about = bundles.machine()
    return (f"{about['cpu'] or about['architecture']}, {about['cores']} cores, Python "
            f"{platform.python_version()}, MXNet {mx.__version__}, OpenCV {cv2.__version__}, "
            f"OMP_NUM_THREADS={os.environ.get('OMP_NUM_THREADS', 'unset')}")


def say(text):
    """Words for people go to standard error; standard output has the result alone."""
    print(text, file=sys.stderr, flush=True)


def finish(result):
    """Print the closing line: one JSON object."""
    print(json.dumps(result, allow_nan=False), flush=True)


def run_side(command):
    """Run one side's process and return the JSON object of its last line. Raises RuntimeError with what it said."""
    process = subprocess.run(command, cwd=CHECKOUT, capture_output=True, text=True, check=False,
                             env=dict(os.environ, PYTHONPATH=CHECKOUT))
    if process.returncode:
        raise RuntimeError(f"{' '.join(command)}\n{process.stderr[-3000:]}")
    return json.loads(process.stdout.strip().splitlines()[-1])


def in_turn(sides, rounds):
    """{name: [value of each round]} of {name: function without arguments}, the order turned round every round."""
    values = {name: [] for name in sides}
    for number in range(rounds):
        for name in (list(sides) if number % 2 == 0 else reversed(list(sides))):
            values[name].append(sides[name]())
            say(f"round {number + 1}/{rounds}  {name:28} {values[name][-1]:10.3f}")
    return values


def timed_in_turn(sides, rounds):
    """({name: [seconds of each round]}, {name: [the same of the processor]}) of {name: function without arguments}."""
    processor = {name: [] for name in sides}

    def timed(name, run):
        def seconds():
            began, used = time.perf_counter(), time.process_time()
            run()
            processor[name].append(time.process_time() - used)
            return time.perf_counter() - began
        return seconds

    return in_turn({name: timed(name, run) for name, run in sides.items()}, rounds), processor


def matrix_peak():
    """Billions of multiplications and additions a second of a large convolution of one pixel, a matrix product: what hardly a
    network exceeds. (MXNet's dot goes through another library than its convolutions, and reaches half as much.)"""
    from gluon_bof.backend import mx
    channels, side = 1024, 64
    image = mx.nd.random.uniform(shape=(1, channels, side, side))
    weight = mx.nd.random.uniform(shape=(channels, channels, 1, 1))
    seconds = []
    for _ in range(8):
        start = time.perf_counter()
        mx.nd.Convolution(image, weight, no_bias=True, num_filter=channels, kernel=(1, 1)).wait_to_read()
        seconds.append(time.perf_counter() - start)
    return 2 * channels ** 2 * side ** 2 / min(seconds) / 1e9


def copy_bandwidth(megabytes=256):
    """GB/s that one thread reads and writes while it copies an array, which is to be larger than the caches: what hardly an
    operator without arithmetic exceeds on a core."""
    source = np.ones(megabytes * 10 ** 6 // 8)
    target = np.zeros_like(source)  # written by the first copy, which so is never the best
    seconds = []
    for _ in range(6):
        start = time.perf_counter()
        np.copyto(target, source)
        seconds.append(time.perf_counter() - start)
    return 2 * source.nbytes / min(seconds) / 1e9


def machine_floors():
    """{"matrix_peak_gflops", "copy_gigabytes_per_second"} of this machine, told in a line too."""
    peak, bandwidth = matrix_peak(), copy_bandwidth()
    say(f"floors: matrix peak {peak:.0f} Gflop/s, copies {bandwidth:.1f} GB/s read and written on a core")
    return {"matrix_peak_gflops": peak, "copy_gigabytes_per_second": bandwidth}


def ratio(above, below):
    """Median of the rounds' ratios, which the machine's slow phases touch least."""
    return statistics.median(a / b for a, b in zip(above, below))
