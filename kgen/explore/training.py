"""Pictures of a training: its curves, and the same latent points over the epochs."""

from collections.abc import Iterator
from pathlib import Path

import numpy as np
from PIL import Image

from kgen.explore.context import KINDS, Context, PictureKind
from kgen.explore.figures import captioned
from kgen.train.plots import draw_curves

MOST_FRAMES = 80
LEAST_SIDE = 320

PLOTS = {
    "quality": "Figures of the samples of {name} over the epochs, with the best marked.",
    "layers": "Norms of the gradients of {name}, a row per weight and a column per epoch.",
}


@KINDS.register("curves", needs=("run", "metrics"))
def curves(lab: Context) -> Iterator[PictureKind]:
    """Losses, reconstruction and KL, health metrics; figures of quality and gradient norms where they were measured."""
    rows, folder = lab.run.metrics(), lab.run.path / "plots"
    unit = "" if any(key.startswith("health_") for key in rows[-1]) else "nats per image"
    draw_curves(rows, folder / "curves.png", title=lab.name, unit=unit)
    caption = f"Terms of the training of {lab.name} over {rows[-1]['epoch']} epochs, for every split that was measured."
    yield PictureKind("curves", [captioned(_read(folder / "curves.png"), caption)], caption)
    for plot, words in PLOTS.items():
        if (folder / f"{plot}.png").is_file():
            caption = words.format(name=lab.name)
            yield PictureKind(f"curves-{plot}", [captioned(_read(folder / f"{plot}.png"), caption)], caption)


@KINDS.register("progress", needs=("run", "frames"))
def progress(lab: Context) -> Iterator[PictureKind]:
    """The fixed latent points of the training as they changed, and a strip between some of them."""
    for name, what in (("epoch", "The same latent points"), ("interpolation", "The same paths between latent points")):
        files = lab.frames(name)
        if len(files) < 2:
            continue
        chosen = [files[i] for i in np.unique(np.linspace(0, len(files) - 1, MOST_FRAMES).astype(int))]
        caption = f"{what} of {lab.name} over the training."
        frames = [captioned(_large(_read(file)), f"{caption} Epoch {int(file.stem[-4:])}.") for file in chosen]
        yield PictureKind("progress" if name == "epoch" else f"progress-{name}", frames, caption)


def _read(file: Path) -> np.ndarray:
    with Image.open(file) as picture:
        return np.asarray(picture.convert("RGB"))


def _large(image: np.ndarray) -> np.ndarray:
    factor = -(-LEAST_SIDE // max(image.shape[:2]))
    return image.repeat(factor, 0).repeat(factor, 1)
