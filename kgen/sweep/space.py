"""The settings that a sweep varies: `learning_rate=1e-4..1e-2:log`, `model_args.latent_dim=2,8,16`."""

import json
import math
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from kgen.config import DataConfig, TrainConfig, parse_value
from kgen.errors import UserError
from kgen.options import options_of

TAKES = "--vary takes SETTING=A,B,... or SETTING=LOW..HIGH, with :log behind it for a logarithmic range"

OUTER_COMMA = re.compile(r",(?![^\[]*\])")
"""A comma that is not within a list."""


@dataclass(frozen=True)
class Values:
    """A setting that is one of some JSON values."""

    values: tuple[Any, ...]

    def names(self) -> dict[Any, Any]:
        """What stands for each value where only numbers, words and booleans can -> the value."""
        return {json.dumps(v) if isinstance(v, (list, dict)) else v: v for v in self.values}


@dataclass(frozen=True)
class Interval:
    """A setting that is drawn from [low, high]; of whole numbers if both are; uniformly, or in its logarithm."""

    low: float
    high: float
    log: bool

    @property
    def whole(self) -> bool:
        return isinstance(self.low, int) and isinstance(self.high, int)

    @property
    def values(self) -> tuple[float, float]:
        """Its ends."""
        return self.low, self.high


Space = Mapping[str, Values | Interval]
"""Dotted setting -> what it may be."""


def parse_space(texts: Sequence[str]) -> Space:
    """The space of the values of `--vary`, one setting each.

    Raises:
        UserError: one is not written as it should be, or a setting is there twice.
    """
    space = {}
    for text in texts:
        name, equals, values = (part.strip() for part in text.partition("="))
        if not (name and equals and values):
            raise UserError(f"{TAKES}. Received: {text!r}")
        setting = dotted(name)
        if setting in space:
            raise UserError(f"--vary gives {name} twice: put all of its values into one")
        space[setting] = _interval(text, values) if ".." in values else _listed(setting, values)
    return space


def dotted(name: str) -> str:
    """The setting that a flag of kgen-train is, "learning_rate" -> "train.learning_rate"; other names stay."""
    for section, config in (("train", TrainConfig), ("data", DataConfig)):
        for option in options_of(config).values():
            if name in (option.name, option.flag):
                return f"{section}.{option.name}"
    return name


def _interval(text: str, values: str) -> Interval:
    ends, _, kind = values.partition(":")
    try:
        low, high = (_number(end) for end in ends.split(".."))
    except ValueError:
        raise UserError(f"{TAKES}, with two numbers. Received: {text!r}") from None
    if kind not in ("", "log") or not low < high or (kind == "log" and low <= 0):
        raise UserError(f"{TAKES}; LOW is below HIGH, and above 0 in a logarithmic one. Received: {text!r}")
    return Interval(low, high, kind == "log")


def _number(text: str) -> float:
    number = float(text)
    if not math.isfinite(number):
        raise ValueError(text)
    return int(text) if text.strip().lstrip("+-").isdigit() else number


def _listed(setting: str, text: str) -> Values:
    try:
        values = json.loads(f"[{text}]")
    except json.JSONDecodeError:
        values = [parse_value(word.strip()) for word in OUTER_COMMA.split(text)]
    section, _, key = setting.partition(".")
    option = (
        options_of({"train": TrainConfig, "data": DataConfig}[section]).get(key)
        if section != "model_args" and key
        else None
    )
    if option and option.parse:
        try:
            values = [value if isinstance(value, list) else option.parse(str(value)) for value in values]
        except ValueError:
            raise UserError(f"{setting} takes {option.takes}. Received: {text!r}") from None
    unique = {json.dumps(value): value for value in values}
    return Values(tuple(unique.values()))
