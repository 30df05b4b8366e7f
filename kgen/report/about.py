"""The parts of the page in words: how it ended, the doctor, the configuration, the data, what to type next."""

import dataclasses
from html import escape

from kgen.report import html
from kgen.report.commands import next_commands, train_again
from kgen.report.record import DONE, FAILED, OPEN, Record, doctors_words, finite, parameters, said, seconds, started

STATES = {DONE: "done", FAILED: "failed", OPEN: "no end recorded"}
HASH_LETTERS = 12
LOG_LETTERS = 200_000
NOTES = ("data ", "note: ", "recipe ")
"""How lines of the log begin that a reader of the figures has to know."""


def head(record: Record) -> str:
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


def verdict(record: Record) -> str:
    """How it ended where it did not end well or ended early, and what the doctor said."""
    parts = ""
    if record.state == FAILED:
        parts += _note("wrong", "The training failed", [record.reason or "FAILED gives no reason."])
    elif record.state == DONE and record.reason:
        parts += _note("quiet", "It ended before its last epoch", [_sentence(record.reason)])
    elif record.state == OPEN:
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
        watched = any(key.startswith("vitals_") for row in record.rows for key in row)
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


def commands(record: Record, label: str | None) -> str:
    """Command lines with a button that copies them."""
    rows = "".join(
        f'<li><span>{escape(words)}</span><code>{escape(line)}</code><button type="button" class="copy" '
        f'aria-label="Copy: {escape(words)}">Copy</button></li>\n'
        for words, line in next_commands(record, label)
    )
    again = html.fold(
        "Train the same again, every setting named", f"<pre>{escape(train_again(record.run.config))}</pre>"
    )
    return f'<ul class="commands">\n{rows}</ul>\n{again}'


def configuration(record: Record) -> str:
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


def data(record: Record) -> str:
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


def log(record: Record) -> str:
    """log.txt, folded; of a long one the end."""
    text = "\n".join(record.log)
    cut = "…\n" if len(text) > LOG_LETTERS else ""
    return (
        html.fold(f"log.txt, {len(record.log)} lines", f"<pre>{cut}{escape(text[-LOG_LETTERS:])}</pre>") if text else ""
    )


def _epochs(record: Record) -> str:
    wanted, reached = record.run.config.train.epochs, record.rows[-1]["epoch"] if record.rows else 0
    steps = record.rows[-1].get("step") if record.rows else None
    words = f"{reached} of {wanted} epochs" if wanted is not None else f"{reached} epochs"
    return words + (f", {steps:,} steps" if isinstance(steps, int) else "")


def _checkpoint(record: Record, which: str) -> str | None:
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
