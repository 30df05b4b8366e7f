"""Sampler: one interface over a run, a SavedModel, a .tflite file and a server; and `generate`, which draws from any.

The same seed gives the same pixels from all of them: the latent points are drawn here, never in a graph.
"""

from kgen.sampling.draw import Samples, generate
from kgen.sampling.exported import SavedModelSampler, TFLiteSampler
from kgen.sampling.opening import is_url, latest_version, open_sampler
from kgen.sampling.sampler import ROWS_A_CALL, ModelSampler, Sampler
from kgen.sampling.server import ServerSampler

__all__ = [
    "ROWS_A_CALL",
    "ModelSampler",
    "Sampler",
    "Samples",
    "SavedModelSampler",
    "ServerSampler",
    "TFLiteSampler",
    "generate",
    "is_url",
    "latest_version",
    "open_sampler",
]
