"""Sampler: one interface over a run, a SavedModel, a .tflite file and a server; and `generate`, which draws from any.

The same seed gives the same picture from all of them: the latent points are drawn here from a prior, never in a graph,
and the pixels agree to the rounding of what decodes them.
"""

from kgen.sampling.exported import SavedModelSampler, TFLiteSampler
from kgen.sampling.opening import Samples, generate, is_url, latest_version, open_run, open_sampler
from kgen.sampling.priors import PRIORS, GaussianMixture, Prior, StandardNormal, check_prior, stored_priors
from kgen.sampling.remote import GrpcSampler, ServerSampler
from kgen.sampling.sampler import ROWS_A_CALL, ModelSampler, Sampler

__all__ = [
    "PRIORS",
    "ROWS_A_CALL",
    "GaussianMixture",
    "GrpcSampler",
    "ModelSampler",
    "Prior",
    "Sampler",
    "Samples",
    "SavedModelSampler",
    "ServerSampler",
    "StandardNormal",
    "TFLiteSampler",
    "check_prior",
    "generate",
    "is_url",
    "latest_version",
    "open_run",
    "open_sampler",
    "stored_priors",
]
