"""The doctor of adversarial trainings: reads the numbers of the last epochs, and says in words what is wrong and why.

Each rule looks at the last PATIENCE epochs: one bad epoch is none. It names its evidence, and the setting to change.
"""

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

PATIENCE = 3
"""Epochs that must agree."""
COLLAPSED, FEW_CLASSES = 0.35, 0.5
SURE = 0.97
IGNORED_EFFECT, IGNORED_AGREEMENT = 0.1, 2.0
DEAD, SATURATED = 0.1, 0.3
EXPLODED, HUGE, VANISHED = 1e3, 1e4, 1e-7
"""Norms of a gradient: times the usual one, and as they are."""
SPLITS = ("", "validation_", "train_")
"""Before the names of figures of samples, in the order in which they are looked for."""


@dataclass(frozen=True)
class Diagnosis:
    """What is wrong.

    Attributes:
        name: "collapse", "discriminator too strong", ...
        evidence: the numbers that say so.
        advice: the setting to change.
    """

    name: str
    evidence: str
    advice: str

    def __str__(self) -> str:
        return f"{self.name}: {self.evidence}. {self.advice}"


RULES: list[Callable[..., Diagnosis | None]] = []


def diagnose(
    rows: Sequence[Mapping], num_classes: int = 0, weakest: Mapping[str, str] | None = None
) -> list[Diagnosis]:
    """What is wrong with a training; nothing where it is well, or too young to tell.

    Args:
        rows: of metrics.jsonl, an epoch each.
        num_classes: of the data.
        weakest: network -> the name of its weakest layer; see `Vitals`.
    """
    last = rows[-PATIENCE:]
    if len(last) < PATIENCE:
        return []
    found = (rule(last, rows, num_classes=num_classes, weakest=weakest or {}) for rule in RULES)
    return [diagnosis for diagnosis in found if diagnosis]


def _all(rows: Sequence[Mapping], key: str, holds: Callable[[float], bool]) -> bool:
    """Whether every row has the number, and it holds of each."""
    values = [_figure(row, key) for row in rows]
    return all(value is not None and holds(value) for value in values)


def _figure(row: Mapping, key: str) -> float | None:
    """The figure of this name, of whatever split the samples were compared with."""
    return next((row[f"{split}{key}"] for split in SPLITS if row.get(f"{split}{key}") is not None), None)


@RULES.append
def divergence(last, rows, **_):
    """A loss or a gradient beyond all that the training had when it was well."""
    for network in ("discriminator", "generator"):
        key, now = f"train_{network}_gradient", last[-1].get(f"train_{network}_gradient")
        if now is None:
            continue
        before = sorted(row[key] for row in rows[: max(1, len(rows) // 2)] if math.isfinite(row.get(key, math.inf)))
        usual = before[len(before) // 2] if before else math.inf
        grown = _all(last, key, lambda x, usual=usual: x > EXPLODED * usual)
        if grown or _all(last, key, lambda x: x > HUGE):
            return Diagnosis(
                "divergence",
                f"the {network}'s gradient has a norm of {now:.3g} (in the first half of the training: {usual:.3g})",
                "Try a smaller --learning_rate or --discriminator_learning_rate, or a penalty on the discriminator: "
                "--set model_args.r1=1",
            )
    return None


@RULES.append
def vanished(last, rows, **_):
    """The discriminator tells the generator nothing."""
    key = "train_generator_gradient"
    if not _all(last, key, lambda x: x < VANISHED):
        return None
    return Diagnosis(
        "vanishing gradient",
        f"the generator's gradient has a norm of {last[-1][key]:.2g}",
        "Try a larger model_args.clip in a wgan, or --model wgan_gp; else a smaller --discriminator_learning_rate",
    )


@RULES.append
def collapse(last, rows, num_classes, **_):
    """Samples that are all alike."""
    few = num_classes > 1 and _all(last, "classes_covered", lambda x: x <= FEW_CLASSES * num_classes)
    alike = _all(last, "vitals_diversity", lambda x: x < COLLAPSED)
    if not (few or alike):
        return None
    evidence = [f"two samples are {last[-1]['vitals_diversity']:.2f} times as far apart as two real images"]
    if (covered := _figure(last[-1], "classes_covered")) is not None:
        evidence.append(f"the samples fall into {covered:.0f} of {num_classes} classes")
    return Diagnosis(
        "collapse",
        " and ".join(evidence),
        "Try --set model_args.r1=1 or --model wgan_gp, a larger clip in a wgan, or a smaller learning rate of the "
        "generator",
    )


@RULES.append
def discriminator_too_strong(last, rows, **_):
    """It is sure of every image, so its slope says nothing to the generator."""
    real, fake = "train_discriminator_real", "train_discriminator_fake"
    if any("train_discriminator_distance" in row for row in last):
        return None  # a critic's numbers are no probabilities
    if _all(last, real, lambda x: SURE < x <= 1) and _all(last, fake, lambda x: 0 <= x < 1 - SURE):
        return Diagnosis(
            "discriminator too strong",
            f"it says {last[-1][real]:.3f} of real images and {last[-1][fake]:.3f} of generated ones",
            "Try a smaller --discriminator_learning_rate, --set model_args.r1=1, "
            '--set model_args.label_smoothing=0.2, or for few images --set \'model_args.augment=["color", '
            '"translation", "cutout"]\'',
        )
    return None


@RULES.append
def condition_ignored(last, rows, num_classes, **_):
    """The label does not say what is drawn."""
    effect = _all(last, "vitals_label_effect", lambda x: x < IGNORED_EFFECT)
    agreement = _all(last, "label_agreement", lambda x: x < IGNORED_AGREEMENT / max(num_classes, 1))
    if not (effect or (agreement and num_classes > 2)):
        return None
    evidence = [f"another label moves an image {last[-1]['vitals_label_effect']:.2f} times as far as another z does"]
    if (found := _figure(last[-1], "label_agreement")) is not None:
        evidence.append(f"the classifier finds the label in {found:.1%} of the samples")
    return Diagnosis(
        "condition ignored",
        " and ".join(evidence),
        "Are the labels right (kgen-data shows them)? Try --set model_args.projection=true, or a smaller "
        "model_args.latent_dim",
    )


@RULES.append
def dead_layers(last, rows, weakest, **_):
    """A hidden layer that gives the same for every image."""
    for network in ("generator", "discriminator"):
        key = f"vitals_{network}_alive"
        if _all(last, key, lambda x: x < DEAD):
            return Diagnosis(
                "dead layers",
                f"in layer {weakest.get(network, '?')!r} of the {network} {last[-1][key]:.0%} of the units differ "
                "between images",
                "Try a smaller learning rate, --set model_args.activation=leaky_relu, or --set "
                "model_args.batch_norm=true",
            )
    return None


@RULES.append
def saturated(last, rows, **_):
    """The generator's last function is flat, so it cannot be moved any more."""
    if _all(last, "vitals_saturated", lambda x: x > SATURATED):
        return Diagnosis(
            "saturated output",
            f"{last[-1]['vitals_saturated']:.0%} of the pixels more than in real images are black or white to the end "
            "of the generator's range",
            "Try a smaller --learning_rate, or --set model_args.batch_norm=true",
        )
    return None
