"""What discriminator and generator minimise, from logits, per example; TensorFlow-GAN's, through `kgen.tfgan`, but for
`relativistic_pair`.

| name | discriminator | generator |
|---|---|---|
| non_saturating | softplus(-D(x)) + softplus(D(G(z))) | softplus(-D(G(z))) |
| minimax | the same | log sigmoid(1) - softplus(D(G(z))); the first term is a constant of TensorFlow-GAN's |
| wasserstein | D(G(z)) - D(x) | -D(G(z)) |
| least_squares | (D(x) - 1)^2 / 2 + D(G(z))^2 / 2 | (D(G(z)) - 1)^2 / 2 |
| hinge | max(0, 1 - D(x)) + max(0, 1 + D(G(z))) | -D(G(z)) |
| relativistic | softplus(-(D(x) - E D(G(z)))) + softplus(D(G(z)) - E D(x)) | the same with x and G(z) exchanged |
| relativistic_pair | softplus(-(D(x) - D(G(z)))) | softplus(-(D(G(z)) - D(x))) |

Goodfellow et al. 2014 (https://arxiv.org/abs/1406.2661), Arjovsky et al. 2017 (1701.07875), Mao et al. 2017
(1611.04076), Miyato et al. 2018 (1802.05957, Eq. 16 and 17), Jolicoeur-Martineau 2018 (1807.00734: average form and,
Eq. 3 and 4, the paired one, with which Huang et al. 2024, 2501.05441, train R3GAN).
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import tensorflow as tf

from kgen import tfgan
from kgen.registry import Registry

LOSSES = Registry("loss")


@dataclass(frozen=True)
class AdversarialLoss:
    """A pair of losses.

    Attributes:
        discriminator: (logits of real images [B], of generated ones [B], label smoothing) -> [B] float32.
        generator: (logits of real images [B] or None, of generated ones [B]) -> [B] float32.
        smooths: accepts label smoothing.
        relativistic: compares images with each other, so that the generator's loss needs real ones, and an example's
            loss depends on others of its batch.
        shift_free: does not change when a number is added to every logit: a discriminator's last bias has no gradient,
            and one logit alone says nothing.
        middle: a logit that is as much of a real image as of a generated one, unless `shift_free`.
    """

    discriminator: Callable[..., Any]
    generator: Callable[..., Any]
    smooths: bool = False
    relativistic: bool = False
    shift_free: bool = False
    middle: float = 0.0


def _tfgan_loss(name: str, *logits, **kwargs):
    """A loss of TensorFlow-GAN, one number per example; some compute in float32 whatever the logits are."""
    loss = getattr(tfgan.losses.losses_impl, name)
    found = loss(*logits, reduction=tf.compat.v1.losses.Reduction.NONE, loss_collection=None, **kwargs)
    return tf.cast(found, logits[0].dtype)


def _cross_entropy(real, fake, label_smoothing):
    return _tfgan_loss("minimax_discriminator_loss", real, fake, label_smoothing=label_smoothing)


def _relativistic(name: str, real, fake):
    """TensorFlow-GAN's mean over the batch, repeated for each example."""
    mean = getattr(tfgan.losses.losses_impl, name)(real, fake)
    return tf.fill(tf.shape(fake), mean)


LOSSES.register("non_saturating")(
    AdversarialLoss(_cross_entropy, lambda real, fake: _tfgan_loss("modified_generator_loss", fake), smooths=True)
)
LOSSES.register("minimax")(
    AdversarialLoss(_cross_entropy, lambda real, fake: _tfgan_loss("minimax_generator_loss", fake), smooths=True)
)
LOSSES.register("wasserstein")(
    AdversarialLoss(
        lambda real, fake, smoothing: _tfgan_loss("wasserstein_discriminator_loss", real, fake),
        lambda real, fake: _tfgan_loss("wasserstein_generator_loss", fake),
        shift_free=True,
    )
)
LOSSES.register("least_squares")(
    AdversarialLoss(
        lambda real, fake, smoothing: _tfgan_loss("least_squares_discriminator_loss", real, fake),
        lambda real, fake: _tfgan_loss("least_squares_generator_loss", fake),
        middle=0.5,  # between the targets, 0 and 1
    )
)
LOSSES.register("hinge")(
    AdversarialLoss(
        lambda real, fake, smoothing: _tfgan_loss("wasserstein_hinge_discriminator_loss", real, fake),
        lambda real, fake: _tfgan_loss("wasserstein_hinge_generator_loss", fake),
    )
)
LOSSES.register("relativistic")(
    AdversarialLoss(
        lambda real, fake, smoothing: _relativistic("relativistic_discriminator_loss", real, fake),
        lambda real, fake: _relativistic("relativistic_generator_loss", real, fake),
        relativistic=True,
        shift_free=True,
    )
)
LOSSES.register("relativistic_pair")(
    AdversarialLoss(
        lambda real, fake, smoothing: tf.nn.softplus(fake - real),
        lambda real, fake: tf.nn.softplus(real - fake),
        relativistic=True,
        shift_free=True,
    )
)
