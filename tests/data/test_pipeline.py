import numpy as np
import pytest
from check_dataset import taken

from kgen.config import DataConfig
from kgen.data import load, pipeline
from kgen.errors import UserError


def test_three_ways_to_name_a_set(noise, tmp_path):
    np.savez(tmp_path / "a.npz", images=noise(30))
    path = str(tmp_path / "a.npz")
    config = DataConfig(path, validation_fraction=0.2)
    got = [
        taken(pipeline(path, "validation", batch_size=4, validation_fraction=0.2))[0],
        taken(pipeline(config, "validation", batch_size=4))[0],
        taken(pipeline(load(config), "validation", batch_size=4))[0],
    ]
    assert len(got[0]) == 6
    np.testing.assert_array_equal(got[0], got[1])
    np.testing.assert_array_equal(got[0], got[2])


def test_options_are_checked():
    images, labels = next(iter(pipeline("digits", batch_size=5, image_size=16, limit=10)))
    assert images.shape == (5, 16, 16, 1) and labels.shape == (5,)
    with pytest.raises(UserError, match="did you mean 'image_size'"):
        pipeline("digits", image_sizes=16)
    with pytest.raises(UserError, match=r"data\.fit"):
        pipeline("digits", fit="stretch")
    with pytest.raises(UserError, match="DataConfig"):
        pipeline(DataConfig("digits"), fit="pad")


def test_wrong_split_and_sizes(noise, tmp_path):
    np.savez(tmp_path / "a.npz", images=noise(10))
    dataset = load(DataConfig(str(tmp_path / "a.npz")))
    with pytest.raises(UserError, match="no split 'test'; it has train, validation"):
        dataset.batches("test")
    with pytest.raises(UserError, match="batch_size=0"):
        dataset.batches("train", batch_size=0)


@pytest.mark.slow
def test_keras_fit_takes_it_as_it_is(capsys):
    import keras

    model = keras.Sequential([keras.layers.Flatten(), keras.layers.Dense(10)])
    model.compile("adam", keras.losses.SparseCategoricalCrossentropy(from_logits=True), metrics=["accuracy"])
    dataset = load(DataConfig("digits"))
    history = model.fit(
        dataset.batches("train", batch_size=64), validation_data=dataset.batches("validation"), epochs=8, verbose=2
    )
    assert history.history["val_accuracy"][-1] > 0.8 and history.history["loss"][-1] < history.history["loss"][0]
    assert "20/20" in capsys.readouterr().out  # 1293 // 64 = 20 steps, known before the first epoch ends


def test_under_a_distribution_strategy(noise, tmp_path):
    import tensorflow as tf

    pixels = noise(32)
    np.savez(tmp_path / "a.npz", images=pixels)
    dataset = load(DataConfig(str(tmp_path / "a.npz"), validation_fraction=0))
    strategy = tf.distribute.MirroredStrategy(["CPU:0"])
    batches = strategy.experimental_distribute_dataset(dataset.batches("train", batch_size=8))
    seen = np.concatenate([images.numpy() for images, _ in batches])
    assert {image.tobytes() for image in seen} == {(image / np.float32(255)).tobytes() for image in pixels}
    options = dataset.batches("train").options().experimental_distribute
    assert options.auto_shard_policy == tf.data.experimental.AutoShardPolicy.DATA


def test_a_batch_larger_than_the_set_is_all_of_it(noise, tmp_path):
    np.savez(tmp_path / "a.npz", images=noise(5))
    dataset = load(DataConfig(str(tmp_path / "a.npz"), validation_fraction=0))
    batches = dataset.batches("train", batch_size=128)
    assert batches.element_spec[0].shape == (5, 8, 8, 1) and [len(y) for _, y in batches] == [5]


@pytest.mark.parametrize("binarize", ["none", "sample"])
def test_batches_of_bytes_are_the_same_batches(noise, tmp_path, binarize):
    np.savez(tmp_path / "a.npz", images=noise(12))
    dataset = load(DataConfig(str(tmp_path / "a.npz"), validation_fraction=0, binarize=binarize))
    options = {"batch_size": 4, "repeat": True, "start_epoch": 2}
    expected = taken(dataset.batches("train", **options), 3)[0]
    found = dataset.batches("train", **options, as_uint8=True)
    if binarize == "none":
        assert found.element_spec[0].dtype == np.uint8
        np.testing.assert_array_equal(taken(found, 3)[0] / np.float32(255), expected)
    else:
        assert found.element_spec[0].dtype == np.float32
        np.testing.assert_array_equal(taken(found, 3)[0], expected)


def test_the_orders_of_passes_follow_from_the_seed(noise, tmp_path):
    np.savez(tmp_path / "a.npz", images=noise(32))
    dataset = load(DataConfig(str(tmp_path / "a.npz"), validation_fraction=0))
    one, two = (dataset.batches("train", batch_size=32, seed=3) for _ in range(2))
    passes = [taken(one)[0] for _ in range(3)]
    assert not np.array_equal(passes[0], passes[1]) and not np.array_equal(passes[1], passes[2])
    np.testing.assert_array_equal(passes[0], taken(two)[0])
    np.testing.assert_array_equal(passes[1], taken(two)[0])


@pytest.mark.parametrize(("count", "fraction", "held"), [(2, 0.9, 1), (3, 0.9, 2), (10, 0.01, 1), (10, 0, 0)])
def test_how_many_are_set_aside(noise, tmp_path, count, fraction, held):
    np.savez(tmp_path / "a.npz", images=noise(count))
    examples = load(DataConfig(str(tmp_path / "a.npz"), validation_fraction=fraction)).spec.examples
    assert examples == ({"train": count - held, "validation": held} if held else {"train": count})
