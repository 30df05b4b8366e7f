"""What all commands share: flags in named groups, `--help` that ends with examples, and how errors end.

Exit codes: 0 success; 1 failure (a loss that is not finite, an export that differs from the model); 2 a mistake that
the user can correct; 130 interrupted; 141 the reader of the output has closed it.
"""

import difflib
import os
import re
import sys
import textwrap
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from absl import flags, logging

from kgen import gpu, imports, progress
from kgen.errors import ExportFailed, TrainingFailed, UserError, lacks_files, lacks_memory, said
from kgen.options import Option, coerce, options_of
from kgen.registry import nearest

WIDTH = 100
"""Most columns of the help, and those that it has in a pipe."""
INSTALL = "install kgen with all that it needs: pip install kgen (in its folder: pip install .)"
"""What to do where a package is missing: sampling from .tflite files needs few of them."""

UNBROKEN = "\N{NO-BREAK SPACE}"

Names = Callable[[], Mapping[str, str]]
"""Gives the possible values of a flag, with what each is."""


@dataclass(frozen=True)
class FlagHelp:
    """What `--help` says of a flag: its metavar, sentences, its default in words, and its possible values."""

    metavar: str
    text: str
    default: str = ""
    names: Names | None = None

    def lines(self, width: int) -> list[str]:
        """The lines below the flag's name."""
        default = f" (default: {self.default})" if self.default else ""
        if len(default) <= width // 2:
            default = default[:1] + default[1:].replace(" ", UNBROKEN)
        return _wrapped(self.text + default, width, 6) + listed(self.names() if self.names else {}, width, 8)


def listed(texts: Mapping[str, str], width: int, indent: int) -> list[str]:
    """Lines of names with their texts: beside them, or below where names take more than half of the width."""
    column = max(map(len, texts), default=0) + 2
    if indent + column > width / 2:
        return [
            line
            for name, text in texts.items()
            for line in (" " * indent + name, *_wrapped(text, width, indent + 4, indent + 4))
        ]
    return [
        line
        for name, text in texts.items()
        for line in _wrapped(f"{name:{column}}{text}", width, indent, indent + column)
    ]


def _wrapped(text: str, width: int, indent: int = 0, further: int | None = None) -> list[str]:
    """The text in lines of so many columns, the first and the further ones indented."""
    return [
        line.replace(UNBROKEN, " ")
        for line in textwrap.wrap(
            text,
            width,
            initial_indent=" " * indent,
            subsequent_indent=" " * (indent if further is None else further),
            break_long_words=False,
            break_on_hyphens=False,
        )
    ]


class _WholeNumber(flags.IntegerParser):
    """Integers; "+10" is refused, which could mean ten more."""

    def convert(self, argument: Any) -> int:
        if isinstance(argument, str) and argument.lstrip().startswith("+"):
            raise ValueError("it has a sign")
        return super().convert(argument)


SECTIONS = ("model_args", "train", "data")
"""Of the settings that `--set` takes as SECTION.NAME=VALUE."""
NUMBERS = {"integer": _WholeNumber, "float": flags.FloatParser}


class Command:
    """One command line.

    Args:
        name: e.g. "kgen-train".
        summary: one sentence.
        examples: (command line, what it does).
        positional: names of the arguments without a flag, e.g. ("RUN",); a last one that ends with "..." stands for
            one or more, and one in brackets may be left out.
    """

    def __init__(self, name: str, summary: str, examples: Sequence[tuple[str, str]], positional: Sequence[str] = ()):
        self.name, self.summary, self.examples, self.positional = name, summary, examples, positional
        self.values = flags.FlagValues()
        self.groups: dict[str, list[str]] = {}
        self.texts: dict[str, FlagHelp] = {}
        self.kinds: dict[str, str] = {"help": "boolean"}
        self._configured: dict[type, list[Option]] = {}
        flags.DEFINE_boolean("help", False, "Show this text.", flag_values=self.values, short_name="h")

    def flag(
        self,
        group: str,
        kind: str,
        name: str,
        default: Any,
        text: str,
        *,
        auto: str = "",
        metavar: str | None = None,
        names: Names | None = None,
        **kwargs: Any,
    ):
        """Defines a flag that belongs to this command alone; `options` defines those of a configuration.

        Args:
            group: heading in `--help`.
            kind: of absl: string, integer, float, boolean, enum, list, multi_string.
            name: without the dashes.
            default: value when the flag is not given.
            text: sentences for `--help`.
            auto: the default in words, where it is chosen later.
            metavar: what stands after the name in `--help`; None goes by the kind.
            names: the possible values, listed in `--help` below the text.
            **kwargs: of absl's DEFINE_*, e.g. `enum_values`, `lower_bound`.
        """
        if metavar is None:
            kinds = {"string": "TEXT", "integer": "N", "float": "X", "boolean": "", "list": "A,B,..."}
            metavar = "|".join(kwargs["enum_values"]) if kind == "enum" else kinds.get(kind, "TEXT")
        shown = "" if default is None or default is False or default == [] else str(default)
        self._define(group, kind, name, default, FlagHelp(metavar, text, auto or shown, names), **kwargs)

    def options(
        self,
        config: type,
        group: str,
        *,
        leave_out: Collection[str] = (),
        only: Collection[str] | None = None,
        names: Mapping[str, Names] | None = None,
    ):
        """Defines the flags of a configuration.

        Args:
            config: a dataclass of `kgen.options.option`s.
            group: of the options that name no other.
            leave_out: names of options without a flag here.
            only: names of the options with a flag here; None: all.
            names: name of an option -> its possible values, listed in `--help`.
        """
        for name, option in options_of(config).items():
            if option.flag is None or name in leave_out or (only is not None and name not in only):
                continue
            kind, kwargs = _absl_kind(option)
            default = list(option.default) if isinstance(option.default, tuple) else option.default
            help = FlagHelp(option.placeholder, option.help, option.default_text, (names or {}).get(name))
            self._define(option.group or group, kind, option.flag, default, help, **kwargs)
            self._configured.setdefault(config, []).append(option)

    def _define(self, group: str, kind: str, name: str, default: Any, help: FlagHelp, **kwargs: Any):
        if kind in NUMBERS:
            parser, serializer = NUMBERS[kind](**kwargs), flags.ArgumentSerializer()
            flags.DEFINE(parser, name, default, help.text, self.values, serializer)
        else:
            getattr(flags, f"DEFINE_{kind}")(name, default, help=help.text, flag_values=self.values, **kwargs)
        self.groups.setdefault(group, []).append(name)
        self.kinds[name] = kind
        self.texts[name] = help

    def __getitem__(self, name: str) -> Any:
        return self.values[name].value

    def given(self, name: str) -> bool:
        """Whether the user gave the flag."""
        return bool(self.values[name].present)

    def given_words(self, leave_out: Collection[str] = ()) -> list[str]:
        """The flags that the user gave, without some, as words of a command line."""
        words = []
        for name in self.texts:
            if name not in leave_out and self.given(name):
                value = self[name]
                values = value if self.kinds[name] == "multi_string" else [value]
                words += [word for one in values for word in flag_words(name, one)]
        return words

    def given_settings(self, config: type, prefix: str = "") -> dict[str, Any]:
        """The options of a configuration whose flags the user gave: prefix + name -> value.

        Raises:
            UserError: a value of another form, e.g. a size that is none.
        """
        given = [option for option in self._configured.get(config, ()) if self.given(option.flag)]
        return {f"{prefix}{option.name}": self._parsed(option) for option in given}

    def build(self, config: type, **others: Any) -> Any:
        """A configuration from the flags that the user gave, and `others` that are not flags."""
        kinds = {name: option.type for name, option in options_of(config).items()}
        given = {name: coerce(name, value, kinds[name]) for name, value in self.given_settings(config).items()}
        return config(**given, **others)

    def _parsed(self, option: Option) -> Any:
        value = self[option.flag]
        if option.parse is None:
            return value
        try:
            return option.parse(value)
        except ValueError:
            raise UserError(f"--{option.flag} takes {option.takes}. Received: {value!r}") from None

    def help(self, width: int = WIDTH) -> str:
        """The text of `--help`, in lines of so many columns but for the examples, which are copied whole."""
        usage = " ".join([self.name, *self.positional, "[flags]"])
        lines = [*_wrapped(f"{self.name}: {self.summary}", width, further=2), "", f"Usage: {usage}"]
        for group, names in self.groups.items():
            lines += ["", f"{group}:"]
            for name in names:
                flag = f"--{name} {self.texts[name].metavar}"
                lines += [*_wrapped(flag, width, 2, 6), *self.texts[name].lines(width)]
        lines += ["", "Examples:"]
        for line, meaning in self.examples:
            lines += [f"  {line}", *_wrapped(meaning, width, 6)]
        return "\n".join(lines) + "\n"

    def parse(self, argv: Sequence[str]) -> list[str]:
        """Parses the flags; returns the positional arguments.

        Raises:
            UserError: an unknown flag (with the nearest names), a wrong value, or a wrong number of arguments.
        """
        try:
            rest = self.values([self.name, *argv])[1:]
        except flags.UnrecognizedFlagError as error:
            raise UserError(f"unknown flag --{error.flagname}: {self._instead(error.flagname, argv)}") from error
        except flags.IllegalFlagValueError as error:
            raise UserError(self._refused(str(error))) from error
        except flags.Error as error:
            message = re.sub(
                r"^Missing value for flag (--\w+)$", rf"\1 takes a value; see {self.name} --help", str(error)
            )
            raise UserError(message) from error
        needed = sum(not name.startswith("[") for name in self.positional)
        open_ended = self.positional and self.positional[-1].endswith("...")
        too_many = len(rest) > len(self.positional) and not open_ended
        if not self["help"] and (len(rest) < needed or too_many):
            wanted = " ".join(self.positional).replace("PATH...", "PATH [PATH ...]") or "no arguments besides flags"
            raise UserError(f"takes {wanted}. Received: {' '.join(rest) or 'nothing'}; see {self.name} --help")
        return rest

    def _instead(self, name: str, argv: Sequence[str]) -> str:
        """What an unknown flag may have meant."""
        listed = f"{self.name} --help lists all flags"
        if "set" in self.texts:
            setting = _as_a_setting(name, argv)
            what = "an argument of the model" if setting.startswith("model_args.") else "a setting"
            listed = f"{what} is given by --set {setting}; {listed}"
        likely = difflib.get_close_matches(name, self.texts, n=3, cutoff=0.7)
        likely += [flag for flag in self.texts if "".join(word[0] for word in flag.split("_")) == name]  # --lr
        hint = f"did you mean {' or '.join(repr(f'--{flag}') for flag in likely)}? " if likely else ""
        return hint + listed

    def _refused(self, message: str) -> str:
        """What a flag takes, from absl's "flag --NAME=VALUE: reason"."""
        found = re.match(r"flag --(\w+)=(.*?): (.*)", message, re.DOTALL)
        if not found or found[1] not in self.kinds:
            return message
        name, value, reason = found.groups()
        if self.kinds[name] == "enum":
            takes = nearest(value, self.texts[name].metavar.split("|"))
            return f"--{name} has no value {value!r}: {takes}"
        takes = {"integer": "a whole number, without a sign", "float": "a number", "boolean": "true or false"}
        out_of_bounds = re.fullmatch(r"\S+ is not (an? .+)", reason)  # "0 is not a positive integer"
        taken = out_of_bounds[1] if out_of_bounds else takes.get(self.kinds[name], reason)
        words = f"--{name} takes {taken}. Received: {value!r}"
        more = value.startswith("+") and f"more_{name}" in self.texts
        return words + (f"; --resume RUN --more_{name} {value[1:]} adds to those of a run" if more else "")

    def run(self, body: Callable[..., None], argv: Sequence[str] | None) -> int:
        """Parses, then calls `body(*positional)`; returns the exit code, which is 0 where the body gives none. A user's
        mistake is one message."""
        for stream in (sys.stdout, sys.stderr):
            if hasattr(stream, "reconfigure"):
                stream.reconfigure(errors="replace")  # a terminal without "±" shows "?"
        try:
            arguments = self.parse(sys.argv[1:] if argv is None else argv)
            if self["help"]:
                print(self.help(min(WIDTH, progress.width(WIDTH))), end="")
                return 0
            logging.set_verbosity(logging.ERROR)  # of the libraries; kgen has its own log
            if sys.stderr.isatty():
                os.environ.setdefault("TQDM_NCOLS", str(progress.bar_width()))
            imports.for_a_command()
            code = body(*arguments)
            return code if isinstance(code, int) else 0
        except UserError as error:
            return self._end(error, 2)
        except ModuleNotFoundError as error:
            if error.name is None or not _is_distributed(error.name):
                raise
            return self._end(f"needs {error.name.partition('.')[0]}, which is not installed here; {INSTALL}", 2)
        except BrokenPipeError:  # the reader of the output has closed it: `kgen-compare runs/* | head`
            os.dup2(os.open(os.devnull, os.O_WRONLY), 1)
            return 141
        except OSError as error:
            if error.filename is None and error.errno is None:
                raise
            return self._end(f"{error.filename or 'the disk'}: {error.strerror}{_if_of_the_cache(error.filename)}", 2)
        except (TrainingFailed, ExportFailed) as error:
            return self._end(error, error.exit_code)
        except KeyboardInterrupt:
            return self._end("interrupted", 130)
        except Exception as error:
            if lacks_files(error):
                return self._end(said(error, 1000), 2)  # the reason comes after the path
            if lacks_memory(error):
                return self._end(f"out of memory ({said(error)}); {_for_less_memory(error)}", 1)
            if gpu.cannot_be_used(error):
                return self._end(f"the GPU cannot be used ({said(error)}); {gpu.REMEDY}", 1)
            raise

    def _end(self, message: object, code: int) -> int:
        progress.show_last(f"{self.name}: {message}")
        return code


def _as_a_setting(name: str, argv: Sequence[str]) -> str:
    """What `--set` takes in place of an unknown flag: as `--latent_dim 3`, `--train.epochs 3` or `--train epochs=3`."""
    value = "VALUE"
    for place, word in enumerate(argv):
        if word == f"--{name}":
            value = argv[place + 1] if place + 1 < len(argv) else value
        elif word.startswith(f"--{name}="):
            value = word.partition("=")[2]
    if name in SECTIONS and "=" in value:
        return f"{name}.{value}"
    return f"{name}={value}" if name.partition(".")[0] in SECTIONS else f"model_args.{name}={value}"


def flag_words(flag: str, value: Any) -> list[str]:
    """["--flag", "value"]; of a bool ["--flag"] or ["--noflag"]; with "=" where the value begins with a hyphen."""
    if isinstance(value, bool):
        return [f"--{flag}" if value else f"--no{flag}"]
    text = ",".join(value) if isinstance(value, list) else str(value)
    return [f"--{flag}={text}"] if text.startswith("-") else [f"--{flag}", text]


def _is_distributed(module: str) -> bool:
    """Whether a module is not kgen's own: one that an installation brings."""
    return module.partition(".")[0] not in ("kgen", *sys.stdlib_module_names)


def _absl_kind(option: Option) -> tuple[str, dict[str, Any]]:
    """The kind of absl flag that an option needs, and its keyword arguments."""
    if option.choices:
        return "enum", {"enum_values": option.choices}
    if option.parse:
        return "string", {}
    return {bool: "boolean", int: "integer", float: "float", str: "string"}.get(option.base_type, "list"), {}


def _for_less_memory(error: Exception) -> str:
    """What to do where memory was not enough: Python's own error is of this machine's memory, and never of a GPU's."""
    on_gpu = not isinstance(error, MemoryError) and gpu.visible()
    return gpu.REMEDY if on_gpu else "end other programs, or ask for fewer or smaller images"


def _if_of_the_cache(place) -> str:
    """What to do about a file that cannot be written, if it is one of the cache."""
    from kgen.cache import cache_root

    inside = place is not None and os.path.abspath(str(place)).startswith(str(cache_root().absolute()))
    return "; name a place that can be written: KGEN_CACHE_DIR" if inside else ""
