"""Exports a run as exports/NAME/VERSION/: a SavedModel, .tflite files, and their measured deviations from the model.

exports/NAME is a model base path that TF Serving polls, so a version appears whole or not at all.
"""

import hashlib
import json
import os
import shutil
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np

from kgen import sampling
from kgen.data.training_data import places_of
from kgen.environment import environment, versions
from kgen.errors import ExportFailed, UserError
from kgen.export.formats import OPSETS, batch_size, batched_file, check_discriminator, check_formats
from kgen.export.golden import golden_batch
from kgen.export.integrity import file_hashes
from kgen.export.place import check_to, writing_to
from kgen.export.rounding import exact_decoder
from kgen.export.saved_model import write_saved_model
from kgen.export.signatures import ranges, signatures
from kgen.export.tf_serving import write_server_files, write_warmup
from kgen.export.tflite import calibration_rows, write_batched, write_tflite
from kgen.export.tolerances import INTEGERS, QUANTIZATIONS
from kgen.export.verify import verify_files
from kgen.gpu import full_float32
from kgen.io import aside_of, remove_leftovers
from kgen.progress import announce
from kgen.run import Run
from kgen.sampling.exported import DISCRIMINATOR, LARGEST_VERSION, prior_file, version_number
from kgen.sampling.manifest import write_manifest


@full_float32()
def export(
    run: str | Path | Run,
    to: str | Path,
    *,
    checkpoint: str = "best",
    prior: str | None = None,
    quantize: Sequence[str] = (),
    formats: Sequence[str] = (),
    opset: int = OPSETS[-1],
    tflite_batch: str | None = None,
    with_discriminator: bool = False,
    attribution: str | None = None,
    key: Any = None,
) -> Path:
    """Exports a run as the next version of `to`.

    Args:
        run: a run, or its directory.
        to: exports/NAME.
        checkpoint: "best" or "last".
        prior: the prior that z is sampled from with a seed, and the default of samplers over the export; None takes
            that of the run. All fitted priors that the run has stored for these weights are exported.
        quantize: of QUANTIZATIONS; each adds a smaller .tflite file per signature that is within its tolerance.
        formats: of FORMATS, beside the SavedModel and the .tflite files.
        opset: version of the operators of .onnx files.
        tflite_batch: the batch size of one more .tflite file, or "dynamic"; see `formats.batch_size`.
        with_discriminator: also writes the weights of the discriminator, for trainings that start from the export.
        attribution: whom to name for what the model was trained on, and under which license: for the manifest, beside
            those of what the training started from.
        key: a `private_key` to sign the manifest with; None signs nothing.

    Returns:
        exports/NAME/VERSION, with saved_model.pb, variables/, model.tflite, encoder.tflite (of a model that encodes),
        model-batchN.tflite or model-anybatch.tflite,
        SIGNATURE-QUANTIZATION.tflite, SIGNATURE.onnx, prior-NAME.npz, discriminator.npz, golden.npz, assets.extra/ and
        manifest.json.

    Raises:
        UserError: no such run, prior or format, a model that cannot be quantized, or `to` cannot be written.
        ExportFailed: a file that is not quantized exceeds its tolerance; nothing is written.
    """
    run, to = (run if isinstance(run, Run) else Run.open(run)), Path(to)
    if with_discriminator:
        check_discriminator(run.config.model)
    sampler = sampling.open_run(run, checkpoint=checkpoint, prior=prior)
    _check_quantize(quantize, sampler.model)
    _check_formats(formats, sampler.model)
    if tflite_batch is not None:
        batch_size(tflite_batch)
    rows = calibration_rows(run, sampler.model, sampler.density) if {"int8", INTEGERS} & {*quantize} else {}
    check_to(to)
    with writing_to(to):
        to.mkdir(parents=True, exist_ok=True)
        remove_leftovers(to)
        staging = aside_of(to / "version")
        staging.mkdir()
    try:
        announce("writing the files")
        model = sampler.model
        exact = exact_decoder(run.config.model, model)
        golden = golden_batch(sampler, model.encode if model.has_encoder else None, exact)
        golden.save(staging)
        described = write_saved_model(signatures(sampler.model, sampler.density), staging)
        priors = sampling.stored_priors(run, sampler.model, checkpoint)
        for fitted in priors:
            fitted.save(prior_file(staging, fitted.name))
        about = _about(run, sampler, checkpoint, priors)
        about |= attributions(run, attribution)
        about |= {"trained_with": run.trained_with} if run.trained_with else {}
        about |= {"mirrored": True} if run.config.train.flip == "on" else {}
        smaller = signatures(sampler.model, sampler.density, batch_size=1)
        decoder = signatures(sampler.model, sampler.density, batch_size=1, look_up=True)["decode"]
        quantized = write_tflite(smaller, about, staging, golden, quantize, rows, decoder)
        if tflite_batch is not None:
            batched = signatures(sampler.model, sampler.density, batch_size(tflite_batch))
            write_batched(batched, about, staging / batched_file(tflite_batch))
        if "onnx" in formats:
            from kgen.export.onnx import write_onnx  # of tf2onnx, which not everybody has

            write_onnx(signatures(sampler.model, sampler.density), about, staging, opset)
        if with_discriminator:
            _write_discriminator(sampler.model.discriminator, staging / DISCRIMINATOR)
        write_warmup(staging, to.name, list(described), golden)
        announce("comparing them with the model")
        files, measured = file_hashes(staging), verify_files(staging, golden)
        results = {"signatures": described, "measured": measured, "bytes": _sizes(files), "files": files}
        results |= {"quantized": quantized} if quantized else {}
        write_manifest(staging, about | results, key)
        version = _publish(staging, to)
    except ExportFailed as error:
        raise ExportFailed(f"{error}; nothing was written") from error
    finally:
        shutil.rmtree(staging, ignore_errors=True)
    write_server_files(to.absolute().parent)
    return version


def _check_formats(names: Sequence[str], model):
    check_formats(names)
    if "onnx" in names and model.code_dim != model.latent_shape[0]:
        raise UserError(
            f"--format onnx: model {model.name!r} samples pixel by pixel in a loop, which tf2onnx does not convert; "
            "leave out the flag"
        )


def _check_quantize(quantize: Sequence[str], model):
    unknown = [name for name in quantize if name not in QUANTIZATIONS]
    if unknown:
        raise UserError(f"--quantize takes {', '.join(QUANTIZATIONS)}, separated by commas. Received: {unknown[0]!r}")
    if quantize and model.code_dim != model.latent_shape[0]:
        raise UserError(
            f"--quantize: model {model.name!r} samples pixel by pixel, and quantized weights sample other "
            "pixels, so that images differ; leave out the flag: model.tflite is written in float32"
        )


def _write_discriminator(network, path: Path):
    """Writes the weights of a discriminator as float16, or float32 where one of them is too large for that."""
    arrays = {weight.path: np.asarray(weight) for weight in network.weights if "float" in weight.dtype}
    fits = {name for name, values in arrays.items() if np.abs(values).max() <= np.finfo(np.float16).max}
    np.savez_compressed(path, **{n: v.astype(np.float16) if n in fits else v for n, v in arrays.items()})


def _about(run: Run, sampler: sampling.ModelSampler, checkpoint: str, priors) -> dict[str, Any]:
    """The description of the model in manifests, .tflite and .onnx files."""
    model, real = sampler.model, run.training_data.located
    return {
        "model": run.config.model,
        "model_args": dict(run.config.model_args),
        "spec": run.spec.to_json(),
        "class_names": list(run.spec.class_names),
        "class_numbers": list(run.spec.class_numbers),
        "latent_shape": list(model.latent_shape),
        "value_range": [0.0, 1.0],
        "ranges": ranges(run.spec),
        "prior": sampler.prior,
        "priors": {sampling.StandardNormal.name: None} | {fitted.name: fitted.hash for fitted in priors},
        "conditional": model.conditional,
        "run": run.name,
        "data": json.loads(json.dumps(asdict(real))),
        "data_hashes": run.data_hashes,
        "data_names": run.data_names,
        "data_places": places_of(real) or None,
        "seed": run.config.seed,
        "parameters": model.parameters,
        "weights_hash": model.weights_hash(),
        "checkpoint": {"which": checkpoint, **run.checkpoint_state([checkpoint]).get(checkpoint, {})},
        "weights_sha256": hashlib.sha256(run.checkpoint(checkpoint).read_bytes()).hexdigest(),
        "versions": versions(),
        "environment": environment(),
    }


def attributions(run: Run, own: str | None) -> dict[str, list[str]]:
    """{"attribution": whom to name: for its own images, and for those of what it started from}; {} for nobody."""
    named = [*([own] if own else []), *(run.initial_weights or {}).get("attribution", [])]
    return {"attribution": list(dict.fromkeys(named))} if named else {}


def _sizes(files: dict[str, dict[str, Any]]) -> dict[str, int]:
    """Bytes of the SavedModel and of every .tflite and .onnx file."""
    found = {name: about["bytes"] for name, about in files.items() if name.endswith((".tflite", ".onnx"))}
    parts = [name for name in files if name == "saved_model.pb" or name.startswith("variables/")]
    return {"saved_model": sum(files[name]["bytes"] for name in parts)} | found


def _publish(staging: Path, to: Path) -> Path:
    """Renames to the next free version number; of several processes at once each gets one of its own."""
    version = 1 + max((version_number(p.name) or 0 for p in to.iterdir()), default=0)
    while version <= LARGEST_VERSION:
        try:
            os.rename(staging, to / str(version))  # fails where a folder that is not empty has the name
            return to / str(version)
        except OSError:
            if not (to / str(version)).exists():
                raise
            version += 1  # another process took it
    raise UserError(f"--to {to}: it holds version {LARGEST_VERSION}, the largest that there is; export to another name")
