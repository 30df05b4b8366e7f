"""Ctrl-C and SIGTERM: a training under way comes to where it can write a checkpoint, writes it, and leaves."""

import _thread
import contextlib
import signal
import threading
import time

GRACE = 5.0
"""Seconds that what is under way at the end of an epoch (measuring, drawing) still gets."""


class Stopper:
    """Listens for signals; `with Stopper() as stopper: ...`, in the main thread (elsewhere it hears nothing).

    Attributes:
        under_way: what a signal finds. None: nothing would be lost, it raises KeyboardInterrupt at once. "steps": they
            are being taken, or kept; whoever set it looks at `asked` soon. "measuring": the same, but it may take long,
            so KeyboardInterrupt is raised after GRACE.
        asked: whether a signal came. A second one raises KeyboardInterrupt at once.
    """

    SIGNALS = (signal.SIGINT, signal.SIGTERM)

    def __init__(self):
        self.under_way, self.asked, self._before = None, False, {}

    def __enter__(self) -> "Stopper":
        if threading.current_thread() is threading.main_thread():
            self._before = {number: signal.signal(number, self._heard) for number in self.SIGNALS}
        return self

    def __exit__(self, *error):
        self.under_way = None
        for number, handler in self._before.items():
            with contextlib.suppress(TypeError):  # a handler that was not Python's
                signal.signal(number, handler)

    def _heard(self, number, frame):
        if self.asked or not self.under_way:
            raise KeyboardInterrupt
        self.asked = True
        _thread.start_new_thread(self._lose_patience, ())  # threading's own takes locks, which may be held just now

    def _lose_patience(self):
        time.sleep(GRACE)
        if self.under_way == "measuring":
            _thread.interrupt_main()  # heard as a second signal
