"""Pictures of samples: by class, one latent point under every label, and beside real images."""

from collections.abc import Iterator

import numpy as np

from kgen.blas import threads_for
from kgen.canvas import Canvas
from kgen.explore.context import Context
from kgen.explore.figures import Picture, captioned, sheet
from kgen.features.extractors import Extractor, open_extractor
from kgen.features.imageset import MirroredImages
from kgen.metrics import distances

COLUMNS = 10
SAMPLES, NEAREST = 10, 6
MAX_TRAIN_FEATURES = 2**26
"""Values of the training images that are searched, as float32: 256 MiB."""
LEADING = 4
COMPARED = 1_000
MAX_POINTS = 600
BINS = 40


def samples(context: Context) -> Iterator[Picture]:
    """A grid; conditional: a row per class."""
    if not context.sampler.conditional:
        rows = context.decode(context.sample_latents(8 * COLUMNS)).reshape(8, COLUMNS, *context.spec.image_shape)
        caption = f"Samples of {context.name} ({context.seeds})."
        yield Picture("samples", [sheet(rows, caption=caption)], caption)
        return
    classes = context.classes if len(context.classes) > 1 else context.classes * 8
    labels = np.repeat(np.array(classes, np.int32), COLUMNS)
    pixels = context.decode(context.sample_latents(len(labels), labels), labels)
    rows = pixels.reshape(len(classes), COLUMNS, *context.spec.image_shape)
    what = "a row per class" if len(context.classes) > 1 else f"class {context.class_name(classes[0])}"
    more = (
        f", the first {len(classes)} of {context.spec.num_classes}"
        if context.label is None and len(classes) < context.spec.num_classes
        else ""
    )
    caption = f"Samples of {context.name}, {what}{more} ({context.seeds})."
    names = [context.class_name(n) for n in classes] if len(context.classes) > 1 else ()
    yield Picture("samples", [sheet(rows, names=names, caption=caption)], caption)


def style(context: Context) -> Iterator[Picture]:
    """A row per latent point, a column per label."""
    classes = np.arange(min(context.spec.num_classes, 20), dtype=np.int32)
    points = np.stack([context.sample_latents(1, classes[:1], first=i) for i in range(8)])
    rows = context.decode_rows(np.repeat(points, len(classes), axis=1), classes)
    caption = (
        f"Style of {context.name}: a row is one latent point under every label ({context.seeds}). What stays the same "
        "in a row is the style, which z encodes; what changes is the class."
    )
    yield Picture("style", [sheet(rows, columns=[context.class_name(n) for n in classes], caption=caption)], caption)


def _extractor(context: Context, default: str) -> Extractor:
    """What images are compared by: of `--features`, else of this name."""
    options = context.options
    return open_extractor(options.features or default, context.reference, options.feature_weights)


def neighbours(context: Context) -> Iterator[Picture]:
    """Each sample beside the training images that are nearest to it."""
    extractor = _extractor(context, "pixels")
    size = max(extractor.dimension, context.spec.num_pixels) * (1 + context.target.mirrored)
    train = context.reference.trained_on.some(max(NEAREST, MAX_TRAIN_FEATURES // size))
    labels = context.some_labels(SAMPLES)
    generated = context.decode(context.sample_latents(SAMPLES, labels), labels)
    sets = [train.pixels, MirroredImages(train.pixels)][: 1 + context.target.mirrored]
    base, query = np.concatenate([extractor(pixels)[0] for pixels in sets]), extractor(generated)[0]
    squared, index = distances.neighbours(query, base, min(NEAREST, len(base)))
    which, row = np.divmod(index, train.count)
    found = [[sets[of][i] for of, i in zip(*line, strict=True)] for line in zip(which, row, strict=True)]
    rows = [np.stack([sample, *line]) for sample, line in zip(generated, found, strict=True)]
    searched = context.searched + ", mirrored or not" * context.target.mirrored
    caption = (
        f"Samples of {context.name} ({context.seeds}) beside the nearest of {train.count} {searched}, by the "
        f"distance of '{extractor.name}' features. Copies would be at distance 0; here the nearest are at "
        f"{np.sqrt(squared[:, 0]).min():.3g} to {np.sqrt(squared[:, 0]).max():.3g}."
    )
    headings = ["sample", "nearest", *(f"{n}." for n in range(2, index.shape[1] + 1))]
    names = [context.class_name(n) for n in labels] if context.sampler.conditional else ()
    yield Picture("neighbours", [sheet(rows, names=names, columns=headings, caption=caption)], caption)


def features(context: Context) -> Iterator[Picture]:
    """Leading feature dimensions in pairs, real against generated."""
    extractor = _extractor(context, "random")
    real = context.reference.real.some(COMPARED)
    labels = real.labels if context.sampler.conditional else np.zeros(real.count, np.int32)
    generated = context.decode(context.sample_latents(real.count, labels), labels)
    sets = [extractor(pixels)[0].astype(np.float64) for pixels in (real.pixels, generated)]
    center = sets[0].mean(axis=0)
    with threads_for(sets[0].size * sets[0].shape[1]):
        _, scales, axes = np.linalg.svd(sets[0] - center, full_matrices=False)
    leading = min(LEADING, len(axes))
    sets = [(features - center) @ axes[:leading].T for features in sets]
    shares = np.square(scales[:leading]) / np.square(scales).sum()
    caption = (
        f"The {leading} leading dimensions of '{extractor.name}' features of {real.count} {real.kind} and as "
        f"many samples of {context.name} ({context.seeds}); principal components of the real ones, {shares.sum():.0%} "
        "of their variance. Where the clouds differ, the samples do."
    )
    canvas = Canvas(8.4, 8.0)
    axes_names = [f"component {i + 1}, {share:.0%}" for i, share in enumerate(shares)]
    panels = canvas.panels(leading, leading, grid=None)
    _pair_plots(panels, sets, (f"{real.kind}", "generated images"), axes_names)
    yield Picture("features", [captioned(canvas.to_array(), caption)], caption)


def _pair_plots(panels, sets, names, axes_names):
    """Histograms on the diagonal, scatter plots below it, nothing above."""
    looks = [(Canvas.class_color(n), Canvas.class_marker(n)) for n in range(2)]
    for i, row in enumerate(panels):
        for j, axes in enumerate(row):
            if j > i:
                axes.axis("off")
                continue
            low, high = np.percentile(np.concatenate([s[:, j] for s in sets]), (0.5, 99.5))
            axes.set_xlim(low, high)
            bins = np.linspace(low, high, BINS)
            for points, name, (color, marker) in zip(sets, names, looks, strict=True):
                if i == j:
                    axes.hist(points[:, i], bins=bins, alpha=0.35, color=color)
                    axes.hist(points[:, i], bins=bins, histtype="step", color=color)
                else:
                    shown = points[:MAX_POINTS]
                    axes.scatter(shown[:, j], shown[:, i], s=9, alpha=0.6, color=color, marker=marker, linewidths=0,
                                 label=name)  # fmt: skip
            axes.set(yticks=[], xticks=[])
            if i == len(panels) - 1:
                axes.set_xlabel(axes_names[j])
            if j == 0:
                axes.set_ylabel(axes_names[i] if i else "number of images")
    if len(panels) > 1:
        handles, labels = panels[1, 0].get_legend_handles_labels()
        panels[0, -1].legend(handles, labels, loc="upper right", frameon=False, markerscale=2.5)
