"""The Inception network against torch-fidelity, with equal random weights.

`golden/inception.npz` is torch-fidelity's answer; `golden/inception_recipe.py` wrote it and holds the weights' recipe.
"""

import numpy as np
import pytest
import tensorflow as tf
from golden.inception_recipe import GOLDEN, random_array, random_images

from kgen.errors import UserError
from kgen.features.inception import build_network, load_state, open_inception, prepare, state_shapes


@pytest.fixture(scope="module")
def golden():
    with np.load(GOLDEN) as file:
        return dict(file)


@pytest.fixture(scope="module")
def network():
    return build_network()


@pytest.fixture(scope="module")
def state(network):
    return {key: random_array(key, shape) for key, shape in state_shapes(network).items()}


@pytest.fixture(scope="module")
def extractor(state, tmp_path_factory):
    path = tmp_path_factory.mktemp("inception") / "weights.npz"
    np.savez(path, **state, further=np.zeros(3))
    extractor = open_inception(str(path))
    extractor.batch_size = 2
    return extractor


@pytest.fixture(scope="module")
def answer(extractor):
    return extractor(random_images())


def test_keys_are_those_of_torch_fidelity(network, golden):
    assert sorted(f"{key} {list(shape)}" for key, shape in state_shapes(network).items()) == golden["keys"].tolist()


def test_resize_is_that_of_torch_fidelity(golden):
    resized = prepare(random_images()).numpy()[:, ::13, ::13] * 128 + 128
    np.testing.assert_allclose(resized, golden["resized"], atol=1e-4)


def test_resize_of_a_slope():
    slope = np.tile((20 * np.arange(8, dtype=np.uint8))[None, None, :, None], (1, 5, 1, 1))
    # TensorFlow 1: pixel j of 299 lies at j * 8 / 299 of the 8, and beyond the last one stays there.
    expected = (20 * np.minimum(np.arange(299) * 8 / 299, 7) - 128) / 128
    prepared = prepare(slope).numpy()
    assert prepared.shape == (1, 299, 299, 3)
    np.testing.assert_allclose(prepared, np.broadcast_to(expected[None, None, :, None], prepared.shape), atol=1e-5)


def test_grey_is_repeated():
    grey = random_images()[..., :1]
    np.testing.assert_array_equal(prepare(grey), prepare(np.repeat(grey, 3, axis=3)))


@pytest.mark.parametrize("pixels", [np.zeros((1, 8, 8, 4), np.uint8), np.zeros((1, 8, 8, 3), np.float32)])
def test_other_images(pixels):
    with pytest.raises(UserError, match=rf"grey or RGB.*Received: .*{pixels.shape[3]}\] {pixels.dtype}"):
        prepare(pixels)


@pytest.mark.slow
def test_features_are_those_of_torch_fidelity(answer, golden):
    for ours, theirs, width in zip(answer, (golden["features"], golden["logits"]), (2048, 1008), strict=True):
        assert ours.shape == (2, width) and ours.dtype == np.float32
        np.testing.assert_allclose(ours, theirs, rtol=1e-4, atol=1e-5 * np.abs(theirs).max())


def test_features_do_not_depend_on_the_number_of_images(extractor, answer):
    alone = extractor(random_images()[:1])
    for one, two in zip(alone, answer, strict=True):
        np.testing.assert_allclose(one[0], two[0], rtol=0, atol=1e-5 * np.abs(two).max())


def test_attributes(extractor):
    assert (extractor.name, extractor.dimension, extractor.num_classes) == ("inception", 2048, 1008)
    assert len(extractor.hash) == 16 and int(extractor.hash, 16)


def test_missing_and_misshapen_keys(network, state):
    wrong = {key: value for key, value in state.items() if not key.startswith("Mixed_7c.branch_pool.bn")}
    wrong["fc.weight"] = np.zeros((1000, 2048), np.float32)  # as torchvision's network has it
    with pytest.raises(UserError) as raised:
        load_state(network, wrong, "weights.npz")
    text = str(raised.value)
    assert "4 missing: Mixed_7c.branch_pool.bn.weight, Mixed_7c.branch_pool.bn.bias" in text
    assert "1 misshapen: fc.weight (1000, 2048), not (1008, 2048)" in text
    assert "weights.npz" in text and "pytorch-fid" in text


@pytest.mark.slow
def test_saved_model_of_the_same_weights(extractor, answer, network, state, tmp_path):
    """The route through TensorFlow-GAN's loader: the whole network as a module of TF-Hub's signature."""
    load_state(network, state, "the recipe")
    module = tf.Module()
    module.network = network

    @tf.function(input_signature=[tf.TensorSpec([None, 299, 299, 3])])
    def call(images):
        pool, logits = network(images, training=False)
        return {"pool_3": pool[:, None, None, :], "logits": logits}

    module.__call__ = call
    tf.saved_model.save(module, str(tmp_path))
    other = open_inception(str(tmp_path))
    other.batch_size = 2
    for ours, theirs in zip(other(random_images()), answer, strict=True):
        np.testing.assert_allclose(ours, theirs, rtol=1e-4, atol=1e-5 * np.abs(theirs).max())
    assert (other.resizer, other.value_range) == (extractor.resizer, extractor.value_range)
    assert other.hash != extractor.hash
