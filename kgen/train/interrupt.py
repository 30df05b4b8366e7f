"""Ctrl-C and SIGTERM: a training under way stops after the step it is in, and first writes a checkpoint."""

import contextlib
import signal
import threading


class Stopper:
    """Listens for signals; `with Stopper() as stopper: ...`, in the main thread (elsewhere it hears nothing).

    Attributes:
        stepping: steps are being taken; a signal then waits for their end, and raises KeyboardInterrupt otherwise.
        asked: whether one came.
    """

    SIGNALS = (signal.SIGINT, signal.SIGTERM)

    def __init__(self):
        self.stepping, self.asked, self._before = False, False, {}

    def __enter__(self) -> "Stopper":
        if threading.current_thread() is threading.main_thread():
            self._before = {number: signal.signal(number, self._heard) for number in self.SIGNALS}
        return self

    def __exit__(self, *error):
        for number, handler in self._before.items():
            with contextlib.suppress(TypeError):  # a handler that was not Python's
                signal.signal(number, handler)

    def _heard(self, number, frame):
        if self.asked or not self.stepping:  # impatient, or nothing would be lost by waiting
            raise KeyboardInterrupt
        self.asked = True
