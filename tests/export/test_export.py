"""Exports: they need no kgen, agree with the model, and appear whole or not at all."""

import json
import os
import re
import shutil
import subprocess
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import tensorflow as tf
from copied_files import copies_files_of
from same_images import assert_same_images
from untrained import untrained_run

import kgen.export
from kgen import RunConfig, generate, open_sampler, random
from kgen.cli import export as export_command
from kgen.config import override
from kgen.errors import ExportFailed, UserError
from kgen.export import bundle, export, verify_export
from kgen.export.golden import Golden
from kgen.export.signatures import ExportSignature, signatures
from kgen.export.tf_serving import write_server_files
from kgen.export.tflite import convert
from kgen.export.verify import verify_files
from kgen.io import aside_of, remove_leftovers
from kgen.models import PRESETS
from kgen.sampling.exported import SavedModelRuntime, TFLiteRuntime, read_metadata
from kgen.sampling.manifest import write_manifest
from kgen.train import train

WITHOUT_KGEN = """
import sys
sys.modules["kgen"] = sys.modules["keras"] = None  # importing either now fails
import numpy as np, tensorflow as tf
loaded = tf.saved_model.load(sys.argv[1])
given = np.load(sys.argv[2])
decoded = loaded.signatures["decode"](z=tf.constant(given["z"]), label=tf.constant(given["label"]))["images"]
encoded = loaded.signatures["encode"](images=decoded, label=tf.constant(given["label"]))
np.savez(sys.argv[3], images=decoded, mean=encoded["mean"], log_var=encoded["log_var"])
"""


@pytest.mark.slow
def test_the_saved_model_runs_without_kgen_and_keras(default_job, default_export, tmp_path):
    z = np.random.default_rng(0).standard_normal((20, *default_job[0].load_model().latent_shape)).astype(np.float32)
    label = np.arange(20, dtype=np.int32) % 10
    np.savez(tmp_path / "given.npz", z=z, label=label)
    arguments = [str(default_export), str(tmp_path / "given.npz"), str(tmp_path / "got.npz")]
    subprocess.run([sys.executable, "-c", WITHOUT_KGEN, *arguments], check=True, cwd=tmp_path)
    got = np.load(tmp_path / "got.npz")
    model = default_job[0].load_model()
    np.testing.assert_allclose(got["images"], model.generate(z, label), atol=1e-5)
    mean, log_var = model.encode(got["images"], label)
    np.testing.assert_allclose(got["mean"], mean, atol=1e-5)
    np.testing.assert_allclose(got["log_var"], log_var, atol=1e-5)


@pytest.mark.parametrize("file", ["model.tflite", "encoder.tflite"])
def test_the_tflite_files_have_only_builtin_operators(default_export, file):
    from ai_edge_litert.interpreter import Interpreter

    interpreter = Interpreter(model_path=str(default_export / file))
    names = {operator["op_name"] for operator in interpreter._get_ops_details()}
    assert names and not [name for name in names if name.startswith("Flex") or name == "CUSTOM"]


def test_the_manifest_says_what_was_measured(default_job, default_export):
    manifest = json.loads((default_export / "manifest.json").read_text())
    for artefact, bound in (("saved_model decode", 1e-5), ("model.tflite serving_default", 1e-5)):
        measured = manifest["measured"][artefact]
        assert measured["max_abs_difference"] <= bound and measured["latency_ms"] > 0
        assert measured["uint8_pixels_different"] == measured["uint8_pixels_different_at_a_border"]
        assert measured["values"] == 64 * 28 * 28
    alone = manifest["measured"]["saved_model generate_png"]["row_by_row"]
    assert alone["values"] == 8 * 28 * 28 and alone["max_abs_difference"] <= 1e-5
    assert "row_by_row" not in manifest["measured"]["model.tflite decode"]  # it has no other way
    assert manifest["environment"]["processor"] and manifest["environment"]["instruction_sets"]
    assert manifest["signatures"]["decode"]["inputs"]["label"] == {"dtype": "int32", "shape": [None]}
    assert manifest["signatures"]["generate_png"]["outputs"] == {"png_bytes": {"dtype": "string", "shape": [None]}}
    assert manifest["ranges"]["label"] == [0, 9] and manifest["ranges"]["seed"] == [0, 2**31 - 1]
    assert manifest["checkpoint"]["epoch"] == default_job[0].checkpoint_state()["best"]["epoch"]
    parameters = 4 * default_job[0].load_model().parameters
    (variables,) = (default_export / "variables").glob("*.data-*")
    assert parameters <= variables.stat().st_size <= 1.02 * parameters, "variables are stored more than once"


@pytest.mark.slow
def test_a_tflite_file_says_what_it_is(default_export):
    values = read_metadata(default_export / "model.tflite")
    assert values["class_names"] == list("0123456789") and values["latent_shape"] == [2]
    assert values["value_range"] == [0, 1] and values["ranges"]["seed"] == [0, 2**31 - 1]
    assert values["signatures"]["serving_default"] == ["label", "seed"]
    with pytest.raises(UserError, match=r"plain\.tflite has no metadata"):
        read_metadata(without_metadata(default_export / "model.tflite"))


def without_metadata(file):
    """A .tflite file as the converter writes it."""
    signature = {"one": ExportSignature(lambda x: {"y": x + 1.0}, (tf.TensorSpec([1], name="x"),))}
    path = file.parent.parent / "plain.tflite"
    path.write_bytes(convert(signature))
    return path


def test_warm_up_records_are_requests_that_the_model_answers(default_export):
    from tensorflow_serving.apis import prediction_log_pb2

    signatures = tf.saved_model.load(str(default_export)).signatures
    seen = []
    for record in tf.data.TFRecordDataset(str(default_export / "assets.extra" / "tf_serving_warmup_requests")):
        request = prediction_log_pb2.PredictionLog.FromString(record.numpy()).predict_log.request
        inputs = {name: tf.constant(tf.make_ndarray(value)) for name, value in request.inputs.items()}
        answer = signatures[request.model_spec.signature_name](**inputs)
        seen.append((request.model_spec.signature_name, len(next(iter(answer.values())))))
        assert request.model_spec.name == "cvae"
    assert sorted(seen) == sorted((name, size) for name in signatures for size in (1, 8))


CASES = (
    ("vae", {"network": "conv", "filters": [4, 8], "batch_norm": True, "likelihood": "gaussian_learned"}),
    ("cvae", {"network": "conv", "filters": [4, 8], "latent_dim": 3}),
    ("pixel_cvae", {"network": "mlp", "hidden": [8], "levels": 4, "layers": 2, "width": 4, "conditioned_layers": 1}),
    ("gan", {"hidden": [8], "discriminator_hidden": [8]}),
    ("cdcgan", {"filters": [4, 8]}),
    ("vae_gan", {"network": "mlp", "hidden": [8]}),
)


@pytest.mark.slow
@pytest.mark.parametrize(("model", "model_args"), CASES, ids=[f"{model}-{i}" for i, (model, _) in enumerate(CASES)])
def test_every_model_and_network_exports(tmp_path, model, model_args):
    """Colour, odd sizes, with and without labels: the files give what the run gives."""
    shape = {"cdcgan": (28, 28, 3), "pixel_cvae": (4, 3, 3)}.get(model, (18, 11, 3))
    run = small_run(tmp_path, model, model_args, shape)
    version = export(run, tmp_path / "made")
    inputs = json.loads((version / "manifest.json").read_text())["signatures"]["decode"]["inputs"]
    assert set(inputs) == ({"z", "label"} if PRESETS[model].conditional else {"z"})
    count = 4 if model == "pixel_cvae" else 40
    generated, saved, lite = (
        generate(open_sampler(path), count, seed=2).images for path in (run.path, version, version / "model.tflite")
    )
    assert generated.shape == (count, *shape) and np.ptp(generated) > 0
    assert_same_images(saved, generated)
    np.testing.assert_allclose(generated, lite, atol=1e-5)


def small_run(tmp_path, model, model_args, shape, make=untrained_run):
    """A run on noise of three classes."""
    rng = np.random.default_rng(0)
    pixels, labels = rng.integers(0, 256, (40, *shape), np.uint8), np.arange(40) % 3
    np.savez(tmp_path / "made.npz", images=pixels, labels=labels)
    settings = {"model": model, "data.dataset": str(tmp_path / "made.npz"), "train.epochs": 1}
    return make(tmp_path / "run", **settings, **{f"model_args.{k}": v for k, v in model_args.items()})


def trained_run(path, **settings):
    return train(override(RunConfig(), settings), run_dir=str(path))


@pytest.mark.slow
def test_smaller_tflite_files(tmp_path):
    """One a signature, each within its bound, and of fewer bytes; a sampler opens those that decode."""
    run = small_run(tmp_path, "cvae", {"network": "conv", "filters": [16, 32]}, (28, 28, 1), trained_run)
    version = export(run, tmp_path / "made", quantize=["float16", "dynamic", "int8", "int8_io"])
    manifest = json.loads((version / "manifest.json").read_text())
    sizes = {name: about["bytes"] for name, about in manifest["files"].items()}
    assert {"interpolate-dynamic.tflite", "interpolate-int8.tflite"} <= set(sizes)
    for signature in ("serving_default", "generate", "generate_u8", "decode", "encode"):
        assert sizes[f"{signature}-int8.tflite"] < sizes[f"{signature}-float16.tflite"] < sizes["model.tflite"]
    (integers,) = (found for found in manifest["quantized"] if "int8_io" in found["file"])
    assert integers["inputs"].keys() == {"z"} and integers["outputs"]["images"]["zero_point"] == -128
    for kind, bound in (("float16", 1), ("dynamic", 50), ("int8", 42), ("int8_io", 42)):
        assert manifest["measured"][f"decode-{kind}.tflite decode"]["psnr_db"] >= bound
        generated = generate(open_sampler(version / f"decode-{kind}.tflite"), 20, seed=2).images
        assert 0 < np.abs(generated - generate(open_sampler(version), 20, seed=2).images).max() < 0.05
    assert {found["file"] for found in manifest["quantized"] if not found["refused"]} == {
        name for name in sizes if name.endswith(".tflite") and "-" in name
    }
    assert verify_export(tmp_path / "made")[1].keys() == manifest["measured"].keys()


@pytest.mark.parametrize(("refused", "code"), [((True, True), 1), ((True, False), 0)])
def test_the_command_fails_if_no_quantized_file_holds(
    default_job, default_export, tmp_path, monkeypatch, capsys, refused, code
):
    """The others are written nevertheless."""

    def written(run, to, *, quantize, **_):
        version = shutil.copytree(default_export, Path(to) / "1")
        numbers = {"form": "all layers", "bytes": 1, "share_of_float32": 0.3, "psnr_db": 40.0}
        found = [
            {"file": f"{name}-{quantize[0]}.tflite", "max_abs_difference": 0.1, "refused": "PSNR" if no else None}
            for name, no in zip(("generate", "decode"), refused, strict=True)
        ]
        values = {k: v for k, v in json.loads((version / "manifest.json").read_text()).items() if k != "digest"}
        write_manifest(version, values | {"quantized": [one | numbers for one in found]}, None)
        return version

    monkeypatch.setattr(kgen.export, "export", written)
    arguments = [str(default_job[0].path), "--to", str(tmp_path / "cvae"), "--quantize=int8"]
    assert export_command.main(arguments) == code
    told = capsys.readouterr()
    assert "generate-int8.tflite" in told.out and "refused generate-int8.tflite: PSNR" in told.out
    assert "model.tflite decode" in told.out
    assert ("no file of --quantize int8 is near enough to the trained model" in told.err) == bool(code)


@pytest.mark.slow
def test_what_cannot_be_quantized(default_job, tmp_path):
    with pytest.raises(UserError, match=r"--quantize.*float16.*Received: 'int4'"):
        export(default_job[0], tmp_path / "cvae", quantize=["float16", "int4"])
    pixel = small_run(tmp_path, *CASES[2], (6, 5, 1))
    with pytest.raises(UserError, match=r"model 'pixel_cvae' samples pixel by pixel.*leave out the flag"):
        export(pixel, tmp_path / "pixel", quantize=["float16"])
    assert not (tmp_path / "cvae").exists() and not (tmp_path / "pixel").exists()


@pytest.mark.slow
def test_seeds_draw_from_the_prior_of_the_export(tmp_path):
    """That of a mixture too, in the SavedModel and in the .tflite file."""
    run = small_run(tmp_path, "cvae", {"hidden": [8], "latent_dim": 2}, (8, 8, 1))
    version = export(run, tmp_path / "made", prior="gaussian_mixture")
    generated = generate(open_sampler(version), 30, seed=4)
    plain = generate(open_sampler(version, prior="standard_normal"), 30, seed=4)
    assert np.abs(generated.z - plain.z).max() > 0.1
    for runtime in (SavedModelRuntime(version), TFLiteRuntime(version / "model.tflite")):
        got = runtime.call("serving_default", seed=random.row_seeds(4, 30), label=generated.labels)
        np.testing.assert_allclose(got["images"], generated.images, atol=1e-5)


def test_versions_count_up(default_job, default_export, tmp_path, monkeypatch):
    copies_files_of(default_export, monkeypatch)
    assert [export(default_job[0].path, tmp_path / "cvae").name for _ in range(2)] == ["1", "2"]
    assert sorted(p.name for p in (tmp_path / "cvae").iterdir()) == ["1", "2"]


@pytest.mark.slow
def test_an_export_that_disagrees_leaves_nothing(tmp_path, monkeypatch):
    """A .tflite file of other weights is refused."""
    run = small_run(tmp_path, "cvae", {"hidden": [8], "latent_dim": 2}, (8, 8, 1))
    wrong = run.load_model()
    wrong.decoder.get_layer("logits").bias.assign_add(np.full(64, 1e-3, np.float32))
    monkeypatch.setattr(
        bundle,
        "signatures",
        lambda model, density, batch_size=None, **more: signatures(
            wrong if batch_size else model, density, batch_size, **more
        ),
    )
    with pytest.raises(ExportFailed, match=r"model.tflite decode does not agree .*; nothing was written"):
        export(run, tmp_path / "cvae")
    assert list((tmp_path / "cvae").iterdir()) == []


@pytest.mark.slow
def test_an_export_is_verified_anywhere(default_export, tmp_path, capsys):
    """Without its run: the files are those that were written, and give what they gave."""
    version = shutil.copytree(default_export, tmp_path / "moved" / "1")
    folder, measured = verify_export(tmp_path / "moved")
    assert folder == version
    assert measured.keys() == json.loads((version / "manifest.json").read_text())["measured"].keys()
    assert export_command.main([str(tmp_path / "moved"), "--verify"]) == 0
    assert re.search(r"model.tflite serving_default +\| +\S+e-\d+ \| .*\d\n", capsys.readouterr().out)
    (version / "eval").mkdir()  # as kgen-eval does
    assert verify_export(version)[0] == version
    changed = bytearray((version / "model.tflite").read_bytes())
    changed[-1] ^= 1
    (version / "model.tflite").write_bytes(changed)
    with pytest.raises(ExportFailed, match=r"model.tflite has changed since the export was written"):
        verify_export(tmp_path / "moved")
    assert export_command.main([str(tmp_path / "moved"), "--verify"]) == 1
    (version / "model.tflite").unlink()
    with pytest.raises(ExportFailed, match=r"model.tflite is missing"):
        verify_export(tmp_path / "moved")
    with pytest.raises(UserError, match="is no export"):
        verify_export(tmp_path)


def test_another_golden_batch_is_not_met(default_export, tmp_path):
    version = shutil.copytree(default_export, tmp_path / "1")
    golden = Golden.load(version)
    replace(golden, tempered=golden.tempered + np.float32(1e-3)).save(version)
    with pytest.raises(ExportFailed, match=r"saved_model generate does not agree .*0.001 .at most 1e-05"):
        verify_files(version, Golden.load(version))


def test_the_files_beside_exports_start_tf_serving(default_export):
    from google.protobuf import text_format
    from tensorflow_serving.config import model_server_config_pb2

    base = default_export.parent.parent
    config = text_format.Parse((base / "models.config").read_text(), model_server_config_pb2.ModelServerConfig())
    named = {model.name: model.base_path for model in config.model_config_list.config}
    assert named == {"cvae": "/models/cvae"}
    assert {"batching.config", "monitoring.config", "compose.yaml", "README.md"} <= {p.name for p in base.iterdir()}
    (base / "README.md").write_text("mine")
    assert write_server_files(base) and (base / "README.md").read_text() == "mine"


def exports_of(folder, *names):
    """Folders that look like exports."""
    for name in names:
        (folder / name / "1").mkdir(parents=True)
        (folder / name / "1" / "saved_model.pb").write_bytes(b"")
    return folder


def test_what_somebody_wrote_into_models_config_stays(tmp_path):
    write_server_files(exports_of(tmp_path, "a"))
    config = tmp_path / "models.config"
    mine = config.read_text().replace(
        '"tensorflow"', '"tensorflow"\n    version_labels { key: "live" value: 1 } # mine'
    )
    config.write_text(mine)
    write_server_files(tmp_path)
    assert config.read_text() == mine
    write_server_files(exports_of(tmp_path, "b"))
    assert config.read_text().startswith(mine[: mine.rindex("}")])
    from google.protobuf import text_format
    from tensorflow_serving.config import model_server_config_pb2

    config = text_format.Parse(config.read_text(), model_server_config_pb2.ModelServerConfig()).model_config_list.config
    assert [(m.name, m.base_path, dict(m.version_labels)) for m in config] == [
        ("a", "/models/a", {"live": 1}),
        ("b", "/models/b", {}),
    ]


def test_an_export_that_appears_meanwhile_is_listed(tmp_path, monkeypatch):
    """Two exports end at the same time: the file of the later one is written over by that of the earlier one."""
    from kgen.export import tf_serving

    write, other = tf_serving.write_text, iter("b")

    def meanwhile(path, text):
        for name in other:
            exports_of(tmp_path, name)
        return write(path, text)

    monkeypatch.setattr(tf_serving, "write_text", meanwhile)
    write_server_files(exports_of(tmp_path, "a"))
    assert "/models/b" in (tmp_path / "models.config").read_text()


def test_exports_to_one_target_at_the_same_time(tmp_path):
    """Each takes a number of its own, whatever the processes' ids; names that are no version do not count."""
    (tmp_path / "20260730120000123456789").mkdir()  # a time stamp beyond int64
    taken = []

    def publish(_):
        staging = aside_of(tmp_path / "version")
        staging.mkdir()
        (staging / "file").write_text(staging.name)
        taken.append(bundle._publish(staging, tmp_path).name)

    with ThreadPoolExecutor(8) as pool:
        list(pool.map(publish, range(40)))
    assert sorted(map(int, taken)) == [*range(1, 41)]
    assert len({(tmp_path / name / "file").read_text() for name in taken}) == 40


def test_leftovers_of_killed_exports_go_after_a_day(tmp_path):
    now = time.time()
    for name, hours in ((".part-1", 25), (".part-2-version", 23)):
        (tmp_path / name / "variables").mkdir(parents=True)
        for path in (tmp_path / name / "variables", tmp_path / name):
            os.utime(path, (now - 3600 * hours,) * 2)
    (tmp_path / ".part-0-models.config").write_text("")
    os.utime(tmp_path / ".part-0-models.config", (now - 90_000,) * 2)
    remove_leftovers(tmp_path)
    assert [path.name for path in tmp_path.iterdir()] == [".part-2-version"]


def test_a_folder_of_other_things_is_left_alone(default_export, tmp_path):
    (tmp_path / "photos").mkdir()
    shutil.copytree(default_export, tmp_path / "cvae" / "1")
    assert not write_server_files(tmp_path)
    assert sorted(p.name for p in tmp_path.iterdir()) == ["cvae", "photos"]


def test_no_place_to_export_to(default_job, tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(UserError, match=r"--to .*name a folder that can be written"):
        export(default_job[0], tmp_path / "file" / "cvae")
