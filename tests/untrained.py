"""Runs that nobody trained, for what holds of any weights: exports, samples, likelihoods, and what a log says."""

import shutil
from pathlib import Path

import numpy as np

from kgen import RunConfig, data, random
from kgen.config import override
from kgen.data.training_data import Content
from kgen.models import build_model
from kgen.run import Run
from kgen.train import checks, resolve_defaults


def untrained_run(path: Path, **settings) -> Run:
    """A run directory as far as it is sampled, exported and evaluated.

    Every weight is moved from where it begins, the statistics of batch normalization too: what leaves one out shows.

    Args:
        path: the directory.
        settings: dotted, of the training that it stands for.
    """
    config = checks.checked(override(RunConfig(), settings))
    dataset = data.load(config.data, seed=config.seed)
    config, content = resolve_defaults(config, dataset), Content.of(dataset)
    run = Run.create(config, dataset.spec, data_hashes=content.hashes, data_names=content.names, run_dir=str(path))
    model = build_model(config.model, run.spec, seed=config.seed, **config.model_args)
    draw = random.generator(0, "untrained")
    for weight in (w for network in model.networks for w in network.weights if "float" in w.dtype):
        weight.assign_add(0.1 * (draw.normal(size=weight.shape) if weight.trainable else draw.random(weight.shape)))
    keep_weights(run, model)
    run.finish()
    return run


def keep_weights(run: Run, model):
    """Writes both checkpoints of a run."""
    arrays = {f"model/{i}": np.asarray(weight) for i, weight in enumerate(model.weights)}
    run.step_checkpoints.write(1, arrays, {"epoch": 1, "steps_in_epoch": 0, "step": 1, "metrics": {}})
    shutil.copy(run.checkpoint("last"), run.path / "checkpoints" / "best.npz")
