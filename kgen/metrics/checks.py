"""Checks of the features that metrics are given."""

import numpy as np

from kgen.errors import UserError


def checked_features(name: str, features: np.ndarray, *, at_least: int = 2) -> np.ndarray:
    """Features as a float array, [N, d]: float32 and float64 as they are, everything else as float64.

    Args:
        name: of the set, for the message: "real", "fake", ...
        features: [N, d].
        at_least: the smallest N of the metric.

    Raises:
        UserError: not two-dimensional, too few, or not finite.
    """
    features = np.asarray(features)
    if features.dtype not in (np.float32, np.float64):
        features = features.astype(np.float64)
    if features.ndim != 2 or not features.shape[1]:
        raise UserError(f"{name}: features must be [N, d]. Received shape: {features.shape}")
    if len(features) < at_least:
        raise UserError(f"{name}: this metric needs at least {at_least} images. Received: {len(features)}")
    if not np.isfinite(features.sum(axis=1, dtype=np.float64)).all():
        raise UserError(f"{name}: features must be finite. Received: nan or inf in some of the {len(features)} rows")
    return features


def checked_pair(real: np.ndarray, fake: np.ndarray, *, at_least: int = 2) -> tuple[np.ndarray, np.ndarray]:
    """Two sets of features of equal dimension, see `checked_features`."""
    real = checked_features("real", real, at_least=at_least)
    fake = checked_features("fake", fake, at_least=at_least)
    if real.shape[1] != fake.shape[1]:
        raise UserError(
            f"real and fake features must come from one extractor. Received: {real.shape[1]} and {fake.shape[1]} "
            "dimensions"
        )
    return real, fake
