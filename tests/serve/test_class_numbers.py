"""Classes 3, 5 and 10: a number means the class of that name, whichever way it is given, and every other is refused."""

import io
import json
import re
import shutil
import subprocess
import sys
import urllib.error
import urllib.request
from pathlib import Path

import grpc
import numpy as np
import pytest
import tensorflow as tf
from PIL import Image
from serving_case import ask, refusal, request_of, running

from kgen import generate, images, open_sampler
from kgen.data.reference import load_reference
from kgen.errors import UserError
from kgen.evaluate.target import open_target
from kgen.export import verify_export
from kgen.export.golden import Golden
from kgen.export.signatures import class_positions
from kgen.sampling.exported import read_metadata
from kgen.sampling.manifest import unsealed

NAMES = ("3", "5", "10")
REFUSED = (0, -1, 1, 2, 4, 11, 2**31 - 1, -(2**31))
SEED = 7
ROOT = Path(__file__).parents[2]
ON_DEVICE, DIGITS = ROOT / "tools" / "on_device" / "generate.py", ROOT / "exports" / "cvae-mnist" / "1"
pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def made(make_once):
    """run/, untrained, on images whose grey level is twenty times their class, and exports/numbers/1."""
    return make_once("class_numbers", make_and_export)


def make_and_export(folder: Path):
    from untrained import untrained_run

    from kgen.export import export

    rng = np.random.default_rng(0)
    for name in NAMES:
        (folder / "photos" / name).mkdir(parents=True)
        for i in range(12):
            pixels = 20 * int(name) + rng.integers(0, 20, (6, 5), dtype=np.uint8)
            Image.fromarray(pixels.astype(np.uint8)).save(folder / "photos" / name / f"{i}.png")
    settings = {
        "model": "cvae", "model_args.hidden": [8], "model_args.latent_dim": 2, "data.dataset": str(folder / "photos"),
    }  # fmt: skip
    run = untrained_run(folder / "run", **settings)
    export(run, folder / "exports" / "numbers", quantize=["dynamic", "int8"])


@pytest.fixture(scope="module")
def version(made):
    return made / "exports" / "numbers" / "1"


@pytest.fixture(scope="module")
def expected(made):
    """Number -> the image of the trained model, by the name of the class, [H, W, C] float32."""
    sampler = open_sampler(made / "run")
    found = {int(name): generate(sampler, 1, labels=name, seed=SEED).images[0] for name in NAMES}
    assert len({image.tobytes() for image in found.values()}) == len(NAMES)
    return found


def inputs(number: int) -> dict[str, np.ndarray]:
    """Of `generate`."""
    return {"label": np.int32([number]), "seed": np.int32([SEED]), "temperature": np.float32([1])}


def test_the_manifest_states_the_numbers(version):
    for values in (json.loads((version / "manifest.json").read_text()), read_metadata(version / "model.tflite")):
        assert {*values["class_names"]} == {*NAMES}
        assert values["class_numbers"] == [int(name) for name in values["class_names"]]
        assert values["ranges"]["label"] == [3, 10]
    assert {*Golden.load(version).label} == {3, 5, 10}
    verify_export(version)


def test_the_saved_model(version, expected):
    signatures = tf.saved_model.load(str(version)).signatures

    def call(number):
        return signatures["generate"](**{name: tf.constant(value) for name, value in inputs(number).items()})["images"]

    for number, image in expected.items():
        np.testing.assert_allclose(call(number)[0], image, atol=1e-5)
    for number in REFUSED:
        with pytest.raises(tf.errors.InvalidArgumentError, match=rf"label must be .*3, 5, 10.*\[{number}\]"):
            call(number)
    for name, signature in signatures.items():  # one wrong row fails the call of every signature
        given = Golden.load(version).inputs(name)
        given["label"] = np.r_[np.int32([0]), given["label"][1:]]
        with pytest.raises(tf.errors.InvalidArgumentError, match="label must be"):
            signature(**{key: tf.constant(value) for key, value in given.items()})


def test_xla_which_drops_asserts_gives_no_other_class(version, expected):
    loaded = tf.saved_model.load(str(version))
    given = {name: np.repeat(value, 4) for name, value in inputs(0).items()} | {"label": np.int32([0, 10, -1, 4])}
    given = {name: tf.constant(value) for name, value in given.items()}
    found = tf.function(loaded.signatures["generate"], jit_compile=True)(**given)["images"].numpy()
    np.testing.assert_allclose(found[1], expected[10], atol=1e-5)
    assert np.isnan(found[[0, 2, 3]]).all()
    assert (
        not tf.function(loaded.signatures["generate_u8"], jit_compile=True)(**given)["images"].numpy()[[0, 2, 3]].any()
    )


def test_every_tflite_file(version, expected):
    """A number of no class gives no picture: NaN in every value, or 0 in uint8."""
    from ai_edge_litert.interpreter import Interpreter, OpResolverType

    golden, files = Golden.load(version), sorted(version.glob("*.tflite"))
    assert {"model.tflite", "encoder.tflite", "decode-int8.tflite"} <= {file.name for file in files}
    for file in files:
        for resolver in (OpResolverType.AUTO, OpResolverType.BUILTIN_WITHOUT_DEFAULT_DELEGATES):
            interpreter = Interpreter(str(file), num_threads=1, experimental_op_resolver_type=resolver)
            for name in interpreter.get_signature_list():
                runner, row = interpreter.get_signature_runner(name), golden.inputs(name)
                row = {key: value[:1] for key, value in row.items()}
                before = runner(**row)
                for number in REFUSED:
                    for value in runner(**row | {"label": np.int32([number])}).values():
                        assert np.all(value == 0 if value.dtype == np.uint8 else np.isnan(value)), (file.name, name)
                for key, value in runner(**row).items():
                    np.testing.assert_array_equal(value, before[key])
    runner = Interpreter(str(version / "model.tflite")).get_signature_runner("generate")
    for number, image in expected.items():
        np.testing.assert_allclose(runner(**inputs(number))["images"][0], image, atol=1e-5)


def test_the_server_by_rest_and_grpc(made, expected):
    with running(made / "exports") as server:
        server.model = "numbers"
        url = f"{server.rest}/v1/models/numbers:predict"

        def rest(number):
            row = {name: value.tolist() for name, value in inputs(number).items()}
            body = json.dumps({"signature_name": "generate", "inputs": row}).encode()
            return np.array(json.load(urllib.request.urlopen(urllib.request.Request(url, body)))["outputs"])

        example = json.loads(re.search(r"curl -d '(.*?)'", server.server.ready())[1])
        assert server.predict(example).status_code == 200 and example["inputs"]["label"][0] in expected
        remote = open_sampler(url.removesuffix(":predict"))
        for number, image in expected.items():
            np.testing.assert_allclose(rest(number)[0], image, atol=1e-5)
            np.testing.assert_allclose(ask(server, "generate", **inputs(number))["images"][0], image, atol=1e-5)
            np.testing.assert_allclose(generate(remote, 1, labels=number, seed=SEED).images[0], image, atol=1e-5)
        for number in REFUSED:
            with pytest.raises(urllib.error.HTTPError) as raised:
                rest(number)
            assert raised.value.code == 400 and f"Received: {number}" in json.load(raised.value)["error"]
            code, text = refusal(server.prediction.Predict, request_of(server, "generate", **inputs(number)))
            assert code == grpc.StatusCode.INVALID_ARGUMENT and "'label'" in text
            with pytest.raises(UserError, match=f"label.*Received: {number}|known here.*Received: {number}"):
                generate(remote, 1, labels=number)
        with pytest.raises(urllib.error.HTTPError) as raised:
            rest(4)  # between the least and the greatest
        assert "one of the numbers 3, 5, 10. Received: 4" in json.load(raised.value)["error"]


def test_an_evaluation_asks_for_the_same_classes(made, version):
    """Also of a server, which does not tell its classes."""
    own = open_target(made / "run")
    reference = load_reference(own.config, split="train", spec=own.spec)
    expected, labels = own.sample(reference, 6, SEED)
    assert labels.tolist() == [0, 1, 2, 0, 1, 2]
    with running(made / "exports") as server:
        served = [f"{server.rest}/v1/models/numbers", f"grpc://{server.grpc}/v1/models/numbers"]
        for path in (version, version / "model.tflite", *served):
            found, same = open_target(path).sample(reference, 6, SEED)
            assert abs(found.astype(int) - expected).max() <= 1 and same.tolist() == labels.tolist()


@pytest.mark.parametrize("path", ["run", "exports/numbers", "exports/numbers/1/model.tflite"])
def test_kgen_sample(made, expected, tmp_path, capsys, path):
    from kgen.cli import sample

    def call(*flags):
        return sample.main([str(made / path), "--count", "1", f"--seed={SEED}", *flags])

    assert call("--label", "10", "--format", "npz", "--out", str(tmp_path / "ten.npz")) == 0
    with np.load(tmp_path / "ten.npz") as arrays:
        assert arrays["labels"].tolist() == [10]
        difference = arrays["images"][0].astype(int) - images.to_uint8(expected[10])
        assert abs(difference).max() <= 1
    assert call("--label", "10", "--format", "png-files", "--out", str(tmp_path / "files")) == 0
    assert [file.name for file in (tmp_path / "files").iterdir()] == ["00000-label10.png"]
    capsys.readouterr()
    for label in ("0", "-1", "4", "10.0", ""):
        assert call(f"--label={label}") == 2
        assert f"label {label!r} is no class of 'photos': give one of the numbers 3, 5, 10" in capsys.readouterr().err


def test_samplers_take_positions(made, version, expected):
    z = open_sampler(version).density.sample(SEED, 1, np.int32([2]))
    assert generate(open_sampler(version), 3).labels.tolist() == [0, 1, 2]
    for path in (made / "run", version, version / "model.tflite"):
        sampler = open_sampler(path)
        label = np.int32([sampler.spec.label("10")])
        assert sampler.spec.class_names[label[0]] == "10"
        np.testing.assert_allclose(sampler.decode(z, label)[0], expected[10], atol=1e-5)
    for path in (version, version / "model.tflite"):
        for wrong in (-1, 3, 10):
            with pytest.raises(UserError, match=rf"0 to 2.*{wrong}"):
                open_sampler(path).decode(z, np.int32([wrong]))


def test_an_export_without_numbers_takes_positions(tmp_path):
    """As kgen wrote it before: the manifest states no numbers, whatever the names are."""
    old = shutil.copytree(DIGITS, tmp_path / "1")
    manifest = json.loads((old / "manifest.json").read_text())
    assert "class_numbers" not in manifest
    manifest["spec"]["class_names"] = manifest["class_names"] = [str(number) for number in range(1, 11)]
    (old / "manifest.json").write_text(json.dumps(unsealed(manifest)))
    nine, ten = (generate(open_sampler(path), 1, labels=label) for path, label in ((DIGITS, "9"), (old, "10")))
    np.testing.assert_array_equal(nine.images, ten.images)


def test_the_script_for_devices(version, expected, tmp_path):
    def call(number):
        words = [sys.executable, str(ON_DEVICE), str(version / "model.tflite"), f"--label={number}", f"--seed={SEED}"]
        return subprocess.run([*words, "--out", str(tmp_path / "out.png")], capture_output=True, text=True)

    assert call(10).returncode == 0
    found = np.asarray(Image.open(io.BytesIO((tmp_path / "out.png").read_bytes())))
    assert abs(found - images.to_uint8(expected[10])[..., 0].astype(int)).max() <= 1
    for number in (0, 4, -1):
        done = call(number)
        assert done.returncode == 2 and f"Received: {number}" in done.stderr


def test_positions_of_numbers():
    for numbers in ([0, 1, 2], [3, 5, 10], [0, 1, 10, 2]):
        found, known = class_positions(tf.constant(numbers), numbers)
        assert found.numpy().tolist() == list(range(len(numbers))) and known.numpy().all()
        found, known = class_positions(tf.constant([-1, 99]), numbers)
        assert not np.isin(found, range(len(numbers))).any() and not known.numpy().any()
