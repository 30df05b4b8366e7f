"""Sheets of pictures with names beside the rows, headings over the columns and a caption below; GIFs of several."""

import functools
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from kgen import images
from kgen.io import write_aside
from kgen.provenance import as_text

LINE_HEIGHT = 13  # of a caption, in pixels
GAP = 3
MARGIN = 8
MIN_WIDTH = 460  # so that a caption has room
PALETTE_COLORS, PALETTE_STEP = 128, 7  # of an animation, chosen for every seventh pixel of all frames
PLANE_GAP = 2  # between two images of a plane
PLANES_WIDTH = 1850  # pixels of planes beside each other
MAX_SIDE = 2400  # pixels of a sheet; larger ones are scaled down
TEXT_COLOR, HEADING_COLOR, BACKGROUND = (20, 20, 24), (90, 90, 100), (255, 255, 255)


@dataclass(frozen=True)
class Picture:
    """A picture with its caption: a PNG, or a GIF of several frames.

    Attributes:
        name: of the file, without its ending.
        frames: each [H, W, 3] uint8, caption included.
        caption: what it shows.
    """

    name: str
    frames: Sequence[np.ndarray]
    caption: str

    def save(self, folder: Path, milliseconds: int, made: Mapping[str, Any] | None = None) -> Path:
        """Writes `folder/NAME.png` or `.gif`, with what made it (see `kgen.provenance`); `milliseconds` per frame."""
        if len(self.frames) == 1:
            return images.save_png(folder / f"{self.name}.png", self.frames[0], made)
        return save_gif(folder / f"{self.name}.gif", self.frames, milliseconds, made)


def sheet(
    rows: Sequence[np.ndarray],
    *,
    caption: str,
    names: Sequence[str] = (),
    columns: Sequence[str] = (),
    gap_after: Sequence[int] = (),
) -> np.ndarray:
    """Rows of images with names beside them, headings above and a caption below, as one image.

    Args:
        rows: each [N, H, W, C] uint8, or float in [0, 1]; C is 1 or 3. Small images are enlarged in whole multiples.
        caption: what it shows; wrapped.
        names: of the rows.
        columns: headings.
        gap_after: rows with more room below.

    Returns:
        [height, width, 3] uint8.
    """
    from PIL import Image, ImageDraw

    font = images.font()
    cells = [[_rgb(images.to_view(cell)) for cell in _uint8(row)] for row in rows]
    height, width, _ = cells[0][0].shape
    left = MARGIN + max((round(font.getlength(name)) + MARGIN for name in names), default=0)
    top = MARGIN + (LINE_HEIGHT + GAP if any(columns) else 0)
    full = max(left + max(map(len, cells)) * (width + GAP) + MARGIN, MIN_WIDTH)
    lines = wrapped(caption, full - 2 * MARGIN)
    tops, down = [], top
    for i in range(len(cells)):
        tops.append(down)
        down += height + GAP + (3 * MARGIN // 2 if i in gap_after else 0)
    picture = Image.new("RGB", (full, down + MARGIN + len(lines) * (LINE_HEIGHT + 2) + MARGIN), BACKGROUND)
    draw = ImageDraw.Draw(picture)
    for j, text in enumerate(columns):
        draw.text((left + j * (width + GAP) + width / 2, MARGIN), text, fill=HEADING_COLOR, font=font, anchor="mt")
    for i, (row, start) in enumerate(zip(cells, tops, strict=True)):
        if names:
            draw.text((left - MARGIN, start + height / 2), names[i], fill=TEXT_COLOR, font=font, anchor="rm")
        for j, cell in enumerate(row):
            picture.paste(Image.fromarray(cell), (left + j * (width + GAP), start))
    for i, line in enumerate(lines):
        draw.text((MARGIN, down + MARGIN + i * (LINE_HEIGHT + 2)), line, fill=TEXT_COLOR, font=font)
    picture.thumbnail((MAX_SIDE, MAX_SIDE))
    return np.asarray(picture)


def planes(
    panels: np.ndarray,
    *,
    across: tuple[str, Sequence[float]],
    up: tuple[str, Sequence[float]],
    caption: str,
    names: Sequence[str] = (),
    side: int = images.VIEW_SIDE,
) -> np.ndarray:
    """Planes of images over two axes, with a caption below, as one image.

    Args:
        panels: [P, R, N, H, W, C] uint8, the uppermost row first.
        across, up: name of the axis and the values of the N columns from the left, or the R rows from below.
        caption: what they show; wrapped.
        names: of the panels, above each.
        side: pixels of the longer side of an image, about; small images are enlarged in whole multiples.

    Returns:
        [height, width, 3] uint8.
    """
    from PIL import Image, ImageDraw

    font = images.font()
    grids = [_rgb(images.grid(panel.reshape(-1, *panel.shape[2:]), panel.shape[1], padding=PLANE_GAP,
                              scale=images.view_scale(panel.shape[2:], side))) for panel in panels]  # fmt: skip
    height, width, _ = grids[0].shape
    cells = (width / panels.shape[2], height / panels.shape[1])
    marks = [[signed(round(value, 2), "+g") for value in values] for _, values in (across, up)]
    widest = max(font.getlength(text) for text in marks[1])
    left, below, above = round(widest) + LINE_HEIGHT + MARGIN, 2 * (LINE_HEIGHT + GAP), LINE_HEIGHT if names else 0
    columns = min(len(grids), max(1, PLANES_WIDTH // (left + width)))
    rows = -(-len(grids) // columns)
    wide, tall = left + width + MARGIN, above + height + below + MARGIN
    full = max(columns * wide + MARGIN, MIN_WIDTH)
    lines = wrapped(caption, full - 2 * MARGIN)
    picture = Image.new("RGB", (full, MARGIN + rows * tall + len(lines) * (LINE_HEIGHT + 2) + MARGIN), BACKGROUND)
    draw = ImageDraw.Draw(picture)
    upright = _upright(up[0])
    for i, grid in enumerate(grids):
        x, y = MARGIN + i % columns * wide + left, MARGIN + i // columns * tall + above
        picture.paste(Image.fromarray(grid), (x, y))
        if names:
            draw.text((x + width / 2, y - GAP), names[i], fill=TEXT_COLOR, font=font, anchor="mb")
        for j in _spread(len(marks[0]), cells[0], max(map(font.getlength, marks[0])) + MARGIN):
            place = (x + (j + 0.5) * cells[0], y + height + GAP)
            draw.text(place, marks[0][j], fill=HEADING_COLOR, font=font, anchor="mt")
        for j in _spread(len(marks[1]), cells[1], LINE_HEIGHT + GAP):
            place = (x - GAP, y + height - (j + 0.5) * cells[1])
            draw.text(place, marks[1][j], fill=HEADING_COLOR, font=font, anchor="rm")
        place = (x + width / 2, y + height + GAP + LINE_HEIGHT + GAP)
        draw.text(place, across[0], fill=TEXT_COLOR, font=font, anchor="mt")
        picture.paste(upright, (x - left, round(y + (height - upright.height) / 2)))
    for i, line in enumerate(lines):
        place = (MARGIN, MARGIN + rows * tall + i * (LINE_HEIGHT + 2))
        draw.text(place, line, fill=TEXT_COLOR, font=font)
    picture.thumbnail((MAX_SIDE, MAX_SIDE))
    return np.asarray(picture)


def signed(value: float, form: str = "+.1f") -> str:
    """A number of an axis around 0, which has no sign."""
    text = format(value, form)
    return text if float(text) else "0"


def _spread(count: int, cell: float, needed: float) -> range:
    """Places of marks that do not touch, the first and, where the steps allow it, the last among them."""
    least = max(1, -(-needed // cell))
    step = next((step for step in range(int(least), count) if (count - 1) % step == 0), int(least))
    return range(0, count, step if step < 2 * least else int(least))


def _upright(text: str):
    """A text that is read from below, as an image."""
    from PIL import Image, ImageDraw

    font = images.font()
    line = Image.new("RGB", (round(font.getlength(text)) + 2, LINE_HEIGHT), BACKGROUND)
    ImageDraw.Draw(line).text((1, LINE_HEIGHT / 2), text, fill=TEXT_COLOR, font=font, anchor="lm")
    return line.rotate(90, expand=True)


def captioned(image: np.ndarray, caption: str) -> np.ndarray:
    """One image, [H, W, C] uint8, with a caption: [height, width, 3] uint8."""
    from PIL import Image, ImageDraw

    font, image = images.font(), _rgb(image)
    height, width, _ = image.shape
    full = max(width, MIN_WIDTH)
    lines = wrapped(caption, full - 2 * MARGIN)
    picture = Image.new("RGB", (full, height + (len(lines) * (LINE_HEIGHT + 2)) + 2 * MARGIN), BACKGROUND)
    picture.paste(Image.fromarray(image), (0, 0))
    for i, line in enumerate(lines):
        place = (MARGIN, height + MARGIN + i * (LINE_HEIGHT + 2))
        ImageDraw.Draw(picture).text(place, line, fill=TEXT_COLOR, font=font)
    return np.asarray(picture)


@functools.lru_cache(maxsize=8)  # the frames of an animation have one caption
def wrapped(text: str, width: float) -> list[str]:
    """Lines of a caption of at most so many pixels; a longer word has a line of its own."""
    font, lines = images.font(), [""]
    for word in text.split():
        longer = f"{lines[-1]} {word}".strip()
        if lines[-1] and font.getlength(longer) > width:
            lines.append(word)
        else:
            lines[-1] = longer
    return lines


def save_gif(
    path: Path, frames: Sequence[np.ndarray], milliseconds: int, made: Mapping[str, Any] | None = None
) -> Path:
    """Writes frames, each [H, W, 3] uint8, as a GIF that repeats forever; the last is shown four times as long.

    `made` is its comment, see `kgen.provenance`.

    All frames have one palette, so that colors do not flicker and a frame is only looked up in it. One that is the same
    object as an earlier one is looked up once.
    """
    from PIL import Image

    different = {id(frame): frame for frame in frames}
    some = np.concatenate([frame.reshape(1, -1, 3)[:, ::PALETTE_STEP] for frame in different.values()], axis=1)
    palette = Image.fromarray(some).quantize(PALETTE_COLORS)

    def look_up(picture: Image.Image) -> Image.Image:
        return picture.quantize(palette=palette, dither=Image.Dither.NONE)

    quantized = {name: look_up(Image.fromarray(frame)) for name, frame in different.items()}
    colors = np.reshape(palette.getpalette(), (-1, 3)).astype(np.uint8)
    colors[look_up(Image.new("RGB", (1, 1), BACKGROUND)).getpixel((0, 0))] = BACKGROUND  # Pillow looks up by steps of 4
    for picture in quantized.values():
        picture.putpalette(colors.tobytes())
    first, *rest = (quantized[id(frame)] for frame in frames)
    durations = [milliseconds] * len(rest) + [4 * milliseconds]
    settings = {"append_images": rest, "duration": durations, "loop": 0, "comment": as_text(made) if made else b""}
    return write_aside(path, lambda aside: first.save(aside, format="GIF", save_all=True, **settings))


def _uint8(row: np.ndarray) -> np.ndarray:
    row = np.asarray(row)
    return row if row.dtype == np.uint8 else images.to_uint8(row)


def _rgb(image: np.ndarray) -> np.ndarray:
    return np.repeat(image, 3, axis=-1) if image.shape[-1] == 1 else image
