"""TFDS sets: small ones prepared here, and what happens without a network."""

import time

import numpy as np
import pytest
from check_dataset import check_dataset, evaluated, taken

import kgen.data.sources.tfds as kgen_tfds
from kgen.config import DataConfig
from kgen.data import load
from kgen.errors import UserError

tfds = pytest.importorskip("tensorflow_datasets")
PIXELS = np.random.default_rng(0).integers(0, 256, (40, 7, 6, 3), np.uint8)


def make_builder(set_name, features, examples, folder):
    """The builder of a TFDS set that TFDS itself does not know; `examples` is split -> list of examples."""

    class TinySet(tfds.core.GeneratorBasedBuilder, skip_registration=True):
        name = set_name
        VERSION = tfds.core.Version("1.0.0")

        def _info(self):
            return tfds.core.DatasetInfo(builder=self, features=tfds.features.FeaturesDict(features))

        def _split_generators(self, dl_manager):
            return {split: self._generate_examples(split) for split in examples}

        def _generate_examples(self, split):
            yield from enumerate(examples[split])

    return TinySet(data_dir=str(folder))


@pytest.fixture
def prepare(tmp_path, monkeypatch):
    """A function (name, features, examples) that prepares a set in a data folder of its own."""
    monkeypatch.setenv("TFDS_DATA_DIR", str(tmp_path / "tfds"))

    def make(name, features, examples):
        make_builder(name, features, examples, tmp_path / "tfds").download_and_prepare()

    return make


@pytest.mark.slow
def test_a_labelled_set_conforms(prepare):
    features = {
        "photo": tfds.features.Image(shape=(7, 6, 3)),
        "label": tfds.features.ClassLabel(names=["cat", "dog", "owl"]),
        "id": tfds.features.Text(),
    }
    examples = [{"photo": x, "label": i % 3, "id": str(i)} for i, x in enumerate(PIXELS)]
    prepare("tiny_pets", features, {"train": examples[:30], "test": examples[30:]})
    dataset = load(DataConfig("tfds:tiny_pets"))
    check_dataset(dataset)
    assert dataset.spec.class_names == ("cat", "dog", "owl") and dataset.spec.name == "tiny-pets"
    assert dataset.spec.examples == {"train": 27, "validation": 3, "test": 10}
    where = {x.tobytes(): i for i, x in enumerate(PIXELS)}
    for split in dataset.splits:
        pixels, labels = dataset.arrays(split)
        numbers = [where[x.tobytes()] for x in pixels]
        assert labels.tolist() == [i % 3 for i in numbers]
        assert all((i >= 30) == (split == "test") for i in numbers)
    limited = load(DataConfig("tiny_pets", limit=5))
    assert limited.spec.examples == {"train": 5, "validation": 3, "test": 5}


@pytest.mark.slow
def test_streaming_a_set_shuffles_it_and_resumes(prepare):
    features = {"image": tfds.features.Image(shape=(7, 6, 3))}
    prepare("tiny_stream", features, {"train": [{"image": x} for x in PIXELS]})
    dataset = load(DataConfig("tiny_stream", cache="none"))
    check_dataset(dataset)
    memory = load(DataConfig("tiny_stream", cache="memory"))
    for split in dataset.splits:
        np.testing.assert_array_equal(evaluated(dataset, split)[0], evaluated(memory, split)[0])
        np.testing.assert_array_equal(dataset.arrays(split)[0], memory.arrays(split)[0])
    epoch = taken(dataset.batches("train", batch_size=36))[0]
    assert not np.array_equal(epoch, evaluated(dataset, "train")[0])


def test_each_worker_reads_its_records_of_a_set_by_name(prepare, monkeypatch):
    features = {"image": tfds.features.Image(shape=(7, 6, 3)), "label": tfds.features.ClassLabel(num_classes=2)}
    prepare("tiny_parts", features, {"train": [{"image": x, "label": i % 2} for i, x in enumerate(PIXELS)]})
    monkeypatch.setattr(kgen_tfds, "RUN", 2)
    monkeypatch.setattr(kgen_tfds.TfdsSource, "window", 8)
    dataset = load(DataConfig("tiny_parts", cache="none", validation_fraction=0))
    before, read = kgen_tfds._read_at, []

    def read_at(path, offset, length):
        read.append((path, offset))
        return before(path, offset, length)

    monkeypatch.setattr(kgen_tfds, "_read_at", read_at)
    options = {"batch_size": 8, "repeat": True, "flip": True, "start_epoch": 1, "start_step": 2}
    whole = taken(dataset.batches("train", **options), 3)[0]
    for workers in (1, 2, 4):
        shares, places = [], []
        for worker in range(workers):
            shares.append([x for x, _ in dataset.batches("train", share=(worker, workers), **options).take(3)])
            read.clear()
            assert len(list(dataset.batches("train", batch_size=8, share=(worker, workers)))) == 5
            assert len(read) == len(set(read)) == 40 // workers
            places += read
        np.testing.assert_array_equal(np.concatenate([x for parts in zip(*shares, strict=True) for x in parts]), whole)
        assert workers == 1 or len(places) == 40


@pytest.mark.slow
def test_sizes_that_differ_validation_of_its_own_and_unlabelled_images(prepare):
    features = {"image": tfds.features.Image(shape=(None, None, 3)), "label": tfds.features.ClassLabel(num_classes=2)}
    examples = [{"image": x[: 4 + i % 3], "label": i % 2 if i % 5 else -1} for i, x in enumerate(PIXELS)]
    prepare("tiny_sizes", features, {"train": examples[:20], "validation": examples[20:30], "extra": examples[30:]})
    with pytest.raises(UserError, match="--image_size"):
        load(DataConfig("tiny_sizes"))
    for cache in ("memory", "none"):
        dataset = load(DataConfig("tiny_sizes", image_size=(5, 5), cache=cache))
        # of 20 and 10 images each fifth has no label
        assert dataset.spec.examples == {"train": 16, "validation": 8} and dataset.spec.class_names == ("0", "1")
        notes = " ".join(dataset.notes)
        assert "'extra' with 10 images is not used" in notes and "6 images have no label" in notes
        assert "validation split of 8 images is what is reported" in notes


def test_zero_and_one_are_black_and_white(prepare):
    prepare(
        "tiny_binary",
        {"image": tfds.features.Image(shape=(7, 6, 3))},
        {"train": [{"image": (x > 127).astype(np.uint8)} for x in PIXELS]},
    )
    dataset = load(DataConfig("tiny_binary"))
    assert dataset.binary and dataset.arrays("train")[0].max() == 255


def test_sixteen_bit_images(prepare):
    deep = PIXELS[..., :1].astype(np.uint16) * 257
    feature = tfds.features.Image(shape=(7, 6, 1), dtype=np.uint16, encoding_format="png")
    prepare("tiny_deep", {"image": feature}, {"train": [{"image": x} for x in deep]})
    got = load(DataConfig("tiny_deep", validation_fraction=0)).arrays("train")[0]
    assert {x.tobytes() for x in got} == {x.tobytes() for x in PIXELS[..., :1]}


def test_dark_first_images_do_not_decide_for_the_whole_set(prepare):
    dark = [{"image": (x > 127).astype(np.uint8)} for x in np.concatenate([PIXELS, PIXELS[:, ::-1]])]
    prepare(
        "tiny_dusk", {"image": tfds.features.Image(shape=(7, 6, 3))}, {"train": dark, "test": [{"image": PIXELS[0]}]}
    )
    dataset = load(DataConfig("tiny_dusk", value_range=(0, 255), validation_fraction=0))
    assert dataset.arrays("train")[0].max() == 1 and dataset.arrays("test")[0].max() == PIXELS[0].max()
    with pytest.raises(UserError, match=r"train holds values from 0 to 1 .*; test holds values from 0 to 2\d\d"):
        load(DataConfig("tiny_dusk"))


def test_twelve_bits_of_a_sixteen_bit_set(prepare):
    feature = tfds.features.Image(shape=(7, 6, 1), dtype=np.uint16, encoding_format="png")
    prepare("tiny_depth", {"image": feature}, {"train": [{"image": x[..., :1].astype(np.uint16) * 16} for x in PIXELS]})
    dataset = load(DataConfig("tiny_depth", validation_fraction=0))
    assert any("4095 as white" in finding for finding in dataset.findings)
    expected = {np.rint(x[..., :1] * (16 * 255 / 4095)).astype(np.uint8).tobytes() for x in PIXELS}
    assert {x.tobytes() for x in dataset.arrays("train")[0]} == expected
    given = load(DataConfig("tiny_depth", validation_fraction=0, value_range=(0, 4080))).arrays("train")[0]
    assert {x.tobytes() for x in given} == {x[..., :1].tobytes() for x in PIXELS}


@pytest.fixture
def shards(prepare, tmp_path):
    """A folder of TFRecord shards that TFDS wrote, in a place that it does not know: 12 training and 4 test images."""
    features = {"image": tfds.features.Image(shape=(7, 6, 3)), "label": tfds.features.ClassLabel(names=["cat", "dog"])}
    examples = [{"image": x, "label": i % 2} for i, x in enumerate(PIXELS)]
    prepare("tiny_shards", features, {"train": examples[:12], "test": examples[12:16]})
    return (tmp_path / "tfds" / "tiny_shards").rename(tmp_path / "pets") / "1.0.0"


def test_a_folder_of_tfrecord_shards_is_read_where_it_lies(shards):
    for folder in (shards, shards.parent):
        dataset = load(DataConfig(str(folder)))
        assert dataset.spec.name == "tiny-shards" and dataset.spec.class_names == ("cat", "dog")
        assert dataset.spec.examples == {"train": 11, "validation": 1, "test": 4}
    check_dataset(dataset)
    number = {x.tobytes(): i for i, x in enumerate(PIXELS)}
    pixels, labels = dataset.arrays("test")
    assert [number[x.tobytes()] % 2 for x in pixels] == labels.tolist()


def test_a_folder_of_shards_that_is_not_kept_is_read_in_an_order_of_its_own(shards, monkeypatch):
    monkeypatch.setattr(kgen_tfds, "RUN", 2)
    dataset = load(DataConfig(str(shards), cache="none"))
    check_dataset(dataset)
    kept = load(DataConfig(str(shards), cache="memory"))
    for split in dataset.splits:
        assert dataset.fingerprint(split) == kept.fingerprint(split)


def test_shards_that_are_missing_cut_off_or_damaged_are_named(shards):
    (shard,) = shards.glob("*train*")
    content = shard.read_bytes()

    def message(changed, **settings):
        shard.write_bytes(changed)
        with pytest.raises(UserError) as error:
            load(DataConfig(str(shards), **settings))
        assert shard.name in str(error.value)
        return str(error.value)

    assert "11 whole records, and 12 are declared" in message(content[:-1])
    flipped = bytearray(content)
    flipped[len(content) // 2] ^= 1
    assert "of 12 is damaged" in message(bytes(flipped)) and "of 12 is damaged" in message(bytes(flipped), cache="none")
    shard.unlink()
    with pytest.raises(UserError, match=rf"1 shard of 1 of the split 'train' .* missing: {shard.name}"):
        load(DataConfig(str(shards)))


def test_a_record_that_breaks_after_the_set_was_opened_is_named(shards):
    """Where images are decoded again when somebody asks for all: kgen-eval of a set that is not kept."""
    dataset = load(DataConfig(str(shards), cache="none"))
    (shard,) = shards.glob("*train*")
    content = bytearray(shard.read_bytes())
    content[12 : len(content) // 2] = bytes(len(content) // 2 - 12)
    shard.write_bytes(content)
    with pytest.raises(UserError, match=shard.name):
        dataset.arrays("train")


def test_a_record_that_is_no_image_is_named(shards):
    import tensorflow as tf

    (shard,) = shards.glob("*test*")
    examples = [
        tf.train.Example.FromString(record) for record in tf.data.TFRecordDataset(str(shard)).as_numpy_iterator()
    ]
    examples[2].features.feature["image"].bytes_list.value[0] = b"no image"
    with tf.io.TFRecordWriter(str(shard)) as writer:
        for example in examples:
            writer.write(example.SerializeToString())
    with pytest.raises(UserError, match=rf"{shard.name}: record 2 of 4 holds no image that can be read"):
        load(DataConfig(str(shards)))


def test_a_description_that_names_foreign_code_is_refused(shards):
    features = shards / "features.json"
    features.write_text(features.read_text().replace("tensorflow_datasets.core.features.image_feature", "antigravity"))
    with pytest.raises(UserError, match=r"features.json names antigravity.Image, .* not imported"):
        load(DataConfig(str(shards)))


def test_a_set_without_images(prepare):
    prepare("tiny_words", {"text": tfds.features.Text()}, {"train": [{"text": "a"}]})
    with pytest.raises(UserError, match=r"no image feature; it has text \(Text\)"):
        load(DataConfig("tiny_words"))


@pytest.mark.parametrize("name", ["svhn_cropped", "imagenette/160px-v2", "tfds:cifar10"])
def test_offline_an_unprepared_set_is_answered_at_once(name, prepare, monkeypatch):
    prepare("tiny_here", {"image": tfds.features.Image(shape=(7, 6, 3))}, {"train": [{"image": PIXELS[0]}]})
    for variable in ("http_proxy", "https_proxy", "HTTP_PROXY", "HTTPS_PROXY"):
        monkeypatch.setenv(variable, "http://127.0.0.1:9")  # nothing listens there: no way out, on any machine
    monkeypatch.delenv("no_proxy", raising=False)
    monkeypatch.delenv("NO_PROXY", raising=False)
    start = time.monotonic()
    with pytest.raises(UserError) as error:
        load(DataConfig(name))
    assert time.monotonic() - start < 10
    message = str(error.value)
    words = (repr(name.removeprefix("tfds:")), "not prepared", "cannot be reached", "tiny_here", "'digits'", "folder")
    assert all(word in message for word in words), message


def test_a_server_that_never_answers_is_not_waited_for():
    import socket

    with socket.create_server(("127.0.0.1", 0)) as silent:
        start = time.monotonic()
        (failure,) = kgen_tfds.probe([f"http://127.0.0.1:{silent.getsockname()[1]}/a"], seconds=0.5)
        assert time.monotonic() - start < 3 and "127.0.0.1" in failure


def test_any_answer_of_a_server_will_do():
    import http.server
    import threading

    class Refuses(http.server.BaseHTTPRequestHandler):
        def do_HEAD(self):
            self.send_error(405)

        def log_message(self, *args):
            pass

    with http.server.HTTPServer(("127.0.0.1", 0), Refuses) as server:
        threading.Thread(target=server.handle_request, daemon=True).start()
        assert kgen_tfds.probe([f"http://127.0.0.1:{server.server_port}/file"]) == []


def test_online_a_set_is_prepared(tmp_path, monkeypatch):
    """With servers in reach, the set is prepared and read; the builder here needs no download."""
    monkeypatch.setenv("TFDS_DATA_DIR", str(tmp_path / "tfds"))
    monkeypatch.setattr(kgen_tfds, "probe", lambda urls: [])
    features = {"image": tfds.features.Image(shape=(7, 6, 3))}
    fresh = make_builder("tiny_fresh", features, {"train": [{"image": PIXELS[0]}]}, tmp_path / "tfds")
    monkeypatch.setattr(tfds, "builder", lambda name, **options: fresh)
    source = kgen_tfds.open_tfds("tiny_fresh")
    assert source.counts == {"train": 1} and fresh.is_prepared()


def test_a_download_that_fails_is_one_message(tmp_path, monkeypatch):
    monkeypatch.setenv("TFDS_DATA_DIR", str(tmp_path / "tfds"))
    monkeypatch.setattr(kgen_tfds, "probe", lambda urls: [])

    def fail(self, **options):
        raise OSError("No space left on device")

    monkeypatch.setattr(tfds.core.DatasetBuilder, "download_and_prepare", fail)
    with pytest.raises(UserError, match=r"'cifar10'.*preparing it failed: No space left on device"):
        load(DataConfig("cifar10"))
