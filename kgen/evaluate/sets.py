"""What measures are made of: the sets that they take, the figures that they give, and the register of them all.

A measure is a function (Sets) -> {name of a figure: Figure}, registered under the name that `--metrics` takes with

    needs: of "features", "logits", "labels" and "classifier" (all of generated images), "encoder" and "likelihood";
    floor: the real images that take the place of generated ones: "other" (of another split), "real", or None;
    figures: their names, and which is better: "lower", "higher" or "";
    once: True where another drawing of images would change nothing.
"""

from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

import numpy as np

from kgen.errors import UserError
from kgen.evaluate.imageset import ImageSet
from kgen.evaluate.likelihood import Posterior, encode
from kgen.evaluate.reference import RealImages
from kgen.registry import Registry
from kgen.sampling import Prior

METRICS = Registry("metric")


@dataclass(frozen=True)
class Figure:
    """One figure of one repeat.

    Attributes:
        value: None when it cannot be told; the note says why.
        interval: 95 %, where the measure itself gives one.
        hits: (hits, trials) of a share: those of several repeats are put together.
        note: a remark.
        settings: what it depends on besides the images and their features.
        count: images of each set, where the measure takes fewer than there are.
    """

    value: float | None
    interval: tuple[float, float] | None = None
    hits: tuple[int, int] | None = None
    note: str = ""
    settings: dict[str, Any] = field(default_factory=dict)
    count: int | None = None


@dataclass(frozen=True)
class Modelled:
    """A model with a likelihood, and what that is measured of.

    Attributes:
        model: an Autoencoder, or what has its `posterior`, `nll`, `code_dim`, `conditional`, `levels` and `rounds`.
        prior: of the code.
        real: the reference split.
        binarization: of its images; see `Reference`.
        samples: draws an image, for importance sampling.
        images: at most so many are importance-sampled.
    """

    model: Any
    prior: Prior
    real: RealImages
    binarization: str
    samples: int = 5_000
    images: int = 1_000

    @property
    def labels(self) -> np.ndarray | None:
        """What the model is told of the real images."""
        return self.real.labels if self.model.conditional else None

    @cached_property
    def posterior(self) -> Posterior:
        """Of all real images."""
        return encode(self.model, self.real.pixels, self.labels)


@dataclass(frozen=True)
class Sets:
    """What a measure is computed from.

    Attributes:
        real: the reference split.
        fake: what is judged; None where no measure asks for generated images.
        train: all training images.
        num_classes: of the data; 0 when unlabelled.
        seed: of random subsets, projections and draws.
        anyway: also what is known to mislead.
        reconstruct: (images in [0, 1], labels) -> images in [0, 1], or None without an encoder.
        modelled: the model whose likelihood is measured, or None without one.
        pictures: measures leave here what is worth a look, name -> [H, W, C] uint8.
    """

    real: ImageSet
    fake: ImageSet | None
    train: ImageSet
    num_classes: int = 0
    seed: int = 0
    anyway: bool = False
    reconstruct: Callable | None = None
    modelled: Modelled | None = None
    pictures: dict[str, np.ndarray] = field(default_factory=dict)


def of_samples(names: Iterable[str]) -> bool:
    """Whether any of these metrics looks at generated images."""
    return any({"features", "logits", "labels", "classifier"} & {*METRICS.defaults(name)["needs"]} for name in names)


def has_likelihood(model: Any) -> bool:
    """Whether this model, or class of models, can be asked for a likelihood."""
    return hasattr(model, "posterior") and hasattr(model, "nll")


def check(names: Iterable[str], *, num_classes: int, labelled_fakes: bool, encodes: bool, likelihood: bool) -> None:
    """Raises UserError for an unknown metric, or one that the data or the generator cannot give."""
    for name in names:
        needs = METRICS.defaults(name)["needs"]
        if ("classifier" in needs or "labels" in needs) and num_classes < 2:
            raise UserError(f"metric {name!r} needs a data set with labels; leave it out of --metrics")
        if "labels" in needs and not labelled_fakes:
            raise UserError(
                f"metric {name!r} needs images with labels: a conditional model, or a folder with a sub-folder per "
                "class; leave it out of --metrics"
            )
        if "encoder" in needs and not encodes:
            raise UserError(
                f"metric {name!r} needs an encoder, which a .tflite file, a server, a folder and models without one "
                "lack; leave it out of --metrics"
            )
        if "likelihood" in needs and not likelihood:
            raise UserError(
                f"metric {name!r} needs a model with a likelihood, which exports, .tflite files, servers, folders and "
                "models such as GANs lack; give the run directory of a VAE, or leave it out of --metrics"
            )


def around(value: float, standard_error: float) -> tuple[float, float]:
    """The 95 % interval of a mean of many."""
    return float(value - 1.96 * standard_error), float(value + 1.96 * standard_error)
