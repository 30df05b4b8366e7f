"""The measures of images: from sets of them to figures. The arithmetic of each stands in a module of its own.

Importing this module registers every measure, those of `likelihood_measures` too.
"""

import numpy as np

import kgen.evaluate.likelihood_measures  # noqa: F401
from kgen import images as kimages
from kgen import rng
from kgen.errors import UserError
from kgen.evaluate import classifier, conditioning, nearest, scores, sliced
from kgen.evaluate.frechet import fid_infinity, frechet_distance
from kgen.evaluate.kernel import kernel_distance
from kgen.evaluate.prdc import prdc
from kgen.evaluate.sets import METRICS, Figure, Sets, around

K_PRECISION_RECALL, K_DENSITY_COVERAGE = 3, 5
INCEPTION_SPLITS, SUBSETS = 10, 100
FEW = 10_000
"""Below so many images the bias of a Fréchet distance is large, and is said."""
NEIGHBOURS_SHOWN = 32
SHARES = ("precision", "recall", "coverage", "gan_train", "authenticity", "copies")
"""Figures that lie in [0, 1], and so do their intervals."""


@METRICS.register("fid", needs=("features",), floor="other", figures={"fid": "lower"})
def fid(sets: Sets) -> dict[str, Figure]:
    """The Fréchet distance of the features' normal approximations (Heusel et al. 2017)."""
    if (few := _too_few(sets)) and not sets.anyway:
        return {"fid": Figure(None, note=few)}
    count = min(len(sets.real), len(sets.fake))
    note = few or (f"biased upwards by the {count:,} images" if count < FEW else "")
    return {"fid": Figure(frechet_distance(sets.fake.moments, sets.real.moments), note=note)}


@METRICS.register("fid_infinity", needs=("features",), floor="other", figures={"fid_infinity": "lower"})
def fid_inf(sets: Sets) -> dict[str, Figure]:
    """The Fréchet distance of infinitely many generated images, extrapolated (Chong & Forsyth 2020)."""
    if (few := _too_few(sets)) and not sets.anyway:
        return {"fid_infinity": Figure(None, note=few)}
    try:
        found = fid_infinity(sets.fake.features, sets.real.moments, seed=sets.seed)
    except UserError as error:
        return {"fid_infinity": Figure(None, note=str(error))}
    interval = around(found.value, found.standard_error)
    return {"fid_infinity": Figure(found.value, interval, note=few, settings={"sizes": len(found.sizes)})}


@METRICS.register("kid", needs=("features",), floor="other", figures={"kid": "lower"})
def kid(sets: Sets) -> dict[str, Figure]:
    """The kernel distance, unbiased (Binkowski et al. 2018); may be negative."""
    found = kernel_distance(sets.real.features, sets.fake.features, subsets=SUBSETS, seed=sets.seed)
    settings = {"subsets": SUBSETS, "subset_size": found.subset_size}
    if 2 * found.subset_size > min(len(sets.real), len(sets.fake)):
        note = "few images: the subsets share most of them, so their scatter says little"
        return {"kid": Figure(found.value, note=note, settings=settings)}
    return {"kid": Figure(found.value, around(found.value, found.standard_error), settings=settings)}


@METRICS.register(
    "prdc",
    needs=("features",),
    floor="other",
    figures={"precision": "higher", "recall": "higher", "density": "higher", "coverage": "higher"},
)
def precision_recall(sets: Sets) -> dict[str, Figure]:
    """Improved precision and recall (Kynkäänniemi et al. 2019), density and coverage (Naeem et al. 2020), equal N."""
    count = min(len(sets.real), len(sets.fake))
    if count <= K_DENSITY_COVERAGE:
        note = f"needs more than {K_DENSITY_COVERAGE} images of each kind"
        return {name: Figure(None, note=note) for name in ("precision", "recall", "density", "coverage")}
    found = prdc(
        _some(sets.real.features, count),
        _some(sets.fake.features, count),
        k_precision_recall=K_PRECISION_RECALL,
        k_density_coverage=K_DENSITY_COVERAGE,
    )
    ks = {"precision": K_PRECISION_RECALL, "recall": K_PRECISION_RECALL}
    return {
        name: Figure(value, settings={"k": ks.get(name, K_DENSITY_COVERAGE)}, count=count)
        for name, value in found.items()
    }


@METRICS.register("swd", needs=("features",), floor="other", figures={"swd": "lower"})
def sliced_wasserstein(sets: Sets) -> dict[str, Figure]:
    """The sliced Wasserstein distance of the features."""
    found = sliced.sliced_wasserstein(sets.real.features, sets.fake.features, seed=sets.seed)
    interval = around(found.value, found.standard_error)
    return {"swd": Figure(found.value, interval, settings={"projections": found.projections})}


@METRICS.register("is", needs=("logits",), floor="real", figures={"inception_score": "higher"})
def inception_score(sets: Sets) -> dict[str, Figure]:
    """The Inception score over the classes of the extractor, or of the data set's classifier (Salimans et al. 2016)."""
    if sets.fake.logits is None:
        return {"inception_score": Figure(None, note="there is no classifier: the data has no labels")}
    if len(sets.fake) < INCEPTION_SPLITS:
        return {"inception_score": Figure(None, note=f"needs at least {INCEPTION_SPLITS} images")}
    found = scores.inception_score(sets.fake.logits, splits=INCEPTION_SPLITS, seed=sets.seed)
    return {"inception_score": Figure(found.value, settings={"splits": INCEPTION_SPLITS})}


@METRICS.register(
    "label_agreement",
    needs=("labels", "classifier"),
    floor="real",
    figures={"label_agreement": "higher", "label_agreement_drawn": "higher"},
)
def label_agreement(sets: Sets) -> dict[str, Figure]:
    """How many images the data set's classifier puts into the class of their label (GAN-test, Shmelkov et al. 2018).

    What a model with a Bernoulli likelihood makes is the mean of its pixels; `label_agreement_drawn` is of draws.
    """
    figures = {"label_agreement": _agreement(sets, sets.fake.predicted)}
    model = sets.modelled.model if sets.modelled else None
    if model is not None and model.levels == 2 and not model.rounds:
        uniform = rng.generator(sets.seed, "drawn pixels").random(sets.fake.pixels.shape, np.float32)
        pixels = kimages.to_uint8((uniform < kimages.to_unit(sets.fake.pixels)).astype(np.float32))
        figures["label_agreement_drawn"] = _agreement(sets, sets.fake.classifier(pixels)[1].argmax(axis=1))
    return figures


def _agreement(sets: Sets, predicted: np.ndarray) -> Figure:
    found = conditioning.label_agreement(predicted, sets.fake.labels, sets.num_classes)
    worst = int(np.nanargmin([np.nan if share is None else share for share in found.by_class]))
    note = f"lowest: class {worst}, {found.by_class[worst]:.1%}"
    hits = (round(found.share * found.count), found.count)
    return Figure(found.share, found.interval, hits, note)


@METRICS.register(
    "coverage",
    needs=("classifier",),
    floor="real",
    figures={"classes_covered": "higher", "smallest_class_share": "higher", "class_kl": "lower", "class_entropy": ""},
)
def class_coverage(sets: Sets) -> dict[str, Figure]:
    """Which classes are hit, and how far their histogram is from that of the real labels."""
    found = conditioning.class_coverage(sets.fake.predicted, sets.real.labels, sets.num_classes)
    return {
        "classes_covered": Figure(float(found.classes_covered), settings={"of": sets.num_classes}),
        "smallest_class_share": Figure(found.smallest_share),
        "class_kl": Figure(found.kl),
        "class_entropy": Figure(found.entropy, settings={"unit": "nats"}),
    }


@METRICS.register("gan_train", needs=("labels",), floor="other", figures={"gan_train": "higher"})
def gan_train(sets: Sets) -> dict[str, Figure]:
    """The accuracy on real images of a classifier trained on generated ones (Shmelkov et al. 2018)."""
    arrays = classifier.train_classifier(
        sets.fake.pixels, sets.fake.labels, sets.num_classes, seed=sets.seed, name="classifier of the samples"
    )
    trained = classifier.Classifier(arrays, sets.fake.pixels.shape[1:], sets.num_classes)
    right = trained.predict(sets.real.pixels) == sets.real.labels
    interval = conditioning.wilson_interval(int(right.sum()), len(right))
    return {"gan_train": Figure(float(right.mean()), interval, settings={"recipe": classifier.RECIPE})}


@METRICS.register(
    "memorisation",
    needs=("features",),
    floor="real",
    figures={"authenticity": "higher", "nearest_ratio": "", "copies": "lower"},
)
def memorisation(sets: Sets) -> dict[str, Figure]:
    """Nearest training neighbours: whether images are copies of training images.

    The picture shows the samples that are nearest to a training image, each left of that image, the nearest first.
    """
    found = nearest.memorisation(sets.fake.features, sets.train.features, sets.real.features)
    closest = np.argsort(found["distance"], kind="stable")[:NEIGHBOURS_SHOWN]
    pairs = [image for i in closest for image in (sets.fake.pixels[i], sets.train.pixels[found["index"][i]])]
    sets.pictures["neighbours"] = kimages.grid(np.stack(pairs), 8)
    settings = {"train_images": len(sets.train), "train_hash": (sets.train.key or {}).get("data")}
    return {name: Figure(found[name], settings=settings) for name in ("authenticity", "nearest_ratio", "copies")}


@METRICS.register("reconstruction", needs=("encoder",), floor=None, once=True, figures={"reconstruction_mse": "lower"})
def reconstruction(sets: Sets) -> dict[str, Figure]:
    """The mean squared error of pixels in [0, 1] between real images and what their posterior's mean decodes to."""
    errors = []
    for start in range(0, len(sets.real), FEW):
        rows = slice(start, start + FEW)
        images = kimages.to_unit(np.asarray(sets.real.pixels[rows]))
        made = np.asarray(sets.reconstruct(images, sets.real.labels[rows]), np.float64)
        errors.append(np.square(made - images).mean(axis=(1, 2, 3)))
    errors = np.concatenate(errors)
    mean = float(errors.mean())
    return {"reconstruction_mse": Figure(mean, around(mean, errors.std(ddof=1) / np.sqrt(len(errors))))}


def _too_few(sets: Sets) -> str:
    """Why the covariance of the features cannot be estimated; empty when it can."""
    count, dimension = min(len(sets.real), len(sets.fake)), sets.real.extractor.dimension
    if count > dimension:
        return ""
    return f"{count:,} images are too few for features of {dimension:,} dimensions"


def _some(features: np.ndarray, count: int) -> np.ndarray:
    """`count` of the rows, a fixed random choice."""
    if count == len(features):
        return features
    return features[np.sort(rng.generator(0, "equal numbers", count).choice(len(features), count, replace=False))]
