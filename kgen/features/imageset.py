"""Sets of images, with what extractors compute of them: each extractor runs once per set."""

from collections.abc import Mapping
from typing import Any

import numpy as np

from kgen.cache import cached_arrays
from kgen.data.reference import RealImages
from kgen.features.extractors import Extractor
from kgen.metrics.frechet import Moments, moments


class MirroredImages:
    """Images [N, H, W, C] that are mirrored left to right when they are sliced."""

    def __init__(self, pixels):
        self._pixels = pixels

    def __len__(self) -> int:
        return len(self._pixels)

    def __getitem__(self, rows) -> np.ndarray:
        return np.asarray(self._pixels[rows])[..., ::-1, :]


class ImageSet:
    """Real or generated images.

    Args:
        pixels: [N, H, W, C] uint8.
        labels: [N] int32, or None.
        key: identifies the images for ever, so that what is extracted is cached on disk; None caches in memory only.
    """

    def __init__(self, pixels: np.ndarray, labels: np.ndarray | None = None, key: Mapping[str, Any] | None = None):
        self.pixels, self.labels, self.key = pixels, labels, key
        self._extracted: dict[str, dict[str, np.ndarray]] = {}
        self._moments: dict[str, Moments] = {}

    @classmethod
    def real(cls, images: RealImages) -> "ImageSet":
        """A set of real images; what is extracted of them is cached on disk."""
        return cls(images.pixels, images.labels, {"data": images.hash, "split": images.split, "part": images.part})

    def mirrored(self) -> "ImageSet":
        """The same images, mirrored left to right."""
        return ImageSet(MirroredImages(self.pixels), self.labels, self.key and {**self.key, "mirrored": True})

    def __len__(self) -> int:
        return len(self.pixels)

    def features(self, extractor: Extractor) -> np.ndarray:
        """[N, d] float32."""
        return self._extract(extractor)["features"]

    def logits(self, extractor: Extractor) -> np.ndarray:
        """[N, K] float32 of an extractor that classifies."""
        return self._extract(extractor)["logits"]

    def moments(self, extractor: Extractor) -> Moments:
        """Mean and covariance of the features."""
        if extractor.hash not in self._moments:
            self._moments[extractor.hash] = self._compute_moments(extractor)
        return self._moments[extractor.hash]

    def _compute_moments(self, extractor: Extractor) -> Moments:
        if self.key is None:
            return moments(self.features(extractor))

        def make():
            found = moments(self.features(extractor))
            return {"mean": found.mean, "covariance": found.covariance}

        return Moments(**cached_arrays("moments", self._key_for(extractor), make), count=len(self))

    def _extract(self, extractor: Extractor) -> dict[str, np.ndarray]:
        def make():
            features, logits = extractor(self.pixels)
            return {"features": features} if logits is None else {"features": features, "logits": logits}

        if extractor.hash not in self._extracted:
            found = make() if self.key is None else cached_arrays("features", self._key_for(extractor), make)
            self._extracted[extractor.hash] = found
        return self._extracted[extractor.hash]

    def _key_for(self, extractor: Extractor) -> dict[str, Any]:
        return {**self.key, "extractor": extractor.hash, "range": extractor.value_range, "resizer": extractor.resizer}
