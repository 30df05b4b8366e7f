"""Samplers over a server with TF Serving's calls, by REST or gRPC: metadata give the shapes, `decode` the images.

https://www.tensorflow.org/tfx/serving/api_rest; gRPC: the stubs of `tensorflow-serving-api`.
"""

import os
import re
from pathlib import Path

import numpy as np

from kgen.errors import UserError
from kgen.sampling.priors import StandardNormal
from kgen.sampling.sampler import ReadableRepr, in_chunks
from kgen.spec import DataSpec

SCHEMES = PLAIN, OVER_TLS = "grpc://", "grpcs://"
TOKEN_VARIABLE = "KGEN_TOKEN"
AUTHORITY_VARIABLE = "REQUESTS_CA_BUNDLE"
"""Of the library requests: the file of the authorities whose certificates are trusted; here for gRPC as well."""
TIMEOUT_SECONDS = 60
MESSAGE_BYTES = 256 * 2**20
EXAMPLE = "give the model's address, e.g. http://localhost:8501/v1/models/cvae"


def read_token(path: str | Path) -> str:
    """The token in the first line of a file, as of kgen-serve's --token_file.

    Raises:
        UserError: there is none.
    """
    try:
        lines = Path(path).read_text(encoding="utf-8").split("\n")
    except (OSError, UnicodeDecodeError) as error:
        reason = getattr(error, "strerror", None) or "no text"
        raise UserError(f"--token_file {path}: {reason}; name a file with a token in its first line") from error
    return _checked(lines[0].strip(), f"--token_file {path}")


def _checked(token: str, source: str) -> str:
    if not token or not re.fullmatch(r"[!-~]+", token):
        raise UserError(f"{source} has no token of printable ASCII characters without spaces in its first line")
    return token


class ServerSampler(ReadableRepr):
    """Samples from the `decode` signature of a served model, by REST.

    A server gives neither the classes of the data, so that `spec.num_classes` is 0 and labels are the numbers that the
    model takes, nor fitted priors: z is sampled from the standard normal.

    Args:
        url: http://HOST:PORT/v1/models/NAME, also with /versions/N or /labels/LABEL.
        token: a bearer token that the server asks for; None takes the variable KGEN_TOKEN, or none.

    Raises:
        UserError: no server answers, it wants another token, or the model has no `decode` signature of kgen's form.
    """

    parameters, weights_hash, prior, encodes = None, None, StandardNormal.name, False

    def __init__(self, url: str, token: str | None = None):
        self.url = url.rstrip("/")
        variable = os.environ.get(TOKEN_VARIABLE, "").strip()
        self._token = token or (_checked(variable, TOKEN_VARIABLE) if variable else None)
        found = re.search(r"/v1/models/([^/:]+)(/versions/\d+|/labels/[^/:]+)?$", self.url)
        if not found:
            raise UserError(f"{url} is not the address of a served model; {EXAMPLE}")
        self._found = found
        answer = self._metadata()
        try:
            signatures = answer["metadata"]["signature_def"]["signature_def"]
            decode = signatures["decode"]
            self.latent_shape, image_shape = _shape(decode["inputs"]["z"]), _shape(decode["outputs"]["images"])
        except (KeyError, TypeError, ValueError) as error:
            raise UserError(
                f"{url} serves no model of kgen: its metadata have no signature 'decode' from z to images ({error!r}); "
                "serve an export of kgen-export"
            ) from error
        self.density = StandardNormal(self.latent_shape)
        self.conditional = "label" in decode["inputs"]
        self.spec = DataSpec(found[1], image_shape)
        self.version = answer.get("model_spec", {}).get("version")

    def decode(self, z, labels=None):
        return in_chunks(self._predict, np.asarray(z), labels, self.spec)

    def _predict(self, z, labels=None):
        answer = self._decode({"z": z} if labels is None else {"z": z, "label": labels})
        try:
            outputs = answer["outputs"]
            images = outputs["images"] if isinstance(outputs, dict) else outputs
            return np.asarray(images, np.float32).reshape(len(z), *self.spec.image_shape)
        except (KeyError, TypeError, ValueError) as error:
            what = f"answered :predict without images of {self.spec.image_shape}"
            raise UserError(f"{self.url} {what} ({error!r})") from error

    def _metadata(self):
        """{"metadata": {"signature_def": {"signature_def": {NAME: {"inputs", "outputs"}}}}, "model_spec": ...}."""
        return self._ask("GET", "/metadata")

    def _decode(self, inputs: dict[str, np.ndarray]):
        """{"outputs": images, or {"images": images}}."""
        values = {name: value.tolist() for name, value in inputs.items()}
        return self._ask("POST", ":predict", {"signature_name": "decode", "inputs": values})

    def _ask(self, method: str, call: str, body=None):
        import requests

        try:
            answer = requests.request(
                method,
                self.url + call,
                json=body,
                timeout=TIMEOUT_SECONDS,
                auth=self._authorize if self._token else None,
            )
            values = answer.json()
        except requests.JSONDecodeError as error:
            what = f"answered, but not as TF Serving does (HTTP {answer.status_code})"
            raise UserError(f"{self.url} {what}; {EXAMPLE}") from error
        except requests.exceptions.SSLError as error:
            what = f"has no certificate of a known authority ({error.args[0]})"
            raise UserError(f"{self.url} {what}; name its file by the variable {AUTHORITY_VARIABLE}") from error
        except requests.RequestException as error:
            what = f"cannot be reached ({type(error).__name__}); start the server"
            raise UserError(f"{self.url} {what}, or {EXAMPLE}") from error
        if answer.status_code == requests.codes.unauthorized:
            raise self._unauthorized()
        if not answer.ok:
            reason = values.get("error") if isinstance(values, dict) else None
            raise UserError(f"{self.url} refused {call}: {reason or answer.reason}")
        return values

    def _authorize(self, request):
        request.headers["Authorization"] = f"Bearer {self._token}"
        return request

    def _unauthorized(self) -> UserError:
        what = "does not know this token" if self._token else "asks for a token"
        return UserError(
            f"{self.url} {what}; give a file that has one with --token_file, or set the variable {TOKEN_VARIABLE}"
        )


def _authorities() -> bytes | None:
    """The content of the file that AUTHORITY_VARIABLE names; None for the authorities that gRPC knows.

    Raises:
        UserError: it cannot be read.
    """
    if not (path := os.environ.get(AUTHORITY_VARIABLE)):
        return None
    try:
        return Path(path).read_bytes()
    except OSError as error:
        raise UserError(f"the variable {AUTHORITY_VARIABLE} names {path}: {error.strerror}") from error


def _shape(tensor) -> tuple[int, ...]:
    """The shape of a tensor without the batch, from a SignatureDef in JSON."""
    sizes = [int(side["size"]) for side in tensor["tensor_shape"]["dim"]][1:]
    if min(sizes, default=0) < 1:
        raise ValueError(f"its shape is {sizes}")
    return tuple(sizes)


class GrpcSampler(ServerSampler):
    """As `ServerSampler`, by gRPC: a tenth of the bytes.

    Args:
        url: grpc://HOST:PORT/v1/models/NAME, also with /versions/N or /labels/LABEL; grpcs:// of a server with TLS.
        token: see ServerSampler.
    """

    def _metadata(self):
        import grpc
        from google.protobuf import json_format
        from tensorflow_serving.apis import get_model_metadata_pb2, prediction_service_pb2_grpc

        scheme, address = re.match("([a-z]+://)([^/]*)", self.url).groups()
        options = [("grpc.max_receive_message_length", MESSAGE_BYTES)]
        if scheme == OVER_TLS:
            channel = grpc.secure_channel(address, grpc.ssl_channel_credentials(_authorities()), options)
        else:
            channel = grpc.insecure_channel(address, options)
        self._service = prediction_service_pb2_grpc.PredictionServiceStub(channel)
        request = get_model_metadata_pb2.GetModelMetadataRequest(metadata_field=["signature_def"])
        answer = self._call(self._service.GetModelMetadata, request)
        signatures = get_model_metadata_pb2.SignatureDefMap()
        answer.metadata["signature_def"].Unpack(signatures)
        found = json_format.MessageToDict(signatures, preserving_proto_field_name=True)
        return {"model_spec": {"version": str(answer.model_spec.version.value)}, "metadata": {"signature_def": found}}

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
        """The answer to a request about the model.

        Raises:
            UserError: the server cannot be reached, or refuses the call.
        """
        import grpc

        name, chosen = self._found[1], self._found[2] or ""
        request.model_spec.name = name
        if chosen.startswith("/versions/"):
            request.model_spec.version.value = int(chosen.removeprefix("/versions/"))
        elif chosen:
            request.model_spec.version_label = chosen.removeprefix("/labels/")
        try:
            metadata = [("authorization", f"Bearer {self._token}")] if self._token else None
            return method(request, timeout=TIMEOUT_SECONDS, metadata=metadata)
        except grpc.RpcError as error:
            if error.code() == grpc.StatusCode.UNAUTHENTICATED:
                raise self._unauthorized() from error
            if error.code() in (grpc.StatusCode.UNAVAILABLE, grpc.StatusCode.DEADLINE_EXCEEDED):
                what = f"cannot be reached ({error.code().name}: {error.details()})"
                raise UserError(f"{self.url} {what}; start the server, or give its gRPC address") from error
            raise UserError(f"{self.url} refused the call: {error.code().name}, {error.details()}") from error
