"""The value range of a set: every rule with numbers by hand."""

import numpy as np
import pytest

from kgen.data.value_range import check_brightness, decide, join, measure, to_pixels
from kgen.errors import UserError


def decided(given=None, **splits):
    return decide({split: measure(np.asarray(x), "set", given) for split, x in splits.items()}, "set", given)


def ramp(low, high, dtype=np.float64, count=20):
    """[count, 4, 4] images, each from `low` to `high`."""
    return np.tile(np.linspace(low, high, 16).reshape(4, 4), (count, 1, 1)).astype(dtype)


@pytest.mark.parametrize(
    ("values", "bounds", "findings"),
    [
        (ramp(0, 255, np.uint8), (0, 255), 0),
        (ramp(0, 1, bool), (0, 1), 0),
        (ramp(0, 1, np.uint8), (0, 1), 0),
        (ramp(0, 1, np.int64), (0, 1), 0),
        (ramp(0, 100, np.uint8), (0, 255), 1),
        (ramp(0, 200, np.int32), (0, 255), 0),
        (ramp(0, 700, np.uint16), (0, 1023), 1),
        (ramp(0, 4080, np.uint16), (0, 4095), 1),
        (ramp(0, 9000, np.int32), (0, 16383), 1),
        (ramp(0, 30000, np.int16), (0, 32767), 1),
        (ramp(0, 30000, np.uint16), (0, 65535), 1),
        (ramp(0, 65535, np.uint16), (0, 65535), 0),
        (ramp(0, 60000, ">u2"), (0, 65535), 0),
        (ramp(-128, 127, np.int8), (-128, 127), 1),
        (ramp(-1, 1, np.int8), (-1, 1), 1),
        (ramp(0, 1), (0, 1), 0),
        (ramp(0, 1, np.float16), (0, 1), 0),
        (ramp(0, 0.2, np.float32), (0, 1), 0),
        (ramp(0, 1.0000001, np.float32), (0, 1), 0),
        (ramp(-1, 1, np.float32), (-1, 1), 1),
        (ramp(-0.9, 0.8, np.float32), (-1, 1), 1),
        (ramp(0, 255, np.float32) + 0.1, (0, 255), 0),
        (ramp(0, 100, ">f4") + 0.1, (0, 255), 1),
    ],
)
def test_the_range_of_a_set(values, bounds, findings):
    found = decided(train=values)
    assert found.bounds == bounds and len(found.findings) == findings


def test_an_overshoot_is_counted_and_clipped():
    values = ramp(0, 1)
    values[0, 0, :2], values[1, 0, 0] = (1.1, -0.05), 1.0005  # the last is rounded away: half a level is 0.002
    found = decided(train=values)
    assert found.bounds == (0, 1) and "2 of 320 values" in found.findings[0]
    assert to_pixels(values, found.bounds)[0, 0, :2].tolist() == [255, 0]


@pytest.mark.parametrize(
    ("values", "words"),
    [
        (np.rint(ramp(0, 16)), "16.0 is white: --value_range 0,16"),
        (ramp(0, 16, np.int64), "16 is white: --value_range 0,16"),
        (ramp(0, 3.3), "neither 0 to 1 nor 0 to 255"),
        (ramp(-0.5, 0.5), "centred"),
        (ramp(-2.1, 2.4), "standardised (mean 0.15"),
        (ramp(-1000, 3000, np.int16), "Hounsfield"),
        (ramp(0, 4000.5), "4000.5"),
        (ramp(0, 2**20, np.int32), "more than 16 bits"),
        (ramp(-0.2, 0.9), "more than the overshoot"),  # of 16 values of each image 3 lie below 0
        (ramp(0, 1).astype(complex), "complex128"),
        (ramp(0, 1).astype("datetime64[s]"), "datetime64"),
        (np.zeros((3, 2), [("r", "u1")]), "must hold numbers"),
    ],
)
def test_no_range_is_guessed(values, words):
    with pytest.raises(UserError) as error:
        decided(train=values)
    assert words in str(error.value)


@pytest.mark.parametrize(("bad", "shown"), [(np.nan, "nan"), (np.inf, "inf"), (-np.inf, "-inf")])
def test_values_that_are_not_finite_are_counted_and_placed(bad, shown):
    values = ramp(0, 1, count=100_000)  # several blocks
    values[90_000, 2, 3] = values[95_000, 0, 0] = bad
    with pytest.raises(UserError, match=rf"2 values .* the first \({shown}\) in image 90000 at \[2, 3\]"):
        measure(values, "set")


@pytest.mark.parametrize(
    ("train", "test"),
    [
        (ramp(0, 1), ramp(0, 255)),
        (ramp(0, 255, np.uint8), ramp(0, 1, np.float32)),
        (ramp(0, 255, np.uint8), ramp(0, 1, np.uint8)),
        (ramp(0, 65535, np.uint16), ramp(0, 255, np.uint8)),
        (ramp(-1, 1), ramp(0, 1)),
        (ramp(-1, 1), ramp(0, 255, np.uint8)),
    ],
)
def test_splits_that_disagree(train, test):
    for pair in ({"train": train, "test": test}, {"train": test, "test": train}):
        with pytest.raises(UserError, match=r"train holds values from .*; test holds values from .*--value_range"):
            decided(**pair)


def test_splits_that_agree():
    assert decided(train=ramp(0, 1), test=np.zeros((2, 4, 4), np.uint8)).bounds == (0, 1)
    assert decided(train=ramp(0, 255, np.uint8), test=np.zeros((2, 4, 4))).bounds == (0, 255)
    assert decided(train=ramp(0, 1), test=ramp(0, 1, np.uint8)).bounds == (0, 1)
    assert decided(train=ramp(0, 255, np.uint8), test=ramp(0, 255, np.float32) + 0.1).bounds == (0, 255)
    found = decided(train=ramp(0, 65535, np.uint16), test=ramp(0, 3000, np.uint16))
    assert found.bounds == (0, 65535) and "far apart" in found.findings[0]


def test_images_that_disagree_within_a_split():
    values = ramp(0, 255, count=200) + 0.1
    values[0] /= 256
    assert "1 of 200 images" in decided(train=values).findings[0]
    values[:3] = values[0]
    with pytest.raises(UserError, match=r"3 of 200 images .* 0 to 1, others reach 255\.1.*--value_range"):
        decided(train=values)


def test_a_given_range_decides():
    assert decided((0, 4080), train=ramp(0, 4080, np.uint16)).bounds == (0, 4080)
    assert not decided((-1, 1), train=ramp(-1, 1)).findings
    few = ramp(0, 200, np.uint8, count=200)
    few[0, 0, 0] = 255
    assert "1 of 3200 values" in decided((0, 210), train=few).findings[0]
    for given, words in [((0, 1), "lie outside"), ((0, 128), "lie outside"), ((0, 65535), "--value_range 0,255")]:
        with pytest.raises(UserError) as error:
            decided(given, train=ramp(0, 255, np.uint8))
        assert words in str(error.value) and "data.value_range" in str(error.value)


@pytest.mark.parametrize("dtype", ["u1", ">u2", "i4", "u8", "f2", ">f4", "f8"])
def test_whole_numbers_keep_their_values(dtype):
    values = np.arange(256).reshape(4, 8, 8).astype(dtype)
    assert to_pixels(values, (0, 255)).tobytes() == bytes(range(256))
    assert to_pixels(values / np.asarray(255, "f8"), (0, 1)).tobytes() == bytes(range(256))


def test_conversion_goes_by_blocks_and_takes_any_memory_order():
    values = np.random.default_rng(0).random((300, 64, 64))
    expected = np.clip(np.rint(values.astype(np.float32) * np.float32(255)), 0, 255).astype(np.uint8)
    np.testing.assert_array_equal(to_pixels(values, (0, 1)), expected)
    turned = to_pixels(np.asfortranarray(values), (0, 1))
    np.testing.assert_array_equal(turned, expected)
    assert turned.flags.c_contiguous
    parts = join([measure(values[:100], "set"), measure(values[100:], "set")])
    assert (parts.low, parts.high) == (values.min(), values.max())


def test_brightness():
    dark = np.zeros((20, 4, 4, 1), np.uint8)
    assert check_brightness([dark], (0, 255), "set") == ["data set 'set': all pixels have one value (0 of 255)"]
    dark[3, 1, 1] = 1
    with pytest.raises(UserError, match=r"brightest pixel is 1 of 255, .*--value_range 0,1"):
        check_brightness([dark], (0, 255), "set")
    dark[3, 1, 1] = 51  # 51 / 255 = 0.2
    (finding,) = check_brightness([dark], (0, 1), "set")
    assert "51 of 255 (0.2 in the files)" in finding and "--value_range 0,0.2" in finding
    dark[3, 1, 1] = 255
    assert "nearly all of them are black" in check_brightness([dark], (0, 255), "set")[0]
    assert "nearly all of them are white" in check_brightness([255 - dark], (0, 255), "set")[0]
    dark[:, 1] = 255
    assert check_brightness([dark], (0, 255), "set") == []
