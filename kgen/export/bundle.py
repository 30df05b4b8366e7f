"""The bundle that `kgen-export` writes: exports/NAME/VERSION/ with a SavedModel, .tflite files and what proves them.

exports/NAME is a model base path as TF Serving polls it, so a version appears whole or not at all.
"""

import hashlib
import os
import shutil
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from kgen import sampling
from kgen.environment import environment, versions
from kgen.errors import ExportFailed, UserError
from kgen.export.golden import QUANTIZATIONS, Golden, golden_batch, training_rows
from kgen.export.saved_model import write_saved_model
from kgen.export.signatures import ranges, signatures
from kgen.export.tf_serving import write_server_files, write_warmup
from kgen.export.tflite import write_tflite
from kgen.export.verify import certify
from kgen.io import write_json
from kgen.run import Run, check_space
from kgen.sampling.exported import MANIFEST, prior_file, read_manifest


def export(
    run: str | Path | Run,
    to: str | Path,
    *,
    checkpoint: str = "best",
    prior: str | None = None,
    quantize: Sequence[str] = (),
) -> Path:
    """Exports a run as the next version of `to`.

    Args:
        run: a run, or its directory.
        to: exports/NAME.
        checkpoint: "best" or "last".
        prior: what seeds draw z from, and readers of the export unless they say otherwise; None takes what the run was
            trained with. Every fitted prior that the run has stored for these weights goes along.
        quantize: of QUANTIZATIONS: also writes a smaller .tflite file per signature for each.

    Returns:
        exports/NAME/VERSION, with saved_model.pb, variables/, model.tflite, encoder.tflite (of a model that encodes),
        SIGNATURE-QUANTIZATION.tflite, prior-NAME.npz, golden.npz, assets.extra/ and manifest.json.

    Raises:
        UserError: no such run or prior, a model that cannot be quantized, or the place cannot be written.
        ExportFailed: a file differs from the model by more than its bound; nothing is left.
    """
    run, to = (run if isinstance(run, Run) else Run.open(run)), Path(to)
    sampler = sampling.open_run(run, checkpoint=checkpoint, prior=prior)
    _check_quantize(quantize, sampler.model)
    rows = training_rows(run, sampler.model, sampler.density) if "int8" in quantize else {}
    try:
        check_space(to, "--to")
        to.mkdir(parents=True, exist_ok=True)
        staging = to / f".part-{os.getpid()}"
        shutil.rmtree(staging, ignore_errors=True)
        staging.mkdir()
    except OSError as error:
        raise UserError(f"--to {to}: {error.strerror or error}; name a place that can be written") from error
    try:
        golden = golden_batch(sampler, sampler.model.encode if sampler.model.has_encoder else None)
        golden.save(staging)
        named = write_saved_model(signatures(sampler.model, sampler.density), staging)
        priors = sampling.stored_priors(run, sampler.model, checkpoint)
        for fitted in priors:
            fitted.save(prior_file(staging, fitted.name))
        about = _about(run, sampler, checkpoint, priors)
        write_tflite(signatures(sampler.model, sampler.density, batch_size=1), about, staging, golden, quantize, rows)
        write_warmup(staging, to.name, list(named), golden)
        files, measured = _files(staging), certify(staging, golden)
        told = {"signatures": named, "measured": measured, "bytes": _sizes(files), "files": files}
        write_json(staging / MANIFEST, about | told)
        version = _publish(staging, to)
    except ExportFailed as error:
        raise ExportFailed(f"{error}; nothing was written") from error
    finally:
        shutil.rmtree(staging, ignore_errors=True)
    write_server_files(to.absolute().parent)
    return version


def verify_export(path: str | Path) -> tuple[Path, dict[str, dict[str, Any]]]:
    """Holds an export to its golden batch again; neither the run nor its data are needed.

    Args:
        path: exports/NAME (its latest version), or exports/NAME/VERSION.

    Returns:
        The version, and what `certify` measured.

    Raises:
        UserError: no export.
        ExportFailed: a file is not the one that was exported, or breaks its bound here.
    """
    path = Path(path)
    folder = path if (path / MANIFEST).is_file() else sampling.latest_version(path)
    if folder is None:
        raise UserError(f"{path} {'is no export' if path.exists() else 'does not exist'}; give exports/NAME")
    files, found = read_manifest(folder).get("files", {}), _files(folder)
    for name in files:
        if files[name] != found.get(name):
            what = "has changed" if name in found else "is missing"
            raise ExportFailed(f"{folder / name} {what} since the export was written")
    return folder, certify(folder, Golden.load(folder))


def _check_quantize(quantize: Sequence[str], model):
    unknown = [name for name in quantize if name not in QUANTIZATIONS]
    if unknown:
        raise UserError(f"--quantize takes {', '.join(QUANTIZATIONS)}, with commas between. Received: {unknown[0]!r}")
    if quantize and model.code_dim != model.latent_shape[0]:
        raise UserError(
            f"--quantize: model {model.name!r} draws pixel by pixel, and a rounded number draws another "
            "pixel and with it another picture; leave the flag away: model.tflite is written in float32"
        )


def _about(run: Run, sampler: sampling.ModelSampler, checkpoint: str, priors) -> dict[str, Any]:
    """What manifests and .tflite files say of the model."""
    model = sampler.model
    return {
        "model": run.config.model,
        "model_args": dict(run.config.model_args),
        "spec": run.spec.to_json(),
        "class_names": list(run.spec.class_names),
        "latent_shape": list(model.latent_shape),
        "value_range": [0.0, 1.0],
        "ranges": ranges(run.spec),
        "prior": sampler.prior,
        "priors": {sampling.StandardNormal.name: None} | {fitted.name: fitted.hash for fitted in priors},
        "conditional": model.conditional,
        "run": run.name,
        "data": run.config.to_json()["data"],
        "data_hashes": run.data_hashes,
        "seed": run.config.seed,
        "parameters": model.parameters,
        "weights_hash": model.weights_hash(),
        "checkpoint": {"which": checkpoint, **run.checkpoint_state([checkpoint]).get(checkpoint, {})},
        "weights_sha256": hashlib.sha256(run.checkpoint(checkpoint).read_bytes()).hexdigest(),
        "versions": versions(),
        "environment": environment(),
    }


def _files(folder: Path) -> dict[str, dict[str, Any]]:
    """Name -> {"bytes", "sha256"} of every file of a version but its manifest."""
    files = sorted(p for p in folder.rglob("*") if p.is_file() and p != folder / MANIFEST)
    return {
        file.relative_to(folder).as_posix(): {
            "bytes": file.stat().st_size,
            "sha256": hashlib.sha256(file.read_bytes()).hexdigest(),
        }
        for file in files
    }


def _sizes(files: dict[str, dict[str, Any]]) -> dict[str, int]:
    """Bytes of what can be run: the SavedModel, and every .tflite file."""
    found = {name: about["bytes"] for name, about in files.items() if name.endswith(".tflite")}
    parts = [name for name in files if name == "saved_model.pb" or name.startswith("variables/")]
    return {"saved_model": sum(files[name]["bytes"] for name in parts)} | found


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
