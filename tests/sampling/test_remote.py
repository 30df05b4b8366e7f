"""A server that speaks TF Serving's REST calls: the same pixels as the run, and one clear message for every failure."""

import contextlib
import json
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import numpy as np
import pytest
from same_images import assert_same_images

from kgen import generate, open_sampler
from kgen.errors import UserError
from kgen.sampling import ServerSampler, is_url


class Answers(BaseHTTPRequestHandler):
    """Answers what `server.answer(method, path, body)` returns: (status, JSON values or raw text)."""

    def do_GET(self):
        self._answer(None)

    def do_POST(self):
        self._answer(json.loads(self.rfile.read(int(self.headers["Content-Length"]))))

    def _answer(self, body):
        status, content = self.server.answer(self.command, self.path, body)
        content = content if isinstance(content, str) else json.dumps(content)
        self.send_response(status)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(content.encode())))
        self.end_headers()
        self.wfile.write(content.encode())

    def log_message(self, *arguments):
        """Nothing."""


@contextlib.contextmanager
def serving(answer):
    """The address of a server that answers with `answer` as long as the context lasts."""
    server = ThreadingHTTPServer(("127.0.0.1", 0), Answers)
    server.answer = answer
    thread = threading.Thread(target=server.serve_forever, args=(0.02,), daemon=True)
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_address[1]}"
    finally:
        server.shutdown()
        server.server_close()
        thread.join()


def tensor_info(dtype: str, *sizes: int, name: str = "") -> dict:
    """A TensorInfo as protobuf writes it in JSON: 64-bit integers are strings, the batch is -1."""
    dims = [{"size": str(size), "name": ""} for size in sizes]
    return {"dtype": dtype, "tensor_shape": {"dim": dims, "unknown_rank": False}, "name": name}


def metadata(signatures: dict) -> dict:
    """What GET .../metadata answers."""
    kind = "type.googleapis.com/tensorflow.serving.SignatureDefMap"
    return {
        "model_spec": {"name": "cvae", "signature_name": "", "version": "1"},
        "metadata": {"signature_def": {"@type": kind, "signature_def": signatures}},
    }


def signature(inputs: dict, outputs: dict) -> dict:
    return {"inputs": inputs, "outputs": outputs, "method_name": "tensorflow/serving/predict", "defaults": {}}


IMAGES = {"images": tensor_info("DT_FLOAT", -1, 28, 28, 1, name="StatefulPartitionedCall:0")}
LABEL = {"label": tensor_info("DT_INT32", -1, name="decode_label:0")}


def decode_signature(latent: int, *, labels: bool = True) -> dict:
    z = {"z": tensor_info("DT_FLOAT", -1, latent, name="decode_z:0")}
    return signature(z | (LABEL if labels else {}), IMAGES)


def model_server(export, name: str = "cvae"):
    """Answers as TF Serving does of an exported model, of its versions and of nothing else."""
    import tensorflow as tf

    loaded = tf.saved_model.load(str(export)).signatures
    latent = loaded["decode"].structured_input_signature[1]["z"].shape[1]
    paths = [f"/v1/models/{name}", f"/v1/models/{name}/versions/1"]

    def answer(method, path, body):
        if method == "GET" and path in [f"{place}/metadata" for place in paths]:
            return 200, metadata({"decode": decode_signature(latent)})
        if method == "POST" and path in [f"{place}:predict" for place in paths]:
            assert {*body} == {"signature_name", "inputs"} and body["signature_name"] == "decode"
            assert {*body["inputs"]} == {"z", "label"}  # REST demands every input
            z, label = np.array(body["inputs"]["z"], np.float32), np.array(body["inputs"]["label"], np.int32)
            images = loaded["decode"](z=tf.constant(z), label=tf.constant(label))["images"]
            return 200, {"outputs": images.numpy().tolist()}  # a single output comes bare
        return 404, {"error": f"Servable not found for request: Latest({path})"}

    return answer


@pytest.fixture(scope="module")
def served(default_export):
    """The address of the default export's model."""
    with serving(model_server(default_export)) as address:
        yield f"{address}/v1/models/cvae"


def test_the_same_pixels_as_the_run(served, default_job):
    remote = open_sampler(served)
    own = generate(open_sampler(default_job[0].path), 70, labels=3, seed=5)
    found = generate(remote, 70, labels=3, seed=5)
    assert_same_images(found.images, own.images)
    assert found.images.dtype == np.float32 and found.labels.tolist() == [3] * 70


@pytest.mark.parametrize("suffix", ["", "/", "/versions/1"])
def test_what_the_metadata_tell(served, suffix, default_job):
    remote = ServerSampler(served + suffix)
    own = open_sampler(default_job[0].path)
    assert (remote.latent_shape, remote.conditional) == (own.latent_shape, True)
    assert (remote.spec.name, remote.spec.image_shape, remote.spec.num_classes) == ("cvae", (28, 28, 1), 0)
    assert (remote.encodes, remote.parameters, remote.weights_hash, remote.version) == (False, None, None, "1")
    assert generate(remote, 2, labels=1).images.shape == (2, 28, 28, 1)


def test_labels_are_given_as_numbers(served):
    remote = open_sampler(served)
    with pytest.raises(UserError, match="the classes of 'cvae' are not known here"):
        generate(remote, 4)
    with pytest.raises(UserError, match=r"class names of 'cvae'.*'seven'"):
        generate(remote, 4, labels="seven")


def test_an_unconditional_model_with_a_named_output():
    """Every latent point z gives an image of the grey level z[0]; outputs may come under their names."""

    def answer(method, path, body):
        if method == "GET":
            return 200, metadata({"decode": decode_signature(2, labels=False)})
        assert {*body["inputs"]} == {"z"}
        images = [np.full((28, 28, 1), z[0]).tolist() for z in body["inputs"]["z"]]
        return 200, {"outputs": {"images": images}}

    with serving(answer) as address:
        remote = ServerSampler(f"{address}/v1/models/plain")
        assert (remote.conditional, remote.latent_shape) == (False, (2,))
        found = generate(remote, 40, seed=1)
        np.testing.assert_array_equal(found.images[:, 0, 0, 0], found.z[:, 0])
        assert found.labels is None


def test_what_is_an_address():
    assert is_url("http://host:8501/v1/models/a") and is_url("https://host/v1/models/a")
    assert is_url("grpc://host:8500/v1/models/a")
    assert not is_url("runs/http") and not is_url("exports/cvae")


@pytest.mark.parametrize("path", ["", "/v1/models", "/v1/models/", "/v1/models/cvae:predict", "/v2/models/cvae"])
def test_addresses_of_no_model(path):
    with pytest.raises(UserError, match=r"is not the address of a served model; give .*/v1/models/cvae"):
        open_sampler(f"http://127.0.0.1:1{path}")


def unused_address() -> str:
    """An address of this machine where no server listens."""
    with serving(None) as address:
        return address


def test_nobody_is_there():
    with pytest.raises(UserError, match=r"cannot be reached \(ConnectionError\); start the server, or give"):
        ServerSampler(f"{unused_address()}/v1/models/cvae")


BROKEN = [
    ((404, {"error": "Servable not found for request: Latest(cvae)"}), "refused /metadata: Servable not found"),
    ((404, {}), "refused /metadata: Not Found"),
    ((500, ["went wrong"]), "refused /metadata|not as TF Serving does"),
    ((200, "<html>hello</html>"), r"answered, but not as TF Serving does \(HTTP 200\)"),
    ((502, ""), r"answered, but not as TF Serving does \(HTTP 502\)"),
    ((200, []), "metadata have no signature 'decode'"),
    ((200, None), "metadata have no signature 'decode'"),
    ((200, {}), "metadata have no signature 'decode'"),
    ((200, metadata({})), "metadata have no signature 'decode'.*kgen-export"),
    ((200, metadata({"serving_default": decode_signature(2)})), "no signature 'decode'"),
    ((200, metadata({"decode": signature({"x": tensor_info("DT_FLOAT", -1, 2)}, IMAGES)})), "'z'"),
    ((200, metadata({"decode": signature({"z": tensor_info("DT_FLOAT", -1, -1)}, IMAGES)})), r"its shape is \[-1\]"),
    ((200, metadata({"decode": signature({"z": tensor_info("DT_FLOAT", -1)}, IMAGES)})), r"its shape is \[\]"),
]


@pytest.mark.parametrize(("reply", "message"), BROKEN)
def test_what_is_no_model_of_kgen_is_said(reply, message):
    with serving(lambda method, path, body: reply) as address, pytest.raises(UserError, match=message) as raised:
        open_sampler(f"{address}/v1/models/cvae")
    assert str(raised.value).startswith(f"{address}/v1/models/cvae ")
    assert "\n" not in str(raised.value)


@pytest.mark.parametrize(
    ("reply", "message"),
    [
        ((400, {"error": "input z has the wrong shape"}), "refused :predict: input z has the wrong shape"),
        ((503, "overloaded"), r"not as TF Serving does \(HTTP 503\)"),
        ((200, {"predictions": []}), "cvae "),
        ((200, {"outputs": {"pictures": []}}), "cvae "),
        ((200, {"outputs": [[0.5]]}), "cvae "),
    ],
)
def test_a_server_that_fails_later(reply, message):
    def answer(method, path, body):
        return (200, metadata({"decode": decode_signature(2)})) if method == "GET" else reply

    with serving(answer) as address:
        remote = open_sampler(f"{address}/v1/models/cvae")
        with pytest.raises(UserError, match=message):
            generate(remote, 2, labels=0)
