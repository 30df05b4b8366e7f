"""TF Serving's gRPC services: PredictionService and ModelService."""

from collections.abc import Awaitable, Callable

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

from kgen.serve.codec import to_array, to_proto
from kgen.serve.predictor import Predictor, no_classifier
from kgen.serve.validation import DEFAULT, Code, ServingError, invalid, serving_error

STATUS = {code.value[0]: code for code in grpc.StatusCode}
LONGEST_DETAILS = 2000  # they travel in a header
SERVICES = ("tensorflow.serving.PredictionService", "tensorflow.serving.ModelService")


def add_services(server: grpc.aio.Server, predictor: Predictor):
    """Registers both services."""
    service = Services(predictor)
    calls = (
        {
            "Predict": (predict_pb2.PredictRequest, service.predict),
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


def _handler(kind: type[Message], call: Callable[[Message], Awaitable[Message]], predictor: Predictor):
    """A method that answers bytes which are no message as it does any other wrong request."""

    def parse(data: bytes) -> Message | DecodeError:
        try:
            return kind.FromString(data)
        except DecodeError as error:
            return error

    async def handle(request: Message | DecodeError, context: grpc.aio.ServicerContext) -> Message:
        try:
            if isinstance(request, DecodeError):
                raise invalid(f"the request is no {kind.DESCRIPTOR.full_name}")
            return await call(request)
        except Exception as error:
            failure = serving_error(error, predictor.limits.max_seconds)
        await context.abort(STATUS[failure.code], failure.message[:LONGEST_DETAILS])

    return grpc.unary_unary_rpc_method_handler(
        handle, request_deserializer=parse, response_serializer=lambda message: message.SerializeToString()
    )


class Services:
    """The methods of both services."""

    def __init__(self, predictor: Predictor):
        self.predictor = predictor

    async def predict(self, request: predict_pb2.PredictRequest) -> predict_pb2.PredictResponse:
        predictor, spec = self.predictor, _spec(request)
        async with predictor.request("grpc") as account:
            found = predictor.store.find(*_target(spec))
            account.model = spec.name
            with found.lease() as servable:
                signature = servable.loaded.signature(spec.signature_name)
                if signature is None:
                    name = spec.signature_name or DEFAULT
                    raise ServingError(Code.FAILED_PRECONDITION, f'Serving signature key "{name}" not found.')
                account.signature = signature.name
                signature.check_names(request.inputs)
                inputs = {
                    name: to_array(name, tensor, signature, predictor.limits) for name, tensor in request.inputs.items()
                }
                outputs = await predictor.predict(servable, signature, inputs, request.output_filter)
        response = predict_pb2.PredictResponse()
        response.model_spec.name, response.model_spec.signature_name = spec.name, signature.name
        response.model_spec.version.value = found.number
        for name, values in outputs.items():
            response.outputs[name].CopyFrom(to_proto(values, signature.outputs[name].dtype))
        return response

    async def metadata(self, request: get_model_metadata_pb2.GetModelMetadataRequest) -> Message:
        spec = _spec(request)
        if not request.metadata_field:
            raise invalid("GetModelMetadataRequest must specify at least one metadata_field")
        for field in request.metadata_field:
            if field != "signature_def":
                raise invalid(f"Metadata field {field} is not supported")
        return self.predictor.metadata(*_target(spec))

    async def status(self, request: get_model_status_pb2.GetModelStatusRequest) -> Message:
        name, version, _ = _target(_spec(request))
        return self.predictor.status(name, version)

    async def classify(self, request: classification_pb2.ClassificationRequest) -> Message:
        raise self._refusal(_spec(request), "classify")

    async def regress(self, request: regression_pb2.RegressionRequest) -> Message:
        raise self._refusal(_spec(request), "regress")

    async def multi_inference(self, request: inference_pb2.MultiInferenceRequest) -> Message:
        raise ServingError(Code.UNIMPLEMENTED, "MultiInference is not offered here; call Predict")

    async def reload(self, request: model_management_pb2.ReloadConfigRequest) -> Message:
        what = "the configuration is not taken from requests; edit models.config in the served folder, it is polled"
        raise ServingError(Code.UNIMPLEMENTED, what)

    def _refusal(self, spec: model_pb2.ModelSpec, method: str) -> ServingError:
        with self.predictor.store.find(*_target(spec)).lease() as servable:
            name = spec.signature_name or DEFAULT
            return no_classifier(servable.loaded.signature(name), name, method)


def _spec(request: Message) -> model_pb2.ModelSpec:
    if not request.HasField("model_spec"):
        raise invalid("Missing ModelSpec")
    return request.model_spec


def _target(spec: model_pb2.ModelSpec) -> tuple[str, int | None, str | None]:
    """Name, version and label."""
    choice = spec.WhichOneof("version_choice")
    version = spec.version.value if choice == "version" else None
    return spec.name, version, spec.version_label if choice == "version_label" else None
