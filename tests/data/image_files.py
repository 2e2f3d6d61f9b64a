"""Image files that tests write, and how they are turned."""
import numpy as np
from PIL import Image

STORED_BY = {1: lambda a: a, 3: lambda a: a[::-1, ::-1], 6: lambda a: np.rot90(a, 1), 8: lambda a: np.rot90(a, -1)}


def gradient(height=48, width=64):
    """An image with a different ramp in each channel."""
    rows, columns = np.mgrid[:height, :width]
    return np.stack([columns * 3, rows * 4, (rows + columns) * 2], axis=2).astype(np.uint8)


def exif_of(orientation):
    """Pillow's EXIF header of that orientation."""
    exif = Image.Exif()
    exif[0x0112] = orientation
    return exif


def write(path, orientation=1, image=None, **options):
    """An image file with that orientation in its EXIF header."""
    ending = str(path).rsplit(".", 1)[1]
    options.update({"webp": {"lossless": True}, "jpg": {"quality": 95, "subsampling": 0}}.get(ending, {}))
    if orientation != 1:
        options["exif"] = exif_of(orientation)
    Image.fromarray(gradient() if image is None else image).save(path, **options)
    return str(path)


def write_image(path, orientation, image):
    """A file that is this image once it is turned as its EXIF header says."""
    Image.fromarray(np.ascontiguousarray(STORED_BY[orientation](image))).save(path, exif=exif_of(orientation))
