"""What is in a page, and a headless browser that lays it out, where one is installed."""
import base64
import html
import json
import re
import shutil
import subprocess
from html.parser import HTMLParser

import cv2
import numpy as np
import pytest

NAMES = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable")
LOOK = """
<script>
function look() {
  const page = document.getElementById("page").contentDocument, root = page.documentElement;
  const texts = [...page.querySelectorAll("h1,h2,h3,p,figcaption,td,th,.facts div")].filter(e => e.textContent.trim());
  const boxes = texts.map(e => e.getBoundingClientRect());
  const over = [];
  for (let i = 0; i < texts.length; i++) for (let j = i + 1; j < texts.length; j++) {
    const a = boxes[i], b = boxes[j];
    const wide = Math.min(a.right, b.right) - Math.max(a.left, b.left);
    const high = Math.min(a.bottom, b.bottom) - Math.max(a.top, b.top);
    if (wide > 1 && high > 1 && !texts[i].contains(texts[j]) && !texts[j].contains(texts[i]))
      over.push([texts[i].textContent.trim(), texts[j].textContent.trim()]);
  }
  const images = [...page.images];
  document.getElementById("seen").textContent = JSON.stringify({
    width: root.clientWidth, needs: root.scrollWidth, over: over, images: images.length,
    broken: images.filter(i => !i.complete || !i.naturalWidth).length,
    parts: [...page.querySelectorAll("[id]")].filter(e => e.getBoundingClientRect().height > 0).map(e => e.id),
    shapes: images.filter(i => Math.abs(i.width / i.height - i.naturalWidth / i.naturalHeight) > 0.05).length});
}
</script>
"""


class _Elements(HTMLParser):
    """The ids of a page's elements and the sources of its images."""

    def __init__(self, text):
        super().__init__()
        self.ids, self.images = set(), []
        self.feed(text)
        self.close()

    def handle_starttag(self, tag, attrs):
        given = dict(attrs)
        self.ids.add(given.get("id"))
        if tag == "img":
            self.images.append(given.get("src", ""))


def _require_parts(path, parts):
    """Needs no browser: the parts are there, and every image is one."""
    found = _Elements(path.read_text(encoding="utf-8"))
    assert parts <= found.ids
    for source in found.images:
        data = base64.b64decode(source.partition("base64,")[2])
        assert data and cv2.imdecode(np.frombuffer(data, np.uint8), cv2.IMREAD_COLOR) is not None, source[:60]


def look_at(path, width, folder, parts=frozenset()):
    """What a browser makes of a page, which is to show these parts, at a width in pixels: {"parts": ids that are seen,
    "needs": width, "over": texts that lie over one another, "images", "broken", "shapes": images that are squeezed}. Where
    there is no browser it looks for the parts in the HTML, and skips."""
    _require_parts(path, parts)
    browser = next(filter(None, map(shutil.which, NAMES)), None)
    if browser is None:
        pytest.skip("no Chromium is installed")
    frame = folder / f"frame-{width}.html"
    page = html.escape(path.read_text(encoding="utf-8"))
    frame.write_text(f'<html><body>{LOOK}<pre id="seen"></pre><iframe id="page" onload="look()" srcdoc="{page}" '
                     f'style="width:{width}px;height:900px;border:0"></iframe></body></html>', encoding="utf-8")
    answer = subprocess.run([browser, "--headless=new", "--no-sandbox", "--disable-gpu", "--virtual-time-budget=8000",
                             f"--user-data-dir={folder / 'profile'}", "--dump-dom", f"file://{frame}"],
                            capture_output=True, text=True, timeout=120, check=False)
    found = re.search(r'<pre id="seen">(\{.*?\})</pre>', answer.stdout, re.DOTALL)
    assert found, answer.stderr[-2000:]
    seen = json.loads(html.unescape(found.group(1)))
    assert parts <= set(seen["parts"])
    return seen
