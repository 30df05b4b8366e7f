"""GAN: the generative adversarial networks of Goodfellow et al. 2014 (https://arxiv.org/abs/1406.2661).

    discriminator: E_x[l_real(D(x))] + E_z[l_fake(D(G(z)))] (+ penalties);  generator: E_z[l(D(G(z)))]

One class for the whole family: DCGAN, WGAN, WGAN-GP and the others are combinations of its arguments, with their papers
in `kgen.models.presets`. For the losses see `kgen.losses.adversarial`, for the penalties `kgen.losses.penalties`. D
gives one number per image, never through a sigmoid: the losses take logits.

Batch normalization: in the discriminator's phase the generator normalizes by the statistics of its batch, and in the
generator's phase the discriminator does; moving statistics are updated in the phase of the network that they belong to,
once per step.

A feature discriminator (Sauer et al. 2021) stands beside the image discriminator: heads that judge the images by the
features of a network that was trained on ImageNet, with the hinge loss whatever `loss` is. Their loss is added to the
discriminator's, and what they say of generated images to the generator's. See `kgen.nn.projected_features`.
"""

from typing import Literal

import keras
import tensorflow as tf

from kgen import images as pixels
from kgen.errors import UserError
from kgen.losses import penalties
from kgen.losses.adversarial import LOSSES
from kgen.models.base import GenerativeModel, Phase, check_at_least
from kgen.models.presets import PENALTIES
from kgen.nn import NETWORKS, DiscriminatorOptions, NetworkOptions
from kgen.nn.augment import AUGMENTATIONS, augment
from kgen.nn.layers import BatchNormalization
from kgen.nn.projected_features import ProjectedFeatures, build_heads
from kgen.pretrained import PRETRAINED
from kgen.registry import nearest
from kgen.spec import DataSpec

AUGMENTATION_IMAGES = 50_000
"""Images within which the share of changed ones can go from 0 to 1: a tenth of that of Karras et al., in trainings that
are a hundredth as long."""
FEATURE_LOSS = LOSSES["hinge"]
"""Of the feature discriminator, at each place of each map (Sauer et al. 2021)."""


FEW_IMAGES = 200
"""Training images below which "auto" takes the augmentation of small data sets."""
FOR_FEW, FOR_MANY = ("color", "translation", "cutout"), ("translation",)
"""What "auto" means, for pictures in colour or gray at 64x64 (`tools/bench_own_pictures.py`)."""


@keras.saving.register_keras_serializable("kgen")
class GAN(GenerativeModel):
    """A generative adversarial network.

    Args:
        spec: of the data.
        latent_dim: length of z.
        network: of both: the decoder of this network is the generator, its encoder the discriminator; see NETWORKS.
        hidden: widths of the dense layers, from the image to the latent; the generator mirrors them.
        discriminator_hidden: of the discriminator; None: those of the generator.
        filters: of the convolutions, from the image to the latent.
        discriminator_filters: of the discriminator; None: those of the generator.
        activation: of the generator's hidden layers, a Keras name.
        discriminator_activation: of the discriminator's.
        batch_norm: batch normalization in the generator's hidden layers.
        discriminator_batch_norm: in the discriminator's.
        initial_stddev: of the normal distribution of the initial kernels; None: Glorot's uniform distribution.
        skip_excitation: the generator's maps of 32 pixels per side and more are scaled, channel by channel, by what
            those of an eighth of their size say (Liu et al. 2021, https://arxiv.org/abs/2101.04775).
        dropout: share of the discriminator's hidden units that training leaves out.
        spectral_norm: divides the discriminator's kernels by their largest singular value.
        loss: see `kgen.losses.adversarial`.
        label_smoothing: of the discriminator's cross-entropy on real images: its target is 1 - label_smoothing / 2.
        r1: weight of the gradient penalty at real images (Mescheder et al. 2018).
        r2: weight of the same penalty at generated images.
        gradient_penalty: weight of the penalty on slopes other than 1 between real and generated images (Gulrajani et
            al. 2017).
        penalty_every: steps between two with penalties, which are multiplied by it there: in expectation the same, and
            cheaper (Karras et al. 2020, https://arxiv.org/abs/1912.04958, "lazy regularization").
        critic_steps: moves of the discriminator per step, each on images of its own: the batch is split over them.
        clip: weights of the discriminator stay in [-clip, clip].
        projection: in a conditional model the label enters the discriminator at its last features (Miyato & Koyama
            2018) instead of beside the image.
        augment: random changes of the images before the discriminator sees them, for small data sets: of "color",
            "translation", "cutout" (Zhao et al. 2020), "scale", "rotation"; "auto": by the number of images, see
            `decided_args`.
        augment_target: the share of images that are changed follows the discriminator: it rises while the mean of
            sign(D(x)) over real images is above this, and falls below (ADA; Karras et al. 2020,
            https://arxiv.org/abs/2006.06676, 0.6); None: every image is changed. With a loss in which D(x) alone says
            nothing (Wasserstein, relativistic) by sign(D(x) - D(G(z))), with "least_squares" by sign(D(x) - 1/2).
        feature_discriminator: of PRETRAINED: the network whose features further heads judge images by, without their
            labels (Sauer et al. 2021, https://arxiv.org/abs/2111.01007); None: the image discriminator alone. Penalties
            are of that alone, too. What is trained with an extractor's features is not judged by it.
        feature_weight: of the loss of these heads, in both phases.
        feature_every: steps between two in which they judge, which count that many times then, as `penalty_every`.
        conditional: the networks are given the label.
        seed: root of the initial weights and the noise.
        name: of the preset that it was built from.

    Attributes:
        generator: z (and labels) -> logits of images.
        discriminator: images (and labels) -> [B].
        feature_heads: projected features -> logits of every head; None without a feature discriminator.
    """

    latent_network = "generator"
    tracks_gradients = True

    def __init__(
        self,
        spec: DataSpec,
        *,
        latent_dim: int = 100,
        network: str = "mlp",
        hidden: tuple[int, ...] = (),
        discriminator_hidden: tuple[int, ...] | None = None,
        filters: tuple[int, ...] = (64, 128, 256, 512),
        discriminator_filters: tuple[int, ...] | None = None,
        activation: str = "relu",
        discriminator_activation: str = "leaky_relu",
        batch_norm: bool = False,
        discriminator_batch_norm: bool = False,
        initial_stddev: float | None = None,
        skip_excitation: bool = False,
        dropout: float = 0.0,
        spectral_norm: bool = False,
        loss: str = "non_saturating",
        label_smoothing: float = 0.0,
        r1: float = 0.0,
        r2: float = 0.0,
        gradient_penalty: float = 0.0,
        penalty_every: int = 1,
        critic_steps: int = 1,
        clip: float | None = None,
        projection: bool = False,
        augment: tuple[str, ...] | Literal["auto"] = (),
        augment_target: float | None = None,
        feature_discriminator: str | None = None,
        feature_weight: float = 1.0,
        feature_every: int = 1,
        conditional: bool = False,
        seed: int = 0,
        name: str | None = None,
    ):
        super().__init__(spec, conditional=conditional, seed=seed, name=name)
        augment = self.decided_args({"augment": augment}, spec)["augment"]
        self._model_args = {
            "latent_dim": latent_dim, "network": network, "hidden": list(hidden),
            "discriminator_hidden": discriminator_hidden and list(discriminator_hidden), "filters": list(filters),
            "discriminator_filters": discriminator_filters and list(discriminator_filters), "activation": activation,
            "discriminator_activation": discriminator_activation, "batch_norm": batch_norm,
            "discriminator_batch_norm": discriminator_batch_norm, "initial_stddev": initial_stddev,
            "skip_excitation": skip_excitation, "dropout": dropout, "spectral_norm": spectral_norm, "loss": loss,
            "label_smoothing": label_smoothing, "r1": r1, "r2": r2, "gradient_penalty": gradient_penalty,
            "penalty_every": penalty_every, "critic_steps": critic_steps, "clip": clip, "projection": projection,
            "augment": list(augment), "augment_target": augment_target, "feature_discriminator": feature_discriminator,
            "feature_weight": feature_weight, "feature_every": feature_every,
        }  # fmt: skip
        self.loss_name, self.adversarial_loss = loss, LOSSES[loss]
        self._check(self._model_args)
        self.latent_shape, self.code_dim = (latent_dim,), latent_dim
        self.label_smoothing, self.r1, self.r2, self.gradient_penalty = label_smoothing, r1, r2, gradient_penalty
        self.penalty_every, self.critic_steps, self.augmentations = penalty_every, critic_steps, tuple(augment)
        common = {"spec": spec, "latent_dim": latent_dim, "conditional": conditional, "seed": seed,
                  "initial_stddev": initial_stddev}  # fmt: skip
        options = NetworkOptions(
            hidden=tuple(hidden), filters=tuple(filters), activation=activation, batch_norm=batch_norm,
            skip_excitation=skip_excitation, **common,
        )  # fmt: skip
        critic = DiscriminatorOptions(
            hidden=tuple(hidden if discriminator_hidden is None else discriminator_hidden),
            filters=tuple(filters if discriminator_filters is None else discriminator_filters),
            activation=discriminator_activation, batch_norm=discriminator_batch_norm, dropout=dropout,
            spectral_norm=spectral_norm, clip=clip, projection=projection,
            bias=not self.adversarial_loss.shift_free, **common,
        )  # fmt: skip
        self.generator = NETWORKS[network].decoder(options)
        self.discriminator = NETWORKS[network].encoder(critic)
        self.feature_weight, self.feature_every, self.feature_heads = feature_weight, feature_every, None
        if feature_discriminator is not None:
            self.features = ProjectedFeatures(feature_discriminator, spec.image_shape, seed)
            self.feature_heads = build_heads(self.features.shapes, seed)
        self._batch_dependent = discriminator_batch_norm
        self.augment_target, self.augment_probability = augment_target, None
        if augment_target is not None:
            self.augment_probability = self.add_weight(
                shape=(), initializer="zeros", trainable=False, name="augment_probability", autocast=False,
                aggregation="only_first_replica",
            )  # fmt: skip

    def _check(self, args):
        """Raises UserError for arguments that make no sense."""
        check_at_least(
            1, latent_dim=args["latent_dim"], critic_steps=args["critic_steps"], penalty_every=args["penalty_every"],
            feature_every=args["feature_every"],
            **{key: min(args[key] or [1]) for key in ("hidden", "discriminator_hidden", "discriminator_filters")},
            filters=min(args["filters"], default=0),
        )  # fmt: skip
        check_at_least(0, **{key: args[key] for key in ("dropout", "label_smoothing", *PENALTIES)})
        for key in ("dropout", "label_smoothing"):
            if args[key] >= 1:
                raise UserError(f"model_args.{key} must be less than 1. Received: {args[key]}")
        for key in ("clip", "initial_stddev"):
            if args[key] is not None and not args[key] > 0:
                raise UserError(f"model_args.{key} must be greater than 0, or null. Received: {args[key]}")
        if args["label_smoothing"] and not self.adversarial_loss.smooths:
            smoothing = [name for name, loss in LOSSES.items() if loss.smooths]
            raise UserError(
                f"model_args.label_smoothing belongs to the losses {' and '.join(smoothing)}. Received: "
                f"label_smoothing={args['label_smoothing']}, loss={args['loss']}"
            )
        if args["skip_excitation"] and not NETWORKS.defaults(args["network"]).get("skip_excitation"):
            known = [name for name in NETWORKS if NETWORKS.defaults(name).get("skip_excitation")]
            raise UserError(
                f"model_args.skip_excitation belongs to the networks {' and '.join(known)}. Received: "
                f"network={args['network']}"
            )
        used = [f"model_args.{key}" for key in PENALTIES if args[key]]
        if args["discriminator_batch_norm"] and used:
            raise UserError(
                "model_args.discriminator_batch_norm makes the slope at one image depend on the others of its batch: "
                f"leave it out with {' and '.join(used)}"
            )
        if args["penalty_every"] > 1 and not used:
            every = [f"model_args.{key}" for key in PENALTIES]
            raise UserError(f"model_args.penalty_every={args['penalty_every']} needs a penalty: {', '.join(every)}")
        if args["discriminator_batch_norm"] and args["loss"] == "wasserstein":
            raise UserError(
                "model_args.discriminator_batch_norm does not go with model_args.loss=wasserstein: a critic bounds "
                "the slope at every single image"
            )
        if args["projection"] and not self.conditional:
            raise UserError("model_args.projection is for conditional models: an unconditional one has no labels")
        if (target := args["augment_target"]) is not None and not (args["augment"] and -1 < target < 1):
            raise UserError(
                "model_args.augment_target is a mean of signs, between -1 and 1, and needs model_args.augment. "
                f"Received: {target}, augment={args['augment']}"
            )
        if (name := args["feature_discriminator"]) is not None and name not in PRETRAINED:
            raise UserError(f"unknown model_args.feature_discriminator {name!r}: {nearest(name, PRETRAINED)}")
        if not args["feature_weight"] > 0:
            raise UserError(f"model_args.feature_weight must be greater than 0. Received: {args['feature_weight']}")
        for key in ("feature_weight", "feature_every"):
            if args[key] != 1 and name is None:
                raise UserError(
                    f"model_args.{key}={args[key]} needs a model_args.feature_discriminator: {', '.join(PRETRAINED)}"
                )
        for kind in args["augment"]:
            if kind not in AUGMENTATIONS:
                raise UserError(f"unknown model_args.augment {kind!r}: {nearest(kind, AUGMENTATIONS)}")

    @classmethod
    def default_args(cls, args):
        """Defaults of a network that was made for one experiment, e.g. an activation."""
        return NETWORKS.defaults(args["network"]).get("model_args", {}) if "network" in args else {}

    @classmethod
    def decided_args(cls, args, spec):
        """What "auto" stands for: FOR_FEW below FEW_IMAGES training images, else FOR_MANY."""
        if args["augment"] != "auto":
            return args
        return {**args, "augment": FOR_FEW if spec.examples.get("train", 0) < FEW_IMAGES else FOR_MANY}

    def model_args(self):
        return dict(self._model_args)

    # The game -------------------------------------------------------------------------------------------------------

    def compile(self, *args, **kwargs):
        if self.feature_heads is not None:
            with self.distribute_strategy.scope():
                self.features.load()
        super().compile(*args, **kwargs)

    def phases(self):
        heads, features = ((self.feature_heads,), ("features",)) if self.feature_heads is not None else ((), ())
        reports = ("loss", "real", "fake")
        reports += ("distance",) if self.loss_name == "wasserstein" else ()
        reports += ("penalty",) if self.penalized else ()
        reports += features
        reports += ("augmented",) if self.augment_probability is not None else ()
        networks = (self.discriminator, *heads)
        return (
            Phase("discriminator", self.discriminator_terms, networks, reports, self.critic_steps),
            Phase("generator", self.generator_terms, (self.generator,), ("loss", *features)),
        )

    def frozen_networks(self):
        return [] if self.feature_heads is None else [self.features.build_network()]

    @property
    def averaged_networks(self):
        return [self.generator]

    @property
    def penalized(self) -> bool:
        """Whether the discriminator's slope is penalized."""
        return any(self._model_args[key] for key in PENALTIES)

    def discriminator_terms(self, images, labels, training: bool = False):
        """{"loss", "real", "fake", ...}: each [B] float32.

        "real" and "fake" are D's output for real and generated images: a probability where the loss is a
        cross-entropy. "distance" is a Wasserstein critic's estimate of the distance, up to its largest slope.
        "penalty" and "features" are the weighted sum of the penalties and the weighted loss of the feature
        discriminator, parts of the loss. "augmented" is the share of changed images where it adapts.
        """
        real = self._augmented(self.to_discriminator_input(images), "real", training)
        with BatchNormalization.statistics_kept(self.generator):
            fake = self._augmented(self._generate_fake(labels, "discriminator", training), "fake", training)
        fake = tf.stop_gradient(fake)

        def discriminate(x):
            return self.discriminator(self.with_labels(x, labels), training=training)

        penalty, real_logits, fake_logits = tf.zeros_like(labels, keras.config.floatx()), None, None
        if self.penalized and training and self.penalty_every > 1:
            penalty = self._every(
                self.penalty_every, lambda: self._penalty(discriminate, real, fake, labels, training)[0], penalty
            )
        elif self.penalized:
            penalty, real_logits, fake_logits = self._penalty(discriminate, real, fake, labels, training)
        if real_logits is None and fake_logits is None and not self._batch_dependent:  # one pass over both
            both = self.with_labels(tf.concat([real, fake], axis=0), tf.concat([labels, labels], axis=0))
            real_logits, fake_logits = tf.split(self.discriminator(both, training=training), 2)
        if real_logits is None:
            real_logits = discriminate(real)
        if fake_logits is None:
            with BatchNormalization.statistics_kept(self.discriminator):
                fake_logits = discriminate(fake)
        loss = self.adversarial_loss.discriminator(real_logits, fake_logits, self.label_smoothing) + penalty
        output = tf.sigmoid if self.adversarial_loss.smooths else tf.identity
        terms = {"loss": loss, "real": output(real_logits), "fake": output(fake_logits)}
        if self.loss_name == "wasserstein":
            terms["distance"] = real_logits - fake_logits
        if self.penalized:
            terms["penalty"] = penalty
        if self.feature_heads is not None:
            terms["features"] = self._judged_by_features(
                lambda: self._discriminate_features(real, fake, training), labels, training
            )
            terms["loss"] += terms["features"]
        if self.augment_probability is not None:
            terms["augmented"] = tf.fill(tf.shape(loss), self.augment_probability.value)
            if training:
                other = fake_logits if self.adversarial_loss.shift_free else self.adversarial_loss.middle
                self._adapt_augmentation(real_logits - other)
        return terms

    def _adapt_augmentation(self, surplus):
        """Moves the share of changed images: up where `surplus`, D(x) over no opinion, [B], is too often above 0."""
        counted = tf.stack([tf.reduce_sum(tf.sign(surplus)), tf.cast(tf.size(surplus), surplus.dtype)])
        signs, examples = tf.unstack(self._over_replicas(counted))
        move = tf.sign(signs / examples - self.augment_target) * examples / AUGMENTATION_IMAGES
        self.augment_probability.assign(tf.clip_by_value(self.augment_probability.value + move, 0.0, 1.0))

    def _penalty(self, discriminate, real, fake, labels, training: bool):
        """(the weighted sum of the penalties [B]; D(x) and D(G(z)), each [B], or None where no penalty needed it)."""
        penalty, real_logits, fake_logits = tf.zeros_like(labels, keras.config.floatx()), None, None
        if self.r1:
            slope, real_logits = penalties.zero_centered(discriminate, real)
            penalty += self.r1 * slope
        if self.r2:
            slope, fake_logits = penalties.zero_centered(discriminate, fake)
            penalty += self.r2 * slope
        if self.gradient_penalty:
            weights = self.uniform(tf.shape(labels), "between", training=training)
            penalty += self.gradient_penalty * penalties.gradient_penalty(discriminate, real, fake, weights)
        return penalty, real_logits, fake_logits

    def generator_terms(self, images, labels, training: bool = False):
        """{"loss"}: [B] float32; and "features", the part of it that is by the feature discriminator, weighted."""
        fake = self._augmented(self._generate_fake(labels, "generator", training), "generated", training)
        with BatchNormalization.statistics_kept(self.discriminator):
            fake_logits = self.discriminator(self.with_labels(fake, labels), training=training)
            real_logits = None
            if self.adversarial_loss.relativistic:
                real = self._augmented(self.to_discriminator_input(images), "compared", training)
                real_logits = self.discriminator(self.with_labels(real, labels), training=training)
        terms = {"loss": self.adversarial_loss.generator(real_logits, fake_logits)}
        if self.feature_heads is not None:
            terms["features"] = self._judged_by_features(
                lambda: over_heads(lambda logits: FEATURE_LOSS.generator(None, logits), self._head_logits(fake, False)),
                labels, training,
            )  # fmt: skip
            terms["loss"] += terms["features"]
        return terms

    def _every(self, steps: int, term, none):
        """A term of every `steps`-th step, times that, so that the mean over steps is the same.

        Args:
            steps: between two with the term.
            term: () -> [B].
            none: zeros [B], in the steps between.
        """
        due = tf.equal(self.step.value % steps, 0)
        return tf.cond(due, lambda: tf.cast(steps, none.dtype) * term(), lambda: none)

    # Features -------------------------------------------------------------------------------------------------------

    def _judged_by_features(self, term, labels, training: bool):
        """The weighted term, [B]: of every `feature_every`-th step of a training, and of every evaluation."""
        if training and self.feature_every > 1:
            term = self._every(self.feature_every, term, tf.zeros_like(labels, keras.config.floatx()))
        else:
            term = term()
        return self.feature_weight * term

    def _discriminate_features(self, real, fake, training: bool):
        """The loss of the heads, [B], with one pass over both kinds of images."""
        logits = self._head_logits(tf.concat([real, fake], axis=0), training)
        real_logits, fake_logits = zip(*(tf.split(x, 2) for x in logits), strict=True)
        return over_heads(lambda real, fake: FEATURE_LOSS.discriminator(real, fake, 0.0), real_logits, fake_logits)

    def _head_logits(self, x, training: bool) -> list:
        """What the heads say of images in the range of the discriminator's input: [B, places] of each."""
        return self.feature_heads(self.features(self.to_unit(x)), training=training)

    # Images ---------------------------------------------------------------------------------------------------------

    def to_discriminator_input(self, images):
        """Images in [0, 1] -> the range of the discriminator's input, [-1, 1]."""
        return pixels.to_tanh(tf.cast(images, keras.config.floatx()))

    def output_activation(self, logits):
        """The generator's logits -> images in the range of the discriminator's input, [-1, 1]."""
        return tf.tanh(logits)

    def to_unit(self, x):
        """The inverse of `to_discriminator_input`: images in [0, 1]."""
        return pixels.from_tanh(x)

    def _generate_fake(self, labels, stream: str, training: bool):
        """Generated images, one per label, in the range of the discriminator's input."""
        z = self.noise(tf.stack([tf.size(labels), *self.latent_shape]), "z", stream, training=training)
        return self.output_activation(self.generator(self.with_labels(z, labels), training=training))

    def _augmented(self, x, stream: str, training: bool):
        if not (training and self.augmentations):
            return x
        x = pixels.to_tanh(self.to_unit(x))  # where 0 is a middle grey
        probability = None if self.augment_probability is None else self.augment_probability.value
        x = augment(
            x, self.augmentations, lambda shape, name: self.uniform(shape, "augment", stream, name), probability
        )
        return self.to_discriminator_input(pixels.from_tanh(x))

    def generate(self, z, labels=None):
        """Images: [B, H, W, C] float32 in [0, 1]."""
        return self.to_unit(self.output_activation(self.generator(self.with_labels(z, labels), training=False)))

    def call(self, inputs, training: bool = False):
        """(images, labels) -> the discriminator's logits, [B] float32; images in [0, 1]."""
        images, labels = inputs if isinstance(inputs, (tuple, list)) else (inputs, None)
        return self.discriminator(self.with_labels(self.to_discriminator_input(images), labels), training=training)


def over_heads(loss, *logits):
    """The sum over the heads of the mean over their places, [B].

    Args:
        loss: (logits of real images, of generated ones, or the latter alone), each [B, places] -> [B, places].
        logits: of each kind of image, one [B, places] per head.
    """
    return tf.add_n([tf.reduce_mean(loss(*of_one), axis=1) for of_one in zip(*logits, strict=True)])
