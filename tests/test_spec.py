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


def named(*names):
    return DataSpec("named", (8, 8, 1), len(names), names)


def test_a_name_that_looks_like_a_number_is_a_name():
    years = named("1", "0")
    assert (years.label("1"), years.label("0")) == (0, 1)
    mixed = named("1", "two")  # the number 1 is that of the class "1", so that "two" has another
    assert (mixed.label("1"), mixed.label(1), mixed.label("two"), mixed.class_numbers) == (0, 0, 1, (1, 0))


@pytest.mark.parametrize(
    ("names", "numbers"),
    [
        (tuple("0123456789"), tuple(range(10))),
        (("cat", "dog", "bird"), (0, 1, 2)),
        (("3", "5", "10"), (3, 5, 10)),
        (("0", "1", "10", "2"), (0, 1, 10, 2)),  # as older runs have them
        (("-5", "0", "1"), (-5, 0, 1)),
        (("01", "02"), (1, 2)),
        (("01", "1"), (0, 1)),
        (("1", "01", "2"), (1, 0, 2)),
        (("background", "1", "0"), (2, 1, 0)),
        (("20240101", "99999999999"), (20240101, 0)),  # the second has more than 32 bits
        (("1.5", "2", " 3", "²", "٣"), (0, 2, 1, 3, 4)),
    ],
)
def test_class_numbers(names, numbers):
    """A number means the class of that name, by whatever way it is given; every class has one."""
    spec = named(*names)
    assert spec.class_numbers == numbers
    assert [spec.label(name) for name in names] == list(range(len(names)))
    assert [spec.label(number) for number in numbers] == list(range(len(names)))
    assert [spec.class_name(label) for label in range(len(names))] == list(names)


def test_classes_without_names_have_their_positions_as_numbers():
    spec = DataSpec("x", (8, 8, 1), 3)
    assert (spec.class_numbers, spec.class_name(2), spec.label("2")) == ((0, 1, 2), "2", 2)
    assert DataSpec("x", (8, 8, 1)).class_numbers == ()


def test_positions_become_numbers():
    assert named("3", "5", "10").numbers([2, 0, 2]).tolist() == [10, 3, 10]
    assert DataSpec("server", (8, 8, 1)).numbers([7, 9]).tolist() == [7, 9]
    for wrong in ([3], [0, -1]):
        with pytest.raises(UserError, match=rf"0 to 2.*{wrong[-1]}"):
            named("3", "5", "10").numbers(wrong)


@pytest.mark.parametrize(
    ("given", "words"),
    [
        ("dgo", "label 'dgo' is no class of 'pets': give a number from 0 to 2 or a name; did you mean 'dog'"),
        (3, "label 3 is no class of 'pets'"),
        (-1, "label -1 is no class of 'pets'"),
        ("1.5", "label '1.5' is no class of 'pets'"),
        ("", "label '' is no class of 'pets'"),
        (2.0, "label 2.0 is no class of 'pets'"),
        (True, "label True is no class of 'pets'"),
        ("CAT", "label 'CAT' is no class of 'pets'.*did you mean 'cat'"),
        ("9" * 5000, "is no class of 'pets'"),
    ],
)
def test_unknown_labels(given, words):
    with pytest.raises(UserError, match=words):
        PETS.label(given)


@pytest.mark.parametrize("given", ["0", "-1", 0, -1, "11", "2.0", "4"])
def test_numbers_of_no_class(given):
    one_to_ten = named(*(str(n) for n in range(1, 11) if n != 4))
    with pytest.raises(UserError, match=rf"label {given!r} is no class.*numbers 1, 2, 3, 5, 6, 7, 8, 9, 10$"):
        one_to_ten.label(given)


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
