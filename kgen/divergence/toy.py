"""Toy distributions whose divergences and densities are known in closed form.

The pair of lines: p = (0, Z) and q = (phi, Z) with Z ~ U(0, 1), Example 1 of Arjovsky, Chintala & Bottou 2017
(https://arxiv.org/abs/1701.07875): the Jensen-Shannon divergence jumps at phi = 0, the Wasserstein distance does not.
"""

import math
from collections.abc import Sequence

import numpy as np
import tensorflow as tf
from scipy import optimize, stats

from kgen.random import stateless_normal
from kgen.registry import Registry

PHIS = tuple(round(0.1 * i - 1.0, 1) for i in range(21))
DENSITIES = Registry("density")


def jsd_of_lines(phi: float) -> float:
    """Jensen-Shannon divergence of the lines, in nats: log 2 as soon as they do not coincide."""
    return math.log(2.0) if phi else 0.0


def wasserstein_of_lines(phi: float) -> float:
    """Wasserstein-1 distance of the lines: every point moves by |phi|."""
    return abs(phi)


def sample_lines(phis: Sequence[float], count: int, seed) -> tuple[tf.Tensor, tf.Tensor]:
    """Independent points of p and of q, one pair of lines for every phi.

    Args:
        phis: [P], where q stands.
        count: B, points of each.
        seed: [2] int32 tensor.

    Returns:
        p and q, [P, B, 2] float32 each.
    """
    heights = tf.random.stateless_uniform([2, len(phis), count], seed, alg="philox")
    p_places, q_places = tf.zeros_like(heights[0]), tf.zeros_like(heights[0]) + tf.constant(phis, tf.float32)[:, None]
    return tf.stack([p_places, heights[0]], axis=-1), tf.stack([q_places, heights[1]], axis=-1)


@DENSITIES.register("tanh")
class TanhDensity:
    """y = g(z) = tanh(2 z + 1) + 0.75 z with z ~ N(0, 1): one steep and one long shoulder."""

    bounds = (-5.0, 5.0)  # 1 - mass = 8e-8: |y| <= 1 + 0.75 |z|

    @staticmethod
    def sample(count: int, seed) -> tf.Tensor:
        """Points [count] float32; `seed` is a [2] int32 tensor."""
        z = stateless_normal([count], seed)
        return tf.tanh(2.0 * z + 1.0) + 0.75 * z

    @staticmethod
    def density(y: np.ndarray) -> np.ndarray:
        """phi(z) / g'(z) at z = g^-1(y), with g'(z) = 2 (1 - tanh(2 z + 1)^2) + 0.75; [N] float64."""

        def inverse(value: float) -> float:  # |g(z) - 0.75 z| < 1 brackets it
            return optimize.brentq(
                lambda z: math.tanh(2.0 * z + 1.0) + 0.75 * z - value, (value - 1.1) / 0.75, (value + 1.1) / 0.75
            )

        z = np.array([inverse(value) for value in np.ravel(y)])
        return stats.norm.pdf(z) / (2.0 * (1.0 - np.tanh(2.0 * z + 1.0) ** 2) + 0.75)


@DENSITIES.register("bimodal")
class BimodalDensity:
    """0.4 N(-1.5, 0.4^2) + 0.6 N(1, 0.6^2)."""

    bounds = (-5.0, 5.0)
    weights, means, stddevs = (0.4, 0.6), (-1.5, 1.0), (0.4, 0.6)

    @classmethod
    def sample(cls, count: int, seed) -> tf.Tensor:
        """Points [count] float32; `seed` is a [2] int32 tensor."""
        first = tf.random.stateless_uniform([count], seed + 1, alg="philox") < cls.weights[0]
        z = stateless_normal([count], seed)
        return tf.where(first, *(mean + stddev * z for mean, stddev in zip(cls.means, cls.stddevs, strict=True)))

    @classmethod
    def density(cls, y: np.ndarray) -> np.ndarray:
        """[N] float64."""
        parts = zip(cls.weights, cls.means, cls.stddevs, strict=True)
        return sum(weight * stats.norm.pdf(np.ravel(y), mean, stddev) for weight, mean, stddev in parts)
