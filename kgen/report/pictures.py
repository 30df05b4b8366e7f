"""The pictures of a run as parts of its report: data URLs within a budget of bytes.

Sample grids over the epochs and the final one become an animation with a slider; the pictures of explore/, eval/ and
plots/ are shown as they are, but for those that the page shows already. Large pictures are compressed, and what does
not fit is named.
"""

import functools
import io
import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from html import escape
from pathlib import Path
from typing import Any

import numpy as np

from kgen import images
from kgen.report.commands import is_conditional
from kgen.report.panels import better
from kgen.report.run_files import RunFiles, finite
from kgen.web import html

PAGE_BYTES = 10_000_000
"""Upper bound of the whole page."""
TEXT_BYTES = 2_000_000
"""Reserved for everything but pictures; curves are thinned and the log is cut, so that they need less."""
STILLS_BYTES = 3_000_000
"""For all pictures but the grids over the epochs, which get the rest."""
STILL_BYTES = 1_500_000
"""Of one picture; a larger one is compressed."""
MAX_FRAMES = 80
FRAME_BYTES = (600_000, 200_000, 80_000)
"""Of a grid of the animation: the first of these with which all of them fit."""
LONGEST_SIDES = (1600, 1200, 900, 640, 400, 200)
"""Pixels to which a picture is reduced, until it is small enough."""
TYPES = {".png": "image/png", ".gif": "image/gif"}
GRID_WIDTH = 560
"""Pixels: small grids are enlarged by a whole factor to about this width."""
MAX_CLASS_NAMES = 20
PATHS_CAPTION = "Paths between latent points"
SHOWN_OTHERWISE = re.compile(r"(samples|progress|curves|quality)(-.*)?")
"""Names of the pictures of kgen-explore and of a training that the page shows as its grids and curves."""


@dataclass(frozen=True)
class EmbeddedImage:
    """One picture.

    Attributes:
        path: of its file.
        url: a data URL.
        width, height: of the file, pixels.
        compressed: whether it was encoded with fewer bytes than the file.
        names: of the rows, from the top, if they are to be written beside it.
    """

    path: Path
    url: str
    width: int
    height: int
    compressed: bool = False
    names: Sequence[str] = ()


Frameless = Callable[[np.ndarray], tuple[np.ndarray, Sequence[str]]]
"""`images.without_frame` for the grids of a run."""


class Budget:
    """Bytes of data URLs that are left, and the problems with pictures so far.

    Args:
        size: in bytes.
        frameless: applied to the grids of frames.
    """

    def __init__(self, size: int, frameless: Frameless | None = None):
        self.left, self.frameless = size, frameless
        self.problems: list[str] = []

    def take(self, path: Path, max_bytes: int = STILL_BYTES) -> EmbeddedImage | None:
        """The picture, compressed if necessary; None, with a sentence in `problems`, if it cannot be shown."""
        before = len(self.problems)
        picture = self.read(path, max_bytes)
        if len(self.problems) > before:
            return None
        if picture is None or len(picture.url) > self.left:
            reason = "is too large for this page" if picture is None else "found no room left on this page"
            self.problems.append(f"{path.name} {reason}: look at {path}.")
            return None
        self.left -= len(picture.url)
        return picture

    def read(self, path: Path | None, max_bytes: int) -> EmbeddedImage | None:
        """See `load_image`; an unreadable file is one sentence in `problems`."""
        try:
            return load_image(path, max_bytes, self.frameless) if path else None
        except Exception as error:  # Pillow has many for a broken file
            sentence = f"{path.name} is no picture that can be read ({type(error).__name__})."
            self.problems += [] if sentence in self.problems else [sentence]
            return None

    def take_frames(self, frames: Sequence[Sequence[Path | None]]) -> list[tuple[EmbeddedImage | None, ...]]:
        """As many frames as fit, evenly spaced, the first and the last among them.

        Args:
            frames: the pictures of each in the same order; None where one is missing.

        Returns:
            The pictures of each frame; None where one is missing or cannot be read. Pictures are compressed before
            frames are left out.
        """
        frames = evenly_spaced(frames, MAX_FRAMES)
        for max_bytes in FRAME_BYTES:
            taken = [tuple(self.read(path, max_bytes) for path in frame) for frame in frames]
            if _size(taken) <= self.left:
                break
        while _size(taken) > self.left:
            taken = evenly_spaced(taken, min(len(taken) - 1, int(len(taken) * self.left / _size(taken))))
        self.left -= _size(taken)
        return taken


def load_image(path: Path, max_bytes: int, frameless: Frameless | None = None) -> EmbeddedImage | None:
    """A picture as a data URL of at most `max_bytes` bytes.

    Args:
        path: of a PNG or GIF.
        max_bytes: of the URL; a larger picture is compressed.
        frameless: see `Budget`.

    Raises:
        Exception: the file is no picture.

    Returns:
        None for an animated GIF that is larger.
    """
    from PIL import Image

    content, names = path.read_bytes(), ()
    with Image.open(io.BytesIO(content)) as image:
        image.load()
        if frameless and image.mode in ("L", "RGB"):
            bare, names = frameless(np.asarray(image))
            if bare.shape[-1] in (2, 4):
                image, stream = Image.fromarray(bare), io.BytesIO()
                image.save(stream, "PNG", compress_level=1)  # four times as fast as the default, and 8 % larger
                content = stream.getvalue()
        width, height = image.size
        url = html.data_url(TYPES[path.suffix.lower()], content)
        if len(url) <= max_bytes:
            return EmbeddedImage(path, url, width, height, names=names)
        if getattr(image, "is_animated", False):
            return None
        still = image.convert("RGB")
    for side in LONGEST_SIDES:
        reduced = still.copy()
        reduced.thumbnail((side, side), Image.Resampling.LANCZOS)
        stream = io.BytesIO()
        reduced.save(stream, "JPEG", quality=85)
        url = html.data_url("image/jpeg", stream.getvalue())
        if len(url) <= max_bytes:
            return EmbeddedImage(path, url, width, height, compressed=True, names=names)
    return None


def evenly_spaced(items: Sequence, count: int) -> list:
    """`count` of the items, the first and the last among them; all if there are no more."""
    if len(items) <= count:
        return list(items)
    if count < 2:
        return list(items[-count:]) if count else []
    return [items[round(i * (len(items) - 1) / (count - 1))] for i in range(count)]


def _size(frames: Sequence[Sequence[EmbeddedImage | None]]) -> int:
    return sum(len(picture.url) for frame in frames for picture in frame if picture)


# Parts of the page ----------------------------------------------------------------------------------------------------


class Pictures:
    """The run's pictures as HTML; `problems`: sentences about those that are not shown."""

    def __init__(self, files: RunFiles):
        self.files, run = files, files.run
        samples, stills = run.path / "samples", Budget(STILLS_BYTES)
        self.groups = _pictures_of(stills, [run.path / folder for folder in ("explore", "eval", "plots")])
        grids, paths = (_by_epoch(samples, name) for name in ("epoch", "interpolation"))
        last = paths.get(max(grids, default=0))
        files = [(grids[epoch], paths.get(epoch)) for epoch in sorted(grids)]
        if (final := samples / "final.png").is_file():
            same = files and _same_pixels(files[-1][0], final)
            files = [*(files[:-1] if same else files), (final, last)]
        self.grid_count = len(files)
        names = self._class_names()
        animation = Budget(
            PAGE_BYTES - TEXT_BYTES - STILLS_BYTES + stills.left,
            functools.partial(images.without_frame, image_shape=run.spec.image_shape, names=names),
        )
        frames = animation.take_frames(files)
        self.frames = [frame for frame in frames if frame[0]]
        self.problems = stills.problems + animation.problems

    def _class_names(self) -> list[str]:
        """The names of the classes, if the rows of a grid are classes."""
        spec = self.files.run.spec
        count = min(spec.num_classes, MAX_CLASS_NAMES) if is_conditional(self.files.run.config) else 0
        return [spec.class_name(label) for label in range(count)]

    def samples(self) -> str:
        """The grids over the epochs, the final one last, with a slider."""
        if not self.frames:
            return html.quiet("No sample grid was written yet.")
        return self._animation() + self._remarks()

    def explored(self) -> str:
        """A part with the pictures of kgen-explore."""
        return html.section("Latent space", self._group("explore"), "explore")

    def others(self) -> str:
        """A part with the other pictures, folded."""
        groups = {"Pictures of eval/": self._group("eval"), "Pictures of plots/": self._group("plots")}
        folded = "".join(html.fold(title, pictures) for title, pictures in groups.items() if pictures)
        return html.section("More pictures", folded, "pictures")

    def _group(self, name: str) -> str:
        figures = "".join(_figure(picture, _title(picture.path)) for picture in self.groups[name])
        return f'<div class="pictures">\n{figures}</div>\n' if figures else ""

    def _animation(self) -> str:
        """The grids with a slider over the epochs; see report.js."""
        if not self.frames:
            return ""
        last, last_path = self.frames[-1]
        captions = [self._caption(grid) for grid, _ in self.frames]
        caption = escape(captions[-1])
        if len(self.frames) == 1:
            return f"<figure>{_enlarged('frame', last, captions[-1])}<figcaption>{caption}</figcaption></figure>\n"
        count = len(self.frames) - 1
        frames = [
            {"src": grid.url, "words": words} | ({"paths": path.url} if path else {})
            for (grid, path), words in zip(self.frames, captions, strict=True)
        ]
        frames[-1] = {"words": captions[-1]}  # its pictures are those of the page as it opens
        paths = ""
        if last_path:
            sheet = _enlarged("frame-paths", last_path, PATHS_CAPTION)
            paths = f'<div class="paths">{sheet}<p>{PATHS_CAPTION}.</p></div>'
        return (
            f'<figure class="animation"><div>{_enlarged("frame", last, f"Samples, {captions[-1]}")}'
            '<div class="controls"><button type="button" id="play" aria-label="Play">▶</button>'
            f'<input type="range" id="epoch" min="0" max="{count}" value="{count}" step="1" aria-label="Epoch" '
            f'aria-valuetext="{caption}"></div>'
            f'<div class="strip"></div><figcaption><output id="frame-words" for="epoch">{caption}</output>'
            f"</figcaption></div>{paths}"
            f'<script type="application/json" id="frames">{html.script_json(frames)}</script>'
            "</figure>\n"
        )

    def _caption(self, grid: EmbeddedImage) -> str:
        """ "epoch 22 of 45: validation loss 131.1"; of final.png "at the end: the best checkpoint, epoch 22 ..."."""
        train, final = self.files.run.config.train, grid.path.stem == "final"
        best = self.files.checkpoints.get("best")
        epoch = (best.get("epoch") if isinstance(best, dict) else None) if final else _epoch(grid.path)
        row = next((row for row in self.files.rows if row["epoch"] == epoch), {})
        words = f"epoch {epoch} of {train.epochs}" if epoch else "" if final else "before training"
        if final:
            words = ", ".join(filter(None, ["at the end: the best checkpoint", words]))
            words += f", z from the {train.prior.replace('_', ' ')} prior"
        values = [f"{key.replace('_', ' ')} {value:.4g}" for key, value in _key_metrics(row).items()]
        return f"{words}: {', '.join(values)}" if values else words

    def _remarks(self) -> str:
        remarks = []
        if names := self._class_names():
            listed = ", ".join(names) + (", …" if len(names) < self.files.run.spec.num_classes else "")
            rows = "A row is a class" if self.frames[-1][0].names else f"A row is a class, from the top: {listed}"
            remarks.append(f"{rows}. Every row has the same noise.")
        if len(self.frames) > 1:
            remarks.append("The same latent points in every epoch.")
        if len(self.frames) < self.grid_count:
            remarks.append(
                f"{len(self.frames)} of {self.grid_count} grids are shown, evenly spaced; all are in samples/."
            )
        if any(picture.compressed for picture, _ in self.frames):
            remarks.append("Large grids are compressed; their files are in samples/.")
        return html.quiet(" ".join(remarks)) if remarks else ""


def _key_metrics(row: dict[str, Any]) -> dict[str, float]:
    """At most two values of an epoch that show the quality of its samples, or the progress of the training."""
    directions = better()
    quality = [f"{split}_{name}" for name, way in directions.items() if way for split in ("validation", "train")]
    keys = ["validation_loss" if "validation_loss" in row else "train_loss", "health_diversity", *quality]
    found = {key: row[key] for key in keys if finite(row.get(key)) is not None}
    return dict(list(found.items())[:2])


def _figure(picture: EmbeddedImage, caption: str) -> str:
    """A picture with its caption."""
    return (
        f'<figure><img src="{picture.url}" width="{picture.width}" height="{picture.height}" '
        f'alt="{escape(caption)}"><figcaption>{escape(caption)}</figcaption></figure>\n'
    )


def _title(path: Path) -> str:
    """The name of a picture: a strip and its GIF have the same file name."""
    return path.stem + (", animated" if path.suffix.lower() == ".gif" else "")


def _enlarged(name: str, picture: EmbeddedImage, text: str) -> str:
    """A grid, enlarged by a whole factor to about GRID_WIDTH pixels, with the names of its rows."""
    size = picture.width, picture.height
    return html.sheet(picture.url, size, text, picture.names, width=GRID_WIDTH, name=name)


def _pictures_of(budget: Budget, folders: Sequence[Path]) -> dict[str, list[EmbeddedImage]]:
    """The pictures of each folder by its name; where not all fit, large ones and animations are left out first."""
    files = [path for folder in folders for path in sorted(folder.glob("*")) if not _is_shown_above(path)]
    paths = [path for path in files if path.suffix.lower() in TYPES and not path.name.startswith(".")]
    order = sorted(paths, key=lambda path: (path.suffix.lower() == ".gif", path.stat().st_size))
    taken = {path: budget.take(path) for path in order}
    return {folder.name: [taken[p] for p in paths if p.parent == folder and taken[p]] for folder in folders}


def _is_shown_above(path: Path) -> bool:
    return path.parent.name != "eval" and SHOWN_OTHERWISE.fullmatch(path.stem) is not None


def _same_pixels(one: Path, other: Path) -> bool:
    """Whether two pictures look the same; False if one cannot be read."""
    from PIL import Image

    try:
        with Image.open(one) as first, Image.open(other) as second:
            return np.array_equal(np.asarray(first), np.asarray(second))
    except Exception:  # Pillow has many for a broken file
        return False


def _by_epoch(folder: Path, name: str) -> dict[int, Path]:
    """The pictures NAME-0003.png of a folder by their epochs."""
    return {epoch: path for path in folder.glob(f"{name}-*.png") if (epoch := _epoch(path)) is not None}


def _epoch(path: Path) -> int | None:
    number = path.stem.rpartition("-")[2]
    return int(number) if number.isdecimal() else None
