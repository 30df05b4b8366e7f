"""A loaded model that answers requests: a queue for each signature that can be batched."""

import asyncio
from collections.abc import Mapping
from concurrent.futures import Executor
from functools import partial

import numpy as np

from kgen.serve.batcher import Batcher
from kgen.serve.loaded import LoadedModel
from kgen.serve.metrics import Metrics
from kgen.serve.signature import Signature


class Servable:
    """One version of a model at work.

    Args:
        name: of the model, in the metrics.
        loaded: its SavedModel.
        threads: where TensorFlow runs.
        max_batch_size, batch_timeout_ms: of the queues.
        metrics: are told of every call.
    """

    def __init__(
        self,
        name: str,
        loaded: LoadedModel,
        threads: Executor,
        *,
        max_batch_size: int,
        batch_timeout_ms: float,
        metrics: Metrics,
    ):
        self.loaded, self._threads = loaded, threads
        self._batchers = {
            signature.name: Batcher(
                partial(self._call, signature.name),
                max_rows=max_batch_size,
                wait_seconds=batch_timeout_ms / 1000,
                on_call=metrics.batch_rows.labels(name, signature.name).observe,
                on_queue=metrics.queue_rows.labels(name).inc,
            )
            for signature in loaded.signatures.values()
            if signature.batchable
        }

    async def predict(self, signature: Signature, inputs: Mapping[str, np.ndarray]) -> dict[str, np.ndarray]:
        """Runs a signature on inputs that fit it, together with others if that is possible."""
        rows = signature.rows(inputs)
        if rows and signature.name in self._batchers:
            return await self._batchers[signature.name].submit(inputs, rows)
        return await self._call(signature.name, inputs)

    async def _call(self, signature: str, inputs: Mapping[str, np.ndarray]) -> dict[str, np.ndarray]:
        return await asyncio.get_running_loop().run_in_executor(self._threads, self.loaded.call, signature, inputs)
