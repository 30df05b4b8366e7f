"""Plots of the estimates, beside the truth where it is known."""

import os
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from kgen.canvas import COLORS, Canvas
from kgen.divergence.density import DensityEstimate
from kgen.divergence.estimate import LineEstimate
from kgen.divergence.samples import SampleEstimate

TITLES = {"jsd": "Jensen-Shannon divergence", "wasserstein": "Wasserstein-1 distance"}
UNITS = {"jsd": "nats", "wasserstein": "units of the points"}
BLUE, RED = COLORS[:2]


def plot_line_estimates(rows: Sequence[LineEstimate], path: str | os.PathLike) -> Path:
    """Estimate and truth over phi, and below it their difference with the sampling error (1.96 standard errors).

    Args:
        rows: of one estimator, in any order of phi.
        path: of the PNG.
    """
    rows = sorted(rows, key=lambda row: row.phi)
    estimator = rows[0].estimator
    phis, truths = [row.phi for row in rows], [row.truth for row in rows]
    canvas = Canvas(6.4, 5.6)
    (upper,), (lower,) = canvas.panels(2, 1, sharex=True, height_ratios=(2, 1))
    if estimator == "jsd":
        upper.axhline(np.log(2.0), color="black", linewidth=1, label="truth: log 2, and 0 at phi = 0")
        upper.plot([0.0], [0.0], marker="s", color="black", linestyle="none", fillstyle="none", markersize=10)
    else:
        upper.plot(phis, truths, color="black", linewidth=1, label="truth: |phi|")
    upper.plot(phis, [row.estimate for row in rows], "o", markersize=4, color=RED, label="estimate")
    upper.set(title=f"{TITLES[estimator]} of (0, Z) and (phi, Z), Z ~ U(0, 1)", ylabel=UNITS[estimator])
    upper.legend()
    lower.axhline(0.0, color="black", linewidth=1)
    lower.errorbar(
        phis, [row.error for row in rows], [1.96 * row.stderr for row in rows], fmt="o", markersize=4, color=RED
    )
    lower.set(xlabel="phi", ylabel=f"estimate - truth,\n{UNITS[estimator]}")
    return canvas.save(path)


def plot_density(found: DensityEstimate, path: str | os.PathLike, *, title: str) -> Path:
    """The discriminator, and below it the estimate between the normal and, where it is known, the truth."""
    canvas = Canvas(6.4, 5.6)
    (upper,), (lower,) = canvas.panels(2, 1, sharex=True, height_ratios=(1, 2))
    upper.axhline(0.5, color="gray", linestyle="--", linewidth=1, label="0.5, where f0 = f1")
    upper.plot(found.x, found.discriminator, color=BLUE)
    upper.legend(fontsize="small")
    upper.set(title=title, ylabel="D(x)", ylim=(-0.03, 1.03))
    lower.plot(found.x, found.base, color="gray", linestyle=":", label="f0, normal")
    if found.truth is not None:
        lower.plot(found.x, found.truth, color="black", linewidth=1, label="f1, truth")
    name = "f0 D / (1 - D)"
    if found.truth is not None:
        name += f" (total variation {found.total_variation:.4f})"
    lower.plot(found.x, found.estimate, color=RED, linestyle="--", label=name)
    lower.set(xlabel="x", ylabel="density")
    canvas.figure.legend(*lower.get_legend_handles_labels(), loc="outside lower center", ncols=3)
    return canvas.save(path)


def plot_density_ratio(found: SampleEstimate, p: np.ndarray, q: np.ndarray, path: str | os.PathLike) -> Path:
    """Histograms of two one-dimensional sets of samples, and below them the estimated p(x) / q(x).

    Args:
        found: with `grid` and `logits`.
        p, q: the samples, any shape.
        path: of the PNG.
    """
    canvas = Canvas(6.4, 5.6)
    (upper,), (lower,) = canvas.panels(2, 1, sharex=True)
    edges = np.linspace(found.grid[0], found.grid[-1], 61)
    for samples, name, color in ((p, "p", RED), (q, "q", BLUE)):
        upper.hist(np.ravel(samples), edges, density=True, alpha=0.35, label=name, color=color)
        upper.hist(np.ravel(samples), edges, density=True, histtype="step", color=color)
    upper.set(
        title=f"Jensen-Shannon divergence {found.estimate:.4g} ± {1.96 * found.stderr:.2g} nats", ylabel="density"
    )
    upper.legend()
    lower.axhline(1.0, color="gray", linestyle="--", linewidth=1, label="1, where p = q")
    lower.semilogy(found.grid, np.exp(np.clip(found.logits.astype(np.float64), -50.0, 50.0)), color="black")
    lower.legend(fontsize="small")
    lower.set(xlabel="x", ylabel="p(x) / q(x) = D / (1 - D)")
    return canvas.save(path)
