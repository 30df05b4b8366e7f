"""The part of the page with sample grids: over time with a slider, at the end, and all other pictures of the run."""

import json
from html import escape
from pathlib import Path
from typing import Any

from kgen.report import html
from kgen.report.panels import better
from kgen.report.pictures import PAGE_BYTES, STILLS_BYTES, TEXT_BYTES, TYPES, Budget, Picture, film
from kgen.report.record import Record, finite

GRID_WIDTH = 560
"""About so many pixels wide is a grid shown; small ones are enlarged by a whole number."""
FILMS = ("epoch", "interpolation")
"""Names of the pictures that training draws every few epochs: grids, and paths between latent points."""
PATHS = "Paths between latent points"
UNLABELLED_COLUMNS = 8
PADDING = 2
MOST_CLASSES_TOLD = 20


class Pictures:
    """The run's pictures as HTML; what could not be shown is told in `problems`."""

    def __init__(self, record: Record):
        self.record, run = record, record.run
        stills, problems = Budget(STILLS_BYTES), []
        self.final = _one(stills, run.path / "samples" / "final.png")
        self.groups = {folder: _all(stills, run.path / folder) for folder in ("explore", "eval", "plots")}
        problems += stills.problems
        films = Budget(PAGE_BYTES - TEXT_BYTES - STILLS_BYTES + stills.left)
        grids, paths = (_by_epoch(run.path / "samples", name) for name in FILMS)
        self.grids = len(grids)
        moments = film([(grids[epoch], paths.get(epoch)) for epoch in sorted(grids)], films)
        self.moments = [moment for moment in moments if moment[0]]
        self.frames = [grid for grid, _ in self.moments]
        self.problems = problems + films.problems
        self.rows_are_classes = _rows_are_classes(record, self.final or next(iter(self.frames), None))

    def samples(self) -> str:
        """The slider and the final grid."""
        if not (self.frames or self.final):
            return '<p class="quiet">No sample grid was written yet.</p>\n'
        parts = ""
        if self.final:
            about = self.record.run.config.train.prior.replace("_", " ")
            caption = f"At the end: the best checkpoint, z from the {about} prior"
            parts = html.picture(self.final, caption, wide=GRID_WIDTH)
        return f'<div class="grids">\n{self._slider()}{parts}</div>\n{self._about()}'

    def _about(self) -> str:
        spec = self.record.run.spec
        words = []
        if self.rows_are_classes:
            names = spec.class_names or tuple(map(str, range(spec.num_classes)))
            told = ", ".join(names[:MOST_CLASSES_TOLD]) + (", …" if len(names) > MOST_CLASSES_TOLD else "")
            words.append(f"A row is a class, from the top: {told}. Every row has the same noise.")
        if len(self.frames) > 1:
            words.append("The same latent points in every epoch.")
        if len(self.frames) < self.grids:
            words.append(f"{len(self.frames)} of {self.grids} grids are shown, evenly spaced; all lie in samples/.")
        if any(picture.smaller for picture in [*self.frames, *filter(None, [self.final])]):
            words.append("Large grids are compressed; their files lie in samples/.")
        return f'<p class="quiet">{escape(" ".join(words))}</p>\n' if words else ""

    def _slider(self) -> str:
        if not self.frames:
            return ""
        last = self.frames[-1]
        words = [self._words(frame) for frame in self.frames]
        figure = html.picture(last, words[-1], wide=GRID_WIDTH)
        if len(self.frames) == 1:
            return figure
        count = len(self.frames) - 1
        frames = [
            {"src": grid.url, "words": text} | ({"paths": path.url} if path else {})
            for (grid, path), text in zip(self.moments, words, strict=True)
        ]
        frames[-1] = {"words": words[-1]}  # its pictures are those of the page as it opens
        path = self.moments[-1][1]
        paths = f"{_img('frame-paths', path, PATHS)}<p>{PATHS}.</p>" if path else ""
        # As "<" nothing in it can end the element.
        told = json.dumps(frames, ensure_ascii=False, separators=(",", ":")).replace("<", "\\u003c")
        return (
            '<figure class="film">'
            f"{_img('frame', last, f'Samples, {words[-1]}')}"
            '<div class="controls"><button type="button" id="play" aria-label="Play">▶</button>'
            f'<input type="range" id="epoch" min="0" max="{count}" value="{count}" step="1" aria-label="Epoch" '
            f'aria-valuetext="{escape(words[-1])}"></div>'
            f'<div class="strip"></div><figcaption><output id="frame-words" for="epoch">{escape(words[-1])}</output>'
            f'</figcaption>{paths}<script type="application/json" id="frames">{told}</script></figure>\n'
        )

    def _words(self, frame: Picture) -> str:
        """ "epoch 22 of 45: validation loss 131.1"."""
        epoch = _epoch(frame.path)
        row = next((row for row in self.record.rows if row["epoch"] == epoch), {})
        words = f"epoch {epoch} of {self.record.run.config.train.epochs}" if epoch else "before training"
        figures = [f"{key.replace('_', ' ')} {value:.4g}" for key, value in _telling(row).items()]
        return f"{words}: {', '.join(figures)}" if figures else words

    def explored(self) -> str:
        """A part with what kgen-explore drew."""
        return html.section("A look inside", self._folder("explore"), "explore")

    def others(self) -> str:
        """A part with the other pictures, folded."""
        named = {"Pictures of eval/": self._folder("eval"), "Pictures of plots/": self._folder("plots")}
        folded = "".join(html.fold(title, pictures) for title, pictures in named.items() if pictures)
        return html.section("More pictures", folded, "pictures")

    def _folder(self, name: str) -> str:
        figures = "".join(html.picture(picture, picture.path.stem) for picture in self.groups[name])
        return f'<div class="pictures">\n{figures}</div>\n' if figures else ""


def _one(budget: Budget, path: Path) -> Picture | None:
    return budget.take(path) if path.is_file() else None


def _all(budget: Budget, folder: Path) -> list[Picture]:
    paths = sorted(path for path in folder.glob("*") if path.suffix.lower() in TYPES and not path.name.startswith("."))
    return [picture for path in paths if (picture := budget.take(path))]


def _by_epoch(folder: Path, name: str) -> dict[int, Path]:
    """The pictures NAME-0003.png of a folder by their epochs."""
    paths = folder.glob(f"{name}-*.png")
    return {epoch: path for path in paths if (epoch := _epoch(path)) is not None}


def _epoch(path: Path) -> int | None:
    number = path.stem.rpartition("-")[2]
    return int(number) if number.isdecimal() else None


def _img(name: str, picture: Picture, words: str) -> str:
    times = max(1, round(GRID_WIDTH / picture.width))
    return (
        f'<img class="pixels" id="{name}" src="{picture.url}" width="{picture.width * times}" '
        f'height="{picture.height * times}" alt="{escape(words)}">'
    )


def _telling(row: dict[str, Any]) -> dict[str, float]:
    """The few figures of an epoch that say how good its samples are, or how far the training is."""
    told = [f"{split}_{figure}" for figure in better() for split in ("validation", "train") if better()[figure]]
    keys = ["validation_loss" if "validation_loss" in row else "train_loss", "vitals_diversity", *told]
    found = {key: row[key] for key in keys if finite(row.get(key)) is not None}
    return dict(list(found.items())[:2])


def _rows_are_classes(record: Record, grid: Picture | None) -> bool:
    """Whether the model takes labels, as the form of its grids tells: training lays out those as a row a class."""
    spec = record.run.spec
    unlabelled = UNLABELLED_COLUMNS * (spec.image_shape[1] + PADDING) + PADDING
    return bool(grid and spec.num_classes and grid.width != unlabelled)
