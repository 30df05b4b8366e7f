"""Which samples an export is compared on."""

import numpy as np
import pytest

from kgen import rng
from kgen.errors import ExportFailed, UserError
from kgen.export.golden import CANDIDATES, COUNT, FEW, SEED, Golden, golden_batch
from kgen.sampling import StandardNormal
from kgen.spec import DataSpec


class Drawn:
    """A sampler whose single pixel is white where z is above 0.3: two runtimes disagree where z is within rounding."""

    spec, latent_shape, prior, conditional = DataSpec("one", (1, 1, 1)), (1,), "standard_normal", False
    density = StandardNormal((1,))

    def __init__(self, at_the_border: int = 0, white: float = 1.0):
        self.at_the_border, self.white = at_the_border, white

    def decode(self, z, labels=None):
        z = np.array(z, np.float64)
        if len(z) == CANDIDATES:
            z[: self.at_the_border] = 0.3 + 0.5 * (z[: self.at_the_border] - drawn()[: self.at_the_border])
        return (self.white * (z > 0.3)).astype(np.float32).reshape(-1, 1, 1, 1)


def drawn():
    return rng.latents(SEED, CANDIDATES, (1,)).astype(np.float64)


def test_images_that_a_nudge_turns_are_left_out():
    at_the_border = CANDIDATES - COUNT  # all but as many as are wanted
    golden = golden_batch(Drawn(at_the_border))
    assert golden.images.shape == (COUNT, 1, 1, 1)
    np.testing.assert_allclose(golden.z, drawn()[at_the_border:], atol=2e-5)
    assert 0 < golden.images.mean() < 1


def test_without_such_images_the_first_are_taken():
    golden = golden_batch(Drawn())
    np.testing.assert_allclose(golden.z, drawn()[:COUNT], atol=2e-5)
    assert golden.label is None and golden.mean is None and golden.t.tolist()[:: FEW - 1] == [0.0, 1.0]


def test_it_is_kept_in_a_file(tmp_path):
    golden = golden_batch(Drawn(), lambda images, labels: (images[:, 0, 0], -images[:, 0, 0]))
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
        golden_batch(Drawn(white=np.nan))
