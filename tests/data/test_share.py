"""What one of several workers reads: its part of each batch, and no other image."""

import numpy as np
import pytest
from shard_files import write_parquet, write_tar
from test_shards import PIXELS, sample

from kgen.config import DataConfig
from kgen.data import load
from kgen.data.sources import parts as kgen_parts
from kgen.data.sources.shard_tar import TarShard
from kgen.errors import UserError

COUNT, BATCH = 16, 4


@pytest.fixture
def folder(tmp_path):
    for shard in range(2):
        half = range(COUNT // 2 * shard, COUNT // 2 * (shard + 1))
        write_tar(tmp_path / "pets" / f"train-{shard:03d}.tar", [sample(i) for i in half])
    return tmp_path / "pets"


@pytest.fixture
def parquets(tmp_path, monkeypatch):
    """Two shards of eight groups of one row, of which an epoch mixes four."""
    monkeypatch.setattr(kgen_parts, "WINDOW_IMAGES", 4)
    for shard in range(2):
        half = range(COUNT // 2 * shard, COUNT // 2 * (shard + 1))
        path = tmp_path / "groups" / f"train-{shard:05d}-of-00002.parquet"
        write_parquet(path, [(PIXELS[i], i % 2) for i in half], group=1)
    return tmp_path / "groups"


@pytest.mark.parametrize("workers", [2, 3, 4])
@pytest.mark.parametrize("settings", [{"binarize": "sample"}, {"binarize": "none"}])
@pytest.mark.parametrize(("kind", "cache"), [("folder", "memory"), ("folder", "none"), ("parquets", "none")])
def test_the_number_of_workers_changes_no_image(kind, cache, settings, workers, request):
    path = request.getfixturevalue(kind)
    dataset = load(DataConfig(str(path), cache=cache, validation_fraction=0.0, **settings))
    options = {"training": True, "flip": True, "seed": 3, "start_epoch": 2}
    whole = dataset.batches("train", batch_size=BATCH, repeat=True, **options).take(3)
    parts = [
        dataset.batches("train", batch_size=BATCH, repeat=True, share=(i, workers), **options).take(3)
        for i in range(workers)
    ]
    for (images, labels), *shares in zip(*(x.as_numpy_iterator() for x in (whole, *parts)), strict=True):
        np.testing.assert_array_equal(np.concatenate([x for x, _ in shares]), images)
        np.testing.assert_array_equal(np.concatenate([y for _, y in shares]), labels)


@pytest.mark.parametrize("workers", [1, 2, 4])
def test_each_worker_reads_its_part_of_the_bytes(folder, monkeypatch, workers):
    dataset, read = load(DataConfig(str(folder), cache="none", validation_fraction=0.0)), []
    before = TarShard.read

    def counted(shard, row):
        content = before(shard, row)
        read.append((shard.path.name, row, len(content)))
        return content

    monkeypatch.setattr(TarShard, "read", counted)
    rows, sizes = [], []
    for worker in range(workers):
        read.clear()
        for split_options in ({"training": True}, {"training": False}):
            assert len(list(dataset.batches("train", batch_size=BATCH, share=(worker, workers), **split_options))) == 4
        assert len(read) == 2 * COUNT // workers
        rows += [(name, row) for name, row, _ in read]
        sizes.append(sum(size for *_, size in read))
    assert len(set(rows)) == COUNT and len(rows) == 2 * COUNT
    assert max(sizes) < 1.2 * sum(sizes) / workers


@pytest.mark.parametrize("training", [True, False])
@pytest.mark.parametrize("workers", [1, 2, 4])
def test_each_worker_reads_its_part_of_the_groups_of_rows(parquets, monkeypatch, workers, training):
    dataset, asked = load(DataConfig(str(parquets), cache="none", validation_fraction=0.0)), set()
    before = kgen_parts.KeptParts.get

    def get(groups, shard, group):
        asked.add((shard.path.name, group))
        return before(groups, shard, group)

    monkeypatch.setattr(kgen_parts.KeptParts, "get", get)
    groups, images = [], []
    for worker in range(workers):
        asked.clear()
        options = {"batch_size": BATCH, "share": (worker, workers), "training": training, "as_uint8": True}
        images += [image.tobytes() for batch, _ in dataset.batches("train", **options) for image in batch.numpy()]
        assert len(asked) == COUNT // workers
        groups += asked
    assert len(set(groups)) == len(set(images)) == len(images) == COUNT


def test_a_run_on_groups_of_rows_goes_on_with_another_number_of_workers(parquets):
    dataset = load(DataConfig(str(parquets), cache="none", validation_fraction=0.0))
    options = {"batch_size": BATCH, "repeat": True, "flip": True, "seed": 3}
    whole = [images for images, _ in dataset.batches("train", **options).take(12).as_numpy_iterator()]
    for start, workers in ((2, 2), (5, 4), (7, 3)):
        shares = [dataset.batches("train", start_step=start, share=(i, workers), **options) for i in range(workers)]
        for step, parts in enumerate(zip(*(share.take(4).as_numpy_iterator() for share in shares), strict=True)):
            np.testing.assert_array_equal(np.concatenate([images for images, _ in parts]), whole[start + step])


def test_a_batch_of_fewer_images_than_workers_is_refused(folder):
    dataset = load(DataConfig(str(folder), cache="memory", validation_fraction=0.0))
    with pytest.raises(UserError, match="5 workers share each batch, and those of 'train' have 4 images"):
        dataset.batches("train", batch_size=4, share=(0, 5))
    empty = dataset.batches("train", batch_size=20, training=False, share=(4, 5))
    assert [len(labels) for _, labels in empty] == [0] and int(empty.cardinality()) == 1
