"""Random numbers: named streams from one root seed, and a portable generator that every runtime can compute.

**Named streams.** Nothing here keeps hidden state: a stream is a function of the root seed and of names ("order",
"noise", "init", ...), so that two parts of a program never share random numbers, and any of them can be computed again
from what a run directory records. `seed_of` and `generator` are for NumPy and for seeds of layers; `replica_seed`,
`stateless_uniform` and `stateless_normal` are for training steps in TensorFlow: other noise on every replica, and the
same with and without XLA.

**The portable generator.** NumPy, TensorFlow (also compiled), TensorFlow Lite, ONNX Runtime and a browser each have a
random generator of their own, or none. `portable_normals` is a function instead: a seed gives the same latent point in
all of them. `portable_normals_tensor` is its twin for TensorFlow graphs, `kgen/web/portable.js` for the browser. The
integers agree exactly, and what float32 makes of them to 2e-5: no integer is negative and no product reaches 2^31, so
that multiplication, addition, and the floor's quotient and remainder of int32 suffice, with no bit operation. Every
float constant is a float16 as well, so that files which keep their constants in float16 compute the same.

Two prime fields (46337 and 46307, in both of which a cube has one root, so that a round loses nothing) are each run
through rounds of x -> (x + key)^3, as the block cipher MiMC is (Albrecht et al. 2016,
https://eprint.iacr.org/2016/492), with keys of k and of the seed's 31 bits. A pair of elements is one of 2,145,727,459
numbers; Box and Muller (1958) make two normal numbers of two of those. It is no cipher: these sizes serve statistics
and not secrets.
"""

import hashlib
import math
from collections.abc import Sequence

import numpy as np

SEED_LIMIT = 2**31


def seed_of(seed: int, *names: str | int) -> int:
    """A seed in [0, 2^31) for a named stream of a root seed: the first 31 bits of a BLAKE2 hash."""
    text = repr((seed, *names))
    return int.from_bytes(hashlib.blake2b(text.encode(), digest_size=8).digest(), "big") % SEED_LIMIT


def generator(seed: int, *names: str | int) -> np.random.Generator:
    """NumPy's generator of a named stream."""
    return np.random.default_rng(seed_of(seed, *names))


def row_generator(seed: int, row: int) -> np.random.Generator:
    """NumPy's generator of one row of a batch, whatever the other rows: a Philox stream whose key is (seed, row)."""
    return np.random.Generator(np.random.Philox(key=[seed, row]))


def latents(
    seed: int, count: int, latent_shape: Sequence[int], *, temperature: float = 1.0, first: int = 0
) -> np.ndarray:
    """Latent points from the standard normal prior, [count, *latent_shape] float32.

    Row i is a function of (seed, i) alone: the first 8 of 64 are the 8 that `count=8` gives; and it is row 0 of the
    seed `row_seeds(seed, count)[i]`, in every runtime.

    Args:
        temperature: standard deviation of the normal; below 1 stays nearer to the mode.
        first: the number of the first row.
    """
    noise = portable_normals(row_seeds(seed, count, first), math.prod(latent_shape))
    return (np.float32(temperature) * noise).reshape(count, *latent_shape)


# In training steps ----------------------------------------------------------------------------------------------------


def replica_seed(seed: int, step, *names: str | int):
    """A stateless TensorFlow seed for one sampling operation of one training step on this replica.

    Keras' own `SeedGenerator` samples the same noise on every replica (and its state is not saved with the weights);
    here the replica's number is folded in, and the step is a weight of the model.

    Args:
        seed: root seed.
        step: integer tensor, the training step.
        names: of the operation within the step.

    Returns:
        [2] int32 tensor for `tf.random.stateless_*`.
    """
    import tensorflow as tf

    context = tf.distribute.get_replica_context()
    replica = context.replica_id_in_sync_group if context is not None else 0
    base = tf.constant([seed_of(seed, *names), seed_of(seed, *names, "fold")], tf.int32)
    return base + tf.stack([tf.cast(step, tf.int32), tf.cast(replica, tf.int32) * 7_919])


def stateless_uniform(shape, seed):
    """Noise from U(0, 1), the same with and without XLA (TensorFlow's own gives different numbers).

    The middles of 2^23 equal parts, by 23 of the 32 bits that Philox gives both with and without XLA: never 0, never 1.

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


# The portable generator -----------------------------------------------------------------------------------------------


FIELDS = (46337, 46307)
NUM_PAIRS = FIELDS[0] * FIELDS[1]
LIMB = 2**15
ROUNDS = (
    (7919, 31337, 2357, 17389, 40009, 11743),
    (23719, 5309, 37021, 12553, 1931, 29611),
)
"""Added to the key of every round, a row per field."""
HIGH_BIT = 20011
"""What the highest bit of the seed adds to a key."""
ROW_STRIDE = 1_327_217_885
"""Between the seeds of two neighbouring rows: 2^31 over the golden ratio, made odd."""

TWO_PI = (np.float32(6.28125), np.float32(np.float16(2 * math.pi - 6.28125)))
"""2 pi in two parts."""
TWO_THIRDS = np.float32(np.float16(2 / 3))
NEAR_ONE = np.float32(1 / 64)


def row_seeds(seed: int, count: int, first: int = 0) -> np.ndarray:
    """The seed of each row of a batch that has one seed: [count] int32; row 0 has the seed itself.

    (seed + row * ROW_STRIDE) mod 2^31: no two rows of a batch share a seed, nor do those of two batches of at most
    50,000 rows whose seeds are less than 19,000 apart.
    """
    return ((seed + np.arange(first, first + count, dtype=np.int64) * ROW_STRIDE) % SEED_LIMIT).astype(np.int32)


def portable_normals(seeds: np.ndarray, size: int) -> np.ndarray:
    """Standard normal noise: seeds [B] int32 -> [B, size] float32; a row is a function of its seed and of `size`."""
    n, turn = _uniform_pairs(seeds, size)
    u, t, turn = (np.float32(x) / np.float32(NUM_PAIRS) for x in (n, NUM_PAIRS - n, turn))
    radius = np.sqrt(np.where(t < NEAR_ONE, _log_near_one(t), np.float32(-2) * np.log(u)))
    angle = turn * TWO_PI[0] + turn * TWO_PI[1]
    return np.concatenate([radius * np.cos(angle), radius * np.sin(angle)], axis=1)[:, :size]


def portable_normals_tensor(seeds, size: int):
    """`portable_normals` of a tensor of seeds, in operators that every runtime has: [B, size] float32."""
    import tensorflow as tf

    n, turn = _uniform_pairs(seeds, size)
    num_pairs = NUM_PAIRS + seeds[:, None] % LIMB // LIMB  # plus 0: a constant would be infinite in float16
    u, t, turn = (tf.cast(x, tf.float32) / tf.cast(num_pairs, tf.float32) for x in (n, NUM_PAIRS - n, turn))
    radius = tf.sqrt(tf.where(t < NEAR_ONE, _log_near_one(t), -2.0 * tf.math.log(u)))
    angle = turn * TWO_PI[0] + turn * TWO_PI[1]
    return tf.concat([radius * tf.cos(angle), radius * tf.sin(angle)], axis=1)[:, :size]


def field_elements(seed, k):
    """Element k of a seed in both fields.

    Both are computed as one array whose last axis is the field: an operator of a file takes a hundred bytes.

    Args:
        seed: integers in [0, 2^31), of at least one dimension.
        k: integers in [0, NUM_PAIRS), of a shape that goes with the seeds'; no tensor.

    Returns:
        A pair of integers, below FIELDS[0] and FIELDS[1].
    """
    fields, k, seed = np.array(FIELDS, np.int32), np.asarray(k, np.int32)[..., None], seed[..., None]
    low, middle, high = seed % LIMB, seed // LIMB % LIMB, seed // (LIMB * LIMB) * HIGH_BIT
    x = place = k % fields
    for key, added in zip((low, middle, high, low, middle, None), np.array(ROUNDS, np.int32).T, strict=True):
        x = x + (added + place if key is None or key is high else added)
        x = (x if key is None else x + key) % fields
        x = x * x % fields * x % fields
    return x[..., 0], x[..., 1]


def first_free_element(size: int) -> int:
    """The first k of `field_elements` that `portable_normals` of this size does not use."""
    return 2 * _pair_count(size)


def _uniform_pairs(seeds, size: int):
    """Two numbers from 1 to NUM_PAIRS for every two normals: two of [B, count], int32."""
    count = _pair_count(size)
    a, b = field_elements(seeds[:, None], np.arange(2 * count)[None])
    pairs = a * FIELDS[1] + b + 1
    return pairs[:, :count], pairs[:, count:]


def _pair_count(size: int) -> int:
    return (size + 1) // 2


def _log_near_one(t):
    """-2 ln(1 - t) of a small t, where the logarithm of 1 - t loses digits (TensorFlow Lite's more than others)."""
    return t * (np.float32(2) + t * (np.float32(1) + t * (TWO_THIRDS + t * np.float32(0.5))))
