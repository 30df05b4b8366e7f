"""Pixels have one translator; grids have an exact geometry; files appear whole or not at all."""

import numpy as np
import pytest
from PIL import Image

from kgen import images, io
from kgen.errors import UserError


@pytest.mark.parametrize(
    ("value", "pixel"),
    [
        (0.0, 0), (1.0, 255), (0.5, 128), (-0.1, 0), (1.1, 255),
        (1 / 255, 1), (254 / 255, 254),
        (0.5 / 255, 0), (1.5 / 255, 2), (2.5 / 255, 2),  # halves go to the even neighbour
        (0.49 / 255, 0), (0.51 / 255, 1), (254.49 / 255, 254), (254.51 / 255, 255),
    ],
)  # fmt: skip
def test_to_uint8(value, pixel):
    found = images.to_uint8(np.array([value]))
    assert found.dtype == np.uint8 and found.tolist() == [pixel]


def test_every_pixel_survives_the_round_trip():
    pixels = np.arange(256, dtype=np.uint8)
    unit = images.to_unit(pixels)
    assert unit.dtype == np.float32 and unit[0] == 0 and unit[255] == 1 and unit[51] == np.float32(0.2)
    np.testing.assert_array_equal(images.to_uint8(unit), pixels)
    np.testing.assert_array_equal(images.to_uint8(images.from_tanh(images.to_tanh(unit))), pixels)


def test_tanh_range():
    np.testing.assert_array_equal(images.to_tanh(np.array([0.0, 0.25, 0.5, 1.0])), [-1.0, -0.5, 0.0, 1.0])
    np.testing.assert_array_equal(images.from_tanh(np.array([-1.0, -0.5, 0.0, 1.0])), [0.0, 0.25, 0.5, 1.0])


def test_grid_by_hand():
    """Three 1x2 pictures in two columns, one pixel of padding: 2 (1 + 1) + 1 = 5 rows, 2 (2 + 1) + 1 = 7 columns."""
    a, b, c = (np.full((1, 2, 1), n, np.uint8) for n in (1, 2, 3))
    sheet = images.grid(np.stack([a, b, c]), columns=2, padding=1, background=9)
    assert sheet[..., 0].tolist() == [
        [9, 9, 9, 9, 9, 9, 9],
        [9, 1, 1, 9, 2, 2, 9],
        [9, 9, 9, 9, 9, 9, 9],
        [9, 3, 3, 9, 9, 9, 9],
        [9, 9, 9, 9, 9, 9, 9],
    ]


@pytest.mark.parametrize(
    ("count", "columns", "rows_columns"),
    [(1, None, (1, 1)), (4, None, (2, 2)), (5, None, (2, 3)), (64, None, (8, 8)), (3, 10, (1, 3)), (7, 2, (4, 2))],
)
def test_grid_size(count, columns, rows_columns):
    sheet = images.grid(np.zeros((count, 4, 6, 3), np.float32), columns)
    rows, columns = rows_columns
    assert sheet.shape == (rows * (4 + 2) + 2, columns * (6 + 2) + 2, 3) and sheet.dtype == np.uint8


def test_grid_of_floats_is_a_grid_of_pixels():
    floats = np.random.default_rng(0).uniform(size=(3, 4, 4, 3))
    np.testing.assert_array_equal(images.grid(floats), images.grid(images.to_uint8(floats)))


def test_an_enlarged_grid_repeats_the_nearest_pixel():
    pixels = np.array([[1, 2], [3, 4]], np.uint8).reshape(1, 2, 2, 1)
    assert images.grid(pixels, scale=2, padding=0)[..., 0].tolist() == [
        [1, 1, 2, 2], [1, 1, 2, 2], [3, 3, 4, 4], [3, 3, 4, 4],
    ]  # fmt: skip


@pytest.mark.parametrize("channels", [1, 3])
def test_names_stand_beside_their_rows(channels):
    """The images are those of the grid without names, and what is left of them has dark pixels in each row."""
    pixels = np.full((4, 20, 20, channels), 200, np.uint8)
    plain, named = images.grid(pixels, 2), images.grid(pixels, 2, names=("cat", "a longer name"))
    left = named.shape[1] - plain.shape[1]
    np.testing.assert_array_equal(named[:, left:], plain)
    dark = [(named[row : row + 22, :left] < 128).any(axis=(0, 2)) for row in (0, 22)]
    assert dark[0].any() and dark[1].sum() > 2 * dark[0].sum()
    assert not (named[:, 0] < 128).any() and not (named[:, left - 1] < 128).any()


def test_a_class_grid_has_a_row_per_class():
    """Seven images of three classes in turn: rows 0 3 6, 1 4, 2 5."""
    pixels = np.arange(7, dtype=np.uint8).reshape(7, 1, 1, 1).repeat(16, 1).repeat(16, 2)
    sheet = images.class_grid(pixels, ("a", "b", "c"))
    cells = sheet[10::18, -46::18, 0]
    assert cells.tolist() == [[0, 3, 6], [1, 4, 255], [2, 5, 255]]


@pytest.mark.parametrize("shape", [(0, 4, 4, 1), (4, 4, 1)])
def test_grid_needs_images(shape):
    with pytest.raises(UserError, match="grid takes at least one image"):
        images.grid(np.zeros(shape))


@pytest.mark.parametrize("channels", [1, 3])
def test_png_holds_the_pixels(tmp_path, channels):
    picture = np.random.default_rng(0).uniform(size=(5, 4, channels)).astype(np.float32)
    path = images.save_png(tmp_path / "new" / "folder" / "a.png", picture)
    with Image.open(path) as file:
        assert (file.format, file.mode, file.size) == ("PNG", {1: "L", 3: "RGB"}[channels], (4, 5))
        found = np.asarray(file).reshape(5, 4, channels)
    np.testing.assert_array_equal(found, images.to_uint8(picture))


def test_pngs_by_name(tmp_path):
    pictures = np.arange(8, dtype=np.uint8).reshape(2, 2, 2, 1)
    paths = images.save_pngs(tmp_path, pictures, ["a", "b"])
    assert [p.name for p in paths] == ["a.png", "b.png"]
    assert [np.asarray(Image.open(p)).ravel().tolist() for p in paths] == [[0, 1, 2, 3], [4, 5, 6, 7]]
    with pytest.raises(ValueError, match="argument"):
        images.save_pngs(tmp_path, pictures, ["a"])


def test_a_file_is_whole_or_as_it_was(tmp_path):
    path = images.save_png(tmp_path / "a.png", np.zeros((2, 2, 1), np.uint8))
    before = path.read_bytes()

    def breaks_off(aside):
        aside.write_bytes(b"half")
        assert aside.suffix == ".png" and aside != path and path.read_bytes() == before
        raise OSError("disk full")

    with pytest.raises(OSError, match="disk full"):
        io.write_aside(path, breaks_off)
    assert path.read_bytes() == before
    assert [p.name for p in tmp_path.iterdir()] == ["a.png"]  # nor is anything left beside it
    with pytest.raises(OSError, match="disk full"):
        io.write_aside(tmp_path / "b.png", breaks_off)
    assert not (tmp_path / "b.png").exists()


def test_text_and_json_files(tmp_path):
    assert io.write_text(tmp_path / "a.txt", "ä").read_text(encoding="utf-8") == "ä"
    io.write_json(tmp_path / "a.json", {"é": [1]})
    assert (tmp_path / "a.json").read_text(encoding="utf-8") == '{\n  "é": [\n    1\n  ]\n}\n'


def test_a_grid_without_its_frame():
    cells = np.arange(6 * 5 * 4 * 3, dtype=np.uint8).reshape(6, 5, 4, 3)
    sheet = images.grid(cells, 2, names=["a", "longer"], scale=images.view_scale((5, 4, 3)))
    bare, names = images.without_frame(sheet, (5, 4, 3), ["a", "longer"])
    assert bare.shape == (3 * 6 - 1, 2 * 5 - 1, 4) and names == ["a", "longer", "a"]
    np.testing.assert_array_equal(bare[6:11, 5:9], np.dstack([cells[3], np.full((5, 4), 255, np.uint8)]))
    assert not bare[5].any() and not bare[:, 4].any()  # transparent
    gray = images.grid(cells[..., :1], 3, scale=images.view_scale((5, 4, 1)))[..., 0]
    assert images.without_frame(gray, (5, 4, 1))[0].shape == (11, 14, 2)
    for other in (sheet[1:], images.grid(cells, 2, background=254, scale=10), sheet[:1]):
        assert images.without_frame(other, (5, 4, 3), ["a", "longer"]) == (other, [])
