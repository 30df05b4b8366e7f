"""The priors of a run: <run>/priors/NAME-CHECKPOINT.npz, each fitted when it is first asked for."""

import time
from pathlib import Path

from kgen import data
from kgen.errors import UserError
from kgen.run import Run
from kgen.sampling.fitting import encode, fit_gaussian_mixture
from kgen.sampling.priors import PRIORS, GaussianMixture, Prior, StandardNormal


def check_prior(name: str, model: str):
    """Raises UserError for an unknown prior, and for one that a registered model cannot have."""
    from kgen.models import MODELS

    if PRIORS[name] is GaussianMixture and not hasattr(MODELS[model], "posterior"):
        raise UserError(
            f"--prior {name} is fitted to encodings, and model {model!r} has no encoder; use --prior "
            f"{StandardNormal.name}, or a model that encodes, e.g. --model vae"
        )


def prior_of(run: Run, model, checkpoint: str, name: str, dataset: data.Dataset | None = None) -> Prior:
    """A prior of a run's checkpoint; where none is stored for these weights, it is fitted now and stored.

    Args:
        run: the run.
        model: with the weights of the checkpoint.
        checkpoint: "best" or "last".
        name: registered in PRIORS.
        dataset: that the run was trained on; None loads it if it is needed.

    Raises:
        UserError: an unknown prior; the model has no encoder; the training images are gone, or other ones.
    """
    check_prior(name, run.config.model)
    if name == StandardNormal.name:
        return StandardNormal(model.latent_shape)
    path = _file(run, name, checkpoint)
    if (stored := _stored(path, model)) is not None:
        return stored
    dataset = dataset or _training_images(run, name)
    started = time.monotonic()
    encodings = encode(model, dataset, run.config.seed)
    prior = fit_gaussian_mixture(model, encodings, run.config.seed)
    prior.save(path)
    run.log(
        f"prior {name} of checkpoint {checkpoint!r}: {_components(prior)}, fitted to the encodings of "
        f"{len(encodings.labels)} training images in {time.monotonic() - started:.1f} seconds; stored as {path}"
    )
    return prior


def stored_priors(run: Run, model, checkpoint: str) -> list[Prior]:
    """The fitted priors that are stored for these weights."""
    found = [_stored(_file(run, name, checkpoint), model) for name in PRIORS if name != StandardNormal.name]
    return [prior for prior in found if prior is not None]


def _file(run: Run, name: str, checkpoint: str) -> Path:
    return run.path / "priors" / f"{name}-{checkpoint}.npz"


def _stored(path: Path, model) -> GaussianMixture | None:
    """What a file holds, if it was fitted to the encodings of this model."""
    if not path.is_file():
        return None
    prior = GaussianMixture.load(path)
    return prior if prior.weights_hash == model.weights_hash() else None


def _components(prior: GaussianMixture) -> str:
    used = (prior.weights > 0).sum(axis=1)
    count = str(used[0]) if min(used) == max(used) else f"{min(used)} to {max(used)}"
    return f"{count} component{'s' if max(used) > 1 else ''}{' a class' if len(used) > 1 else ''}"


def _training_images(run: Run, name: str) -> data.Dataset:
    try:
        dataset = data.load(run.config.data, seed=run.config.seed)
    except UserError as error:
        raise UserError(
            f"--prior {name} is fitted to the training images of {run.path}, which cannot be loaded: {error}"
        ) from error
    was = run.data_hashes.get("train")
    if was is not None and was != (now := dataset.fingerprint("train")):
        raise UserError(
            f"--prior {name} is fitted to the training images of {run.path}, and those of {run.spec.name!r} have "
            f"changed since it was trained (content hash {was}, now {now}); put them back"
        )
    return dataset
