"""MLflow: a run of the same name, in mlflow/ of the run directory unless MLFLOW_TRACKING_URI says otherwise."""

import contextlib
import logging
import os
import shlex
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

os.environ.setdefault("MLFLOW_DISABLE_TELEMETRY", "true")  # read by the import

import mlflow
from mlflow.entities import Metric, Param

from kgen.train.loggers.base import Logger, hyperparameters, numbers, recorded_as, remember

EXPERIMENT = "kgen"
"""Where the user has named none by MLFLOW_EXPERIMENT_NAME."""


class MLflowLogger(Logger):
    """Rows of metrics.jsonl with the epoch as the step, the settings as parameters, pictures as artifacts.

    A run that is resumed is the same run of MLflow; its parameters stay as they were, which MLflow does not change.
    """

    errors = (mlflow.MlflowException,)

    def begin(self):
        for name in ("mlflow", "alembic"):
            logging.getLogger(name).setLevel(logging.ERROR)
        folder = self.run.path / "mlflow"
        folder.mkdir(exist_ok=True)
        elsewhere = os.environ.get("MLFLOW_TRACKING_URI")
        store = elsewhere or f"sqlite:///{folder.absolute() / 'mlflow.db'}"
        self.client = mlflow.MlflowClient(tracking_uri=store)
        self.id = self._known(recorded_as(folder)) or self._created(None if elsewhere else folder / "artifacts")
        remember(folder, self.id)
        show = "" if elsewhere else f"; to see it: {shlex.join(['mlflow', 'ui', '--backend-store-uri', store])}"
        self.run.log(f"mlflow: run {self.id} in {elsewhere or folder}{show}")

    def _known(self, id: str | None) -> str | None:
        """The id of a run of MLflow, which is open again; None if there is none, as in another store."""
        with contextlib.suppress(mlflow.MlflowException):
            if id:
                self.client.update_run(id, status="RUNNING")
                return id
        return None

    def _created(self, artifacts: Path | None) -> str:
        name = os.environ.get("MLFLOW_EXPERIMENT_NAME", EXPERIMENT)
        experiment = self.client.get_experiment_by_name(name)
        place = artifacts and artifacts.absolute().as_uri()
        number = experiment.experiment_id if experiment else self.client.create_experiment(name, place)
        id = self.client.create_run(number, run_name=self.run.name).info.run_id
        settings = hyperparameters(self.run.config)
        self.client.log_batch(id, params=[Param(name, str(value)) for name, value in settings.items()])
        return id

    def row(self, row: Mapping[str, Any]):
        now = round(1000 * time.time())
        values = [Metric(name, value, now, row["epoch"]) for name, value in numbers(row).items()]
        self.client.log_batch(self.id, metrics=values)

    def images(self, epoch: int, files: Mapping[str, Path]):
        for name, path in files.items():
            self.client.log_artifact(self.id, str(path), name)

    def end(self, finished: bool):
        self.client.set_terminated(self.id, "FINISHED" if finished else "KILLED")
