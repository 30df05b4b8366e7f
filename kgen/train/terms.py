"""What figures say of a term of a training: its unit, its range, and its value where theory gives one.

An adversarial training is in balance when generated images are distributed as the real ones and the discriminator is
the best that there is. It then outputs the same for both, and its loss and the generator's follow from the loss
function (see `kgen.losses.adversarial`):

| loss | D's output | D's loss | G's loss |
|---|---|---|---|
| non_saturating | 1/2 | log 4 | log 2 |
| minimax | 1/2 | log 4 | log sigmoid(1) - log 2 |
| least_squares | 1/2 | 1/4 | 1/8 |
| hinge | any in [-1, 1] | 2 | - D's output |
| relativistic | any | log 4 | log 4 |
| relativistic_pair | any | log 2 | log 2 |
| wasserstein | any; the distance is 0 | 0 | - D's output |

With label smoothing s the target of real images is t = 1 - s/2, and D outputs t/2. Samples are as far apart as real
images: the diversity is 1. Imports no TensorFlow.
"""

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from kgen.registry import Registry

NATS = "nats per image"
UNITS = {
    "loss": NATS,
    "reconstruction": NATS,
    "kl": NATS,
    "discriminator_distance": "difference of D's outputs",
    "discriminator_features": "mean per image",
    "generator_features": "mean per image",
    "discriminator_gradient": "norm of the gradient",
    "generator_gradient": "norm of the gradient",
    "diversity": "relative to real images",
    "label_effect": "relative to another z",
    "discriminator_augmented": "share of the images",
    "saturated": "share of the pixels",
    "generator_alive": "share of the units",
    "discriminator_alive": "share of the units",
}
SHARES = ("discriminator_augmented", "saturated", "generator_alive", "discriminator_alive")


@dataclass(frozen=True)
class Term:
    """A term of a training, for its axis.

    Attributes:
        unit: of its values; "" if it is not known.
        share: whether they are from 0 to 1.
        balance: the value in balance (see the module) with its name, e.g. (0.5, "balance: 0.5"), or None.
    """

    unit: str
    share: bool = False
    balance: tuple[float, str] | None = None


def describe(name: str, model_args: Mapping[str, Any]) -> Term:
    """Describes a term.

    Args:
        name: as in metrics.jsonl, without the split: "kl", "discriminator_real".
        model_args: of the model; an adversarial one's have "loss".
    """
    unit, share = UNITS.get(name, ""), name in SHARES
    if "loss" not in model_args:
        return Term(unit, share)
    balance = BALANCES.get(model_args["loss"], UNKNOWN)
    mixed = bool(model_args.get("feature_discriminator"))  # a hinge loss is part of both losses
    if name in ("discriminator_real", "discriminator_fake"):
        share = balance.probability
        unit = "probability of being real" if share else "output of D"
    elif name in ("discriminator_loss", "generator_loss", "discriminator_penalty"):
        unit = NATS if balance.entropy and not (mixed and name.endswith("loss")) else "mean per image"
    values = balance.values(model_args.get("label_smoothing") or 0.0) | {"diversity": (1.0, "1")}
    found = None if mixed and name in ("discriminator_loss", "generator_loss") else values.get(name)
    return Term(unit, share, found and (found[0], f"balance: {found[1]}"))


@dataclass(frozen=True)
class Balance:
    """What a loss gives in balance.

    Attributes:
        values: label smoothing -> {term: (value, in words)}.
        entropy: the loss is a cross-entropy: in nats.
        probability: D's outputs are recorded as probabilities.
    """

    values: Callable[[float], dict[str, tuple[float, str]]]
    entropy: bool = False
    probability: bool = False


BALANCES = Registry("loss")
"""Name of an adversarial loss -> Balance."""


def _of(discriminator: tuple[float, str], **others: tuple[float, str]) -> Callable[[float], dict]:
    """The values of a loss that takes no label smoothing: of D's loss, and of other terms."""
    return lambda smoothing: {"discriminator_loss": discriminator, **others}


def _cross_entropy(smoothing: float) -> dict[str, tuple[float, str]]:
    """D's outputs t/2 for real and generated images, and its loss."""
    target = 1 - smoothing / 2
    output = target / 2
    loss = -target * math.log(output) - (2 - target) * math.log(1 - output)
    outputs = output, f"{output:g}"
    words = f"{loss:.3g}" if smoothing else "log 4"
    return {"discriminator_real": outputs, "discriminator_fake": outputs, "discriminator_loss": (loss, words)}


def _non_saturating(smoothing: float) -> dict[str, tuple[float, str]]:
    value = -math.log((1 - smoothing / 2) / 2)
    return _cross_entropy(smoothing) | {"generator_loss": (value, f"{value:.3g}" if smoothing else "log 2")}


def _minimax(smoothing: float) -> dict[str, tuple[float, str]]:
    value = math.log(1 - (1 - smoothing / 2) / 2) - math.log1p(math.exp(-1.0))
    return _cross_entropy(smoothing) | {"generator_loss": (value, f"{value:.3g}")}


LOG_2, LOG_4, HALF, ZERO = (math.log(2.0), "log 2"), (math.log(4.0), "log 4"), (0.5, "0.5"), (0.0, "0")
UNKNOWN = Balance(lambda smoothing: {})
BALANCES.register("non_saturating")(Balance(_non_saturating, entropy=True, probability=True))
BALANCES.register("minimax")(Balance(_minimax, entropy=True, probability=True))
BALANCES.register("least_squares")(
    Balance(_of((0.25, "1/4"), generator_loss=(0.125, "1/8"), discriminator_real=HALF, discriminator_fake=HALF))
)
BALANCES.register("hinge")(Balance(_of((2.0, "2"))))
BALANCES.register("relativistic")(Balance(_of(LOG_4, generator_loss=LOG_4), entropy=True))
BALANCES.register("relativistic_pair")(Balance(_of(LOG_2, generator_loss=LOG_2), entropy=True))
BALANCES.register("wasserstein")(Balance(_of(ZERO, discriminator_distance=ZERO)))
