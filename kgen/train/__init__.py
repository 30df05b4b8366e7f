"""Training: the loop, what it writes as it goes, and how the machine is used."""

from kgen.callable_module import make_callable
from kgen.train.loop import prepare, resume, train
from kgen.train.plan import Plan, plan

__all__ = ["Plan", "plan", "prepare", "resume", "train"]

make_callable(__name__, "train")
