"""The golden batch: which rows are chosen, and its file."""

import numpy as np
import pytest

from kgen import random
from kgen.errors import ExportFailed, UserError
from kgen.export.golden import CANDIDATES, COUNT, FEW, NEARLY_OPPOSITE, SEED, Golden, golden_batch, paired
from kgen.sampling import StandardNormal
from kgen.spec import DataSpec


class Threshold:
    """A sampler whose single pixel is white where z is above 0.3: two runtimes disagree where z is within rounding."""

    spec, latent_shape, prior, conditional = DataSpec("one", (1, 1, 1)), (1,), "standard_normal", False
    density = StandardNormal((1,))

    def __init__(self, at_the_border: int = 0, white: float = 1.0):
        self.at_the_border, self.white = at_the_border, white

    def decode(self, z, labels=None):
        z = np.array(z, np.float64)
        if len(z) == CANDIDATES:
            z[: self.at_the_border] = 0.3 + 0.5 * (z[: self.at_the_border] - latents()[: self.at_the_border])
        return (self.white * (z > 0.3)).astype(np.float32).reshape(-1, 1, 1, 1)


def latents():
    return random.latents(SEED, CANDIDATES, (1,)).astype(np.float64)


def test_images_that_a_nudge_turns_are_left_out():
    at_the_border = CANDIDATES - COUNT  # all but as many as are wanted
    golden = golden_batch(Threshold(at_the_border))
    assert golden.images.shape == (COUNT, 1, 1, 1)
    np.testing.assert_allclose(np.sort(golden.z, axis=0), np.sort(latents()[at_the_border:], axis=0), atol=2e-5)
    assert 0 < golden.images.mean() < 1


def test_the_points_between_which_is_interpolated_are_not_opposite():
    angles = np.linspace(0, 2 * np.pi, 30)
    z = np.stack([np.cos(angles), np.sin(angles)], axis=1).astype(np.float32)
    z[FEW : 2 * FEW] = -z[:FEW]
    order = paired(z)
    assert sorted(order) == [*range(30)] and order[:FEW].tolist() == [*range(FEW)]
    cosines = (z[order[:FEW]] * z[order[FEW : 2 * FEW]]).sum(axis=1)
    assert (cosines > NEARLY_OPPOSITE).all()
    line = np.array([[1.0]] + [[-1.0]] * (2 * FEW - 1), np.float32)  # where all are opposite, one is taken all the same
    assert sorted(paired(line)) == [*range(2 * FEW)]


def test_without_such_images_the_first_are_taken():
    golden = golden_batch(Threshold())
    np.testing.assert_allclose(np.sort(golden.z, axis=0), np.sort(latents()[:COUNT], axis=0), atol=2e-5)
    pairs = golden.z[:FEW] * golden.z[FEW : 2 * FEW]
    assert (pairs > 0).all()
    assert golden.label is None and golden.mean is None and golden.t.tolist()[:: FEW - 1] == [0.0, 1.0]


def test_it_is_kept_in_a_file(tmp_path):
    golden = golden_batch(Threshold(), lambda images, labels: (images[:, 0, 0], -images[:, 0, 0]))
    golden.save(tmp_path)
    found = Golden.load(tmp_path)
    for name in ("seed", "z", "images", "temperature", "tempered", "t", "interpolated", "mean", "log_var"):
        np.testing.assert_array_equal(getattr(found, name), getattr(golden, name))
    assert found.label is None
    (tmp_path / "golden.npz").write_bytes(b"no zip")
    with pytest.raises(UserError, match=r"golden.npz cannot be read .*export the run again"):
        Golden.load(tmp_path)


def test_a_model_of_nan_is_not_exported():
    with pytest.raises(ExportFailed, match="pixels that are not finite"):
        golden_batch(Threshold(white=np.nan))
