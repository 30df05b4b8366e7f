"""Training: the loop, what it writes as it goes, and how the machine is used."""

from kgen.train.dry_run import DryRun
from kgen.train.trainer import prepare, resume, train

__all__ = ["DryRun", "prepare", "resume", "train"]
