"""The plan of a sweep: what is trained, how many trials there are, and how long each of them trains.

Successive halving (Jamieson & Talwalkar 2016, https://arxiv.org/abs/1502.07943): all trials train for a few epochs, the
best of them train on for more, and so on; each such level is a rung.
"""

import dataclasses
import functools
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from kgen.config import RunConfig, override
from kgen.errors import UserError
from kgen.evaluate.registry import directions
from kgen.models.presets import PRESETS
from kgen.registry import nearest
from kgen.sweep.space import Interval, Space, parse_space

TRIALS = 12
"""Of a space with an interval, where none are given."""
VALIDATIONS = 200
"""In trainings of more epochs the loss is not evaluated after each; see `kgen.train.defaults`."""


@dataclass(frozen=True)
class Rung:
    """A level of successive halving: so many trials train up to an epoch."""

    epochs: int
    trials: int


@dataclass(frozen=True)
class Plan:
    """What a sweep does.

    Attributes:
        base: of every trial, but for what varies.
        vary: the values of `--vary`, as the user wrote them.
        trials: how many.
        reduction_factor: of the trials of a rung the best 1/reduction_factor train on; 1: all train to the end.
    """

    base: RunConfig
    vary: tuple[str, ...]
    trials: int
    reduction_factor: int

    @classmethod
    def of(cls, base: RunConfig, vary: Sequence[str], trials: int | None, reduction_factor: int) -> "Plan":
        """The plan that the flags ask for; without a number of trials a grid is whole.

        Raises:
            UserError: nothing varies, or what may not; a value that its setting does not take; no epochs; or nothing to
                compare the trials by.
        """
        space = parse_space(vary)
        if not space:
            raise UserError("--vary names no setting: give e.g. --vary learning_rate=1e-4..1e-2:log")
        for setting, reason in (("train.epochs", "--epochs is that of the best trials"), ("train.best_by", FIXED),
                                ("train.metrics", FIXED), ("train.logger", FIXED)):  # fmt: skip
            if setting in space:
                raise UserError(f"--vary {setting.partition('.')[2]}: {reason}; leave it out of --vary")
        if base.train.best_by == "auto":
            base = dataclasses.replace(base, train=dataclasses.replace(base.train, best_by="loss"))
        if base.train.epochs is None:
            raise UserError("kgen-sweep needs --epochs: how long the best trials train")
        if base.train.strategy == "multi_worker":
            raise UserError("kgen-sweep trains in one process: --strategy multi_worker is for kgen-train")
        for setting, one in space.items():
            for value in one.values:
                try:
                    config = override(base, {setting: value})
                except UserError as error:
                    raise UserError(str(error).replace("--set ", "--vary ")) from error
                check_objective(config)
        sizes = [len(one.values) for one in space.values() if not isinstance(one, Interval)]
        grid = math.prod(sizes) if len(sizes) == len(space) else None
        wanted = trials or grid or TRIALS
        return cls(base, tuple(vary), min(wanted, grid or wanted), reduction_factor)

    @functools.cached_property
    def space(self) -> Space:
        """What varies."""
        return parse_space(self.vary)

    def config_of(self, params: Mapping[str, Any]) -> RunConfig:
        """The configuration of a trial.

        Args:
            params: setting -> value, or the name of a value (see `Values.names`).
        """
        return override(self.base, self.settings_of(params))

    def settings_of(self, params: Mapping[str, Any]) -> dict[str, Any]:
        """Setting -> value of a trial, in the order of `vary`."""
        space = self.space
        return {
            setting: params[setting] if isinstance(one, Interval) else one.names()[params[setting]]
            for setting, one in space.items()
        }

    def rungs(self) -> list[Rung]:
        """The rungs; the last one trains to the end."""
        train, factor = self.base.train, self.reduction_factor
        total = train.epochs
        every = train.validate_every or -(-total // VALIDATIONS)
        every = every if train.best_by == "loss" else train.evaluated_every(total)
        found, epochs, levels = [Rung(total, self.trials)], float(total), 0
        while factor > 1 and self.trials // factor ** (levels + 1) >= 1:
            levels += 1
            epochs /= factor
            measured = min(total, every * max(1, math.ceil(epochs / every - 1e-9)))
            if measured >= found[0].epochs:
                break
            found.insert(0, Rung(measured, 0))
        return [Rung(rung.epochs, max(1, self.trials // factor**i)) for i, rung in enumerate(found)]

    def epochs(self) -> int:
        """Of all trials together."""
        rungs = self.rungs()
        before = [0, *(rung.epochs for rung in rungs)]
        return sum(rung.trials * (rung.epochs - start) for rung, start in zip(rungs, before, strict=False))

    def to_json(self) -> dict[str, Any]:
        """A dict of JSON types."""
        return {**dataclasses.asdict(self), "vary": list(self.vary), "base": self.base.to_json()}


FIXED = "trials are compared by one metric"


def check_objective(config: RunConfig):
    """Raises UserError where trials of a configuration have nothing to be compared by."""
    train = config.train
    if train.best_by != "loss":
        better = directions(train.metrics)
        if not better.get(train.best_by):
            known = ["loss", *(name for name, way in better.items() if way)]
            raise UserError(f"train.best_by: {train.best_by!r} is not measured; {nearest(train.best_by, known)}")
    elif PRESETS[config.model].adversarial:
        raise UserError(
            f"trials are compared by --best_by, and the losses of {config.model!r} choose none; add --eval_every 1 "
            "--metrics fid --best_by fid"
        )


def lower_is_better(config: RunConfig) -> bool:
    """Whether less of what trials are compared by is better."""
    train = config.train
    return train.best_by == "loss" or directions(train.metrics)[train.best_by] == "lower"
