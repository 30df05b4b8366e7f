"""From values to places on an axis, and the values worth a mark on it."""

import math
from collections.abc import Iterable
from dataclasses import dataclass

MOST_DECADES = 3.0
"""An axis of positive values that spans more is logarithmic."""


@dataclass(frozen=True)
class Scale:
    """One axis.

    Attributes:
        low, high: the values at its ends; of a logarithmic axis both are positive.
        start, end: their places, in units of the drawing.
        log: whether equal factors, instead of equal differences, are equally far apart.
    """

    low: float
    high: float
    start: float
    end: float
    log: bool = False

    def __call__(self, value: float) -> float:
        """The place of a finite value."""
        low, high, value = (math.log10(v) if self.log else v for v in (self.low, self.high, value))
        return self.start + (value - low) / (high - low) * (self.end - self.start)

    def ticks(self, count: int, *, whole: bool = False) -> list[float]:
        """About `count` round values from `low` to `high`, rising; only whole numbers if `whole`."""
        if self.log:
            first, last = math.ceil(math.log10(self.low) - 1e-9), math.floor(math.log10(self.high) + 1e-9)
            step = max(1, -(-(last - first) // count))
            return [10.0**power for power in range(first, last + 1, step)]
        step = _round_step((self.high - self.low) / count)
        step = max(1.0, step) if whole else step
        first, last = math.ceil(self.low / step - 1e-9), math.floor(self.high / step + 1e-9)
        return [number * step for number in range(first, last + 1)]


def fit(values: Iterable[float], start: float, end: float, *, may_log: bool = False, margin: float = 0.0) -> Scale:
    """An axis that holds all values.

    Args:
        values: finite; none or equal ones give an axis around them.
        start, end: places of the smallest and the largest.
        may_log: whether it is logarithmic where positive values span more than MOST_DECADES.
        margin: share of the axis that stays free at either end.
    """
    values = list(values) or [0.0, 1.0]
    low, high = min(values), max(values)
    if may_log and low > 0 and math.log10(high) - math.log10(low) > MOST_DECADES:
        spare = (high / low) ** margin
        return Scale(low / spare, high * spare, start, end, log=True)
    if not high - low > 1e-9 * max(abs(low), abs(high)):
        spare = abs(low) / 2 or 1.0
        return Scale(low - spare, high + spare, start, end)
    spare = margin * (high - low)
    return Scale(low - spare, high + spare, start, end)


def _round_step(least: float) -> float:
    """The smallest of 1, 2, 2.5 and 5 times a power of ten that is not below `least`."""
    power = 10.0 ** math.floor(math.log10(least))
    return next(factor * power for factor in (1, 2, 2.5, 5, 10) if factor * power >= least * (1 - 1e-9))


def label(value: float) -> str:
    """A mark's value in few characters: "0.25", "1200", "1e-05"."""
    return f"{value:.6g}".replace("e-0", "e-").replace("e+0", "e") if value else "0"
