"""The cache of what was computed: found again, filed by everything in the key, whole or not there."""

import json

import numpy as np
import pytest

from kgen.cache import cached_arrays, cached_json, digest, place

KEY = {"data": "abc", "count": 3}


def counting(values):
    """A function that returns `values` and counts its calls."""

    def make():
        make.calls += 1
        return values

    make.calls = 0
    return make


@pytest.fixture(autouse=True)
def cache(own_cache):
    return own_cache


def files(folder):
    return sorted(str(path.relative_to(folder)) for path in folder.rglob("*") if path.is_file())


def test_arrays_are_made_once_and_come_back_alike(cache):
    arrays = {"one": np.arange(6, dtype=np.float32).reshape(2, 3), "two": np.array([7], np.int64)}
    make = counting(arrays)
    for found in (cached_arrays("kind", KEY, make), cached_arrays("kind", KEY, make)):
        assert {*found} == {*arrays}
        for name, array in arrays.items():
            np.testing.assert_array_equal(found[name], array)
            assert found[name].dtype == array.dtype
    assert make.calls == 1
    assert files(cache) == [f"kind/{place('kind', KEY, '.npz').name}"]  # nothing else is left there


def test_json_is_made_once_and_comes_back_alike(cache):
    make = counting({"fid": 1.25, "kid": None})
    assert cached_json("baselines", KEY, make) == cached_json("baselines", KEY, make) == {"fid": 1.25, "kid": None}
    assert make.calls == 1
    assert files(cache) == [f"baselines/{place('baselines', KEY, '.json').name}"]


@pytest.mark.parametrize("other", [{"data": "abd"}, {"count": 4}, {"more": None}])
def test_another_key_or_kind_is_another_thing(other):
    make = counting({"x": np.zeros(1)})
    cached_arrays("kind", KEY, make)
    cached_arrays("kind", KEY | other, make)
    cached_arrays("kind2", KEY | other, make)
    assert make.calls == 3


def test_the_order_of_a_key_does_not_matter():
    assert place("kind", KEY, ".npz") == place("kind", dict(reversed(KEY.items())), ".npz")


@pytest.mark.parametrize("content", [b"", b"nonsense", "half"])
def test_a_broken_file_is_made_anew(content):
    arrays = {"x": np.arange(1_000)}
    cached_arrays("kind", KEY, lambda: arrays)
    path = place("kind", KEY, ".npz")
    path.write_bytes(path.read_bytes()[:4_000] if content == "half" else content)
    make = counting(arrays)
    np.testing.assert_array_equal(cached_arrays("kind", KEY, make)["x"], arrays["x"])
    np.testing.assert_array_equal(cached_arrays("kind", KEY, make)["x"], arrays["x"])
    assert make.calls == 1


def test_broken_json_is_made_anew():
    cached_json("baselines", KEY, lambda: {"fid": 1.0})
    place("baselines", KEY, ".json").write_text('{"fid": ')
    assert cached_json("baselines", KEY, lambda: {"fid": 2.0}) == {"fid": 2.0}
    assert json.loads(place("baselines", KEY, ".json").read_text()) == {"fid": 2.0}


def test_an_interrupted_write_leaves_nothing(cache, monkeypatch):
    def half(aside, **arrays):
        aside.write_bytes(b"half")
        raise KeyboardInterrupt

    monkeypatch.setattr(np, "savez", half)
    with pytest.raises(KeyboardInterrupt):
        cached_arrays("kind", KEY, lambda: {"x": np.zeros(3)})
    assert files(cache) == []


def test_a_digest_tells_apart_what_differs():
    array = np.arange(4, dtype=np.int32)
    different = [
        digest(array), digest(array.astype(np.int64)), digest(array.reshape(2, 2)), digest(array[::-1]),
        digest(array, array), digest("a"), digest("a", "b"), digest("ab"), digest({"a": 1}), digest(b"a"),
    ]  # fmt: skip
    assert len({*different}) == len(different)
    assert all(len(value) == 16 and int(value, 16) >= 0 for value in different)
    assert digest(array) == digest(np.array(array))
    assert digest(np.arange(8).reshape(2, 4).T) == digest(np.ascontiguousarray(np.arange(8).reshape(2, 4).T))
