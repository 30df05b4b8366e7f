"""What measures are made of: the sets that they take, the figures that they give, and the register of them all.

A measure is a function (Sets) -> {name of a figure: Figure}, registered under the name that `--metrics` takes with

    needs: of "features", "logits", "labels" and "classifier" (all of generated images), "encoder" and "likelihood";
    floor: the real images that take the place of generated ones: "other" (of another split), "real", or None;
    figures: their names, and which is better: "lower", "higher" or "";
    once: True where another drawing of images would change nothing.
"""

import math
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field, replace
from functools import cached_property
from typing import Any

import numpy as np

from kgen import images as kimages
from kgen import random
from kgen.canvas import Canvas
from kgen.data.reference import GREY, RealImages
from kgen.errors import UserError
from kgen.features import classifier
from kgen.features.imageset import ImageSet
from kgen.metrics import conditioning, inception_score, memorization, sliced
from kgen.metrics.frechet import fid_infinity, frechet_distance
from kgen.metrics.kernel import kernel_distance
from kgen.metrics.likelihood import Posterior, bits_per_dim, elbo, encode, kls, log_likelihood
from kgen.metrics.prdc import prdc
from kgen.registry import Registry
from kgen.sampling import Prior

METRICS = Registry("metric")


@dataclass(frozen=True)
class MetricValue:
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
        model: with a likelihood: has `posterior`, `nll`, `code_dim`, `conditional`, `levels` and `rounds`.
        prior: of the code.
        real: the reference split.
        binarization: of its images; see `Reference`.
        samples: draws per image, for importance sampling.
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
class Inputs:
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


# Measures -------------------------------------------------------------------------------------------------------------
# The measures of images: from sets of them to figures. The arithmetic of each stands in a module of its own.
#
# Importing this module registers every measure, those of `likelihood_measures` too.


K_PRECISION_RECALL, K_DENSITY_COVERAGE = 3, 5
INCEPTION_SPLITS, SUBSETS = 10, 100
FEW = 10_000
"""Below so many images the bias of a Fréchet distance is large, and is said."""
NEIGHBOURS_SHOWN = 32
SHARES = ("precision", "recall", "coverage", "gan_train", "authenticity", "copies")
"""Figures that lie in [0, 1], and so do their intervals."""


@METRICS.register("fid", needs=("features",), floor="other", figures={"fid": "lower"})
def fid(sets: Inputs) -> dict[str, MetricValue]:
    """The Fréchet distance of the features' normal approximations (Heusel et al. 2017)."""
    if (few := _too_few(sets)) and not sets.anyway:
        return {"fid": MetricValue(None, note=few)}
    count = min(len(sets.real), len(sets.fake))
    note = few or (f"biased upwards by the {count:,} images" if count < FEW else "")
    return {"fid": MetricValue(frechet_distance(sets.fake.moments, sets.real.moments), note=note)}


@METRICS.register("fid_infinity", needs=("features",), floor="other", figures={"fid_infinity": "lower"})
def fid_inf(sets: Inputs) -> dict[str, MetricValue]:
    """The Fréchet distance of infinitely many generated images, extrapolated (Chong & Forsyth 2020)."""
    if (few := _too_few(sets)) and not sets.anyway:
        return {"fid_infinity": MetricValue(None, note=few)}
    try:
        found = fid_infinity(sets.fake.features, sets.real.moments, seed=sets.seed)
    except UserError as error:
        return {"fid_infinity": MetricValue(None, note=str(error))}
    interval = around(found.value, found.standard_error)
    return {"fid_infinity": MetricValue(found.value, interval, note=few, settings={"sizes": len(found.sizes)})}


@METRICS.register("kid", needs=("features",), floor="other", figures={"kid": "lower"})
def kid(sets: Inputs) -> dict[str, MetricValue]:
    """The kernel distance, unbiased (Binkowski et al. 2018); may be negative."""
    found = kernel_distance(sets.real.features, sets.fake.features, subsets=SUBSETS, seed=sets.seed)
    settings = {"subsets": SUBSETS, "subset_size": found.subset_size}
    if 2 * found.subset_size > min(len(sets.real), len(sets.fake)):
        note = "few images: the subsets share most of them, so their scatter says little"
        return {"kid": MetricValue(found.value, note=note, settings=settings)}
    return {"kid": MetricValue(found.value, around(found.value, found.standard_error), settings=settings)}


@METRICS.register(
    "prdc",
    needs=("features",),
    floor="other",
    figures={"precision": "higher", "recall": "higher", "density": "higher", "coverage": "higher"},
)
def precision_recall(sets: Inputs) -> dict[str, MetricValue]:
    """Improved precision and recall (Kynkäänniemi et al. 2019), density and coverage (Naeem et al. 2020), equal N."""
    count = min(len(sets.real), len(sets.fake))
    if count <= K_DENSITY_COVERAGE:
        note = f"needs more than {K_DENSITY_COVERAGE} images of each kind"
        return {name: MetricValue(None, note=note) for name in ("precision", "recall", "density", "coverage")}
    found = prdc(
        _some(sets.real.features, count),
        _some(sets.fake.features, count),
        k_precision_recall=K_PRECISION_RECALL,
        k_density_coverage=K_DENSITY_COVERAGE,
    )
    ks = {"precision": K_PRECISION_RECALL, "recall": K_PRECISION_RECALL}
    return {
        name: MetricValue(value, settings={"k": ks.get(name, K_DENSITY_COVERAGE)}, count=count)
        for name, value in found.items()
    }


@METRICS.register("swd", needs=("features",), floor="other", figures={"swd": "lower"})
def sliced_wasserstein(sets: Inputs) -> dict[str, MetricValue]:
    """The sliced Wasserstein distance of the features."""
    found = sliced.sliced_wasserstein(sets.real.features, sets.fake.features, seed=sets.seed)
    interval = around(found.value, found.standard_error)
    return {"swd": MetricValue(found.value, interval, settings={"projections": found.projections})}


@METRICS.register("is", needs=("logits",), floor="real", figures={"inception_score": "higher"})
def inception_score_of(sets: Inputs) -> dict[str, MetricValue]:
    """The Inception score over the classes of the extractor, or of the data set's classifier (Salimans et al. 2016)."""
    if sets.fake.logits is None:
        return {"inception_score": MetricValue(None, note="there is no classifier: the data has no labels")}
    if len(sets.fake) < INCEPTION_SPLITS:
        return {"inception_score": MetricValue(None, note=f"needs at least {INCEPTION_SPLITS} images")}
    found = inception_score.inception_score(sets.fake.logits, splits=INCEPTION_SPLITS, seed=sets.seed)
    return {"inception_score": MetricValue(found.value, settings={"splits": INCEPTION_SPLITS})}


@METRICS.register(
    "label_agreement",
    needs=("labels", "classifier"),
    floor="real",
    figures={"label_agreement": "higher", "label_agreement_drawn": "higher"},
)
def label_agreement(sets: Inputs) -> dict[str, MetricValue]:
    """How many images the data set's classifier puts into the class of their label (GAN-test, Shmelkov et al. 2018).

    What a model with a Bernoulli likelihood makes is the mean of its pixels; `label_agreement_drawn` is of draws.
    """
    figures = {"label_agreement": _agreement(sets, sets.fake.predicted)}
    model = sets.modelled.model if sets.modelled else None
    if model is not None and model.levels == 2 and not model.rounds:
        uniform = random.generator(sets.seed, "drawn pixels").random(sets.fake.pixels.shape, np.float32)
        pixels = kimages.to_uint8((uniform < kimages.to_unit(sets.fake.pixels)).astype(np.float32))
        figures["label_agreement_drawn"] = _agreement(sets, sets.fake.classifier(pixels)[1].argmax(axis=1))
    return figures


def _agreement(sets: Inputs, predicted: np.ndarray) -> MetricValue:
    found = conditioning.label_agreement(predicted, sets.fake.labels, sets.num_classes)
    worst = int(np.nanargmin([np.nan if share is None else share for share in found.by_class]))
    note = f"lowest: class {worst}, {found.by_class[worst]:.1%}"
    hits = (round(found.share * found.count), found.count)
    return MetricValue(found.share, found.interval, hits, note)


@METRICS.register(
    "coverage",
    needs=("classifier",),
    floor="real",
    figures={"classes_covered": "higher", "smallest_class_share": "higher", "class_kl": "lower", "class_entropy": ""},
)
def class_coverage(sets: Inputs) -> dict[str, MetricValue]:
    """Which classes are hit, and how far their histogram is from that of the real labels."""
    found = conditioning.class_coverage(sets.fake.predicted, sets.real.labels, sets.num_classes)
    return {
        "classes_covered": MetricValue(float(found.classes_covered), settings={"of": sets.num_classes}),
        "smallest_class_share": MetricValue(found.smallest_share),
        "class_kl": MetricValue(found.kl),
        "class_entropy": MetricValue(found.entropy, settings={"unit": "nats"}),
    }


@METRICS.register("gan_train", needs=("labels",), floor="other", figures={"gan_train": "higher"})
def gan_train(sets: Inputs) -> dict[str, MetricValue]:
    """The accuracy on real images of a classifier trained on generated ones (Shmelkov et al. 2018)."""
    arrays = classifier.train_classifier(
        sets.fake.pixels, sets.fake.labels, sets.num_classes, seed=sets.seed, name="classifier of the samples"
    )
    trained = classifier.Classifier(arrays, sets.fake.pixels.shape[1:], sets.num_classes)
    right = trained.predict(sets.real.pixels) == sets.real.labels
    interval = conditioning.wilson_interval(int(right.sum()), len(right))
    return {"gan_train": MetricValue(float(right.mean()), interval, settings={"recipe": classifier.RECIPE})}


@METRICS.register(
    "memorisation",
    needs=("features",),
    floor="real",
    figures={"authenticity": "higher", "nearest_ratio": "", "copies": "lower"},
)
def memorisation(sets: Inputs) -> dict[str, MetricValue]:
    """Nearest training neighbours: whether images are copies of training images.

    The picture shows the samples that are nearest to a training image, each left of that image, the nearest first.
    """
    found = memorization.memorization(sets.fake.features, sets.train.features, sets.real.features)
    closest = np.argsort(found["distance"], kind="stable")[:NEIGHBOURS_SHOWN]
    pairs = [image for i in closest for image in (sets.fake.pixels[i], sets.train.pixels[found["index"][i]])]
    sets.pictures["neighbours"] = kimages.grid(np.stack(pairs), 8)
    settings = {"train_images": len(sets.train), "train_hash": (sets.train.key or {}).get("data")}
    return {name: MetricValue(found[name], settings=settings) for name in ("authenticity", "nearest_ratio", "copies")}


@METRICS.register("reconstruction", needs=("encoder",), floor=None, once=True, figures={"reconstruction_mse": "lower"})
def reconstruction(sets: Inputs) -> dict[str, MetricValue]:
    """The mean squared error of pixels in [0, 1] between real images and what their posterior's mean decodes to."""
    errors = []
    for start in range(0, len(sets.real), FEW):
        rows = slice(start, start + FEW)
        images = kimages.to_unit(np.asarray(sets.real.pixels[rows]))
        made = np.asarray(sets.reconstruct(images, sets.real.labels[rows]), np.float64)
        errors.append(np.square(made - images).mean(axis=(1, 2, 3)))
    errors = np.concatenate(errors)
    mean = float(errors.mean())
    return {"reconstruction_mse": MetricValue(mean, around(mean, errors.std(ddof=1) / np.sqrt(len(errors))))}


def _too_few(sets: Inputs) -> str:
    """Why the covariance of the features cannot be estimated; empty when it can."""
    count, dimension = min(len(sets.real), len(sets.fake)), sets.real.extractor.dimension
    if count > dimension:
        return ""
    return f"{count:,} images are too few for features of {dimension:,} dimensions"


def _some(features: np.ndarray, count: int) -> np.ndarray:
    """`count` of the rows, a fixed random choice."""
    if count == len(features):
        return features
    return features[np.sort(random.generator(0, "equal numbers", count).choice(len(features), count, replace=False))]


# Likelihood measures --------------------------------------------------------------------------------------------------
# The measures of a model with a likelihood: ELBO, importance-sampled log-likelihood, active units.
#
# A likelihood is of some data with respect to some measure, and says nothing without them. Every figure names its
# binarization and base measure in its settings, so figures of the fixed binarization, of a dynamic one and of densities
# never stand in one column; what is no likelihood is not told as one.


LEAST_EFFECTIVE_SAMPLES = 5
ACTIVE_VARIANCE = 0.01
COUNTING, LEBESGUE, CROSS_ENTROPY = "counting", "Lebesgue on [0,1]^D", "none: cross-entropy"
NO_LIKELIHOOD = (
    "grey pixels have no Bernoulli likelihood: judge by black and white ones (--binarize sample), or train with "
    "--set model_args.likelihood=gaussian_learned"
)
UNBOUNDED = "a density at pixels of few levels has no upper bound: a Bernoulli likelihood suits them"
DENSITY = "of a density at grey levels that are not dequantized: no code length"
NOT_FINITE = "the model's likelihood is not finite"


def is_likelihood(modelled: Modelled) -> bool:
    """Whether the model's `nll` is one of the images at hand: a Bernoulli's is none of grey pixels."""
    model = modelled.model
    return model.levels != 2 or model.rounds or modelled.binarization != GREY


@METRICS.register(
    "elbo",
    needs=("likelihood",),
    floor=None,
    once=True,
    figures={"neg_elbo": "lower", "reconstruction": "", "kl": "", "elbo_bits_per_dim": "lower"},
)
def neg_elbo(sets: Inputs) -> dict[str, MetricValue]:
    """The negative ELBO, reconstruction + KL, of one draw per image (Kingma & Welling 2014)."""
    names, modelled = METRICS.defaults("elbo")["figures"], sets.modelled
    if not (is_likelihood(modelled) or sets.anyway):
        return _refused(names, modelled)
    found = elbo(
        modelled.model, modelled.prior, modelled.real.pixels, modelled.labels, seed=sets.seed,
        posterior=modelled.posterior,
    )  # fmt: skip
    terms = {"neg_elbo": found.reconstruction + found.kl, "reconstruction": found.reconstruction, "kl": found.kl}
    figures = {name: _mean(values, modelled) for name, values in terms.items()}
    return figures | {"elbo_bits_per_dim": _bits(figures["neg_elbo"], modelled)}


@METRICS.register(
    "nll",
    needs=("likelihood",),
    floor=None,
    once=True,
    figures={"nll": "lower", "nll_bits_per_dim": "lower", "neg_elbo_same_images": "lower", "effective_samples": ""},
)
def nll(sets: Inputs) -> dict[str, MetricValue]:
    """The negative log-likelihood, by importance sampling from the posterior (Burda et al. 2016)."""
    from tqdm import tqdm

    names, modelled = METRICS.defaults("nll")["figures"], sets.modelled
    settings = {"samples": modelled.samples}
    if not (is_likelihood(modelled) or sets.anyway):
        return _refused(names, modelled, **settings)
    some = replace(modelled, real=modelled.real.some(modelled.images))
    count, form = some.real.count, {"unit_scale": True, "delay": 2, "leave": False, "disable": None}
    with tqdm(total=count * some.samples, desc="importance samples", **form) as bar:
        found = log_likelihood(
            some.model, some.prior, some.real.pixels, some.labels, samples=some.samples, seed=sets.seed,
            progress=bar.update,
        )  # fmt: skip
    figure = _mean(-found.log_likelihood, modelled, count, **settings)
    effective = float(np.median(found.effective_samples))
    if effective < LEAST_EFFECTIVE_SAMPLES:
        loose = f"loose: median effective sample size {effective:.1f} is below {LEAST_EFFECTIVE_SAMPLES}"
        figure = replace(figure, note="; ".join(filter(None, [loose, figure.note])))
    median = effective if math.isfinite(effective) else None
    return {
        "nll": figure,
        "nll_bits_per_dim": _bits(figure, modelled),
        "neg_elbo_same_images": _mean(-found.bound, modelled, count, **settings),
        "effective_samples": MetricValue(median, settings=figure.settings, count=count),
    }


@METRICS.register("active_units", needs=("likelihood",), floor=None, once=True, figures={"active_units": "higher"})
def active_units(sets: Inputs) -> dict[str, MetricValue]:
    """Latent dimensions whose posterior mean varies from image to image: Var_x(mean_j) > 0.01 (Burda et al. 2016).

    The picture shows the KL of every latent dimension, the KL of its posterior from N(0, 1), mean over the images.
    """
    posterior = sets.modelled.posterior
    variance = posterior.mean.var(axis=0, dtype=np.float64, ddof=1)
    active = variance > ACTIVE_VARIANCE
    settings = {"variance_above": ACTIVE_VARIANCE}
    if not np.isfinite(variance).all():
        return {"active_units": MetricValue(None, note=NOT_FINITE, settings=settings)}
    sets.pictures["kls"] = kls_picture(kls(posterior).mean(axis=0), active)
    return {"active_units": MetricValue(float(active.sum()), note=f"of {len(active)}", settings=settings)}


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
    order = np.argsort(-kl, kind="stable")
    for chosen, colour, label in ((active, "tab:blue", "active"), (~active, "tab:gray", "not active")):
        places = np.flatnonzero(chosen[order])
        if len(places):
            axes.bar(places, kl[order[places]], color=colour, label=f"{len(places)} {label}", width=0.9)
    axes.set(
        xlabel="latent dimension, by its KL",
        ylabel="nats per image",
        title=f"KL from N(0, I): {kl.sum():.2f} nats per image",
    )
    axes.legend()
    return canvas.to_array()


# Figures --------------------------------------------------------------------------------------------------------------


def _base_measure(modelled: Modelled) -> str:
    levels = modelled.model.levels
    if not is_likelihood(modelled):
        return CROSS_ENTROPY
    return LEBESGUE if levels is None else COUNTING if levels == 2 else f"{COUNTING} of {levels} levels"


def _settings(modelled: Modelled, **more) -> dict:
    """What a likelihood is of, and by what it is measured."""
    binarization = modelled.binarization
    if modelled.model.rounds and modelled.model.levels == 2 and binarization == GREY:
        binarization = "threshold"  # the model's own rounding
    given = {"given": "label"} if modelled.model.conditional else {}
    return {"binarization": binarization, "base_measure": _base_measure(modelled), **given, **more}


def _refused(names, modelled: Modelled, **more) -> dict[str, MetricValue]:
    settings = _settings(modelled, **more)
    return {name: MetricValue(None, note=NO_LIKELIHOOD, settings=settings) for name in names}


def _mean(values: np.ndarray, modelled: Modelled, count: int | None = None, **more) -> MetricValue:
    """The mean over images, with its interval."""
    settings, mean = _settings(modelled, **more), float(values.mean())
    if not math.isfinite(mean):
        return MetricValue(None, note=NOT_FINITE, settings=settings, count=count)
    notes = {
        CROSS_ENTROPY: f"no likelihood: {NO_LIKELIHOOD}",
        LEBESGUE: "" if modelled.binarization == GREY else UNBOUNDED,
    }
    interval = around(mean, values.std(ddof=1) / math.sqrt(len(values)))
    return MetricValue(mean, interval, note=notes.get(settings["base_measure"], ""), settings=settings, count=count)


def _bits(figure: MetricValue, modelled: Modelled) -> MetricValue:
    """A figure in nats per image as bits per pixel and channel, where that is the length of something."""
    density, grey = modelled.model.levels is None, modelled.binarization == GREY
    if figure.value is None or not is_likelihood(modelled) or (density and not grey):
        return replace(figure, value=None, interval=None)
    dimensions = math.prod(modelled.real.pixels.shape[1:])
    value, low, high = (bits_per_dim(x, dimensions, density=density) for x in (figure.value, *figure.interval))
    return replace(figure, value=value, interval=(low, high), note=DENSITY if density else figure.note)
