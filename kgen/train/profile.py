"""A trace of some training steps for TensorBoard: what the processor does with its time."""

import keras
import tensorflow as tf

from kgen.run import Run

FIRST_CALL, CALLS = 2, 10
"""The first calls compile; so many after them are traced."""


class Profile(keras.callbacks.Callback):
    """Writes tensorboard/plugins/profile/ of a run.

    Args:
        run: written to.
    """

    def __init__(self, run: Run):
        super().__init__()
        self.run, self.calls, self.tracing = run, 0, False

    def on_train_batch_begin(self, batch, logs=None):
        if self.calls == FIRST_CALL:
            tf.profiler.experimental.start(str(self.run.path / "tensorboard"))
            self.tracing = True
        self.calls += 1

    def on_train_batch_end(self, batch, logs=None):
        if self.tracing and self.calls >= FIRST_CALL + CALLS:
            self._stop()

    def on_train_end(self, logs=None):
        if self.tracing:
            self._stop()

    def _stop(self):
        tf.profiler.experimental.stop()
        self.tracing = False
        self.run.log(
            f"profile of {self.calls - FIRST_CALL} calls in {self.run.path / 'tensorboard'}; to see it: "
            f"pip install tensorboard-plugin-profile && tensorboard --logdir {self.run.path}"
        )
