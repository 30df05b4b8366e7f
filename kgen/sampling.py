"""Sampler: one interface over a run, a SavedModel and a .tflite file; and `generate`, which draws from any of them.

The same seed gives the same pixels from all of them: the latent points are drawn here, never in a graph.
"""

import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

import numpy as np

from kgen import images as kimages
from kgen import rng
from kgen.errors import UserError
from kgen.run import Run
from kgen.spec import DataSpec

ROWS_A_CALL = 32
"""Every call of a graph decodes so many rows (the last is filled up): kernels sum in an order that depends on the size
of the batch, and an image should not depend on how many others were asked for."""


class Sampler(Protocol):
    """What evaluation, export checks and commands need of a generator.

    Attributes:
        spec: of the data it was trained on.
        latent_shape: of one latent point.
        prior: "standard_normal".
        conditional: `decode` needs labels.
    """

    spec: DataSpec
    latent_shape: tuple[int, ...]
    prior: str
    conditional: bool

    def decode(self, z: np.ndarray, labels: np.ndarray | None) -> np.ndarray:
        """z [N, *latent_shape] float32, labels [N] int32 or None -> images [N, H, W, C] float32 in [0, 1]."""
        ...


@dataclass(frozen=True)
class Samples:
    """What `generate` returns.

    Attributes:
        images: [N, H, W, C] float32 in [0, 1].
        labels: [N] int32, or None from an unconditional model.
        z: [N, *latent_shape] float32.
        seed: that they were drawn with.
    """

    images: np.ndarray
    labels: np.ndarray | None
    z: np.ndarray
    seed: int

    @property
    def pixels(self) -> np.ndarray:
        """[N, H, W, C] uint8."""
        return kimages.to_uint8(self.images)


class ModelSampler:
    """Samples from a GenerativeModel in this process."""

    def __init__(self, model):
        import tensorflow as tf

        self.spec, self.latent_shape = model.spec, tuple(model.latent_shape)
        self.prior, self.conditional = model.prior, model.conditional
        self._generate = tf.function(model.generate, reduce_retracing=True)

    def decode(self, z, labels=None):
        return in_chunks(self._generate, z, labels)


class _ExportSampler:
    """What samplers over exported files read from the manifest that lies beside them."""

    def __init__(self, manifest: Path):
        if not manifest.is_file():
            raise UserError(f"{manifest} is missing: keep what kgen-export wrote together, or export the run again")
        values = json.loads(manifest.read_text(encoding="utf-8"))
        self.spec, self.latent_shape = DataSpec.from_json(values["spec"]), tuple(values["latent_shape"])
        self.prior, self.conditional = values["prior"], values["conditional"]


class SavedModelSampler(_ExportSampler):
    """Samples from the `decode` signature of an exported SavedModel."""

    def __init__(self, path: Path):
        import tensorflow as tf

        super().__init__(path / "manifest.json")
        self._loaded = tf.saved_model.load(str(path))
        self._decode = self._loaded.signatures["decode"]

    def decode(self, z, labels=None):
        import tensorflow as tf

        def call(z, labels=None):
            given = {} if labels is None else {"label": tf.constant(labels)}
            return self._decode(z=tf.constant(z), **given)["images"]

        return in_chunks(call, z, labels)


class TFLiteSampler(_ExportSampler):
    """Samples from the `decode` signature of a .tflite file, a row at a time."""

    def __init__(self, path: Path):
        from ai_edge_litert.interpreter import Interpreter

        super().__init__(path.parent / "manifest.json")
        self._interpreter = Interpreter(model_path=str(path))
        self._decode = self._interpreter.get_signature_runner("decode")

    def decode(self, z, labels=None):
        rows = []
        for i in range(len(z)):
            given = {} if labels is None else {"label": labels[i : i + 1]}
            rows.append(self._decode(z=z[i : i + 1], **given)["images"])
        return np.concatenate(rows)


def in_chunks(call, z: np.ndarray, labels: np.ndarray | None) -> np.ndarray:
    """`call(z, labels)` over ROWS_A_CALL rows at a time, joined."""
    count = len(z)
    rows = np.minimum(np.arange(-(-count // ROWS_A_CALL) * ROWS_A_CALL), count - 1).reshape(-1, ROWS_A_CALL)
    parts = [np.asarray(call(z[i]) if labels is None else call(z[i], labels[i])) for i in rows]
    return np.concatenate(parts)[:count]


def open_sampler(path: str | Path, *, checkpoint: str = "best") -> Sampler:
    """A sampler over whatever a kgen command wrote.

    Args:
        path: a run directory, an export (`exports/NAME` takes its latest version, or `exports/NAME/N`), a .tflite file.
        checkpoint: of a run: "best" or "last".

    Raises:
        UserError: it is none of these.
    """
    path = Path(path)
    if path.suffix == ".tflite" and path.is_file():
        return TFLiteSampler(path)
    if (path / "config.json").is_file():
        return ModelSampler(Run.open(path).load_model(checkpoint))
    if (path / "saved_model.pb").is_file():
        return SavedModelSampler(path)
    if export := latest_version(path):
        return SavedModelSampler(export)
    what = "is no run directory, export or .tflite file" if path.exists() else "does not exist"
    raise UserError(f"{path} {what}; give what kgen-train or kgen-export wrote, e.g. runs/00000-cvae-digits")


def latest_version(path: Path) -> Path | None:
    """The subdirectory of an export with the highest number, or None."""
    versions = [p for p in path.iterdir() if p.name.isdigit()] if path.is_dir() else []
    versions = [p for p in versions if (p / "saved_model.pb").is_file()]
    return max(versions, key=lambda p: int(p.name), default=None)


def generate(
    sampler: Sampler,
    count: int,
    *,
    labels: int | str | Sequence[int | str] | None = None,
    seed: int = 0,
    temperature: float = 1.0,
) -> Samples:
    """Draws images.

    Args:
        sampler: from `open_sampler`.
        count: how many.
        labels: one class name or number for all, or one an image; None gives a conditional model all classes in turn.
        seed: in [0, 2^31); image i is a function of (seed, i, its label).
        temperature: standard deviation of the latent points; 1 is the prior.

    Raises:
        UserError: labels for an unconditional model, an unknown class, or a value out of range.
    """
    if count < 1:
        raise UserError(f"--count must be at least 1. Received: {count}")
    if not 0 <= seed < rng.SEED_LIMIT:
        raise UserError(f"--seed must lie in [0, 2^31). Received: {seed}")
    if not temperature >= 0:
        raise UserError(f"--temperature must be at least 0. Received: {temperature}")
    numbers = _labels(sampler, count, labels)
    z = rng.latents(seed, count, sampler.latent_shape, temperature=temperature)
    return Samples(np.asarray(sampler.decode(z, numbers), np.float32), numbers, z, seed)


def _labels(sampler: Sampler, count: int, labels) -> np.ndarray | None:
    if not sampler.conditional:
        if labels is not None:
            raise UserError(f"--label {labels!r} was given, but the model is unconditional: it takes no labels")
        return None
    if labels is None:
        return np.arange(count, dtype=np.int32) % sampler.spec.num_classes
    if isinstance(labels, (str, int, np.integer)):
        labels = [labels] * count
    if len(labels) != count:
        raise UserError(f"labels: one for all, or one an image ({count}). Received: {len(labels)}")
    return np.array([sampler.spec.label(label) for label in labels], np.int32)
