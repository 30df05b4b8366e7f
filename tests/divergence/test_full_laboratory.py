"""All 42 trainings at the default settings."""

import math

import pytest

from kgen.divergence.estimate import estimate_lines
from kgen.divergence.toy import PHIS


@pytest.mark.slow
def test_all_42_trainings_find_the_truth():
    rows = estimate_lines("jsd")
    assert tuple(row.phi for row in rows) == PHIS
    for row in rows:
        assert row.truth == (math.log(2.0) if row.phi else 0.0)
        assert abs(row.error) <= 1e-3 and row.error == row.estimate - row.truth, row
    for row in estimate_lines("wasserstein"):
        assert abs(row.estimate - abs(row.phi)) <= 1e-2, row
