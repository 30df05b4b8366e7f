"""Figures are drawn without a display, to arrays and to files of the same pixels."""

import subprocess
import sys

import numpy as np
from PIL import Image

from kgen.canvas import DOTS_PER_INCH, Canvas
from kgen.provenance import read_tag


def test_the_array_and_the_file_show_the_same(tmp_path):
    canvas = Canvas(3.0, 2.0, title="a title")
    canvas.axes().plot([0, 1, 2], [2, 0, 1], color=Canvas.class_color(3))
    pixels = canvas.to_array()
    assert pixels.shape == (2 * DOTS_PER_INCH, 3 * DOTS_PER_INCH, 3) and pixels.dtype == np.uint8
    path = canvas.save(tmp_path / "plots" / "a.png")
    with Image.open(path) as picture:
        assert (np.asarray(picture.convert("RGB")) == pixels).all()
    assert read_tag(path)["picture"] == "a"


def test_panels():
    assert Canvas(2, 2).panels(2, 3).shape == (2, 3)
    assert len(Canvas(2, 2).panels(2, 2, count=3)) == 3


def test_no_global_state_is_made():
    code = (
        "import sys; from kgen.canvas import Canvas; assert 'matplotlib' not in sys.modules; "
        "Canvas(2, 2).to_array(); assert 'matplotlib.pyplot' not in sys.modules"
    )
    subprocess.run([sys.executable, "-c", code], check=True)
