"""check_metric: what every metric must do. Called by the test of each metric."""

import numpy as np
import pytest


def check_metric(metric, *, identical, shifted, collapsed, paired: bool = False, order_tolerance: float = 1e-9) -> None:
    """Asserts three values that were derived by hand, and that the order of the images does not matter.

    Args:
        metric: (first [N, ...], second [M, ...]) -> a number, or a dict of numbers.
        identical, shifted, collapsed: (first, second, value): the same set twice; a set that lies elsewhere by a known
            amount; samples that are all alike. The values agree to 1e-9.
        paired: row i of the first belongs to row i of the second, so both are shuffled alike.
        order_tolerance: by how much the value may change with the order.
    """
    for name, (first, second, value) in (("identical", identical), ("shifted", shifted), ("collapsed", collapsed)):
        found = metric(first, second)
        assert found == pytest.approx(value, rel=1e-9, abs=1e-9), f"{name}: {found} for {value}"
        check_order(metric, name, first, second, found, paired, order_tolerance)


def check_order(metric, name, first, second, found, paired: bool, tolerance: float) -> None:
    """Shuffles one set and the other."""
    generator = np.random.default_rng(0)
    one, two = generator.permutation(len(first)), generator.permutation(len(second))
    shuffled = [(first[one], second[one])] if paired else [(first[one], second), (first, second[two])]
    for pair in shuffled:
        again = metric(*pair)
        assert again == pytest.approx(found, rel=0, abs=tolerance), f"{name}, shuffled: {again} and not {found}"
