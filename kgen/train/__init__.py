"""Training: the loop, its defaults and callbacks, checkpoints and resuming, diagnostics, several devices."""

from kgen.train.defaults import resolve_defaults
from kgen.train.dry_run import DryRun, dry_run
from kgen.train.trainer import resume, train

__all__ = ["DryRun", "dry_run", "resolve_defaults", "resume", "train"]
