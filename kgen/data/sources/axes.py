"""What the axes of an array of images mean: where the images run, where the channels are, how a flat one unfolds.

`arrange` lists every reading that the shapes allow, strikes out those that the settings, the number of labels and the
other splits contradict, and takes the one that is left, or the one that the kind of file or the smoothness of the
pictures decides. Where nothing decides, it refuses with the readings and the flag for each.
"""

import math
from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from kgen.config import DataConfig
from kgen.errors import UserError
from kgen.tables import counted

CHANNELS = (1, 3, 4)
LONGEST = 4
"""The ratio of the sides of a picture that is still plausible."""
SMALLEST_SIDE = 4
"""Of a flattened square whose shape nobody names."""
CLEARLY = 1.25
"""The ratio of two roughnesses that decides between two readings."""
SAMPLED, SAMPLED_VALUES = 64, 2**20
"""Images, and values of them, that are looked at for it."""


@dataclass(frozen=True)
class PixelOrder:
    """How the files of one kind unfold a flattened picture.

    Attributes:
        row_major: row by row (NumPy); else column by column (MATLAB).
        reason: of this choice, in words.
        images_first: the images of such files run along the first axis unless the array says otherwise.
    """

    row_major: bool
    reason: str
    images_first: bool


@dataclass(frozen=True)
class Reading:
    """One way to read an array.

    Attributes:
        layout: in words.
        orientation: `rows` (the images run along the first axis) or `columns` (along the last one).
        images: [N, H, W, C], a view of the array where that is possible.
        shape: of a flattened picture, in the order of the file; None for arrays that are not flattened.
        channels_last: of `shape` and of four dimensions.
    """

    layout: str
    orientation: str
    images: np.ndarray
    shape: tuple[int, ...] | None = None
    channels_last: bool = True

    def describe(self) -> str:
        count, height, width, channels = self.images.shape
        flags = f"--mat_orientation {self.orientation}"
        shape = self.shape or (self.images.shape[1:] if channels > 1 else ())
        if shape:
            flags += f" --mat_image_shape {'x'.join(map(str, shape))}"
        return f"{counted(count, 'image')} of {height}x{width}x{channels} ({flags})"


def arrange(
    arrays: Mapping[str, np.ndarray],
    label_counts: Mapping[str, set[int]],
    config: DataConfig,
    order: PixelOrder,
    where: str,
) -> tuple[dict[str, np.ndarray], list[str], list[str]]:
    """The images of every split as [N, H, W, C], notes that say how they were found, and findings of what is ambiguous.

    Args:
        arrays: split -> an array of 2, 3 or 4 dimensions.
        label_counts: split -> how many labels there may be for it.
        config: `mat_orientation` and `mat_image_shape`.
        order: what is usual in files of this kind.
        where: the file and the variable, for messages.

    Raises:
        UserError: the shapes are no images, or there are several readings and nothing decides between them.
    """
    shapes = {split: array.shape for split, array in arrays.items()}
    if len({array.ndim for array in arrays.values()}) > 1:
        raise UserError(f"{where}: the splits have images of different shapes: {shapes}")
    order, why_order = _flat_order(arrays, config, order)
    by_split = {split: _readings(array, config, order.row_major) for split, array in arrays.items()}
    if not all(by_split.values()):
        raise UserError(_no_images(shapes, config, where))
    readings = _common(by_split)
    if not readings:
        raise UserError(f"{where}: the splits have images of different shapes: {shapes}")
    largest = max(arrays, key=lambda split: arrays[split].size)
    chosen, why, doubts = _choose(readings, largest, label_counts, config, order, where, shapes)
    array, reading = arrays[largest], chosen[largest]
    height, width = reading.images.shape[1:3]
    unusual = order.images_first and reading.orientation == "columns" and height != width
    if len(arrays) > 1 and unusual and not why:
        raise UserError(f"{where}: the splits have images of different shapes: {shapes}")
    single = array.ndim == 3 and len(reading.images) in CHANNELS[1:] and reading.orientation == "columns"
    if single and order.images_first and config.mat_orientation == "auto" and not any(label_counts.values()):
        raise UserError(
            f"{where} {array.shape} looks like a single picture of {height}x{width}x{len(reading.images)}; images are "
            "[N, H, W] or [N, H, W, C]. If they are gray images, the last axis counting them: --mat_orientation columns"
        )
    if array.ndim == 3 and not _plausible(reading) and config.mat_orientation == "auto":
        doubts.append(f"{where} was read as {reading.describe()}, which is an unusual shape for pictures")
    if array.ndim == 2 and config.mat_image_shape is None:
        labelled = len(reading.images) in label_counts.get(largest, ())
        _refuse_if_another_shape_is_smoother(array, reading, order, labelled or why != "", config, where)
    notes = _notes(reading, array, order, why, why_order, where)
    return {split: reading.images for split, reading in chosen.items()}, notes, doubts


# Every reading --------------------------------------------------------------------------------------------------------


def _readings(array: np.ndarray, config: DataConfig, row_major: bool) -> list[Reading]:
    """All readings of one array that the settings allow."""
    wanted = config.mat_orientation.removesuffix("_transposed")
    turned = config.mat_orientation.endswith("_transposed")
    if array.ndim == 2:
        found = _flat(array, config.mat_image_shape, row_major != turned)
    else:
        found = list(_unflat(array))
        if turned:
            found = [
                Reading(r.layout, r.orientation, r.images.transpose(0, 2, 1, 3), None, r.channels_last) for r in found
            ]
        if config.mat_image_shape is not None:
            height, width, channels = (*config.mat_image_shape, None)[:3]
            fits = (height, width, channels), (height, width, None)
            found = [r for r in found if (*r.images.shape[1:3], channels and r.images.shape[3]) in fits]
    return [r for r in found if wanted in ("auto", r.orientation)]


def _unflat(array: np.ndarray):
    if array.ndim == 3:
        yield Reading("[N, H, W]", "rows", array[..., None])
        yield Reading("[H, W, N]", "columns", np.moveaxis(array, 2, 0)[..., None])
        return
    if array.ndim != 4:
        return
    first, second, third, last = array.shape
    if last in (*CHANNELS, 2):
        yield Reading("[N, H, W, C]", "rows", array)
    if second in CHANNELS:
        yield Reading("[N, C, H, W]", "rows", np.moveaxis(array, 1, 3), None, False)
    if third in CHANNELS:
        yield Reading("[H, W, C, N]", "columns", np.moveaxis(array, 3, 0))
    if first in (1, 3):
        yield Reading("[C, H, W, N]", "columns", array.transpose(3, 1, 2, 0), None, False)


def _flat(array: np.ndarray, given: tuple[int, ...] | None, row_major: bool) -> list[Reading]:
    """The readings of a matrix: one flattened image in each row, or in each column."""
    found = []
    for orientation, length in (("rows", array.shape[1]), ("columns", array.shape[0])):
        if given is None:
            shapes = _guesses(length)
        else:
            shapes = [tuple(given)] if math.prod(given) == length else []
        for shape in shapes:
            images = _unfold(array if orientation == "rows" else array.T, shape, row_major)
            last = len(shape) == 2 or shape[-1] in CHANNELS
            found.append(Reading(f"one image in each of its {orientation}", orientation, images, shape, last))
    return found


def _guesses(length: int) -> list[tuple[int, ...]]:
    """The square, or the three squares (interleaved, or one after the other), that `length` values are."""
    side = math.isqrt(length)
    if side >= SMALLEST_SIDE and side * side == length:
        return [(side, side)]
    side = math.isqrt(length // 3)
    if side >= SMALLEST_SIDE and 3 * side * side == length:
        return [(side, side, 3), (3, side, side)]
    return []


def _shapes(length: int):
    """Every plausible shape of a picture of `length` values."""
    for channels in CHANNELS:
        pixels = length // channels
        for height in range(SMALLEST_SIDE, pixels // SMALLEST_SIDE + 1):
            width = pixels // height
            if height * width * channels == length and max(height, width) <= LONGEST * min(height, width):
                yield from (
                    [(height, width)] if channels == 1 else [(height, width, channels), (channels, height, width)]
                )


def _unfold(flat: np.ndarray, shape: tuple[int, ...], row_major: bool) -> np.ndarray:
    """[N, D] -> [N, H, W, C]; `shape` has 2 axes, or 3 of which the last or else the first are the channels."""
    # Column by column, the first axis of the picture runs fastest: unfold backwards and turn the axes round.
    dims = shape if row_major else shape[::-1]
    if flat.flags.c_contiguous:
        images = flat.reshape(-1, *dims)
    else:  # a view where the transpose is contiguous
        images = np.moveaxis(flat.T.reshape(*dims, -1), -1, 0)
    if not row_major:
        images = images.transpose(0, *range(images.ndim - 1, 0, -1))
    if len(shape) == 2:
        return images[..., None]
    return images if shape[2] in CHANNELS else np.moveaxis(images, 1, 3)


def _flat_order(arrays: Mapping[str, np.ndarray], config: DataConfig, order: PixelOrder) -> tuple[PixelOrder, str]:
    """The order of the pixels: that of the file kind, unless the pictures are clearly smoother in the other one.

    That shows only where they are no squares: a square picture and its transpose are equally smooth.
    """
    array = max(arrays.values(), key=lambda a: a.size)
    shape = config.mat_image_shape
    if array.ndim != 2 or shape is None or len(shape) not in (2, 3):
        return order, ""
    sides = shape[:2] if len(shape) == 2 or shape[2] in CHANNELS else shape[1:]
    if sides[0] == sides[1]:
        return order, ""
    plain = DataConfig(mat_orientation=config.mat_orientation.removesuffix("_transposed"), mat_image_shape=shape)
    both = [_readings(array, plain, row_major) for row_major in (order.row_major, not order.row_major)]
    if not both[0]:
        return order, ""
    usual, other = (min(_roughness(r.images) for r in readings) for readings in both)
    if usual > CLEARLY * other:
        return PixelOrder(not order.row_major, order.reason, order.images_first), "so the pictures are smooth"
    return order, ""


# The right one --------------------------------------------------------------------------------------------------------


def _common(by_split: Mapping[str, list[Reading]]) -> list[dict[str, Reading]]:
    """The readings that give the images of all splits one shape, as split -> reading."""
    found = []
    first, *others = by_split
    for reading in by_split[first]:
        key = (reading.layout, reading.shape, reading.images.shape[1:])
        same = {first: reading}
        for split in others:
            for r in by_split[split]:
                if (r.layout, r.shape, r.images.shape[1:]) == key:
                    same[split] = r
        if len(same) == len(by_split):
            found.append(same)
    return found


def _choose(readings, largest, label_counts, config, order, where, shapes):
    """(The reading that is left, or decided for; why, "" when there is no other; findings of what is ambiguous)."""

    def by_labels(reading):
        return all(len(reading[split].images) in counts for split, counts in label_counts.items() if counts)

    why = ""
    if any(label_counts.values()) and any(map(by_labels, readings)):
        kept = [r for r in readings if by_labels(r)]
        why = "there are as many labels" if len(kept) < len(readings) else ""
        readings = kept
    labelled = bool(why) or any(label_counts.values())
    plausible = [r for r in readings if _plausible(r[largest])]
    readings = plausible or readings
    if len(readings) == 1:
        return readings[0], why, []
    here = [r[largest] for r in readings]
    ndim = len(shapes[largest])
    if ndim == 2:
        number = _choose_flat(here, shapes[largest], order)
        reason = "so the pictures are smooth"
    elif ndim == 3:
        number = _choose_stack(here, shapes[largest], order, labelled)
        reason = f"as is usual in {'NumPy' if order.images_first else 'MATLAB'} files"
    else:
        number = _choose_channels(here, order)
        reason = "so the pictures are squares"
    if number is None:
        raise UserError(
            f"{where} {shapes[largest]} can be read in more than one way: "
            + " or ".join(r.describe() for r in here)
            + ". Give the flags of the right one"
            + ("" if ndim < 4 else ", or save it as [N, H, W, C]")
        )
    doubts = []
    if ndim == 3 and len(set(shapes[largest])) == 3:
        rough = sorted(_roughness(r.images) for r in here)
        if rough[1] <= CLEARLY * rough[0]:
            doubts.append(f"{where} was read as {here[number].describe()}; or is it {here[1 - number].describe()}?")
    return readings[number], why or reason, doubts


def _plausible(reading: Reading) -> bool:
    height, width = reading.images.shape[1:3]
    return max(height, width) <= LONGEST * min(height, width)


def _refuse_if_another_shape_is_smoother(array, chosen: Reading, order, decided: bool, config, where) -> None:
    """Raises UserError if the pictures are no squares: 32x18 values are as many as 24x24, but smoother.

    Args:
        decided: the labels or the smoothness say along which axis the images run.
    """
    fixed = decided or config.mat_orientation != "auto"
    row_major = order.row_major != config.mat_orientation.endswith("_transposed")
    roughness = _roughness(chosen.images)
    smoothest, least = None, roughness / CLEARLY
    for orientation, length in (("rows", array.shape[1]), ("columns", array.shape[0])):
        other = orientation != chosen.orientation
        if fixed and other:
            continue
        for shape in _shapes(length):
            images = _unfold(array if orientation == "rows" else array.T, shape, row_major)
            found = _roughness(images)
            if found < (min(least, roughness / CLEARLY**3) if other else least):
                last = len(shape) == 2 or shape[-1] in CHANNELS
                smoothest, least = Reading(chosen.layout, orientation, images, shape, last), found
    if smoothest is not None:
        raise UserError(
            f"{where} {array.shape} can be read in more than one way: {chosen.describe()} or {smoothest.describe()}, "
            "which would be smoother. Give the flags of the right one"
        )


def _choose_flat(readings: list[Reading], shape: tuple[int, ...], order: PixelOrder) -> int | None:
    if shape[0] == shape[1] and len({r.orientation for r in readings}) > 1:
        return None
    roughness = [_roughness(r.images) for r in readings]
    best = int(np.argmin(roughness))
    if all(rough > CLEARLY * roughness[best] for i, rough in enumerate(roughness) if i != best):
        return best
    if not order.row_major and len({r.orientation for r in readings}) == 1:  # x(:) of an H x W x C picture
        return next(i for i, r in enumerate(readings) if r.channels_last)
    return None


def _choose_stack(readings: list[Reading], shape: tuple[int, ...], order: PixelOrder, labelled: bool) -> int | None:
    """[N, H, W] or [H, W, N]: two equal sides are those of the picture, else the rougher axis is that of the images."""
    rows = next(i for i, r in enumerate(readings) if r.orientation == "rows")
    first, middle, last = shape
    if first == middle == last:
        return rows if labelled and order.images_first else None
    if middle == last:
        return rows
    if first == middle:
        return 1 - rows if last > first or not order.images_first else None
    usual, other = (_roughness(readings[i].images) for i in (rows, 1 - rows))
    if not usual:
        return rows
    ratio = other / usual
    if order.images_first:
        return rows if ratio > 1 / CLEARLY else None
    if ratio > CLEARLY or ratio < 1 / CLEARLY:
        return rows if ratio > 1 else 1 - rows
    return None if first == last else rows if first > last else 1 - rows


def _choose_channels(readings: list[Reading], order: PixelOrder) -> int | None:
    """Of four dimensions: the one of gray or RGB, else of squares, else with the channels last."""
    left = list(range(len(readings)))
    left = [i for i in left if readings[i].images.shape[3] in (1, 3)] or left
    left = [i for i in left if readings[i].images.shape[1] == readings[i].images.shape[2]] or left
    if len(left) == 1:
        return left[0]
    last = [i for i in left if readings[i].channels_last]
    if len(left) > len({readings[i].orientation for i in left}):
        squares = readings[left[0]].images.shape[1] == readings[left[0]].images.shape[2]
        return last[0] if order.images_first and len(last) == 1 and not squares else None
    if len(last) == 1:
        return last[0]
    return next(i for i in left if readings[i].orientation == "rows") if order.images_first else None


def _roughness(images: np.ndarray) -> float:
    """The mean absolute difference of neighbouring pixels, over some of the images."""
    wanted = min(SAMPLED, max(1, SAMPLED_VALUES // images[0].size))
    step = max(1, len(images) // wanted)
    some = images[::step][:wanted].astype(np.float64)
    steps = [np.abs(np.diff(some, axis=axis)).ravel() for axis in (1, 2)]
    return float(np.concatenate(steps).mean()) if sum(map(len, steps)) else 0.0


# Messages -------------------------------------------------------------------------------------------------------------


def _no_images(shapes: Mapping[str, tuple[int, ...]], config: DataConfig, where: str) -> str:
    given, shape = config.mat_image_shape, next(iter(shapes.values()))
    text = f"{where} must be [N, H, W] or [N, H, W, C] with C of 1, 3 or 4, [H, W, N], [H, W, C, N], or one flattened "
    text += f"image in each row or column. Received shape: {shape}"
    if given is not None and len(given) not in (2, 3):
        return (
            f"data.mat_image_shape must be (height, width) or (height, width, channels). Received: {given} for {where}"
        )
    if len(shape) == 2:
        wanted = config.mat_orientation
        axes = shape if wanted == "auto" else shape[:1] if wanted.startswith("columns") else shape[1:]
        text += f"; {' and '.join(map(str, dict.fromkeys(axes)))} values are no image"
        text += f" of data.mat_image_shape {tuple(given)}" if given else ", neither a square nor three squares"
        text += "; set --mat_image_shape HEIGHTxWIDTH (or HEIGHTxWIDTHx3)"
    elif len(shape) == 4 and not given and min(shape[1], shape[3]) > 1:
        channels = shape[3] if shape[1] == shape[2] else min(shape[1], shape[3])
        text += f"; keep {'1 or 3' if channels > 2 else '1'} of {channels} channels; of volumes, save the slices"
    elif given:
        text += f", data.mat_image_shape: {tuple(given)}"
    if config.mat_orientation != "auto":
        text += f", data.mat_orientation: {config.mat_orientation}"
    return text


def _notes(reading: Reading, array: np.ndarray, order: PixelOrder, why: str, why_order: str, where: str) -> list[str]:
    count, height, width, channels = reading.images.shape
    text = (
        f"{where} {array.shape} was read as {reading.layout}: {counted(count, 'image')} of {height}x{width}x{channels}"
    )
    text += f", {why}" if why else ""
    if array.ndim == 2:
        pixels = "row by row" if order.row_major else "column by column"
        text += (
            f"; their pixels run {pixels} ({why_order or order.reason}); if the pictures lie on their side: "
            f"--mat_orientation {reading.orientation}_transposed"
        )
    return [text]
