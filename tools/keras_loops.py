"""The Keras examples' way of writing the steps of `bench_train.py`: generators of the last loss, a turn each.

As https://keras.io/examples/generative/vae/, wgan_gp/ and dcgan_overriding_train_step/ have them: a Keras model with a
custom `train_step`, layers called one by one, `fit` on NumPy arrays of float32. The networks are those of
`torch_loops.py`.
"""

import keras
import numpy as np
import tensorflow as tf
from keras import layers, ops


class Sampling(layers.Layer):
    """z = mean + exp(log_var / 2) * noise."""

    def __init__(self, **kwargs):
        super().__init__(**kwargs)
        self.seed_generator = keras.random.SeedGenerator(0)

    def call(self, inputs):
        mean, log_var = inputs
        return mean + ops.exp(0.5 * log_var) * keras.random.normal(ops.shape(mean), seed=self.seed_generator)


class VAE(keras.Model):
    """The example's, with the loss summed over pixels."""

    def __init__(self, encoder, decoder):
        super().__init__()
        self.encoder, self.decoder = encoder, decoder
        self.trackers = [keras.metrics.Mean(name=name) for name in ("loss", "reconstruction_loss", "kl_loss")]

    @property
    def metrics(self):
        return self.trackers

    def train_step(self, data):
        with tf.GradientTape() as tape:
            mean, log_var, z = self.encoder(data)
            shown = self.decoder(z)
            reconstruction = ops.mean(ops.sum(keras.losses.binary_crossentropy(data, shown), axis=(1, 2)))
            kl = ops.mean(ops.sum(-0.5 * (1 + log_var - ops.square(mean) - ops.exp(log_var)), axis=1))
            loss = reconstruction + kl
        gradients = tape.gradient(loss, self.trainable_weights)
        self.optimizer.apply_gradients(zip(gradients, self.trainable_weights, strict=True))
        for tracker, value in zip(self.trackers, (loss, reconstruction, kl), strict=True):
            tracker.update_state(value)
        return {tracker.name: tracker.result() for tracker in self.trackers}


class WGAN(keras.Model):
    """The example's: five critic steps on one batch, then one of the generator."""

    def __init__(self, discriminator, generator):
        super().__init__()
        self.discriminator, self.generator = discriminator, generator

    def compile(self, d_optimizer, g_optimizer):
        super().compile()
        self.d_optimizer, self.g_optimizer = d_optimizer, g_optimizer

    def gradient_penalty(self, batch_size, real, fake):
        alpha = tf.random.uniform([batch_size, 1, 1, 1], 0.0, 1.0)
        interpolated = real + alpha * (fake - real)
        with tf.GradientTape() as tape:
            tape.watch(interpolated)
            predicted = self.discriminator(interpolated, training=True)
        gradients = tape.gradient(predicted, [interpolated])[0]
        return tf.reduce_mean((tf.sqrt(tf.reduce_sum(tf.square(gradients), axis=[1, 2, 3])) - 1.0) ** 2)

    def train_step(self, real):
        batch_size = tf.shape(real)[0]
        for _ in range(5):
            noise = tf.random.normal((batch_size, 100))
            with tf.GradientTape() as tape:
                fake = self.generator(noise, training=True)
                d_cost = tf.reduce_mean(self.discriminator(fake, training=True))
                d_cost -= tf.reduce_mean(self.discriminator(real, training=True))
                d_loss = d_cost + 10.0 * self.gradient_penalty(batch_size, real, fake)
            gradients = tape.gradient(d_loss, self.discriminator.trainable_variables)
            self.d_optimizer.apply_gradients(zip(gradients, self.discriminator.trainable_variables, strict=True))
        noise = tf.random.normal((batch_size, 100))
        with tf.GradientTape() as tape:
            g_loss = -tf.reduce_mean(self.discriminator(self.generator(noise, training=True), training=True))
        gradients = tape.gradient(g_loss, self.generator.trainable_variables)
        self.g_optimizer.apply_gradients(zip(gradients, self.generator.trainable_variables, strict=True))
        return {"d_loss": d_loss, "g_loss": g_loss}


def vae(path: str, job):
    """784-400-20."""
    image = keras.Input(job.shape)
    x = layers.Dense(400, activation="relu")(layers.Flatten()(image))
    z = keras.Input((20,))
    shown = layers.Dense(784, activation="sigmoid")(layers.Dense(400, activation="relu")(z))
    return _vae(path, job, image, x, z, layers.Reshape(job.shape)(shown))


def conv_vae(path: str, job):
    """Two strided convolutions and their mirror."""
    first, second = job.filters
    image = keras.Input(job.shape)
    x = layers.Conv2D(first, 3, activation="relu", strides=2, padding="same")(image)
    x = layers.Flatten()(layers.Conv2D(second, 3, activation="relu", strides=2, padding="same")(x))
    z = keras.Input((20,))
    y = layers.Reshape((7, 7, second))(layers.Dense(7 * 7 * second, activation="relu")(z))
    for filters in (first, first):
        y = layers.Conv2DTranspose(filters, 3, activation="relu", strides=2, padding="same")(y)
    return _vae(path, job, image, x, z, layers.Conv2D(1, 3, activation="sigmoid", padding="same")(y))


def _vae(path: str, job, image, x, z, shown):
    mean, log_var = layers.Dense(20)(x), layers.Dense(20)(x)
    model = VAE(keras.Model(image, [mean, log_var, Sampling()([mean, log_var])]), keras.Model(z, shown))
    model.compile(optimizer=keras.optimizers.Adam())
    yield from _turns(model, pictures(path), job.batch, job.steps, "loss")


class GAN(keras.Model):
    """The DCGAN example's: one pass of the discriminator over generated and real images, then the generator's step."""

    def __init__(self, discriminator, generator):
        super().__init__()
        self.discriminator, self.generator = discriminator, generator
        self.trackers = [keras.metrics.Mean(name=name) for name in ("d_loss", "g_loss")]
        self.loss_fn = keras.losses.BinaryCrossentropy()

    @property
    def metrics(self):
        return self.trackers

    def compile(self, d_optimizer, g_optimizer):
        super().compile()
        self.d_optimizer, self.g_optimizer = d_optimizer, g_optimizer

    def train_step(self, real):
        batch_size = ops.shape(real)[0]
        combined = ops.concatenate(
            [self.generator(keras.random.normal((batch_size, 100)), training=True), real], axis=0
        )
        labels = ops.concatenate([ops.ones((batch_size, 1)), ops.zeros((batch_size, 1))], axis=0)
        labels += 0.05 * tf.random.uniform(tf.shape(labels))
        with tf.GradientTape() as tape:
            d_loss = self.loss_fn(labels, self.discriminator(combined, training=True))
        weights = self.discriminator.trainable_weights
        self.d_optimizer.apply_gradients(zip(tape.gradient(d_loss, weights), weights, strict=True))
        noise = keras.random.normal((batch_size, 100))
        with tf.GradientTape() as tape:
            judged = self.discriminator(self.generator(noise, training=True), training=True)
            g_loss = self.loss_fn(ops.zeros((batch_size, 1)), judged)
        weights = self.generator.trainable_weights
        self.g_optimizer.apply_gradients(zip(tape.gradient(g_loss, weights), weights, strict=True))
        for tracker, value in zip(self.trackers, (d_loss, g_loss), strict=True):
            tracker.update_state(value)
        return {tracker.name: tracker.result() for tracker in self.trackers}


def wgan_gp(path: str, job):
    """The networks of `kgen.nn.dcgan`; pixels in [-1, 1]."""
    model = WGAN(*_dcgan_networks(job, 7, None))
    model.compile(*(keras.optimizers.Adam(1e-4, 0.0, 0.9) for _ in range(2)))
    yield from _turns(model, pictures(path) * 2 - 1, job.batch // 5, job.steps, "d_loss")


def dcgan(path: str, job):
    """The networks of `kgen.nn.dcgan`; pixels in [-1, 1]."""
    model = GAN(*_dcgan_networks(job, 4, "sigmoid"))
    model.compile(*(keras.optimizers.Adam(2e-4, 0.5) for _ in range(2)))
    yield from _turns(model, pictures(path) * 2 - 1, job.batch, job.steps, "d_loss")


def _dcgan_networks(job, size: int, activation: str | None):
    """Discriminator, with the last layer's activation, and generator, from maps of `size` places a side."""
    noise = keras.Input((100,))
    x = layers.Reshape((size, size, job.filters[-1]))(
        layers.Dense(size * size * job.filters[-1], use_bias=False)(noise)
    )
    for filters in job.filters[-2::-1]:
        x = layers.ReLU()(layers.BatchNormalization()(x))
        x = layers.Conv2DTranspose(filters, 4, 2, padding="same", use_bias=False)(x)
    x = layers.ReLU()(layers.BatchNormalization()(x))
    shown = layers.Conv2DTranspose(job.shape[-1], 4, 2, padding="same", activation="tanh")(x)
    image = y = keras.Input(job.shape)
    for filters in job.filters:
        y = layers.LeakyReLU(0.2)(layers.Conv2D(filters, 4, 2, padding="same")(y))
    judged = layers.Dense(1, activation=activation)(layers.Flatten()(y))
    return keras.Model(image, judged), keras.Model(noise, shown)


LOOPS = {"vae": vae, "conv_vae": conv_vae, "wgan_gp": wgan_gp, "dcgan": dcgan}


def pictures(path: str) -> np.ndarray:
    """[N, H, W, C] float32 in [0, 1]."""
    return np.load(path)["images"].astype(np.float32) / 255


def _turns(model, images: np.ndarray, size: int, steps: int, loss: str):
    while True:
        history = model.fit(images[: size * steps], batch_size=size, epochs=1, verbose=0).history
        yield float(np.mean(history[loss][-1]))
