"""Exports: they need no kgen, agree with the model, and appear whole or not at all."""

import json
import subprocess
import sys

import numpy as np
import pytest

from kgen import RunConfig, generate, images, open_sampler
from kgen.config import override
from kgen.errors import ExportFailed, UserError
from kgen.export import bundle, export, verify
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


def test_the_saved_model_runs_without_kgen_and_keras(default_job, default_export, tmp_path):
    z = np.random.default_rng(0).standard_normal((20, *default_job[0].load_model().latent_shape)).astype(np.float32)
    label = np.arange(20, dtype=np.int32) % 10
    np.savez(tmp_path / "given.npz", z=z, label=label)
    arguments = [str(default_export), str(tmp_path / "given.npz"), str(tmp_path / "got.npz")]
    subprocess.run([sys.executable, "-c", WITHOUT_KGEN, *arguments], check=True, cwd=tmp_path)
    got = np.load(tmp_path / "got.npz")
    model = default_job[0].load_model()
    np.testing.assert_allclose(got["images"], model.generate(z, label), atol=1e-6)
    mean, log_var = model.encode(got["images"], label)
    np.testing.assert_allclose(got["mean"], mean, atol=1e-5)
    np.testing.assert_allclose(got["log_var"], log_var, atol=1e-5)


def test_the_tflite_file_has_only_builtin_operators(default_export):
    from ai_edge_litert.interpreter import Interpreter

    interpreter = Interpreter(model_path=str(default_export / "model.tflite"))
    assert list(interpreter.get_signature_list()) == ["decode"]
    names = {operator["op_name"] for operator in interpreter._get_ops_details()}
    assert names and not [name for name in names if name.startswith("Flex") or name == "CUSTOM"]


def test_the_manifest_says_what_was_measured(default_job, default_export):
    manifest = json.loads((default_export / "manifest.json").read_text())
    for artefact in ("saved_model decode", "tflite decode"):
        measured = manifest["measured"][artefact]
        assert measured["max_abs_difference"] <= 1e-5 and measured["uint8_pixels_different"] == 0
        assert measured["values"] == 64 * 28 * 28
    assert manifest["signatures"]["decode"]["inputs"]["label"] == {"dtype": "int32", "shape": [None]}
    assert manifest["checkpoint"]["epoch"] == default_job[0].checkpoint_state()["best"]["epoch"]
    parameters = 4 * sum(int(np.prod(w.shape)) for w in default_job[0].load_model().trainable_weights)
    assert manifest["bytes"]["saved_model"] < 1.05 * parameters, "variables are stored more than once"


@pytest.mark.parametrize(
    ("model", "model_args"),
    [
        ("vae", {"network": "conv", "batch_norm": True, "likelihood": "gaussian_learned"}),
        ("vae", {"network": "mlp"}),
        ("cvae", {"network": "conv", "latent_dim": 3}),
    ],
)
def test_every_model_and_network_exports(tmp_path, model, model_args):
    """Colour, odd sizes, with and without labels: the files give what the run gives."""
    rng = np.random.default_rng(0)
    pixels, labels = rng.integers(0, 256, (40, 18, 11, 3), np.uint8), np.arange(40) % 3
    np.savez(tmp_path / "made.npz", images=pixels, labels=labels)
    settings = {"model": model, "data.dataset": str(tmp_path / "made.npz"), "train.epochs": 1}
    settings |= {"model_args.hidden": [8], "model_args.filters": [4, 8]}
    config = override(RunConfig(), settings | {f"model_args.{k}": v for k, v in model_args.items()})
    run = train(config, run_dir=str(tmp_path / "run"))
    version = export(run, tmp_path / "made")
    inputs = json.loads((version / "manifest.json").read_text())["signatures"]["decode"]["inputs"]
    assert set(inputs) == ({"z", "label"} if model == "cvae" else {"z"})
    drawn, saved, lite = (
        generate(open_sampler(path), 40, seed=2).images for path in (run.path, version, version / "model.tflite")
    )
    assert drawn.shape == (40, 18, 11, 3) and np.ptp(drawn) > 0
    np.testing.assert_array_equal(drawn, saved)
    np.testing.assert_allclose(drawn, lite, atol=1e-5)


def test_versions_count_up(default_job, tmp_path):
    assert [export(default_job[0].path, tmp_path / "cvae").name for _ in range(2)] == ["1", "2"]
    assert sorted(p.name for p in (tmp_path / "cvae").iterdir()) == ["1", "2"]


def test_an_export_that_disagrees_leaves_nothing(default_job, tmp_path, monkeypatch):
    """A .tflite file of other weights is refused."""
    wrong = default_job[0].load_model()
    wrong.decoder.get_layer("logits").bias.assign_add(np.full(784, 1e-3, np.float32))
    write = bundle.write_tflite
    monkeypatch.setattr(bundle, "write_tflite", lambda model, path: write(wrong, path))
    with pytest.raises(ExportFailed, match=r"tflite decode does not agree"):
        export(default_job[0], tmp_path / "cvae")
    assert list((tmp_path / "cvae").iterdir()) == []


def test_no_place_to_export_to(default_job, tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(UserError, match=r"--to .*name a place that can be written"):
        export(default_job[0], tmp_path / "file" / "cvae")


def test_compare_counts_pixels_and_knows_borders():
    border = np.float32(100.5 / 255)
    expected = np.array([[0.0, 1.0, border, 0.3]], np.float32)
    got = expected + np.array([[0, 0, 2e-7, 0]], np.float32)
    assert images.to_uint8(expected)[0, 2] != images.to_uint8(got)[0, 2]
    found = verify.compare(expected, got)
    assert (found.uint8_pixels_different, found.uint8_pixels_different_at_a_border, found.values) == (1, 1, 4)
    found.demand("this")
    far = verify.compare(expected, expected + np.float32(2e-3))
    assert far.uint8_pixels_different > far.uint8_pixels_different_at_a_border
    with pytest.raises(ExportFailed, match="this does not agree"):
        far.demand("this")
    with pytest.raises(ExportFailed):
        verify.compare(expected, expected * np.nan).demand("this")
    with pytest.raises(ExportFailed, match="shapes differ"):
        verify.compare(expected, expected[:, :2])
