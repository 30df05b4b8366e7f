"""Pictures of draws: samples, and one latent point under every label."""

from collections.abc import Iterator

import numpy as np

from kgen.canvas import Canvas
from kgen.explore.context import KINDS, Context, PictureKind
from kgen.explore.figures import captioned, sheet
from kgen.features.extractors import open_extractor
from kgen.metrics.distances import neighbours as nearest_ones

COLUMNS = 10


@KINDS.register("samples")
def samples(lab: Context):
    """A grid; conditional: a row per class."""
    if not lab.sampler.conditional:
        drawn = lab.decode(lab.draw(8 * COLUMNS)).reshape(8, COLUMNS, *lab.spec.image_shape)
        caption = f"Samples of {lab.name} ({lab.seeds})."
        yield PictureKind("samples", [sheet(drawn, caption=caption)], caption)
        return
    classes = lab.classes if len(lab.classes) > 1 else lab.classes * 8
    labels = np.repeat(np.array(classes, np.int32), COLUMNS)
    drawn = lab.decode(lab.draw(len(labels), labels), labels).reshape(len(classes), COLUMNS, *lab.spec.image_shape)
    what = "a row per class" if len(lab.classes) > 1 else f"class {lab.class_name(classes[0])}"
    more = f", the first {len(classes)} of {lab.spec.num_classes}" if _cut(lab) else ""
    caption = f"Samples of {lab.name}, {what}{more} ({lab.seeds})."
    names = [lab.class_name(n) for n in classes] if len(lab.classes) > 1 else ()
    yield PictureKind("samples", [sheet(drawn, names=names, caption=caption)], caption)


@KINDS.register("style", needs=("labels",))
def style(lab: Context):
    """A row per latent point, a column per label."""
    classes = np.arange(min(lab.spec.num_classes, 20), dtype=np.int32)
    points = [lab.draw(1, classes[:1], first=i) for i in range(8)]
    rows = [lab.decode(np.repeat(z, len(classes), axis=0), classes) for z in points]
    caption = (
        f"Style of {lab.name}: a row is one latent point under every label. What stays the same in a row is the style "
        f"that z holds; what changes is the class ({lab.seeds})."
    )
    yield PictureKind("style", [sheet(rows, columns=[lab.class_name(n) for n in classes], caption=caption)], caption)


def _cut(lab: Context) -> bool:
    return lab.label is None and len(lab.classes) < lab.spec.num_classes


# Beside real ----------------------------------------------------------------------------------------------------------
# Pictures of draws beside real images: nearest training images, distributions of features.


SAMPLES, NEAREST = 10, 6
MOST_NUMBERS = 2**26
"""Of training images that are searched, as float32: 256 MiB."""
LEADING = 4
COMPARED = 1_000
DRAWN = 600


@KINDS.register("neighbours", needs=("data",))
def neighbours(lab: Context) -> Iterator[PictureKind]:
    """Each sample beside the training images that are nearest to it."""
    extractor = open_extractor(lab.options.features or "pixels", lab.reference)
    train = lab.reference.train.some(max(NEAREST, MOST_NUMBERS // max(extractor.dimension, lab.spec.num_pixels)))
    labels = lab.some_labels(SAMPLES)
    drawn = lab.decode(lab.draw(SAMPLES, labels), labels)
    base, query = extractor(train.pixels)[0], extractor(drawn)[0]
    squared, index = nearest_ones(query, base, min(NEAREST, train.count))
    rows = [np.concatenate([sample[None], train.pixels[found]]) for sample, found in zip(drawn, index, strict=True)]
    caption = (
        f"Samples of {lab.name} ({lab.seeds}) beside the nearest of {train.count} training images, by the distance of "
        f"'{extractor.name}' features. Copies would stand at distance 0; here the nearest stand at "
        f"{np.sqrt(squared[:, 0]).min():.3g} to {np.sqrt(squared[:, 0]).max():.3g}."
    )
    headings = ["sample", "nearest", *(f"{n}." for n in range(2, index.shape[1] + 1))]
    yield PictureKind("neighbours", [sheet(rows, columns=headings, caption=caption)], caption)


@KINDS.register("features", needs=("data",))
def features(lab: Context) -> Iterator[PictureKind]:
    """Leading feature dimensions in pairs, real against generated."""
    extractor = open_extractor(lab.options.features or "random", lab.reference)
    real = lab.reference.real.some(COMPARED)
    labels = real.labels if lab.sampler.conditional else np.zeros(real.count, np.int32)
    drawn = lab.decode(lab.draw(real.count, labels), labels)
    sets = [extractor(pixels)[0].astype(np.float64) for pixels in (real.pixels, drawn)]
    centre = sets[0].mean(axis=0)
    _, scales, axes = np.linalg.svd(sets[0] - centre, full_matrices=False)
    leading = min(LEADING, len(axes))
    sets = [(features - centre) @ axes[:leading].T for features in sets]
    share = np.square(scales[:leading]).sum() / np.square(scales).sum()
    caption = (
        f"The {leading} leading dimensions of '{extractor.name}' features of {real.count} {real.split} images and as "
        f"many samples of {lab.name} ({lab.seeds}); principal components of the real ones, {share:.0%} of their "
        "variance. Where the clouds differ, the samples do."
    )
    canvas = Canvas(8.0, 7.6)
    _pairs(canvas.panels(leading, leading, grid=None), sets, (real.split, "generated"))
    yield PictureKind("features", [captioned(canvas.to_array(), caption)], caption)


def _pairs(panels, sets, names):
    """Histograms on the diagonal, clouds below it; above it nothing."""
    colors = ("tab:blue", "tab:orange")
    for i, row in enumerate(panels):
        for j, axes in enumerate(row):
            if j > i:
                axes.axis("off")
                continue
            low, high = np.percentile(np.concatenate([s[:, j] for s in sets]), (0.5, 99.5))
            axes.set_xlim(low, high)
            for points, name, color in zip(sets, names, colors, strict=True):
                if i == j:
                    axes.hist(points[:, i], bins=np.linspace(low, high, 40), alpha=0.5, color=color, label=name)
                else:
                    axes.scatter(points[:DRAWN, j], points[:DRAWN, i], s=4, alpha=0.4, color=color, linewidths=0)
            axes.set(yticks=[], xticks=[])
            if i == len(panels) - 1:
                axes.set_xlabel(f"component {j + 1}")
            if j == 0 and i:
                axes.set_ylabel(f"component {i + 1}")
    panels[0, -1].legend(*panels[0, 0].get_legend_handles_labels(), loc="upper right", frameon=False)
