"""DataSpec: labels by name or number, JSON, and what it refuses."""

import json

import numpy as np
import pytest

from kgen.errors import UserError
from kgen.spec import DataSpec

PETS = DataSpec("pets", (28, 20, 3), 3, ("cat", "dog", "bird"), {"train": 100, "test": 10})


def test_json_round_trip():
    text = json.dumps(PETS.to_json())
    assert DataSpec.from_json(json.loads(text)) == PETS
    assert json.loads(text) == {
        "name": "pets", "image_shape": [28, 20, 3], "num_classes": 3, "class_names": ["cat", "dog", "bird"],
        "examples": {"train": 100, "test": 10},
    }  # fmt: skip
    plain = DataSpec("plain", (8, 8, 1))
    assert DataSpec.from_json(json.loads(json.dumps(plain.to_json()))) == plain


def test_values_become_plain_python():
    spec = DataSpec("x", np.array([4, 5, 1]), 2, np.array(["a", "b"]), {"train": np.int64(3)})
    assert spec == DataSpec("x", (4, 5, 1), 2, ("a", "b"), {"train": 3})
    json.dumps(spec.to_json())


def test_pixels_an_image():
    assert PETS.num_pixels == 28 * 20 * 3 == 1680


@pytest.mark.parametrize(("given", "label"), [("dog", 1), (1, 1), ("1", 1), ("cat", 0), (2, 2), (np.int64(2), 2)])
def test_labels_by_name_or_number(given, label):
    assert PETS.label(given) == label


def test_a_name_that_looks_like_a_number_is_a_name():
    years = DataSpec("years", (8, 8, 1), 2, ("1", "0"))
    assert (years.label("1"), years.label("0")) == (0, 1)


@pytest.mark.parametrize(
    ("given", "words"),
    [
        ("dgo", "label 'dgo' is no class of 'pets': give a number from 0 to 2 or a name; did you mean 'dog'"),
        (3, "label 3 is no class of 'pets'"),
        (-1, "label -1 is no class of 'pets'"),
        ("1.5", "label '1.5' is no class of 'pets'"),
    ],
)
def test_unknown_labels(given, words):
    with pytest.raises(UserError, match=words):
        PETS.label(given)


def test_unlabelled_data_have_no_label():
    with pytest.raises(UserError, match=r"'cat'.*'plain' has no labels"):
        DataSpec("plain", (8, 8, 1)).label("cat")


def test_classes_without_names():
    with pytest.raises(UserError, match=r"give a number from 0 to 4$"):
        DataSpec("numbers", (8, 8, 1), 5).label("cat")


@pytest.mark.parametrize("shape", [(8, 8), (8, 8, 2), (8, 8, 4), (0, 8, 1), (8, 8, 1, 1)])
def test_impossible_shapes(shape):
    with pytest.raises(UserError, match="image_shape must be"):
        DataSpec("x", shape)


def test_a_name_that_is_no_text():
    with pytest.raises(UserError, match=r"name of a data set must be text. Received: 7.5"):
        DataSpec(7.5, (8, 8, 1))


def test_a_name_for_each_class():
    with pytest.raises(UserError, match=r"num_classes=3.*2 class_names"):
        DataSpec("x", (8, 8, 1), 3, ("a", "b"))
