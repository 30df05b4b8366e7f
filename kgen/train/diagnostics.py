"""Diagnostics of adversarial trainings: health metrics, and rules that read them and name what is wrong.

Losses of a GAN do not show whether it trains well. Each epoch `HealthMetrics` measures a fixed set of samples and real
images:

diversity: mean distance between two samples over the mean distance between two real images. About 1; near 0 after a
    collapse.
label_effect: of a conditional model: mean distance between samples of the same z and different labels, over the mean
    distance between two samples. Near 0 where the label is ignored.
saturated: share of the pixels at which the slope of the output activation (tanh or sigmoid) is below a thousandth of
    its maximum, minus the share of real pixels that are black or white, which must be as extreme. Near 1 where the
    generator can no longer learn.
generator_alive, discriminator_alive: share of the units that differ between images, in the hidden layer with the
    smallest share.

`diagnose` applies RULES to the rows of metrics.jsonl. Each rule looks at the last PATIENCE values of its metrics, so
that one bad epoch is no problem, and returns a Diagnosis with its evidence and the setting to change. Metrics of
samples count from the step on at which samples are representative; see `settled_after`.
"""

import itertools
import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import keras
import numpy as np
import tensorflow as tf

from kgen import data, images, random

SAMPLES, SAMPLE_VALUES = 256, 2**28
"""Samples that are measured, and the largest number of their values: of large images there are fewer."""
FLAT_SLOPE = 1e-3


class HealthMetrics:
    """Measures the health of an adversarial model, always on the same latent points and real images.

    Args:
        model: an adversarial model.
        dataset: that it trains on.
        seed: of the latent points.

    Attributes:
        weakest: network -> name of the hidden layer with the smallest share of units that differ, as last measured.
    """

    def __init__(self, model, dataset: data.Dataset, seed: int):
        count = min(SAMPLES, max(2, SAMPLE_VALUES // model.spec.num_pixels))
        stored, _ = next(iter(dataset.batches(model.spec.monitor_split, batch_size=count, seed=seed, training=False)))
        real = np.asarray(stored, np.float32)
        self.model, self.weakest = model, {}
        self._real_distance = mean_distance(real)
        self._real_extreme = float(np.mean((images.to_uint8(real) % 255) == 0))
        self._z = random.latents(random.seed_of(seed, "vitals"), count, model.latent_shape)
        classes = max(model.spec.num_classes, 1)
        numbers = np.arange(count, dtype=np.int32)
        self._labels = numbers % classes
        self._other = (self._labels + 1 + numbers // classes % max(classes - 1, 1)) % classes
        self._activations = {
            "generator": _activations(model.generator),
            "discriminator": _activations(model.discriminator),
        }
        self._logits = tf.function(lambda z, labels: model.generator(model.with_labels(z, labels), training=False))

    def measure(self) -> dict[str, float]:
        """Name -> value; see the module."""
        model, given = self.model, (self._z, self._labels)
        logits = self._logits(*given).numpy()
        fake_inputs = model.output_activation(tf.constant(logits))
        fake = np.asarray(model.to_unit(fake_inputs))
        apart = mean_distance(fake)
        found = {"saturated": max(0.0, self._flat(logits) - self._real_extreme)}
        if self._real_distance:  # of a single image there is none
            found["diversity"] = apart / self._real_distance
        if model.conditional:
            relabelled = np.asarray(model.to_unit(model.output_activation(self._logits(self._z, self._other))))
            moved = np.sqrt(np.square(relabelled - fake).sum(axis=(1, 2, 3))).mean()
            found["label_effect"] = float(moved) / apart if apart else 0.0
        inputs = {"generator": model.with_labels(*given), "discriminator": model.with_labels(fake_inputs, self._labels)}
        for name, (layers, activations) in self._activations.items():
            if not layers:
                continue
            shares = [_alive(a) for a in keras.tree.flatten(activations(inputs[name], training=False))]
            least = int(np.argmin(shares))
            self.weakest[name], found[f"{name}_alive"] = layers[least], shares[least]
        return {name: float(value) for name, value in found.items()}

    def _flat(self, logits: np.ndarray) -> float:
        """The share of the pixels at which the generator's output activation is flat."""

        def slope(x):
            with tf.GradientTape() as tape:
                tape.watch(x)
                painted = self.model.output_activation(x)
            return tape.gradient(painted, x).numpy()

        steepest = slope(tf.zeros(1))
        return float(np.mean(slope(tf.constant(logits)) < FLAT_SLOPE * steepest))


def mean_distance(x: np.ndarray) -> float:
    """The mean Euclidean distance between two of N images, over all pairs."""
    flat = x.reshape(len(x), -1).astype(np.float64)
    squares = np.square(flat).sum(axis=1)
    apart = np.maximum(squares[:, None] + squares[None] - 2.0 * flat @ flat.T, 0.0)
    pairs = len(x) * (len(x) - 1)
    return float(np.sqrt(apart).sum() / pairs) if pairs else 0.0


def _activations(network: keras.Model) -> tuple[list[str], keras.Model | None]:
    """The names of a network's hidden activations, and a model whose outputs they are; None where there are none."""
    layers = [layer for layer in network.layers if isinstance(layer, keras.layers.Activation)]
    return [layer.name for layer in layers], keras.Model(
        network.input, [layer.output for layer in layers]
    ) if layers else None


def _alive(activation) -> float:
    """The share of the units (channels, of feature maps) of [B, ..., C] that are not the same for all images."""
    x = np.asarray(activation, np.float32).reshape(len(activation), -1, activation.shape[-1])
    spread = (x.max(axis=0) - x.min(axis=0)).max(axis=0)
    return float(np.mean(spread > 1e-6))


# Rules ----------------------------------------------------------------------------------------------------------------


PATIENCE = 3
"""Number of values in a row that must show a problem."""
COLLAPSED, FEW_CLASSES = 0.35, 0.5
SURE_LOSS = 0.06
"""Excess loss of a discriminator that outputs 0.97 for every real image and 0.03 for every generated one."""
IGNORED_EFFECT, IGNORED_AGREEMENT = 0.1, 0.1
"""Below these the label is ignored: its effect, and its agreement above chance."""
DEAD, SATURATED = 0.1, 0.3
COPIED = 0.05
"""Share of the samples that are nearer to a training image than training images are; 0.01 is usual for unseen ones."""
EXPLODED, HUGE, VANISHED = 1e3, 1e4, 1e-7
"""Norms of a gradient: relative to the usual one, and two absolute ones."""
SPLITS = ("", "validation_", "train_")
"""Prefixes of the metrics of samples, in the order in which they are looked for."""
YOUNG_STEPS, HALFLIVES = 500, 3


def settled_after(ema_halflife_images: float | None, batch_size: int) -> float:
    """The step after which samples are judged: the generator has trained for a while, and the initial weights make up
    at most an eighth of the average that samples come from.
    """
    return max(YOUNG_STEPS, HALFLIVES * (ema_halflife_images or 0) / batch_size)


@dataclass(frozen=True)
class Diagnosis:
    """A problem of a training.

    Attributes:
        name: "collapse", "discriminator too strong", ...
        evidence: the metrics that show it.
        advice: the setting to change.
    """

    name: str
    evidence: str
    advice: str

    def __str__(self) -> str:
        return f"{self.name}: {self.evidence}. {self.advice}"


RULES: list[Callable[..., Diagnosis | None]] = []


def diagnose(
    rows: Sequence[Mapping],
    num_classes: int = 0,
    weakest: Mapping[str, str] | None = None,
    *,
    settled: float = 0,
    label_smoothing: float = 0.0,
) -> list[Diagnosis]:
    """The problems of a training; [] where there are none, or where it is too short to be judged.

    Args:
        rows: of metrics.jsonl, one per epoch.
        num_classes: of the data.
        weakest: network -> the name of its weakest layer; see `HealthMetrics`.
        settled: the step after which samples are judged; see `settled_after`.
        label_smoothing: of the discriminator's loss.
    """
    settled_rows = [row for row in rows if row.get("step", math.inf) > settled]
    given = {"num_classes": num_classes, "weakest": weakest or {}, "smoothing": label_smoothing}
    found = (rule(rows, settled_rows, **given) for rule in RULES)
    return [diagnosis for diagnosis in found if diagnosis]


def not_finite(step: int, rows: Sequence[Mapping]) -> Diagnosis:
    """The diagnosis of a training that ended with a loss that was not finite."""
    keys = [f"train_{network}_gradient" for network in ("discriminator", "generator")]
    last = [f"{_last_values(rows, key)[-1]:.3g}" for key in keys if _last_values(rows, key)]
    before = f"; in the last whole epoch the gradients had norms of {' and '.join(last)}" if last else ""
    return Diagnosis(
        "divergence",
        f"the loss was not finite at step {step}{before}",
        "Try a smaller --learning_rate or --discriminator_learning_rate",
    )


def _last_values(rows: Sequence[Mapping], key: str) -> list[float]:
    """The last PATIENCE values of a metric, whichever split the samples were compared with; epochs may lack it."""
    named = [f"{split}{key}" for split in SPLITS]
    backward = (next((row[name] for name in named if row.get(name) is not None), None) for row in reversed(rows))
    found = list(itertools.islice((value for value in backward if value is not None), PATIENCE))
    return found[::-1]


def _all(rows: Sequence[Mapping], key: str, holds: Callable[[float], bool]) -> bool:
    """Whether a metric has PATIENCE values, and a condition holds for the last of them."""
    values = _last_values(rows, key)
    return len(values) == PATIENCE and all(holds(value) for value in values)


@RULES.append
def divergence(rows, settled_rows, **_):
    """A gradient far larger than in the first half of the training. (A loss that is not finite ends the training.)"""
    for network in ("discriminator", "generator"):
        key = f"train_{network}_gradient"
        before = sorted(row[key] for row in rows[: max(1, len(rows) // 2)] if math.isfinite(row.get(key, math.inf)))
        usual = before[len(before) // 2] if before else math.inf
        limit = min(HUGE, EXPLODED * usual)
        if _all(rows, key, lambda x, limit=limit: not x <= limit):
            return Diagnosis(
                "divergence",
                f"the {network}'s gradient has a norm of {_last_values(rows, key)[-1]:.3g} (in the first half of the "
                f"training: {usual:.3g})",
                "Try a smaller --learning_rate or --discriminator_learning_rate, or a penalty on the discriminator: "
                "--set model_args.r1=1",
            )
    return None


@RULES.append
def vanished(rows, settled_rows, **_):
    """The generator gets no gradient from the discriminator."""
    key = "train_generator_gradient"
    if not _all(rows, key, lambda x: x < VANISHED):
        return None
    return Diagnosis(
        "vanishing gradient",
        f"the generator's gradient has a norm of {_last_values(rows, key)[-1]:.2g}",
        "Try a larger model_args.clip in a wgan, or --model wgan_gp; else a smaller --discriminator_learning_rate",
    )


@RULES.append
def collapse(rows, settled_rows, num_classes, **_):
    """Samples that are all alike."""
    few = num_classes > 1 and _all(settled_rows, "classes_covered", lambda x: x <= FEW_CLASSES * num_classes)
    alike = _all(settled_rows, "health_diversity", lambda x: x < COLLAPSED)
    if not (few or alike):
        return None
    evidence = []
    if diversity := _last_values(settled_rows, "health_diversity"):
        evidence.append(f"two samples are {diversity[-1]:.2f} times as far apart as two real images")
    if covered := _last_values(settled_rows, "classes_covered"):
        evidence.append(f"the samples fall into {covered[-1]:.0f} of {num_classes} classes")
    return Diagnosis(
        "collapse",
        " and ".join(evidence),
        "Try --set model_args.r1=1 or --model wgan_gp, a larger clip in a wgan, or a smaller learning rate of the "
        "generator",
    )


@RULES.append
def memorization(rows, settled_rows, **_):
    """Samples that are training images, or nearly; where `--metrics memorization` measures them."""
    columns = {name[name.index("near_copies") :] for name in set().union(*settled_rows) if "near_copies" in name}
    found = [_last_values(settled_rows, key)[-1] for key in columns if _all(settled_rows, key, lambda x: x > COPIED)]
    if not found:
        return None
    return Diagnosis(
        "memorization",
        f"{max(found):.0%} of the samples are nearer to a training image than 99 of 100 training images are to another",
        "Try fewer --epochs (or --minutes), --flip auto, --set model_args.augment=auto, or more pictures",
    )


@RULES.append
def discriminator_too_strong(rows, settled_rows, smoothing, **_):
    """The discriminator is right about every image, so its gradient vanishes. A critic's loss has no such minimum."""
    loss, target = "train_discriminator_loss", 1 - smoothing / 2
    features = "train_discriminator_features"  # the part of the loss that is not of its own outputs
    rows = [row | {loss: row[loss] - row[features]} if row.get(features) and loss in row else row for row in rows]
    least = -sum(p * math.log(p) for p in (target, 1 - target) if p)
    if any("train_discriminator_distance" in row for row in rows[-1:]) or not _all(
        rows, loss, lambda x: x - least < SURE_LOSS
    ):
        return None
    outputs = [_last_values(rows, f"train_discriminator_{kind}") for kind in ("real", "fake")]
    verdict = (
        f"; it outputs {outputs[0][-1]:.3f} for real images and {outputs[1][-1]:.3f} for generated ones"
        if all(outputs)
        else ""
    )
    return Diagnosis(
        "discriminator too strong",
        f"its loss is {_last_values(rows, loss)[-1]:.3f}, and its minimum is {least:.3f}{verdict}",
        "Try a smaller --discriminator_learning_rate, --set model_args.r1=1, "
        '--set model_args.label_smoothing=0.2, or for few images --set \'model_args.augment=["color", '
        '"translation", "cutout"]\'',
    )


@RULES.append
def condition_ignored(rows, settled_rows, num_classes, **_):
    """The label does not determine what is generated."""
    effect = _all(settled_rows, "health_label_effect", lambda x: x < IGNORED_EFFECT)
    agreement = _all(settled_rows, "label_agreement", lambda x: x < 1 / max(num_classes, 1) + IGNORED_AGREEMENT)
    if not (effect or agreement):
        return None
    evidence = []
    if moved := _last_values(settled_rows, "health_label_effect"):
        evidence.append(f"another label changes an image {moved[-1]:.2f} times as much as another z does")
    if found := _last_values(settled_rows, "label_agreement"):
        evidence.append(f"the classifier finds the label in {found[-1]:.1%} of the samples")
    return Diagnosis(
        "condition ignored",
        " and ".join(evidence),
        "Are the labels right (kgen-data shows them)? Try --set model_args.projection=true, or a smaller "
        "model_args.latent_dim",
    )


@RULES.append
def dead_layers(rows, settled_rows, weakest, **_):
    """A hidden layer whose output is the same for every image."""
    for network in ("generator", "discriminator"):
        key = f"health_{network}_alive"
        if _all(rows, key, lambda x: x < DEAD):
            return Diagnosis(
                "dead layers",
                f"in layer {weakest.get(network, '?')!r} of the {network} {_last_values(rows, key)[-1]:.0%} of the "
                "units differ between images",
                "Try a smaller learning rate, --set model_args.activation=leaky_relu, or --set "
                "model_args.batch_norm=true",
            )
    return None


@RULES.append
def saturated(rows, settled_rows, **_):
    """The generator's output activation is flat, so that it cannot learn any more."""
    key = "health_saturated"
    if _all(rows, key, lambda x: x > SATURATED):
        return Diagnosis(
            "saturated output",
            f"{_last_values(rows, key)[-1]:.0%} more pixels than in real images are black or white, at the ends of the "
            "generator's range",
            "Try a smaller --learning_rate, or --set model_args.batch_norm=true",
        )
    return None
