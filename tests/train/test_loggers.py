"""What each logger records of a training, read by the tools of its own: rows, settings, pictures, and resuming.

Those whose packages are not installed are skipped: pip install 'kgen[wandb,mlflow]'.
"""

import json
import time

import numpy as np
import pytest
from PIL import Image

from kgen.cli.train import main
from kgen.config import RunConfig, override
from kgen.errors import UserError
from kgen.run import Run
from kgen.spec import DataSpec
from kgen.train import loggers
from kgen.train.callbacks import Loggers
from kgen.train.loggers import LOGGERS, check_loggers, open_loggers
from kgen.train.loggers.base import Logger

SETTINGS = {"model": "vae", "train.epochs": 3, "train.learning_rate": 0.5, "model_args.hidden": [8, 4]}
ROWS = [
    {"epoch": epoch, "step": 10 * epoch, "images_per_second": 4.0, "train_loss": 8.0 / epoch, "validation_loss": loss}
    for epoch, loss in ((1, 9.0), (2, None), (3, 7.0))
]
LOSSES = {1: 9.0, 3: 7.0}
"""Validation losses, by the epoch; the second was not measured."""


@pytest.fixture
def run(tmp_path):
    spec = DataSpec("digits", (8, 8, 1), 10)
    return Run.create(override(RunConfig(), SETTINGS), spec, run_dir=str(tmp_path / "runs" / "a"))


def record(name: str, run: Run, rows=ROWS, *, finished: bool = True):
    """One logger records rows, and a picture before the first."""
    (logger,) = open_loggers([name], run)
    picture = run.path / "picture.png"
    Image.new("RGB", (4, 2)).save(picture)
    logger.begin()
    logger.images(0, {"samples": picture})
    for row in rows:
        logger.row(row)
    logger.histograms(rows[-1]["epoch"], {"weights/a": np.arange(8.0)})
    logger.end(finished)


def record_twice(name: str, run: Run):
    """A training that was interrupted after its first epoch, and one that resumed it."""
    record(name, run, ROWS[:1], finished=False)
    time.sleep(1.05 - time.time() % 1)  # TensorBoard reads files in the order of their seconds
    record(name, run, ROWS[1:])


def test_hparams_of_tensorboard_show_settings_beside_final_metrics(run):
    """As the tab HParams asks for them, of a folder of runs of which one was resumed."""
    from tensorboard import context
    from tensorboard.backend.event_processing.data_provider import MultiplexerDataProvider
    from tensorboard.backend.event_processing.plugin_event_multiplexer import EventMultiplexer
    from tensorboard.plugins.base_plugin import TBContext
    from tensorboard.plugins.hparams import api_pb2, get_experiment, list_session_groups
    from tensorboard.plugins.hparams.backend_context import Context

    folder = run.path.parent
    other = override(run.config, {"train.learning_rate": 0.25})
    record_twice("tensorboard", run)
    record("tensorboard", Run.create(other, run.spec, run_dir=str(folder / "b")), finished=False)
    events = EventMultiplexer().AddRunsFromDirectory(str(folder))
    events.Reload()
    backend = Context(TBContext(data_provider=MultiplexerDataProvider(events, str(folder)), logdir=str(folder)))
    request = context.RequestContext()
    found = get_experiment.Handler(request, backend, "", api_pb2.GetExperimentRequest()).run()
    settings = {info.name: info.differs for info in found.hparam_infos}
    assert [name for name, differs in settings.items() if differs] == ["train.learning_rate"]
    assert {"model", "seed", "data.dataset", "model_args.hidden"} < {*settings}
    wanted = api_pb2.ListSessionGroupsRequest(
        start_index=0, slice_size=9, allowed_statuses=[api_pb2.STATUS_SUCCESS, api_pb2.STATUS_UNKNOWN],
        col_params=[api_pb2.ColParams(metric=info.name) for info in found.metric_infos],
    )  # fmt: skip
    groups = list_session_groups.Handler(request, backend, "", wanted).run().session_groups
    by_rate = {group.hparams["train.learning_rate"].number_value: group for group in groups}
    assert {*by_rate} == {0.5, 0.25}
    group = by_rate[0.5]
    assert group.hparams["model"].string_value == "vae" and group.hparams["model_args.hidden"].string_value == "[8, 4]"
    last = {metric.name.tag: metric.value for metric in group.metric_values}
    assert last == {"loss/train": np.float32(8 / 3), "loss/validation": 7.0}
    ended = [by_rate[rate].sessions[0].status for rate in (0.5, 0.25)]
    assert ended == [api_pb2.STATUS_SUCCESS, api_pb2.STATUS_UNKNOWN]
    values = events.Tensors("a/tensorboard", "loss/validation")
    assert {event.step: event.tensor_proto.float_val[0] for event in values} == LOSSES


def test_wandb_records_rows_offline_and_a_resumed_run_is_the_same(run, monkeypatch, capfd):
    pytest.importorskip("wandb", reason="needs wandb: pip install 'kgen[wandb]'")
    for name in ("WANDB_MODE", "WANDB_PROJECT", "WANDB_NAME"):
        monkeypatch.delenv(name, raising=False)
    record_twice("wandb", run)
    files = sorted(run.path.glob("wandb/offline-run-*/*.wandb"))
    found = [{kind: [*records(file, kind)] for kind in ("run", "history", "exit")} for file in files]
    runs = [one["run"][0] for one in found]
    assert len(files) == 2 and len({one.run_id for one in runs}) == 1 and runs[0].run_id in files[0].name
    assert {(one.display_name, one.project) for one in runs} == {("a", "kgen")}
    settings = {item.key: json.loads(item.value_json) for item in runs[0].config.update}
    assert settings["model"] == "vae" and settings["train"]["learning_rate"] == 0.5
    rows = [{item.key or ".".join(item.nested_key): json.loads(item.value_json) for item in history.item}
            for one in found for history in one["history"]]  # fmt: skip
    assert {row["_step"]: row["validation_loss"] for row in rows if "validation_loss" in row} == LOSSES
    assert [row["step"] for row in rows if "step" in row] == [10, 20, 30]
    assert rows[0]["samples.width"] == 4 and (files[0].parent / "files" / rows[0]["samples.path"]).is_file()
    assert [one["exit"][0].exit_code for one in found] == [1, 0]
    out, err = capfd.readouterr()
    said = [line.partition(" /")[0] for line in out.splitlines()]
    assert not err and said == ["wandb: offline; to upload this training: wandb sync"] * 2


def records(file, kind: str):
    """The records of a kind in a file of W&B: a LevelDB log of protocol buffers, after a header of 7 bytes."""
    from wandb.proto import wandb_internal_pb2

    content, place, whole = file.read_bytes(), 7, b""
    while place + 7 <= len(content):
        if 2**15 - place % 2**15 < 7:  # the end of a block
            place += 2**15 - place % 2**15
            continue
        size, part = int.from_bytes(content[place + 4 : place + 6], "little"), content[place + 6]
        whole += content[place + 7 : place + 7 + size]
        place += 7 + size
        if part in (1, 4):  # full, or the last of several
            found = wandb_internal_pb2.Record.FromString(whole)
            whole = b""
            if found.WhichOneof("record_type") == kind:
                yield getattr(found, kind)


def test_mlflow_records_rows_and_a_resumed_run_is_the_same(run, monkeypatch, capfd):
    mlflow = pytest.importorskip("mlflow", reason="needs mlflow: pip install 'kgen[mlflow]'")
    pytest.importorskip("sqlalchemy", reason="needs sqlalchemy: pip install 'kgen[mlflow]'")
    for name in ("MLFLOW_TRACKING_URI", "MLFLOW_EXPERIMENT_NAME"):
        monkeypatch.delenv(name, raising=False)
    record_twice("mlflow", run)
    client = mlflow.MlflowClient(tracking_uri=f"sqlite:///{run.path / 'mlflow' / 'mlflow.db'}")
    (found,) = client.search_runs([client.get_experiment_by_name("kgen").experiment_id])
    assert found.info.run_name == "a" and found.info.status == "FINISHED"
    assert found.data.params["model"] == "vae" and found.data.params["model_args.hidden"] == "[8, 4]"
    history = client.get_metric_history(found.info.run_id, "validation_loss")
    assert {value.step: value.value for value in history} == LOSSES
    assert [value.value for value in client.get_metric_history(found.info.run_id, "step")] == [10, 20, 30]
    assert [file.path for file in client.list_artifacts(found.info.run_id, "samples")] == ["samples/picture.png"]
    out, err = capfd.readouterr()
    assert not err and [line.split()[:2] for line in out.splitlines()] == [["mlflow:", "run"]] * 2


def test_a_logger_that_fails_does_not_end_the_training(run, capsys):
    class Failing(Logger):
        errors = (ConnectionError,)
        calls = 0

        def row(self, row):
            Failing.calls += 1
            raise ConnectionError("the server is gone\nlast seen on Monday")

    seen = []
    healthy = Logger(run)
    healthy.row = seen.append
    both = Loggers(run, ROWS, [Failing(run), healthy])
    both.begin()
    for row in ROWS:
        both.on_row(row)
    both.end(True)
    assert seen == ROWS and Failing.calls == 1
    assert "note: Failing has stopped, the training goes on: the server is gone\n" in capsys.readouterr().out


def test_a_logger_without_its_package_is_refused_before_tensorflow(monkeypatch, capsys):
    find = loggers.importlib.util.find_spec
    monkeypatch.setattr(loggers.importlib.util, "find_spec", lambda name: None if name == "mlflow" else find(name))
    assert main(["--logger", "tensorboard,mlflow"]) == 2
    assert capsys.readouterr().err == (
        "kgen-train: --logger mlflow needs mlflow; install it with: pip install 'kgen[mlflow]'\n"
    )
    with pytest.raises(UserError, match="unknown logger 'tensorbord': did you mean 'tensorboard'"):
        check_loggers(["tensorbord"])


def test_none_is_no_logger_and_an_old_run_has_the_default(run):
    check_loggers(["none"])
    assert open_loggers(["none"], run) == [] and {*LOGGERS} == {"tensorboard", "wandb", "mlflow", "none"}
    values = run.config.to_json()
    del values["train"]["logger"]
    assert RunConfig.from_json(values) == run.config and run.config.train.logger == ("tensorboard",)
