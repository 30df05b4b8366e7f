"""Samplers over what kgen-export wrote: a SavedModel, a .tflite file."""

import json
from pathlib import Path
from typing import Any

import numpy as np

from kgen.errors import UserError
from kgen.sampling.priors import PRIORS, GaussianMixture, Prior, StandardNormal
from kgen.sampling.runtimes import Runtime, SavedModelRuntime, TFLiteRuntime
from kgen.sampling.sampler import halves, in_chunks
from kgen.sampling.tflite_metadata import read_metadata
from kgen.spec import DataSpec

MANIFEST = "manifest.json"


class _ExportSampler:
    """What samplers over exported files share.

    Args:
        runtime: of the files.
        values: what a manifest or a file says of the model.
        folder: of the version, where fitted priors lie.
        prior: what z is drawn from; None takes what the export was made with.
    """

    def __init__(self, runtime: Runtime, values: dict[str, Any], folder: Path, prior: str | None):
        self.runtime, self.manifest = runtime, values
        self.spec, self.latent_shape = DataSpec.from_json(values["spec"]), tuple(values["latent_shape"])
        self.density = self._density(folder, prior or values["prior"])
        self.prior, self.conditional = self.density.name, values["conditional"]
        self.parameters, self.weights_hash = values.get("parameters"), values.get("weights_hash")

    def call(self, signature: str, labels: np.ndarray | None, **inputs: np.ndarray) -> dict[str, np.ndarray]:
        """A signature's outputs, with labels where there are any."""
        return self.runtime.call(signature, **(inputs if labels is None else {**inputs, "label": labels}))

    def _density(self, folder: Path, name: str) -> Prior:
        if PRIORS[name] is StandardNormal:
            return StandardNormal(self.latent_shape)
        file = prior_file(folder, name)
        if not file.is_file():
            raise UserError(
                f"{folder} holds no prior {name!r} ({file.name} is missing); export {self.manifest['run']} again with: "
                f"kgen-export RUN --to {folder.parent} --prior {name}"
            )
        density = GaussianMixture.load(file)
        if density.hash != self.manifest.get("priors", {}).get(name):
            raise UserError(f"{file} is not what {folder} was exported with (its manifest tells another hash)")
        return density


def read_manifest(folder: Path) -> dict[str, Any]:
    """The manifest of a version of an export."""
    manifest = folder / MANIFEST
    if not manifest.is_file():
        raise UserError(f"{manifest} is missing: keep what kgen-export wrote together, or export the run again")
    return json.loads(manifest.read_text(encoding="utf-8"))


def prior_file(folder: Path, name: str) -> Path:
    """Where a version of an export keeps a fitted prior."""
    return folder / f"prior-{name}.npz"


class SavedModelSampler(_ExportSampler):
    """Samples from the `decode` signature of an exported SavedModel, and reconstructs with its `encode`."""

    def __init__(self, path: Path, prior: str | None = None):
        super().__init__(SavedModelRuntime(path), read_manifest(path), path, prior)
        self.encodes = "encode" in self.runtime.signatures

    def decode(self, z, labels=None):
        return in_chunks(lambda z, labels=None: self.call("decode", labels, z=z)["images"], z, labels)

    def encode(self, images, labels=None):
        def both(images, labels=None):
            found = self.call("encode", labels, images=images)
            return np.stack([found["mean"], found["log_var"]], 1)

        return halves(in_chunks(both, images, labels if self.conditional else None))

    def reconstruct(self, images, labels=None):
        labels = labels if self.conditional else None
        return self.decode(self.encode(images, labels)[0], labels)


class TFLiteSampler(_ExportSampler):
    """Samples from the `decode` signature of a .tflite file, a row at a time; the file may stand alone."""

    encodes = False

    def __init__(self, path: Path, prior: str | None = None):
        runtime = TFLiteRuntime(path)
        if "decode" not in runtime.signatures:
            raise UserError(
                f"{path} decodes no latent points (its signatures: {', '.join(runtime.signatures) or 'none'}); give "
                "model.tflite, or a file decode-*.tflite"
            )
        super().__init__(runtime, read_metadata(path), path.parent, prior)

    def decode(self, z, labels=None):
        return self.call("decode", labels, z=z)["images"]
