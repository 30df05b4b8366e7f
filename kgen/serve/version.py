"""One version of a model, from its folder to its retirement."""

import asyncio
import contextlib
from pathlib import Path

from tensorflow_serving.apis import get_model_status_pb2

from kgen.serve.errors import ServingError
from kgen.serve.servable import Servable

State = get_model_status_pb2.ModelVersionStatus.State


class Version:
    """Where a version stands, who uses it, and what went wrong with it.

    Args:
        model: its name.
        number: its version.
        path: its folder.
        fingerprint: of the folder when it was found.
    """

    def __init__(self, model: str, number: int, path: Path, fingerprint: tuple):
        self.model, self.number, self.path, self.fingerprint = model, number, path, fingerprint
        self.state = State.START
        self.error: ServingError | None = None
        self.servable: Servable | None = None
        self._users = 0
        self._unused = asyncio.Event()
        self._unused.set()

    @contextlib.contextmanager
    def lease(self):
        """Keeps the version loaded as long as the context lasts; gives its Servable."""
        self._users += 1
        self._unused.clear()
        try:
            yield self.servable
        finally:
            self._users -= 1
            if not self._users:
                self._unused.set()

    async def unused(self):
        """Returns when no request uses the version."""
        await self._unused.wait()

    def status(self) -> get_model_status_pb2.ModelVersionStatus:
        """As GetModelStatus tells it."""
        status = get_model_status_pb2.ModelVersionStatus(version=self.number, state=self.state)
        status.status.error_code = self.error.code if self.error else 0
        status.status.error_message = self.error.message if self.error else ""
        return status
