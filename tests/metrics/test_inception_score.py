"""The Inception score against numbers done by hand and against TensorFlow-GAN."""

import numpy as np
import pytest
from check_metric import check_metric

from kgen import tfgan
from kgen.errors import UserError
from kgen.metrics.inception_score import inception_score

SURE = 1e4 * np.eye(10)[np.arange(200) % 10]  # each of ten classes twenty times, without a doubt


def score(logits, _) -> float:
    return inception_score(logits, splits=1).value


def test_identical_shifted_collapsed():
    """The score has no second set: here the samples are like ten classes of real images, half of them, and one."""
    none = np.zeros(1)
    check_metric(
        score,
        identical=(SURE, none, 10.0),
        # Half of the samples in each of two classes: KL(one-hot || (1/2, 1/2)) = ln 2.
        shifted=(SURE[np.arange(200) % 10 < 2], none, 2.0),
        collapsed=(SURE[np.arange(200) % 10 == 3], none, 1.0),
    )


def test_no_information():
    assert inception_score(np.full((50, 4), -7.0)).value == pytest.approx(1, abs=1e-12)


def test_unsure_by_hand():
    """(3/4, 1/4) and (1/4, 3/4), so the marginal is even: exp(3/4 ln(3/2) + 1/4 ln(1/2))."""
    logits = np.log([[3.0, 1.0], [1.0, 3.0]])
    expected = 1.5**0.75 * 0.5**0.25
    assert inception_score(logits, splits=1).value == pytest.approx(expected, rel=1e-14)
    assert inception_score(logits + 500, splits=1).value == pytest.approx(expected, rel=1e-12)


@pytest.mark.parametrize("scale", [0.1, 3.0, 100.0])
def test_equal_to_tfgans(scale):
    logits = scale * np.random.default_rng(0).normal(size=(300, 7))
    expected = tfgan.module("eval.classifier_metrics").classifier_score_from_logits(logits)
    assert inception_score(logits, splits=1).value == pytest.approx(float(expected), rel=1e-12)


def test_splits_are_scored_one_by_one():
    logits = np.random.default_rng(0).normal(size=(60, 3))
    alone = inception_score(logits, splits=60)  # a sample alone is its own marginal
    assert alone.value == pytest.approx(1, abs=1e-12) and alone.stddev == pytest.approx(0, abs=1e-12)
    three = inception_score(logits, splits=3, seed=1)
    assert three == inception_score(logits, splits=3, seed=1) != inception_score(logits, splits=3, seed=2)
    assert three.stddev > 0 and inception_score(logits, splits=1).stddev == 0
    assert 1 < three.value < inception_score(logits, splits=1).value * 1.1


def test_splits_are_dealt_at_random():
    """Samples in the order of their classes: consecutive splits would each hold one class and score 1."""
    assert inception_score(SURE[np.argsort(np.arange(200) % 10)], splits=2).value > 9


def test_mistakes_are_named():
    with pytest.raises(UserError, match="Received: 10 splits of 5 samples"):
        inception_score(np.zeros((5, 3)))
    with pytest.raises(UserError, match="logits: features must be finite"):
        inception_score(np.full((20, 3), np.nan))
