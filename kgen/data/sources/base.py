"""Source: the one interface that every kind of data set offers to the pipeline (step 1).

A kind of data set is one module of `kgen.data.sources` with one `open_*` function, which returns a Source; `resolve`
chooses the module by what `--dataset` names. A Source lists its images before it decodes any: it counts them, names
their classes, and reads the ones that it is asked for by index.
"""

import re
import unicodedata
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from kgen import images, random
from kgen.cache import digest
from kgen.data.sources.remote_path import RemotePath
from kgen.errors import image_lost
from kgen.file_systems import FileChanged
from kgen.spec import WHOLE_NUMBER

BLOCK = 256  # images read at once
WHITE = int(images.to_uint8(np.float32(1)))


@dataclass(frozen=True)
class Skipped:
    """An image that is left out: its name within the data set, and why."""

    name: str
    reason: str


class Source:
    """Images as they lie in files: of any size, undecoded until asked for.

    Attributes:
        name: a slug, fit for a directory name.
        counts: images per split as stored, e.g. {"train": 1437, "test": 360}.
        class_names: one per class, in the order of the labels.
        identity: JSON values that change whenever the stored images do (path, size, time of change).
        window: how many of `parts` are mixed.
        is_remote: whether the images are read from an address each time.
        default_size: (height, width) that the images are brought to when no size is asked for; None keeps theirs.
        size: (height, width) of every image, or None when they differ. Known after `scan`.
        channels: 1 (gray), 2 (gray, alpha), 3 (RGB) or 4 (RGBA). Known after `scan`.
        value_range: the values of black and white in the files.
        notes: sentences for the log: how the data were understood.
        findings: sentences for the log that are findings of kgen-data too: what was left unread, and what is ambiguous.
        unread: those of the findings that `DataConfig.strict` refuses: files that look like images of the set.
        skipped: images left out.
    """

    window = 1
    is_remote = False
    default_size: tuple[int, int] | None = None
    size: tuple[int, int] | None = None
    channels: int = 1
    value_range: tuple[float, float] = (0.0, float(WHITE))

    def __init__(self, name: str, counts: Mapping[str, int], class_names=(), identity: tuple = ()):
        self.name = slug(name)
        self.counts = dict(counts)
        self.class_names = tuple(map(str, class_names))
        self.identity = identity
        self.notes: list[str] = []
        self.findings: list[str] = []
        self.unread: list[str] = []
        self.skipped: list[Skipped] = []

    @property
    def num_classes(self) -> int:
        return len(self.class_names)

    def order(self, split: str) -> np.ndarray:
        """Every index of a stored split in the order in which it is kept and evaluated, [N] int64."""
        return np.arange(self.counts[split])

    def labels(self, split: str) -> np.ndarray | None:
        """The label of every image of a stored split, [N] int32; None for unlabelled data or where that is not known.

        A negative label is that of an image without one, which is left out.
        """
        return None

    def parts(self, split: str, indices: np.ndarray) -> np.ndarray | None:
        """The number of the part of the files in which each image is, [n]; None where all orders are as quick.

        An image of a part is quick to read after others of it. Where there are parts, training reads them in an order
        of `kgen.data.order`.
        """
        return None

    def choose(self, split: str, candidates: np.ndarray, limit: int, seed: int) -> np.ndarray:
        """At most `limit` of `candidates`, a seeded random choice in the order of `candidates`."""
        if len(candidates) <= limit:
            return candidates
        chosen = random.generator(seed, "limit", split).choice(len(candidates), limit, replace=False)
        return candidates[np.sort(chosen)]

    def scan(self, chosen: Mapping[str, np.ndarray]) -> dict[str, np.ndarray]:
        """Finds `size` and `channels` of the chosen images; returns those whose header can be read."""
        return dict(chosen)

    def check(self, split: str, indices: np.ndarray) -> np.ndarray:
        """The indices whose image can be decoded and labelled; reads every one of them where that is in doubt."""
        return indices

    def describe_sizes(self) -> str:
        """The sizes that the images have, in words, when they differ."""
        return "sizes that differ"

    def name_of(self, split: str, index: int) -> str:
        """What a report calls one image."""
        return f"image {index} of {split}"

    def names_digest(self, split: str, indices: np.ndarray) -> str:
        """16 hex digits that change when one of the images [n] is another one, by what `name_of` calls them."""
        return digest("\n".join(self.name_of(split, int(i)) for i in indices))

    def records(self, split: str, indices: Any):
        """A `tf.data.Dataset` of (index int64, image [h, w, channels] uint8, label int32).

        Args:
            split: a stored split.
            indices: [n] int64, an array or a tensor, in any order. Images that fail are left out.
        """
        raise NotImplementedError(f"{type(self).__name__} must define records")

    def blocks(self, split: str, indices: np.ndarray):
        """What `records` yields, many at once: (indices [b], images [b, h, w, channels], labels [b]); needs `size`."""
        return self.records(split, indices).batch(BLOCK)

    def explain(self, split: str, error: BaseException) -> BaseException:
        """What is raised for an error while `records` or `blocks` were read: one that names the file, or the error."""
        return image_lost(error) or error

    def content(self) -> Any:
        """JSON values that stand for the images and labels: the same for a copy elsewhere, and for a touched file."""
        return list(self.identity)

    def release(self, split: str) -> None:
        """Lets go of images in memory: those of a stored split are kept elsewhere now, and not read from here again."""


def order_class_names(names: Iterable[str]) -> tuple[str, ...]:
    """The names of classes in the order of their labels, each once: by value where all are whole numbers, else sorted.

    "0", "1", ... "10" stand in this order, so that class 2 is that of the folder 2.
    """
    distinct = set(names)
    if all(WHOLE_NUMBER.fullmatch(name) for name in distinct):
        return tuple(sorted(distinct, key=lambda name: (int(name), name)))
    return tuple(sorted(distinct))


def file_identity(path: Path | RemotePath) -> tuple:
    """JSON values that change when a file does: path, size and time of change; of one at an address what it says."""
    if isinstance(path, RemotePath):
        return path.identity
    status = path.stat()
    return (str(path.resolve()), status.st_size, status.st_mtime_ns)


def size_of(path: Path | RemotePath) -> int:
    """The bytes of a file."""
    return path.size if isinstance(path, RemotePath) else path.stat().st_size


def what_then(error: Exception) -> str:
    """What follows an error about an image that is lost; one about a file that changed says itself what to do."""
    return "" if isinstance(error, FileChanged) else ". Restore the file and resume the run"


def slug(text: str) -> str:
    """`text` as a directory's name: lower-case letters without accents, digits and single hyphens."""
    plain = unicodedata.normalize("NFKD", text.lower()).encode("ascii", "ignore").decode()
    return re.sub(r"[^a-z0-9]+", "-", plain).strip("-") or "data"
