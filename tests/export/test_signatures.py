"""The signatures of an export: what they take, and that a row is a function of its own inputs alone."""

import io

import numpy as np
import pytest
import tensorflow as tf
from PIL import Image
from same_images import assert_same_images
from untrained import untrained_run

from kgen import generate, open_sampler, random
from kgen.export import export
from kgen.sampling.exported import SavedModelRuntime, TFLiteRuntime
from kgen.sampling.slerp import slerp

OF_A_SEED = ("serving_default", "generate", "generate_u8", "generate_png")


@pytest.fixture(scope="module")
def exported(tmp_path_factory):
    """exports/cvae/1 of a conditional model of the digits."""
    run = untrained_run(tmp_path_factory.mktemp("run") / "cvae", model="cvae")
    return export(run, tmp_path_factory.mktemp("exports") / "cvae")


@pytest.fixture(scope="module")
def saved(exported):
    return SavedModelRuntime(exported)


@pytest.fixture(scope="module")
def lite(exported):
    return TFLiteRuntime(exported / "model.tflite")


def inputs(signature: str, count: int) -> dict[str, np.ndarray]:
    seed, label = random.row_seeds(11, count), np.arange(count, dtype=np.int32) % 10
    if signature == "serving_default":
        return {"seed": seed, "label": label}
    if signature in OF_A_SEED:
        return {"seed": seed, "label": label, "temperature": np.linspace(0, 1.5, count, dtype=np.float32)}
    z = random.portable_normals(seed, 2)
    if signature == "decode":
        return {"z": z, "label": label}
    if signature == "interpolate":
        return {"z0": z, "z1": beside(z), "label": label, "t": np.linspace(0, 1, count, dtype=np.float32)}
    return {"images": np.random.default_rng(0).random((count, 28, 28, 1), np.float32), "label": label}


def beside(z: np.ndarray) -> np.ndarray:
    """A point for each, a third of a circle and a little further out: not opposite, where rounding is amplified."""
    turn = 2 * np.pi / 3
    return np.float32(1.1) * z @ np.array([[np.cos(turn), np.sin(turn)], [-np.sin(turn), np.cos(turn)]], np.float32)


@pytest.mark.slow
def test_the_files_have_the_signatures(saved, lite, exported):
    every = {*OF_A_SEED, "decode", "interpolate", "encode"}
    assert {*saved.signatures} == every
    assert {*lite.signatures} == every - {"generate_png", "encode"}
    assert TFLiteRuntime(exported / "encoder.tflite").signatures == ("encode",)


@pytest.mark.parametrize("signature", [*OF_A_SEED, "decode", "interpolate", "encode"])
def test_a_row_does_not_depend_on_its_neighbours(saved, signature):
    """However a batch is cut: floats to 1e-5, pixels and files where no grey level's border is that near."""
    given = inputs(signature, 70)
    whole = saved.call(signature, **given)
    floats = saved.call("generate", **given)["images"] if signature in OF_A_SEED[2:] else None
    for sizes in ([1] * 3 + [67], [2, 3, 5, 60], [33, 37], [69, 1]):
        ends = np.cumsum(sizes)
        parts = [
            saved.call(signature, **{k: v[end - size : end] for k, v in given.items()})
            for size, end in zip(sizes, ends, strict=True)
        ]
        for name, expected in whole.items():
            got = np.concatenate([part[name] for part in parts])
            assert len(got) == 70 and got.dtype == expected.dtype
            if expected.dtype == np.float32:
                np.testing.assert_allclose(got, expected, atol=1e-5)
            else:
                assert_same_images(pixels_of(got), floats)
                assert_same_images(pixels_of(expected), floats)


def pixels_of(given: np.ndarray) -> np.ndarray:
    """[B, H, W, C] uint8 of pixels or of PNG files."""
    if given.dtype == np.uint8:
        return given
    return np.stack([np.asarray(Image.open(io.BytesIO(file))) for file in given])[..., None]


def test_a_seed_gives_the_image_of_kgen_sample(saved, lite, exported):
    generated = generate(open_sampler(exported), 40, seed=11, temperature=0.8)
    given = inputs("generate", 40) | {"temperature": np.full(40, 0.8, np.float32)}
    for runtime in (saved, lite):
        np.testing.assert_allclose(runtime.call("generate", **given)["images"], generated.images, atol=1e-5)
    one = generate(
        open_sampler(exported), 1, labels=int(generated.labels[7]), seed=int(given["seed"][7]), temperature=0.8
    )
    np.testing.assert_allclose(one.images[0], generated.images[7], atol=1e-5)  # a row has a seed of its own


def test_the_forms_of_generate(saved):
    given = inputs("generate", 12)
    floats, pixels, files = (saved.call(name, **given) for name in ("generate", "generate_u8", "generate_png"))
    assert_same_images(pixels["images"], floats["images"])
    assert_same_images(pixels_of(files["png_bytes"]), floats["images"])
    plain = saved.call("serving_default", **{k: given[k] for k in ("seed", "label")})["images"]
    warm = saved.call("generate", **given | {"temperature": np.ones(12, np.float32)})["images"]
    np.testing.assert_allclose(plain, warm, atol=1e-5)
    cold = saved.call("generate", **given | {"temperature": np.zeros(12, np.float32)})["images"]
    np.testing.assert_allclose(
        cold[:2], cold[10:12], atol=1e-6
    )  # of one class: the middle of the prior, whatever the seed


def test_interpolation_starts_and_ends_at_its_points(saved, lite):
    given = inputs("interpolate", 6)
    for runtime in (saved, lite):
        for t, z in ((0, "z0"), (1, "z1")):
            got = runtime.call("interpolate", **given | {"t": np.full(6, t, np.float32)})["images"]
            expected = runtime.call("decode", z=given[z], label=given["label"])["images"]
            np.testing.assert_allclose(got, expected, atol=1e-5)


def far_apart(count: int = 6):
    """(z0, z1, t) of 2 dimensions: nearly opposite directions, and lengths that differ by 5 times."""
    angle = np.pi - np.linspace(0.02, 0.5, count)
    z0 = np.tile(np.float32([[2.0, 0.0]]), (count, 1))
    z1 = 0.4 * np.stack([np.cos(angle), np.sin(angle)], axis=1).astype(np.float32)
    return z0, z1, np.linspace(0.1, 0.9, count, dtype=np.float32)


def test_interpolation_is_slerp(saved, lite):
    """Also where slerp of the points themselves diverges; rounding is amplified by 1 / sine of the angle, 50."""
    (z0, z1, t), label = far_apart(), np.arange(6, dtype=np.int32)
    between = slerp(*map(tf.constant, (z0, z1, t))).numpy()
    np.testing.assert_allclose(np.linalg.norm(between, axis=1), 2.0 - 1.6 * t, atol=1e-4)
    for runtime in (saved, lite):
        got = runtime.call("interpolate", z0=z0, z1=z1, t=t, label=label)["images"]
        expected = runtime.call("decode", z=between, label=label)["images"]
        np.testing.assert_allclose(got, expected, atol=1e-4)
