"""The order of an epoch over parts of files."""

import numpy as np
import pytest

from kgen.data.order import interleaved, stream_count, windowed_permutation


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


@pytest.mark.parametrize(("window", "batch_size", "streams"), [(30, 12, 12), (8, 12, 6), (1, 12, 1), (30, 50, 25)])
@pytest.mark.parametrize("size", [7, 10])
def test_each_share_of_every_batch_has_parts_of_its_own(window, batch_size, streams, size):
    """600 or 420 images in 60 parts, in batches: places of a stream hold whole parts but where it begins and ends."""
    parts = np.repeat(np.arange(60) * 3, size)
    assert stream_count(60, window, batch_size) == streams
    order = windowed_permutation(parts, window, np.random.default_rng(0), batch_size)
    assert sorted(order.tolist()) == list(range(len(parts)))
    steps = len(parts) // batch_size
    in_batches = parts[order[: steps * batch_size]].reshape(steps, streams, batch_size // streams)
    for stream in range(streams):
        of_stream = in_batches[:, stream]
        assert len(set(of_stream.ravel().tolist())) <= of_stream.size // size + 2
        for part in set(of_stream.ravel().tolist()):  # a window is a share of the window of all
            times = np.flatnonzero((of_stream == part).any(axis=1))
            assert np.ptp(times) <= np.ceil(window // streams * size * streams / batch_size)
    sums = sum(len(set(in_batches[:, stream].ravel().tolist())) for stream in range(streams))
    assert sums <= 60 + 2 * streams
    assert not np.array_equal(order, windowed_permutation(parts, window, np.random.default_rng(1), batch_size))


def test_which_images_of_a_part_that_is_cut_are_in_which_stream_is_random():
    parts = np.repeat([0, 1, 2], 40)
    orders = [windowed_permutation(parts, 2, np.random.default_rng(seed), 4) for seed in range(20)]
    firsts = [frozenset(order.reshape(-1, 4)[:, :2].ravel().tolist()) for order in orders]
    assert all(len(set(parts[[*first]])) == 2 for first in firsts)  # one and a half of the three
    assert len(set(firsts)) == len(firsts)


def test_a_set_of_one_window_has_one_stream():
    parts = np.arange(1000) // 100
    one, other = (windowed_permutation(parts, 10, np.random.default_rng(0), batch_size) for batch_size in (1, 64))
    assert stream_count(10, 10, 64) == 1 and np.array_equal(one, other)


def test_streams_take_turns():
    assert interleaved(np.arange(10), 2, 4).tolist() == [0, 1, 4, 5, 2, 3, 6, 7, 8, 9]


def test_nothing_has_an_order():
    assert windowed_permutation(np.zeros(0, int), 5, np.random.default_rng(0)).shape == (0,)
