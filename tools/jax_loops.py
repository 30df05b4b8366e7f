"""JAX loops that `bench_train.py` compares with: generators of the last loss, a turn each.

The networks, losses and optimizers of `torch_loops.py`, with initial weights of the same family, on maps [B, H, W, C],
compiled by XLA. The images stay in JAX's memory and each step gathers its batch; weights and moments are donated. A
turn of the dense autoencoder is one `lax.scan`, of the others a call per step. The running averages of batch
normalization, which nothing here reads, are left out.
"""

import math

import jax
import numpy as np
import optax
from jax import lax, nn, random
from jax import numpy as jnp

# Layers ---------------------------------------------------------------------------------------------------------------

_rng = np.random.default_rng(0)


def linear(*shape: int, bias: bool = True) -> dict:
    """Weights of a dense layer [inputs, outputs] or a convolution [rows, columns, inputs, outputs]."""
    limit = 1 / math.sqrt(math.prod(shape[:-1]))
    shapes = {"kernel": shape, "bias": shape[-1:]} if bias else {"kernel": shape}
    return {name: jnp.asarray(_rng.uniform(-limit, limit, s), jnp.float32) for name, s in shapes.items()}


def norm(channels: int) -> dict:
    return {"scale": jnp.ones(channels), "bias": jnp.zeros(channels)}


def dense(p: dict, x):
    return x @ p["kernel"] + p.get("bias", 0.0)


def conv(p: dict, x, stride: int = 1, padding="SAME"):
    y = lax.conv_general_dilated(x, p["kernel"], (stride, stride), padding, dimension_numbers=("NHWC", "HWIO", "NHWC"))
    return y + p.get("bias", 0.0)


def doubled(p: dict, x):
    """A transposed convolution with stride 2."""
    y = lax.conv_transpose(x, p["kernel"], (2, 2), "SAME", dimension_numbers=("NHWC", "HWIO", "NHWC"))
    return y + p.get("bias", 0.0)


def normalized(p: dict, x):
    """Batch normalization."""
    mean = x.mean((0, 1, 2))
    variance = jnp.square(x).mean((0, 1, 2)) - jnp.square(mean)
    return (x - mean) * (lax.rsqrt(variance + 1e-5) * p["scale"]) + p["bias"]


def gate(x):
    a, b = jnp.split(x, 2, axis=-1)
    return a * nn.sigmoid(b)


# Autoencoders ---------------------------------------------------------------------------------------------------------


def vae(path: str, job):
    """784-400-20, as pytorch/examples has it."""
    shapes = {"hidden": (784, 400), "posterior": (400, 40), "back": (20, 400), "logits": (400, 784)}

    def network(p, x, key):
        mean, log_var = jnp.split(dense(p["posterior"], nn.relu(dense(p["hidden"], x))), 2, axis=1)
        z = sampled(mean, log_var, key)
        return dense(p["logits"], nn.relu(dense(p["back"], z))), mean, log_var

    weights = {name: linear(*shape) for name, shape in shapes.items()}
    yield from _vae(pictures(path).reshape(-1, 784), network, weights, job, scanned=True)


def conv_vae(path: str, job):
    """Two strided convolutions and their mirror, as `kgen.nn.conv` has them."""

    def network(p, x, key):
        mean, log_var = encoder(p["encoder"], x)
        return decoder(p["decoder"], sampled(mean, log_var, key)), mean, log_var

    weights = {"encoder": encoder_weights(job.filters, 20), "decoder": decoder_weights(job.filters, 20, 1)}
    yield from _vae(pictures(path), network, weights, job)


def pixel_vae(path: str, job):
    """The encoder and decoder of `conv_vae`, and the PixelCNN of `kgen.nn.pixelcnn`, of one channel and two levels."""
    width, layers, conditioned, condition, latent = (
        job.model_args[key] for key in ("width", "layers", "conditioned_layers", "condition", "latent_dim")
    )

    def network(p, x, key):
        mean, log_var = encoder(p["encoder"], x)
        c, pixels = decoder(p["decoder"], sampled(mean, log_var, key)), 2 * x - 1
        v = conv(p["rows"], pixels[:, :-1], padding=((3, 0), (3, 3)))
        h = conv(p["columns"], pixels[:, :, :-1], padding=((0, 0), (3, 0)))
        for layer in p["gated"]:
            v = v + gate(conv(layer["rows"], v, padding=((1, 0), (1, 1))))
            x = conv(layer["columns"], h, padding=((0, 0), (1, 0))) + dense(layer["down"], v)
            if "condition" in layer:
                x = x + dense(layer["condition"], c)
            h = h + dense(layer["out"], gate(x))
        hidden = nn.relu(dense(p["hidden"], jnp.concatenate([nn.relu(h), c], axis=-1)))
        return dense(p["logits"], hidden), mean, log_var

    def gated(conditions: int) -> dict:
        weights = {
            "rows": linear(2, 3, width, 2 * width), "columns": linear(1, 2, width, 2 * width),
            "down": linear(width, 2 * width, bias=False), "out": linear(width, width),
        }  # fmt: skip
        return weights | ({"condition": linear(conditions, 2 * width, bias=False)} if conditions else {})

    weights = {
        "encoder": encoder_weights(job.filters, latent), "decoder": decoder_weights(job.filters, latent, condition),
        "rows": linear(3, 7, 1, width), "columns": linear(1, 3, 1, width),
        "gated": [gated(condition if i >= layers - conditioned else 0) for i in range(layers)],
        "hidden": linear(width + condition, width), "logits": linear(width, 1),
    }  # fmt: skip
    yield from _vae(pictures(path).round(), network, weights, job)


def sampled(mean, log_var, key):
    return mean + jnp.exp(0.5 * log_var) * random.normal(key, mean.shape)


def encoder_weights(filters: tuple[int, int], latent: int) -> list:
    first, second = filters
    return [linear(3, 3, 1, first), linear(3, 3, first, second), linear(49 * second, 2 * latent)]


def encoder(p: list, x):
    """28x28 -> mean and log-variance."""
    for layer in p[:-1]:
        x = nn.relu(conv(layer, x, stride=2))
    return jnp.split(dense(p[-1], x.reshape(len(x), -1)), 2, axis=1)


def decoder_weights(filters: tuple[int, int], latent: int, outputs: int) -> list:
    first, second = filters
    ups = [linear(3, 3, second, first), linear(3, 3, first, first)]
    return [linear(latent, 49 * second), *ups, linear(3, 3, first, outputs)]


def decoder(p: list, z):
    """z -> maps of 28x28."""
    x = nn.relu(dense(p[0], z)).reshape(len(z), 7, 7, -1)
    for layer in p[1:-1]:
        x = nn.relu(doubled(layer, x))
    return conv(p[-1], x)


def _vae(images, network, weights, job, scanned: bool = False):
    """Turns of the negative ELBO."""
    adam = optax.adam(1e-3)

    def negative_elbo(weights, batch, key):
        logits, mean, log_var = network(weights, batch, key)
        reconstruction = jnp.sum(nn.softplus(logits) - batch * logits)
        rate = -0.5 * jnp.sum(1 + log_var - mean**2 - jnp.exp(log_var))
        return (reconstruction + rate) / job.batch

    def step(state, batch, key):
        return descended(adam, negative_elbo, state, batch, key)

    yield from _turns(images, step, (weights, adam.init(weights)), job, scanned)


# Adversarial networks -------------------------------------------------------------------------------------------------


def wgan_gp(path: str, job):
    """Five critic steps with gradient penalty, each on images of its own, then one of the generator."""
    adam, size = optax.adam(1e-4, 0.0, 0.9), job.batch // 5

    def critic_loss(critic, real, fake, share):
        slope = jax.grad(lambda x: discriminator(critic, x).sum())(share * real + (1 - share) * fake)
        penalty = jnp.square(jnp.sqrt(jnp.sum(slope**2, (1, 2, 3))) - 1).mean()
        return discriminator(critic, fake).mean() - discriminator(critic, real).mean() + 10 * penalty

    def generator_loss(weights, critic, noise):
        return -discriminator(critic, generator(weights, noise)).mean()

    def step(state, batch, key):
        of_generator, of_critic = state
        for i, real in enumerate(jnp.split(batch, 5)):
            noise, share = random.split(random.fold_in(key, i))
            fake = generator(of_generator[0], random.normal(noise, (size, 100)))
            share = random.uniform(share, (size, 1, 1, 1))
            of_critic, loss = descended(adam, critic_loss, of_critic, real, fake, share)
        noise = random.normal(random.fold_in(key, 5), (size, 100))
        of_generator, _ = descended(adam, generator_loss, of_generator, of_critic[0], noise)
        return (of_generator, of_critic), loss

    yield from _turns(pictures(path) * 2 - 1, step, _game(job, adam), job)


def dcgan(path: str, job):
    """The non-saturating game on 64x64 colour."""
    adam = optax.adam(2e-4, 0.5, 0.999)

    def critic_loss(critic, real, fake):
        return nn.softplus(-discriminator(critic, real)).mean() + nn.softplus(discriminator(critic, fake)).mean()

    def generator_loss(weights, critic, noise):
        return nn.softplus(-discriminator(critic, generator(weights, noise))).mean()

    def step(state, real, key):
        of_generator, of_critic = state
        first, second = random.normal(key, (2, job.batch, 100))
        fake = generator(of_generator[0], first)
        of_critic, loss = descended(adam, critic_loss, of_critic, real, fake)
        of_generator, _ = descended(adam, generator_loss, of_generator, of_critic[0], second)
        return (of_generator, of_critic), loss

    yield from _turns(pictures(path) * 2 - 1, step, _game(job, adam), job)


def _game(job, adam) -> tuple:
    """Weights and moments of the generator and the critic of `kgen.nn.dcgan`."""
    filters, channels = job.filters, job.shape[-1]
    small = -(-job.shape[0] // 2 ** len(filters))
    ups = [linear(4, 4, a, b, bias=False) for a, b in zip(filters[::-1], filters[-2::-1], strict=False)]
    generator_weights = {
        "maps": linear(100, filters[-1] * small * small, bias=False), "norms": [norm(n) for n in filters[::-1]],
        "doubled": [*ups, linear(4, 4, filters[0], channels)],
    }  # fmt: skip
    critic_weights = [linear(4, 4, a, b) for a, b in zip((channels, *filters), filters, strict=False)]
    critic_weights.append(linear(filters[-1] * small * small, 1))
    return tuple((weights, adam.init(weights)) for weights in (generator_weights, critic_weights))


def generator(p: dict, z):
    channels = len(p["norms"][0]["bias"])
    small = math.isqrt(p["maps"]["kernel"].shape[1] // channels)
    x = dense(p["maps"], z).reshape(len(z), small, small, channels)
    for scale, layer in zip(p["norms"], p["doubled"], strict=True):
        x = doubled(layer, nn.relu(normalized(scale, x)))
    return jnp.tanh(x)


def discriminator(p: list, x):
    for layer in p[:-1]:
        x = nn.leaky_relu(conv(layer, x, stride=2), 0.2)
    return dense(p[-1], x.reshape(len(x), -1))


LOOPS = {"vae": vae, "conv_vae": conv_vae, "pixel_vae": pixel_vae, "wgan_gp": wgan_gp, "dcgan": dcgan}

# Steps and turns ------------------------------------------------------------------------------------------------------


def pictures(path: str) -> np.ndarray:
    """[N, H, W, C] float32 in [0, 1]."""
    return np.load(path)["images"].astype(np.float32) / 255


def descended(optimizer, loss_of, state, *given):
    """A step: the next (weights, moments), and the loss."""
    weights, moments = state
    loss, gradients = jax.value_and_grad(loss_of)(weights, *given)
    updates, moments = optimizer.update(gradients, moments)
    return (optax.apply_updates(weights, updates), moments), loss


def _turns(images, step, state, job, scanned: bool = False):
    """A generator of turns of `step`, (state, batch, key) -> (state, loss), on batches in a random order."""
    images = jnp.asarray(images)

    def at(state, images, order, i, key):
        start = i * job.batch % (len(images) - job.batch + 1)
        chosen = lax.dynamic_slice_in_dim(order, start, job.batch)
        return step(state, images[chosen], random.fold_in(key, i))

    def scan(state, images, order, key):
        state, losses = lax.scan(lambda s, i: at(s, images, order, i, key), state, jnp.arange(job.steps))
        return state, losses[-1]

    shuffled = jax.jit(lambda key: random.permutation(key, len(images)))
    run = jax.jit(scan if scanned else at, donate_argnums=0)
    key = random.key(0)
    while True:
        key, now = random.split(key)
        order = shuffled(now)
        for i in [()] if scanned else [(i,) for i in range(job.steps)]:
            state, loss = run(state, images, order, *i, now)
        yield float(loss)
