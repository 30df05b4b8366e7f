"""Options: a configuration is a frozen dataclass, and each of its fields is written once.

    @dataclass(frozen=True)
    class TrainConfig:
        epochs: int | None = option(None, "Passes over the training images.", auto="about 4000 steps", above=0)

The command-line flag with its line of `--help`, the type check of `--set train.epochs=3`, the range check, the
docstring and the row in the guide's table are all derived from this line.
"""

import dataclasses
import importlib
import inspect
import math
import types
import typing
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, fields
from typing import Any, Literal

from kgen.errors import UserError
from kgen.registry import nearest


@dataclass(frozen=True)
class Option:
    """What is known of one field of a configuration.

    Attributes:
        name: of the field.
        type: of the field, e.g. `int | None`.
        default: None where the value is chosen when it is needed.
        help: one line for `--help`: sentences with a full stop.
        more: what only the guide and the docstring say.
        auto: how the value is chosen when it is None (or empty), e.g. "about 4000 steps".
        group: heading in `--help`; None takes that of the command.
        flag: name of the command-line flag; None: no flag.
        takes: what the flag takes, in words; "" goes by the type.
        metavar: what stands after the flag in `--help`; "" goes by the type.
        parse: text of the flag -> value; raises ValueError.
        table: "module:NAME" of the table whose names are the possible values, where it stands in a higher layer.
        above, at_least, at_most, below: range of the value, or of each number in it.
    """

    name: str
    type: Any
    default: Any
    help: str
    more: str = ""
    auto: str = ""
    group: str | None = None
    flag: str | None = None
    takes: str = ""
    metavar: str = ""
    parse: Callable[[str], Any] | None = None
    table: str = ""
    above: float | None = None
    at_least: float | None = None
    at_most: float | None = None
    below: float | None = None

    @property
    def base_type(self) -> Any:
        """The type without None."""
        return next(kind for kind in _choices(self.type) if kind is not type(None))

    @property
    def choices(self) -> tuple[str, ...]:
        """The possible values, where there are few: of a Literal, or in a table of one name."""
        if self.table and not self.takes:
            return tuple(self.entries)
        return typing.get_args(self.base_type) if typing.get_origin(self.base_type) is Literal else ()

    @property
    def entries(self) -> Mapping[str, Any]:
        """The table of the names."""
        return load_name(self.table)

    @property
    def default_text(self) -> str:
        """The default in words; "" where there is nothing to say, as for a flag that is off."""
        if self.default is None or self.default == ():
            return self.auto
        if isinstance(self.default, bool):
            return "on" if self.default else ""
        if isinstance(self.default, tuple):
            return ",".join(map(str, self.default))
        return f"{self.default:,}".replace(",", "") if isinstance(self.default, int) else str(self.default)

    @property
    def type_text(self) -> str:
        """The type in words, for the guide: the choices, int, text."""
        if self.choices:
            return ", ".join(f"`{name}`" for name in self.choices)
        return self.takes or {str: "text"}.get(self.base_type) or self.base_type.__name__

    @property
    def placeholder(self) -> str:
        """What stands after the flag in `--help`."""
        if self.choices:
            return "|".join(self.choices)
        if self.metavar:
            return self.metavar
        if typing.get_origin(self.base_type) is tuple:
            return "A,B,..."
        return {bool: "", int: "N", float: "X"}.get(self.base_type, "NAME" if self.table else "TEXT")

    def check(self, value: Any, setting: str):
        """Raises UserError if a number lies outside of the range."""
        numbers = value if isinstance(value, tuple) else (value,)
        if value is None or isinstance(value, str) or all(self._inside(number) for number in numbers):
            return
        if self.at_least is not None and (self.below is not None or self.at_most is not None):
            upper = f"{self.at_most}]" if self.below is None else f"{_power(self.below)})"
            raise UserError(f"{setting} must lie in [{self.at_least}, {upper}. Received: {value}")
        if self.above is None:
            bound = f"at least {self.at_least}"
        elif not all(number > self.above for number in numbers):
            bound = f"greater than {self.above}"
        else:
            bound = f"at most {self.at_most}" if self.below is None else f"less than {_power(self.below)}"
        raise UserError(f"{setting} must be {bound}. Received: {value}")

    def _inside(self, number: Any) -> bool:
        return (
            (self.above is None or number > self.above)
            and (self.at_least is None or number >= self.at_least)
            and (self.at_most is None or number <= self.at_most)
            and (self.below is None or number < self.below)
        )


def _power(number: float) -> str:
    """2147483648 -> 2^31."""
    exponent = int(number).bit_length() - 1
    return f"2^{exponent}" if number == 2**exponent and exponent > 20 else str(number)


def option(default: Any, help: str, **about: Any) -> Any:
    """A field of a configuration.

    Args:
        default: of the field.
        help: one line for `--help`.
        **about: see the attributes of Option. `flag` is the field's name unless it is given.
    """
    return field(default=default, metadata={"help": help, **about})


def options_of(config: type) -> dict[str, Option]:
    """Name of the field -> what is known of it, for those fields that were declared with `option`."""
    hints = typing.get_type_hints(config)
    declared = [f for f in fields(config) if "help" in f.metadata]
    return {f.name: Option(f.name, hints[f.name], f.default, **{"flag": f.name, **f.metadata}) for f in declared}


def check_ranges(config: Any, prefix: str = ""):
    """Raises UserError for the first number of a configuration that lies outside of its range.

    Args:
        config: an instance, as its `__post_init__` calls this.
        prefix: of the setting's name in the message: "train." or "--".
    """
    for name, declared in options_of(type(config)).items():
        declared.check(getattr(config, name), f"{prefix}{name}")


def load_name(home: str) -> Any:
    """What "module:name" stands for, imported when it is needed: the name may stand in a higher layer."""
    module, _, name = home.partition(":")
    return getattr(importlib.import_module(module), name)


def check_names(config: Any):
    """Raises UserError for the first setting whose value is not a name of its table. The tables import no TensorFlow.

    Separate from `check_ranges`, as the tables stand in higher layers than a configuration.
    """
    for name, declared in options_of(type(config)).items():
        value = getattr(config, name)
        if declared.table and isinstance(value, str):
            declared.entries[value]


def documented(config: type) -> type:
    """Class decorator that writes the options of a configuration into its docstring."""
    lines = []
    for name, declared in options_of(config).items():
        default = f" Default: {declared.default_text}." if declared.default_text else ""
        lines.append(f"    {name}: {declared.help}{default}{declared.more and ' ' + declared.more}")
    config.__doc__ = "\n".join([inspect.cleandoc(config.__doc__ or ""), "", "Attributes:", *lines])
    return config


def parse_size(text: str) -> list[int]:
    """ "64" -> [64, 64]; "48x64" -> [48, 64]."""
    sides = [int(side) for side in text.lower().split("x")]
    return sides * 2 if len(sides) == 1 else sides


def parse_count(text: str) -> int | str:
    """ "64" -> 64; "auto" stays. A sign could mean so many more."""
    if text == "auto":
        return text
    if text.lstrip().startswith("+"):
        raise ValueError(f"{text!r} has a sign")
    return int(text)


def parse_numbers(text: str) -> list[float]:
    """ "-1,1" -> [-1.0, 1.0]."""
    return [float(number) for number in text.split(",")]


def parse_pair(text: str) -> list[float]:
    """ "-1,1" -> [-1.0, 1.0]; two finite numbers, no more and no fewer."""
    low, high = parse_numbers(text)
    if not (math.isfinite(low) and math.isfinite(high)):
        raise ValueError(f"{text!r} is not finite")
    return [low, high]


def markdown_table(config: type, section: str = "") -> str:
    """The options of a configuration as a Markdown table: flag, type, default, meaning.

    Args:
        config: a dataclass of `option`s.
        section: of the settings' dotted names, which `--set` takes: they are the first column; "" has no such column.
    """
    headers = (*(("setting",) if section else ()), "flag", "type", "default", "meaning")
    lines = [headers, ["---"] * len(headers)]
    for name, declared in options_of(config).items():
        flag = f"`--{declared.flag}`" if declared.flag else ""
        meaning = f"{declared.help} {declared.more}".strip()
        cells = (flag, declared.type_text, declared.default_text or "off", meaning)
        lines.append((f"`{section}.{name}`", *cells) if section else cells)
    return "".join(f"| {' | '.join(cell.replace('|', chr(92) + '|') for cell in line)} |\n" for line in lines)


# Types ----------------------------------------------------------------------------------------------------------------


MOST_LISTED = 24
"""Names that a message lists; where there are more, it says where they are."""
SETTINGS_GUIDE = "kgen-train --help and kgen/train/README.md"


def lookup(schema: Mapping[str, Any], setting: str, key: str) -> Any:
    """The schema's entry for `key`; an unknown one raises UserError with the nearest names."""
    if key not in schema:
        listed = f"all are listed in {SETTINGS_GUIDE}" if len(schema) > MOST_LISTED else ""
        raise UserError(f"unknown setting {setting!r}: {nearest(key, schema, listed)}")
    return schema[key]


def schema_of(target: Callable) -> dict[str, Any]:
    """Name -> type of the arguments of a dataclass, or of a model's `__init__` (`spec` and `seed` of a model apart)."""
    return {name: kind for name, (kind, _) in _arguments(target).items()}


def defaults_of(target: Callable) -> dict[str, Any]:
    """Name -> default of a model's `__init__`, over the same names as `schema_of`."""
    return {name: default for name, (_, default) in _arguments(target).items()}


def _arguments(target: Callable) -> dict[str, tuple[Any, Any]]:
    """Name -> (type, default); a model whose `__init__` passes **kwargs on takes its base's arguments too."""
    is_dataclass = dataclasses.is_dataclass(target)
    skip = () if is_dataclass else ("self", "spec", "conditional", "seed", "name")
    inits = [target] if is_dataclass else [vars(c)["__init__"] for c in target.__mro__ if "__init__" in vars(c)]
    found = {}
    for init in inits:
        hints, parameters = typing.get_type_hints(init), inspect.signature(init).parameters.values()
        for p in parameters:
            if p.name not in skip and p.kind is not p.VAR_KEYWORD:
                found.setdefault(p.name, (hints.get(p.name, Any), p.default))
        if all(p.kind is not p.VAR_KEYWORD for p in parameters):
            break
    return found


def coerce(setting: str, value: Any, kind: Any) -> Any:
    """`value` as the type `kind`, if it can be that without loss: 4 as a float, 1e3 as an int; never NaN or infinity.

    Args:
        setting: its name, for the message.
        value: a JSON value.
        kind: int, float, bool, str, a Literal, a tuple type, Mapping, Any, or a union of these.

    Raises:
        UserError: it is of another type.
    """
    for choice in _choices(kind):
        matched, result = _as_type(value, choice)
        if matched:
            return result
    raise UserError(f"setting {setting!r} takes {_words(kind)}. Received: {value!r}")


def _choices(kind: Any) -> tuple[Any, ...]:
    """The members of a union; any other type is the only one."""
    return typing.get_args(kind) if typing.get_origin(kind) in (typing.Union, types.UnionType) else (kind,)


def _as_type(value: Any, kind: Any) -> tuple[bool, Any]:
    origin, args = typing.get_origin(kind), typing.get_args(kind)
    if kind is Any or dataclasses.is_dataclass(kind):
        return True, value
    if kind is type(None):
        return value is None, None
    if origin is Literal:
        return value in args, value
    if origin is tuple:
        if not isinstance(value, (list, tuple)):
            return False, None
        kinds = [args[0]] * len(value) if args[-1] is Ellipsis else args
        items = [_as_type(v, k) for v, k in zip(value, kinds, strict=False)]
        return len(kinds) == len(value) and all(ok for ok, _ in items), tuple(v for _, v in items)
    if (origin or kind) in (Mapping, dict):
        return isinstance(value, Mapping), value
    if kind in (float, int):
        number = isinstance(value, (int, float)) and not isinstance(value, bool) and math.isfinite(value)
        return number and kind(value) == value, kind(value) if number else value
    return isinstance(value, kind), value


LIST_EXAMPLES = {str: '"a"', float: "0.5"}
"""Type -> an entry of a list in messages; 1 for any other."""


def _words(kind: Any) -> str:
    if len(choices := _choices(kind)) > 1:
        return " or ".join(map(_words, choices))
    origin, args = typing.get_origin(kind), typing.get_args(kind)
    if origin is Literal:
        return "one of " * (len(args) > 1) + ", ".join(map(str, args))
    if origin is tuple:
        kinds = [args[0]] * 2 if args[-1] is Ellipsis else args
        return f"a list such as [{', '.join(LIST_EXAMPLES.get(kind, '1') for kind in kinds)}]"
    return "null" if kind is type(None) else getattr(kind, "__name__", str(kind))
