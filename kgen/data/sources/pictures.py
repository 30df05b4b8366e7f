"""PictureSource: pictures of any sizes and formats that Pillow reads, wherever their bytes lie, as a Source.

Those of a folder or an archive (`folder`) and of shards (`shards`) say how one is opened and what it is called; headers
are read and pictures decoded here, by many threads at once. Pictures that are broken are left out and named.
"""

import os
import threading
from collections import Counter
from collections.abc import Callable, Mapping
from concurrent.futures import ThreadPoolExecutor
from io import BytesIO
from typing import Any, BinaryIO

import numpy as np

from kgen.data.sources.base import BLOCK, WHITE, Skipped, Source, what_then
from kgen.data.sources.picture import SIXTEEN_BITS, Unreadable, is_plain, read_header, read_pixels, read_values
from kgen.data.sources.remembered import remembered_check, remembered_scan
from kgen.data.value_range import BYTES, SAMPLED_IMAGES, Bounds, Statistics, decide, join, measure
from kgen.errors import ImageLost, UserError
from kgen.io import try_again
from kgen.tables import counted

THREADS = min(16, 4 * (os.cpu_count() or 1))
IMAGES_PER_TASK = 256
READ_AT_ONCE = 16
"""Images of one size that are read in one call, where a few of them may be wanted soon."""


class PictureSource(Source):
    """Pictures that are opened one by one; a class of its own says how: `name_of`, `_open` and `content`.

    Args:
        name, class_names, identity: see Source.
        where: they lie, for messages.
        labels: split -> [N] int32 of its pictures; zeros where there are no classes.
        given: the values of black and white, if the user names them.
    """

    def __init__(
        self,
        name: str,
        where: str,
        labels: Mapping[str, np.ndarray],
        class_names=(),
        identity: tuple = (),
        given: Bounds | None = None,
    ):
        super().__init__(name, {split: len(of_split) for split, of_split in labels.items()}, class_names, identity)
        self._where, self._labels = where, {split: np.asarray(y, np.int32) for split, y in labels.items()}
        self._given = given
        self._narrow = given if given and given[1] <= WHITE and given != BYTES else None
        self._wide = SIXTEEN_BITS
        self.value_range = self._narrow or self.value_range
        self._sizes: Counter = Counter()
        self._lock = threading.Lock()
        self._checked: set[str] = set()

    def name_of(self, split: str, index: int) -> str:
        raise NotImplementedError(f"{type(self).__name__} must define name_of")

    def _open(self, split: str, index: int) -> BinaryIO:
        """A picture, open for reading; many threads call it at once.

        Raises:
            OSError, Unreadable: it is not there, or cannot be read.
        """
        raise NotImplementedError(f"{type(self).__name__} must define _open")

    def labels(self, split: str) -> np.ndarray | None:
        return self._labels[split] if self.num_classes else None

    def scan(self, chosen: Mapping[str, np.ndarray]) -> dict[str, np.ndarray]:
        """Reads every chosen header; those that cannot be read are added to `skipped`."""
        return remembered_scan(
            self, [self._given], chosen, lambda: self._scan(chosen), facts=("_wide",), sizes=self._sizes
        )

    def _scan(self, chosen: Mapping[str, np.ndarray]) -> dict[str, np.ndarray]:
        kept, wide, cut, gray, files, further = {}, {}, False, True, 0, 0
        for split, indices in chosen.items():
            headers = self.headers(split, indices)
            kept[split] = indices[[h is not None for h in headers]]
            headers = [h for h in headers if h is not None]
            wide[split] = kept[split][np.array([h.wide for h in headers], bool)]
            cut = cut or any(h.cut for h in headers)
            self._sizes.update(h.size for h in headers)
            gray = gray and all(h.gray for h in headers)
            several = [h.frames for h in headers if h.frames > 1]
            files += len(several)
            further += sum(several) - len(several)
        self.size = next(iter(self._sizes)) if len(self._sizes) == 1 else None
        self.channels = 1 if gray else 3
        if further:
            self.findings.append(
                f"{counted(files, 'file holds', 'files hold')} "
                f"{counted(further, 'further page or frame', 'further pages or frames')}, not read: the first of each "
                "file is the image; save the others as single files to use them"
            )
        lost = self._decide_range(kept, wide, cut)
        return {split: indices[~np.isin(indices, lost[split])] for split, indices in kept.items()} if lost else kept

    def _decide_range(self, kept: Mapping[str, np.ndarray], wide: Mapping[str, np.ndarray], cut: bool) -> dict:
        """Finds the values of black and white by the pictures of more than 8 bits; others are 0 to 255, or as given.

        Args:
            kept: split -> indices of all pictures.
            wide: split -> those of more than 8 bits.
            cut: whether the lower bits of some of these are lost.

        Returns:
            Split -> the indices that cannot be read.
        """
        where, total, count = self._where, sum(map(len, kept.values())), sum(map(len, wide.values()))
        if self._narrow is not None and count < total:
            step = max(1, total // SAMPLED_IMAGES)
            found, _ = self._measure({split: np.setdiff1d(kept[split], wide[split])[::step] for split in kept}, where)
            if found:
                bounds = decide(found, where, self._given)
                self.notes, self.findings = [*self.notes, *bounds.notes], [*self.findings, *bounds.findings]
        if not count:
            if self._given and self._given[1] > WHITE:
                raise UserError(
                    f"data.value_range is {self._given}, but all {total} pictures of {where} have 8 bits: their white "
                    f"is at most {WHITE}"
                )
            return {}
        found, lost = self._measure(wide, where)
        if not found:
            return lost
        bounds = decide(found, where, self._given)
        if cut and bounds.high < SIXTEEN_BITS[1]:
            raise UserError(
                f"{where} holds TIFF pictures of 16 bits in colour, of which only the upper 8 bits can be read, and "
                "their values use the lower ones; convert them to PNG"
            )
        self.value_range = self._wide = bounds.bounds
        self.notes, self.findings = [*self.notes, *bounds.notes], [*self.findings, *bounds.findings]
        if count < total:
            self.notes.append(
                f"{count} of {total} pictures have more than 8 bits; in the others, 0 is black and {WHITE} is white"
            )
        return lost

    def _measure(self, chosen: Mapping[str, np.ndarray], where: str) -> tuple[dict[str, Statistics], dict]:
        """(split -> the statistics of its pictures, split -> the indices that cannot be read)."""
        found, lost = {}, {}
        for split, indices in chosen.items():
            parts = self._each(split, indices, lambda file: measure(read_values(file)[None], where, self._given))
            lost[split] = indices[[part is None for part in parts]]
            if good := [part for part in parts if part is not None]:
                found[split] = join(good)
        return found, lost

    def check(self, split: str, indices: np.ndarray) -> np.ndarray:
        """Decodes every image once and adds those that fail to `skipped`; one that fails later raises ImageLost."""

        def check() -> np.ndarray:
            good = map_in_threads(lambda index: bool(self._read(split, index)[1]), indices, f"{self.name}: checking")
            return indices[np.array(good, bool)]

        left = remembered_check(self, [self.size, self.channels, self._narrow, self._wide], split, indices, check)
        self._checked.add(split)
        return left

    @property
    def sizes(self) -> Counter:
        """(height, width) -> how many images have it; known after `scan`."""
        return self._sizes

    def headers(self, split: str, indices: np.ndarray) -> list:
        """The header of each image; None where it cannot be read."""
        return self._each(split, indices, read_header)

    def describe_sizes(self) -> str:
        shown = [f"{h}x{w} ({count})" for (h, w), count in self._sizes.most_common(5)]
        more = f" and {len(self._sizes) - 5} more" if len(self._sizes) > 5 else ""
        return f"{len(self._sizes)} different sizes, height x width: {', '.join(shown)}{more}"

    def records(self, split: str, indices: Any):
        if self.size is not None:
            return self._blocks(split, indices, READ_AT_ONCE).unbatch()
        import tensorflow as tf

        with tf.device("CPU:0"):
            labels = tf.constant(self._labels[split])

        def read(index):
            pixels, good = tf.numpy_function(
                lambda i: self._read(split, int(i)), [index], (tf.uint8, tf.bool), stateful=False
            )
            return index, tf.ensure_shape(pixels, (None, None, self.channels)), tf.gather(labels, index), good

        records = self._numbers(split, indices).map(read, num_parallel_calls=THREADS, deterministic=True)

        def is_good(index, pixels, label, good):
            return good

        def without_flag(index, pixels, label, good):
            return index, pixels, label

        return records.filter(is_good).map(without_flag)

    def blocks(self, split: str, indices: np.ndarray):
        return self._blocks(split, indices, BLOCK)

    def _blocks(self, split: str, indices: Any, at_once: int):
        """What `blocks` returns, of so many images; several in one call from the graph, which costs as much as one."""
        import tensorflow as tf

        with tf.device("CPU:0"):
            labels = tf.constant(self._labels[split])

        def read_all(numbers):
            pairs = [self._read(split, int(i)) for i in numbers]
            return np.stack([pixels for pixels, _ in pairs]), np.array([good for _, good in pairs], bool)

        def read(numbers):
            pixels, good = tf.numpy_function(read_all, [numbers], (tf.uint8, tf.bool), stateful=False)
            pixels, good = tf.ensure_shape(pixels, (None, *self.size, self.channels)), tf.ensure_shape(good, (None,))
            return tuple(tf.boolean_mask(x, good) for x in (numbers, pixels, tf.gather(labels, numbers)))

        numbers = self._numbers(split, indices).batch(at_once)
        return numbers.map(read, num_parallel_calls=THREADS, deterministic=True)

    def _numbers(self, split: str, indices: Any):
        """A `tf.data.Dataset` of the single indices int64, in the order in which they are read."""
        import tensorflow as tf

        return tf.data.Dataset.from_tensor_slices(tf.cast(indices, tf.int64))

    def encoded(self, split: str, index: int) -> bytes | None:
        """A picture as a PNG or JPEG file in which every program sees the pixels that kgen reads.

        Its own file where that is one, else a PNG; None where it cannot be read, which is added to `skipped`.
        """
        from PIL import Image

        pixels, good = self._read(split, index)
        if not good:
            return None
        with self._open(split, index) as file:
            if self._narrow is None and is_plain(file):
                file.seek(0)
                return file.read()
        png = BytesIO()
        Image.fromarray(pixels[..., 0] if pixels.shape[2] == 1 else pixels).save(png, "PNG")
        return png.getvalue()

    def _read(self, split: str, index: int) -> tuple[np.ndarray, np.bool_]:

        def read() -> np.ndarray:
            with self._open(split, index) as file:
                return read_pixels(file, self.channels == 1, self._narrow, self._wide)

        try:
            pixels = try_again(read)
            if self.size is not None and pixels.shape[:2] != self.size:
                raise Unreadable(f"is {pixels.shape[0]}x{pixels.shape[1]}, not {self.size[0]}x{self.size[1]}")
            return pixels, np.bool_(True)
        except (Unreadable, OSError, UserError) as error:
            if split in self._checked:
                raise ImageLost(
                    f"image {self.name_of(split, index)} of {self._where} could be read when the data set was opened, "
                    f"and cannot be read any more: {error}{what_then(error)}"
                ) from error
            if isinstance(error, UserError):  # of the file that the image is in: no reason to leave the image out
                raise ImageLost(str(error)) from error
            self._skip(self.name_of(split, index), error)
            return np.zeros((*(self.size or (1, 1)), self.channels), np.uint8), np.bool_(False)

    def _each(self, split: str, indices: np.ndarray, function) -> list:
        """`function` of every open file, by many threads; None where it failed. Equal results are one object."""
        known = {}

        def apply(index):
            def read():
                with self._open(split, index) as file:
                    return function(file)

            try:
                result = try_again(read)
                return known.setdefault(result, result)
            except (Unreadable, OSError) as error:
                self._skip(self.name_of(split, index), error)
                return None

        return map_in_threads(apply, indices, f"{self.name}: headers")

    def _skip(self, name: str, error: Exception) -> None:
        with self._lock:
            if all(s.name != name for s in self.skipped):
                self.skipped.append(Skipped(name, getattr(error, "strerror", None) or str(error)))


def map_in_threads(function: Callable, indices: np.ndarray, what: str | None = None) -> list:
    """`function` of every index; a task takes many, since a million futures would take a gigabyte.

    Args:
        function: is called by many threads at once.
        indices: [n].
        what: is done, for a line that shows how far it is; None for none.
    """
    from tqdm import tqdm

    parts, results = np.split(indices, range(IMAGES_PER_TASK, len(indices), IMAGES_PER_TASK)), []
    shown = {"unit": "img", "delay": 2, "leave": False, "disable": None if what else True}
    with tqdm(total=len(indices), desc=what, **shown) as bar, ThreadPoolExecutor(THREADS) as pool:
        for part in pool.map(lambda part: [function(index) for index in part.tolist()], parts):
            results += part
            bar.update(len(part))
    return results
