"""Parts of shards that are kept in memory for a while: an epoch goes through them in windows (`kgen.data.order`).

A part is a group of rows of a Parquet file, or a run of pictures or records of a shard at an address. Those of two
windows are kept, so that an epoch reads each of them once. Of shards at an address the parts that an epoch wants next
are asked for ahead, by threads of their own, while others are used.
"""

import atexit
import gc
import queue
import threading
import time
from collections import OrderedDict
from collections.abc import Callable, Sequence
from typing import Any, Protocol

import numpy as np

WINDOW_IMAGES, WINDOW_BYTES = 16_384, 2**28
"""Of the pictures that an epoch mixes, at most, and of their files; two windows are kept."""
LEAST_PARTS = 4
"""Parts that are kept in any case, whatever their size: sizes are taken to be the mean, and a part is never cut."""
AHEAD = 0.5
"""Of a window that is asked for before it is used."""
LEAST_ROOM, MOST_ROOM = 2.25, 3
"""Windows that are kept of what is asked for ahead: the one in use and the next one, and what is cut between streams of
`kgen.data.order`; more where they take no more than two windows of WINDOW_BYTES."""
FETCHERS = 16
"""Threads that ask for parts; they wait for a store and need no processor."""
ASKED_AT_ONCE = 16
"""Images whose parts are asked for in one call from the graph."""
LOOK_SECONDS = 0.5
"""After which a thread that waits for a lock looks whether its holder collects garbage."""
END_SECONDS = 5.0
"""That the end of the process waits for what is being read."""


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
        self._kept, self._lock, self._room = OrderedDict(), _Lock(), LEAST_PARTS
        self._of_thread = threading.local()
        self._ahead, self._images_ahead = ahead, 0
        if _Lock.watch not in gc.callbacks:
            gc.callbacks.append(_Lock.watch)
        if ahead:
            fetcher.start()

    def make_room(self, shards: Sequence[PartedShard], window: int | None = None, run: int | None = None) -> int:
        """How many runs an epoch mixes, its window, so that two of them fit into the memory; keeps their parts.

        The mean size of a run decides. One run is the least window, and LEAST_PARTS parts are kept in any case.

        Args:
            shards: that hold the parts.
            window: how many they are; None for as many as WINDOW_IMAGES and WINDOW_BYTES allow.
            run: rows of a run, whose parts lie in one or more shards; None where each part is a run.
        """
        parts, rows = sum(len(shard.ends) for shard in shards), sum(map(len, shards))
        runs = -(-rows // run) if run else parts
        pictures, size = rows / runs, max(1, sum(shard.size for shard in shards)) / runs
        most = WINDOW_BYTES / size
        window = max(1, int(min(WINDOW_IMAGES / pictures if window is None else window, most)))
        windows = min(MOST_ROOM, max(LEAST_ROOM, 2 * most / window)) if self._ahead else 2
        self._room = max(LEAST_PARTS, int(windows * window * parts / runs))
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
        if not self._lock.acquire():
            place = _Place()
            place.is_dropped = True
            return place
        try:
            place = self._kept.get(key)
            if place is None:
                place = self._kept[key] = _Place()
            elif moves:
                self._kept.move_to_end(key)
            while len(self._kept) > self._room:
                self._kept.popitem(last=False)[1].is_dropped = True
            return place
        finally:
            self._lock.release()


class _Lock:
    """A lock that is not waited for while its holder collects garbage.

    What the collector finds may be an iterator of TensorFlow. Its end waits for the calls from its graph, and these
    wait for locks of parts: if the collector runs in the thread that holds one, none of the three would go on.
    """

    _collecting: int | None = None
    """The thread that collects garbage, if one does."""

    def __init__(self):
        self._lock, self._holder = threading.Lock(), None

    def acquire(self) -> bool:
        """Whether it is held now; False where one would wait for a collector of garbage."""
        while not self._lock.acquire(timeout=LOOK_SECONDS):
            if self._holder is not None and self._holder == _Lock._collecting:
                return False
        self._holder = threading.get_ident()
        return True

    def release(self) -> None:
        self._holder = None
        self._lock.release()

    @staticmethod
    def watch(phase: str, details: dict) -> None:
        """Is called by the collector of garbage, in its thread, when it starts and stops."""
        _Lock._collecting = threading.get_ident() if phase == "start" else None


class _Place:
    """A part, read when it is asked for the first time."""

    def __init__(self):
        self._lock, self._content, self.is_asked, self.is_dropped = _Lock(), None, False, False

    def get(self, shard: PartedShard, part: int, *, quietly: bool = False):
        """The part. `quietly`: it is not read where nobody keeps it any more, and a failure is not raised."""
        if not self._lock.acquire():  # of this part: others are read at the same time
            return None if quietly else shard.read_part(part)
        try:
            if self._content is None and not (quietly and self.is_dropped):
                try:
                    self._content = shard.read_part(part)
                except Exception:
                    if not quietly:
                        raise
            return self._content
        finally:
            self._lock.release()


class Fetcher:
    """Threads that do what they are given in its order.

    When the process ends, they end what they are doing, for END_SECONDS at most, and leave the rest.
    """

    def __init__(self):
        self._todo, self._threads, self._is_ending = queue.SimpleQueue(), [], False

    def start(self) -> None:
        """Starts the threads, if they do not run."""
        if not self._threads:
            self._threads = [
                threading.Thread(target=self._work, name="kgen-fetcher", daemon=True) for _ in range(FETCHERS)
            ]
            for thread in self._threads:
                thread.start()
            atexit.register(self._end)

    def put(self, task: Callable[[], object]) -> None:
        self._todo.put(task)

    def _work(self) -> None:
        while not self._is_ending:
            self._todo.get()()

    def _end(self) -> None:
        """A thread that the interpreter ends within C++ code would abort the process."""
        self._is_ending, until = True, time.monotonic() + END_SECONDS
        for _ in self._threads:
            self.put(lambda: None)  # wakes those that wait
        for thread in self._threads:
            thread.join(max(0.0, until - time.monotonic()))


fetcher = Fetcher()
"""Those of the process."""
