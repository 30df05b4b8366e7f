"""Export: a trained model as files that need no kgen, each compared with the model."""

from kgen.export.bundle import export
from kgen.export.verify import verify

__all__ = ["export", "verify"]
