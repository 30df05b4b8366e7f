"""A PNG says what made it, in a chunk that any reader takes and that changes no pixel."""

import json

import numpy as np
from PIL import Image

from kgen import images, provenance

MADE = {"kgen": "1", "model": "cvae-1", "seed": 7, "label": "Katze \N{CAT}", "temperature": 0.5, "weights_hash": None}


def test_what_made_a_png_is_read_back(tmp_path):
    pixels = np.random.default_rng(0).integers(0, 256, (5, 4, 3), np.uint8)
    plain, tagged = images.save_png(tmp_path / "a.png", pixels), images.save_png(tmp_path / "b.png", pixels, MADE)
    assert provenance.read_tag(tagged) == MADE and provenance.read_tag(plain) is None
    with Image.open(tagged) as file:
        file.load()  # checks the CRC of the chunk
        assert json.loads(file.text["kgen"]) == MADE
        np.testing.assert_array_equal(np.asarray(file), pixels)
    again = images.save_png(tmp_path / "c.png", pixels, dict(reversed(MADE.items())))
    assert again.read_bytes() == tagged.read_bytes()


def test_what_is_no_picture_of_kgen_says_nothing(tmp_path):
    (tmp_path / "text.png").write_text("no picture")
    Image.new("L", (2, 2)).save(tmp_path / "a.gif")
    Image.new("L", (2, 2)).save(tmp_path / "b.gif", comment=b'{"by": "another"}')
    for name in ("text.png", "a.gif", "b.gif", "missing.png"):
        assert provenance.read_tag(tmp_path / name) is None
