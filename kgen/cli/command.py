"""What all commands share: flags in named groups, `--help` that ends with examples, and how errors end.

Exit codes: 0 done; 1 it went wrong (a loss that is not finite, an export that disagrees); 2 the user can put it right;
130 interrupted; 141 nobody reads the output any more.
"""

import os
import sys
from collections.abc import Callable, Sequence
from typing import Any

from absl import flags, logging

from kgen.errors import ExportFailed, TrainingFailed, UserError
from kgen.registry import nearest


class Command:
    """One command line.

    Args:
        name: e.g. "kgen-train".
        summary: one sentence.
        examples: (command line, what it does).
        positional: names of the arguments without a flag, e.g. ("RUN",); a last one that ends with "..." stands for
            one or more.
        tensorflow: whether the command needs it; importing it takes seconds.
    """

    def __init__(
        self,
        name: str,
        summary: str,
        examples: Sequence[tuple[str, str]],
        positional: Sequence[str] = (),
        *,
        tensorflow: bool = True,
    ):
        self.name, self.summary, self.examples, self.positional = name, summary, examples, positional
        self.tensorflow = tensorflow
        self.values = flags.FlagValues()
        self.groups: dict[str, list[str]] = {}
        self.texts: dict[str, str] = {}
        flags.DEFINE_boolean("help", False, "Show this text.", flag_values=self.values, short_name="h")

    def flag(self, group: str, kind: str, name: str, default: Any, text: str, **kwargs):
        """Defines a flag; `kind` is that of absl: string, integer, float, boolean, enum, multi_string."""
        getattr(flags, f"DEFINE_{kind}")(name, default, help=text, flag_values=self.values, **kwargs)
        self.groups.setdefault(group, []).append(name)
        self.texts[name] = text

    def __getitem__(self, name: str) -> Any:
        return self.values[name].value

    def given(self, name: str) -> bool:
        """Whether the user gave the flag."""
        return bool(self.values[name].present)

    def help(self) -> str:
        """The text of `--help`."""
        usage = " ".join([self.name, *self.positional, "[flags]"])
        lines = [f"{self.name}: {self.summary}", "", f"Usage: {usage}"]
        for group, names in self.groups.items():
            lines += ["", f"{group}:"]
            for name in names:
                flag = self.values[name]
                shown = "" if flag.default in (None, [], False) else f" (default: {flag.default_as_str.strip(chr(39))})"
                lines.append(f"  --{name}{self._takes(flag)}")
                lines.append(f"      {self.texts[name]}{shown}")
        lines += ["", "Examples:"]
        for line, meaning in self.examples:
            lines += [f"  {line}", f"      {meaning}"]
        return "\n".join(lines) + "\n"

    @staticmethod
    def _takes(flag) -> str:
        if getattr(flag.parser, "enum_values", None):
            return " " + "|".join(flag.parser.enum_values)
        if flag.boolean:
            return ""
        return {"int": " N", "float": " X"}.get(flag.flag_type(), " KEY=VALUE" if flag.name == "set" else " TEXT")

    def parse(self, argv: Sequence[str]) -> list[str]:
        """Parses the flags; returns the positional arguments.

        Raises:
            UserError: an unknown flag (with the nearest names), a wrong value, or a wrong number of arguments.
        """
        try:
            rest = self.values([self.name, *argv])[1:]
        except flags.UnrecognizedFlagError as error:
            known = [name for names in self.groups.values() for name in names]
            raise UserError(f"unknown flag --{error.flagname}: {nearest(error.flagname, known)}") from error
        except flags.Error as error:
            raise UserError(str(error)) from error
        missing = len(self.positional) - len(rest)
        open_ended = self.positional and self.positional[-1].endswith("...")
        if not self["help"] and (missing > 0 or (missing < 0 and not open_ended)):
            wanted = " ".join(self.positional) or "no arguments besides flags"
            raise UserError(f"takes {wanted}. Received: {' '.join(rest) or 'nothing'}; see {self.name} --help")
        return rest

    def run(self, body: Callable[..., None], argv: Sequence[str] | None) -> int:
        """Parses, then calls `body(*positional)`; returns the exit code. A user's mistake is one message."""
        try:
            arguments = self.parse(sys.argv[1:] if argv is None else argv)
            if self["help"]:
                print(self.help(), end="")
                return 0
            if self.tensorflow:
                import_tensorflow_quietly()
            body(*arguments)
            return 0
        except UserError as error:
            return self._end(error, 2)
        except BrokenPipeError:  # whoever read the output has enough: `kgen-compare runs/* | head`
            os.dup2(os.open(os.devnull, os.O_WRONLY), 1)
            return 141
        except OSError as error:
            if error.filename is None and error.errno is None:
                raise
            return self._end(f"{error.filename or 'the disk'}: {error.strerror}", 2)
        except (TrainingFailed, ExportFailed) as error:
            return self._end(error, 1)
        except KeyboardInterrupt:
            return self._end("interrupted", 130)

    def _end(self, message: object, code: int) -> int:
        print(f"{self.name}: {message}", file=sys.stderr)
        return code


def import_tensorflow_quietly():
    """Imports TensorFlow without the start-up remarks of its C++ side (CUDA not found, ...).

    They go to file descriptor 2 before any log level counts, so that is put aside during the import; the rest obeys
    TF_CPP_MIN_LOG_LEVEL, which stays as the user set it.
    """
    os.environ.setdefault("KERAS_BACKEND", "tensorflow")
    logging.set_verbosity(logging.ERROR)  # the remarks of libraries; kgen's own go to the run's log
    if "TF_CPP_MIN_LOG_LEVEL" in os.environ or "tensorflow" in sys.modules:
        import keras

        return
    os.environ["TF_CPP_MIN_LOG_LEVEL"] = "3"
    sys.stderr.flush()
    terminal, nowhere = os.dup(2), os.open(os.devnull, os.O_WRONLY)
    os.dup2(nowhere, 2)
    try:
        import keras  # noqa: F401
    finally:
        os.dup2(terminal, 2)
        os.close(terminal)
        os.close(nowhere)
