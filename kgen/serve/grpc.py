"""TF Serving's gRPC services, PredictionService and ModelService, by the stubs of `tensorflow-serving-api`."""

import asyncio
import contextlib
from collections.abc import Awaitable, Callable
from typing import Any

import grpc
from google.protobuf.message import DecodeError, Message
from tensorflow_serving.apis import (
    classification_pb2,
    get_model_metadata_pb2,
    get_model_status_pb2,
    inference_pb2,
    model_management_pb2,
    model_pb2,
    predict_pb2,
    regression_pb2,
)

from kgen.serve.codec import answer_bytes, encode_proto
from kgen.serve.examples import CLASSIFY, METHODS, REGRESS, serialized, unsupported
from kgen.serve.parsing import SMALL_BYTES, PredictBody
from kgen.serve.predictor import SMALL_ARRAY_BYTES, Predictor
from kgen.serve.validation import DEFAULT, Code, ServingError, invalid, serving_error

STATUS = {code.value[0]: code for code in grpc.StatusCode}
MAX_DETAIL_CHARACTERS = 2000  # details are sent in a header
MAX_PARSED_BYTES = 2**20  # of requests but Predict, which are parsed while all others wait
SERVICES = ("tensorflow.serving.PredictionService", "tensorflow.serving.ModelService")


def add_services(server: grpc.aio.Server, predictor: Predictor):
    """Registers both services."""
    service = Services(predictor)
    calls = (
        {
            "Predict": (None, service.predict),
            "GetModelMetadata": (get_model_metadata_pb2.GetModelMetadataRequest, service.metadata),
            "Classify": (classification_pb2.ClassificationRequest, service.classify),
            "Regress": (regression_pb2.RegressionRequest, service.regress),
            "MultiInference": (inference_pb2.MultiInferenceRequest, service.multi_inference),
        },
        {
            "GetModelStatus": (get_model_status_pb2.GetModelStatusRequest, service.status),
            "HandleReloadConfigRequest": (model_management_pb2.ReloadConfigRequest, service.reload),
        },
    )
    for name, methods in zip(SERVICES, calls, strict=True):
        handlers = {method: _handler(kind, call, predictor) for method, (kind, call) in methods.items()}
        server.add_generic_rpc_handlers((grpc.method_handlers_generic_handler(name, handlers),))


def _handler(kind: type[Message] | None, call: Callable[[Any], Awaitable[Message]], predictor: Predictor):
    """A method that answers bytes which are not a message as it does any other invalid request.

    Args:
        kind: of the request; None for a method that takes the bytes.
        call: the method.
    """

    def parse(data: bytes) -> Any:
        if kind is None:
            return data
        if len(data) > MAX_PARSED_BYTES:
            return invalid(f"this request may have at most {MAX_PARSED_BYTES} bytes")
        try:
            return kind.FromString(data)
        except DecodeError:
            return invalid(f"the request is not a {kind.DESCRIPTOR.full_name}")

    async def handle(request: Any, context: grpc.aio.ServicerContext) -> Message:
        try:
            if isinstance(request, ServingError):
                raise request
            return await call(request)
        except Exception as error:
            failure = serving_error(error, predictor.limits.max_seconds)
            status, details = STATUS[failure.code], failure.message[:MAX_DETAIL_CHARACTERS]
            del failure, request  # as in Predictor.request; abort leaves a cycle with this frame
        await context.abort(status, details)

    return grpc.unary_unary_rpc_method_handler(
        handle, request_deserializer=parse, response_serializer=lambda message: message.SerializeToString()
    )


class Services:
    """The methods of both services."""

    def __init__(self, predictor: Predictor):
        self.predictor = predictor

    async def predict(self, request: bytes) -> predict_pb2.PredictResponse:
        predictor, memory = self.predictor, self.predictor.parser.memory
        counted = len(request) if len(request) > SMALL_BYTES else 0
        async with predictor.request("grpc") as account:
            with predictor.gate, memory.taken(counted), contextlib.ExitStack() as leases:
                async with predictor.parser.parsed(PredictBody, request) as parsed:
                    spec, output_filter = parsed.head
                    spec = _given(None if spec is None else model_pb2.ModelSpec.FromString(spec))
                    version = predictor.store.find(*_target(spec))
                    account.model = version.model
                    servable = leases.enter_context(version.lease())
                    signature = servable.loaded.signature(spec.signature_name, Code.FAILED_PRECONDITION)
                    account.signature = signature.name
                    inputs, _ = await parsed.inputs(signature)
                outputs = await predictor.predict(servable, signature, inputs, output_filter)
        response = predict_pb2.PredictResponse()
        _set_spec(response.model_spec, spec.name, signature.name, version.number)

        def write():
            for name, values in outputs.items():
                response.outputs[name].CopyFrom(encode_proto(values, signature.outputs[name].dtype))

        if answer_bytes(outputs) <= SMALL_ARRAY_BYTES:
            write()
        else:
            await asyncio.to_thread(write)
        return response

    async def metadata(self, request: get_model_metadata_pb2.GetModelMetadataRequest) -> Message:
        spec = _spec(request)
        if {*request.metadata_field} != {"signature_def"}:
            received = ", ".join(request.metadata_field) or "none"
            raise invalid(f"metadata_field must be signature_def. Received: {received}")
        return self.predictor.metadata(*_target(spec))

    async def status(self, request: get_model_status_pb2.GetModelStatusRequest) -> Message:
        name, version, _ = _target(_spec(request))
        return self.predictor.status(name, version)

    async def classify(self, request: classification_pb2.ClassificationRequest) -> Message:
        response = classification_pb2.ClassificationResponse()
        await self._infer(_spec(request), CLASSIFY, request.input, response)
        return response

    async def regress(self, request: regression_pb2.RegressionRequest) -> Message:
        response = regression_pb2.RegressionResponse()
        await self._infer(_spec(request), REGRESS, request.input, response)
        return response

    async def multi_inference(self, request: inference_pb2.MultiInferenceRequest) -> Message:
        tasks = request.tasks
        if not tasks or not all(task.model_spec.name for task in tasks):
            raise invalid("each of the tasks must name a model; there must be at least one")
        if len({task.model_spec.name for task in tasks}) > 1:
            raise invalid("all tasks must name the same model")
        names = [task.model_spec.signature_name or DEFAULT for task in tasks]
        if len({*names}) < len(names):
            raise invalid(f"each signature may be evaluated once. Received: {', '.join(names)}")
        response = inference_pb2.MultiInferenceResponse()
        for task in tasks:
            if task.method_name not in METHODS:
                raise unsupported(task.method_name)
        for task in tasks:
            method = METHODS[task.method_name]
            one = (
                classification_pb2.ClassificationResponse()
                if method == CLASSIFY
                else regression_pb2.RegressionResponse()
            )
            spec = model_pb2.ModelSpec()
            spec.CopyFrom(tasks[0].model_spec)  # whose version all are evaluated by
            spec.signature_name = task.model_spec.signature_name
            await self._infer(spec, method, request.input, one, "MultiInference")
            result = response.results.add(model_spec=one.model_spec)
            field = result.classification_result if method == CLASSIFY else result.regression_result
            field.CopyFrom(one.result)
        return response

    async def _infer(self, spec: model_pb2.ModelSpec, method: str, examples, response: Message, api: str = ""):
        """Fills the response of a classification or regression."""
        predictor = self.predictor
        async with predictor.request("grpc", api or method.capitalize()) as account:
            version = predictor.store.find(*_target(spec))
            account.model = version.model
            with predictor.gate, version.lease() as servable:
                signature = servable.loaded.signature(spec.signature_name)
                account.signature = signature.name
                values = serialized(examples, predictor.limits)
                response.result.CopyFrom(await predictor.classify(servable, signature, method, values))
        _set_spec(response.model_spec, spec.name, signature.name, version.number)

    async def reload(self, request: model_management_pb2.ReloadConfigRequest) -> Message:
        message = "kgen-serve is not configured by requests; edit models.config in the served folder, which is polled"
        raise ServingError(Code.UNIMPLEMENTED, message)


def _spec(request: Message) -> model_pb2.ModelSpec:
    return _given(request.model_spec if request.HasField("model_spec") else None)


def _given(spec: model_pb2.ModelSpec | None) -> model_pb2.ModelSpec:
    if spec is None:
        raise invalid("the request has no model_spec")
    return spec


def _set_spec(spec: model_pb2.ModelSpec, name: str, signature: str, version: int):
    """What answered."""
    spec.name, spec.signature_name, spec.version.value = name, signature, version


def _target(spec: model_pb2.ModelSpec) -> tuple[str, int | None, str | None]:
    """(model, version, label)."""
    choice = spec.WhichOneof("version_choice")
    version = spec.version.value if choice == "version" else None
    return spec.name, version, spec.version_label if choice == "version_label" else None
