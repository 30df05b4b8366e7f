"""Where the Inception weights come from, and what is said when they do not."""

import hashlib
import tarfile

import numpy as np
import pytest
import tensorflow as tf

from kgen.errors import UserError
from kgen.features import inception
from kgen.features.inception import open_inception, read_state

STATE = {"a.weight": np.arange(6, dtype=np.float32).reshape(2, 3), "b": np.array([1.5, -2.0], np.float32)}
HANDLE = "https://tfhub.dev/tensorflow/tfgan/eval/inception/1"


def assert_is_state(state):
    assert state.keys() == STATE.keys()
    for key, value in STATE.items():
        np.testing.assert_array_equal(state[key], value)


def test_npz(tmp_path):
    np.savez(tmp_path / "w.npz", **STATE)
    assert_is_state(read_state(tmp_path / "w.npz"))


def test_a_broken_file(tmp_path):
    for suffix in (".npz", ".pth"):
        (tmp_path / f"w{suffix}").write_bytes(b"no weights at all")
        with pytest.raises(UserError, match=rf"w{suffix} cannot be read as {suffix}"):
            read_state(tmp_path / f"w{suffix}")


@pytest.mark.parametrize(("name", "hint"), [("w.h5", "; .*--features squeezenet"), ("w.safetensors", "")])
def test_another_kind_of_file(tmp_path, name, hint):
    (tmp_path / name).touch()
    with pytest.raises(UserError, match=rf"--feature_weights.*Received: .*{name}{hint}$"):
        open_inception(str(tmp_path / name))


def test_no_file():
    with pytest.raises(UserError) as raised:
        open_inception("nowhere/weights.npz")
    for word in ("'nowhere/weights.npz'", "--feature_weights", ".tar.gz", ".npz", "--features classifier"):
        assert word in str(raised.value)


def module(dimension: int, num_classes: int = 1008) -> tf.Module:
    """A module with the signature of TensorFlow-GAN's: pool_3 is the mean colour times weights."""
    result = tf.Module()
    result.colours = tf.Variable(tf.random.stateless_normal([3, dimension], [0, 1]))
    result.classes = tf.Variable(tf.ones([1, num_classes]))

    @tf.function(input_signature=[tf.TensorSpec([None, 299, 299, 3])])
    def call(images):
        pool = tf.reduce_mean(images, (1, 2)) @ result.colours
        return {"pool_3": pool[:, None, None], "logits": pool[:, :1] @ result.classes}

    result.__call__ = call
    return result


@pytest.fixture(scope="session")
def saved_module(tmp_path_factory):
    """(folder of a SavedModel, what it gives for grey images of 128 + 64)."""
    folder, made = tmp_path_factory.mktemp("module"), module(2048)
    tf.saved_model.save(made, str(folder))
    return folder, 0.5 * made.colours.numpy().sum(axis=0)  # (192 - 128) / 128 = 0.5 in every channel


GREY = np.full((3, 8, 8, 1), 192, np.uint8)


def test_folder_and_archive_are_the_same_extractor(saved_module, tmp_path, monkeypatch):
    folder, expected = saved_module
    monkeypatch.setenv("KGEN_CACHE_DIR", str(tmp_path / "cache"))
    archive = tmp_path / "inception_1.tar.gz"
    with tarfile.open(archive, "w:gz") as tar:
        tar.add(folder, ".")
    of_folder, of_archive = open_inception(str(folder)), open_inception(str(archive))
    assert of_folder.hash == of_archive.hash == open_inception(str(archive)).hash
    for extractor in (of_folder, of_archive):
        features, logits = extractor(GREY)
        np.testing.assert_allclose(features, np.tile(expected, (3, 1)), rtol=1e-4, atol=1e-5)
        np.testing.assert_allclose(logits, np.repeat(features[:, :1], 1008, axis=1))
    assert [path.name[0] for path in (tmp_path / "cache" / "inception").iterdir()] != ["."]


def test_other_files_are_another_extractor(saved_module, tmp_path):
    folder, _ = saved_module
    before = inception.hash_folder(folder)
    for name in ("saved_model.pb", "variables/variables.index"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_bytes((folder / name).read_bytes())
    assert inception.hash_folder(tmp_path) != before


def test_a_module_of_other_shapes(tmp_path):
    tf.saved_model.save(module(64), str(tmp_path))
    with pytest.raises(UserError, match=r"\(1, 64\).*it is not TensorFlow-GAN's Inception module"):
        open_inception(str(tmp_path))


def test_a_module_of_another_kind(tmp_path):
    tf.saved_model.save(tf.Module(), str(tmp_path))
    with pytest.raises(UserError, match="does not run as TensorFlow-GAN's Inception module"):
        open_inception(str(tmp_path))


def test_a_folder_and_an_archive_without_a_module(tmp_path, monkeypatch):
    monkeypatch.setenv("KGEN_CACHE_DIR", str(tmp_path / "cache"))
    (tmp_path / "empty").mkdir()
    with pytest.raises(UserError, match=r"holds no saved_model.pb"):
        open_inception(str(tmp_path / "empty"))
    (tmp_path / "broken.tgz").write_bytes(b"no archive")
    with pytest.raises(UserError, match=r"broken.tgz cannot be unpacked"):
        open_inception(str(tmp_path / "broken.tgz"))
    assert not [*(tmp_path / "cache" / "inception").iterdir()]


def test_the_cache_of_tf_hub_needs_no_network(saved_module, tmp_path, monkeypatch):
    folder, expected = saved_module
    monkeypatch.setenv("TFHUB_CACHE_DIR", str(tmp_path))
    monkeypatch.setattr(inception, "probe", lambda urls: pytest.fail("the network was asked"))
    (tmp_path / hashlib.sha1(HANDLE.encode()).hexdigest()).symlink_to(folder)
    np.testing.assert_allclose(open_inception()(GREY)[0][0], expected, rtol=1e-4, atol=1e-5)


def test_offline_without_weights(tmp_path, monkeypatch):
    asked: list[str] = []
    monkeypatch.setenv("TFHUB_CACHE_DIR", str(tmp_path))
    monkeypatch.setattr(inception, "probe", lambda urls: asked.extend(urls) or ["tfhub.dev cannot be reached"])
    with pytest.raises(UserError) as raised:
        open_inception()
    assert asked == [HANDLE]
    for word in (HANDLE, str(tmp_path), "tfhub.dev cannot be reached", "--feature_weights", ".npz", "--features"):
        assert word in str(raised.value)
    assert not [*tmp_path.iterdir()]
