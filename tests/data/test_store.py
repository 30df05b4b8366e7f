"""Step 3: the routes memory, disk and none give the same images."""

from pathlib import Path

import numpy as np
import pytest
from check_dataset import check_dataset, evaluated, taken

import kgen.data.store as store
from kgen.config import DataConfig
from kgen.data import load
from kgen.data.sources.arrays import open_npz
from kgen.errors import UserError
from kgen.images import to_uint8


@pytest.fixture
def photos(tmp_path, noise, save):
    for i, pixels in enumerate(noise(24, 9, 8, 3)):
        save(tmp_path / "photos" / "ab"[i % 2] / f"{i}.png", pixels)
    return str(tmp_path / "photos")


@pytest.mark.slow
@pytest.mark.parametrize("binarize", ["none", "sample"])
def test_all_routes_give_the_same_images_in_the_same_order(photos, binarize):
    datasets = {
        cache: load(DataConfig(photos, cache=cache, image_size=(6, 6), binarize=binarize))
        for cache in ("memory", "disk", "none")
    }
    for split in ("train", "validation"):
        expected = evaluated(datasets["memory"], split, seed=4)
        arrays = datasets["memory"].arrays(split)
        for dataset in datasets.values():
            got = evaluated(dataset, split, seed=4)
            np.testing.assert_array_equal(expected[0], got[0])
            np.testing.assert_array_equal(expected[1], got[1])
            np.testing.assert_array_equal(arrays[0], dataset.arrays(split)[0])
            np.testing.assert_array_equal(arrays[1], dataset.arrays(split)[1])
    trained = [taken(d.batches("train", batch_size=4, repeat=True, seed=2), 12)[0] for d in datasets.values()]
    np.testing.assert_array_equal(trained[0], trained[1])
    np.testing.assert_array_equal(trained[0], trained[2])


@pytest.mark.slow
@pytest.mark.parametrize("cache", ["disk", "none"])
def test_routes_conform(photos, cache):
    dataset = load(DataConfig(photos, cache=cache))
    check_dataset(dataset)
    words = {"disk": "mapped files", "none": "decoded again in each epoch"}[cache]
    assert any(words in note for note in dataset.notes)


def test_auto_takes_the_first_route_with_room(photos, monkeypatch, tmp_path):
    def notes():
        return " ".join(load(DataConfig(photos)).notes)

    assert "kept in memory" in notes()
    monkeypatch.setattr(store, "memory_budget", lambda: 100)
    assert "mapped files" in notes() and str(tmp_path / "cache") in notes()
    monkeypatch.setattr(store, "free_bytes", lambda: 100)
    assert "decoded again" in notes()
    with pytest.raises(UserError, match="KGEN_CACHE_DIR"):
        load(DataConfig(photos, cache="disk", limit=20))


def test_the_budget_is_a_quarter_of_the_memory_and_half_of_what_is_free(monkeypatch):
    monkeypatch.setattr(store, "memory_limit", lambda: 1000)
    monkeypatch.setattr(store, "free_memory", lambda: 900)
    assert store.memory_budget() == 250
    monkeypatch.setattr(store, "free_memory", lambda: 400)
    assert store.memory_budget() == 200


def address(tensor) -> int:
    return np.asarray(memoryview(tensor)).ctypes.data


@pytest.mark.parametrize("settings", [{}, {"image_size": (12, 8)}, {"limit": 30}])
def test_images_in_memory_are_one_copy_that_every_feed_reads(tmp_path, noise, settings):
    np.savez(tmp_path / "a.npz", images=noise(40, 8, 8, 3))
    dataset = load(DataConfig(str(tmp_path / "a.npz"), **settings))
    (stored,) = dataset.stored_splits.values()
    assert dataset.stored("train")[1] is dataset.stored("validation")[1] is stored
    assert address(stored.tensor) == stored.images.ctypes.data
    captured = [
        tensor
        for split, training in (("train", True), ("train", False), ("validation", False))
        for tensor in captures(dataset.batches(split, batch_size=4, training=training))
        if tensor.shape == stored.images.shape
    ]
    assert len(captured) == 3 and {address(tensor) for tensor in captured} == {stored.images.ctypes.data}


def captures(batches) -> list:
    """The tensors that the functions of a tf.data.Dataset hold."""
    function = getattr(batches, "_map_func", None)
    own = [] if function is None else [*function.function.captured_inputs]
    return sum(map(captures, batches._inputs()), own)


def test_an_array_that_is_kept_whole_is_not_copied(tmp_path, noise):
    np.savez(tmp_path / "a.npz", images=noise(40, 8, 8, 3), labels=np.repeat([0, 1], 20))
    source = open_npz(tmp_path / "a.npz", DataConfig())
    images, _ = source.arrays("train")
    kept, _ = store.store(source, {"train": source.order("train")}, None, (8, 8, 3), DataConfig())
    assert np.shares_memory(kept["train"].images, images)
    with pytest.raises(KeyError):
        source.arrays("train")  # it holds none itself


def test_images_that_a_split_selects_are_read_without_a_copy_of_all(tmp_path, noise):
    pixels = noise(40, 8, 8, 3)
    np.savez(tmp_path / "a.npz", images=pixels)
    dataset = load(DataConfig(str(tmp_path / "a.npz"), validation_fraction=0.5))
    whole = load(DataConfig(str(tmp_path / "a.npz"), validation_fraction=0))
    assert np.shares_memory(whole.view("train")[0][3:9], whole.stored_splits["train"].images)
    view, labels = dataset.view("train")
    expected, expected_labels = dataset.arrays("train")
    assert view.shape == expected.shape and len(view) == 20
    np.testing.assert_array_equal(view[2:9], expected[2:9])
    np.testing.assert_array_equal(view[np.array([7, 3])], expected[[7, 3]])
    np.testing.assert_array_equal(view[-1], expected[-1])
    np.testing.assert_array_equal(view.part(np.array([5, 1, 6]))[1:], expected[[1, 6]])
    np.testing.assert_array_equal(labels, expected_labels)


@pytest.mark.parametrize("cache", ["memory", "disk", "none"])
@pytest.mark.parametrize("binarize", ["none", "threshold", "sample"])
def test_a_view_is_what_evaluation_batches_show(photos, binarize, cache):
    dataset = load(DataConfig(photos, binarize=binarize, cache=cache))
    view, labels = dataset.view("train")
    expected, expected_labels = evaluated(dataset, "train", seed=0)
    np.testing.assert_array_equal(np.asarray(view), to_uint8(expected))
    np.testing.assert_array_equal(view[np.array([3, 0])], to_uint8(expected)[[3, 0]])
    np.testing.assert_array_equal(labels, expected_labels)


def test_the_disk_cache_is_used_again_and_notices_changes(photos, monkeypatch, tmp_path, noise, save):
    config = DataConfig(photos, cache="disk")
    first = load(config)
    assert isinstance(load(DataConfig(photos, cache="disk", validation_fraction=0)).arrays("train")[0], np.memmap)
    decodes = []
    decode = store._decode
    monkeypatch.setattr(store, "_decode", lambda *args: decodes.append(args[1]) or decode(*args))
    again = load(config)
    assert not decodes
    np.testing.assert_array_equal(first.arrays("train")[0], again.arrays("train")[0])
    load(config, seed=9)  # another validation split of the same images
    assert not decodes
    load(DataConfig(photos, cache="disk", image_size=(4, 4)))
    assert len(decodes) == 1
    save(tmp_path / "photos" / "a" / "new.png", noise(1, 9, 8, 3, seed=1)[0])
    assert sum(load(config).spec.examples.values()) == 25 and len(decodes) == 2


def test_a_failed_write_leaves_nothing_behind(photos, monkeypatch, tmp_path):
    monkeypatch.setattr(store, "_decode", lambda *args: 1 / 0)
    with pytest.raises(ZeroDivisionError):
        load(DataConfig(photos, cache="disk"))
    assert [path.name for path in (tmp_path / "cache").iterdir()] == ["content"]


def test_rows_of_a_mapped_file_are_read_past_the_mapping(tmp_path):
    """The same numbers, of views of it too, and none of the file becomes resident."""
    from kgen.data import store

    content = np.random.default_rng(0).integers(0, 256, (300, 64, 64, 3), np.uint8)
    np.save(tmp_path / "a.npy", content)
    rows = np.random.default_rng(1).integers(0, 200, 400)
    mapped = np.load(tmp_path / "a.npy", mmap_mode="r")
    np.testing.assert_array_equal(store.take_rows(mapped, rows), content[rows])
    np.testing.assert_array_equal(store.take_rows(mapped[50:], rows), content[50:][rows])
    np.testing.assert_array_equal(store.take_rows(mapped[:, ::2], rows), content[:, ::2][rows])
    np.testing.assert_array_equal(store.take_rows(content, rows), content[rows])
    assert store.take_rows(mapped, rows[:0]).shape == (0, 64, 64, 3)


@pytest.mark.skipif(not Path("/proc/self/smaps").exists(), reason="only Linux shows what is resident of a file")
def test_hashing_and_training_leave_little_of_a_mapped_file_resident(tmp_path, monkeypatch):

    monkeypatch.setenv("KGEN_CACHE_DIR", str(tmp_path / "cache"))
    content = np.random.default_rng(0).integers(0, 256, (4000, 64, 64, 3), np.uint8)
    np.savez(tmp_path / "many.npz", images=content)
    data = load(DataConfig(str(tmp_path / "many.npz"), cache="disk", validation_fraction=0.01))
    before = kibibytes_resident(".images.npy")
    data.fingerprint("validation")
    for _ in data.batches("train", batch_size=64).take(20):
        pass
    assert isinstance(data.stored("train")[1].images, np.memmap)
    assert kibibytes_resident(".images.npy") - before < 1000  # of 48,000


def kibibytes_resident(name: str) -> int:
    """Of the files that are mapped and whose names end so."""
    found, of_it = 0, False
    for line in Path("/proc/self/smaps").read_text().splitlines():
        if "-" in line.split()[0]:
            of_it = line.endswith(name)
        elif of_it and line.startswith("Rss:"):
            found += int(line.split()[1])
    return found


def test_pages_of_a_mapped_file_are_released(tmp_path, monkeypatch):
    """Reading and writing all of it keeps little of it resident, and the content stays."""
    import psutil

    from kgen.data import store

    monkeypatch.setattr(store, "RESIDENT_BYTES", 2**22)
    mapped = np.lib.format.open_memmap(tmp_path / "a.npy", "w+", np.uint8, (128, 2**20))
    resident, before = store.ResidentLimit(mapped), psutil.Process().memory_info().rss
    for number in range(len(mapped)):
        mapped[number] = number
        resident.add(2**20)
    assert psutil.Process().memory_info().rss - before < 2**26
    assert [int(row[-1]) for row in mapped] == list(range(128))
    store.ResidentLimit(np.zeros(3)).add(2**30)  # in memory: nothing to release
