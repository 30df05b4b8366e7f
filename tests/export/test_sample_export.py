"""The export that comes with the code: small, whole, and as good as when it was written."""

from pathlib import Path

import numpy as np
import pytest

from kgen import generate, open_sampler
from kgen.export import verify_export

EXPORTS = Path(__file__).parents[2] / "exports"
LARGEST_BYTES = 2 * 10**6


@pytest.mark.slow
def test_it_is_small_and_agrees_with_its_golden_batch():
    version, measured = verify_export(EXPORTS / "cvae-mnist")
    assert sum(file.stat().st_size for file in version.rglob("*") if file.is_file()) <= LARGEST_BYTES
    assert {"saved_model generate_png", "model.tflite serving_default", "encoder.tflite encode mean"} <= {*measured}


@pytest.mark.slow
def test_it_draws_digits_of_the_class_that_is_asked_for():
    """A one is the digit with the least ink, a zero has none in its middle."""
    sampler = open_sampler(EXPORTS / "cvae-mnist")
    assert sampler.spec.class_names == tuple("0123456789")
    generated = generate(sampler, 200).images.reshape(20, 10, 28, 28)
    ink = generated.mean(axis=(0, 2, 3))
    assert int(np.argmin(ink)) == 1
    middle = generated[:, :, 12:16, 12:16].mean(axis=(0, 2, 3))
    assert int(np.argmin(middle)) == 0 and middle[1] > 0.5
