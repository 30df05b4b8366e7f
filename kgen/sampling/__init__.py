"""Sampling: one interface over a run, a SavedModel, a .tflite file and a server; `generate` works with each of them."""

from kgen.sampling.exported import ONNXSampler, SavedModelSampler, TFLiteSampler
from kgen.sampling.files import generator_name, made_by
from kgen.sampling.opening import (
    SINGLE_FILES,
    certified_file,
    check_generator,
    described,
    is_url,
    latest_version,
    open_run,
    open_sampler,
)
from kgen.sampling.priors import PRIORS, GaussianMixture, Prior, StandardNormal, check_prior, stored_priors
from kgen.sampling.remote import GrpcSampler, ServerSampler, read_token
from kgen.sampling.sampler import ROWS_PER_CALL, ModelSampler, Sampler, Samples, check_request, generate

__all__ = [
    "PRIORS",
    "ROWS_PER_CALL",
    "SINGLE_FILES",
    "GaussianMixture",
    "GrpcSampler",
    "ModelSampler",
    "ONNXSampler",
    "Prior",
    "Sampler",
    "Samples",
    "SavedModelSampler",
    "ServerSampler",
    "StandardNormal",
    "TFLiteSampler",
    "certified_file",
    "check_generator",
    "check_prior",
    "check_request",
    "described",
    "generate",
    "generator_name",
    "is_url",
    "latest_version",
    "made_by",
    "open_run",
    "open_sampler",
    "read_token",
    "stored_priors",
]
