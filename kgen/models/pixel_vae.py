"""PixelVAE: a variational autoencoder with an autoregressive decoder (Gulrajani et al. 2016,
https://arxiv.org/abs/1611.05013).

    p(x|z) = prod_i p(x_i | x_<i, z): a gated PixelCNN (van den Oord et al. 2016, https://arxiv.org/abs/1606.05328)
    loss = reconstruction + beta * kl, as in a VAE; the reconstruction is exact, by teacher forcing

z holds what the image shows, the preceding pixels the details, so samples are sharp and the bound is the best of the
family (on binarized MNIST some 8 nats below a VAE's); training and sampling cost more. A decoder that needs no latent
leaves it unused: `free_bits` keeps a KL that costs nothing.

`generate` stays pure: z is the code followed by one standard normal number per pixel and channel. The normal
distribution function turns that number into the uniform noise that selects the pixel's level.
"""

import dataclasses

import keras
import tensorflow as tf

from kgen.errors import UserError
from kgen.models.base import check_at_least
from kgen.models.vae import Autoencoder
from kgen.nn import NETWORKS, NetworkOptions, pixelcnn
from kgen.nn.pixelcnn import PixelCNN, sample_pixels
from kgen.spec import DataSpec

MOST_LEVELS = 256


@keras.saving.register_keras_serializable("kgen")
class PixelVAE(Autoencoder):
    """A variational autoencoder with an autoregressive decoder. Pixels are rounded to `levels` levels.

    Args:
        spec: of the data.
        latent_dim: length of the code.
        network: of the encoder, and of the decoder that turns a code into the condition of every pixel.
        hidden: widths of the network's dense layers.
        filters: of the network's convolutions.
        activation: of the network's hidden layers, a Keras name.
        batch_norm: batch normalization in the network's hidden layers.
        levels: of a pixel: 2 is black and white, 256 every grey level.
        width: channels of the PixelCNN.
        layers: gated layers of the PixelCNN.
        conditioned_layers: how many of them, the last, see the code. Fewer make importance sampling faster.
        condition: channels of the decoder's output, the condition of every pixel.
        beta: weight of the KL term.
        kl_warmup_steps: training steps over which the weight of the KL term rises linearly from 0 to beta.
        free_bits: nats of KL per latent dimension (mean over the batch) that are free in training.
        conditional: the networks are given the label.
        seed: root of the initial weights and the noise.
        name: of the preset that it was built from.
    """

    rounds = True

    def __init__(
        self,
        spec: DataSpec,
        *,
        latent_dim: int = 16,
        network: str = "conv",
        hidden: tuple[int, ...] = (),
        filters: tuple[int, ...] = (32, 64, 128, 256),
        activation: str = "relu",
        batch_norm: bool = False,
        levels: int = 2,
        width: int = 32,
        layers: int = 8,
        conditioned_layers: int = 4,
        condition: int = 16,
        beta: float = 1.0,
        kl_warmup_steps: int = 0,
        free_bits: float = 0.0,
        conditional: bool = False,
        seed: int = 0,
        name: str | None = None,
    ):
        super().__init__(
            spec, beta=beta, kl_warmup_steps=kl_warmup_steps, free_bits=free_bits, conditional=conditional, seed=seed,
            name=name,
        )  # fmt: skip
        check_at_least(
            1, latent_dim=latent_dim, hidden=min(hidden, default=1), filters=min(filters, default=0), width=width,
            layers=layers, conditioned_layers=conditioned_layers, condition=condition,
        )  # fmt: skip
        check_at_least(2, levels=levels)
        if levels > MOST_LEVELS or conditioned_layers > layers:
            raise UserError(
                f"model_args.levels must be at most {MOST_LEVELS} and model_args.conditioned_layers at most "
                f"model_args.layers. Received: levels={levels}, conditioned_layers={conditioned_layers}, "
                f"layers={layers}"
            )
        self._model_args = {
            "latent_dim": latent_dim, "network": network, "hidden": list(hidden), "filters": list(filters),
            "activation": activation, "batch_norm": batch_norm, "levels": levels, "width": width, "layers": layers,
            "conditioned_layers": conditioned_layers, "condition": condition, "beta": beta,
            "kl_warmup_steps": kl_warmup_steps, "free_bits": free_bits,
        }  # fmt: skip
        self.levels, self.code_dim = levels, latent_dim
        self.latent_shape = (latent_dim + spec.num_pixels,)
        options = NetworkOptions(
            spec, latent_dim, conditional, tuple(hidden), tuple(filters), activation, batch_norm, seed
        )
        self.encoder = NETWORKS[network].encoder(options)
        self.decoder = NETWORKS[network].decoder(dataclasses.replace(options, outputs=condition))
        self.pixel_cnn = PixelCNN(
            options, width=width, layers=layers, conditioned=conditioned_layers, condition=condition,
            outputs=1 if levels == 2 else levels,
        )  # fmt: skip

    def elbo_networks(self):
        return (self.encoder, self.decoder, self.pixel_cnn)

    def nll(self, images, code, labels=None, training: bool = False):
        """-log p(images | code), exact, of the images rounded to their levels: [B] float32, nats per image."""
        x = pixelcnn.to_levels(images, self.levels)
        condition = self.decoder(self.with_labels(code, labels), training=training)
        return pixelcnn.pixel_nll(x, self.pixel_cnn(pixelcnn.signed(x, self.levels), condition))

    def nll_many(self, images, codes, labels=None):
        """`nll` of many codes per image; what does not depend on the code is computed once per image.

        Args:
            images: [B, H, W, C].
            codes: [K, B, code_dim].
            labels: [B] int32, for a conditional model.

        Returns:
            [K, B] float32, nats per image.
        """
        count, batch = codes.shape[0] or tf.shape(codes)[0], tf.shape(codes)[1]

        def many(x):
            return tf.tile(x, tf.concat([[count], tf.ones([tf.rank(x) - 1], tf.int32)], axis=0))

        x = pixelcnn.to_levels(images, self.levels)
        inputs = pixelcnn.signed(x, self.levels)
        labels = None if labels is None else many(tf.convert_to_tensor(labels))
        condition = self.decoder(self.with_labels(tf.reshape(codes, (-1, self.code_dim)), labels), training=False)
        features = tf.nest.map_structure(many, self.pixel_cnn.image_features(inputs))
        logits = self.pixel_cnn.logits(features, condition, many(inputs))
        return tf.reshape(pixelcnn.pixel_nll(many(x), logits), (count, batch))

    def generate(self, z, labels=None):
        """A sample of p(x|z), whose noise is the tail of z: [B, H, W, C] float32, levels in [0, 1].

        Args:
            z: [B, code_dim + H * W * C]: the code, and a standard normal number for every pixel and channel.
            labels: [B] int32, for a conditional model.
        """
        z = tf.convert_to_tensor(z)
        condition = self.decoder(self.with_labels(z[:, : self.code_dim], labels), training=False)
        noise = tf.reshape(pixelcnn.normal_cdf(z[:, self.code_dim :]), (-1, *self.spec.image_shape))
        return sample_pixels(self.pixel_cnn, condition, noise, self.levels) / (self.levels - 1)
