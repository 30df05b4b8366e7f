"""What a model's name means: one table, read by the command line, its help, the README and the tests.

A model's class says what it computes (VAE, PixelVAE, GAN, VAEGAN); a preset is a class with the arguments, the learning
rates and the optimizer of a publication. Importing this module imports neither TensorFlow nor Keras.

    preset = PRESETS["wgan_gp"]
    preset.family, preset.args["critic_steps"], preset.learning_rates    # "GAN", 5, {"discriminator": 1e-4, ...}
    kgen.build_model("wgan_gp", spec, critic_steps=3)                    # the preset, one argument changed

A new combination of what the classes can do is one more entry. A model with an idea of its own is a module beside this
one with its class, a line in FAMILIES and an entry.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from kgen.registry import Registry

FAMILIES = {
    "VAE": "kgen.models.vae",
    "PixelVAE": "kgen.models.pixel_vae",
    "GAN": "kgen.models.gan",
    "VAEGAN": "kgen.models.vae_gan",
}
"""Name of a model class -> its module."""

SHARED = ("latent_dim", "network", "hidden", "filters", "activation", "batch_norm")
"""Arguments that define an encoder and a decoder; they have the same names in all families."""
ADVERSARIAL = (
    *SHARED, "discriminator_hidden", "discriminator_filters", "discriminator_activation", "discriminator_batch_norm",
    "spectral_norm", "projection", "skip_excitation",
)  # fmt: skip
ARCHITECTURE = {
    "VAE": (*SHARED, "likelihood"),
    "PixelVAE": (*SHARED, "levels", "width", "layers", "conditioned_layers", "condition"),
    "GAN": ADVERSARIAL,
    "VAEGAN": ADVERSARIAL,
}
"""Name of a model class -> its arguments that define the shapes of weights, and what is computed with them."""
STARTS_FROM = {"VAE": ("VAE",), "PixelVAE": ("PixelVAE",), "GAN": ("GAN",), "VAEGAN": ("VAEGAN", "VAE")}
"""Name of a model class -> those whose weights it can start from; see `kgen.train.init_from`."""

PENALTIES = ("r1", "r2", "gradient_penalty")
"""Arguments of adversarial models that are the weight of a penalty on the discriminator's slope."""


@dataclass(frozen=True)
class Preset:
    """A named model: a class and its settings.

    Attributes:
        family: name of the class; see FAMILIES.
        summary: one line for the help and for the README's table.
        paper: that it follows, for the same places; empty: none.
        args: arguments of the class that differ from the defaults of its signature.
        unconditional: name of the same model without labels; None: this one takes no labels.
        learning_rates: phase -> learning rate.
        optimizer: of every phase; see `kgen.models.optimizers`.
        beta_1, beta_2: of Adam.
        evaluation_batch_size: images per step of an evaluation.
        jit_compile_on_cpu: whether XLA makes long trainings on a CPU faster; None: as measured for its network.
    """

    family: str
    summary: str
    paper: str = ""
    args: Mapping[str, Any] = field(default_factory=dict)
    unconditional: str | None = None
    learning_rates: Mapping[str, float] = field(default_factory=lambda: {"elbo": 1e-3})
    optimizer: str = "adam"
    beta_1: float = 0.9
    beta_2: float = 0.999
    evaluation_batch_size: int = 512
    jit_compile_on_cpu: bool | None = None

    @property
    def conditional(self) -> bool:
        """Whether it is trained and sampled with labels."""
        return self.unconditional is not None

    @property
    def adversarial(self) -> bool:
        """Whether it trains a generator against a discriminator."""
        return "discriminator" in self.learning_rates

    @property
    def has_encoder(self) -> bool:
        """Whether it encodes images: what maximizes an ELBO does."""
        return "elbo" in self.learning_rates

    @property
    def has_likelihood(self) -> bool:
        """Whether it has a bound on the likelihood of an image."""
        return "elbo" in self.learning_rates


PRESETS: dict[str, Preset] = Registry("model")
"""Name of a model, as `--model` takes it -> its preset. An unknown name raises UserError with the nearest ones."""


def _both(rate: float) -> dict[str, float]:
    """One learning rate for both phases of an adversarial training."""
    return {"discriminator": rate, "generator": rate}


KINGMA = "Kingma & Welling 2014 (https://arxiv.org/abs/1312.6114)"
SOHN = (
    "Sohn et al. 2015 (https://papers.nips.cc/paper/5775-learning-structured-output-representation-using-deep-"
    "conditional-generative-models)"
)
GULRAJANI_2016 = "Gulrajani et al. 2016 (https://arxiv.org/abs/1611.05013)"
RADFORD = "Radford et al. 2016 (https://arxiv.org/abs/1511.06434)"
GULRAJANI_2017 = "Gulrajani et al. 2017 (https://arxiv.org/abs/1704.00028)"

AUTOREGRESSIVE = {"evaluation_batch_size": 64, "jit_compile_on_cpu": False}
DENSE = {"hidden": (1024, 512, 256), "activation": "leaky_relu", "dropout": 0.3}
DENSE_ADAM = {"learning_rates": _both(2e-4), "beta_1": 0.5}
CONVOLUTIONAL = {"network": "dcgan", "batch_norm": True}
R1_ADAM = {"learning_rates": _both(1e-3), "beta_1": 0.0, "beta_2": 0.99}
CRITIC = CONVOLUTIONAL | {"loss": "wasserstein", "critic_steps": 5}
PENALTY_ADAM = {"learning_rates": _both(1e-4), "beta_1": 0.0, "beta_2": 0.9}

PRESETS.update({
    # Variational autoencoders. The first choice for small images: they train in a minute, encode as well as they
    # generate, and their loss bounds the likelihood.
    "vae": Preset("VAE", "dense layers; trains in a minute, encodes as well as it generates", KINGMA),
    # Encoder and decoder see the label y: q(z|x, y), p(x|z, y); p(z) = N(0, I) does not. z has to hold only what the
    # label does not say (slant, weight, style), so it is small: a large latent takes over what the label should decide,
    # and samples then disagree with their labels.
    "cvae": Preset("VAE", "vae with labels", SOHN, {"latent_dim": 2}, unconditional="vae"),
    # Fewer weights than dense layers need, and the edges that those blur.
    "conv_vae": Preset("VAE", "convolutions; from 32 pixels per side, or in colour", KINGMA, {"network": "conv"}),
    "conv_cvae": Preset(
        "VAE", "conv_vae with labels", SOHN, {"network": "conv", "latent_dim": 2}, unconditional="conv_vae"
    ),

    # Autoregressive decoders. Convolutions whatever the network, so XLA gains nothing on a CPU; and a logit per level
    # of every pixel, so evaluations take smaller batches.
    "pixel_vae": Preset(
        "PixelVAE", "decodes pixel by pixel; the best likelihood, slow to sample", GULRAJANI_2016, **AUTOREGRESSIVE
    ),
    "pixel_cvae": Preset(
        "PixelVAE", "pixel_vae with labels", GULRAJANI_2016, {"latent_dim": 8}, unconditional="pixel_vae",
        **AUTOREGRESSIVE,
    ),

    # Dense adversarial networks: generator 100-256-512-1024-image, discriminator image-1024-512-256-1. Adam with
    # beta_1 = 0.5, as in most publications since Radford et al. 2016. In `cgan` both networks see the label as a
    # one-hot vector, beside z and beside the pixels.
    #     discriminator: softplus(-D(x)) + softplus(D(G(z)));  generator: softplus(-D(G(z)))
    "gan": Preset(
        "GAN", "dense layers; small images, and to compare with: dcgan makes better ones in the same time",
        "Goodfellow et al. 2014 (https://arxiv.org/abs/1406.2661)", DENSE, **DENSE_ADAM,
    ),
    "cgan": Preset(
        "GAN", "gan with labels", "Mirza & Osindero 2014 (https://arxiv.org/abs/1411.1784)", DENSE,
        unconditional="gan", **DENSE_ADAM,
    ),

    # 4x4 convolutions of stride 2, transposed in the generator. The discriminator has no batch normalization, and the
    # R1 penalty of Mescheder et al. 2018 (https://arxiv.org/abs/1801.04406) instead: it then neither overpowers the
    # generator nor lets it collapse. In `cdcgan` the generator sees the label as a one-hot vector beside z, the
    # discriminator as constant maps beside the image, one channel per class; or, with `projection`, by an inner product
    # with its last features (Miyato & Koyama 2018, https://arxiv.org/abs/1802.05637).
    #     discriminator: softplus(-D(x)) + softplus(D(G(z))) + r1 / 2 || grad D(x) ||^2;  generator: softplus(-D(G(z)))
    "dcgan": Preset(
        "GAN", "convolutions with an R1 penalty; the first choice of the adversarial models", RADFORD,
        CONVOLUTIONAL | {"r1": 1.0}, **R1_ADAM,
    ),
    "cdcgan": Preset(
        "GAN", "dcgan with labels", RADFORD, CONVOLUTIONAL | {"r1": 1.0}, unconditional="dcgan", **R1_ADAM,
    ),

    # A critic without sigmoid and batch normalization, five steps per step of the generator, each on real images of its
    # own; every weight is kept in [-clip, clip]. Trained with RMSprop: a momentum would work against a loss that moves.
    # With the published rates (5e-5, clip 0.01) training is slow; those here are larger.
    #     critic: D(G(z)) - D(x);  generator: -D(G(z))
    "wgan": Preset(
        "GAN", "dcgan's networks, a Wasserstein critic with clipped weights",
        "Arjovsky et al. 2017 (https://arxiv.org/abs/1701.07875)", CRITIC | {"clip": 0.03},
        learning_rates=_both(5e-4), optimizer="rmsprop",
    ),
    # No clip: slopes other than 1 are penalized, at x^ between x and G(z) by U(0, 1).
    #     critic: D(G(z)) - D(x) + 10 (|| grad D(x^) || - 1)^2;  generator: -D(G(z))
    "wgan_gp": Preset(
        "GAN", "dcgan's networks, a Wasserstein critic with a gradient penalty", GULRAJANI_2017,
        CRITIC | {"gradient_penalty": 10.0}, **PENALTY_ADAM,
    ),
    "wcgan_gp": Preset(
        "GAN", "wgan_gp with labels", GULRAJANI_2017, CRITIC | {"gradient_penalty": 10.0}, unconditional="wgan_gp",
        **PENALTY_ADAM,
    ),

    # The architecture of `vae`, so that it can start from a trained one.
    "vae_gan": Preset(
        "VAEGAN", "a VAE's decoder sharpened by a discriminator; can start from a trained VAE",
        args={"latent_dim": 20, "hidden": (400,), "filters": (32, 64, 128, 256), "r1": 1.0}, **R1_ADAM,
    ),
})  # fmt: skip
