"""What a user means by a PATH: a run, an export, a .tflite file, or the address of a server."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from kgen import data, random
from kgen import images as kimages
from kgen.errors import UserError
from kgen.run import Run
from kgen.sampling.exported import SavedModelSampler, TFLiteSampler
from kgen.sampling.priors import PRIORS, StandardNormal, prior_of
from kgen.sampling.remote import SCHEME, GrpcSampler, ServerSampler
from kgen.sampling.sampler import ModelSampler, Sampler


def open_sampler(path: str | Path, *, checkpoint: str = "best", prior: str | None = None) -> Sampler:
    """A sampler over whatever a kgen command wrote.

    Args:
        path: a run directory, an export (`exports/NAME` takes its latest version, or `exports/NAME/N`), a .tflite file,
            or the address of a served model (`http://localhost:8501/v1/models/cvae`, `grpc://localhost:8500/v1/models/cvae`).
        checkpoint: of a run: "best" or "last".
        prior: what z is drawn from, a name of PRIORS; None takes what the run or the export was made with. A run's
            Gaussian mixture is fitted when it is first asked for.

    Raises:
        UserError: it is none of these, or does not have the prior.
    """
    if prior is not None:
        PRIORS[prior]  # a wrong name is said before anything is opened
    if is_url(path):
        if prior not in (None, StandardNormal.name):
            raise UserError(
                f"--prior {prior}: a server tells no fitted prior; give the run or the export that {path} serves, or "
                f"--prior {StandardNormal.name}"
            )
        return (GrpcSampler if str(path).startswith(SCHEME) else ServerSampler)(str(path))
    path = Path(path)
    if path.suffix == ".tflite" and path.is_file():
        return TFLiteSampler(path, prior)
    if (path / "config.json").is_file():
        return open_run(Run.open(path), checkpoint=checkpoint, prior=prior)
    if (path / "saved_model.pb").is_file():
        return SavedModelSampler(path, prior)
    if export := latest_version(path):
        return SavedModelSampler(export, prior)
    what = "is no run directory, export or .tflite file" if path.exists() else "does not exist"
    raise UserError(f"{path} {what}; give what kgen-train or kgen-export wrote, e.g. runs/00000-cvae-digits")


def open_run(
    run: Run, *, checkpoint: str = "best", prior: str | None = None, dataset: data.Dataset | None = None
) -> ModelSampler:
    """A sampler over a run; see `open_sampler`.

    Args:
        dataset: that the run was trained on, if it is loaded already: a prior may have to be fitted.
    """
    model = run.load_model(checkpoint)
    return ModelSampler(model, prior_of(run, model, checkpoint, prior or run.config.train.prior, dataset))


def is_url(path: str | Path) -> bool:
    """Whether this is an address and no path of a file."""
    return str(path).startswith(("http://", "https://", SCHEME))


def latest_version(path: Path) -> Path | None:
    """The subdirectory of an export with the highest number, or None."""
    versions = [p for p in path.iterdir() if p.name.isdigit()] if path.is_dir() else []
    versions = [p for p in versions if (p / "saved_model.pb").is_file()]
    return max(versions, key=lambda p: int(p.name), default=None)


# Draw -----------------------------------------------------------------------------------------------------------------
# Draws images: latent points from a seed, labels as a user writes them.


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
        labels: one class name or number for all, or one per image; None gives a conditional model all classes in turn.
        seed: in [0, 2^31); image i is a function of (seed, i, its label).
        temperature: scales how far latent points lie from the mean of the prior (of a mixture: of their component); 1
            is the prior itself.

    Raises:
        UserError: labels for an unconditional model, an unknown class, or a value out of range.
    """
    if count < 1:
        raise UserError(f"--count must be at least 1. Received: {count}")
    if not 0 <= seed < random.SEED_LIMIT:
        raise UserError(f"--seed must lie in [0, 2^31). Received: {seed}")
    if not temperature >= 0:
        raise UserError(f"--temperature must be at least 0. Received: {temperature}")
    numbers = _labels(sampler, count, labels)
    z = sampler.density.draw(seed, count, numbers, temperature=temperature)
    return Samples(np.asarray(sampler.decode(z, numbers), np.float32), numbers, z, seed)


def _labels(sampler: Sampler, count: int, labels) -> np.ndarray | None:
    if not sampler.conditional:
        if labels is not None:
            raise UserError(f"--label {labels!r} was given, but the model is unconditional: it takes no labels")
        return None
    if labels is None and not sampler.spec.num_classes:
        raise UserError(f"the classes of {sampler.spec.name!r} are not known here; give the number of one, --label 0")
    if labels is None:
        return np.arange(count, dtype=np.int32) % sampler.spec.num_classes
    if isinstance(labels, (str, int, np.integer)):
        labels = [labels] * count
    if len(labels) != count:
        raise UserError(f"labels: one for all, or one per image ({count}). Received: {len(labels)}")
    if sampler.spec.num_classes:
        return np.array([sampler.spec.label(label) for label in labels], np.int32)
    if all(str(label).isdigit() for label in labels):
        return np.array(labels, np.int32)
    raise UserError(
        f"the class names of {sampler.spec.name!r} are not known here; give numbers. Received: {labels[0]!r}"
    )
