"""Jensen-Shannon divergence and Wasserstein-1 distance from trained critics; both estimated for the pair of lines."""

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass

import numpy as np
import tensorflow as tf

from kgen import random
from kgen.divergence.critics import (
    LEARNING_RATES,
    Critics,
    gradient_norms,
    interpolate_points,
    make_loss,
    make_optimizer,
    train_critics,
)
from kgen.divergence.toy import PHIS, jsd_of_lines, sample_lines, wasserstein_of_lines

BATCH_SIZE = 512
STEPS = 250
PENALTY = 100.0
HELD_OUT_BATCHES, HELD_OUT_BATCH_SIZE = 32, 2048  # sampling error at phi = 0: 0.41 / sqrt(65,536) = 0.0016
TRUTHS = {"jsd": jsd_of_lines, "wasserstein": wasserstein_of_lines}


def jsd_from_logits(logits_p: np.ndarray, logits_q: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """log 2 + 1/2 E_p log D + 1/2 E_q log(1 - D), the value of a discriminator D; on average not above the divergence.

    From logits l = log(D / (1 - D)), so that log D = -softplus(-l) loses nothing where D is near 0 or 1. Eq. 4 and 6 of
    Goodfellow et al. 2014 (https://arxiv.org/abs/1406.2661). Estimates may be negative, where the truth is near 0.

    Args:
        logits_p: [..., N] at points of p.
        logits_q: [..., M] at points of q.

    Returns:
        The value in nats and its standard error, [...] float64 each.
    """
    half_p = -0.5 * np.logaddexp(0.0, -np.asarray(logits_p, np.float64))
    half_q = -0.5 * np.logaddexp(0.0, np.asarray(logits_q, np.float64))
    return np.log(2.0) + half_p.mean(axis=-1) + half_q.mean(axis=-1), _stderr(half_p, half_q)


def wasserstein_from_scores(
    scores_p: np.ndarray, scores_q: np.ndarray, norms: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """(E_p f - E_q f) / the largest gradient norm of f found: on average not above the distance.

    A gradient penalty of weight lambda leaves the slope of the best critic at 1 + W / (2 lambda), be it one-sided or
    two-sided: it maximises s W - lambda (s - 1)^2. The raw difference overshoots by W^2 / (2 lambda), and dividing
    takes that out.

    Args:
        scores_p: [..., N], f at points of p.
        scores_q: [..., M], f at points of q.
        norms: [..., K], norms of the gradient of f between p and q.

    Returns:
        The value, in units of the points, and its standard error, [...] float64 each.
    """
    scores_p, scores_q = np.asarray(scores_p, np.float64), np.asarray(scores_q, np.float64)
    largest = np.max(np.asarray(norms, np.float64), axis=-1)
    return (scores_p.mean(axis=-1) - scores_q.mean(axis=-1)) / largest, _stderr(scores_p, scores_q) / largest


def _stderr(a: np.ndarray, b: np.ndarray) -> np.ndarray:
    """Standard error of mean(a) + mean(b), independent samples along the last axis."""
    return np.sqrt(a.var(axis=-1, ddof=1) / a.shape[-1] + b.var(axis=-1, ddof=1) / b.shape[-1])


def measure(
    estimator: str, critics: Critics, pairs: Iterable[tuple[tf.Tensor, tf.Tensor]], seed: int
) -> tuple[np.ndarray, np.ndarray]:
    """Value and standard error, [P] each, on batches of points that the critics were not trained on.

    Args:
        estimator: of a divergence; see DivergenceConfig.
        pairs: (p, q), [P, B, D] each.
        seed: of the points between p and q at which gradients are computed.
    """
    score = tf.function(lambda points: critics(points), reduce_retracing=True)
    norm = tf.function(lambda p, q, key: gradient_norms(critics, interpolate_points(p, q, key)), reduce_retracing=True)
    scores_p, scores_q, norms = [], [], []
    for i, (p, q) in enumerate(pairs):
        scores_p.append(score(p).numpy())
        scores_q.append(score(q).numpy())
        if estimator == "wasserstein":
            common = min(p.shape[1], q.shape[1])
            norms.append(norm(p[:, :common], q[:, :common], random.replica_seed(seed, i, "slopes")).numpy())
    scores = np.concatenate(scores_p, axis=1), np.concatenate(scores_q, axis=1)
    if estimator == "jsd":
        return jsd_from_logits(*scores)
    return wasserstein_from_scores(*scores, np.concatenate(norms, axis=1))


@dataclass(frozen=True)
class LineEstimate:
    """One estimate beside its truth; nats for "jsd"."""

    estimator: str
    phi: float
    truth: float
    estimate: float
    stderr: float

    @property
    def error(self) -> float:
        return self.estimate - self.truth


def estimate_lines(
    estimator: str,
    phis: Sequence[float] = PHIS,
    *,
    optimizer: str = "adam",
    steps: int = STEPS,
    penalty: float = PENALTY,
    seed: int = 0,
    on_steps: Callable[[int], None] | None = None,
) -> list[LineEstimate]:
    """Estimates for p = (0, Z) and q = (phi, Z), Z ~ U(0, 1); all critics are trained as one batched network.

    Every step samples new points, and the estimate is made on points that no step saw.

    Args:
        estimator: of a divergence; see DivergenceConfig.
        phis: one critic each.
        optimizer: see DivergenceConfig.
        steps: of 512 points of p and 512 of q.
        penalty: weight of the gradient penalty; "wasserstein" only.
        seed: the same seed gives the same estimates.
        on_steps: called with the number of steps done since the last call.
    """
    critics = Critics(len(phis), 2, last_bias=estimator == "jsd", seed=seed)
    train_critics(
        critics,
        make_loss(estimator, penalty),
        lambda key: sample_lines(phis, BATCH_SIZE, key),
        make_optimizer(optimizer, LEARNING_RATES[estimator, optimizer], steps),
        steps,
        seed=seed,
        on_steps=on_steps,
    )
    keys = (random.replica_seed(seed, i, "held-out points") for i in range(HELD_OUT_BATCHES))
    values, stderrs = measure(estimator, critics, (sample_lines(phis, HELD_OUT_BATCH_SIZE, key) for key in keys), seed)
    rows = zip(phis, values.tolist(), stderrs.tolist(), strict=True)
    return [LineEstimate(estimator, phi, TRUTHS[estimator](phi), value, stderr) for phi, value, stderr in rows]
