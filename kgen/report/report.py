"""The rows of metrics.jsonl as panels of curves: terms, health metrics, quality of samples."""

import base64
import dataclasses
import hashlib
import json
import time
from collections.abc import Iterable, Mapping, Sequence
from html import escape
from importlib import resources
from pathlib import Path
from typing import Any

from kgen.errors import UserError
from kgen.evaluate.registry import METRICS, directions
from kgen.evaluate.results import generator_of, read_results
from kgen.evaluate.tables import (
    format_interval,
    format_value,
    protocol_lines,
    protocol_words,
    with_settings,
)
from kgen.io import write_text
from kgen.report import html
from kgen.report.commands import DONE, FAILED, UNFINISHED, next_commands, train_again
from kgen.report.html import PAGE_BYTES, STILLS_BYTES, TEXT_BYTES, TYPES, Budget, EmbeddedImage, film
from kgen.report.run_files import (
    RunFiles,
    doctors_words,
    finite,
    parameters,
    read,
    said,
    seconds,
    started,
)
from kgen.run import Run
from kgen.tables import format_number
from kgen.web import curves
from kgen.web.curves import Line, Panel

SPLITS = ("train", "validation", "test")
QUALITY, VITALS = 4, 3
"""Colours of lines that are of no split; a split's is its place in SPLITS."""

PANEL_NOTES = {
    "loss": "What training lowers, a mean over images.",
    "reconstruction": "What is lost when an image is coded and decoded.",
    "kl": "Nats that the code of an image carries.",
    "discriminator_real": "What it says of real images.",
    "discriminator_fake": "What it says of generated images.",
    "discriminator_distance": "A critic's estimate of how far samples are from real images.",
    "discriminator_gradient": "Norm of the gradient.",
    "generator_gradient": "Norm of the gradient.",
    "diversity": "Distance of two samples beside that of two real images; 1 is as diverse.",
    "saturated": "Share of black or white pixels beyond that of real images.",
    "generator_alive": "Share of units that differ between images, weakest layer.",
    "discriminator_alive": "Share of units that differ between images, weakest layer.",
    "label_effect": "How far another label moves per image, beside another z.",
}


def panels_of(rows: Sequence[dict[str, Any]], metrics: Sequence[str] = ()) -> list[tuple[str, list[Panel]]]:
    """Headings with their panels, those with panels only.

    Args:
        rows: of metrics.jsonl; keys are "SPLIT_TERM", "SPLIT_FIGURE" or "health_NAME", and not every row has each.
        metrics: what of samples was measured while it trained; without a validation split that was beside training
            images.
    """
    keys = list(dict.fromkeys(key for row in rows for key in row))
    terms = [key.partition("_")[2] for key in keys if key.startswith("train_")]
    terms = [term for term in terms if term not in better(metrics)]
    health = [key for key in keys if key.startswith("health_")]
    known = {f"{split}_{term}" for split in SPLITS for term in terms}
    quality = [key for key in keys if key.partition("_")[0] in SPLITS and key not in known]
    found = [
        ("Quality of samples", [_quality(rows, key) for key in quality]),
        ("Terms", [_term(rows, term) for term in terms]),
        ("Health metrics", [_health(rows, key) for key in health]),
    ]
    return [(heading, panels) for heading, panels in found if panels]


def better(metrics: Iterable[str] = METRICS) -> dict[str, str]:
    """Value of samples -> "lower", "higher" or "", of those metrics (NAME or NAME@EXTRACTOR) that are known."""
    return directions(name for name in metrics if name.partition("@")[0] in METRICS)


def points_of(rows: Sequence[dict[str, Any]], key: str) -> list[tuple[float, float]]:
    """(epoch, value) of the rows that have it; None, which a figure that cannot be told is, is left out."""
    points = [(row["epoch"], row[key]) for row in rows if key in row]
    return [(int(x), float(y)) for x, y in points if isinstance(y, (int, float)) and not isinstance(y, bool)]


def _term(rows, term: str) -> Panel:
    lines = [Line(split, points_of(rows, f"{split}_{term}"), number) for number, split in enumerate(SPLITS)]
    return Panel(_words(term), lines, PANEL_NOTES.get(term, ""))


def _health(rows, key: str) -> Panel:
    name = key.partition("_")[2]
    return Panel(_words(name), [Line(_words(name), points_of(rows, key), VITALS)], PANEL_NOTES.get(name, ""))


def _quality(rows, key: str) -> Panel:
    split, _, figure = key.partition("_")
    points, way = points_of(rows, key), better().get(figure.partition("@")[0], "")
    choose = {"lower": min, "higher": max}.get(way)
    known = [point for point in points if point[1] == point[1]]
    best = choose(known, key=lambda point: point[1]) if choose and known else None
    note = f"Beside {split} images" + (f"; {way} is better." if way else ".")
    return Panel(_words(figure), [Line(_words(figure), points, QUALITY, best)], note)


def _words(term: str) -> str:
    return term.replace("_", " ")


# About ----------------------------------------------------------------------------------------------------------------
# The parts of the page in words: how it ended, the doctor, the configuration, the data, what to type next.


STATES = {DONE: "done", FAILED: "failed", UNFINISHED: "no end recorded"}
HASH_LETTERS = 12
LOG_LETTERS = 200_000
NOTES = ("data ", "note: ", "recipe ")
"""How lines of the log begin that a reader of the figures has to know."""


def head_section(record: RunFiles) -> str:
    """The name, how it ended, and the few numbers that one looks for first."""
    run = record.run
    recipe = f" · recipe {run.config.recipe}" if run.config.recipe else ""
    facts = {
        "trained": _epochs(record),
        "time": _duration(seconds(record)),
        "best checkpoint": _checkpoint(record, "best"),
        "parameters": parameters(record),
        "seed": str(run.config.seed),
        "started": started(record),
    }
    tiles = "".join(
        f"<div><dt>{escape(name)}</dt><dd>{escape(value)}</dd></div>\n" for name, value in facts.items() if value
    )
    return (
        f'<header>\n<p class="kicker">{escape(run.config.model)} on {escape(run.spec.name)}{escape(recipe)}</p>\n'
        f'<h1>{escape(run.path.resolve().name)} <span class="state {record.state}">{STATES[record.state]}</span></h1>\n'
        f'<dl class="tiles">\n{tiles}</dl>\n</header>\n'
    )


def verdict_section(record: RunFiles) -> str:
    """How it ended where it did not end well or ended early, and what the doctor said."""
    parts = ""
    if record.state == FAILED:
        parts += _note("wrong", "The training failed", [record.reason or "FAILED gives no reason."])
    elif record.state == DONE and record.reason:
        parts += _note("quiet", "It ended before its last epoch", [_sentence(record.reason)])
    elif record.state == UNFINISHED:
        sentence = "It is still training, or its process was killed; what follows is what there is so far."
        parts += _note("quiet", "Neither DONE nor FAILED is there", [sentence])
    if record.problems:
        parts += _note("quiet", "Not everything could be read", record.problems)
    found, last = doctors_words(record)
    if found:
        ended_well = "nothing was found wrong" in last
        items = "".join(
            f"<li><b>{escape(name)}</b> ({escape(when)}): {escape(words)}</li>\n" for when, name, words in found
        )
        body = f"<ul>\n{items}</ul>\n" + (f"<p>{escape(_sentence(last))}</p>\n" if last else "")
        parts += f'<aside class="note {"well" if ended_well else "wrong"}"><h2>The doctor</h2>\n{body}</aside>\n'
    elif last:
        parts += _note("well" if record.state == DONE else "quiet", "The doctor", [_sentence(last)])
    else:
        watched = any(key.startswith("health_") for row in record.rows for key in row)
        words = (
            "The doctor has found nothing wrong so far."
            if watched
            else "No doctor watched: it is for adversarial models, whose losses do not tell how they fare."
        )
        parts += f'<p class="quiet">{escape(words)}</p>\n'
    return parts


def _note(kind: str, title: str, sentences: list[str]) -> str:
    body = "".join(f"<p>{escape(sentence)}</p>\n" for sentence in sentences)
    return f'<aside class="note {kind}"><h2>{escape(title)}</h2>\n{body}</aside>\n'


def _sentence(words: str) -> str:
    return words[:1].upper() + words[1:] + ("" if words.endswith(".") else ".")


def commands_section(record: RunFiles, label: str | None) -> str:
    """Command lines with a button that copies them."""
    rows = "".join(
        f'<li><span>{escape(words)}</span><code>{escape(line)}</code><button type="button" class="copy" '
        f'aria-label="Copy: {escape(words)}">Copy</button></li>\n'
        for words, line in next_commands(
            record.run,
            state=record.state,
            reason=record.reason,
            label=label,
            path=record.run.path.resolve(),
        )
    )
    again = html.fold(
        "Train the same again, every setting named", f"<pre>{escape(train_again(record.run.config))}</pre>"
    )
    return f'<ul class="commands">\n{rows}</ul>\n{again}'


def configuration_section(record: RunFiles) -> str:
    """Every setting, in groups."""
    config = record.run.config
    whole = {"model": config.model, "seed": config.seed, "recipe": config.recipe}
    groups = {
        "Model": whole | dict(config.model_args),
        "Training": dataclasses.asdict(config.train),
        "Data settings": dataclasses.asdict(config.data),
        "Versions": record.run.versions,
        **{f"Machine {i}" if i > 1 else "Machine": found for i, found in enumerate(record.run.environments, start=1)},
    }
    parts = "".join(
        f"<div><h3>{escape(title)}</h3>\n{html.pairs(values)}</div>\n" for title, values in groups.items() if values
    )
    return f'<div class="groups">\n{parts}</div>\n'


def data_section(record: RunFiles) -> str:
    """What it was trained on."""
    spec = record.run.spec
    height, width, channels = spec.image_shape
    facts = {
        "name": spec.name,
        "images": f"{height}×{width}, {'gray' if channels == 1 else 'colour'}",
        "classes": spec.num_classes or "no labels",
        "class names": ", ".join(spec.class_names) or None,
    }
    splits = list(dict.fromkeys([*spec.examples, *record.run.data_hashes]))
    rows = [
        (split, _count(spec.examples.get(split)), record.run.data_hashes.get(split, "-")[:HASH_LETTERS])
        for split in splits
    ]
    table = html.table(("split", "images", "content hash"), rows, "Splits") if rows else ""
    notes = "".join(f"<li>{escape(words)}</li>\n" for words in map(said, record.log) if words.startswith(NOTES))
    told = f"<h3>What the log says</h3>\n<ul>\n{notes}</ul>\n" if notes else ""
    return html.pairs({name: value for name, value in facts.items() if value is not None}) + table + told


def log_section(record: RunFiles) -> str:
    """log.txt, folded; of a long one the end."""
    text = "\n".join(record.log)
    cut = "…\n" if len(text) > LOG_LETTERS else ""
    return (
        html.fold(f"log.txt, {len(record.log)} lines", f"<pre>{cut}{escape(text[-LOG_LETTERS:])}</pre>") if text else ""
    )


def _epochs(record: RunFiles) -> str:
    wanted, reached = record.run.config.train.epochs, record.rows[-1]["epoch"] if record.rows else 0
    steps = record.rows[-1].get("step") if record.rows else None
    words = f"{reached} of {wanted} epochs" if wanted is not None else f"{reached} epochs"
    return words + (f", {steps:,} steps" if isinstance(steps, int) else "")


def _checkpoint(record: RunFiles, which: str) -> str | None:
    """ "epoch 22, step 9,284, validation loss 131.1"."""
    state = record.checkpoints.get(which)
    if not isinstance(state, dict):
        return None
    words = [f"epoch {state.get('epoch', '?')}"]
    words += [f"step {state['step']:,}"] if isinstance(state.get("step"), int) else []
    key = f"validation_{record.run.config.train.best_by}"
    if (value := finite(state.get(key))) is not None:
        words.append(f"{key.replace('_', ' ')} {value:.4g}")
    return ", ".join(words)


def _count(value: int | None) -> str:
    return "-" if value is None else f"{value:,}"


def _duration(value: float | None) -> str | None:
    """ "42 s", "5 min 17 s", "1 h 8 min"."""
    if value is None:
        return None
    minutes, rest = divmod(round(value), 60)
    if not minutes:
        return f"{rest} s"
    hours, minutes_left = divmod(minutes, 60)
    return f"{hours} h {minutes_left} min" if hours else f"{minutes} min {rest} s"


# Samples --------------------------------------------------------------------------------------------------------------
# The part of the page with sample grids: over time with a slider, at the end, and all other pictures of the run.


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

    def __init__(self, record: RunFiles):
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

    def _words(self, frame: EmbeddedImage) -> str:
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


def _one(budget: Budget, path: Path) -> EmbeddedImage | None:
    return budget.take(path) if path.is_file() else None


def _all(budget: Budget, folder: Path) -> list[EmbeddedImage]:
    paths = sorted(path for path in folder.glob("*") if path.suffix.lower() in TYPES and not path.name.startswith("."))
    return [picture for path in paths if (picture := budget.take(path))]


def _by_epoch(folder: Path, name: str) -> dict[int, Path]:
    """The pictures NAME-0003.png of a folder by their epochs."""
    paths = folder.glob(f"{name}-*.png")
    return {epoch: path for path in paths if (epoch := _epoch(path)) is not None}


def _epoch(path: Path) -> int | None:
    number = path.stem.rpartition("-")[2]
    return int(number) if number.isdecimal() else None


def _img(name: str, picture: EmbeddedImage, words: str) -> str:
    times = max(1, round(GRID_WIDTH / picture.width))
    return (
        f'<img class="pixels" id="{name}" src="{picture.url}" width="{picture.width * times}" '
        f'height="{picture.height * times}" alt="{escape(words)}">'
    )


def _telling(row: dict[str, Any]) -> dict[str, float]:
    """The few figures of an epoch that say how good its samples are, or how far the training is."""
    told = [f"{split}_{figure}" for figure in better() for split in ("validation", "train") if better()[figure]]
    keys = ["validation_loss" if "validation_loss" in row else "train_loss", "health_diversity", *told]
    found = {key: row[key] for key in keys if finite(row.get(key)) is not None}
    return dict(list(found.items())[:2])


def _rows_are_classes(record: RunFiles, grid: EmbeddedImage | None) -> bool:
    """Whether the model takes labels, as the form of its grids tells: training lays out those as a row per class."""
    spec = record.run.spec
    unlabelled = UNLABELLED_COLUMNS * (spec.image_shape[1] + PADDING) + PADDING
    return bool(grid and spec.num_classes and grid.width != unlabelled)


# Evaluation -----------------------------------------------------------------------------------------------------------
# The part of the page with what kgen-eval measured.


HEADERS = ("metric", "value", "95 % interval", "baseline", "better", "real / generated", "features", "measured", "note")


def evaluation_section(record: RunFiles) -> str:
    """A table for every generator of the run (checkpoint and prior), its protocols below."""
    if not record.evaluation:
        return '<p class="quiet">Not evaluated yet; kgen-eval, below, measures and adds its figures here.</p>\n'
    groups: dict[tuple, list[Mapping[str, Any]]] = {}
    for row in record.evaluation:
        groups.setdefault(generator_of(row), []).append(row)
    dates = _dates(record)
    return "".join(_generator(key, rows, dates) for key, rows in groups.items())


def _generator(key: tuple, rows: list[Mapping[str, Any]], dates: Mapping[str, str]) -> str:
    _, checkpoint, prior = key
    epoch = (rows[-1].get("target") or {}).get("epoch")
    words = f"Checkpoint {checkpoint or '?'}" + (f" (epoch {epoch})" if epoch is not None else "")
    words += f", z from the {prior.replace('_', ' ')} prior"
    cells = [
        (
            with_settings(row["metric"], row["protocol"]),
            format_value(row),
            format_interval(row),
            format_number(row.get("baseline")),
            row.get("better") or "-",
            f"{format_number(row['protocol'].get('num_real'))} / {format_number(row['protocol'].get('num_fake'))}",
            html.text_of(row["protocol"].get("features") or "-"),
            dates.get(_identity(row), "-"),
            row.get("note") or "",
        )
        for row in rows
    ]
    named = [(with_settings(row["metric"], row["protocol"]), row["protocol"]) for row in rows]
    measures = [(row["metric"], row["protocol"]) for row in rows]
    short = protocol_lines(measures, leave_out=("num_real", "num_fake", "settings", "weights_hash"))
    protocols = "".join(f"<dt>{escape(names)}</dt><dd>{escape(told)}</dd>\n" for names, told in short)
    whole = "".join(f"<dt>{escape(name)}</dt><dd>{escape(protocol_words(each))}</dd>\n" for name, each in named)
    return (
        f"<h3>{escape(words)}</h3>\n{html.table(HEADERS, cells, 'Figures')}"
        f'<h4>How it was measured</h4>\n<dl class="words">\n{protocols}</dl>\n'
        + html.fold("Every figure with its whole protocol", f'<dl class="words">\n{whole}</dl>\n')
        + '<p class="quiet">The baseline is the same metric for real images in place of generated ones. ± is the '
        "standard deviation over repeats.</p>\n"
    )


def _dates(record: RunFiles) -> dict[str, str]:
    """Which day the file of a row was written; rows do not say it themselves."""
    files = sorted((record.run.path / "eval").glob("*.jsonl"), key=lambda file: file.stat().st_mtime_ns)
    found = {}
    for file in files:
        day = time.strftime("%Y-%m-%d", time.localtime(file.stat().st_mtime))
        try:
            found |= {_identity(row): day for row in read_results(file)}
        except UserError:
            continue
    return found


def _identity(row: Mapping[str, Any]) -> str:
    return repr(sorted(row.items(), key=lambda item: item[0]))


# Report ---------------------------------------------------------------------------------------------------------------
# report.html: the page of a run, put together.


NAME = "report.html"


def write_report(run: Run, out: str | Path | None = None) -> Path:
    """Writes the page whole.

    Args:
        run: it need not have ended, and may lack files.
        out: the file; None writes report.html into the run.

    Raises:
        OSError: it cannot be written.
    """
    return write_text(out or run.path / NAME, to_html(run))


def to_html(run: Run) -> str:
    """The page: one document of less than `pictures.PAGE_BYTES` that needs no other file and no network."""
    record = read(run)
    pictures = Pictures(record)
    record.problems += pictures.problems
    label = (run.spec.class_names[-1] if run.spec.class_names else "0") if pictures.rows_are_classes else None
    sections = [
        ("Samples", "samples", pictures.samples()),
        ("Curves", "curves", _curves(record)),
        ("Evaluation", "evaluation", evaluation_section(record)),
        ("What to type next", "next", commands_section(record, label)),
        ("Data", "data", data_section(record)),
        ("Configuration", "configuration", configuration_section(record)),
        ("Log", "log", log_section(record)),
    ]
    links = "".join(f'<a href="#{name}">{escape(title)}</a>\n' for title, name, body in sections if body)
    parts = {name: html.section(title, body, name) for title, name, body in sections}
    parts["samples"] += pictures.explored()
    parts["evaluation"] += pictures.others()
    content = verdict_section(record) + "".join(parts.values())
    body = f"{head_section(record)}<nav>\n{links}</nav>\n<main>\n{content}</main>\n"
    return _document(f"{run.path.resolve().name}: {run.config.model} on {run.spec.name}", body)


def _curves(record) -> str:
    train = record.run.config.train
    groups = panels_of(record.rows, train.metrics if train.eval_every else ())
    if not groups:
        return '<p class="quiet">No epoch was recorded yet.</p>\n'
    body = "".join(f"<h3>{escape(heading)}</h3>\n{curves.figures(panels)}" for heading, panels in groups)
    return f'<p class="quiet">Point at a curve, or reach it with Tab and use the arrow keys.</p>\n{body}'


def _document(title: str, body: str) -> str:
    style, script = (own + _resource(file) for own, file in _ASSETS)
    # Only what is written here runs, and nothing is fetched, whatever a class name or a log line holds.
    policy = (
        f"default-src 'none'; img-src data:; style-src {_hash(style)}; script-src {_hash(script)}; "
        "base-uri 'none'; form-action 'none'"
    )
    return (
        '<!DOCTYPE html>\n<html lang="en">\n<head>\n<meta charset="utf-8">\n'
        f'<meta http-equiv="Content-Security-Policy" content="{policy}">\n'
        '<meta name="viewport" content="width=device-width, initial-scale=1">\n'
        f"<title>{escape(title)}</title>\n<style>{style}</style>\n</head>\n<body>\n{body}"
        f"<script>{script}</script>\n</body>\n</html>\n"
    )


def _resource(name: str) -> str:
    return (resources.files("kgen.web") / name).read_text(encoding="utf-8")


_ASSETS = ((curves.STYLE, "report.css"), (curves.SCRIPT, "report.js"))


def _hash(text: str) -> str:
    return f"'sha256-{base64.b64encode(hashlib.sha256(text.encode()).digest()).decode()}'"
