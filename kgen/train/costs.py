"""What a training spends its time on: the steps, and each duty beside them.

CPU time is that of the whole process, all its threads, while a part runs: what TensorFlow's threads read ahead or write
meanwhile counts to that part.
"""

import contextlib
import functools
import time
from collections.abc import Iterator, Mapping

import keras

from kgen.io import write_json
from kgen.run import Run

STEPS, COMPILATION, OTHER = "steps", "compilation", "other"
"""Compilation is the first call of the training step, with the few steps that it takes. Other is what Keras' `fit` does
between its calls, and the callbacks that are no duty of their own."""
HOOKS = [f"on_{hook}" for hook in (
    "train_begin", "train_end", "epoch_begin", "epoch_end", "train_batch_begin", "train_batch_end"
)]  # fmt: skip


class Costs:
    """The seconds of each part of a training.

    Attributes:
        parts: name -> {"cpu_seconds", "wall_seconds"}, with those before an interruption.
    """

    def __init__(self):
        self.parts: dict[str, dict[str, float]] = {}
        self._part, self._since = None, (0.0, 0.0)

    @contextlib.contextmanager
    def of(self, part: str) -> Iterator[None]:
        """Counts what is done meanwhile to a part, and not to the part around it."""
        outer = self._switch(part)
        try:
            yield
        finally:
            self._switch(outer)

    def _switch(self, part: str | None) -> str | None:
        now = time.process_time(), time.monotonic()
        if self._part:
            spent = self.parts.setdefault(self._part, {"cpu_seconds": 0.0, "wall_seconds": 0.0})
            for key, start, end in zip(spent, self._since, now, strict=True):
                spent[key] += end - start
        before, self._part, self._since = self._part, part, now
        return before

    def callback(self, part: str, callback: keras.callbacks.Callback) -> keras.callbacks.Callback:
        """The callback, whose calls count to a part from now on."""
        for hook in HOOKS:
            method = getattr(callback, hook)
            if not hasattr(method, "_is_default"):  # Keras does not call those that do nothing
                setattr(callback, hook, functools.wraps(method)(functools.partial(self._call, part, method)))
        return callback

    def _call(self, part: str, method, *args, **kwargs):
        with self.of(part):
            return method(*args, **kwargs)

    def get_state(self) -> dict[str, dict[str, float]]:
        """The parts up to now."""
        self._switch(self._part)
        return {part: dict(seconds) for part, seconds in self.parts.items()}

    def set_state(self, state: Mapping[str, Mapping[str, float]]):
        """Begins with the parts of a training that is resumed."""
        self.parts = {part: dict(seconds) for part, seconds in state.items()}

    @property
    def overhead(self) -> float | None:
        """CPU time of everything but steps and compilation, over that of the steps; None without steps."""
        cpu = {part: seconds["cpu_seconds"] for part, seconds in self.parts.items()}
        steps = cpu.pop(STEPS, 0.0)
        cpu.pop(COMPILATION, None)
        return sum(cpu.values()) / steps if steps else None

    def write(self, run: Run):
        """Writes costs.json, and logs its CPU time in one line."""
        first = [part for part in (STEPS, COMPILATION) if part in self.parts]
        rest = sorted({*self.parts} - {*first}, key=lambda part: -self.parts[part]["cpu_seconds"])
        parts = {part: {k: round(v, 3) for k, v in self.parts[part].items()} for part in (*first, *rest)}
        write_json(run.path / "costs.json", {"parts": parts, "overhead": self.overhead})
        listed = ", ".join(f"{part} {seconds['cpu_seconds']:.1f} s" for part, seconds in parts.items())
        run.log(f"CPU time: {listed}{self._share()}")

    def _share(self) -> str:
        """The overhead in words, for the end of the line. In trainings of seconds, in which what happens once takes
        many times as long as the steps, its number tells nothing about longer ones."""
        if self.overhead is None:
            return ""
        share = f"{self.overhead:.0%} of the steps" if self.overhead <= 1 else "more than the steps"
        return f"; beside steps and compilation {share}"
