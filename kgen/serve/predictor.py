"""What REST and gRPC share: limits, checks and metrics of predictions; metadata and status of models."""

import asyncio
import contextlib
import time
from collections.abc import AsyncIterator, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from tensorflow_serving.apis import get_model_metadata_pb2, get_model_status_pb2

from kgen.config import RequestLimits
from kgen.serve.examples import INPUTS, RESULTS, check_method
from kgen.serve.metrics import Metrics
from kgen.serve.models import ModelStore, Servable
from kgen.serve.parsing import LARGE_BODIES, Memory, Parser
from kgen.serve.validation import Code, ServingError, Signature, invalid, serving_error

SMALL_ARRAY_BYTES = 2**18
"""Arrays up to here are checked, and answers up to here are written, without a thread."""


@dataclass
class Account:
    """Labels of the metrics of one request; model and signature are set when they are known to exist.

    Args:
        api: "rest" or "grpc".
        method: "Predict", "Classify", ...
    """

    api: str
    method: str
    model: str = ""
    signature: str = ""


class Gate:
    """Limits how many are inside `with gate:`; others are refused.

    Raises:
        ServingError: `limit` are inside already.
    """

    def __init__(self, limit: int):
        self.limit, self.inside = limit, 0

    def __enter__(self):
        if self.inside >= self.limit:
            message = f"{self.limit} requests are in progress (--max_concurrent); try again later"
            raise ServingError(Code.RESOURCE_EXHAUSTED, message)
        self.inside += 1

    def __exit__(self, *error):
        self.inside -= 1


class Predictor:
    """Answers requests of either protocol.

    Args:
        store: the models.
        limits: of a request.
        metrics: count and time every prediction.
    """

    def __init__(self, store: ModelStore, limits: RequestLimits, metrics: Metrics):
        self.store, self.limits, self.metrics = store, limits, metrics
        self.gate = Gate(limits.max_concurrent)
        self.parser = Parser(limits)
        self.answers = Memory(LARGE_BODIES * limits.max_body_bytes, "answers")

    @contextlib.asynccontextmanager
    async def request(self, api: str, method: str = "Predict") -> AsyncIterator[Account]:
        """Around a prediction: counts it, times it, and ends it at the time limit.

        Inside, `gate` is entered when the body of the request is there.

        Args:
            api, method: see Account.

        Raises:
            ServingError: for any error inside.
        """
        account, started, code = Account(api, method), time.perf_counter(), Code.OK
        try:
            async with asyncio.timeout(self.limits.max_seconds):
                yield account
        except (Exception, asyncio.CancelledError) as error:
            failure = serving_error(error, self.limits.max_seconds)
            code = failure.code
            try:
                if failure is error or isinstance(error, asyncio.CancelledError):
                    raise
                raise failure from error
            finally:
                del failure  # a frame that holds its own error holds the request until Python looks for cycles
        finally:
            self.metrics.count_request(account, code.name, time.perf_counter() - started)

    async def predict(
        self,
        servable: Servable,
        signature: Signature,
        inputs: Mapping[str, np.ndarray],
        output_filter: Sequence[str] = (),
    ) -> dict[str, np.ndarray]:
        """The outputs of a signature by name.

        Args:
            inputs: with the names of the signature's inputs.
            output_filter: names of the outputs to return; all if empty.
        """
        for position, name in enumerate(output_filter):
            if name not in signature.outputs or name in output_filter[:position]:
                known = ", ".join(sorted(signature.outputs))
                raise invalid(f"output_filter may name each of {known} once. Received: {name}")
        if sum(values.nbytes for values in inputs.values()) <= SMALL_ARRAY_BYTES:
            self._check(signature, inputs)
        else:
            await asyncio.to_thread(self._check, signature, inputs)
        started = time.perf_counter()
        outputs = await servable.predict(signature, inputs)
        self.metrics.count_run(servable.name, "Predict", time.perf_counter() - started)
        return {name: outputs[name] for name in output_filter} if output_filter else outputs

    def _check(self, signature: Signature, inputs: Mapping[str, np.ndarray]):
        for name, values in inputs.items():
            signature.check_form(name, signature.inputs[name].dtype, values.shape, self.limits.max_rows)
            signature.check_values(name, values)
        signature.check_batch(inputs)

    def metadata(
        self, name: str, version: int | None, label: str | None
    ) -> get_model_metadata_pb2.GetModelMetadataResponse:
        """The signatures of an available model."""
        found = self.store.find(name, version, label)
        signatures = get_model_metadata_pb2.SignatureDefMap()
        for key, definition in found.servable.loaded.signature_defs.items():
            signatures.signature_def[key].CopyFrom(definition)
        response = get_model_metadata_pb2.GetModelMetadataResponse()
        response.model_spec.name = name
        response.model_spec.version.value = found.number
        response.metadata["signature_def"].Pack(signatures)
        return response

    def status(self, name: str, version: int | None) -> get_model_status_pb2.GetModelStatusResponse:
        """The states of all versions since the start, or of one."""
        versions = self.store.versions(name, version)
        return get_model_status_pb2.GetModelStatusResponse(model_version_status=[v.status() for v in versions])

    async def classify(self, servable: Servable, signature: Signature, method: str, values: np.ndarray):
        """The ClassificationResult or RegressionResult of examples.

        Args:
            values: [B], the serialized examples.
            method: "classify" or "regress".
        """
        check_method(signature, method)
        self.metrics.count_examples(servable.name, len(values))
        outputs = await servable.predict(signature, {INPUTS: values})
        return RESULTS[method](outputs, len(values))
