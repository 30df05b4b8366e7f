"""Divergences and densities estimated by critics, and checked where the answer is known."""

from kgen.divergence.density import DensityEstimate, estimate_density, estimate_density_of_samples
from kgen.divergence.estimate import LineEstimate, estimate_lines, jsd_from_logits, wasserstein_from_scores
from kgen.divergence.samples import SampleEstimate, estimate_samples, load_samples

__all__ = [
    "DensityEstimate",
    "LineEstimate",
    "SampleEstimate",
    "estimate_density",
    "estimate_density_of_samples",
    "estimate_lines",
    "estimate_samples",
    "jsd_from_logits",
    "load_samples",
    "wasserstein_from_scores",
]
