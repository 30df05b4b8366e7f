"""All 42 trainings at the default settings."""

import math

import pytest

from kgen.divergence.estimate import estimate_lines


@pytest.mark.slow
def test_all_42_trainings_find_the_truth():
    for row in estimate_lines("jsd"):
        assert abs(row.estimate - (math.log(2.0) if row.phi else 0.0)) <= 1e-3, row
    for row in estimate_lines("wasserstein"):
        assert abs(row.estimate - abs(row.phi)) <= 1e-2, row
