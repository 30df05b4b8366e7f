"""The versions of all models: found, loaded, served, retired.

As TF Serving's availability-preserving policy has it: a version goes only when a wanted one serves.
"""

import asyncio
import gc
import logging
import sys
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from kgen.errors import UserError
from kgen.serve import discovery
from kgen.serve.discovery import Found
from kgen.serve.errors import Code, ServingError, invalid
from kgen.serve.loaded import LoadedModel
from kgen.serve.metrics import Metrics
from kgen.serve.servable import Servable
from kgen.serve.version import State, Version

log = logging.getLogger(__name__)


class ModelStore:
    """All models of a folder.

    Args:
        root: the folder.
        load: reads and warms up a version; runs in a thread.
        servable: makes a Servable of a model's name and what `load` returned.
        metrics: are told which versions serve.
    """

    def __init__(
        self,
        root: Path,
        load: Callable[[Path], LoadedModel],
        servable: Callable[[str, LoadedModel], Servable],
        metrics: Metrics,
    ):
        self.root, self._load, self._servable, self._metrics = root, load, servable, metrics
        self._models: dict[str, dict[int, Version]] = {}
        self._labels: dict[str, dict[str, int]] = {}
        self._loader = ThreadPoolExecutor(1, "kgen-serve-load")
        self._retirements: set[asyncio.Task] = set()
        self._polling = asyncio.Lock()

    # -- who serves ---------------------------------------------------------------------------------------------------

    def find(self, name: str, version: int | None = None, label: str | None = None) -> Version:
        """The version that a request means.

        Raises:
            ServingError: there is none, in the words of TF Serving.
        """
        if not name:
            raise invalid("ModelSpec has no name specified.")
        if label is not None:
            if label not in self._labels.get(name, {}):
                raise invalid(f"Unrecognized servable version label: {label}")
            version = self._labels[name][label]
        serving = {v.number: v for v in self._models.get(name, {}).values() if v.state == State.AVAILABLE}
        if version is None and serving:
            return serving[max(serving)]
        if version is None or version not in serving:
            what = f"Latest({name})" if version is None else f"Specific({name}, {version})"
            raise ServingError(Code.NOT_FOUND, f"Servable not found for request: {what}")
        return serving[version]

    def versions(self, name: str, version: int | None = None) -> list[Version]:
        """All versions of a model that were ever seen, or the one asked for; the newest first."""
        known = self._models.get(name, {})
        if version is not None and version not in known:
            raise ServingError(Code.NOT_FOUND, f"Could not find version {version} of model {name}")
        if not known:
            raise ServingError(Code.NOT_FOUND, f"Could not find any versions of model {name}")
        return [known[number] for number in sorted(known, reverse=True) if version in (None, number)]

    def serving(self) -> dict[str, list[int]]:
        """The versions that serve, by model."""
        found = {
            name: sorted(v.number for v in versions.values() if v.state == State.AVAILABLE)
            for name, versions in sorted(self._models.items())
        }
        return {name: numbers for name, numbers in found.items() if numbers}

    def names(self) -> list[str]:
        """All models that were ever seen."""
        return sorted(self._models)

    # -- how that changes ---------------------------------------------------------------------------------------------

    async def poll(self):
        """Looks at the folder once; returns when new versions serve. Old ones retire as their requests end."""
        async with self._polling:
            try:
                found = await self._in_thread(discovery.find_models, self.root)
            except UserError as error:  # a models.config that is being edited: what served goes on
                print(f"kgen-serve: {error}", file=sys.stderr)
                return
            for name in [*found, *(name for name in self._models if name not in found)]:
                await self._update(name, found.get(name, Found({})))

    async def poll_forever(self, seconds: float):
        """Polls until cancelled."""
        while True:
            await asyncio.sleep(seconds)
            try:
                await self.poll()
            except Exception:  # a folder that is odd for a moment must not end the polling
                log.exception("polling %s failed", self.root)

    async def close(self):
        """Ends when all retirements have."""
        await asyncio.gather(*self._retirements)
        self._loader.shutdown()

    async def _update(self, name: str, found: Found):
        versions = self._models.setdefault(name, {})
        self._labels[name] = found.config.labels
        wanted = found.config.wanted({*found.versions})
        for number in sorted(wanted, reverse=True):
            await self._ensure(name, number, found.versions[number])
        available = {number for number, version in versions.items() if version.state == State.AVAILABLE}
        if available & wanted or not wanted:
            for number in available - wanted:
                self._retire(versions[number])

    async def _ensure(self, name: str, number: int, path: Path):
        """Loads a version unless it serves already, or failed and has not changed since."""
        known = self._models[name].get(number)
        if known and known.state != State.END:
            return
        try:
            fingerprint = await self._in_thread(discovery.fingerprint, path)
        except OSError:  # gone while we looked, or still being written: next time
            return
        if known and known.error and known.fingerprint == fingerprint:
            return
        version = self._models[name][number] = Version(name, number, path, fingerprint)
        version.state = State.LOADING
        try:
            loaded = await self._in_thread(self._load, path)
        except Exception as error:
            version.error = error if isinstance(error, ServingError) else ServingError(Code.UNKNOWN, str(error))
            version.state = State.END
            print(f"kgen-serve: {name} version {number} failed to load: {version.error}", file=sys.stderr)
            return
        version.servable = self._servable(name, loaded)
        version.state = State.AVAILABLE
        self._metrics.versions.labels(name, number).set(1)

    def _retire(self, version: Version):
        version.state = State.UNLOADING
        self._metrics.versions.remove(version.model, version.number)
        task = asyncio.create_task(self._unload(version))
        self._retirements.add(task)
        task.add_done_callback(self._retirements.discard)

    async def _unload(self, version: Version):
        await version.unused()
        version.servable = None
        await self._in_thread(gc.collect)  # the graph's cycles
        version.state = State.END

    async def _in_thread(self, function: Callable, *arguments):
        return await asyncio.get_running_loop().run_in_executor(self._loader, function, *arguments)
