"""Label agreement and class coverage against numbers done by hand and against scipy."""

import json
import math
from dataclasses import asdict

import numpy as np
import pytest
from check_metric import check_metric
from scipy.stats import binomtest

from kgen.errors import UserError
from kgen.metrics.conditioning import class_coverage, label_agreement, wilson_interval

LABELS = np.arange(40) % 4


def test_label_agreement_identical_shifted_collapsed():
    """Every label moved by one agrees nowhere; samples that are all of class 2 agree in a quarter."""
    check_metric(
        lambda predicted, labels: label_agreement(predicted, labels, 4).share,
        identical=(LABELS, LABELS, 1.0),
        shifted=((LABELS + 1) % 4, LABELS, 0.0),
        collapsed=(np.full(40, 2), LABELS, 0.25),
        paired=True,
    )


def test_class_coverage_identical_shifted_collapsed():
    """Real: ten of each of four classes. Shifted: twenty of each of two: KL = ln 2. Collapsed: KL = ln 4.

    The entropy is what is left of ln 4.
    """
    four, two = math.log(4), math.log(2)
    check_metric(
        lambda predicted, real: asdict(class_coverage(predicted, real, 4)),
        identical=(LABELS, LABELS, {"classes_covered": 4, "smallest_share": 1.0, "kl": 0.0, "entropy": four}),
        shifted=(LABELS // 2 * 2, LABELS, {"classes_covered": 2, "smallest_share": 0.0, "kl": two, "entropy": two}),
        collapsed=(np.full(7, 3), LABELS, {"classes_covered": 1, "smallest_share": 0.0, "kl": four, "entropy": 0.0}),
    )


def test_uneven_classes():
    """Samples 3/4 and 1/4, real 1/2 and 1/2: KL = 3/4 ln(3/2) + 1/4 ln(1/2); the rarest is half as frequent as even."""
    found = class_coverage(np.array([0, 0, 0, 1]), np.array([1, 0]), 2)
    assert found.classes_covered == 2 and found.smallest_share == 0.5
    assert found.kl == pytest.approx(0.75 * math.log(1.5) + 0.25 * math.log(0.5))


def test_a_class_that_the_real_images_lack_counts_as_half_an_image():
    """Real: 3 of class 0, none of 1, so 3 / 3.5 and 0.5 / 3.5; samples half and half."""
    found = class_coverage(np.array([0, 1]), np.array([0, 0, 0]), 2)
    assert found.kl == pytest.approx(0.5 * math.log(0.5 / (3 / 3.5)) + 0.5 * math.log(0.5 / (0.5 / 3.5)))
    json.dumps(asdict(found), allow_nan=False)


def test_agreement_by_class():
    found = label_agreement(np.array([0, 0, 1, 2, 2]), np.array([0, 1, 1, 2, 2]), 4)
    assert found.share == 0.8 and found.count == 5
    assert found.by_class == [1.0, 0.5, 1.0, None]
    assert found.interval == wilson_interval(4, 5)
    json.dumps(asdict(found), allow_nan=False)


@pytest.mark.parametrize(("hits", "count"), [(0, 10), (8, 10), (10, 10), (981, 1_000), (1, 1)])
def test_wilson_is_scipys(hits, count):
    expected = binomtest(hits, count).proportion_ci(0.95, method="wilson")
    found = wilson_interval(hits, count, z=1.959963984540054)
    assert found == pytest.approx((expected.low, expected.high), abs=1e-12)
    assert 0 <= found[0] < found[1] <= 1


def test_wilson_at_one_hit_of_one():
    # share 1, z^2 = 3.8416: the middle (1 + 1.9208) and the half width sqrt(3.8416 / 4) 1.96 = 1.9208, over 4.8416.
    assert wilson_interval(1, 1) == pytest.approx((1 / 4.8416, 1.0))


def test_mistakes_are_named():
    with pytest.raises(UserError, match=r"every sample needs one label. Received: 3 samples and 2 labels"):
        label_agreement(np.zeros(3, int), np.zeros(2, int), 4)
    with pytest.raises(UserError, match=r"predicted: classes must be 0 to 3. Received: 0 to 4"):
        class_coverage(np.arange(5), LABELS, 4)
    with pytest.raises(UserError, match=r"N of at least 1. Received shape: \(0,\)"):
        class_coverage(np.zeros(0), LABELS, 4)
    with pytest.raises(UserError, match="Received: 3 of 2"):
        wilson_interval(3, 2)
