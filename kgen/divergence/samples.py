"""The divergence between two sets of samples: splits and the estimate."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass

import numpy as np
import tensorflow as tf

from kgen import random
from kgen.divergence.critics import LEARNING_RATES, Critics, make_loss, make_optimizer, train_critics
from kgen.divergence.estimate import BATCH_SIZE, PENALTY, measure
from kgen.divergence.files import check_pair

SAMPLE_STEPS = 1000
PARTS = (0.6, 0.2, 0.2)  # to train on, to choose the best weights by, held out for the estimate
MAX_CHOICE = 4096  # samples of each that the best weights are chosen by
HELD_OUT_BATCH_SIZE = 8192
DENSITY_POINTS = 400


@dataclass(frozen=True)
class SampleEstimate:
    """An estimate from samples; nats for "jsd", units of the samples for "wasserstein".

    The standard error is that of the mean over the held-out samples, for the critic that was found. It does not cover
    what a better critic would have found: both estimates are, but for it, lower bounds.

    Attributes:
        counts: "p" and "q" -> how many samples trained, chose the weights, and were held out for the estimate.
        logits: for "jsd" of one column: log p(x)/q(x) at `grid`; else None.
        grid: [K] float64, from the smallest to the largest sample.
    """

    estimator: str
    estimate: float
    stderr: float
    counts: dict[str, tuple[int, int, int]]
    grid: np.ndarray | None = None
    logits: np.ndarray | None = None

    @property
    def interval(self) -> tuple[float, float]:
        """95 %, of the sampling error alone."""
        return self.estimate - 1.96 * self.stderr, self.estimate + 1.96 * self.stderr


def split_samples(samples: np.ndarray, seed: int, name: str) -> list[np.ndarray]:
    """Disjoint parts of PARTS, in an order that the seed and the name decide."""
    order = random.generator(seed, "split", name).permutation(len(samples))
    ends = np.round(np.cumsum(PARTS[:-1]) * len(samples)).astype(int)
    return [samples[part] for part in np.split(order, ends)]


def standardization(estimator: str, p: np.ndarray, q: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Center [D] and scale [D] that standardize both sets together.

    The Wasserstein distance scales back exactly only by one scale for all columns: the root mean square of the columns'
    standard deviations. The Jensen-Shannon divergence stays the same under any: each column has its own.
    """
    both = np.concatenate([p, q])
    center, stddev = both.mean(axis=0), both.std(axis=0)
    if estimator == "wasserstein":
        stddev = np.full_like(stddev, np.sqrt(np.mean(stddev**2)))
    return center, np.where(stddev > 0.0, stddev, 1.0)


def sample_rows(samples: tf.Tensor, count: int, seed) -> tf.Tensor:
    """Rows sampled with replacement, [N, D] -> [1, count, D]."""
    rows = tf.random.stateless_uniform([count], seed, maxval=samples.shape[0], dtype=tf.int32, alg="philox")
    return tf.gather(samples, rows)[None]


def paired_batches(p: np.ndarray, q: np.ndarray) -> Iterator[tuple[tf.Tensor, tf.Tensor]]:
    """All of p and q in as many batches, at most HELD_OUT_BATCH_SIZE rows each: [1, B, D] of p and [1, C, D] of q."""
    count = min(-(-max(len(p), len(q)) // HELD_OUT_BATCH_SIZE), len(p), len(q))
    for some_p, some_q in zip(np.array_split(p, count), np.array_split(q, count), strict=True):
        yield tf.constant(some_p[None]), tf.constant(some_q[None])


def estimate_samples(
    estimator: str,
    p: np.ndarray,
    q: np.ndarray,
    *,
    optimizer: str = "adam",
    steps: int = SAMPLE_STEPS,
    penalty: float = PENALTY,
    seed: int = 0,
    on_steps: Callable[[int], None] | None = None,
) -> SampleEstimate:
    """Divergence between two sets of samples, by a critic that is trained on one part of them and measured on another.

    A critic that has memorized its samples sees differences that are not there. So 60 % of each set train,
    20 % choose the weights, and the estimate is made on the last 20 %.

    Args:
        estimator: of a divergence; see DivergenceConfig.
        p: [N, ...] and
        q: [M, ...], one sample per row, at least MIN_SAMPLES of them; N and M need not be equal.
        optimizer: see DivergenceConfig.
        steps: of 512 samples of each.
        penalty: weight of the gradient penalty; "wasserstein" only.
        seed: of the split and of the training.
        on_steps: called with the number of steps done since the last call.

    Raises:
        UserError: see `check_samples` and `check_pair`.
    """
    p, q = check_pair(p, q)
    center, scale = standardization(estimator, p, q)
    parts = {}
    for name, samples in (("p", p), ("q", q)):
        scaled = ((samples - center) / scale).astype(np.float32)
        parts[name] = split_samples(scaled, seed, name)
    (train_p, choose_p, held_p), (train_q, choose_q, held_q) = parts["p"], parts["q"]
    train_p, train_q = tf.constant(train_p), tf.constant(train_q)
    critics = Critics(1, p.shape[1], last_bias=estimator == "jsd", seed=seed)
    chosen = min(len(choose_p), len(choose_q), MAX_CHOICE)
    train_critics(
        critics,
        make_loss(estimator, penalty),
        lambda key: (sample_rows(train_p, BATCH_SIZE, key), sample_rows(train_q, BATCH_SIZE, key + 1)),
        make_optimizer(optimizer, LEARNING_RATES[estimator, optimizer], steps),
        steps,
        seed=seed,
        validation=(tf.constant(choose_p[None, :chosen]), tf.constant(choose_q[None, :chosen])),
        on_steps=on_steps,
    )
    value, stderr = measure(estimator, critics, paired_batches(held_p, held_q), seed)
    unit = float(scale[0]) if estimator == "wasserstein" else 1.0
    counts = {name: tuple(map(len, three)) for name, three in parts.items()}
    found = SampleEstimate(estimator, float(value[0]) * unit, float(stderr[0]) * unit, counts)
    if estimator == "wasserstein" or p.shape[1] > 1:
        return found
    grid = np.linspace(min(p.min(), q.min()), max(p.max(), q.max()), DENSITY_POINTS)
    points = tf.constant(((grid - center) / scale)[None, :, None], tf.float32)
    return SampleEstimate(estimator, found.estimate, found.stderr, counts, grid, critics(points).numpy()[0])
