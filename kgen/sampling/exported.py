"""Samplers over what kgen-export wrote: a SavedModel, a .tflite file."""

import json
from pathlib import Path

import numpy as np

from kgen.errors import UserError
from kgen.sampling.priors import PRIORS, GaussianMixture, Prior, StandardNormal
from kgen.sampling.sampler import in_chunks
from kgen.spec import DataSpec

MANIFEST = "manifest.json"


class _ExportSampler:
    """What samplers over exported files read from the manifest that lies beside them.

    Args:
        folder: of the version.
        prior: what z is drawn from; None takes what the export was made with.
    """

    def __init__(self, folder: Path, prior: str | None):
        manifest = folder / MANIFEST
        if not manifest.is_file():
            raise UserError(f"{manifest} is missing: keep what kgen-export wrote together, or export the run again")
        values = json.loads(manifest.read_text(encoding="utf-8"))
        self.manifest = values
        self.spec, self.latent_shape = DataSpec.from_json(values["spec"]), tuple(values["latent_shape"])
        self.density = self._density(folder, prior or values["prior"])
        self.prior, self.conditional = self.density.name, values["conditional"]
        self.parameters, self.weights_hash = values.get("parameters"), values.get("weights_hash")

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


def prior_file(folder: Path, name: str) -> Path:
    """Where a version of an export keeps a fitted prior."""
    return folder / f"prior-{name}.npz"


class SavedModelSampler(_ExportSampler):
    """Samples from the `decode` signature of an exported SavedModel, and reconstructs with its `encode`."""

    def __init__(self, path: Path, prior: str | None = None):
        import tensorflow as tf

        super().__init__(path, prior)
        self._loaded = tf.saved_model.load(str(path))
        self.encodes = "encode" in self._loaded.signatures

    def decode(self, z, labels=None):
        return in_chunks(lambda z, labels=None: self._call("decode", labels, z=z)["images"], z, labels)

    def reconstruct(self, images, labels=None):
        labels = labels if self.conditional else None
        mean = in_chunks(lambda x, labels=None: self._call("encode", labels, images=x)["mean"], images, labels)
        return self.decode(mean, labels)

    def _call(self, signature: str, labels, **inputs):
        import tensorflow as tf

        given = inputs if labels is None else {**inputs, "label": labels}
        return self._loaded.signatures[signature](**{name: tf.constant(value) for name, value in given.items()})


class TFLiteSampler(_ExportSampler):
    """Samples from the `decode` signature of a .tflite file, a row at a time."""

    encodes = False

    def __init__(self, path: Path, prior: str | None = None):
        from ai_edge_litert.interpreter import Interpreter

        super().__init__(path.parent, prior)
        self._interpreter = Interpreter(model_path=str(path))
        self._decode = self._interpreter.get_signature_runner("decode")

    def decode(self, z, labels=None):
        rows = []
        for i in range(len(z)):
            given = {} if labels is None else {"label": labels[i : i + 1]}
            rows.append(self._decode(z=z[i : i + 1], **given)["images"])
        return np.concatenate(rows)
