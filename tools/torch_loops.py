"""PyTorch loops that `bench_train.py` compares with: generators of the last loss, a turn each.

`Options` makes three contestants of one loop: the bare eager loop, the same with `channels_last` and the fused Adam,
and that with the computation of the loss compiled. Of a gradient penalty only the generator's part is compiled, since
torch.compile does not differentiate twice.
"""

from dataclasses import dataclass

import numpy as np
import torch
from torch import nn
from torch.nn import functional


@dataclass(frozen=True)
class Options:
    """How a loop runs.

    Attributes:
        fast: `channels_last` for convolutions and their inputs, and the fused Adam.
        compiled: torch.compile of the loss.
    """

    fast: bool = False
    compiled: bool = False

    def network(self, network):
        """The network, its kernels and maps in the layout asked for."""
        return network.to(memory_format=torch.channels_last) if self.fast else network

    def images(self, images):
        """[N, C, H, W] in the layout asked for."""
        return images.contiguous(memory_format=torch.channels_last) if self.fast else images

    def adam(self, network, rate: float, betas=(0.9, 0.999)):
        return torch.optim.Adam(network.parameters(), rate, betas, fused=self.fast)

    def loss(self, function):
        return torch.compile(function) if self.compiled else function


OPTIONS = {
    "PyTorch eager": Options(),
    "PyTorch, channels_last and fused Adam": Options(fast=True),
    "torch.compile": Options(fast=True, compiled=True),
}


def vae(path: str, job, options: Options):
    """784-400-20, as pytorch/examples has it."""

    class VAE(nn.Module):
        def __init__(self):
            super().__init__()
            self.hidden, self.back = nn.Linear(784, 400), nn.Linear(20, 400)
            self.mean, self.log_var = nn.Linear(400, 20), nn.Linear(400, 20)
            self.logits = nn.Linear(400, 784)

        def forward(self, x):
            h = functional.relu(self.hidden(x))
            mean, log_var = self.mean(h), self.log_var(h)
            return self.logits(functional.relu(self.back(sampled(mean, log_var)))), mean, log_var

    yield from _vae(pictures(path).reshape(-1, 784), VAE(), job, options)


def conv_vae(path: str, job, options: Options):
    """Two strided convolutions and their mirror, as `kgen.nn.conv` has them."""

    class VAE(nn.Module):
        def __init__(self):
            super().__init__()
            self.encoder, self.decoder = conv_encoder(job.filters, 20), conv_decoder(job.filters, 20, 1)

        def forward(self, x):
            mean, log_var = self.encoder(x).chunk(2, dim=1)
            return self.decoder(sampled(mean, log_var)), mean, log_var

    yield from _vae(options.images(pictures(path)), options.network(VAE()), job, options)


def pixel_vae(path: str, job, options: Options):
    """The encoder and decoder of `conv_vae`, and the PixelCNN of `kgen.nn.pixelcnn`, of one channel and two levels."""
    width, layers, conditioned, condition, latent = (
        job.model_args[key] for key in ("width", "layers", "conditioned_layers", "condition", "latent_dim")
    )

    class Gated(nn.Module):
        def __init__(self, conditions: int):
            super().__init__()
            self.rows = nn.Conv2d(width, 2 * width, (2, 3))
            self.columns = nn.Conv2d(width, 2 * width, (1, 2))
            self.down = nn.Conv2d(width, 2 * width, 1, bias=False)
            self.out = nn.Conv2d(width, width, 1)
            self.condition = nn.Conv2d(conditions, 2 * width, 1, bias=False) if conditions else None

        def forward(self, v, h, c):
            v = v + functional.glu(self.rows(functional.pad(v, (1, 1, 1, 0))), dim=1)
            x = self.columns(functional.pad(h, (1, 0))) + self.down(v)
            if self.condition is not None:
                x = x + self.condition(c)
            return v, h + self.out(functional.glu(x, dim=1))

    class PixelVAE(nn.Module):
        def __init__(self):
            super().__init__()
            self.encoder = conv_encoder(job.filters, latent)
            self.decoder = conv_decoder(job.filters, latent, condition)
            self.rows, self.columns = nn.Conv2d(1, width, (3, 7)), nn.Conv2d(1, width, (1, 3))
            self.gated = nn.ModuleList(Gated(condition if i >= layers - conditioned else 0) for i in range(layers))
            self.head = nn.Sequential(nn.Conv2d(width + condition, width, 1), nn.ReLU(), nn.Conv2d(width, 1, 1))

        def forward(self, x):
            mean, log_var = self.encoder(x).chunk(2, dim=1)
            c, pixels = self.decoder(sampled(mean, log_var)), 2 * x - 1
            v = self.rows(functional.pad(pixels[:, :, :-1], (3, 3, 3, 0)))
            h = self.columns(functional.pad(pixels[:, :, :, :-1], (3, 0)))
            for layer in self.gated:
                v, h = layer(v, h, c)
            return self.head(torch.cat([functional.relu(h), c], dim=1)), mean, log_var

    yield from _vae(options.images(pictures(path).round()), options.network(PixelVAE()), job, options)


def sampled(mean, log_var):
    return mean + torch.exp(0.5 * log_var) * torch.randn_like(log_var)


def conv_encoder(filters: tuple[int, int], latent: int):
    """28x28 -> mean and log-variance, side by side."""
    first, second = filters
    return nn.Sequential(
        nn.Conv2d(1, first, 3, 2, 1), nn.ReLU(), nn.Conv2d(first, second, 3, 2, 1), nn.ReLU(), nn.Flatten(),
        nn.Linear(49 * second, 2 * latent),
    )  # fmt: skip


def conv_decoder(filters: tuple[int, int], latent: int, outputs: int):
    """z -> maps of 28x28."""
    first, second = filters
    return nn.Sequential(
        nn.Linear(latent, 49 * second), nn.ReLU(), nn.Unflatten(1, (second, 7, 7)),
        nn.ConvTranspose2d(second, first, 3, 2, 1, 1), nn.ReLU(),
        nn.ConvTranspose2d(first, first, 3, 2, 1, 1), nn.ReLU(), nn.Conv2d(first, outputs, 3, 1, 1),
    )  # fmt: skip


def _vae(images, model, job, options: Options):
    """Turns of the negative ELBO."""
    optimizer = options.adam(model, 1e-3)

    def negative_elbo(batch):
        logits, mean, log_var = model(batch)
        reconstruction = functional.binary_cross_entropy_with_logits(logits, batch, reduction="sum")
        rate = -0.5 * torch.sum(1 + log_var - mean**2 - log_var.exp())
        return (reconstruction + rate) / job.batch

    loss_of = options.loss(negative_elbo)
    while True:
        for batch in batches(images, job.batch, job.steps):
            loss = loss_of(batch)
            step(optimizer, loss)
        yield float(loss.detach())


def step(optimizer, loss):
    optimizer.zero_grad()
    loss.backward()
    optimizer.step()


def wgan_gp(path: str, job, options: Options):
    """Five critic steps with gradient penalty, each on images of its own, then one of the generator."""
    images, generator, critic = _game(path, job, options)
    of_generator, of_critic = (options.adam(n, 1e-4, (0.0, 0.9)) for n in (generator, critic))
    size = job.batch // 5
    made = options.loss(lambda: generator(torch.randn(size, 100)))
    generator_loss = options.loss(lambda: -critic(generator(torch.randn(size, 100))).mean())
    while True:
        for batch in batches(images, job.batch, job.steps):
            for real in batch.split(size):
                with torch.no_grad():
                    fake = made()
                share = torch.rand(size, 1, 1, 1)
                between = (share * real + (1 - share) * fake).requires_grad_()
                (slope,) = torch.autograd.grad(critic(between).sum(), between, create_graph=True)
                penalty = ((slope.flatten(1).norm(dim=1) - 1) ** 2).mean()
                loss = critic(fake).mean() - critic(real).mean() + 10 * penalty
                step(of_critic, loss)
            step(of_generator, generator_loss())
        yield float(loss.detach())


def dcgan(path: str, job, options: Options):
    """The non-saturating game on 64x64 colour."""
    images, generator, critic = _game(path, job, options)
    of_generator, of_critic = (options.adam(n, 2e-4, (0.5, 0.999)) for n in (generator, critic))

    def critic_loss(real, fake):
        return functional.softplus(-critic(real)).mean() + functional.softplus(critic(fake)).mean()

    made = options.loss(lambda: generator(torch.randn(job.batch, 100)))
    of_real_and_fake = options.loss(critic_loss)
    generator_loss = options.loss(lambda: functional.softplus(-critic(generator(torch.randn(job.batch, 100)))).mean())
    while True:
        for real in batches(images, job.batch, job.steps):
            with torch.no_grad():
                fake = made()
            loss = of_real_and_fake(real, fake)
            step(of_critic, loss)
            step(of_generator, generator_loss())
        yield float(loss.detach())


def _game(path: str, job, options: Options):
    """Images in [-1, 1], generator and critic."""
    side, _, channels = job.shape
    networks = (make(side, channels, job.filters) for make in (dcgan_generator, dcgan_discriminator))
    return options.images(pictures(path) * 2 - 1), *map(options.network, networks)


LOOPS = {"vae": vae, "conv_vae": conv_vae, "pixel_vae": pixel_vae, "wgan_gp": wgan_gp, "dcgan": dcgan}


def pictures(path: str):
    """[N, C, H, W] in [0, 1], in the memory of the default device."""
    pixels = torch.from_numpy(np.load(path)["images"]).to(torch.get_default_device())
    return (pixels.float() / 255).permute(0, 3, 1, 2).contiguous()


def batches(images, size: int, count: int):
    """So many batches in a random order, again from the start where images run out."""
    order = torch.randperm(len(images))
    for i in range(count):
        start = i * size % (len(images) - size + 1)
        yield images[order[start : start + size]]


def halvings(side: int) -> list[int]:
    sides = [side]
    while sides[-1] > 7:
        sides.append(-(-sides[-1] // 2))
    return sides


def dcgan_generator(side: int, channels: int, filters: tuple[int, ...]):
    """That of `kgen.nn.dcgan`."""
    small = halvings(side)[-1]
    layers = [nn.Linear(100, filters[-1] * small * small, bias=False), nn.Unflatten(1, (filters[-1], small, small))]
    for inputs, outputs in zip(filters[::-1], filters[-2::-1], strict=False):
        layers += [nn.BatchNorm2d(inputs), nn.ReLU(), nn.ConvTranspose2d(inputs, outputs, 4, 2, 1, bias=False)]
    return nn.Sequential(
        *layers, nn.BatchNorm2d(filters[0]), nn.ReLU(), nn.ConvTranspose2d(filters[0], channels, 4, 2, 1), nn.Tanh()
    )


def dcgan_discriminator(side: int, channels: int, filters: tuple[int, ...]):
    """That of `kgen.nn.dcgan`."""
    layers = []
    for inputs, outputs in zip((channels, *filters), filters, strict=False):
        layers += [nn.Conv2d(inputs, outputs, 4, 2, 1), nn.LeakyReLU(0.2)]
    return nn.Sequential(*layers, nn.Flatten(), nn.Linear(filters[-1] * halvings(side)[-1] ** 2, 1))
