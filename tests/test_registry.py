"""Registries refuse duplicates, and end the search after a wrong name."""

import pytest

from kgen.errors import UserError
from kgen.registry import Registry, nearest


@pytest.fixture
def animals():
    registry = Registry("animal")
    registry.register("cat", legs=4)(str)
    registry.register("bird", legs=2)(int)
    return registry


def test_entries_and_their_defaults(animals):
    assert animals["cat"] is str and animals["bird"] is int
    assert animals.defaults("bird") == {"legs": 2}
    assert list(animals) == ["cat", "bird"]


def test_the_decorator_gives_its_target_back(animals):
    class Dog:
        pass

    assert animals.register("dog")(Dog) is Dog
    assert animals.defaults("dog") == {}


def test_a_name_is_given_once(animals):
    with pytest.raises(ValueError, match="animal 'cat' is registered twice: <class 'str'> and <class 'float'>"):
        animals.register("cat")(float)
    assert animals["cat"] is str and animals.defaults("cat") == {"legs": 4}


def test_an_unknown_name_says_the_nearest_and_all(animals):
    with pytest.raises(UserError, match=r"'cap'.*'cat'.*bird, cat"):
        animals["cap"]
    with pytest.raises(UserError, match=r"'bard'.*'bird'"):
        animals.defaults("bard")
    with pytest.raises(UserError, match="unknown animal 'xyz': known: bird, cat"):
        animals["xyz"]
    assert "cap" not in animals and animals.get("cap") is None


def test_nearest_of_nothing():
    assert nearest("x", []) == "known: none"
    assert nearest("beta", ["better", "betas", "gamma"]).startswith("did you mean 'betas' or 'better'? ")
