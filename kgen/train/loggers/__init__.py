"""Loggers: where a training is recorded beside metrics.jsonl, one module each.

The names stand here, without what the loggers need, so that flags and help are made from them; a logger is imported
when a training begins.
"""

import importlib.util
from collections.abc import Sequence
from dataclasses import dataclass

from kgen.errors import UserError
from kgen.options import load_name
from kgen.registry import Registry


@dataclass(frozen=True)
class LoggerEntry:
    """An entry of LOGGERS.

    Attributes:
        help: one line.
        home: "module:name" of its class; "" of the name that stands for no logger.
        package: that must be installed for it, the name of an extra of kgen; "" for none.
    """

    help: str
    home: str = ""
    package: str = ""


LOGGERS: Registry = Registry("logger")
LOGGERS |= {
    "tensorboard": LoggerEntry(
        "event files in tensorboard/ of the run: losses, pictures, histograms, HParams",
        "kgen.train.loggers.tensorboard:TensorBoardLogger",
    ),
    "wandb": LoggerEntry(
        "Weights & Biases, offline in wandb/ of the run unless WANDB_MODE is set",
        "kgen.train.loggers.wandb:WandbLogger",
        "wandb",
    ),
    "mlflow": LoggerEntry(
        "MLflow, in mlflow/ of the run unless MLFLOW_TRACKING_URI is set",
        "kgen.train.loggers.mlflow:MLflowLogger",
        "mlflow",
    ),
    "none": LoggerEntry("no logger"),
}


def check_loggers(names: Sequence[str]):
    """Raises UserError for an unknown logger, or one whose package is not installed."""
    for name in names:
        package = LOGGERS[name].package
        if package and importlib.util.find_spec(package) is None:
            raise UserError(f"--logger {name} needs {package}; install it with: pip install 'kgen[{package}]'")


def open_loggers(names: Sequence[str], run) -> list:
    """The loggers of these names, each once, for a run; they have not begun."""
    homes = dict.fromkeys(LOGGERS[name].home for name in names)
    return [load_name(home)(run) for home in homes if home]
