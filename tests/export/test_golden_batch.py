"""Which samples an export is compared on."""

import numpy as np

from kgen.export import verify
from kgen.sampling import StandardNormal
from kgen.spec import DataSpec


class Drawn:
    """A sampler whose single pixel is white where z is above 0.3: two runtimes disagree where z is within rounding."""

    spec, latent_shape, prior, conditional = DataSpec("one", (1, 1, 1)), (1,), "standard_normal", False
    density = StandardNormal((1,))

    def __init__(self, at_the_border: int):
        self.at_the_border = at_the_border

    def decode(self, z, labels=None):
        z = np.array(z, np.float64)
        if len(z) == verify.GOLDEN_CANDIDATES:
            z[: self.at_the_border] = 0.3 + 0.5 * (z[: self.at_the_border] - self.drawn[: self.at_the_border])
        return (z > 0.3).astype(np.float32).reshape(-1, 1, 1, 1)

    @property
    def drawn(self):
        return self.density.draw(verify.GOLDEN_SEED, verify.GOLDEN_CANDIDATES).astype(np.float64)


def test_images_that_a_nudge_turns_are_left_out():
    at_the_border = verify.GOLDEN_CANDIDATES - verify.GOLDEN_COUNT  # all but as many as are wanted
    golden = verify.golden_batch(Drawn(at_the_border))
    assert golden.images.shape == (verify.GOLDEN_COUNT, 1, 1, 1)
    np.testing.assert_array_equal(golden.z, Drawn(0).drawn[at_the_border:])
    assert 0 < golden.images.mean() < 1


def test_without_such_images_the_first_are_taken():
    np.testing.assert_array_equal(verify.golden_batch(Drawn(0)).z, Drawn(0).drawn[: verify.GOLDEN_COUNT])
