"""What a command is doing now, on standard error: standard output holds results alone."""

import sys


def announce(step: str):
    """Prints a line about something that takes seconds, before it begins: "starting TensorFlow …"."""
    print(f"{step} …", file=sys.stderr, flush=True)
