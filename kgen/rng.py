"""Named random streams from one root seed; noise that differs on every replica.

Nothing here keeps hidden state: a stream is a function of the root seed and of names ("order", "noise", "init", ...),
so that two parts of a program never share draws, and a draw can be repeated from what a run directory records.
"""

import hashlib
import math
from collections.abc import Sequence

import numpy as np

from kgen import portable
from kgen.portable import SEED_LIMIT


def seed_of(seed: int, *names: str | int) -> int:
    """A seed in [0, 2^31) for a named stream of a root seed: the first 31 bits of a BLAKE2 hash."""
    text = repr((seed, *names))
    return int.from_bytes(hashlib.blake2b(text.encode(), digest_size=8).digest(), "big") % SEED_LIMIT


def generator(seed: int, *names: str | int) -> np.random.Generator:
    """NumPy's generator of a named stream."""
    return np.random.default_rng(seed_of(seed, *names))


def row_stream(seed: int, row: int) -> np.random.Generator:
    """NumPy's generator of one row of a batch, whatever the other rows: a Philox stream whose key is (seed, row)."""
    return np.random.Generator(np.random.Philox(key=[seed, row]))


def latents(
    seed: int, count: int, latent_shape: Sequence[int], *, temperature: float = 1.0, first: int = 0
) -> np.ndarray:
    """Latent points from the standard normal prior, [count, *latent_shape] float32.

    Row i is a function of (seed, i) alone: the first 8 of 64 are the 8 that `count=8` gives; and it is row 0 of the
    seed `portable.row_seeds(seed, count)[i]`, in every runtime.

    Args:
        temperature: standard deviation of the normal; below 1 stays nearer to the mode.
        first: the number of the first row.
    """
    noise = portable.normals(portable.row_seeds(seed, count, first), math.prod(latent_shape))
    return (np.float32(temperature) * noise).reshape(count, *latent_shape)


def replica_seed(seed: int, step, *names: str | int):
    """A stateless TensorFlow seed for one draw of one training step on this replica.

    Keras' own `SeedGenerator` draws the same noise on every replica (and its state is not saved with the weights);
    here the replica's number is folded in, and the step is a weight of the model.

    Args:
        seed: root seed.
        step: integer tensor, the training step.
        names: of the draw within the step.

    Returns:
        [2] int32 tensor for `tf.random.stateless_*`.
    """
    import tensorflow as tf

    context = tf.distribute.get_replica_context()
    replica = context.replica_id_in_sync_group if context is not None else 0
    base = tf.constant([seed_of(seed, *names), seed_of(seed, *names, "fold")], tf.int32)
    return base + tf.stack([tf.cast(step, tf.int32), tf.cast(replica, tf.int32) * 7_919])


def stateless_uniform(shape, seed):
    """Noise from U(0, 1), the same with and without XLA (TensorFlow's own is not: the two draw different numbers).

    The middles of 2^23 equal parts, by 23 of the 32 bits that Philox gives in both worlds: never 0, never 1.

    Args:
        shape: of the result; a tensor or a tuple.
        seed: [2] int32, e.g. from `replica_seed`.

    Returns:
        float32 tensor.
    """
    import tensorflow as tf

    bits = tf.random.stateless_uniform(shape, seed, minval=None, maxval=None, dtype=tf.uint32, alg="philox")
    return (tf.cast(tf.cast(tf.bitwise.right_shift(bits, 9), tf.int32), tf.float32) + 0.5) * 2.0**-23


def stateless_normal(shape, seed):
    """Standard normal noise, the same with and without XLA: Box & Muller's sqrt(-2 ln u) cos(2 pi v).

    Args:
        shape: of the result; a tensor or a tuple.
        seed: [2] int32, e.g. from `replica_seed`.

    Returns:
        float32 tensor.
    """
    import tensorflow as tf

    u, v = tf.unstack(stateless_uniform(tf.concat([[2], tf.cast(shape, tf.int32)], axis=0), seed))
    return tf.sqrt(-2.0 * tf.math.log(u)) * tf.cos(2.0 * math.pi * v)
