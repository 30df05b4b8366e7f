"""Sampling: the same pixels for the same seed, from a run, a SavedModel and a .tflite file."""

import io
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from same_images import assert_same_images

from kgen import DataConfig, generate, open_sampler
from kgen.data import load
from kgen.errors import UserError
from kgen.sampling import StandardNormal
from kgen.spec import DataSpec


class Echo:
    """A sampler whose images are its latent points."""

    spec = DataSpec("d", (2, 2, 1), 3, ("a", "b", "c"))
    latent_shape, density, prior, conditional = (4,), StandardNormal((4,)), StandardNormal.name, True

    def decode(self, z, labels):
        self.seen = labels
        return z.reshape(-1, 2, 2, 1)


def test_labels_by_name_number_sequence_or_in_turn():
    echo = Echo()
    for given, expected in [("b", [1] * 4), (2, [2] * 4), (["a", 2, "b", "1"], [0, 2, 1, 1]), (None, [0, 1, 2, 0])]:
        assert generate(echo, 4, labels=given).labels.tolist() == expected
        assert echo.seen.dtype == np.int32


def test_an_image_depends_on_its_seed_and_place_alone():
    many, few = generate(Echo(), 64, seed=5), generate(Echo(), 8, seed=5)
    np.testing.assert_array_equal(many.z[:8], few.z)
    assert not np.array_equal(generate(Echo(), 8, seed=6).z, few.z)


def test_latent_points_are_standard_normal_and_temperature_is_their_stddev():
    z = generate(Echo(), 20_000, seed=0).z
    # 80,000 samples: the standard error of the mean is 0.0035, of the standard deviation 0.0025
    assert abs(z.mean()) < 0.015 and abs(z.std() - 1) < 0.01
    np.testing.assert_allclose(generate(Echo(), 8, temperature=0.5).z, 0.5 * generate(Echo(), 8).z)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"count": 0}, "--count must be at least 1. Received: 0"),
        ({"seed": -1}, r"--seed must lie in \[0, 2\^31\). Received: -1"),
        ({"temperature": -1.0}, "--temperature"),
        ({"labels": "d"}, "no class of 'd'.*known: a, b, c"),
        ({"labels": 3}, "number from 0 to 2"),
        ({"labels": [1, 2]}, r"one per image \(4\). Received: 2"),
    ],
)
def test_bad_requests(arguments, message):
    with pytest.raises(UserError, match=message):
        generate(Echo(), **({"count": 4} | arguments))


def test_labels_for_an_unconditional_model():
    echo = Echo()
    echo.conditional = False
    assert generate(echo, 2).labels is None
    with pytest.raises(UserError, match="unconditional"):
        generate(echo, 2, labels=1)


def test_the_count_does_not_change_an_image(default_job):
    sampler = open_sampler(default_job[0].path)
    many, few = generate(sampler, 100, seed=5), generate(sampler, 7, seed=5)
    np.testing.assert_array_equal(many.images[:7], few.images)


def test_run_saved_model_and_tflite_give_the_same_pixels(default_job, default_export):
    run = generate(open_sampler(default_job[0].path), 200, seed=1)
    saved = generate(open_sampler(default_export), 200, seed=1)
    latest = generate(open_sampler(default_export.parent), 200, seed=1)
    lite = generate(open_sampler(default_export / "model.tflite"), 200, seed=1)
    assert_same_images(saved.images, run.images)
    np.testing.assert_array_equal(saved.images, latest.images)
    assert_same_images(lite.images, run.images)


def test_what_cannot_be_sampled_is_said(tmp_path, default_export):
    with pytest.raises(UserError, match="does not exist"):
        open_sampler(tmp_path / "nothing")
    with pytest.raises(UserError, match=r"is no run directory, export, \.tflite or \.onnx file"):
        open_sampler(tmp_path)
    with pytest.raises(UserError, match=r"encoder.tflite.*'decode'.*model.tflite"):
        open_sampler(default_export / "encoder.tflite")
    (tmp_path / "broken.tflite").write_bytes(b"no model")
    with pytest.raises(UserError, match=r"broken.tflite cannot be read as a .tflite file"):
        open_sampler(tmp_path / "broken.tflite")


def test_a_tflite_file_may_stand_alone(tmp_path, default_export):
    (tmp_path / "alone.tflite").write_bytes((default_export / "model.tflite").read_bytes())
    alone, beside = open_sampler(tmp_path / "alone.tflite"), open_sampler(default_export / "model.tflite")
    assert (alone.spec, alone.weights_hash) == (beside.spec, beside.weights_hash)
    given = {"labels": "7", "seed": 3}
    np.testing.assert_array_equal(generate(alone, 5, **given).images, generate(beside, 5, **given).images)


def test_fewer_rows_of_large_images_per_call():
    """32 images of 2048 x 2048 make maps of 2^31 values, which crash TensorFlow's convolutions."""
    from kgen.sampling.sampler import in_chunks
    from kgen.spec import DataSpec

    for side, expected in ((28, 32), (512, 32), (1024, 10), (2048, 2), (8192, 1)):
        sizes = []

        def call(rows, sizes=sizes):
            sizes.append(len(rows))
            return rows

        rows = np.arange(35.0)
        found = in_chunks(call, rows, None, DataSpec("x", (side, side, 3)))
        assert {*sizes} == {expected} and found.tolist() == rows.tolist()


def test_samples_samplers_and_data_show_what_they_are():
    """In Python's shell by `repr`, in Jupyter by a picture as well."""
    export = Path(__file__).parents[2] / "exports" / "cvae-mnist" / "1" / "model.tflite"
    assert repr(open_sampler(export)) == (
        "<TFLiteSampler: mnist: 54,000 train, 6,000 validation, 10,000 test images of 28x28x1, 10 classes "
        "(0, 1, 2, …, 9); latent 2, prior standard_normal, 103,013 parameters>"
    )
    samples = generate(Echo(), 70, seed=1)
    assert repr(samples) == "<Samples: 70 images of 2x2x1, 3 classes, seed 1>"
    digits = load(DataConfig(dataset="digits"))
    assert repr(digits) == (
        "<Dataset digits: 1,293 train, 144 validation, 360 test images of 28x28x1, 10 classes (0, 1, 2, …, 9)>"
    )
    assert str(DataSpec("photos", (48, 64, 3))) == "photos: images of 48x64x3, no classes"
    for shown, images in ((samples, samples.pixels), (digits, digits.arrays("train")[0])):
        with Image.open(io.BytesIO(shown._repr_png_())) as picture:
            assert "kgen" in picture.info
            factor = round(48 / images.shape[1])  # of small images; the grid is 8 by 8
            height, width = (factor * n for n in images.shape[1:3])
            assert picture.size == (8 * (width + 2) + 2, 8 * (height + 2) + 2)
            last = np.asarray(picture)[-2 - height : -2 : factor, -2 - width : -2 : factor]
        np.testing.assert_array_equal(last, images[63, ..., 0])
