"""Divergences and densities estimated by critics, and checked where the answer is known.

Names load when they are first used: reading samples needs no TensorFlow.
"""

import importlib

_HOMES = {
    "DensityEstimate": "density",
    "LineEstimate": "estimate",
    "SampleEstimate": "samples",
    "estimate_density": "density",
    "estimate_density_of_samples": "density",
    "estimate_lines": "estimate",
    "estimate_samples": "samples",
    "jsd_from_logits": "estimate",
    "load_samples": "files",
    "wasserstein_from_scores": "estimate",
}

__all__ = [*_HOMES]


def __getattr__(name: str):
    if name in _HOMES:
        return getattr(importlib.import_module(f"kgen.divergence.{_HOMES[name]}"), name)
    raise AttributeError(f"module 'kgen.divergence' has no attribute {name!r}")
