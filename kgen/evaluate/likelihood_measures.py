"""The measures of a model with a likelihood: ELBO, importance-sampled log-likelihood, active units.

A likelihood is of some data with respect to some measure, and says nothing without them. Every figure names its
binarization and base measure in its settings, so figures of the fixed binarization, of a dynamic one and of densities
never stand in one column; what is no likelihood is not told as one.
"""

import math
from dataclasses import replace

import numpy as np

from kgen.evaluate.likelihood import bits_per_dim, elbo, log_likelihood, rates
from kgen.evaluate.reference import GREY
from kgen.evaluate.sets import METRICS, Figure, Modelled, Sets, around

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
    figures={"neg_elbo": "lower", "distortion": "", "rate": "", "elbo_bits_per_dim": "lower"},
)
def neg_elbo(sets: Sets) -> dict[str, Figure]:
    """The negative ELBO, distortion + rate, of one draw an image (Kingma & Welling 2014)."""
    names, modelled = METRICS.defaults("elbo")["figures"], sets.modelled
    if not (is_likelihood(modelled) or sets.anyway):
        return _refused(names, modelled)
    found = elbo(
        modelled.model, modelled.prior, modelled.real.pixels, modelled.labels, seed=sets.seed,
        posterior=modelled.posterior,
    )  # fmt: skip
    terms = {"neg_elbo": found.distortion + found.rate, "distortion": found.distortion, "rate": found.rate}
    figures = {name: _mean(values, modelled) for name, values in terms.items()}
    return figures | {"elbo_bits_per_dim": _bits(figures["neg_elbo"], modelled)}


@METRICS.register(
    "nll",
    needs=("likelihood",),
    floor=None,
    once=True,
    figures={"nll": "lower", "nll_bits_per_dim": "lower", "neg_elbo_same_images": "lower", "effective_samples": ""},
)
def nll(sets: Sets) -> dict[str, Figure]:
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
        "effective_samples": Figure(median, settings=figure.settings, count=count),
    }


@METRICS.register("active_units", needs=("likelihood",), floor=None, once=True, figures={"active_units": "higher"})
def active_units(sets: Sets) -> dict[str, Figure]:
    """Latent dimensions whose posterior mean varies from image to image: Var_x(mean_j) > 0.01 (Burda et al. 2016).

    The picture shows the rate of every latent dimension, the KL of its posterior from N(0, 1), mean over the images.
    """
    posterior = sets.modelled.posterior
    variance = posterior.mean.var(axis=0, dtype=np.float64, ddof=1)
    active = variance > ACTIVE_VARIANCE
    settings = {"variance_above": ACTIVE_VARIANCE}
    if not np.isfinite(variance).all():
        return {"active_units": Figure(None, note=NOT_FINITE, settings=settings)}
    sets.pictures["rates"] = rates_picture(rates(posterior).mean(axis=0), active)
    return {"active_units": Figure(float(active.sum()), note=f"of {len(active)}", settings=settings)}


def rates_picture(rate: np.ndarray, active: np.ndarray) -> np.ndarray:
    """A bar for the rate of each latent dimension, the largest first.

    Args:
        rate: [d] nats.
        active: [d] booleans.

    Returns:
        [H, W, 3] uint8.
    """
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure as Picture

    picture = Picture(figsize=(6.4, 3.6), layout="constrained")
    axes = picture.add_subplot()
    order = np.argsort(-rate, kind="stable")
    for chosen, colour, label in ((active, "tab:blue", "active"), (~active, "tab:gray", "not active")):
        places = np.flatnonzero(chosen[order])
        if len(places):
            axes.bar(places, rate[order[places]], color=colour, label=f"{len(places)} {label}", width=0.9)
    axes.set(
        xlabel="latent dimension, by its rate",
        ylabel="nats an image",
        title=f"KL from N(0, I): {rate.sum():.2f} nats an image",
    )
    axes.grid(axis="y", alpha=0.3)
    axes.legend()
    canvas = FigureCanvasAgg(picture)
    canvas.draw()
    return np.asarray(canvas.buffer_rgba())[..., :3].copy()


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


def _refused(names, modelled: Modelled, **more) -> dict[str, Figure]:
    settings = _settings(modelled, **more)
    return {name: Figure(None, note=NO_LIKELIHOOD, settings=settings) for name in names}


def _mean(values: np.ndarray, modelled: Modelled, count: int | None = None, **more) -> Figure:
    """The mean over images, with its interval."""
    settings, mean = _settings(modelled, **more), float(values.mean())
    if not math.isfinite(mean):
        return Figure(None, note=NOT_FINITE, settings=settings, count=count)
    notes = {
        CROSS_ENTROPY: f"no likelihood: {NO_LIKELIHOOD}",
        LEBESGUE: "" if modelled.binarization == GREY else UNBOUNDED,
    }
    interval = around(mean, values.std(ddof=1) / math.sqrt(len(values)))
    return Figure(mean, interval, note=notes.get(settings["base_measure"], ""), settings=settings, count=count)


def _bits(figure: Figure, modelled: Modelled) -> Figure:
    """A figure in nats an image as bits a pixel and channel, where that is the length of something."""
    density, grey = modelled.model.levels is None, modelled.binarization == GREY
    if figure.value is None or not is_likelihood(modelled) or (density and not grey):
        return replace(figure, value=None, interval=None)
    dimensions = math.prod(modelled.real.pixels.shape[1:])
    value, low, high = (bits_per_dim(x, dimensions, density=density) for x in (figure.value, *figure.interval))
    return replace(figure, value=value, interval=(low, high), note=DENSITY if density else figure.note)
