"""Export: a trained model as files that need no kgen, measured against the model they came from."""

from kgen.export.bundle import export, verify

__all__ = ["export", "verify"]
