"""The bundle that `kgen-export` writes: exports/NAME/VERSION/ with a SavedModel, a .tflite file and a manifest.

exports/NAME is a model base path as TF Serving polls it, so a version appears whole or not at all.
"""

import hashlib
import os
import shutil
from pathlib import Path
from typing import Any

import numpy as np

from kgen import sampling
from kgen.errors import UserError
from kgen.export import verify
from kgen.export.saved_model import signatures, write_saved_model
from kgen.export.tflite import write_tflite
from kgen.files import write_json
from kgen.run import Run, check_space, versions
from kgen.sampling.exported import prior_file


def export(run: str | Path | Run, to: str | Path, *, checkpoint: str = "best", prior: str | None = None) -> Path:
    """Exports a run as the next version of `to`.

    Args:
        run: a run, or its directory.
        to: exports/NAME.
        checkpoint: "best" or "last".
        prior: what z is drawn from unless a reader of the export says otherwise; None takes what the run was trained
            with. Every fitted prior that the run has stored for these weights goes along.

    Returns:
        exports/NAME/VERSION, with saved_model.pb, variables/, model.tflite, prior-NAME.npz and manifest.json.

    Raises:
        UserError: no such run or prior, or the place cannot be written.
        ExportFailed: an artefact differs from the model by more than `verify` allows; nothing is left.
    """
    run, to = (run if isinstance(run, Run) else Run.open(run)), Path(to)
    sampler = sampling.open_run(run, checkpoint=checkpoint, prior=prior)
    model = sampler.model
    try:
        check_space(to, "--to")
        to.mkdir(parents=True, exist_ok=True)
        staging = to / f".part-{os.getpid()}"
        shutil.rmtree(staging, ignore_errors=True)
        staging.mkdir()
    except OSError as error:
        raise UserError(f"--to {to}: {error.strerror or error}; name a place that can be written") from error
    try:
        functions = signatures(model)
        write_saved_model(functions, staging)
        write_tflite(model, staging / "model.tflite")
        priors = sampling.stored_priors(run, model, checkpoint)
        for fitted in priors:
            fitted.save(prior_file(staging, fitted.name))
        manifest = _manifest(run, sampler, checkpoint, functions, priors, staging)
        write_json(staging / "manifest.json", manifest)
        manifest["measured"] = _measure(sampler, staging)
        write_json(staging / "manifest.json", manifest)
        return _publish(staging, to)
    finally:
        shutil.rmtree(staging, ignore_errors=True)


def _manifest(
    run: Run, sampler: sampling.ModelSampler, checkpoint: str, functions, priors, folder: Path
) -> dict[str, Any]:
    model = sampler.model
    return {
        "model": run.config.model,
        "model_args": dict(run.config.model_args),
        "spec": run.spec.to_json(),
        "latent_shape": list(model.latent_shape),
        "prior": sampler.prior,
        "priors": {sampling.StandardNormal.name: None} | {fitted.name: fitted.hash for fitted in priors},
        "conditional": model.conditional,
        "signatures": {name: _signature(function) for name, function in functions.items()},
        "run": run.name,
        "data": run.config.to_json()["data"],
        "data_hashes": run.data_hashes,
        "seed": run.config.seed,
        "parameters": model.parameters,
        "weights_hash": model.weights_hash(),
        "checkpoint": {"which": checkpoint, **run.checkpoint_state().get(checkpoint, {})},
        "weights_sha256": hashlib.sha256(run.checkpoint(checkpoint).read_bytes()).hexdigest(),
        "bytes": {"model.tflite": (folder / "model.tflite").stat().st_size, "saved_model": _saved_model_bytes(folder)},
        "versions": versions(),
    }


def _signature(function) -> dict[str, dict[str, Any]]:
    inputs = [t for t in function.structured_input_signature[0] if t is not None]  # None: no label is taken
    tensors = {"inputs": {t.name: t for t in inputs}, "outputs": function.structured_outputs}
    return {
        side: {name: {"dtype": t.dtype.name, "shape": t.shape.as_list()} for name, t in named.items()}
        for side, named in tensors.items()
    }


def _saved_model_bytes(folder: Path) -> int:
    parts = [folder / "saved_model.pb", *(folder / "variables").iterdir()]
    return sum(part.stat().st_size for part in parts)


def _measure(sampler: sampling.ModelSampler, folder: Path) -> dict[str, Any]:
    """Runs every artefact on the golden batch; raises ExportFailed when one disagrees."""
    import tensorflow as tf

    model, golden = sampler.model, verify.golden_batch(sampler)
    saved = sampling.SavedModelSampler(folder)
    agreements = {
        "saved_model decode": verify.compare(golden.images, saved.decode(golden.z, golden.labels)),
        "tflite decode": verify.compare(
            golden.images, sampling.TFLiteSampler(folder / "model.tflite").decode(golden.z, golden.labels)
        ),
    }
    if hasattr(model, "encode"):
        given = {} if golden.labels is None else {"label": tf.constant(golden.labels)}
        got = tf.saved_model.load(str(folder)).signatures["encode"](images=tf.constant(golden.images), **given)
        mean, log_var = tf.function(model.encode)(golden.images, golden.labels)
        agreements["saved_model encode"] = verify.compare(
            np.stack([mean, log_var]), np.stack([got["mean"], got["log_var"]]), are_images=False
        )
    for artefact, agreement in agreements.items():
        agreement.demand(artefact)
    return {artefact: agreement.to_json() for artefact, agreement in agreements.items()}


def _publish(staging: Path, to: Path) -> Path:
    """Renames to the next free version number."""
    version = 1 + max((int(p.name) for p in to.iterdir() if p.name.isdigit()), default=0)
    while True:
        try:
            os.rename(staging, to / str(version))
            return to / str(version)
        except OSError:
            if not (to / str(version)).exists():
                raise
            version += 1  # another process took it
