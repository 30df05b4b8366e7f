"""DataSpec: what a data set is. Models are sized from it; it knows no TensorFlow."""

import dataclasses
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from kgen.errors import UserError
from kgen.registry import nearest


@dataclass(frozen=True)
class DataSpec:
    """The properties of a data set that models are built from.

    Attributes:
        name: of the data set, as a run directory shows it, e.g. "digits".
        image_shape: (height, width, channels), pixels; channels is 1 or 3.
        num_classes: 0 for unlabelled data.
        class_names: one per class, in the order of the labels; empty when the classes have no names.
        examples: images per split, e.g. {"train": 54_000, "validation": 6_000, "test": 10_000}.
    """

    name: str
    image_shape: tuple[int, int, int]
    num_classes: int = 0
    class_names: tuple[str, ...] = ()
    examples: Mapping[str, int] = field(default_factory=dict)

    def __post_init__(self):
        if not isinstance(self.name, str):
            raise UserError(f"the name of a data set must be text. Received: {self.name!r}")
        object.__setattr__(self, "num_classes", int(self.num_classes))
        object.__setattr__(self, "image_shape", tuple(int(n) for n in self.image_shape))
        object.__setattr__(self, "class_names", tuple(str(n) for n in self.class_names))
        object.__setattr__(self, "examples", {str(k): int(n) for k, n in self.examples.items()})
        if len(self.image_shape) != 3 or min(self.image_shape) < 1 or self.image_shape[2] not in (1, 3):
            raise UserError(
                f"image_shape must be (height, width, channels) with 1 or 3 channels. Received: {self.image_shape}"
            )
        if self.class_names and len(self.class_names) != self.num_classes:
            raise UserError(
                f"data set {self.name!r} has num_classes={self.num_classes}, but {len(self.class_names)} class_names: "
                f"{self.class_names}"
            )

    @property
    def num_pixels(self) -> int:
        """Values per image: height x width x channels (the D of bits/dim)."""
        height, width, channels = self.image_shape
        return height * width * channels

    def label(self, name_or_number: str | int) -> int:
        """The label that a user means by a class name or a number.

        Raises:
            UserError: the data has no labels, or no such class.
        """
        if not self.num_classes:
            raise UserError(f"label {name_or_number!r} was asked for, but data set {self.name!r} has no labels")
        if str(name_or_number) in self.class_names:
            return self.class_names.index(str(name_or_number))
        try:
            number = int(name_or_number)
        except ValueError:
            number = -1
        if not 0 <= number < self.num_classes:
            raise UserError(
                f"label {name_or_number!r} is no class of {self.name!r}: give a number from 0 to {self.num_classes - 1}"
                + (f" or a name; {nearest(str(name_or_number), self.class_names)}" if self.class_names else "")
            )
        return number

    def to_json(self) -> dict[str, Any]:
        """A dict of JSON types; `from_json` is its inverse."""
        return dataclasses.asdict(self) | {"image_shape": list(self.image_shape), "class_names": list(self.class_names)}

    @classmethod
    def from_json(cls, values: Mapping[str, Any]) -> "DataSpec":
        return cls(**values)
