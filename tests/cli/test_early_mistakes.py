"""A mistake that a name, a number, a path or a run's config.json shows is answered before TensorFlow is imported."""

import json
import socket
import subprocess
import sys

import numpy as np
import pytest

from kgen.config import RunConfig, override
from kgen.run import FORMAT
from kgen.spec import DataSpec

PROGRAM = """
import contextlib, importlib, io, json, sys
sys.path.insert(0, "instead")
answers = []
for command, *arguments in json.load(sys.stdin):
    with contextlib.redirect_stderr(io.StringIO()) as err:
        try:
            code = importlib.import_module(f"kgen.cli.{command}").main(arguments)
        except RuntimeError as error:
            code = repr(error)
    answers.append([code, err.getvalue()])
print(json.dumps(answers))
"""

MISTAKES = {
    "serve empty": "holds no model",
    "serve nowhere": "no folder nowhere; name the one that holds exports",
    "serve exports --port TAKEN --grpc_port 0": "--port TAKEN on --host 127.0.0.1: Address already in use",
    "serve exports --port 0 --grpc_port TAKEN": "--grpc_port TAKEN on --host 127.0.0.1 cannot be taken",
    "train --run_dir exports": "--run_dir exports is not empty",
    "train --run_dir p.npy/run": "--run_dir p.npy/run: Not a directory; name a place that can be written",
    "train --runs_root p.npy/runs": "--runs_root p.npy/runs: Not a directory; name a place that can be written",
    "train --model dcgan --prior gaussian_mixture": "model 'dcgan' has no encoder",
    "train --model dcgan --features squeezenet": "features 'squeezenet' need a file of weights",
    "train --model dcgan --patience 3": "the losses of 'dcgan' choose none",
    "train --model vae_gan --set train.init_from=nowhere": "nowhere does not exist; kgen-train writes one",
    "train --model dcgan --set train.init_from=cvae": "'dcgan' cannot start from cvae, a cvae",
    "train --model vae --freeze_layers 1": "'vae' has no discriminator",
    "export cvae --to e --with_discriminator": "model 'cvae' has no discriminator; leave out the flag",
    "train --resume empty": "empty is no run directory",
    "train --resume cvae --set model_args.latent_dim=3": "model_args.latent_dim was 2, is 3",
    "train --dataset": "--dataset takes a value; see kgen-train --help",
    "train --dataset nowhere/at/all": "dataset 'nowhere/at/all' does not exist",
    "train --dataset empty": "empty holds no images, it is an empty folder",
    "train --dataset mnistt": "unknown dataset 'mnistt'",
    "export --verify nowhere": "nowhere does not exist; give exports/NAME",
    "export --verify empty": "empty is no export; give exports/NAME",
    "export cvae --to p.npy/e": "--to p.npy/e: Not a directory; name a folder that can be written",
    "export dcgan --to e --prior gaussian_mixture": "model 'dcgan' has no encoder",
    "export cvae --to e --checkpoint last": "has no checkpoint 'last'",
    "explore cvae --label eleven": "label 'eleven' is no class of 'digits'",
    "explore dcgan --label 1": "the model is unconditional",
    "explore cvae --what pages": "unknown picture 'pages': did you mean 'page'",
    "explore cvae --dims 0,99": "--dims takes two of the dimensions 0 to 1. Received: 0,99",
    "explore cvae --dataset nowhere/": "dataset 'nowhere/' does not exist",
    "explore cvae --out p.npy/e": "the pictures of cvae cannot be written",
    "eval cvae --dataset nowhere/": "dataset 'nowhere/' does not exist",
    "eval cvae --out p.npy/e.jsonl": "--out p.npy/e.jsonl cannot be written",
    "divergence --phi a": "--phi takes numbers with commas between them",
    "divergence --p nowhere.npy --q q.npy": "--p is to be a .npy file. Received: nowhere.npy",
    "divergence --p p.npy --q q.npy": "rows of one length. Received: 2 numbers per row in p, 1 in q",
    "divergence --estimator density --p p.npy": "samples of one number per row. Received: 2 per row in p",
}
"""Command line -> words of the message; TAKEN is a port in use."""


@pytest.fixture(scope="module")
def answers(tmp_path_factory):
    """Command line -> (exit code, what it wrote to standard error), all from one process, and the port."""
    root = tmp_path_factory.mktemp("early")
    spec = DataSpec("digits", (8, 8, 1), 10, tuple(map(str, range(10))), {"train": 100})
    decided = {
        "epochs": 1, "batch_size": 16, "learning_rate": 1e-3, "steps_per_execution": 1, "jit_compile": False,
        "validate_every": 1, "samples_every": 1, "ema_halflife_images": 0.0,
    }  # fmt: skip
    for model in ("cvae", "dcgan"):
        settings = {"model": model, "model_args.latent_dim": 2} | {f"train.{key}": decided[key] for key in decided}
        config = override(RunConfig(), settings).to_json()
        (root / model / "checkpoints").mkdir(parents=True)
        (root / model / "checkpoints" / "best.npz").write_bytes(b"is not opened")
        (root / model / "config.json").write_text(json.dumps({"format": FORMAT, "spec": spec.to_json(), **config}))
    for package in ("tensorflow", "keras"):
        (root / "instead" / package).mkdir(parents=True)
        (root / "instead" / package / "__init__.py").write_text(f"raise RuntimeError('{package} is imported')")
    np.save(root / "p.npy", np.arange(120.0).reshape(60, 2))
    np.save(root / "q.npy", np.arange(60.0))
    (root / "exports" / "m" / "1").mkdir(parents=True)
    (root / "exports" / "m" / "1" / "saved_model.pb").write_bytes(b"is not opened")
    (root / "empty").mkdir()
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = str(taken.getsockname()[1])
        lines = json.dumps([line.replace("TAKEN", port).split() for line in MISTAKES])
        done = subprocess.run([sys.executable, "-c", PROGRAM], input=lines, capture_output=True, text=True, cwd=root)
    assert done.returncode == 0, done.stderr
    return dict(zip(MISTAKES, json.loads(done.stdout), strict=True)), port


@pytest.mark.parametrize("line", MISTAKES)
def test_it_is_answered_without_tensorflow(answers, line):
    found, port = answers
    code, message = found[line]
    assert (code, MISTAKES[line].replace("TAKEN", port) in message) == (2, True), message
    assert message.count("\n") == 1
