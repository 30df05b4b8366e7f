"""A sampler over a server that speaks TF Serving's gRPC calls: `PredictionService`, by the official stubs."""

import numpy as np

from kgen.errors import UserError
from kgen.sampling.server import TIMEOUT_SECONDS, ServerSampler

SCHEME = "grpc://"
MESSAGE_BYTES = 256 * 2**20


class GrpcSampler(ServerSampler):
    """As `ServerSampler`, through gRPC: a tenth of the bytes.

    Args:
        url: grpc://HOST:PORT/v1/models/NAME, also with /versions/N or /labels/LABEL.
    """

    def _metadata(self):
        import grpc
        from google.protobuf import json_format
        from tensorflow_serving.apis import get_model_metadata_pb2, prediction_service_pb2_grpc

        address = self.url.removeprefix(SCHEME).partition("/")[0]
        channel = grpc.insecure_channel(address, options=[("grpc.max_receive_message_length", MESSAGE_BYTES)])
        self._service = prediction_service_pb2_grpc.PredictionServiceStub(channel)
        request = get_model_metadata_pb2.GetModelMetadataRequest(metadata_field=["signature_def"])
        answer = self._call(self._service.GetModelMetadata, request)
        signatures = get_model_metadata_pb2.SignatureDefMap()
        answer.metadata["signature_def"].Unpack(signatures)
        told = json_format.MessageToDict(signatures, preserving_proto_field_name=True)
        return {"model_spec": {"version": str(answer.model_spec.version.value)}, "metadata": {"signature_def": told}}

    def _decode(self, inputs: dict[str, np.ndarray]):
        import tensorflow as tf
        from tensorflow_serving.apis import predict_pb2

        request = predict_pb2.PredictRequest()
        request.model_spec.signature_name = "decode"
        for name, value in inputs.items():
            request.inputs[name].CopyFrom(tf.make_tensor_proto(value))
        answer = self._call(self._service.Predict, request)
        return {"outputs": {name: tf.make_ndarray(value) for name, value in answer.outputs.items()}}

    def _call(self, method, request):
        """The answer to a request about the model, or a UserError that says why there is none."""
        import grpc

        name, chosen = self._found[1], self._found[2] or ""
        request.model_spec.name = name
        if chosen.startswith("/versions/"):
            request.model_spec.version.value = int(chosen.removeprefix("/versions/"))
        elif chosen:
            request.model_spec.version_label = chosen.removeprefix("/labels/")
        try:
            return method(request, timeout=TIMEOUT_SECONDS)
        except grpc.RpcError as error:
            if error.code() in (grpc.StatusCode.UNAVAILABLE, grpc.StatusCode.DEADLINE_EXCEEDED):
                what = f"cannot be reached ({error.code().name}: {error.details()})"
                raise UserError(f"{self.url} {what}; start the server, or give its gRPC address") from error
            raise UserError(f"{self.url} refused the call: {error.code().name}, {error.details()}") from error
