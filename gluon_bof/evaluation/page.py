"""A page of one file: HTML with its images inside, and its numbers as JSON beside it. Nothing is fetched from anywhere."""
from __future__ import annotations

import base64
import io
import json
import math
import os
from typing import Any

import numpy as np

from gluon_bof.errors import printable
from gluon_bof.files import numbers_beside, write_atomically

TEMPLATES = os.path.join(os.path.dirname(os.path.abspath(__file__)), "templates")
DOTS = 160  # an inch, of a figure
JPEG_QUALITY = 82


def write_page(path: str, template: str, numbers: dict, **shown: Any) -> str:
    """Write the page of a template, and `numbers` beside it, in a file of the same name that ends in .json.

    numbers: a dict of plain and NumPy values; NaN becomes null. shown: what only the page has. Returns the JSON's path.
    Raises UserError where they cannot be written."""
    import jinja2

    numbers = plain(numbers)
    environment = jinja2.Environment(loader=jinja2.FileSystemLoader(TEMPLATES), autoescape=True, trim_blocks=True,
                                     lstrip_blocks=True, undefined=jinja2.StrictUndefined)
    environment.filters.update(share=share, number=number, text=text)
    beside = numbers_beside(path)
    html = environment.get_template(template).render(numbers=numbers, beside=os.path.basename(beside), **shown)
    write_atomically(path, html.encode("utf-8", "replace"))  # first: numbers without a page are taken for another's file
    write_atomically(beside, (json.dumps(numbers, indent=1, allow_nan=False) + "\n").encode())
    return beside


def plain(value: Any) -> Any:
    """The value in JSON's kinds: NumPy's numbers and arrays as Python's, NaN and infinity as None."""
    if isinstance(value, dict):
        return {str(key): plain(item) for key, item in value.items()}
    if isinstance(value, (list, tuple, np.ndarray)):
        return [plain(item) for item in value]
    if isinstance(value, np.generic):
        value = value.item()
    return None if isinstance(value, float) and not math.isfinite(value) else value


def is_share(value: Any) -> bool:
    """Whether a value of JSON is a number in [0, 1], but for what a sum of elevenths is off; text and truth values are none."""
    return type(value) in (int, float) and 0 <= value <= 1 + 1e-9


def share(value: float | None, digits: int = 1) -> str:
    """0.1234 -> "12.3", in percent; None -> a dash."""
    return "–" if value is None else f"{100 * value:.{digits}f}"


def number(value: float | None, digits: int = 2) -> str:
    """0.1234 -> "0.12"; None -> a dash."""
    return "–" if value is None else f"{value:.{digits}f}"


def text(value: Any) -> str:
    """A name out of a data set, as one line that can be shown."""
    return printable(str(value))


def png_of(figure: Any) -> str:
    """A matplotlib figure as a data URI."""
    data = io.BytesIO()
    figure.savefig(data, format="png", dpi=DOTS, metadata={"Software": None})
    return _uri("png", data.getvalue())


def jpeg_of(image: np.ndarray) -> str:
    """An image (H, W, 3) uint8 RGB as a data URI: a photograph's PNG would be ten times as large."""
    from PIL import Image

    data = io.BytesIO()
    Image.fromarray(image).save(data, "JPEG", quality=JPEG_QUALITY, optimize=True)
    return _uri("jpeg", data.getvalue())


def _uri(kind, data):
    return f"data:image/{kind};base64,{base64.b64encode(data).decode('ascii')}"
