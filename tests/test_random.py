"""Streams are functions of a seed and names; rows of latents, of (seed, row); noise, of the replica too."""

import numpy as np
import pytest
import tensorflow as tf
from model_case import two_replicas

from kgen import random


def test_streams_differ_by_name_and_seed():
    seeds = {
        random.seed_of(seed, *names)
        for seed in (0, 1)
        for names in ((), ("a",), ("b",), ("a", 1), ("a", 2), ("a", "b"))
    }
    assert len(seeds) == 12 and all(0 <= seed < random.SEED_LIMIT for seed in seeds)


def test_a_seed_is_the_same_for_ever():
    # The first 8 bytes of BLAKE2b("(0, 'order')"), big-endian, modulo 2^31: `b2sum -l 64` says 99d0487759dcb7c9.
    assert random.seed_of(0, "order") == int("99d0487759dcb7c9", 16) % 2**31
    assert random.seed_of(0, "a", "b") != random.seed_of(0, "a/b") != random.seed_of(0, "a', 'b")


def test_generators_repeat():
    draws = [
        random.generator(seed, name).uniform(size=3).tolist() for seed, name in ((0, "a"), (0, "a"), (0, "b"), (1, "a"))
    ]
    assert draws[0] == draws[1] and draws[0] != draws[2] and draws[0] != draws[3]


def test_rows_of_latents_do_not_depend_on_their_number():
    many = random.latents(7, 64, (2, 3))
    assert many.shape == (64, 2, 3) and many.dtype == np.float32
    np.testing.assert_array_equal(random.latents(7, 8, (2, 3)), many[:8])
    assert len(np.unique(many)) == many.size  # no row repeats another
    assert not np.isin(random.latents(8, 64, (2, 3)), many).any()  # nor does another seed, not even shifted by a row


def test_latents_are_standard_normal_times_the_temperature():
    z = random.latents(0, 20_000, (1,))
    assert abs(z.mean()) < 0.03 and abs(z.std() - 1) < 0.02  # 4 standard errors
    np.testing.assert_allclose(random.latents(0, 5, (4,), temperature=0.5), 0.5 * random.latents(0, 5, (4,)), rtol=1e-6)
    assert not random.latents(0, 5, (4,), temperature=0.0).any()
    assert random.latents(0, 0, (4,)).shape == (0, 4)


def test_replica_seeds_differ_by_replica_step_and_name():
    strategy = two_replicas()
    seeds = [
        tuple(part.numpy().tolist())
        for step in (0, 1, 2)
        for name in ("z", "w")
        for part in strategy.experimental_local_results(
            strategy.run(lambda step=step, name=name: random.replica_seed(5, tf.constant(step), name))
        )
    ]
    assert len({*seeds}) == 12
    assert tuple(random.replica_seed(5, 0, "z").numpy()) == seeds[0]  # without a strategy: the first replica


def test_noise_is_standard_normal_and_repeats():
    noise = random.stateless_normal((200_000,), tf.constant([1, 2])).numpy()
    assert noise.dtype == np.float32 and np.isfinite(noise).all()
    # 4 standard errors of the mean, the variance (2 / n) and the fourth moment (96 / n)
    for power, moment, error in ((1, 0, 0.009), (2, 1, 0.013), (4, 3, 0.088)):
        assert np.mean(noise.astype(np.float64) ** power) == pytest.approx(moment, abs=error)
    np.testing.assert_array_equal(random.stateless_normal((200_000,), tf.constant([1, 2])), noise)
    assert not np.isin(random.stateless_normal((1000,), tf.constant([2, 2])), noise[:1000]).all()


def test_noise_is_the_same_under_xla():
    def draw(seed):
        return random.stateless_normal(tf.constant([50, 20]), seed)

    seed = tf.constant([3, 4])
    np.testing.assert_allclose(tf.function(draw, jit_compile=True)(seed), draw(seed), atol=2e-6)
