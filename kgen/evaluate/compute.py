"""What each metric of the registry computes, from its inputs to its values; the arithmetic is in `kgen.metrics`."""

import math
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from functools import cached_property
from typing import Any

import numpy as np

from kgen import images as kimages
from kgen import random
from kgen.blas import threads_for
from kgen.canvas import Canvas
from kgen.data.reference import GREY, RealImages
from kgen.errors import UserError
from kgen.evaluate.registry import METRICS
from kgen.features import classifier as classifiers
from kgen.features.extractors import Extractor
from kgen.features.imageset import ImageSet
from kgen.metrics import conditioning, frechet, inception_score, kernel, likelihood, memorization, prdc, sliced
from kgen.sampling import Prior

K_PRECISION_RECALL, K_DENSITY_COVERAGE = 3, 5
INCEPTION_SPLITS, KERNEL_SUBSETS = 10, 100
FEW_IMAGES = 10_000
"""Below so many images the bias of a Fréchet distance is large; a note says so."""
NEIGHBOURS_SHOWN = 32
BATCH = 64
"""Images that are reconstructed per call."""

LEAST_EFFECTIVE_SAMPLES = 5
ACTIVE_VARIANCE = 0.01
COUNTING, LEBESGUE, CROSS_ENTROPY = "counting", "Lebesgue on [0,1]^D", "none: cross-entropy"
NO_LIKELIHOOD = (
    "grey pixels have no Bernoulli likelihood: judge by black and white ones (--binarize sample), or train with "
    "--set model_args.likelihood=gaussian_learned"
)
UNBOUNDED = "a density at pixels of few levels has no upper bound: a Bernoulli likelihood suits them"
DENSITY = "of a density at grey levels that are not dequantized: no code length"
NO_UNSEEN = (
    "the reference holds the training images, so no unseen images are left to compare with: take --split validation, "
    "or --split test where there is one"
)
SAME_IMAGES = "the images are those of the reference themselves"
NOT_FINITE = "the model's likelihood is not finite"


# Inputs and values ----------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class MetricValue:
    """One value of a metric, of one repeat.

    Attributes:
        value: None when it cannot be computed; the note says why.
        interval: 95 %, where the metric itself gives one.
        hits: (hits, trials) of a share: those of several repeats are added up.
        note: a remark.
        settings: what it depends on besides the images and their features.
        count: images of each set, where the metric takes fewer than there are.
    """

    value: float | None
    interval: tuple[float, float] | None = None
    hits: tuple[int, int] | None = None
    note: str = ""
    settings: dict[str, Any] = field(default_factory=dict)
    count: int | None = None


class UnitImages:
    """uint8 images that become float32 in [0, 1] when they are sliced, so that a large set is never converted whole."""

    def __init__(self, pixels: np.ndarray):
        self._pixels, self.shape = pixels, pixels.shape

    def __len__(self) -> int:
        return len(self._pixels)

    def __getitem__(self, rows: slice) -> np.ndarray:
        return kimages.to_unit(np.asarray(self._pixels[rows]))


@dataclass(frozen=True)
class LikelihoodInputs:
    """A model with a likelihood, and the images whose likelihood is computed.

    Attributes:
        model: with a likelihood: has `posterior`, `nll`, `code_dim`, `conditional`, `levels` and `rounds`.
        prior: of the code.
        real: the reference split.
        binarization: of its images; see `Reference`.
        samples: per image, for importance sampling.
        images: at most so many images are importance-sampled.
    """

    model: Any
    prior: Prior
    real: RealImages
    binarization: str
    samples: int = 5_000
    images: int = 1_000

    @property
    def labels(self) -> np.ndarray | None:
        """[N] int32 labels of the real images for a conditional model, else None."""
        return self.real.labels if self.model.conditional else None

    @property
    def unit_images(self) -> UnitImages:
        """The real images in [0, 1], [N, H, W, C]."""
        return UnitImages(self.real.pixels)

    @cached_property
    def posterior(self) -> likelihood.Posterior:
        """Of all real images."""
        return likelihood.encode(self.model, self.unit_images, self.labels)

    @property
    def is_likelihood(self) -> bool:
        """Whether the model's `nll` is a likelihood of these images: a Bernoulli's is none of grey pixels."""
        return self.model.levels != 2 or self.model.rounds or self.binarization != GREY

    @property
    def base_measure(self) -> str:
        """What a likelihood is a density with respect to."""
        levels = self.model.levels
        if not self.is_likelihood:
            return CROSS_ENTROPY
        return LEBESGUE if levels is None else COUNTING if levels == 2 else f"{COUNTING} of {levels} levels"

    def settings(self, **more: Any) -> dict[str, Any]:
        """Settings of a value: without binarization and base measure two likelihoods cannot be compared."""
        binarization = self.binarization
        if self.model.rounds and self.model.levels == 2 and binarization == GREY:
            binarization = "threshold"  # the model's own rounding
        given = {"given": "label"} if self.model.conditional else {}
        return {"binarization": binarization, "base_measure": self.base_measure, **given, **more}


@dataclass(frozen=True)
class Inputs:
    """What a metric is computed from.

    Attributes:
        real: the reference split.
        fake: the generated images; None where no metric looks at them.
        train: all images that the model was trained on; None where the metric does not look at them.
        extractor: of features (and of logits, where it classifies); None where the metric takes none.
        classifier: of the data set; None where no metric asks for it, and without labels.
        num_classes, class_names: of the data; 0 when unlabelled, () without names.
        seed: of random subsets, projections and samples.
        anyway: also values that are known to mislead.
        reconstruct: (images in [0, 1], labels) -> images in [0, 1], or None without an encoder.
        likelihood: the model whose likelihood is computed, or None without one.
        mirrored: the images of `train`, mirrored, where the model was trained on these, too; else None.
        pictures: metrics leave pictures here, name -> [H, W, C] uint8.
    """

    real: ImageSet
    fake: ImageSet | None
    train: ImageSet | None
    extractor: Extractor | None = None
    classifier: Extractor | None = None
    num_classes: int = 0
    class_names: tuple[str, ...] = ()
    seed: int = 0
    anyway: bool = False
    reconstruct: Callable | None = None
    likelihood: LikelihoodInputs | None = None
    mirrored: ImageSet | None = None
    pictures: dict[str, np.ndarray] = field(default_factory=dict)

    @property
    def logits_extractor(self) -> Extractor | None:
        """The extractor where it classifies, or else the classifier of the data set."""
        return self.extractor if self.extractor and self.extractor.num_classes else self.classifier

    @property
    def features(self) -> tuple[np.ndarray, np.ndarray]:
        """Features of the real and the generated images, [N, d] and [M, d] float32."""
        return self.real.features(self.extractor), self.fake.features(self.extractor)

    @cached_property
    def same_images(self) -> bool:
        """Whether the images in place of generated ones are the real images themselves, in their order."""
        return np.array_equal(self.real.pixels, self.fake.pixels)

    @property
    def predicted(self) -> np.ndarray:
        """The classes of the generated images by the classifier of the data set, [M] int32."""
        return classes_of(self.fake.logits(self.classifier))


def classes_of(logits: np.ndarray) -> np.ndarray:
    """[N, K] logits -> [N] int32, the most probable class of each."""
    return logits.argmax(axis=1).astype(np.int32)


def normal_interval(value: float, standard_error: float) -> tuple[float, float]:
    """The 95 % interval of a mean of many."""
    return float(value - 1.96 * standard_error), float(value + 1.96 * standard_error)


# Distances between sets of features -----------------------------------------------------------------------------------


def fid(inputs: Inputs) -> dict[str, MetricValue]:
    """The Fréchet distance of the features' normal approximations."""
    if (note := _too_few_images(inputs)) and not inputs.anyway:
        if not inputs.same_images:
            return {"fid": MetricValue(None, note=note)}
        note = SAME_IMAGES  # 0 for any number of them
    count = min(len(inputs.real), len(inputs.fake))
    note = note or (f"biased upwards by the {count:,} images" if count < FEW_IMAGES else "")
    fake, real = inputs.fake.moments(inputs.extractor), inputs.real.moments(inputs.extractor)
    return {"fid": MetricValue(frechet.frechet_distance(fake, real), note=note)}


def fid_infinity(inputs: Inputs) -> dict[str, MetricValue]:
    """The Fréchet distance extrapolated to infinitely many generated images."""
    if (note := _too_few_images(inputs)) and not inputs.anyway:
        return {"fid_infinity": MetricValue(None, note=note)}
    fake, real = inputs.fake.features(inputs.extractor), inputs.real.moments(inputs.extractor)
    try:
        found = frechet.fid_infinity(fake, real, seed=inputs.seed)
    except UserError as error:
        return {"fid_infinity": MetricValue(None, note=str(error))}
    interval = normal_interval(found.value, found.standard_error)
    return {"fid_infinity": MetricValue(found.value, interval, note=note, settings={"sizes": len(found.sizes)})}


def _too_few_images(inputs: Inputs) -> str:
    """Why the covariance of the features cannot be estimated; empty when it can."""
    count, dimension = min(len(inputs.real), len(inputs.fake)), inputs.extractor.dimension
    if count > dimension:
        return ""
    return f"{count:,} images are too few for features of {dimension:,} dimensions"


def _needs_two(inputs: Inputs) -> str:
    """Why there is no distance between distributions; empty when there is one."""
    count = min(len(inputs.real), len(inputs.fake))
    return "" if count > 1 else f"needs at least two images of each kind. Received: {count}"


def kid(inputs: Inputs) -> dict[str, MetricValue]:
    """The unbiased kernel distance; 0 of the reference's own images, where the estimate would be negative."""
    if note := _needs_two(inputs):
        return {"kid": MetricValue(None, note=note)}
    found = kernel.kernel_distance(*inputs.features, subsets=KERNEL_SUBSETS, seed=inputs.seed)
    settings = {"subsets": KERNEL_SUBSETS, "subset_size": found.subset_size}
    if inputs.same_images:
        return {"kid": MetricValue(0.0, note=SAME_IMAGES, settings=settings)}
    if 2 * found.subset_size > min(len(inputs.real), len(inputs.fake)):
        note = "few images: the subsets share most of them, so their scatter gives no interval"
        return {"kid": MetricValue(found.value, note=note, settings=settings)}
    return {"kid": MetricValue(found.value, normal_interval(found.value, found.standard_error), settings=settings)}


def precision_recall_density_coverage(inputs: Inputs) -> dict[str, MetricValue]:
    """Improved precision and recall, density and coverage, of as many generated as real images."""
    count = min(len(inputs.real), len(inputs.fake))
    if count <= K_DENSITY_COVERAGE:
        note = f"needs more than {K_DENSITY_COVERAGE} images of each kind"
        return {name: MetricValue(None, note=note) for name in METRICS["prdc"].values}
    with threads_for(count * count * inputs.extractor.dimension):
        found = prdc.prdc(
            *(_random_rows(features, count) for features in inputs.features),
            k_precision_recall=K_PRECISION_RECALL,
            k_density_coverage=K_DENSITY_COVERAGE,
        )
    ks = {"precision": K_PRECISION_RECALL, "recall": K_PRECISION_RECALL}
    return {
        name: MetricValue(value, settings={"k": ks.get(name, K_DENSITY_COVERAGE)}, count=count)
        for name, value in found.items()
    }


def _random_rows(features: np.ndarray, count: int) -> np.ndarray:
    """`count` of the rows, a fixed random choice, in their order."""
    if count == len(features):
        return features
    return features[np.sort(random.generator(0, "equal numbers", count).choice(len(features), count, replace=False))]


def sliced_wasserstein(inputs: Inputs) -> dict[str, MetricValue]:
    """The sliced Wasserstein distance of the features."""
    if note := _needs_two(inputs):
        return {"swd": MetricValue(None, note=note)}
    found = sliced.sliced_wasserstein(*inputs.features, seed=inputs.seed)
    interval = normal_interval(found.value, found.standard_error)
    return {"swd": MetricValue(found.value, interval, settings={"projections": found.projections})}


def training_neighbours(inputs: Inputs) -> dict[str, MetricValue]:
    """Whether generated images are copies of training images, mirrored or not, by the distance to the nearest of these.

    The picture shows the samples that are nearest to a training image, each left of that image, the nearest first.
    """
    real, fake = inputs.features
    unseen, mirrored = real, inputs.mirrored and inputs.mirrored.features(inputs.extractor)
    if (
        inputs.real.key
        and inputs.train.key
        and (inputs.real.key["split"] == "train" or inputs.real.key["data"] == inputs.train.key["data"])
    ):
        unseen = None
    try:
        found = memorization.memorization(fake, inputs.train.features(inputs.extractor), unseen, mirrored)
    except UserError as error:  # nothing that the other metrics mind: it is measured unasked
        return {name: MetricValue(None, note=str(error)) for name in METRICS["memorization"].values}
    closest = np.argsort(found["distance"], kind="stable")[:NEIGHBOURS_SHOWN]
    pairs = []
    for i in closest:
        trained = inputs.mirrored if found["is_mirrored"][i] else inputs.train
        pairs += [inputs.fake.pixels[i], trained.pixels[found["index"][i]]]
    inputs.pictures["neighbours"] = kimages.grid(np.stack(pairs), 8)
    settings = {"train_images": len(inputs.train), "train_hash": (inputs.train.key or {}).get("data")}
    settings |= {"mirrored": True} if inputs.mirrored else {}
    return {
        name: MetricValue(found[name], settings=settings, note=NO_UNSEEN if found[name] is None else "")
        for name in METRICS["memorization"].values
    }


# By a classifier ------------------------------------------------------------------------------------------------------


def classifier_score(inputs: Inputs) -> dict[str, MetricValue]:
    """The Inception score over the classes of the extractor, or of the data set's classifier."""
    if inputs.logits_extractor is None:
        return {"inception_score": MetricValue(None, note="there is no classifier: the data has no labels")}
    if len(inputs.fake) < INCEPTION_SPLITS:
        return {"inception_score": MetricValue(None, note=f"needs at least {INCEPTION_SPLITS} images")}
    logits = inputs.fake.logits(inputs.logits_extractor)
    found = inception_score.inception_score(logits, splits=INCEPTION_SPLITS, seed=inputs.seed)
    return {"inception_score": MetricValue(found.value, settings={"splits": INCEPTION_SPLITS})}


def label_agreement(inputs: Inputs) -> dict[str, MetricValue]:
    """The share of the images that the data set's classifier puts into the class of their label.

    What a model with a Bernoulli likelihood generates is the mean of each pixel; `label_agreement_drawn` is of images
    whose pixels are sampled with these probabilities.
    """
    values = {"label_agreement": _agreement(inputs, inputs.predicted)}
    model = inputs.likelihood.model if inputs.likelihood else None
    if model is not None and model.levels == 2 and not model.rounds:
        uniform = random.generator(inputs.seed, "drawn pixels").random(inputs.fake.pixels.shape, np.float32)
        pixels = kimages.to_uint8((uniform < kimages.to_unit(inputs.fake.pixels)).astype(np.float32))
        values["label_agreement_drawn"] = _agreement(inputs, classes_of(inputs.classifier(pixels)[1]))
    return values


def _agreement(inputs: Inputs, predicted: np.ndarray) -> MetricValue:
    found = conditioning.label_agreement(predicted, inputs.fake.labels, inputs.num_classes)
    worst = int(np.nanargmin([np.nan if share is None else share for share in found.by_class]))
    name = inputs.class_names[worst] if inputs.class_names else worst
    note = f"lowest: class {name}, {found.by_class[worst]:.1%}"
    hits = (round(found.share * found.count), found.count)
    return MetricValue(found.share, found.interval, hits, note)


def class_coverage(inputs: Inputs) -> dict[str, MetricValue]:
    """Which classes the samples hit, and how far their histogram is from that of the real labels."""
    found = conditioning.class_coverage(inputs.predicted, inputs.real.labels, inputs.num_classes)
    return {
        "classes_covered": MetricValue(float(found.classes_covered), settings={"of": inputs.num_classes}),
        "smallest_class_share": MetricValue(found.smallest_share),
        "class_kl": MetricValue(found.kl),
        "class_entropy": MetricValue(found.entropy, settings={"unit": "nats"}),
    }


def gan_train(inputs: Inputs) -> dict[str, MetricValue]:
    """The accuracy on real images of a classifier that is trained on the generated ones."""
    fake = inputs.fake
    arrays = classifiers.train_classifier(
        fake.pixels, fake.labels, inputs.num_classes, seed=inputs.seed, name="classifier of the samples"
    )
    trained = classifiers.Classifier(arrays, fake.pixels.shape[1:], inputs.num_classes)
    right = trained.predict(inputs.real.pixels) == inputs.real.labels
    interval = conditioning.wilson_interval(int(right.sum()), len(right))
    return {"gan_train": MetricValue(float(right.mean()), interval, settings={"recipe": classifiers.RECIPE})}


# By the model itself --------------------------------------------------------------------------------------------------


def reconstruction(inputs: Inputs) -> dict[str, MetricValue]:
    """The mean squared error of pixels in [0, 1] between real images and what their posterior's mean decodes to."""
    errors = []
    for start in range(0, len(inputs.real), BATCH):
        rows = slice(start, start + BATCH)
        images = kimages.to_unit(np.asarray(inputs.real.pixels[rows]))
        decoded = np.asarray(inputs.reconstruct(images, inputs.real.labels[rows]), np.float64)
        errors.append(np.square(decoded - images).mean(axis=(1, 2, 3)))
    errors = np.concatenate(errors)
    mean = float(errors.mean())
    interval = normal_interval(mean, errors.std(ddof=1) / np.sqrt(len(errors)))
    return {"reconstruction_mse": MetricValue(mean, interval)}


def neg_elbo(inputs: Inputs) -> dict[str, MetricValue]:
    """The negative ELBO, reconstruction + KL, of one sample per image."""
    given = inputs.likelihood
    if not (given.is_likelihood or inputs.anyway):
        return _no_likelihood("elbo", given.settings())
    found = likelihood.elbo(
        given.model, given.prior, given.unit_images, given.labels, seed=inputs.seed, posterior=given.posterior
    )
    terms = {"neg_elbo": found.reconstruction + found.kl, "reconstruction": found.reconstruction, "kl": found.kl}
    values = {name: _mean_nats(nats, given) for name, nats in terms.items()}
    return values | {"elbo_bits_per_dim": _bits_per_dim(values["neg_elbo"], given)}


def nll(inputs: Inputs) -> dict[str, MetricValue]:
    """The negative log-likelihood, by importance sampling from the posterior."""
    from tqdm import tqdm

    given = inputs.likelihood
    settings = {"samples": given.samples}
    if not (given.is_likelihood or inputs.anyway):
        return _no_likelihood("nll", given.settings(**settings))
    some = replace(given, real=given.real.some(given.images))
    count, form = some.real.count, {"unit_scale": True, "delay": 2, "leave": False, "disable": None}
    with tqdm(total=count * some.samples, desc="importance samples", **form) as bar:
        found = likelihood.log_likelihood(
            some.model, some.prior, some.unit_images, some.labels, samples=some.samples, seed=inputs.seed,
            progress=bar.update,
        )  # fmt: skip
    value = _mean_nats(-found.log_likelihood, given, count, **settings)
    effective = float(np.median(found.effective_samples))
    if effective < LEAST_EFFECTIVE_SAMPLES:
        loose = f"loose: median effective sample size {effective:.1f} is below {LEAST_EFFECTIVE_SAMPLES}"
        value = replace(value, note="; ".join(filter(None, [loose, value.note])))
    median = effective if math.isfinite(effective) else None
    return {
        "nll": value,
        "nll_bits_per_dim": _bits_per_dim(value, given),
        "neg_elbo_same_images": _mean_nats(-found.bound, given, count, **settings),
        "effective_samples": MetricValue(median, settings=value.settings, count=count),
    }


def active_units(inputs: Inputs) -> dict[str, MetricValue]:
    """Latent dimensions whose posterior mean varies from image to image: Var_x(mean_j) > 0.01.

    The picture shows the KL of every latent dimension, the KL of its posterior from N(0, 1), mean over the images.
    """
    posterior = inputs.likelihood.posterior
    variance = posterior.mean.var(axis=0, dtype=np.float64, ddof=1)
    active = variance > ACTIVE_VARIANCE
    settings = {"variance_above": ACTIVE_VARIANCE}
    if not np.isfinite(variance).all():
        return {"active_units": MetricValue(None, note=NOT_FINITE, settings=settings)}
    inputs.pictures["kls"] = kls_picture(likelihood.kls(posterior).mean(axis=0), active)
    return {"active_units": MetricValue(float(active.sum()), note=f"of {len(active)}", settings=settings)}


MAX_NAMED = 20
"""Latent dimensions that are named below their bars."""


def kls_picture(kl: np.ndarray, active: np.ndarray) -> np.ndarray:
    """A bar for the KL of each latent dimension, the largest first.

    Args:
        kl: [d] nats.
        active: [d] booleans.

    Returns:
        [H, W, 3] uint8.
    """
    canvas = Canvas(6.4, 3.6)
    axes = canvas.axes(grid="y")
    order, named = np.argsort(-kl, kind="stable"), len(kl) <= MAX_NAMED
    for chosen, colour, label in ((active, canvas.class_color(0), "active"), (~active, "tab:gray", "not active")):
        places = np.flatnonzero(chosen[order])
        if len(places):
            axes.bar(places, kl[order[places]], color=colour, label=f"{len(places)} {label}", width=0.9)
    axes.set(
        xlabel="latent dimension, by its KL" if named else "latent dimension, by its KL (0: the largest)",
        ylabel="nats per image",
        title=f"KL from N(0, I): {kl.sum():.2f} nats per image",
    )
    canvas.integer_ticks(axes)
    if named:
        axes.set_xticks(range(len(order)), [f"z{d}" for d in order], fontsize=8)
    axes.legend()
    return canvas.to_array()


def _no_likelihood(metric: str, settings: dict[str, Any]) -> dict[str, MetricValue]:
    """Values that are not likelihoods are not reported as such."""
    return {name: MetricValue(None, note=NO_LIKELIHOOD, settings=settings) for name in METRICS[metric].values}


def _mean_nats(nats: np.ndarray, given: LikelihoodInputs, count: int | None = None, **more) -> MetricValue:
    """The mean over images, with its interval; `nats` [N]."""
    settings, mean = given.settings(**more), float(nats.mean())
    if not math.isfinite(mean):
        return MetricValue(None, note=NOT_FINITE, settings=settings, count=count)
    notes = {
        CROSS_ENTROPY: f"no likelihood: {NO_LIKELIHOOD}",
        LEBESGUE: "" if given.binarization == GREY else UNBOUNDED,
    }
    interval = normal_interval(mean, nats.std(ddof=1) / math.sqrt(len(nats)))
    return MetricValue(mean, interval, note=notes.get(given.base_measure, ""), settings=settings, count=count)


def _bits_per_dim(nats: MetricValue, given: LikelihoodInputs) -> MetricValue:
    """A value in nats per image as bits per pixel and channel, where that is a code length."""
    density, grey = given.model.levels is None, given.binarization == GREY
    if nats.value is None or not given.is_likelihood or (density and not grey):
        return replace(nats, value=None, interval=None)
    dimensions = math.prod(given.real.pixels.shape[1:])
    value, low, high = (likelihood.bits_per_dim(x, dimensions, density=density) for x in (nats.value, *nats.interval))
    return replace(nats, value=value, interval=(low, high), note=DENSITY if density else nats.note)
