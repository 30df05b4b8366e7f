"""Pictures of a training: its curves, and the same latent points over the epochs."""

from collections.abc import Iterator
from pathlib import Path

import numpy as np
from PIL import Image

from kgen.evaluate.registry import directions
from kgen.explore.context import Context
from kgen.explore.figures import Picture, captioned
from kgen.tables import counted
from kgen.train.plots import draw_curves

MAX_FRAMES = 80
MIN_SIDE = 320

PLOTS = {
    "quality": "Metrics of the samples of {name} over the epochs, with the best marked.",
    "layers": "Gradient norms of {name}, a row per weight and a column per epoch.",
}
"""Plots of the training, by file name -> caption."""


def curves(context: Context) -> Iterator[Picture]:
    """Losses, reconstruction and KL, health metrics; quality of samples and gradient norms where they were measured."""
    rows, folder = context.run.metrics(), context.run.path / "plots"
    model_args, train = context.run.config.model_args, context.run.config.train
    measured = directions(train.metrics) if train.eval_every and context.run.spec.monitor_split == "train" else ()
    draw_curves(rows, folder / "curves.png", title=context.name, model_args=model_args, leave_out=measured)
    balance = ""
    if "loss" in model_args:
        balance = " Balance: generated images are as the real ones, and D cannot tell them apart."
    caption = f"Terms of the training of {context.name} over {counted(rows[-1]['epoch'], 'epoch')}, per split.{balance}"
    yield Picture("curves", [captioned(_read(folder / "curves.png"), caption)], caption)
    for plot, words in PLOTS.items():
        if (folder / f"{plot}.png").is_file():
            caption = words.format(name=context.name)
            yield Picture(f"curves-{plot}", [captioned(_read(folder / f"{plot}.png"), caption)], caption)


def progress(context: Context) -> Iterator[Picture]:
    """The sample grids and the interpolations that the training wrote, of the same latent points over the epochs."""
    for name, what in (("epoch", "The same latent points"), ("interpolation", "The same paths between latent points")):
        files = context.frames(name)
        if len(files) < 2:
            continue
        chosen = [files[i] for i in np.unique(np.linspace(0, len(files) - 1, MAX_FRAMES).astype(int))]
        caption = f"{what} of {context.name} over the training."
        frames = [captioned(_enlarged(_read(file)), f"{caption} Epoch {int(file.stem[-4:])}.") for file in chosen]
        yield Picture("progress" if name == "epoch" else f"progress-{name}", frames, caption)


def _read(file: Path) -> np.ndarray:
    with Image.open(file) as picture:
        return np.asarray(picture.convert("RGB"))


def _enlarged(image: np.ndarray) -> np.ndarray:
    factor = -(-MIN_SIDE // max(image.shape[:2]))
    return image.repeat(factor, 0).repeat(factor, 1)
