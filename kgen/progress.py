"""What a command is doing now: results on standard output, and the steps that take time on standard error.

In a terminal messages are broken at words and appear above a bar; in a pipe a long job writes a line now and then.
"""

import contextlib
import os
import re
import sys
import textwrap
import time
from collections.abc import Iterator, Sequence

COMMAND = re.compile(r"(.+:) (kgen-\w+ [^;,]+)")
"""A line that ends with a command."""
LINE_SECONDS = 30.0
"""Time without a message after which a long job writes a line, where there is no terminal to draw a bar in."""

_last = 0.0
"""When the last message was written, by the monotonic clock."""
_silent = False
_drawn = 0
"""Number of bars in the terminal."""


@contextlib.contextmanager
def silenced() -> Iterator[None]:
    """Messages of what is done meanwhile are not printed; its bars are."""
    global _silent
    before, _silent = _silent, True
    try:
        yield
    finally:
        _silent = before


def announce(step: str):
    """Prints a line about something that takes seconds, before it begins: "starting TensorFlow …"."""
    if not _silent:
        _print(f"{step} …", sys.stderr)


def show(message: str):
    """Prints a message on standard output, in a terminal in lines that fit it."""
    if not _silent:
        _print(message, sys.stdout)


def show_last(message: str):
    """Prints the message that a command ends with on standard error, in place of what a terminal shows of Ctrl-C."""
    if sys.stderr.isatty():
        print("\r\033[K", end="", file=sys.stderr)
    print(fitted(message, sys.stderr), file=sys.stderr, flush=True)


def width(otherwise: int) -> int:
    """Columns of the terminal that standard output goes to; `otherwise` where it is none."""
    return _columns(sys.stdout) if sys.stdout.isatty() else otherwise


def bar_width() -> int:
    """Columns of a bar on standard error: those of the terminal without the two that a typed ^C takes."""
    return max(20, _columns(sys.stderr) - 3)


def fitted(message: str, stream) -> str:
    """The message with its lines folded where `stream` is a terminal that they do not fit."""
    if not stream.isatty():
        return message
    return "\n".join(folded(line, _columns(stream)) for line in message.split("\n"))


def folded(line: str, columns: int) -> str:
    """A line broken at words into lines of so many columns.

    A command that ends it is not broken, but by the terminal: so it can be copied.
    """
    if len(line) <= columns:
        return line
    if found := COMMAND.fullmatch(line):
        return f"{folded(found[1], columns)}\n  {found[2]}"
    indent = line[: len(line) - len(line.lstrip())] + "  "
    return textwrap.fill(line, columns, subsequent_indent=indent, break_long_words=False, break_on_hyphens=False)


def _columns(terminal) -> int:
    """Columns of a terminal: $COLUMNS, else what it says itself, else 80."""
    with contextlib.suppress(KeyError, ValueError):
        if (columns := int(os.environ["COLUMNS"])) > 0:
            return columns
    with contextlib.suppress(OSError, ValueError):
        if (columns := os.get_terminal_size(terminal.fileno()).columns) > 0:
            return columns
    return 80


def _print(message: str, stream):
    global _last
    _last = time.monotonic()
    text = fitted(message, stream)
    if not stream.isatty():
        return print(text, file=stream, flush=True)
    if "tqdm" in sys.modules:
        with sys.modules["tqdm"].tqdm.external_write_mode(file=stream):  # above the bars
            over = "\r\033[K" if _drawn else ""  # what was typed behind one, as ^C
            print(f"{over}{text}\n", end="", file=stream)  # as a whole: nothing typed comes before its end
    else:
        print(text, file=stream)
    stream.flush()


class Bar:
    """The progress of a job of many steps, on standard error: `with Bar(1000, "training") as bar: bar.advance(10)`.

    In a terminal it is a bar, which vanishes at the end; elsewhere a line where nothing else was written for
    LINE_SECONDS.

    Args:
        total: steps.
        name: of the job.
        done: steps that were taken before.
        shown: False shows nothing.
        delay: seconds before a bar is drawn.

    Attributes:
        name: may change.
        drawn: whether there is a bar, so that notes are seen.
    """

    def __init__(self, total: int, name: str, *, done: int = 0, shown: bool = True, delay: float = 0.0):
        global _last, _drawn
        self.total, self.name, self.first, self.done, self.shown = total, name, done, done, shown
        self.started = _last = time.monotonic()
        self.drawn = shown and sys.stderr.isatty()
        if self.drawn:
            from tqdm import tqdm

            _drawn += 1
            self._bar = tqdm(
                desc=name, total=total, initial=done, unit="step", mininterval=0.2, dynamic_ncols=True, leave=False,
                file=sys.stderr,
                bar_format="{desc} {percentage:3.0f}% |{bar:8}| {elapsed}, {remaining} left{postfix}", delay=delay,
            )  # fmt: skip
            self._bar.dynamic_ncols = lambda _: (bar_width(), None)

    def advance(self, steps: int, notes: Sequence[str] = ()):
        """Counts steps; of the notes, e.g. the losses, stand behind a bar as many as fit."""
        self.done += steps
        if self.drawn:
            self._bar.set_description_str(self.name, refresh=False)
            if notes:
                self._bar.set_postfix_str(self._fitting(notes), refresh=False)
            self._bar.update(steps)
        elif self.shown and time.monotonic() - _last > LINE_SECONDS:
            _print(self._line(), sys.stderr)

    def _fitting(self, notes: Sequence[str]) -> str:
        elapsed, left = self._seconds()
        times = sum(7 if seconds >= 3600 else 5 for seconds in (elapsed, left))
        room = bar_width() - len(f"{self.name} 100% |{8 * ' '}| , left") - times
        while notes and len(", ".join(["", *notes])) > room:
            notes = notes[:-1]
        return ", ".join(notes)

    def _seconds(self) -> tuple[float, float]:
        """Elapsed, and about left."""
        elapsed = time.monotonic() - self.started
        return elapsed, (self.total - self.done) * elapsed / max(1, self.done - self.first)

    def _line(self) -> str:
        seconds, left = self._seconds()
        return (
            f"{self.name}: step {self.done:,} of {self.total:,} ({self.done / self.total:.0%}), "
            f"{clock(seconds)} elapsed, about {clock(left)} left"
        )

    def close(self):
        """Removes the bar."""
        global _drawn
        if self.drawn:
            _drawn -= 1
            self._bar.close()
            print("\r\033[K", end="", file=sys.stderr, flush=True)  # and what a user typed into it, as ^C
        self.shown = self.drawn = False

    def __enter__(self) -> "Bar":
        return self

    def __exit__(self, *error):
        self.close()


def clock(seconds: float) -> str:
    """Seconds as m:ss or h:mm:ss."""
    minutes, seconds = divmod(round(seconds), 60)
    return f"{minutes // 60}:{minutes % 60:02d}:{seconds:02d}" if minutes >= 60 else f"{minutes}:{seconds:02d}"
