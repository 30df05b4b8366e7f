"""Evaluation: figures that say how they were measured."""

from kgen.callable_module import make_callable
from kgen.evaluate.evaluator import EvalConfig, Evaluator, evaluate
from kgen.evaluate.measures import METRICS
from kgen.evaluate.reference import Reference, load_reference
from kgen.evaluate.watch import Watch

__all__ = ["METRICS", "EvalConfig", "Evaluator", "Reference", "Watch", "evaluate", "load_reference"]

make_callable(__name__, "evaluate")
