"""KINDS: the pictures that can be asked for by name, and what each needs."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from kgen import images
from kgen.explore.sheet import save_gif
from kgen.registry import Registry

KINDS = Registry("picture")
"""Name -> function of a Lab that yields Pictures; `needs` names attributes of the Lab that must not say why not."""


@dataclass(frozen=True)
class Picture:
    """A PNG, or a GIF of several frames.

    Attributes:
        name: of the file, without its ending.
        frames: each [H, W, 3] uint8, caption included.
        caption: what there is to see.
    """

    name: str
    frames: Sequence[np.ndarray]
    caption: str

    def save(self, folder: Path, milliseconds: int) -> Path:
        """Writes `folder/NAME.png` or `.gif`."""
        if len(self.frames) == 1:
            return images.save_png(folder / f"{self.name}.png", self.frames[0])
        return save_gif(folder / f"{self.name}.gif", self.frames, milliseconds)
