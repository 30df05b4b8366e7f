"""What a client may ask for: bytes, rows, depth of nesting, requests at once, seconds."""

import re
from dataclasses import dataclass

import numpy as np

from kgen.serve.errors import Code, ServingError, invalid

STRINGS = re.compile(rb'"[^"\\]*(?:\\.[^"\\]*)*"?', re.DOTALL)
BRACKETS = b"[]{}"
OTHERS = bytes(byte for byte in range(256) if byte not in BRACKETS)


@dataclass(frozen=True)
class Limits:
    """Each is a flag of kgen-serve.

    Args:
        max_body_bytes: of a request, also of one of its tensors.
        max_rows: of a request.
        max_depth: of nested JSON lists and objects.
        max_concurrent: prediction requests under way.
        max_seconds: from the start of a request to its answer.
    """

    max_body_bytes: int = 16 * 2**20
    max_rows: int = 1024
    max_depth: int = 16
    max_concurrent: int = 256
    max_seconds: float = 60.0

    def body_too_large(self) -> ServingError:
        return ServingError(Code.INVALID_ARGUMENT, f"more than {self.max_body_bytes} bytes (--max_body_bytes)", 413)

    def check_depth(self, body: bytes):
        """Raises if the JSON text is nested too deep; counts brackets, parses nothing."""
        brackets = np.frombuffer(STRINGS.sub(b"", body).translate(None, OTHERS), np.uint8)
        opening = (brackets == ord("[")) | (brackets == ord("{"))
        depth = int(np.cumsum(np.where(opening, 1, -1)).max(initial=0))
        if depth > self.max_depth:
            raise invalid(f"JSON Parse error: nested {depth} deep; at most {self.max_depth} (--max_depth)")


class Gate:
    """Lets so many requests in at once and turns the others away; `with gate: ...`."""

    def __init__(self, limit: int):
        self.limit, self.inside = limit, 0

    def __enter__(self):
        if self.inside >= self.limit:
            raise ServingError(Code.RESOURCE_EXHAUSTED, f"{self.limit} requests are under way (--max_concurrent)")
        self.inside += 1

    def __exit__(self, *error):
        self.inside -= 1
