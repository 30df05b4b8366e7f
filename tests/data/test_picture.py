"""Modes and orientations of picture files, each against pixels worked out by hand."""

import io

import numpy as np
import pytest
from PIL import Image

from kgen.config import DataConfig
from kgen.data import load
from kgen.data.sources.picture import Unreadable, picture_suffixes, read_header, read_pixels, read_values
from kgen.data.value_range import decide, measure


def encoded(picture, format="PNG", **options):
    file = io.BytesIO()
    picture.save(file, format, **options)
    return io.BytesIO(file.getvalue())


def both(picture, format="PNG", **options):
    """(header, pixels) of a picture that went through a file."""
    header = read_header(encoded(picture, format, **options))
    values = read_values(encoded(picture, format, **options))[None]
    wide = decide({"train": measure(values, "picture")}, "picture").bounds if header.wide else (0, 0)
    return header, read_pixels(encoded(picture, format, **options), header.gray, None, wide)


@pytest.mark.parametrize("format", ["PNG", "JPEG", "TIFF", "WEBP"])
@pytest.mark.parametrize("orientation", range(1, 9))
def test_exif_orientation(format, orientation):
    upright = np.zeros((16, 32, 3), np.uint8)
    upright[:8, :16] = 255  # the white corner is at the top left
    # What the camera stores, so that `orientation` turns it upright (EXIF 2.3: where row 0 and column 0 are shown).
    stored = {
        1: upright,
        2: upright[:, ::-1],
        3: upright[::-1, ::-1],
        4: upright[::-1],
        5: upright.transpose(1, 0, 2),
        6: np.rot90(upright, 1),
        7: upright[::-1, ::-1].transpose(1, 0, 2),
        8: np.rot90(upright, -1),
    }[orientation]
    exif = Image.Exif()
    exif[0x0112] = orientation
    options = {"quality": 95} if format == "JPEG" else {"lossless": True} if format == "WEBP" else {}
    header, pixels = both(Image.fromarray(np.ascontiguousarray(stored)), format, exif=exif, **options)
    assert header.size == (16, 32) and pixels.shape == (16, 32, 3)
    np.testing.assert_allclose(pixels.astype(int), upright, atol=12 if format == "JPEG" else 0)


def test_rgba_is_laid_over_white():
    pixels = np.array([[[255, 0, 0, 255], [255, 0, 0, 51], [9, 9, 9, 0]]], np.uint8)
    header, got = both(Image.fromarray(pixels))
    assert not header.gray
    assert got.tolist() == [[[255, 0, 0], [255, 204, 204], [255, 255, 255]]]  # 0.8 * 255 = 204


def test_gray_with_alpha_stays_gray():
    header, got = both(Image.fromarray(np.array([[[0, 255], [0, 51], [7, 0]]], np.uint8), "LA"))
    assert header.gray and got.tolist() == [[[0], [204], [255]]]


def test_palette_with_and_without_transparency():
    picture = Image.new("P", (3, 1))
    picture.putpalette([255, 0, 0, 0, 255, 0, 0, 0, 255])
    picture.putdata([0, 1, 2])
    header, got = both(picture)
    assert not header.gray and got.tolist() == [[[255, 0, 0], [0, 255, 0], [0, 0, 255]]]
    header, got = both(picture, transparency=1)
    assert got.tolist() == [[[255, 0, 0], [255, 255, 255], [0, 0, 255]]]
    header, got = both(picture, "GIF")
    assert got.tolist() == [[[255, 0, 0], [0, 255, 0], [0, 0, 255]]]


def test_palette_of_grays_is_gray():
    picture = Image.new("P", (2, 1))
    picture.putpalette([10, 10, 10, 200, 200, 200])
    picture.putdata([0, 1])
    header, got = both(picture)
    assert header.gray and got.tolist() == [[[10], [200]]]


def test_sixteen_bit_gray():
    header, got = both(Image.fromarray(np.array([[0, 257 * 100, 65535]], np.uint16)))
    assert header.gray and got.tolist() == [[[0], [100], [255]]]


@pytest.mark.parametrize(("values", "expected"), [([0, 0.5, 1], [0, 128, 255]), ([0, 100, 255], [0, 100, 255])])
def test_float_tiff(values, expected):
    header, got = both(Image.fromarray(np.array([values], np.float32)), "TIFF")
    assert header.gray and got[0, :, 0].tolist() == expected


def sixteen_bits(values):
    """A PNG of [h, w, C] uint16, which Pillow does not write in colour."""
    import tensorflow as tf

    return io.BytesIO(tf.io.encode_png(np.asarray(values, np.uint16)).numpy())


def test_sixteen_bits_in_colour_are_not_cut_to_eight():
    levels = [[[0, 100, 1000], [4095, 2048, 9]]]
    assert read_header(sixteen_bits(levels)).wide and not read_header(sixteen_bits(levels)).cut
    assert read_values(sixteen_bits(levels)).tolist() == levels
    got = read_pixels(sixteen_bits(levels), False, None, (0, 4095))
    assert got.tolist() == [[[0, 6, 62], [255, 128, 1]]]  # 255 / 4095 * (100, 1000, 2048, 9)


def test_sixteen_bits_with_transparency():
    got = read_pixels(sixteen_bits([[[0, 0, 0, 65535], [0, 0, 0, 257 * 51]]]), False)
    assert got.tolist() == [[[0, 0, 0], [204, 204, 204]]]  # alpha 0.2 over white
    assert read_header(sixteen_bits([[[0, 65535]]])).wide


def test_the_range_of_eight_bits_leaves_transparency_alone():
    pixels = np.array([[[0, 1, 0, 255], [1, 1, 1, 51]]], np.uint8)
    got = read_pixels(encoded(Image.fromarray(pixels)), False, (0, 1))
    assert got.tolist() == [[[0, 255, 0], [255, 255, 255]]]
    assert read_pixels(encoded(Image.fromarray(np.array([[True, False]]))), True, (0, 1))[0, :, 0].tolist() == [255, 0]


@pytest.mark.parametrize("top", [255, 4095, 65535])
def test_a_format_that_declares_its_white_needs_no_decision(top):
    levels = np.array([[0, 3000 * top // 65535]], ">u2" if top > 255 else np.uint8)
    file = io.BytesIO(b"P5 2 1 %d\n" % top + levels.tobytes())
    assert not read_header(file).wide
    np.testing.assert_allclose(read_pixels(file, True)[0, :, 0], [0, 255 * (3000 * top // 65535) / top], atol=0.5)


def test_bilevel_and_cmyk():
    header, got = both(Image.fromarray(np.array([[True, False]])))
    assert header.gray and got.tolist() == [[[255], [0]]]
    header, got = both(Image.new("CMYK", (1, 1), (0, 0, 0, 0)), "TIFF")
    assert not header.gray and got.tolist() == [[[255, 255, 255]]]


def test_first_frame_of_an_animation():
    frames = [Image.new("RGB", (2, 2), colour) for colour in ("red", "blue")]
    _, got = both(frames[0], "GIF", save_all=True, append_images=frames[1:])
    assert got[0, 0].tolist() == [255, 0, 0]


def test_broken_files():
    whole = encoded(
        Image.fromarray(np.random.default_rng(0).integers(0, 256, (32, 32, 3), np.uint8)), "JPEG"
    ).getvalue()
    assert read_header(io.BytesIO(whole[:-200])).size == (32, 32)  # the header is there, the end is not
    with pytest.raises(Unreadable, match="truncated"):
        read_pixels(io.BytesIO(whole[:-200]), False)
    for content in (b"", b"words", b"\x89PNG\r\n\x1a\n broken"):
        with pytest.raises(Unreadable):
            read_header(io.BytesIO(content))


def test_one_colour_picture_makes_a_set_colour(tmp_path, noise, save):
    for i, pixels in enumerate(noise(6)):
        save(tmp_path / "set" / f"{i}.png", pixels)
    assert load(DataConfig(str(tmp_path / "set"))).spec.image_shape == (8, 8, 1)
    save(tmp_path / "set" / "colour.png", noise(1, 8, 8, 3)[0])
    dataset = load(DataConfig(str(tmp_path / "set"), validation_fraction=0))
    assert dataset.spec.image_shape == (8, 8, 3)
    gray = {np.repeat(image, 3, 2).tobytes() for image in noise(6)}
    assert sum(image.tobytes() in gray for image in dataset.arrays("train")[0]) == 6
    assert load(DataConfig(str(tmp_path / "set"), grayscale=True)).spec.image_shape == (8, 8, 1)


def test_every_suffix_that_pillow_writes_is_read(tmp_path, noise):
    known = Image.registered_extensions()
    suffixes = [s for s in sorted(picture_suffixes()) if known[s] in Image.SAVE and known[s] not in ("XBM", "MSP")]
    for i, suffix in enumerate(suffixes):
        pixels = Image.fromarray(noise(1, 16, 16, 3, seed=i)[0])
        pixels = pixels.convert("P") if known[suffix] == "BLP" else pixels.convert("F") if suffix == ".pfm" else pixels
        pixels.save(tmp_path / f"{i}{suffix}")
        (tmp_path / f"{i}{suffix}").rename(tmp_path / f"{i}{suffix.upper()}")
    dataset = load(DataConfig(str(tmp_path), validation_fraction=0, image_size=(16, 16)))
    assert {".jfif", ".ppm", ".pgm", ".tif", ".jp2", ".ico", ".tga", ".webp", ".apng"} < set(suffixes)
    assert dataset.spec.examples == {"train": len(suffixes)} and not dataset.skipped


def test_what_pillow_knows_and_is_no_picture_of_a_set():
    assert not picture_suffixes() & {".pdf", ".ps", ".eps", ".mpg", ".h5", ".hdf", ".grib", ".fits", ".wmf", ".psd"}
