"""A run at gs://, by TensorFlow's own client and a stand-in for the service: SIGTERM, and on another machine on."""

import json
import os
import subprocess
import sys
from pathlib import Path

import kill_and_resume
import pytest
from cloud_storage import cloud_storage
from test_resume import SMALL

import kgen

pytest.importorskip("trustme")
ADDRESS = "gs://bucket/runs/a"
FLAGS = ["--model", SMALL["model"]]
FLAGS += [word for name, value in SMALL.items() for word in ("--set", f"{name}={value}") if name != "model"]
KILLED = """
import os, signal, sys
from kgen import imports
imports.for_a_command()  # before TensorFlow is imported
from kgen.cli.train import main
from kgen.train.checkpointing import CheckpointCallback

begun = CheckpointCallback.on_train_batch_begin
def begin(self, batch, logs=None):
    begun(self, batch, logs)
    if int(self.model.step.numpy()) >= 9:  # the next call ends with step 10
        os.kill(os.getpid(), signal.SIGTERM)
CheckpointCallback.on_train_batch_begin = begin
sys.exit(main(sys.argv[1:]))
"""
TRAIN = "import sys; from kgen.cli.train import main; sys.exit(main(sys.argv[1:]))"
READ = """
import json, sys
from kgen.run import Run
import kill_and_resume
print(json.dumps(kill_and_resume.outcome(Run.open(sys.argv[1]).path)))
"""


@pytest.mark.slow
def test_a_training_at_gs_ends_by_sigterm_and_goes_on_elsewhere(tmp_path):
    """One write in twenty is refused; the client of TensorFlow, or kgen, repeats it."""
    path = os.pathsep.join([str(Path(kgen.__file__).parents[1]), str(Path(kill_and_resume.__file__).parent)])

    def on(machine: str, program: str, *words: str) -> subprocess.CompletedProcess:
        own = {"KGEN_CACHE_DIR": str(tmp_path / machine), "PYTHONPATH": path}
        command = [sys.executable, "-c", program, *words]
        return subprocess.run(command, env=environment | own, capture_output=True, text=True, cwd=tmp_path)

    with cloud_storage(tmp_path, 0.05) as (server, environment):
        done = on("first", KILLED, *FLAGS, "--run_dir", ADDRESS)
        assert done.returncode == 130 and f"resume with: kgen-train --resume {ADDRESS}" in done.stdout, done.stderr
        names = json.loads(server.objects["bucket/runs/a/RUN.json"][0])["files"]
        assert "FAILED" in names and "checkpoints/step-000000010.npz" in names
        done = on("second", TRAIN, "--resume", ADDRESS)
        assert done.returncode == 0 and "after step 10" in done.stdout, done.stderr
        done = on("third", READ, ADDRESS)
        assert on("third", TRAIN, *FLAGS, "--run_dir", "alone").returncode == 0
        assert json.loads(done.stdout) == kill_and_resume.outcome(tmp_path / "alone")
        names = json.loads(server.objects["bucket/runs/a/RUN.json"][0])["files"]
        assert "DONE" in names and "FAILED" not in names and server.refused > 0
        objects = {name.removeprefix("bucket/runs/a/files/") for name in server.objects}
        assert len(objects) <= 1 + len(names)  # what no state names is removed
