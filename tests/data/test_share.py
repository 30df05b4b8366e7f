"""What one of several workers reads: its part of each batch, and no other image."""

import numpy as np
import pytest
from test_shards import sample, write_tar

from kgen.config import DataConfig
from kgen.data import load
from kgen.data.sources.shard_tar import TarShard
from kgen.errors import UserError

COUNT, BATCH = 16, 4


@pytest.fixture
def folder(tmp_path):
    for shard in range(2):
        half = range(COUNT // 2 * shard, COUNT // 2 * (shard + 1))
        write_tar(tmp_path / "pets" / f"train-{shard:03d}.tar", [sample(i) for i in half])
    return tmp_path / "pets"


@pytest.mark.parametrize("workers", [2, 3, 4])
@pytest.mark.parametrize("settings", [{"binarize": "sample"}, {"binarize": "none"}])
@pytest.mark.parametrize("cache", ["memory", "none"])
def test_the_number_of_workers_changes_no_image(folder, cache, settings, workers):
    dataset = load(DataConfig(str(folder), cache=cache, validation_fraction=0.0, **settings))
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


def test_a_batch_of_fewer_images_than_workers_is_refused(folder):
    dataset = load(DataConfig(str(folder), cache="memory", validation_fraction=0.0))
    with pytest.raises(UserError, match="5 workers share each batch, and those of 'train' have 4 images"):
        dataset.batches("train", batch_size=4, share=(0, 5))
    empty = dataset.batches("train", batch_size=20, training=False, share=(4, 5))
    assert [len(labels) for _, labels in empty] == [0] and int(empty.cardinality()) == 1
