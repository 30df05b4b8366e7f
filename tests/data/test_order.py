"""The order of an epoch over parts of files."""

import numpy as np
import pytest

from kgen.data.order import windowed_permutation


@pytest.mark.parametrize("window", [1, 2, 3, 1000])
@pytest.mark.parametrize("sizes", [[10] * 12, [1, 50, 3, 3, 7, 20], [30]])
def test_parts_stay_within_a_window(sizes, window):
    parts = np.repeat(np.arange(len(sizes)) * 2, sizes)
    order = windowed_permutation(parts, window, np.random.default_rng(0))
    assert sorted(order.tolist()) == list(range(len(parts)))
    for part in set(parts.tolist()):
        places = np.flatnonzero(parts[order] == part)
        assert np.ptp(places) < window * max(sizes)
    again = windowed_permutation(parts, window, np.random.default_rng(0))
    assert np.array_equal(order, again)
    if len(parts) > 30:
        assert not np.array_equal(order, windowed_permutation(parts, window, np.random.default_rng(1)))


def test_neighbours_of_a_sorted_set_are_nearly_unrelated():
    """100,000 images sorted by one of 100 classes, in groups of 100: a window holds 100 of any classes."""
    labels = np.repeat(np.arange(100), 1000)
    order = windowed_permutation(np.arange(100_000) // 100, 100, np.random.default_rng(0))
    shuffled = labels[order]
    assert np.corrcoef(labels[:-1], labels[1:])[0, 1] > 0.999
    assert abs(np.corrcoef(shuffled[:-1], shuffled[1:])[0, 1]) < 0.03
    # Classes in a batch of 100: 63.4 if all images were independent. A window has a Poisson(1) number m of groups of a
    # class, which a batch lacks with the probability e^-m: 100 (1 - E e^-m) = 100 (1 - e^-(1 - 1/e)) = 46.9
    seen = np.mean([len(set(batch.tolist())) for batch in shuffled.reshape(-1, 100)])
    assert abs(seen - 46.9) < 3


def test_nothing_has_an_order():
    assert windowed_permutation(np.zeros(0, int), 5, np.random.default_rng(0)).shape == (0,)
