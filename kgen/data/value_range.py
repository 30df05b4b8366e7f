"""The value range of a data set: which value is black and which is white, decided once for all images of all splits.

`measure` computes in one pass what the decision needs, `decide` applies the rules, `to_pixels` converts to uint8. What
remains ambiguous is a finding, with the chosen range; what would be a guess is refused. `--value_range` overrules both.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from kgen import images
from kgen.data.sources.base import WHITE
from kgen.errors import UserError

Bounds = tuple[float, float]

UNIT, BYTES, SIGNED = (0.0, 1.0), (0.0, float(WHITE)), (-1.0, 1.0)
WIDE_TOPS = (1023, 4095, 16383, 65535)
"""The greatest values of 10, 12, 14 and 16 bits."""
OVERSHOOT = 0.25
"""Of a range: how far interpolation may leave it."""
CLIPPED_SHARE = 0.05
"""Of all values: as many may lie outside of a range by more than rounding."""
ODD_SHARE = 0.01
"""Of the images: as many may have another range than the rest."""
DARK = 64
"""A set whose greatest whole number is at most this may have it as its white."""
DIM = 128
"""A set of values up to 255 in which none exceeds this may have another white."""
MEANS = (2, 253)
"""Of all pixels, in levels: a mean outside is implausible."""
SAMPLED_IMAGES = 512
"""Of each split, for the mean."""
BLOCK_VALUES = 2**20


@dataclass(frozen=True, eq=False)
class Statistics:
    """What the values of some images look like.

    Attributes:
        dtype: of the values.
        lows, highs: [N] float64, the least and the greatest value of each image.
        whole: [N] bool, whether an image holds whole numbers only.
        values: how many there are.
        outside: range -> how many values lie outside of it by more than rounding.
        mean, stddev: of the first images.
        saturated: of 16 bits, how many values are the greatest that these hold.
        below: the greatest of the others, where there are such.
    """

    dtype: np.dtype
    lows: np.ndarray
    highs: np.ndarray
    whole: np.ndarray
    values: int
    outside: Mapping[Bounds, int]
    mean: float
    stddev: float
    saturated: int = 0
    below: float = 0

    @property
    def low(self) -> float:
        return float(self.lows.min())

    @property
    def high(self) -> float:
        return float(self.highs.max())

    @property
    def is_whole(self) -> bool:
        return bool(self.whole.all())

    def show(self, value: float) -> str:
        """A value as its own type prints it."""
        return str(self.dtype.type(value))

    def __str__(self) -> str:
        return f"values from {self.show(self.low)} to {self.show(self.high)} ({self.dtype})"


@dataclass(frozen=True)
class ValueRange:
    """The values of black and white of a whole set, and what is to be said about them.

    Attributes:
        low, high: the values of black and of white.
        notes: how the values were read.
        findings: what is ambiguous, and what lies outside.
    """

    low: float
    high: float
    notes: tuple[str, ...] = ()
    findings: tuple[str, ...] = ()

    @property
    def bounds(self) -> Bounds:
        return self.low, self.high


# 1. Measure -----------------------------------------------------------------------------------------------------------


def measure(array: np.ndarray, where: str, given: Bounds | None = None) -> Statistics:
    """The statistics of images, in one pass by blocks.

    Args:
        array: [N, ...], at least one value.
        where: the file and the variable, for messages.
        given: the range that the user names.

    Raises:
        UserError: the values are no real numbers, or not finite.
    """
    check_numbers(array, where)
    ranges = (given,) if given else (UNIT, BYTES) if array.dtype.kind == "f" else ()
    count = len(array)
    lows, highs, whole = np.empty(count), np.empty(count), np.ones(count, bool)
    outside = dict.fromkeys(ranges, 0)
    mean = stddev = below = 0.0
    saturated = 0
    for start, block in _blocks(array):
        flat = block.reshape(len(block), -1)
        stop = start + len(block)
        lows[start:stop], highs[start:stop] = flat.min(1), flat.max(1)
        low, high = lows[start:stop].min(), highs[start:stop].max()
        if array.dtype.kind == "f":
            if not (np.isfinite(low) and np.isfinite(high)):
                raise UserError(_not_finite(array, where))
            whole[start:stop] = np.all(flat == np.rint(flat), axis=1)
        if array.dtype == np.uint16 and high == WIDE_TOPS[-1]:
            others = flat[flat < high]
            saturated, below = saturated + flat.size - others.size, max(below, float(others.max(initial=0)))
        if not start:
            mean, stddev = float(flat.mean(dtype=np.float64)), float(flat.std(dtype=np.float64))
        for bounds in ranges:
            margin = _rounding(bounds)
            if low < bounds[0] - margin or high > bounds[1] + margin:
                outside[bounds] += int(np.count_nonzero((flat < bounds[0] - margin) | (flat > bounds[1] + margin)))
    return Statistics(array.dtype.newbyteorder("="), lows, highs, whole, array.size, outside, mean, stddev,
                      saturated, below)  # fmt: skip


def check_numbers(array: np.ndarray, where: str) -> None:
    """Raises UserError if an array holds no real numbers."""
    if array.dtype.kind not in "buif":
        advice = "; take abs() of complex numbers" if array.dtype.kind == "c" else ""
        if array.dtype.names:
            fields = ", ".join(f"{name}=array[{name!r}]" for name in array.dtype.names[:3])
            advice = f"; save its fields as arrays: numpy.savez('images.npz', {fields})"
        raise UserError(f"{where} must hold numbers. Received dtype: {array.dtype}{advice}")


def join(parts: Iterable[Statistics]) -> Statistics:
    """The statistics of all images of several parts together."""
    parts = list(parts)
    weights = [part.values for part in parts]
    return Statistics(
        np.result_type(*(part.dtype for part in parts)),
        *(np.concatenate([getattr(part, name) for part in parts]) for name in ("lows", "highs", "whole")),
        sum(weights),
        {bounds: sum(part.outside.get(bounds, 0) for part in parts) for part in parts for bounds in part.outside},
        float(np.average([part.mean for part in parts], weights=weights)),
        float(np.average([part.stddev for part in parts], weights=weights)),
        sum(part.saturated for part in parts),
        max(part.below if part.saturated else part.high for part in parts),
    )


def _blocks(array: np.ndarray):
    """(start, images) of about a million values."""
    step = max(1, BLOCK_VALUES // max(1, array[0].size))
    for start in range(0, len(array), step):
        yield start, array[start : start + step]


def _rounding(bounds: Bounds) -> float:
    """Half of the step between two of the 256 levels."""
    return (bounds[1] - bounds[0]) / (2 * WHITE)


def _not_finite(array: np.ndarray, where: str) -> str:
    count, first = 0, None
    for start, block in _blocks(array):
        bad = ~np.isfinite(block)
        count += int(bad.sum())
        if first is None and bad.any():
            place = np.argwhere(bad)[0]
            first = [start + int(place[0]), *place[1:].tolist()]
            value = block[tuple(place)]
    return (
        f"{where} holds {count} values that are not finite numbers, the first ({value}) in image {first[0]} at "
        f"{first[1:]}; replace them before you save, for example with numpy.nan_to_num"
    )


# 2. Decide ------------------------------------------------------------------------------------------------------------


def decide(statistics: Mapping[str, Statistics], where: str, given: Bounds | None = None) -> ValueRange:
    """The values of black and white of a whole set.

    Args:
        statistics: split -> those of its images.
        where: the file and the variable, for messages.
        given: `--value_range`, which decides.

    Raises:
        UserError: the splits disagree, the values are no known range, or too many lie outside of the given one.
    """
    joint = join(statistics.values())
    if given is not None:
        return _accept(joint, where, given)
    kinds = {split: _kind(s) for split, s in statistics.items()}
    if len({kind for kind in kinds.values() if kind} - ({"0 and 1"} if "0 to 1" in kinds.values() else set())) > 1:
        named = "; ".join(f"{split} holds {statistics[split]}" for split in kinds)
        raise UserError(
            f"{where}: the splits have different value ranges: {named}. Bring them to one range before you save them, "
            "or name the values of black and white of all of them: --value_range LOW,HIGH"
        )
    if joint.low < 0 or not joint.is_whole:
        found = _signed(joint, where) if joint.low < -OVERSHOOT else _fractions(joint, where)
    else:
        found = _whole(joint, where)
    tops = {s.high: _top(s) for s in statistics.values() if found.high > WHITE}
    if len(set(tops.values())) > 1:
        raise_to = ", ".join(f"{split} {s.show(s.high)}" for split, s in statistics.items())
        words = f"{where}: the greatest values of the splits are far apart ({raise_to}); {_read_as(found.bounds)}"
        found = ValueRange(*found.bounds, found.notes, (*found.findings, words))
    return found


def _kind(s: Statistics) -> str:
    """Which values the images of a split have, in words; empty for those that agree with every range."""
    if s.low == s.high:
        return ""
    if s.low < -OVERSHOOT:
        return "negative"
    if s.high > WHITE * (1 + OVERSHOOT):
        return "beyond 255"
    if s.high > 1 + OVERSHOOT:
        return "0 to 255"
    return "0 and 1" if s.is_whole else "0 to 1"


def _accept(s: Statistics, where: str, given: Bounds) -> ValueRange:
    """The range that the user names, if nearly all values lie in it."""
    low, high = given
    count, span = s.outside.get(given, 0), high - low
    far = (s.lows < low - OVERSHOOT * span) | (s.highs > high + OVERSHOOT * span)
    if count > CLIPPED_SHARE * s.values or far.mean() > ODD_SHARE:
        raise UserError(
            f"data.value_range is {_flag(given)}, but {where} holds {s}: {count} of {s.values} values "
            f"({count / s.values:.2%}) lie outside. Name the values of black and white, or clip the values before you "
            "save them"
        )
    if s.low < s.high and (s.high - low) * WHITE < 1.5 * span:
        raise UserError(
            f"data.value_range is {_flag(given)}, but {where} holds {s}: all images would be black. If "
            f"{s.show(s.high)} is white: --value_range {_flag((low, s.high))}"
        )
    return ValueRange(low, high, (f"{where}: {_read_as(given)}",), _clipped(s, where, given))


def _whole(s: Statistics, where: str) -> ValueRange:
    """The range of whole numbers, none of them negative."""
    shown = s.show(s.high)
    if s.high <= 1:
        note = () if s.dtype.kind == "b" else (f"{where} holds 0 and 1 only: black and white",)
        return ValueRange(*UNIT, note)
    if s.high <= WHITE:
        if s.high <= DARK and s.dtype != np.uint8:
            raise UserError(
                f"{where} holds whole numbers from {s.show(s.low)} to {shown} ({s.dtype}), which is neither 0 to 1 nor "
                f"0 to 255; if {shown} is white: --value_range 0,{s.high:g}; if 255 is: --value_range {_flag(BYTES)}"
            )
        findings = []
        if DARK < s.high <= DIM:
            findings.append(
                f"{where}: the brightest pixel is {shown} of 255; if {shown} is white: --value_range 0,{s.high:g}"
            )
        nearly_black = int(np.count_nonzero((s.highs == 1) & (s.lows == 0)))
        if s.high > DIM and nearly_black > ODD_SHARE * len(s.highs):
            findings.append(
                f"{where}: {nearly_black} of {len(s.highs)} images hold 0 and 1 only, others reach {shown}; "
                f"{_read_as(BYTES)} all the same"
            )
        return ValueRange(*BYTES, findings=tuple(findings))
    top = _top(s)
    if top is None:
        raise UserError(f"{where} holds {s}, more than 16 bits; name black and white: --value_range LOW,HIGH")
    bounds = (0.0, float(top))
    note = f"{where}: {_read_as(bounds)}"
    if s.saturated and 1 < s.below < top // 4:
        others = s.show(s.below)
        return ValueRange(
            *bounds,
            (note,),
            (
                f"{where}: {s.saturated} of {s.values} values are {shown}, all others at most {others}; "
                f"{_read_as(bounds)}; if {shown} marks missing pixels, replace it before you save the array",
            ),
        )
    if top == WIDE_TOPS[-1] and s.high > top // 2:
        return ValueRange(*bounds, (note,))
    return ValueRange(
        *bounds,
        (note,),
        (f"{where} holds {s}; {_read_as(bounds)}; if another value is white: --value_range 0,WHITE",),
    )


def _top(s: Statistics) -> int | None:
    """The greatest value that 10, 12, 14 or 16 bits hold, whichever is the first that holds all values."""
    limits = WIDE_TOPS if s.dtype != np.int16 else (*WIDE_TOPS[:-1], np.iinfo(np.int16).max)
    return next((top for top in limits if s.high <= top), None)


def _fractions(s: Statistics, where: str) -> ValueRange:
    """The range of floats of which some are no whole numbers, or a little below 0."""
    for bounds in (UNIT, BYTES):
        high = bounds[1]
        if s.high <= high * (1 + OVERSHOOT) and s.low >= -OVERSHOOT * high:
            break
    else:
        raise UserError(_unknown(s, where))
    if s.outside.get(bounds, 0) > CLIPPED_SHARE * s.values:
        raise UserError(
            f"{_unknown(s, where)}. {s.outside[bounds]} of {s.values} values lie outside of {_words(bounds)}, more "
            "than the overshoot of an interpolation"
        )
    findings = _clipped(s, where, bounds)
    if bounds == UNIT:
        return ValueRange(*UNIT, (f"{where}: {_read_as(UNIT)}",), findings)
    if s.high <= DARK:
        raise UserError(_unknown(s, where))
    unit = (s.highs <= 1 + OVERSHOOT) & ~s.whole
    if unit.mean() > ODD_SHARE:
        raise UserError(
            f"{where}: {int(unit.sum())} of {len(unit)} images have values within 0 to 1, others reach "
            f"{s.show(s.high)}; bring all images to one range before you save them, or name the values of black and "
            "white of all of them: --value_range LOW,HIGH"
        )
    if unit.any():
        findings += (
            f"{where}: {int(unit.sum())} of {len(unit)} images have values within 0 to 1, others reach "
            f"{s.show(s.high)}; {_read_as(BYTES)} all the same",
        )
    if s.high <= DIM:
        shown = s.show(s.high)
        findings += (f"{where}: the greatest value is {shown}; {_read_as(BYTES)}; if {shown} is white: --value_range "
                     f"0,{s.high:g}",)  # fmt: skip
    return ValueRange(*BYTES, (f"{where}: {_read_as(BYTES)}",), findings)


def _signed(s: Statistics, where: str) -> ValueRange:
    """The range of values of which some are clearly negative."""
    least = np.iinfo(np.int8)
    if s.dtype == np.int8 and s.high > 1:
        bounds = (float(least.min), float(least.max))
    elif s.high > 0 and 1 - OVERSHOOT <= max(-s.low, s.high) <= 1 + OVERSHOOT:
        bounds = SIGNED
    else:
        raise UserError(_unknown(s, where))
    return ValueRange(
        *bounds,
        (f"{where}: {_read_as(bounds)}",),
        (f"{where} holds {s}; {_read_as(bounds)}; if other values are black and white: --value_range LOW,HIGH",),
    )


def _clipped(s: Statistics, where: str, bounds: Bounds) -> tuple[str, ...]:
    """What to say about the values that are clipped, if there are any."""
    count = s.outside.get(bounds, 0)
    if not count:
        return ()
    return (
        f"{where}: {count} of {s.values} values lie outside of {_words(bounds)} (from {s.show(s.low)} to "
        f"{s.show(s.high)}) and are clipped",
    )


def _unknown(s: Statistics, where: str) -> str:
    """The refusal of values of no known range, with what they look like."""
    low, high = s.show(s.low), s.show(s.high)
    if s.high <= 0:
        looks = "all negative, such as decibels"
    elif s.is_whole and s.low < -OVERSHOOT:
        looks = "signed integers, such as the Hounsfield units of CT images"
    elif s.low < -OVERSHOOT and (s.high <= 0.75 or s.stddev > 8):
        looks = "centred (x - 0.5, or x minus its mean); add what was subtracted"
    elif s.low < -OVERSHOOT:
        looks = f"standardised (mean {s.mean:.3g}, standard deviation {s.stddev:.3g}); undo it with x * stddev + mean"
    else:
        looks = "neither 0 to 1 nor 0 to 255"
    return (
        f"{where} holds values from {low} to {high} ({s.dtype}), which are {looks}; pixels must lie in [0, 1] or in "
        f"[0, 255], or name the values of black and white, for example --value_range={low},{high}"
    )


def _read_as(bounds: Bounds) -> str:
    return f"{bounds[0]:g} is read as black and {bounds[1]:g} as white"


def _words(bounds: Bounds) -> str:
    return f"{bounds[0]:g} to {bounds[1]:g}"


def _flag(bounds: Bounds) -> str:
    return f"{bounds[0]:g},{bounds[1]:g}"


# 3. Convert -----------------------------------------------------------------------------------------------------------


def to_pixels(array: np.ndarray, bounds: Sequence[float]) -> np.ndarray:
    """An array as uint8, black as 0 and white as 255; values outside are clipped. In memory, in C order.

    Args:
        array: of any shape, real numbers.
        bounds: the values of black and white.
    """
    if array.dtype == np.uint8 and tuple(bounds) == BYTES:
        return np.array(array) if isinstance(array, np.memmap) else np.ascontiguousarray(array)
    pixels = np.empty(array.shape, np.uint8)
    for start, block in _blocks(array) if array.ndim else ():
        pixels[start : start + len(block)] = _convert(block, bounds)
    return pixels


def _convert(block: np.ndarray, bounds: Sequence[float]) -> np.ndarray:
    if tuple(bounds) == BYTES:
        return np.clip(np.rint(block), 0, WHITE).astype(np.uint8)
    narrow = block.dtype.itemsize <= 2 or block.dtype.str[1:] == "f4"
    values = block.astype(np.float32 if narrow else np.float64)
    low, high = bounds
    return images.to_uint8((values - low) / (high - low))


# 4. Check what came of it ---------------------------------------------------------------------------------------------


def check_brightness(parts: Sequence[np.ndarray], bounds: Sequence[float], name: str) -> list[str]:
    """Findings of the brightness of decoded images: it shows whether another value than `bounds` is white.

    Reads only as many images as are needed to see that there are dark and bright pixels, and some for the mean.

    Args:
        parts: each [N, H, W, C] uint8.
        bounds: the values of black and white in the files.
        name: of the data set.

    Raises:
        UserError: all images are as good as black.
    """
    low, high, sums = WHITE, 0, []
    for part in parts:
        step = max(1, len(part) // SAMPLED_IMAGES)
        sums += [float(part[i].mean()) for i in range(0, len(part), step)]
        for _, block in _blocks(part) if len(part) else ():
            low, high = min(low, int(block.min())), max(high, int(block.max()))
            if high > DARK and low < high:
                break
    value = bounds[0] + high / WHITE * (bounds[1] - bounds[0])
    flag = f"--value_range {bounds[0]:g},{value:.6g}"
    where = f"data set {name!r}"
    if low >= high:
        return [f"{where}: all pixels have one value ({high} of {WHITE})"] if sums else []
    in_files = "" if tuple(bounds) == BYTES else f" ({value:.6g} in the files)"
    if high <= 1:
        raise UserError(
            f"{where}: the brightest pixel is {high} of {WHITE}{in_files}, so all images would be black; if that is "
            f"white: {flag}"
        )
    if high <= DARK:
        return [f"{where}: the brightest pixel is {high} of {WHITE}{in_files}; if that is white: {flag}"]
    mean = float(np.mean(sums))
    if MEANS[0] <= mean <= MEANS[1]:
        return []
    colour = "black" if mean < DARK else "white"
    return [f"{where}: the mean of the pixels is {mean:.1f} of {WHITE}: nearly all of them are {colour}"]
