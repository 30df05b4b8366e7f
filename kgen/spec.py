"""DataSpec: what a data set is. Models are sized from it; it knows no TensorFlow."""

import dataclasses
import re
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from itertools import count
from typing import Any

from kgen.errors import UserError
from kgen.registry import nearest
from kgen.tables import counted

WHOLE_NUMBER = re.compile(r"-?[0-9]{1,1000}")
LARGEST_NUMBER = 2**31 - 1
MIN_VALIDATION_IMAGES = 64
"""Fewer images than these say little about a training; samples are then compared with training images."""
LISTED = 20
"""Class numbers and names in a message."""
SHORT_LIST = 6
"""Names of classes in one line."""


@dataclass(frozen=True)
class DataSpec:
    """The properties of a data set that models are built from.

    Attributes:
        name: of the data set, as a run directory shows it, e.g. "digits".
        image_shape: (height, width, channels), pixels; channels is 1 or 3.
        num_classes: 0 for unlabelled data.
        class_names: one per class, in the order of the labels; empty when the classes have no names.
        class_numbers: the number that means a class wherever a user or a client gives one; see `class_numbers`.
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
    def monitor_split(self) -> str:
        """The split whose images samples are compared with during a training."""
        return "validation" if self.examples.get("validation", 0) >= MIN_VALIDATION_IMAGES else "train"

    def __str__(self) -> str:
        """One line for people: name, images per split, shape and classes; of many classes the first and the last."""
        names = [self.class_name(label) for label in range(self.num_classes)]
        if len(names) > SHORT_LIST:
            names[SHORT_LIST // 2 : -1] = ["…"]
        classes = f"{counted(self.num_classes, 'class')} ({', '.join(names)})" if names else "no classes"
        splits = ", ".join(f"{number:,} {split}" for split, number in self.examples.items())
        return f"{self.name}: {splits + ' ' if splits else ''}images of {self.shape_text}, {classes}"

    @property
    def shape_text(self) -> str:
        """The shape of an image as people write it: 28x28x1."""
        return "x".join(map(str, self.image_shape))

    @property
    def num_pixels(self) -> int:
        """Values per image: height x width x channels (the D of bits/dim)."""
        height, width, channels = self.image_shape
        return height * width * channels

    @cached_property
    def class_numbers(self) -> tuple[int, ...]:
        """The number of each class at every interface: flags, exports, servers and pages; see `class_numbers`.

        Labels in the data, in models, metrics and samplers are positions: 0 to num_classes - 1.
        """
        return class_numbers(self.class_names) if self.class_names else tuple(range(self.num_classes))

    def class_name(self, label: int) -> str:
        """The name of the class at a position; its number where the classes have no names."""
        return self.class_names[label] if self.class_names else str(int(label))

    def numbers(self, labels: Sequence[int]):
        """Labels [N] as a client gives them, [N] int32: the class numbers; the labels where the classes are unknown.

        Raises:
            UserError: a label is no position of a class.
        """
        return numbers_at(labels, self.class_numbers)

    def label(self, name_or_number: str | int) -> int:
        """The label (the position) of the class that a user means by its name, or else by its number.

        Raises:
            UserError: the data has no labels, or no such class.
        """
        if not self.num_classes:
            raise UserError(f"label {name_or_number!r} was asked for, but data set {self.name!r} has no labels")
        text = str(name_or_number)
        if text in self.class_names:
            return self.class_names.index(text)
        if WHOLE_NUMBER.fullmatch(text) and int(text) in self.class_numbers:
            return self.class_numbers.index(int(text))
        named = self.class_names != tuple(map(str, self.class_numbers))
        raise UserError(
            f"label {name_or_number!r} is no class of {self.name!r}: give {number_list(self.class_numbers)}"
            + (f" or a name; {nearest(text, self.class_names)}" if self.class_names and named else "")
        )

    def to_json(self) -> dict[str, Any]:
        """A dict of JSON types; `from_json` is its inverse."""
        return dataclasses.asdict(self) | {"image_shape": list(self.image_shape), "class_names": list(self.class_names)}

    @classmethod
    def from_json(cls, values: Mapping[str, Any]) -> "DataSpec":
        return cls(**values)


def class_numbers(names: Sequence[str]) -> tuple[int, ...]:
    """The number of each class: the one that is its name, else the least that is free, in the order of the classes.

    Names that are words give 0 to K - 1; names "1" to "10" give 1 to 10. Of names for the same number ("01" and "1"),
    the one without zeros in front has it. A number beyond 32 bits is a word.
    """
    whole = [int(name) if WHOLE_NUMBER.fullmatch(name) else LARGEST_NUMBER + 1 for name in names]
    times = Counter(whole)
    own = [
        abs(number) <= LARGEST_NUMBER and (times[number] == 1 or name == str(number))
        for name, number in zip(names, whole, strict=True)
    ]
    taken = {number for number, is_own in zip(whole, own, strict=True) if is_own}
    free = (number for number in count() if number not in taken)
    return tuple(number if is_own else next(free) for number, is_own in zip(whole, own, strict=True))


def numbers_at(labels: Sequence[int], numbers: Sequence[int]):
    """The class numbers [N] int32 at positions [N]; the positions themselves where there are no numbers.

    Raises:
        UserError: a position is not below the number of classes.
    """
    import numpy as np

    labels = np.asarray(labels, np.int32)
    if not numbers:
        return labels
    if labels.size and not 0 <= labels.min() <= labels.max() < len(numbers):
        raise UserError(f"labels are positions of classes, 0 to {len(numbers) - 1}. Received: {labels}")
    return np.asarray(numbers, np.int32)[labels]


def number_list(numbers: Sequence[int]) -> str:
    """Class numbers for a message: "a number from 0 to 9", "one of the numbers 3, 5, 10"."""
    ordered = sorted(numbers)
    if ordered == list(range(ordered[0], ordered[-1] + 1)):
        return f"a number from {ordered[0]} to {ordered[-1]}"
    more = f", … ({len(ordered)} in all)" if len(ordered) > LISTED else ""
    return f"one of the numbers {', '.join(map(str, ordered[:LISTED]))}{more}"
