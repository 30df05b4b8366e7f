"""Parts of shards that are kept in memory for a while: an epoch goes through them in windows (`kgen.data.order`).

A part is a group of rows of a Parquet file, or a run of pictures or records of a shard at an address. Those of two
windows are kept, so that an epoch reads each of them once. Of shards at an address the parts that an epoch wants next
are asked for ahead, by threads of their own, while others are used.
"""

import queue
import threading
from collections import OrderedDict
from collections.abc import Callable, Sequence
from typing import Any, Protocol

import numpy as np

WINDOW_IMAGES, WINDOW_BYTES = 16_384, 2**28
"""Of the pictures that an epoch mixes, at most, and of their files; two windows are kept."""
LEAST_PARTS = 4
"""Parts that are kept in any case."""
AHEAD = 0.5
"""Of a window that is asked for before it is used."""
LEAST_ROOM, MOST_ROOM = 2.25, 3
"""Windows that are kept of what is asked for ahead: the one in use and the next one, and what is cut between streams of
`kgen.data.order`; more where they take no more than two windows of WINDOW_BYTES."""
FETCHERS = 16
"""Threads that ask for parts; they wait for a store and need no processor."""
ASKED_AT_ONCE = 16
"""Images whose parts are asked for in one call from the graph."""


class PartedShard(Protocol):
    """A shard that is read by parts.

    Attributes:
        path: of the file.
        ends: [parts] int64, rows up to the end of each part.
        size: bytes of the file.
    """

    path: Any
    ends: np.ndarray
    size: int

    def __len__(self) -> int:
        """Rows in it."""

    def read_part(self, part: int) -> Any:
        """What is kept of a part; many threads call it at once, also for one part where it failed before."""


class KeptParts:
    """The parts of shards that were read last; many threads may ask at once.

    Args:
        ahead: whether they are asked for ahead of their use.
    """

    def __init__(self, *, ahead: bool = False):
        self._kept, self._lock, self._room = OrderedDict(), threading.Lock(), LEAST_PARTS
        self._of_thread = threading.local()
        self._ahead, self._images_ahead = ahead, 0

    def make_room(self, shards: Sequence[PartedShard], window: int | None = None) -> int:
        """How many parts an epoch mixes, its window, so that two of them fit into the memory; keeps so many parts.

        Args:
            shards: that hold the parts.
            window: how many they are; None for as many as WINDOW_IMAGES and WINDOW_BYTES allow.
        """
        parts = sum(len(shard.ends) for shard in shards)
        pictures, size = sum(map(len, shards)) / parts, max(1, sum(shard.size for shard in shards)) / parts
        most = WINDOW_BYTES / size
        window = max(1, int(min(WINDOW_IMAGES / pictures if window is None else window, most)))
        windows = min(MOST_ROOM, max(LEAST_ROOM, 2 * most / window)) if self._ahead else 2
        self._room = max(LEAST_PARTS, int(windows * window))
        self._images_ahead = int(AHEAD * window * pictures)
        return window

    def get(self, shard: PartedShard, part: int):
        """What `shard.read_part` returns; a thread keeps the one it asked for last."""
        key = (shard.path, part)
        last, content = getattr(self._of_thread, "last", (None, None))
        if last == key:
            return content
        content = self._place(key, moves=not self._ahead).get(shard, part)
        self._of_thread.last = key, content
        return content

    def ask_ahead(self, shard: PartedShard, part: int) -> None:
        """Has a part read by another thread, unless it is there; a failure is seen by whoever wants it."""
        place = self._place((shard.path, part), moves=True)
        if not place.is_asked:
            place.is_asked = True
            fetcher.put(lambda: place.get(shard, part, quietly=True))

    def asked_ahead(self, numbers, find: Callable[[int], tuple[PartedShard, int]]):
        """A `tf.data.Dataset` of the same numbers int64, of which the parts are asked for ahead of their use.

        Args:
            numbers: a data set of single ones, in the order of their use.
            find: number -> (its shard, its part there).
        """
        import tensorflow as tf

        def ask(some):
            for shard, part in dict.fromkeys(map(find, some.tolist())):
                self.ask_ahead(shard, part)
            return some

        def asked(some):
            return tf.ensure_shape(tf.numpy_function(ask, [some], tf.int64), (None,))

        return numbers.batch(ASKED_AT_ONCE).map(asked).prefetch(max(1, self._images_ahead // ASKED_AT_ONCE)).unbatch()

    def _place(self, key, *, moves: bool) -> "_Place":
        """Where a part is kept; one that `moves` is dropped last.

        Of parts that are asked for ahead the order of asking counts: those of the last window go before those of the
        next one, which are not used yet.
        """
        with self._lock:
            place = self._kept.get(key)
            if place is None:
                place = self._kept[key] = _Place()
            elif moves:
                self._kept.move_to_end(key)
            while len(self._kept) > self._room:
                self._kept.popitem(last=False)[1].is_dropped = True
            return place


class _Place:
    """A part, read when it is asked for the first time."""

    def __init__(self):
        self._lock, self._content, self.is_asked, self.is_dropped = threading.Lock(), None, False, False

    def get(self, shard: PartedShard, part: int, *, quietly: bool = False):
        """The part. `quietly`: it is not read where nobody keeps it any more, and a failure is not raised."""
        with self._lock:  # of this part: others are read at the same time
            if self._content is None and not (quietly and self.is_dropped):
                try:
                    self._content = shard.read_part(part)
                except Exception:
                    if not quietly:
                        raise
            return self._content


class Fetcher:
    """Threads that do what they are given in its order; they do not keep the process from ending."""

    def __init__(self):
        self._todo, self._threads, self._lock = queue.SimpleQueue(), [], threading.Lock()

    def put(self, task: Callable[[], object]) -> None:
        with self._lock:
            if len(self._threads) < FETCHERS:
                self._threads.append(threading.Thread(target=self._work, name="kgen-fetcher", daemon=True))
                self._threads[-1].start()
        self._todo.put(task)

    def _work(self) -> None:
        while True:
            self._todo.get()()


fetcher = Fetcher()
"""Those of the process."""
