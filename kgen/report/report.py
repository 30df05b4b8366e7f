"""report.html: one page with the samples, curves, evaluation, next commands and configuration of a run.

The page needs no other file and no network. `to_html` puts it together from the sections below, in their order; each
shows what the run's files hold of it, and says so where they hold nothing.
"""

import dataclasses
import time
from collections.abc import Mapping
from html import escape
from pathlib import Path
from typing import Any
from urllib.parse import quote

from kgen.errors import UserError
from kgen.evaluate.results import generator_of, read_results
from kgen.evaluate.tables import format_interval, format_value, protocol_lines, protocol_words, with_settings
from kgen.io import write_text
from kgen.report.commands import DONE, FAILED, PAGE, UNFINISHED, next_commands, train_again
from kgen.report.panels import panels_of
from kgen.report.pictures import Pictures
from kgen.report.run_files import (
    RunFiles,
    diagnoses,
    finite,
    message_of,
    parameter_count,
    read,
    start_time,
    training_seconds,
)
from kgen.run import Run
from kgen.tables import counted, format_number
from kgen.web import curves, html

NAME = "report.html"
STATES = {DONE: "done", FAILED: "failed", UNFINISHED: "no end recorded"}
HASH_LENGTH = 12
MAX_LOG = 200_000
"""Characters of the log that are shown, from its end."""
DATA_NOTES = ("data ", "note: ", "recipe ")
"""Prefixes of log lines that a reader of the results has to know."""


def write_report(run: Run, out: str | Path | None = None) -> Path:
    """Writes the page, whole or not at all.

    Args:
        run: it need not have ended, and may lack files.
        out: the file; None writes report.html into the run.

    Raises:
        OSError: it cannot be written.
    """
    return write_text(out or run.path / NAME, to_html(run, Path(out).parent if out else None))


def to_html(run: Run, folder: Path | None = None) -> str:
    """The page, of less than `pictures.PAGE_BYTES`.

    Args:
        run: see `write_report`.
        folder: where the page will be; None is the run itself.
    """
    files = read(run)
    pictures = Pictures(files)
    files.problems += pictures.problems
    sections = [
        ("Samples", "samples", pictures.samples() + play_section(files, folder)),
        ("Curves", "curves", curves_section(files)),
        ("Evaluation", "evaluation", evaluation_section(files)),
        ("Next commands", "next", commands_section(files)),
        ("Data", "data", data_section(files)),
        ("Configuration", "configuration", configuration_section(files)),
        ("Log", "log", log_section(files)),
    ]
    links = "".join(f'<a href="#{name}">{escape(title)}</a>\n' for title, name, body in sections if body)
    parts = {name: html.section(title, body, name) for title, name, body in sections}
    parts["samples"] += pictures.explored()
    parts["evaluation"] += pictures.others()
    main = outcome_section(files) + "".join(parts.values())
    return html.document(
        f"{run.path.resolve().name}: {run.config.model} on {run.spec.name}",
        f"{head_section(files)}<nav>\n{links}</nav>\n<main>\n{main}</main>\n",
        style=curves.STYLE + "".join(map(html.asset, ("sheets.css", "report.css", "stacks.css"))),
        script=curves.SCRIPT + html.asset("report.js"),
    )


# Head and outcome -----------------------------------------------------------------------------------------------------


def head_section(files: RunFiles) -> str:
    """The run's name, its state, and the most important facts."""
    run = files.run
    recipe = f" · recipe {run.config.recipe}" if run.config.recipe else ""
    facts = {
        "trained": _epochs(files),
        "time": _duration(training_seconds(files)),
        "best checkpoint": _checkpoint(files, "best"),
        "parameters": parameter_count(files),
        "seed": str(run.config.seed),
        "started": start_time(files),
    }
    tiles = "".join(
        f"<div><dt>{escape(name)}</dt><dd>{escape(value)}</dd></div>\n" for name, value in facts.items() if value
    )
    return (
        f'<header>\n<p class="kicker">{escape(run.config.model)} on {escape(run.spec.name)}{escape(recipe)}</p>\n'
        f"<h1>{escape(run.path.resolve().name)} {_state(files)}</h1>\n"
        f'<dl class="tiles">\n{tiles}</dl>\n</header>\n'
    )


def _state(files: RunFiles) -> str:
    kind, words = ("", "interrupted") if files.interrupted else (files.state, STATES[files.state])
    return f'<span class="state {kind}">{words}</span>'


def _epochs(files: RunFiles) -> str:
    """ "4 of 5 epochs, 9,284 steps"."""
    total, reached = files.run.config.train.epochs, files.rows[-1]["epoch"] if files.rows else 0
    steps = files.rows[-1].get("step") if files.rows else None
    words = f"{reached} of {counted(total, 'epoch')}" if total is not None else counted(reached, "epoch")
    return words + (f", {steps:,} steps" if isinstance(steps, int) else "")


def _checkpoint(files: RunFiles, which: str) -> str | None:
    """ "epoch 22, step 9,284, validation loss 131.1"."""
    state = files.checkpoints.get(which)
    if not isinstance(state, dict):
        return None
    words = [f"epoch {state.get('epoch', '?')}"]
    words += [f"step {state['step']:,}"] if isinstance(state.get("step"), int) else []
    best_by = files.run.config.train.best_by
    for split in ("validation",) if best_by == "loss" else ("validation", "train"):  # see `DataSpec.monitor_split`
        key = f"{split}_{best_by}"
        if (value := finite(state.get(key))) is not None:
            words.append(f"{key.replace('_', ' ')} {value:.4g}")
    return ", ".join(words)


def _duration(seconds: float | None) -> str | None:
    """ "42 s", "5 min 17 s", "1 h 8 min"."""
    if seconds is None:
        return None
    minutes, rest = divmod(round(seconds), 60)
    if not minutes:
        return f"{rest} s"
    hours, minutes_left = divmod(minutes, 60)
    return f"{hours} h {minutes_left} min" if hours else f"{minutes} min {rest} s"


def outcome_section(files: RunFiles) -> str:
    """The error of a failed training, an early end, unreadable files, and the diagnostics."""
    parts = ""
    if files.interrupted:
        body = html.paragraphs([f"It was {files.reason}; it can be resumed, see below."])
        parts += html.note("quiet", "The training was interrupted", body)
    elif files.state == FAILED:
        parts += html.note("wrong", "The training failed", html.paragraphs([files.reason or "No reason is recorded."]))
    elif files.state == DONE and files.reason:
        parts += html.note("quiet", "Ended before the last epoch", html.paragraphs([_sentence(files.reason)]))
    elif files.state == UNFINISHED:
        sentence = "The run is still training, or its process was killed; this page shows the files so far."
        parts += html.note("quiet", "Neither DONE nor FAILED is recorded", html.paragraphs([sentence]))
    if files.problems:
        parts += html.note("quiet", "Not everything can be shown", html.paragraphs(files.problems))
    return parts + _diagnostics(files)


def _diagnostics(files: RunFiles) -> str:
    problems, summary = diagnoses(files)
    if problems:
        items = "".join(
            f"<li><b>{escape(name)}</b> ({escape(epoch)}): {html.words(advice)}</li>\n"
            for epoch, name, advice in problems
        )
        healthy = summary.startswith("no problem")
        body = f"<ul>\n{items}</ul>\n" + (html.paragraphs([_sentence(summary)]) if summary else "")
        return html.note("well" if healthy else "wrong", "Diagnostics", body)
    if summary:
        kind = "well" if files.state == DONE else "quiet"
        return html.note(kind, "Diagnostics", html.paragraphs([_sentence(summary)]))
    if any(key.startswith("health_") for row in files.rows for key in row):
        return html.quiet("Diagnostics: no problem was found so far.")
    return html.quiet("No diagnostics: they are for adversarial models, whose losses do not show sample quality.")


def _sentence(words: str) -> str:
    return words[:1].upper() + words[1:] + ("" if words.endswith(".") else ".")


# Curves and evaluation ------------------------------------------------------------------------------------------------


def curves_section(files: RunFiles) -> str:
    """Panels of curves over the epochs."""
    train = files.run.config.train
    model_args = files.run.config.model_args
    groups = panels_of(files.rows, train.metrics if train.eval_every else (), model_args)
    if not groups:
        return html.quiet("No epoch was recorded yet.")
    body = "".join(f"<h3>{escape(heading)}</h3>\n{curves.figures(panels)}" for heading, panels in groups)
    return html.quiet("Point at a curve, or reach it with Tab and use the arrow keys.") + body


HEADERS = ("metric", "value", "95 % interval", "baseline", "better", "real / generated", "note")


def evaluation_section(files: RunFiles) -> str:
    """A table of results per generator of the run (checkpoint and prior), with their protocols."""
    if not files.results:
        return html.quiet("Not evaluated yet; kgen-eval, below, measures and adds its results here.")
    groups: dict[tuple, list[Mapping[str, Any]]] = {}
    for result in files.results:
        groups.setdefault(generator_of(result), []).append(result)
    dates = _dates(files)
    return "".join(_generator_results(generator, results, dates) for generator, results in groups.items())


def _generator_results(generator: tuple, results: list[Mapping[str, Any]], dates: Mapping[str, str]) -> str:
    _, checkpoint, prior = generator
    epoch = (results[-1].get("target") or {}).get("epoch")
    title = f"Checkpoint {checkpoint or '?'}" + (f" (epoch {epoch})" if epoch is not None else "")
    title += f", z from the {prior.replace('_', ' ')} prior"
    features = [html.text_of(result["protocol"].get("features") or "none") for result in results]
    several = len({*features} - {"none"}) > 1
    rows = [
        (
            with_settings(result["metric"] + (f"@{extractor}" if several else ""), result["protocol"]),
            format_value(result),
            format_interval(result),
            format_number(result.get("baseline")),
            result.get("better") or "-",
            " / ".join(format_number(result["protocol"].get(key)) for key in ("num_real", "num_fake")),
            result.get("note") or "",
        )
        for result, extractor in zip(results, features, strict=True)
    ]
    days = sorted({dates[identity] for result in results if (identity := _identity(result)) in dates})
    measured = f"Measured {' to '.join(dict.fromkeys(days[:1] + days[-1:]))}. " if days else ""
    metrics = [(result["metric"], result["protocol"]) for result in results]
    short = protocol_lines(metrics, leave_out=("num_real", "num_fake", "settings", "weights_hash"))
    whole = [(with_settings(metric, protocol), protocol_words(protocol)) for metric, protocol in metrics]
    return (
        f"<h3>{escape(title)}</h3>\n{html.table(HEADERS, rows, 'Results', stacks=True)}"
        f"<h4>Protocols</h4>\n{html.definitions(short)}"
        + html.fold("Each metric with its complete protocol", html.definitions(whole))
        + html.quiet(
            f"{measured}The baseline is the same metric with real images in place of generated ones. ± is the standard "
            "deviation over repeats."
        )
    )


def _dates(files: RunFiles) -> dict[str, str]:
    """Identity of a result -> the day on which its file was written."""
    paths = sorted((files.run.path / "eval").glob("*.jsonl"), key=lambda path: path.stat().st_mtime_ns)
    found = {}
    for path in paths:
        day = time.strftime("%Y-%m-%d", time.localtime(path.stat().st_mtime))
        try:
            found |= {_identity(result): day for result in read_results(path)}
        except UserError:
            continue
    return found


def _identity(result: Mapping[str, Any]) -> str:
    return repr(sorted(result.items(), key=lambda item: item[0]))


# Commands, data, configuration, log -----------------------------------------------------------------------------------


def play_section(files: RunFiles, folder: Path | None) -> str:
    """A link to the page of kgen-explore, on which one moves through the latent space; without one its command."""
    run = files.run
    pages = sorted((run.path / "explore").glob("*.html"))
    if pages:
        links = ", ".join(
            f'<a href="{escape(f"explore/{quote(page.name)}" if folder is None else page.resolve().as_uri())}">'
            f"explore/{escape(page.name)}</a>"
            for page in pages
        )
        return f"<p>Play with the decoder in the browser: {links}</p>\n"
    return _commands([one for one in _next(files) if one[0] == PAGE])


def commands_section(files: RunFiles) -> str:
    """Command lines with a button that copies them."""
    again = train_again(files.run.config)
    again = html.fold("Train again, with every setting written out", f"<pre>{html.words(again)}</pre>")
    return _commands(_next(files)) + again


def _next(files: RunFiles) -> list[tuple[str, str]]:
    path = None if files.run.mirror else files.run.path.resolve()
    return next_commands(files.run, state=files.state, reason=files.reason, path=path)


def _commands(lines: list[tuple[str, str]]) -> str:
    rows = "".join(
        f'<li><span>{escape(purpose)}</span><code>{html.words(line)}</code><button type="button" class="copy" '
        f'aria-label="Copy: {escape(purpose)}">Copy</button></li>\n'
        for purpose, line in lines
    )
    return f'<ul class="commands">\n{rows}</ul>\n' if rows else ""


def data_section(files: RunFiles) -> str:
    """What the run was trained on."""
    run, spec = files.run, files.run.spec
    height, width, channels = spec.image_shape
    facts = {
        "name": spec.name,
        "images": f"{height}×{width}, {'gray' if channels == 1 else 'color'}",
        "classes": spec.num_classes or "no labels",
        "class names": ", ".join(spec.class_names) or None,
    }
    splits = list(dict.fromkeys([*spec.examples, *run.data_hashes]))
    rows = [
        (
            split,
            f"{spec.examples[split]:,}" if spec.examples.get(split) is not None else "-",
            run.data_hashes.get(split, "-")[:HASH_LENGTH],
        )
        for split in splits
    ]
    table = html.table(("split", "images", "content hash"), rows, "Splits") if rows else ""
    notes = [message for message in map(message_of, files.log) if message.startswith(DATA_NOTES)]
    logged = f"<h3>From the log</h3>\n{html.items(notes)}" if notes else ""
    return html.pairs({name: value for name, value in facts.items() if value is not None}) + table + logged


def configuration_section(files: RunFiles) -> str:
    """Every setting, in groups."""
    run, config = files.run, files.run.config
    machines = enumerate(run.environments, start=1)
    groups = {
        "Model": {"model": config.model, "seed": config.seed, "recipe": config.recipe, **config.model_args},
        "Training": dataclasses.asdict(config.train),
        "Data settings": dataclasses.asdict(config.data),
        "Versions": run.versions,
        **{f"Machine {i}" if i > 1 else "Machine": environment for i, environment in machines},
    }
    parts = "".join(
        f"<div><h3>{escape(title)}</h3>\n{html.pairs(values)}</div>\n" for title, values in groups.items() if values
    )
    return f'<div class="groups">\n{parts}</div>\n'


def log_section(files: RunFiles) -> str:
    """log.txt, folded; of a long one the end."""
    text = "\n".join(files.log)
    cut = "…\n" if len(text) > MAX_LOG else ""
    log = f"<pre>{cut}{escape(text[-MAX_LOG:])}</pre>"
    return html.fold(f"log.txt, {counted(len(files.log), 'line')}", log) if text else ""
