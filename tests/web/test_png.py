"""Pages write into a PNG what kgen writes into one: the chunk of kgen/provenance.py."""

import base64
import json
import shutil
import subprocess
from importlib import resources

import numpy as np
import pytest
from PIL import Image

from kgen import images
from kgen.provenance import read_tag

MADE = {
    "kgen": "0.1.0",
    "label": "\N{GREEK SMALL LETTER ALPHA} \N{CAT FACE}",
    "seed": 7,
    "temperature": None,
}


@pytest.mark.skipif(shutil.which("node") is None, reason="needs node (Debian: apt-get install nodejs)")
def test_a_page_tags_a_picture(tmp_path):
    module = (resources.files("kgen.web") / "shared" / "png.js").read_text(encoding="utf-8")
    pixels = np.arange(12, dtype=np.uint8).reshape(2, 2, 3)
    url = "data:image/png;base64," + base64.b64encode(images.png_bytes(pixels)).decode()
    program = f"{module}\nconsole.log(taggedPng({json.dumps(url)}, {json.dumps(MADE)}));"
    (tmp_path / "tag.mjs").write_text(program, encoding="utf-8")
    shown = subprocess.run(["node", tmp_path / "tag.mjs"], capture_output=True, text=True, check=True).stdout
    (tmp_path / "a.png").write_bytes(base64.b64decode(shown.partition(",")[2]))
    assert read_tag(tmp_path / "a.png") == MADE
    np.testing.assert_array_equal(np.asarray(Image.open(tmp_path / "a.png")), pixels)
