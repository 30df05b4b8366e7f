"""What REST and gRPC share: limits of requests, metrics, metadata, status."""

import asyncio
import contextlib
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from tensorflow_serving.apis import get_model_metadata_pb2, get_model_status_pb2

from kgen.serve.metrics import Metrics
from kgen.serve.models import ModelStore, Servable
from kgen.serve.validation import Code, Gate, Limits, ServingError, Signature, invalid, serving_error


@dataclass
class Account:
    """What the metrics say of one request."""

    api: str
    model: str = ""
    signature: str = ""


class Predictor:
    """Answers requests of either protocol.

    Args:
        store: the models.
        limits: of requests.
        metrics: are told of every request.
    """

    def __init__(self, store: ModelStore, limits: Limits, metrics: Metrics):
        self.store, self.limits, self.metrics = store, limits, metrics
        self._gate = Gate(limits.max_concurrent)

    @contextlib.asynccontextmanager
    async def request(self, api: str):
        """Around a prediction: counts it, times it, ends it when its time is up.

        Raises:
            ServingError: whatever goes wrong within.
        """
        account, started, code = Account(api), time.perf_counter(), Code.OK
        try:
            with self._gate:
                async with asyncio.timeout(self.limits.max_seconds):
                    yield account
        except (Exception, asyncio.CancelledError) as error:
            failure = serving_error(error, self.limits.max_seconds)
            code = failure.code
            if isinstance(error, asyncio.CancelledError):
                raise
            raise failure from error
        finally:
            self.metrics.requests.labels(api, account.model, account.signature, code.name).inc()
            elapsed = time.perf_counter() - started
            self.metrics.seconds.labels(api, account.model, account.signature).observe(elapsed)

    async def predict(
        self, servable: Servable, signature: Signature, inputs: Mapping[str, np.ndarray], only: Sequence[str] = ()
    ) -> dict[str, np.ndarray]:
        """The outputs of a signature.

        Args:
            inputs: of the signature's types.
            only: names of the outputs to give; all if empty.
        """
        if len({*only}) < len(only):
            again = next(name for position, name in enumerate(only) if name in only[:position])
            raise invalid(f"duplicate output tensor alias: {again}")
        for name in only:
            if name not in signature.outputs:
                known = ",".join(sorted(signature.outputs))
                raise invalid(
                    f"output tensor alias not found in signature: {name} Outputs expected to be in the set {{{known}}}."
                )
        for name, values in inputs.items():
            info = signature.inputs[name]
            signature.check_form(name, info.dtype, values.shape, self.limits.max_rows)
            signature.check_values(name, values)
        outputs = await servable.predict(signature, inputs)
        return {name: outputs[name] for name in only} if only else outputs

    def metadata(self, name: str, version: int | None, label: str | None):
        """GetModelMetadataResponse of a model that serves."""
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
        """GetModelStatusResponse of every version that was ever seen."""
        versions = self.store.versions(name, version)
        return get_model_status_pb2.GetModelStatusResponse(model_version_status=[v.status() for v in versions])


def no_classifier(signature: Signature | None, name: str, method: str) -> ServingError:
    """Why `classify` and `regress` are refused, as classifier.cc and regressor.cc say it."""
    if signature is None:
        return invalid(f"No signature was found with the name: {name}")
    kind = {"classify": "classification", "regress": "regression"}[method]
    wanted = f"tensorflow/serving/{method}"
    if signature.method_name != wanted:
        return invalid(
            f"Expected {kind} signature method_name to be {wanted}. Was: {signature.method_name}; call predict"
        )
    return ServingError(
        Code.UNIMPLEMENTED, f"{method} is not offered here; call predict, or use --engine tf_serving", 400
    )
