"""Bare PyTorch eager loops that `bench_train.py` compares with: generators of the last loss, a turn each."""

import numpy as np
import torch
from torch import nn
from torch.nn import functional


def vae(path: str, job):
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
            z = mean + torch.exp(0.5 * log_var) * torch.randn_like(log_var)
            return self.logits(functional.relu(self.back(z))), mean, log_var

    yield from _vae(pictures(path).reshape(-1, 784), VAE(), job)


def conv_vae(path: str, job):
    """Two strided convolutions and their mirror, as `kgen.nn.conv` has them."""

    class VAE(nn.Module):
        def __init__(self, first: int, second: int):
            super().__init__()
            self.encoder = nn.Sequential(
                nn.Conv2d(1, first, 3, 2, 1), nn.ReLU(), nn.Conv2d(first, second, 3, 2, 1), nn.ReLU(), nn.Flatten()
            )
            self.mean, self.log_var = nn.Linear(49 * second, 20), nn.Linear(49 * second, 20)
            self.decoder = nn.Sequential(
                nn.Linear(20, 49 * second), nn.ReLU(), nn.Unflatten(1, (second, 7, 7)),
                nn.ConvTranspose2d(second, first, 3, 2, 1, 1), nn.ReLU(),
                nn.ConvTranspose2d(first, first, 3, 2, 1, 1), nn.ReLU(), nn.Conv2d(first, 1, 3, 1, 1),
            )  # fmt: skip

        def forward(self, x):
            h = self.encoder(x)
            mean, log_var = self.mean(h), self.log_var(h)
            return self.decoder(mean + torch.exp(0.5 * log_var) * torch.randn_like(log_var)), mean, log_var

    yield from _vae(pictures(path), VAE(*job.filters), job)


def _vae(images, model, job):
    """Turns of the negative ELBO."""
    optimizer = torch.optim.Adam(model.parameters(), 1e-3)
    while True:
        for batch in batches(images, job.batch, job.steps):
            logits, mean, log_var = model(batch)
            reconstruction = functional.binary_cross_entropy_with_logits(logits, batch, reduction="sum")
            rate = -0.5 * torch.sum(1 + log_var - mean**2 - log_var.exp())
            loss = (reconstruction + rate) / job.batch
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
        yield float(loss)


def wgan_gp(path: str, job):
    """Five critic steps with gradient penalty, each on images of its own, then one of the generator."""
    images = pictures(path) * 2 - 1
    generator, critic = dcgan_generator(28, 1, job.filters), dcgan_discriminator(28, 1, job.filters)
    of_generator, of_critic = (torch.optim.Adam(n.parameters(), 1e-4, (0.0, 0.9)) for n in (generator, critic))
    size = job.batch // 5
    while True:
        for batch in batches(images, job.batch, job.steps):
            for i in range(5):
                real = batch[i * size : (i + 1) * size]
                with torch.no_grad():
                    fake = generator(torch.randn(size, 100))
                share = torch.rand(size, 1, 1, 1)
                between = (share * real + (1 - share) * fake).requires_grad_()
                (slope,) = torch.autograd.grad(critic(between).sum(), between, create_graph=True)
                penalty = ((slope.flatten(1).norm(dim=1) - 1) ** 2).mean()
                loss = critic(fake).mean() - critic(real).mean() + 10 * penalty
                of_critic.zero_grad()
                loss.backward()
                of_critic.step()
            of_generator.zero_grad()
            (-critic(generator(torch.randn(size, 100))).mean()).backward()
            of_generator.step()
        yield float(loss)


def dcgan(path: str, job):
    """The non-saturating game on 64x64 colour."""
    images = pictures(path) * 2 - 1
    generator, critic = dcgan_generator(64, 3, job.filters), dcgan_discriminator(64, 3, job.filters)
    of_generator, of_critic = (torch.optim.Adam(n.parameters(), 2e-4, (0.5, 0.999)) for n in (generator, critic))
    while True:
        for real in batches(images, job.batch, job.steps):
            fake = generator(torch.randn(job.batch, 100))
            loss = functional.softplus(-critic(real)).mean() + functional.softplus(critic(fake.detach())).mean()
            of_critic.zero_grad()
            loss.backward()
            of_critic.step()
            of_generator.zero_grad()
            functional.softplus(-critic(generator(torch.randn(job.batch, 100)))).mean().backward()
            of_generator.step()
        yield float(loss)


LOOPS = {"vae": vae, "conv_vae": conv_vae, "wgan_gp": wgan_gp, "dcgan": dcgan}


def pictures(path: str):
    """[N, C, H, W] in [0, 1]."""
    return torch.from_numpy(np.load(path)["images"].astype(np.float32) / 255).permute(0, 3, 1, 2).contiguous()


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
