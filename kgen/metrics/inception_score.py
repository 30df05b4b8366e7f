"""Inception score over any classifier: samples that are classified with certainty, and of all classes.

Salimans et al. 2016 (https://arxiv.org/abs/1606.03498).
"""

from dataclasses import dataclass

import numpy as np

from kgen import random
from kgen.errors import UserError
from kgen.metrics.checks import checked_features


@dataclass(frozen=True)
class Score:
    """The score over all splits.

    Attributes:
        value: mean over the splits.
        stddev: over the splits; 0 for one.
    """

    value: float
    stddev: float


def inception_score(logits: np.ndarray, *, splits: int = 10, seed: int = 0) -> Score:
    """exp(E KL(p(y|x) || p(y))), 1 (no information) to K (each sample certain, all classes equally often).

    Random splits by position. Logarithms come from the logits: no probability is clipped.

    Args:
        logits: [N, K] of the classifier.
        splits: parts that are scored each on its own; a part of n samples scores too low, by up to (K - 1) / (2 n) of
            the score.
        seed: of the splits.

    Raises:
        UserError: more splits than samples, or numbers that are not finite.
    """
    logits = checked_features("logits", logits, at_least=1).astype(np.float64)
    if not 1 <= splits <= len(logits):
        raise UserError(
            f"splits must be 1 to the number of samples. Received: {splits} splits of {len(logits)} samples"
        )
    order = random.generator(seed, "inception_score").permutation(len(logits))
    values = [_score(logits[part]) for part in np.array_split(order, splits)]
    return Score(float(np.mean(values)), float(np.std(values)))


def _score(logits: np.ndarray) -> float:
    log_shares = logits - logits.max(axis=1, keepdims=True)
    log_shares -= np.log(np.exp(log_shares).sum(axis=1, keepdims=True))
    shares = np.exp(log_shares)
    marginal = shares.mean(axis=0)
    log_marginal = np.log(np.where(marginal > 0, marginal, 1.0))  # a class that no sample can be adds nothing
    return np.exp(np.mean(np.sum(shares * (log_shares - log_marginal), axis=1)))
