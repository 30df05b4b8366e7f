"""GAN: its losses, penalties and networks (test_conformance_gan.py: what every model does)."""

from dataclasses import replace

import keras
import numpy as np
import pytest
import tensorflow as tf
from model_case import BATCH, Case, fit, train, two_replicas

from kgen.errors import UserError
from kgen.losses import penalties
from kgen.models import build_model, gan
from kgen.nn.layers import Clip, Dropout
from kgen.spec import DataSpec

MLP = {"hidden": [8], "latent_dim": 3, "dropout": 0.0}
CONV = {"filters": [4, 5], "latent_dim": 3}


def layers_of(network, kind):
    return [layer for layer in network._flatten_layers() if isinstance(layer, kind)]


def one_pass(network, *inputs) -> list[np.ndarray]:
    """The moving statistics of batch normalization after one pass in training mode."""
    network(*inputs, training=True)
    return [w.numpy() for layer in layers_of(network, keras.layers.BatchNormalization)
            for w in layer.non_trainable_weights]  # fmt: skip


def test_statistics_of_batch_normalization_are_updated_once_a_step():
    """By the generator's own phase, and by real images: the two other passes through each network leave them alone."""
    spec = DataSpec("toy", (24, 20, 1), num_classes=3)  # the first of two convolutions is not normalized
    case = Case("dcgan", spec, CONV | {"discriminator_batch_norm": True, "r1": 0.0, "critic_steps": 2})
    images, labels = case.examples(2)
    model, other = (case.compiled(0.0, optimizer=keras.optimizers.SGD) for _ in range(2))
    fixed = tf.random.stateless_normal((2, 3), [1, 2])
    model.noise = lambda shape, *names, training=True: fixed[: shape[0]]
    train(model, np.concatenate([images[:1]] * 4), np.concatenate([labels[:1]] * 4))  # two moves on two equal images
    generator = one_pass(other.generator, fixed)
    two_equal = np.concatenate([images[:1]] * 2)
    one_pass(other.discriminator, other.to_discriminator_input(two_equal))
    discriminator = one_pass(other.discriminator, other.to_discriminator_input(two_equal))  # once per move
    for network, expected in ((model.generator, generator), (model.discriminator, discriminator)):
        found = [w.numpy() for layer in layers_of(network, keras.layers.BatchNormalization)
                 for w in layer.non_trainable_weights]  # fmt: skip
        assert len(found) == len(expected) > 0
        for one, other_one in zip(found, expected, strict=True):
            np.testing.assert_allclose(one, other_one, rtol=1e-5, atol=1e-7)


@pytest.mark.slow
def test_statistics_of_normalization_with_dropout_move_on_every_replica():
    """Dropout makes the replicas wait for each other in the middle of a pass."""
    args = MLP | {"hidden": [8, 8], "dropout": 0.5, "discriminator_batch_norm": True}
    case, strategy = Case("gan", model_args=args), two_replicas()
    with strategy.scope():
        model = case.compiled()
    layer = next(layer for layer in layers_of(model.discriminator, keras.layers.BatchNormalization))
    before = np.array(layer.moving_mean)
    fit(model, case.batches(3, 2 * BATCH))
    found = [local.numpy() for local in strategy.experimental_local_results(layer.moving_mean.value)]
    assert all(np.abs(statistics - before).min() > 0 for statistics in found)
    assert layer.momentum == 0.99


@pytest.mark.slow
def test_dropout_in_a_penalty_of_some_steps_on_every_replica():
    """The penalty's pass is within a condition, where replicas cannot wait for each other."""
    case, strategy = Case("gan", model_args=MLP | {"dropout": 0.5, "r1": 1.0, "penalty_every": 2}), two_replicas()
    with strategy.scope():
        model = case.compiled()
    (layer,) = layers_of(model.discriminator, Dropout)
    fit(model, case.batches(4, 2 * BATCH))
    calls = [local.numpy() for local in strategy.experimental_local_results(layer.calls.value)]
    assert len(calls) == 2 and calls[0] == calls[1] == 4 + 2 + 4  # of both phases, and of two penalties


@pytest.mark.parametrize("network", ["mlp", "conv", "dcgan", "upsampling", "residual"])
def test_dropout_is_in_every_network(network):
    args = {"network": network, "filters": [4, 5], "hidden": [8] if network == "mlp" else []}
    model = build_model("dcgan", DataSpec("gray", (16, 16, 1)), **args, dropout=0.3)
    assert len(layers_of(model.discriminator, Dropout)) >= len(args["hidden"] or args["filters"]) - 1
    assert not layers_of(model.generator, Dropout)


def test_augmentation_sees_the_same_range_whatever_the_models():
    """A translation fills with a middle grey, which a generator that ends in a sigmoid says with 0.5."""
    for name, grey in (("gan", 0.0), ("vae_gan", 0.5)):
        model = Case(name, model_args=MLP | {"augment": ["cutout"]}).build()
        white = model.to_discriminator_input(np.ones((20, *model.spec.image_shape), np.float32))
        assert {*np.unique(model._augmented(white, "real", True))} == {np.float32(grey), np.float32(1.0)}


@pytest.mark.parametrize(
    ("loss", "of_both"),
    [
        ("non_saturating", 0.0),
        ("hinge", 0.0),
        ("least_squares", 0.5),
        ("relativistic_pair", None),
        ("wasserstein", None),
    ],
)
def test_the_share_of_changed_images_follows_the_discriminator(loss, of_both):
    """It rises by the images of a step over those of the whole way, where D tells real images, and falls where not."""
    case = Case("gan", model_args=MLP | {"loss": loss, "augment": ["color"], "augment_target": 0.0})
    model, images = case.compiled(0.0), case.examples(100)[0]
    seen = []
    for sign in (1, 1, -1, -1, -1):
        if of_both is None:  # D of a batch whose first half is real; a number added to all changes nothing
            model.discriminator.call = lambda x, sign=sign, **_: 500 + tf.range(tf.shape(x)[0], 0, -1.0) * sign
        else:
            model.discriminator.call = lambda x, sign=sign, **_: tf.fill(tf.shape(x)[:1], of_both + 0.3 * sign)
        model.discriminator_terms(images, np.zeros(100, np.int32), training=True)
        seen.append(float(model.augment_probability.value) * gan.AUGMENTATION_IMAGES)
    np.testing.assert_allclose(seen, [100, 200, 100, 0, 0], atol=1e-2)


def test_the_penalty_is_taken_anywhere_between_real_and_generated_images(monkeypatch):
    """One weight per image from U(0, 1): of 4,000 a tenth of the interval has 400, give or take four times 19."""
    seen, case = [], Case("wgan_gp", model_args=MLP | {"network": "mlp"})
    monkeypatch.setattr(penalties, "gradient_penalty", lambda judge, real, fake, weights: seen.append(weights) or 0.0)
    case.build().discriminator_terms(*case.examples(4_000), training=True)
    (weights,) = seen
    assert weights.shape == (4_000,)
    counts, _ = np.histogram(weights, bins=10, range=(0, 1))
    assert counts.sum() == 4_000 and np.abs(counts - 400).max() < 76


def test_every_critic_step_sees_images_and_noise_of_its_own():
    case = Case("gan", model_args=MLP | {"critic_steps": 5})
    model = case.compiled()
    images, _ = case.examples(5 * BATCH)
    seen, drawn = [], []
    terms, noise = model.discriminator_terms, model.noise

    def seeing(images, labels, training=False):
        seen.append(np.asarray(images))
        return terms(images, labels, training=training)

    def drawing(*args, **kwargs):
        drawn.append(np.asarray(noise(*args, **kwargs)))
        return tf.constant(drawn[-1])

    model.discriminator_terms, model.noise = seeing, drawing
    train(model, images, np.zeros(len(images), np.int32), size=len(images))
    assert len(seen) == 5
    for i, found in enumerate(seen):  # every fifth image, so that replicas divide each share alike
        np.testing.assert_array_equal(found, images[i::5])
    assert len({z.tobytes() for z in drawn}) == len(drawn) == 6


@pytest.mark.slow
def test_a_clipped_critic_is_as_steep_as_its_weights_allow():
    """|D(x) - D(y)| <= prod of sqrt(inputs * outputs) * clip over its layers, times ||x - y||: LeakyReLU shrinks."""
    clip = 0.1
    case = Case("wgan", model_args={"network": "mlp", "hidden": [8, 6], "filters": [1], "latent_dim": 3, "clip": clip})
    model = case.compiled(0.1, optimizer=keras.optimizers.RMSprop)
    train(model, *case.examples(20 * BATCH))
    kernels = [w.numpy() for w in model.discriminator.trainable_weights if w.ndim == 2]
    assert max(np.abs(w.numpy()).max() for w in model.discriminator.trainable_weights) == np.float32(clip)
    bound = np.prod([clip * np.sqrt(kernel.size) for kernel in kernels])
    x, y = (
        np.random.default_rng(i).uniform(-1, 1, size=(200, *case.spec.image_shape)).astype(np.float32) for i in (0, 1)
    )
    change = np.abs(model.discriminator(x) - model.discriminator(y))
    apart = np.sqrt(np.square(x - y).sum(axis=(1, 2, 3)))
    assert 0 < (change / apart).max() <= bound


def test_the_gradient_norm_is_reported_for_training_alone():
    case = Case("gan", model_args=MLP)
    model = case.compiled(0.0, optimizer=keras.optimizers.SGD)
    images, labels = case.examples(BATCH)
    train(model, images, labels)
    found = model.get_metrics_result()
    model = case.compiled(1.0, optimizer=keras.optimizers.SGD)
    before = [w.numpy() for w in model.discriminator.trainable_weights]
    train(model, images, labels)  # a step of SGD at rate 1 is the gradient
    after = [w.numpy() for w in model.discriminator.trainable_weights]
    norm = np.sqrt(sum(np.square(b - a).sum() for a, b in zip(after, before, strict=True)))
    assert float(found["discriminator_gradient"]) == pytest.approx(norm, rel=1e-4)
    assert {*model.evaluate(case.batches(1), verbose=0, return_dict=True)} == {
        "discriminator_loss", "discriminator_real", "discriminator_fake", "generator_loss"
    }  # fmt: skip


@pytest.mark.parametrize("how", [{}, {"jit_compile": True}])
def test_a_penalty_every_other_step_is_twice_as_heavy(how):
    """Two steps of `fit` are one with twice the weight, and one without."""
    case = Case("gan", model_args=MLP)

    def compiled(**args):
        one = replace(case, model_args=case.model_args | args)
        return one.compiled(1e-2, optimizer=keras.optimizers.SGD, **how)

    lazy, heavy, without = compiled(r1=1.0, r2=3.0, penalty_every=2), compiled(r1=2.0, r2=6.0), compiled()
    images, labels = case.examples(2 * BATCH)
    fit(lazy, case.batches(2))
    train(heavy, images[:BATCH], labels[:BATCH])
    without.set_weights(heavy.get_weights())  # and the number of the step
    train(without, images[BATCH:], labels[BATCH:])
    for network in ("discriminator", "generator"):
        for a, b in zip(*(getattr(model, network).weights for model in (lazy, without)), strict=True):
            np.testing.assert_allclose(a, b, rtol=1e-5, atol=1e-6)
    penalty = float(heavy.trackers["discriminator_penalty"].result())
    assert float(lazy.trackers["discriminator_penalty"].result()) == pytest.approx(penalty / 2, rel=1e-5)


@pytest.mark.parametrize("extra, keys", [
    ({"loss": "wasserstein"}, {"distance"}), ({"r1": 1.0}, {"penalty"}),
    ({"loss": "wasserstein", "gradient_penalty": 10.0}, {"distance", "penalty"}),
    ({"loss": "relativistic"}, set()), ({"loss": "hinge", "spectral_norm": True}, set()),
    ({"loss": "relativistic_pair", "r1": 1.0, "r2": 1.0, "penalty_every": 2}, {"penalty"}),
    ({"augment": ["color", "translation", "cutout"]}, set()),
    ({"augment": ["scale"], "augment_target": 0.6}, {"augmented"}),
    ({"network": "residual", "filters": [2], "spectral_norm": True}, set()),
])  # fmt: skip
def test_every_choice_trains_and_reports(extra, keys):
    case = Case("gan", model_args=MLP | extra)
    model = case.compiled()
    train(model, *case.examples(3 * BATCH))
    found = {key: float(value) for key, value in model.get_metrics_result().items()}
    assert np.isfinite(list(found.values())).all()
    own = {key.removeprefix("discriminator_") for key in found if key.startswith("discriminator_")}
    assert own == {"loss", "real", "fake", "gradient"} | keys


def test_networks_take_what_was_asked_for():
    case = Case("cdcgan", model_args=CONV | {"discriminator_filters": [3], "clip": 0.2, "projection": True,
                                             "dropout": 0.5})  # fmt: skip
    model = case.build()
    assert model.discriminator.get_layer("encoder_conv_0").kernel.shape == (4, 4, 1, 3)
    constraints = {type(w.constraint) for w in model.discriminator.trainable_weights}
    assert constraints == {Clip}


@pytest.mark.parametrize("args, message", [
    ({"loss": "hing"}, "unknown loss 'hing': did you mean 'hinge'"),
    ({"label_smoothing": 0.1, "loss": "hinge"}, "model_args.label_smoothing belongs to the losses non_saturating and"),
    ({"dropout": 1.0}, "model_args.dropout must be less than 1. Received: 1.0"),
    ({"clip": 0.0}, "model_args.clip must be greater than 0, or null. Received: 0.0"),
    ({"r1": -1.0}, "model_args.r1 must be at least 0. Received: -1.0"),
    ({"critic_steps": 0}, "model_args.critic_steps must be at least 1. Received: 0"),
    ({"discriminator_batch_norm": True, "r1": 1.0}, "the slope at one image depend on the others"),
    ({"discriminator_batch_norm": True, "loss": "wasserstein"}, "does not go with model_args.loss=wasserstein"),
    ({"penalty_every": 4}, "model_args.penalty_every=4 needs a penalty: model_args.r1, model_args.r2"),
    ({"projection": True}, "model_args.projection is for conditional models"),
    ({"augment": ["colour"]}, "unknown model_args.augment 'colour': did you mean 'color'"),
])  # fmt: skip
def test_wrong_arguments_are_explained(args, message):
    with pytest.raises(UserError, match=message):
        build_model("gan", Case("gan").spec, **args)


# Networks -------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("network", ["dcgan", "upsampling", "residual"])
@pytest.mark.parametrize("side", [28, 32, 37, 64, 128])
@pytest.mark.parametrize("channels", [1, 3])
def test_any_square_is_taken(network, side, channels):
    args = {"network": network, "filters": [2], "latent_dim": 2}
    model = build_model("dcgan", DataSpec("square", (side, side, channels)), **args)
    assert model.generator.output_shape == (None, side, side, channels)


@pytest.mark.parametrize(
    ("images", "given", "expected"),
    [
        (199, {}, {"augment": gan.FOR_FEW}),
        (200, {}, {"augment": gan.FOR_MANY}),
        (199, {"r1": 3.0}, {"augment": gan.FOR_FEW, "r1": 3.0}),
        (199, {"augment_target": 0.2}, {"augment": gan.FOR_FEW, "augment_target": 0.2}),
        (199, {"augment": ["cutout"]}, {"augment": ("cutout",)}),
    ],
)
def test_auto_goes_by_the_number_of_images_and_what_is_given_stays(images, given, expected):
    spec = DataSpec("toy", (16, 16, 3), examples={"train": images})
    args = build_model("dcgan", spec, **(CONV | {"augment": "auto"} | given)).model_args()
    assert args | {"augment": tuple(args["augment"])} == args | expected
    assert args == build_model("dcgan", spec, **args).model_args()


def test_residual_blocks_begin_with_nothing():
    """Discriminator and generator are their resampling layers alone at first; then the blocks learn, too."""
    case = Case("gan", DataSpec("gray", (16, 16, 1)), {"network": "residual", "filters": [3, 4], "dropout": 0.0})
    model = case.compiled()
    assert not layers_of(model.generator, keras.layers.BatchNormalization)
    kernels = [
        [layer.kernel for layer in layers_of(network, keras.layers.Conv2D) if layer.name.endswith("block_1_conv_1")]
        for network in (model.generator, model.discriminator)
    ]
    assert [np.abs(kernel).max() for (kernel,) in kernels] == [0, 0]
    fit(model, case.batches(2))
    assert all(np.abs(kernel).max() > 0 for (kernel,) in kernels)


def test_upsampling_leaves_no_checkerboard():
    """Maps that are the same everywhere give an image that is, away from its border; transposed convolutions do not."""
    inside = slice(15, -15)
    for network, even in (("upsampling", True), ("dcgan", False)):
        model = build_model("dcgan", DataSpec("gray", (64, 64, 1)), network=network, filters=[3], batch_norm=False)
        features = model.generator.get_layer("decoder_features")
        features.kernel.assign(np.zeros(features.kernel.shape))
        features.bias.assign(np.ones(features.bias.shape))
        image = model.generator(np.zeros((1, *model.latent_shape), np.float32)).numpy()[0, inside, inside]
        assert (np.ptp(image) < 1e-6) == even


def test_excitation_scales_the_channels_of_larger_maps():
    """Shares of a half, of maps that a linear layer follows: half the logits; and what decides on them learns."""
    case = Case("dcgan", DataSpec("colour", (64, 64, 3)), {"network": "upsampling", "filters": [2, 3, 2]})
    plain, excited = case.build(), Case(case.name, case.spec, case.model_args | {"skip_excitation": True}).build()
    share = excited.generator.get_layer("decoder_excited_1_share")
    assert share.kernel.shape == (2, 2)
    before = np.asarray(share.kernel)
    share.kernel.assign(np.zeros((2, 2)))
    z = np.random.default_rng(0).normal(size=(3, *plain.latent_shape)).astype(np.float32)
    np.testing.assert_allclose(excited.generator(z), plain.generator(z) / 2, rtol=1e-5, atol=1e-7)
    share.kernel.assign(before)
    with tf.GradientTape() as tape:
        loss = tf.reduce_sum(excited.generator(z) ** 2)
    assert np.abs(tape.gradient(loss, share.kernel.value)).max() > 0
    with pytest.raises(UserError, match="from about 57 pixels on"):
        build_model("dcgan", DataSpec("small", (32, 32, 3)), skip_excitation=True)
    with pytest.raises(UserError, match="belongs to the networks dcgan and upsampling"):
        build_model("dcgan", case.spec, skip_excitation=True, network="residual")


def test_the_64x64_network_is_that_of_the_paper():
    """Radford et al. 2016, Figure 1, at half its width: 4x4x512 -> 8x8x256 -> 16x16x128 -> 32x32x64 -> 64x64x3."""
    model = build_model("dcgan", DataSpec("colour", (64, 64, 3)))
    kernels = [tuple(w.shape) for w in model.generator.trainable_weights if "kernel" in w.path]
    assert kernels == [(100, 4 * 4 * 512), (4, 4, 256, 512), (4, 4, 128, 256), (4, 4, 64, 128), (4, 4, 3, 64)]
    kernels = [tuple(w.shape) for w in model.discriminator.trainable_weights if "kernel" in w.path]
    assert kernels == [(4, 4, 3, 64), (4, 4, 64, 128), (4, 4, 128, 256), (4, 4, 256, 512), (4 * 4 * 512, 1)]


def test_gan_is_the_dense_network_of_the_experiments():
    model = build_model("gan", DataSpec("digits", (28, 28, 1)))
    kernels = [tuple(w.shape) for w in model.generator.trainable_weights if "kernel" in w.path]
    assert kernels == [(100, 256), (256, 512), (512, 1024), (1024, 784)]
    kernels = [tuple(w.shape) for w in model.discriminator.trainable_weights if "kernel" in w.path]
    assert kernels == [(784, 1024), (1024, 512), (512, 256), (256, 1)]


def test_normalization_in_a_discriminator_begins_after_the_layer_that_sees_pixels():
    model = build_model("dcgan", DataSpec("gray", (32, 32, 1)), filters=[2], r1=0.0, discriminator_batch_norm=True)
    names = [layer.name for layer in model.discriminator.layers if layer.name.endswith("_norm")]
    assert names == ["encoder_conv_1_norm", "encoder_conv_2_norm"]
