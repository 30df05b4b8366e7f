"""Opens a PATH as a sampler: a run, an export, a .tflite or .onnx file, or the address of a server."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from kgen.errors import UserError
from kgen.mirror import local_path
from kgen.models.presets import PRESETS
from kgen.sampling.exported import (
    MODEL,
    ONNXRuntime,
    ONNXSampler,
    SavedModelSampler,
    TFLiteSampler,
    read_metadata,
    version_number,
)
from kgen.sampling.manifest import read_manifest
from kgen.sampling.priors import PRIORS, StandardNormal, check_prior, prior_of
from kgen.sampling.remote import SCHEMES, GrpcSampler, ServerSampler
from kgen.sampling.sampler import ModelSampler, Sampler
from kgen.spec import DataSpec

if TYPE_CHECKING:
    from kgen.data import Dataset
    from kgen.run import Run


SINGLE_FILES = {".tflite": TFLiteSampler, ".onnx": ONNXSampler}
"""The samplers over single files, by their suffix."""


def open_sampler(
    path: str | Path,
    *,
    checkpoint: str = "best",
    prior: str | None = None,
    dataset: str | None = None,
    token: str | None = None,
) -> Sampler:
    """A sampler over whatever a kgen command wrote.

    Args:
        path: a run directory, an export (`exports/NAME` takes its latest version, or `exports/NAME/N`), a .tflite or
            .onnx file, or the address of a served model (`http://localhost:8501/v1/models/cvae`, `grpc://localhost:8500/v1/models/cvae`).
        checkpoint: of a run: "best" or "last".
        prior: the prior that z is sampled from, a name in PRIORS; None takes that of the run or the export. A run's
            Gaussian mixture is fitted when it is first needed.
        dataset: the place that the data of a run were moved to; for a prior that has to be fitted.
        token: of a server that asks for a bearer token; None takes the variable KGEN_TOKEN.

    Raises:
        UserError: the path is none of these, or the prior is not available there.
    """
    if prior is not None:
        PRIORS[prior]  # an unknown name fails before anything is opened
    if is_url(path):
        if prior not in (None, StandardNormal.name):
            raise UserError(
                f"--prior {prior}: a server does not give its fitted prior; name the run or the export that {path} "
                f"serves, or use --prior {StandardNormal.name}"
            )
        return (GrpcSampler if str(path).startswith(SCHEMES) else ServerSampler)(str(path), token)
    if token is not None:
        raise UserError(f"--token_file is for the address of a server, and {path} is none; leave it out")
    path = local_path(path)
    if path.suffix in SINGLE_FILES and path.is_file():
        return SINGLE_FILES[path.suffix](path, prior)
    if (path / "config.json").is_file():
        from kgen.run import Run

        run = Run.open(path)
        if dataset is not None:
            run.move_data(dataset)
        return open_run(run, checkpoint=checkpoint, prior=prior)
    if (path / "saved_model.pb").is_file():
        return SavedModelSampler(path, prior)
    if export := latest_version(path):
        return SavedModelSampler(export, prior)
    what = "is no run directory, export, .tflite or .onnx file" if path.exists() else "does not exist"
    raise UserError(f"{path} {what}; give what kgen-train or kgen-export wrote, e.g. runs/00000-cvae-digits")


def open_run(
    run: Run, *, checkpoint: str = "best", prior: str | None = None, dataset: Dataset | None = None
) -> ModelSampler:
    """A sampler over a run.

    Args:
        checkpoint, prior: see `open_sampler`.
        dataset: of the run, if it is loaded already: a prior may have to be fitted to it.
    """
    prior = check_generator(run, checkpoint=checkpoint, prior=prior)
    model = run.load_model(checkpoint)
    return ModelSampler(model, prior_of(run, model, checkpoint, prior, dataset))


def check_generator(run: Run, *, checkpoint: str = "best", prior: str | None = None) -> str:
    """The prior of the sampler over a run that `open_run` would open.

    Raises:
        UserError: the run has no such checkpoint, or its model cannot have the prior.
    """
    prior = prior or run.config.train.prior
    check_prior(prior, run.config.model)
    run.check_checkpoint(checkpoint)
    return prior


@dataclass(frozen=True)
class Description:
    """A generator as its files describe it, without opening it: see `kgen.sampling.sampler.check_request`.

    Attributes:
        spec: of its data.
        conditional: whether it takes labels.
        code_dim: dimensions of its code; None where that is not recorded.
    """

    spec: DataSpec
    conditional: bool
    code_dim: int | None = None


def described(path: str | Path) -> Description | None:
    """What a run, an export, a .tflite or an .onnx file says of itself; None of a server, and of what is none of these.

    Raises:
        UserError: its description cannot be read.
    """
    if is_url(path):
        return None
    path = local_path(path)
    if (path / "config.json").is_file():
        from kgen.run import Run

        run = Run.open(path)
        return Description(run.spec, PRESETS[run.config.model].conditional, run.config.model_args.get("latent_dim"))
    if path.suffix == ".tflite" and path.is_file():
        values = read_metadata(path)
    elif path.suffix == ".onnx" and path.is_file():
        values = ONNXRuntime(path).metadata
    elif version := path if (path / "saved_model.pb").is_file() else latest_version(path):
        values = read_manifest(version)
    else:
        return None
    arguments = values.get("model_args", {})
    return Description(DataSpec.from_json(values["spec"]), values["conditional"], arguments.get("latent_dim"))


def certified_file(path: str | Path) -> Path | None:
    """model.tflite of the latest version of exports/NAME, if it is the file that its manifest certifies; else None.

    kgen-export compares it with the model and writes nothing that differs, so it can stand in for the SavedModel, which
    takes TensorFlow to run. It is not taken for exports/NAME/VERSION, which names the SavedModel.
    """
    if is_url(path) or (Path(path) / "config.json").is_file() or (Path(path) / "saved_model.pb").is_file():
        return None
    version = latest_version(Path(path))
    if version is None or not (file := version / MODEL).is_file():
        return None
    manifest = read_manifest(version)
    known = manifest.get("files", {}).get(MODEL, {}).get("sha256")
    certified = f"{MODEL} decode" in manifest.get("measured", {})
    return file if certified and known == hashlib.sha256(file.read_bytes()).hexdigest() else None


def is_url(path: str | Path) -> bool:
    """Whether this is the address of a server, not a path of a file."""
    return str(path).startswith(("http://", "https://", *SCHEMES))


def latest_version(path: Path, holding: Sequence[str] = ("saved_model.pb",)) -> Path | None:
    """The subdirectory of an export with the highest number that holds one of these files, or None."""
    numbers = {p: version_number(p.name) for p in path.iterdir()} if path.is_dir() else {}
    held = {p for p in numbers if any((p / name).is_file() for name in holding)}
    versions = [p for p, number in numbers.items() if number is not None and p in held]
    return max(versions, key=numbers.get, default=None)
