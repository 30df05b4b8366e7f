"""ImageSet: images with all that measures ask of them, each computed once."""

from collections.abc import Mapping
from functools import cached_property
from typing import Any

import numpy as np

from kgen.cache import cached_arrays
from kgen.data.reference import RealImages
from kgen.features.extractors import Extractor
from kgen.metrics.frechet import Moments, moments


class ImageSet:
    """Real or generated images.

    Args:
        pixels: [N, H, W, C] uint8.
        labels: [N] int32, or None.
        extractor: of `features` and `logits`.
        classifier: of `class_logits`; None without labelled data.
        key: says for ever what the images are, so that what is extracted is kept on disk; None keeps nothing.
    """

    def __init__(
        self,
        pixels: np.ndarray,
        labels: np.ndarray | None,
        extractor: Extractor,
        classifier: Extractor | None = None,
        key: Mapping[str, Any] | None = None,
    ):
        self.pixels, self.labels, self.key = pixels, labels, key
        self.extractor, self.classifier = extractor, classifier

    @classmethod
    def real(cls, images: RealImages, extractor: Extractor, classifier: Extractor | None = None) -> "ImageSet":
        """A set of real images; what is extracted of them is kept on disk."""
        key = {"data": images.hash, "split": images.split, "part": images.part}
        return cls(images.pixels, images.labels, extractor, classifier, key)

    def __len__(self) -> int:
        return len(self.pixels)

    @property
    def features(self) -> np.ndarray:
        """[N, d] float32."""
        return self._extracted["features"]

    @property
    def logits(self) -> np.ndarray | None:
        """[N, K] float32 of the extractor, or of the classifier where the extractor is none; None without either."""
        return self._extracted["logits"] if self.extractor.num_classes else self.class_logits

    @property
    def class_logits(self) -> np.ndarray | None:
        """[N, num_classes] float32 of the classifier of the data set; None without one."""
        return self._classified["logits"] if self.classifier else None

    @property
    def predicted(self) -> np.ndarray:
        """The class of each image by the classifier of the data set, [N] int32."""
        return self.class_logits.argmax(axis=1).astype(np.int32)

    @cached_property
    def moments(self) -> Moments:
        """Mean and covariance of the features."""
        if self.key is None:
            return moments(self.features)

        def make():
            found = moments(self.features)
            return {"mean": found.mean, "covariance": found.covariance}

        return Moments(**cached_arrays("moments", self._key_for(self.extractor), make), count=len(self))

    @cached_property
    def _extracted(self) -> dict[str, np.ndarray]:
        if self.classifier is not None and self.extractor.hash == self.classifier.hash:
            return self._classified
        return self._extract(self.extractor)

    @cached_property
    def _classified(self) -> dict[str, np.ndarray]:
        return self._extract(self.classifier)

    def _extract(self, extractor: Extractor) -> dict[str, np.ndarray]:
        def make():
            features, logits = extractor(self.pixels)
            return {"features": features} if logits is None else {"features": features, "logits": logits}

        return make() if self.key is None else cached_arrays("features", self._key_for(extractor), make)

    def _key_for(self, extractor: Extractor) -> dict[str, Any]:
        return {**self.key, "extractor": extractor.hash, "range": extractor.value_range, "resizer": extractor.resizer}
