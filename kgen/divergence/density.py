"""Density estimation by a discriminator against a standard normal: f1(x) = f0(x) D(x) / (1 - D(x)).

Sugiyama, Suzuki & Kanamori 2012, "Density Ratio Estimation in Machine Learning", chapter 4.
"""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import tensorflow as tf

from kgen import random
from kgen.divergence.critics import Critics, make_loss, make_optimizer, train_critics
from kgen.divergence.files import check_column
from kgen.divergence.samples import MAX_CHOICE, sample_rows, split_samples
from kgen.divergence.toy import DENSITIES

DENSITY_STEPS = 2000
DENSITY_BATCH_SIZE = 4096
HIDDEN = (32, 32)
ACTIVATION = "tanh"  # smooth: so is the density
LEARNING_RATE = 1e-2
POINTS = 2001


def log_density_ratio(logits: np.ndarray, num_numerator: int = 1, num_denominator: int = 1) -> np.ndarray:
    """log f1 / f0 from the logits of a discriminator that was trained on so many points of f1 and of f0.

    Args:
        logits: log D / (1 - D), any shape.
        num_numerator: n1, points of f1.
        num_denominator: n0, points of f0; log(n0 / n1) is added.
    """
    return np.asarray(logits, np.float64) + np.log(num_denominator / num_numerator)


def total_variation(x: np.ndarray, f: np.ndarray, g: np.ndarray) -> float:
    """1/2 integral |f - g| by the trapezoidal rule on the grid x: 0 equal, 1 disjoint."""
    return float(0.5 * np.trapezoid(np.abs(np.asarray(f) - np.asarray(g)), x))


@dataclass(frozen=True)
class DensityEstimate:
    """An estimated density on a grid.

    Attributes:
        x: [K] float64, the grid.
        discriminator: [K], D(x) in (0, 1) for equal counts.
        base: [K], f0(x).
        estimate: [K], f1(x); not normalized.
        truth: [K], or None for samples.
        counts: of samples, that trained and that chose the weights; None where every step samples new points.
    """

    x: np.ndarray
    discriminator: np.ndarray
    base: np.ndarray
    estimate: np.ndarray
    truth: np.ndarray | None = None
    counts: tuple[int, int] | None = None

    @property
    def mass(self) -> float:
        """Integral of the estimate; 1 if it were perfect."""
        return float(np.trapezoid(self.estimate, self.x))

    @property
    def total_variation(self) -> float | None:
        """Distance to the truth, if that is known."""
        return None if self.truth is None else total_variation(self.x, self.estimate, self.truth)


def estimate_density(
    name: str,
    *,
    steps: int = DENSITY_STEPS,
    batch_size: int = DENSITY_BATCH_SIZE,
    base_batch_size: int = DENSITY_BATCH_SIZE,
    seed: int = 0,
    on_steps: Callable[[int], None] | None = None,
) -> DensityEstimate:
    """Estimates one of DENSITIES from its samples alone; every step samples new ones.

    Args:
        name: of the density.
        steps: of Adam.
        batch_size: points of f1 per step.
        base_batch_size: points of the standard normal f0 per step.
        seed: the same seed gives the same estimate.
        on_steps: called with the number of steps done since the last call.

    Raises:
        UserError: an unknown name.
    """
    target = DENSITIES[name]

    def sample_points(key):
        return target.sample(batch_size, key)[None, :, None], random.stateless_normal([1, base_batch_size, 1], key + 2)

    critics = train_discriminator(sample_points, steps, seed, None, on_steps)
    x = np.linspace(*target.bounds, POINTS)
    return evaluate_density(critics, x, batch_size, base_batch_size, truth=target.density(x))


def estimate_density_of_samples(
    samples: np.ndarray,
    *,
    steps: int = DENSITY_STEPS,
    seed: int = 0,
    on_steps: Callable[[int], None] | None = None,
) -> DensityEstimate:
    """Estimates the density that one's own samples come from; f0 is the normal of their mean and standard deviation.

    60 % of the samples train, the others choose the weights.

    Args:
        samples: [N] or [N, 1].

    Raises:
        UserError: see `check_column`.
    """
    samples = check_column(samples)
    center, scale = float(samples.mean()), float(samples.std())
    scaled = ((samples - center) / scale).astype(np.float32)
    training, choosing, others = split_samples(scaled, seed, "p")
    choosing = np.concatenate([choosing, others])
    points, chosen = tf.constant(training), tf.constant(choosing[None, :MAX_CHOICE])
    base = random.stateless_normal(chosen.shape, random.replica_seed(seed, 0, "base"))

    def sample_points(key):
        rows = sample_rows(points, DENSITY_BATCH_SIZE, key)
        return rows, random.stateless_normal(rows.shape, key + 2)

    critics = train_discriminator(sample_points, steps, seed, (chosen, base), on_steps)
    margin = 0.1 * np.ptp(samples)
    x = np.linspace(samples.min() - margin, samples.max() + margin, POINTS)
    return evaluate_density(critics, x, center=center, scale=scale, counts=(len(training), len(choosing)))


def train_discriminator(sample_points: Callable, steps: int, seed: int, validation, on_steps) -> Critics:
    """One smooth discriminator; arguments as of `train_critics`."""
    critics = Critics(1, 1, hidden=HIDDEN, activation=ACTIVATION, seed=seed)
    optimizer = make_optimizer("adam", LEARNING_RATE, steps)
    train_critics(
        critics,
        make_loss("jsd", 0.0),
        sample_points,
        optimizer,
        steps,
        seed=seed,
        validation=validation,
        on_steps=on_steps,
    )
    return critics


def evaluate_density(
    critics: Critics,
    x: np.ndarray,
    num_numerator: int = 1,
    num_denominator: int = 1,
    *,
    center: float = 0.0,
    scale: float = 1.0,
    truth: np.ndarray | None = None,
    counts: tuple[int, int] | None = None,
) -> DensityEstimate:
    """The estimate on the grid x, from a discriminator of (x - center) / scale."""
    standard = (x - center) / scale
    logits = critics(tf.constant(standard[None, :, None], tf.float32)).numpy()[0]
    ratio = log_density_ratio(logits, num_numerator, num_denominator)
    base = np.exp(-0.5 * standard**2) / (scale * np.sqrt(2.0 * np.pi))
    return DensityEstimate(x, 1.0 / (1.0 + np.exp(-ratio)), base, base * np.exp(ratio), truth, counts)
