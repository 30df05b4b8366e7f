"""The metrics by name: what each needs, which values it gives, and which direction of a value is better.

This table needs neither NumPy nor TensorFlow, so that flags, help and messages are made from it without delay. What a
metric computes is the function of `kgen.evaluate.compute` that its entry names, imported when it is called.
"""

import importlib
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

from kgen.errors import UserError
from kgen.features import EXTRACTORS
from kgen.registry import Registry

if TYPE_CHECKING:
    from kgen.evaluate.compute import Inputs, MetricValue

Need = Literal["features", "logits", "classifier", "labels", "encoder", "posterior", "likelihood"]
OF_SAMPLES = {"features", "logits", "classifier", "labels"}
"""Needs that are taken from generated images; the others are of a model and real images."""


@dataclass(frozen=True)
class Value:
    """One number that a metric gives.

    Attributes:
        better: "lower", "higher", or "" where neither is.
        share: it lies in [0, 1], and so does its interval.
        unseen: it takes real images that the model was not trained on.
    """

    better: Literal["lower", "higher", ""] = ""
    share: bool = False
    unseen: bool = False


@dataclass(frozen=True)
class Metric:
    """An entry of METRICS.

    Attributes:
        help: one line.
        compute: the function of `kgen.evaluate.compute`: (Inputs) -> {name of a value: MetricValue}.
        values: what it gives, by name.
        needs: of generated images "features" or "logits" by the extractor, "labels", or the data set's "classifier"; of
            the model an "encoder", a "posterior" or a "likelihood".
        baseline: the real images that take the place of generated ones: "other" (of another split than the
            reference's), "reference", or None where there is no such number.
        default: computed when no metrics are named, where the data and the generator allow it.
        default_below: number of training images from which on it is no longer a default; None: it always is.
        once: sampling again would change nothing.
        looks_at_train: it looks at the training images, which are read only then.
    """

    help: str
    compute: str
    values: Mapping[str, Value]
    needs: tuple[Need, ...]
    baseline: Literal["other", "reference"] | None = None
    default: bool = False
    default_below: int | None = None
    once: bool = False
    looks_at_train: bool = False

    @property
    def of_samples(self) -> bool:
        """Whether it looks at generated images."""
        return not OF_SAMPLES.isdisjoint(self.needs)

    @property
    def takes_features(self) -> bool:
        """Whether it can be asked for with an extractor: `fid@inception`."""
        return "features" in self.needs or "logits" in self.needs

    def __call__(self, inputs: "Inputs") -> "dict[str, MetricValue]":
        return getattr(importlib.import_module("kgen.evaluate.compute"), self.compute)(inputs)


LOWER, HIGHER = Value("lower"), Value("higher")
LOWER_SHARE, HIGHER_SHARE = Value("lower", share=True), Value("higher", share=True)

METRICS: Registry = Registry("metric")
METRICS |= {
    "fid": Metric(
        "Fréchet distance of the features' normal approximations (Heusel et al. 2017)",
        "fid", {"fid": LOWER}, ("features",), "other", default=True,
    ),
    "fid_infinity": Metric(
        "Fréchet distance extrapolated to infinitely many generated images (Chong & Forsyth 2020)",
        "fid_infinity", {"fid_infinity": LOWER}, ("features",), "other",
    ),
    "kid": Metric(
        "kernel distance, unbiased; may be negative (Bińkowski et al. 2018)",
        "kid", {"kid": LOWER}, ("features",), "other", default=True,
    ),
    "prdc": Metric(
        "precision and recall (Kynkäänniemi et al. 2019), density and coverage (Naeem et al. 2020)",
        "precision_recall_density_coverage",
        {"precision": HIGHER_SHARE, "recall": HIGHER_SHARE, "density": HIGHER, "coverage": HIGHER_SHARE},
        ("features",), "other", default=True,
    ),
    "swd": Metric(
        "sliced Wasserstein distance of the features (Bonneel et al. 2015)",
        "sliced_wasserstein", {"swd": LOWER}, ("features",), "other",
    ),
    "is": Metric(
        "Inception score over the classes of the extractor, or of the data set's classifier (Salimans et al. 2016)",
        "classifier_score", {"inception_score": HIGHER}, ("logits",), "reference", default=True,
    ),
    "label_agreement": Metric(
        "share of the samples that the data set's classifier puts into their class (GAN-test, Shmelkov et al. 2018)",
        "label_agreement", {"label_agreement": HIGHER_SHARE, "label_agreement_drawn": HIGHER_SHARE},
        ("labels", "classifier"), "reference", default=True,
    ),
    "coverage": Metric(
        "classes that the samples hit, and how their histogram differs from that of the real labels",
        "class_coverage",
        {"classes_covered": HIGHER, "smallest_class_share": HIGHER, "class_kl": LOWER, "class_entropy": Value()},
        ("classifier",), "reference", default=True,
    ),
    "gan_train": Metric(
        "accuracy on real images of a classifier trained on samples (Shmelkov et al. 2018); slow",
        "gan_train", {"gan_train": HIGHER_SHARE}, ("labels",), "other",
    ),
    "memorization": Metric(
        "distance to the nearest training image, beside that of unseen images (Alaa et al. 2022); * below 5000 "
        "training images",
        "training_neighbours",
        {
            "authenticity": HIGHER_SHARE, "nearest_ratio": Value(unseen=True), "near_copies": LOWER_SHARE,
            "copies": Value("lower", share=True, unseen=True),
        },
        ("features",), "reference", default=True, default_below=5_000, looks_at_train=True,
    ),
    "reconstruction": Metric(
        "mean squared error of decoded posterior means of real images",
        "reconstruction", {"reconstruction_mse": LOWER}, ("encoder",), default=True, once=True,
    ),
    "elbo": Metric(
        "negative evidence lower bound in nats per image, and its two terms (Kingma & Welling 2014)",
        "neg_elbo", {"neg_elbo": LOWER, "reconstruction": Value(), "kl": Value(), "elbo_bits_per_dim": LOWER},
        ("likelihood",), default=True, once=True,
    ),
    "nll": Metric(
        "negative log-likelihood by importance sampling (Burda et al. 2016); slow",
        "nll",
        {"nll": LOWER, "nll_bits_per_dim": LOWER, "neg_elbo_same_images": LOWER, "effective_samples": Value()},
        ("likelihood",), once=True,
    ),
    "active_units": Metric(
        "latent dimensions whose posterior mean varies from image to image (Burda et al. 2016)",
        "active_units", {"active_units": HIGHER}, ("posterior",), default=True, once=True,
    ),
}  # fmt: skip

SHARES = frozenset(name for metric in METRICS.values() for name, value in metric.values.items() if value.share)
"""Names of the values that lie in [0, 1]."""

UNITS = {
    "fid": "squared distance of features",
    "fid_infinity": "squared distance of features",
    "kid": "squared distance of features",
    "swd": "distance of features",
    "precision": "share of the samples",
    "recall": "share of the real images",
    "density": "relative to real images",
    "coverage": "share of the real images",
    "inception_score": "classes, effectively",
    "label_agreement": "share of the samples",
    "label_agreement_drawn": "share of the samples",
    "classes_covered": "classes",
    "smallest_class_share": "relative to equal shares",
    "class_kl": "nats",
    "class_entropy": "nats",
    "gan_train": "share of the real images",
    "authenticity": "share of the samples",
    "nearest_ratio": "relative to unseen images",
    "near_copies": "share of the samples",
    "copies": "share of the samples",
    "reconstruction_mse": "squared difference of a value",
    "neg_elbo": "nats per image",
    "reconstruction": "nats per image",
    "kl": "nats per image",
    "elbo_bits_per_dim": "bits per dimension",
    "nll": "nats per image",
    "nll_bits_per_dim": "bits per dimension",
    "neg_elbo_same_images": "nats per image",
    "effective_samples": "samples",
    "active_units": "dimensions",
}
"""Name of a value -> its unit, for an axis."""


@dataclass(frozen=True)
class MetricChoice:
    """A metric as it is asked for: `fid`, or by a named extractor `fid@inception`."""

    name: str
    features: str | None = None

    @property
    def metric(self) -> Metric:
        return METRICS[self.name]

    def label(self, value: str) -> str:
        """The name of a value while a model trains: "fid", or "fid@inception" where the extractor was named."""
        return f"{value}@{self.features}" if self.features else value

    def __str__(self) -> str:
        return self.label(self.name)


def parse_metrics(words: Iterable[str]) -> list[MetricChoice]:
    """The metrics that are asked for, each once.

    Args:
        words: "NAME" or "NAME@EXTRACTOR", e.g. "fid@inception".

    Raises:
        UserError: an unknown metric or extractor, or an extractor for a metric that takes no features.
    """
    choices = []
    for word in words:
        name, at, features = (part.strip() for part in word.partition("@"))
        metric = METRICS[name]
        if at:
            EXTRACTORS[features]  # an unknown one is a UserError
            if not metric.takes_features:
                raise UserError(f"metric {name!r} takes no extractor of features. Received: {word!r}; give {name!r}")
        choices.append(MetricChoice(name, features or None))
    return list(dict.fromkeys(choices))


def directions(words: Iterable[str], *, unseen: bool = True) -> dict[str, str]:
    """Name of a value while a model trains -> "lower", "higher" or "": of all values of these metrics.

    Args:
        words: see `parse_metrics`.
        unseen: there are real images that the model is not trained on; without them some values are left out.
    """
    return {
        choice.label(name): value.better
        for choice in parse_metrics(words)
        for name, value in choice.metric.values.items()
        if unseen or not value.unseen
    }


def check(words: Iterable[str], *, num_classes: int, labelled_fakes: bool, encodes: bool, likelihood: bool) -> None:
    """Raises UserError for an unknown metric, or one that the data or the generator cannot give.

    Args:
        words: see `parse_metrics`.
        num_classes: of the data; 0 when unlabelled.
        labelled_fakes: whether the generated images have labels.
        encodes, likelihood: whether the generator has an encoder, and a likelihood.
    """
    for choice in parse_metrics(words):
        name, needs = choice.name, choice.metric.needs
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
        if not likelihood and ("likelihood" in needs or "posterior" in needs):
            raise UserError(
                f"metric {name!r} needs a model with a likelihood, which exports, .tflite files, servers, folders and "
                "models such as GANs lack; give the run directory of a VAE, or leave it out of --metrics"
            )
