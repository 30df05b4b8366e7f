"""Joins requests that wait at the same time into one call, and splits its outputs."""

import asyncio
import time
from collections import deque
from collections.abc import Awaitable, Callable, Iterable, Mapping
from dataclasses import dataclass, field

import numpy as np

Arrays = Mapping[str, np.ndarray]


@dataclass
class Item:
    """A request in the queue.

    Args:
        inputs: by name, each [rows, ...].
        rows: the first dimension of each of its inputs.
    """

    inputs: Arrays
    rows: int
    arrived: float = field(default_factory=time.perf_counter)
    answer: asyncio.Future = field(default_factory=lambda: asyncio.get_running_loop().create_future())

    def joins(self, other: "Item") -> bool:
        """Whether the two can be concatenated."""
        return all(values.shape[1:] == other.inputs[name].shape[1:] for name, values in self.inputs.items())


class Batcher:
    """The queue of one signature of one version.

    Requests gather while a call runs; when none runs, a request is started at once. After a call, the next one waits up
    to `wait_seconds` for new requests of the same clients, so that they share a call with those that wait already.

    Every other call begins with the smallest request that waits, the others with the oldest: a small one waits for no
    more than one large one that came before it, and a large one for its turn.

    Args:
        call: runs the signature.
        max_rows: of a call; a larger request runs alone.
        wait_seconds: the longest that a request is held back for others.
        on_call: called with the rows of each call.
        on_queue: called with the change of the number of rows in the queue.
        on_wait: called with the seconds that each request was in the queue.
    """

    def __init__(
        self,
        call: Callable[[Arrays], Awaitable[dict[str, np.ndarray]]],
        *,
        max_rows: int,
        wait_seconds: float,
        on_call: Callable[[int], None] = lambda rows: None,
        on_queue: Callable[[int], None] = lambda rows: None,
        on_wait: Callable[[float], None] = lambda seconds: None,
    ):
        self._call, self._max_rows, self._wait_seconds = call, max_rows, wait_seconds
        self._on_call, self._on_queue, self._on_wait = on_call, on_queue, on_wait
        self._waiting: deque[Item] = deque()
        self._smallest_first = False
        self._arrived = asyncio.Event()
        self._worker: asyncio.Task | None = None

    async def submit(self, inputs: Arrays, rows: int) -> dict[str, np.ndarray]:
        """The outputs for one request, by name; cancelling it takes it out of the queue."""
        item = Item(inputs, rows)
        self._waiting.append(item)
        self._on_queue(rows)
        self._arrived.set()
        if self._worker is None:
            self._worker = asyncio.create_task(self._work())
        return await item.answer

    async def _work(self):
        try:
            while self._waiting:
                batch = self._take()
                if batch:
                    await self._run(batch)
                    if self._waiting:
                        await self._gather(self._rows_waiting() + sum(item.rows for item in batch))
        finally:
            self._worker = None

    def _rows_waiting(self) -> int:
        return sum(item.rows for item in self._waiting)

    async def _gather(self, rows: int):
        """Returns when so many rows wait, or as many as a call may have, or after `wait_seconds`."""
        rows = min(rows, self._max_rows)
        try:
            async with asyncio.timeout(self._wait_seconds):
                while self._rows_waiting() < rows:
                    self._arrived.clear()
                    await self._arrived.wait()
        except TimeoutError:
            pass

    def _take(self) -> list[Item]:
        """The request whose turn it is, and those that fit with it; the others stay in their order."""
        batch, rows, left, now = [], 0, deque(), time.perf_counter()
        for item in self._in_turn():
            if item.answer.done():  # cancelled
                self._on_queue(-item.rows)
            elif not batch or (rows + item.rows <= self._max_rows and item.joins(batch[0])):
                batch.append(item)
                rows += item.rows
                self._on_queue(-item.rows)
                self._on_wait(now - item.arrived)
            else:
                left.append(item)
        if left:
            self._smallest_first = not self._smallest_first
            left = deque(sorted(left, key=lambda item: item.arrived))
        self._waiting = left
        return batch

    def _in_turn(self) -> Iterable[Item]:
        if not self._smallest_first:
            return self._waiting
        return sorted(self._waiting, key=lambda item: item.rows)

    async def _run(self, batch: list[Item]):
        try:
            answers = await self._answers(batch)
        except Exception as error:
            if len(batch) > 1:  # one bad request must not fail its neighbours
                for item in batch:
                    await self._run([item])
            elif not batch[0].answer.done():
                batch[0].answer.set_exception(error)
            return
        for item, outputs in zip(batch, answers, strict=True):
            if not item.answer.done():
                item.answer.set_result(outputs)

    async def _answers(self, batch: list[Item]) -> list[dict[str, np.ndarray]]:
        rows = [item.rows for item in batch]
        self._on_call(sum(rows))
        if len(batch) == 1:
            return [await self._call(batch[0].inputs)]
        names = batch[0].inputs
        outputs = await self._call({name: np.concatenate([item.inputs[name] for item in batch]) for name in names})
        if any(not values.ndim or len(values) != sum(rows) for values in outputs.values()):
            raise ValueError("an output is not batch-major")
        ends = np.cumsum(rows)[:-1]
        parts = {name: np.split(values, ends) for name, values in outputs.items()}
        return [{name: parts[name][position] for name in parts} for position in range(len(batch))]
