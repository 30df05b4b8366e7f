"""Every CPU kernel against the operations that it replaces: values, first and second derivatives; and the switch."""

from collections import Counter

import keras
import numpy as np
import pytest
import tensorflow as tf

from kgen.losses import penalties
from kgen.models import build_model
from kgen.nn import NETWORKS, DiscriminatorOptions, cpu_kernels
from kgen.nn.layers import BatchNormalization
from kgen.spec import DataSpec

# The switch -----------------------------------------------------------------------------------------------------------

MODELS = {
    "dcgan": {"filters": [4, 6], "latent_dim": 3},  # strided convolutions, batch normalization, leaky ReLU and R1
    "conv_vae": {"network": "bilinear", "filters": [4, 4, 8], "latent_dim": 3},  # upsampled convolutions
}


def trained(name: str) -> tuple[list[np.ndarray], set[str]]:
    """The weights after three steps, and the kinds of operations in a step."""
    model = build_model(name, DataSpec("toy", (28, 28, 1)), **MODELS[name])
    model.compile({phase.name: cpu_kernels.Adam(1e-3, epsilon=1e-3) for phase in model.phases()})
    images = np.random.default_rng(0).uniform(size=(8, 28, 28, 1)).astype(np.float32)
    step = tf.function(lambda: model.train_step(tf.constant(images)), autograph=False)
    for _ in range(3):
        step()
    graph = step.get_concrete_function().graph.as_graph_def()
    nodes = [node for part in (graph, *graph.library.function) for node in getattr(part, "node", None) or part.node_def]
    return [w.numpy() for w in model.trainable_variables], {node.op for node in nodes}


@pytest.mark.slow
@pytest.mark.parametrize("name", MODELS)
def test_a_training_without_the_kernels_is_the_same_up_to_rounding(name):
    assert cpu_kernels.enabled()
    ours, our_operations = trained(name)
    with cpu_kernels.disabled():
        assert not cpu_kernels.enabled()
        theirs, their_operations = trained(name)
    assert cpu_kernels.enabled()
    for one, other in zip(ours, theirs, strict=True):
        np.testing.assert_allclose(one, other, rtol=1e-3, atol=1e-5)
    assert any((one != other).any() for one, other in zip(ours, theirs, strict=True))
    kernels = {"ResourceApplyAdam"} | ({"FusedBatchNormV3"} if name == "dcgan" else set())
    assert kernels <= our_operations and not kernels & their_operations
    assert ("ResizeBilinear" in their_operations) == (name == "conv_vae") and "ResizeBilinear" not in our_operations


# Strided convolutions -------------------------------------------------------------------------------------------------

SIZES = [((28, 28), 4, 2), ((7, 9), 3, 2), ((9, 7), 5, 3), ((5, 6), 2, 3), ((8, 8), 4, 4)]


def normal(*shape, seed=0):
    return tf.constant(np.random.default_rng([seed, *shape]).normal(size=shape).astype(np.float32))


@pytest.mark.parametrize(("size", "taps", "stride"), SIZES)
@pytest.mark.parametrize("channels", [1, 3])
def test_both_equal_tensorflows(size, taps, stride, channels):
    images, kernel = normal(2, *size, channels), normal(taps, taps, channels, 6)
    expected = tf.nn.conv2d(images, kernel, stride, "SAME") + normal(6)
    found = cpu_kernels.conv2d(images, kernel, normal(6), (stride, stride))
    np.testing.assert_allclose(found, expected, atol=1e-5)
    maps = normal(*expected.shape)
    expected = tf.nn.conv2d_transpose(maps, kernel, images.shape, stride, "SAME") + normal(channels)
    found = cpu_kernels.conv2d_transpose(maps, kernel, normal(channels), size, (stride, stride))
    np.testing.assert_allclose(found, expected, atol=1e-5)


@pytest.mark.parametrize("taps", [(3, 3), (4, 4), (5, 2), (1, 1)])
@pytest.mark.parametrize("channels", [1, 3])
def test_a_convolution_to_few_channels_equals_tensorflows(taps, channels):
    """With its gradients, and those of their size."""
    maps, kernel, bias = normal(2, 7, 6, 5), normal(*taps, 5, channels), normal(channels)

    def found(convolve):
        with tf.GradientTape() as outer:
            outer.watch([maps, kernel, bias])
            with tf.GradientTape() as inner:
                inner.watch(maps)
                values = convolve(maps, kernel, bias)
                size = tf.reduce_sum(tf.square(values))
            slope = inner.gradient(size, maps)
            total = size + tf.reduce_sum(tf.square(slope))
        return values, slope, *outer.gradient(total, [maps, kernel, bias])

    theirs = found(lambda maps, kernel, bias: tf.nn.conv2d(maps, kernel, 1, "SAME") + bias)
    for one, other in zip(found(cpu_kernels.conv2d_to_few), theirs, strict=True):
        np.testing.assert_allclose(one, other, rtol=1e-4, atol=1e-3)


@pytest.mark.parametrize("jit", [False, True])
def test_slopes_and_the_gradients_of_slopes_equal_tensorflows(jit):
    """What a gradient penalty needs: the gradient, with respect to all weights, of the size of a gradient."""
    images, kernel, bias, head = normal(2, 8, 8, 1), normal(4, 4, 1, 6), normal(6), normal(6, seed=1)

    @tf.function(jit_compile=jit)
    def derivatives(convolve):
        with tf.GradientTape() as outer:
            outer.watch([images, kernel, bias])
            with tf.GradientTape() as inner:
                inner.watch(images)
                logits = tf.reduce_sum(tf.tanh(convolve(images)) * head)
            slope = inner.gradient(logits, images)
            size = tf.reduce_sum(tf.square(slope))
        return [slope, *outer.gradient(size, [images, kernel, bias])]

    expected = derivatives(lambda x: tf.nn.bias_add(tf.nn.conv2d(x, kernel, 2, "SAME"), bias))
    found = derivatives(lambda x: cpu_kernels.conv2d(x, kernel, bias, (2, 2)))
    for one, other in zip(found, expected, strict=True):
        np.testing.assert_allclose(one, other, rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize("bias", [True, False])
def test_layers_train_as_keras_own(bias):
    mine = cpu_kernels.Conv2DTranspose(3, 4, 2, padding="same", use_bias=bias, activation="tanh")
    keras_own = keras.layers.Conv2DTranspose(3, 4, 2, padding="same", use_bias=bias, activation="tanh")
    for layer in (mine, keras_own):
        layer.build((None, 9, 8, 6))
    keras_own.set_weights(mine.get_weights())
    maps = normal(2, 9, 8, 6)

    def gradients(layer):
        with tf.GradientTape() as tape:
            tape.watch(maps)
            loss = tf.reduce_sum(tf.square(layer(maps, training=True)))
        return [loss, *tape.gradient(loss, [maps, *(w.value for w in layer.trainable_weights)])]

    for one, other in zip(gradients(mine), gradients(keras_own), strict=True):
        np.testing.assert_allclose(one, other, rtol=1e-4, atol=1e-5)


def test_what_is_sampled_and_exported_is_keras_own_operation():
    layer = cpu_kernels.Conv2DTranspose(1, 4, 2, padding="same")
    layer.build((None, 8, 8, 8))

    def operations(training):
        traced = tf.function(lambda x: layer(x, training=training)).get_concrete_function(tf.TensorSpec((2, 8, 8, 8)))
        return {operation.type for operation in traced.graph.get_operations()}

    assert "Conv2DBackpropInput" in operations(False)
    assert "Conv2DBackpropInput" not in operations(True)


def test_where_the_kernels_take_the_place_of_keras():
    def faster(images, channels, filters=8, stride=2, **kwargs):
        layer = cpu_kernels.Conv2D(filters, 4, stride, padding=kwargs.pop("padding", "same"), **kwargs)
        return cpu_kernels.is_faster(layer, images, channels, filters, stride_1=stride == 1)

    assert faster((28, 28), 1) and faster((28, 28), 1, stride=1)  # images and maps
    assert faster((16, 16), 64, 128) and not faster((18, 18), 64, 128)  # small deep maps
    assert not faster((28, 8), 1) and not faster((28, 28), 11) and not faster((16, 16), 64, 127)
    assert not faster((16, 16), 64, 128, stride=1) and not faster((28, 28), 1, 4)
    assert not faster((28, 28), 1, padding="valid") and not faster((28, 28), 1, dtype="mixed_bfloat16")


# Upsampling and convolution -------------------------------------------------------------------------------------------


def separate_steps(x, kernel, bias):
    """TensorFlow's own resize, padding and convolution."""
    size = [2 * side for side in x.shape[1:3]]
    x = tf.raw_ops.ResizeBilinear(images=x, size=size, align_corners=True)
    return tf.nn.conv2d(tf.pad(x, [[0, 0], [2, 2], [2, 2], [0, 0]]), kernel, 1, "VALID") + bias


def example(shape, filters: int):
    generator = np.random.default_rng(0)
    layer = cpu_kernels.UpsampledConv2D(filters)
    layer.build(shape)
    layer.bias.assign(generator.normal(size=filters))
    return layer, tf.constant(generator.normal(size=shape), tf.float32)


@pytest.mark.parametrize("shape", [(2, 5, 5, 4), (2, 3, 7, 1), (1, 1, 2, 3)])
def test_it_is_upsampling_then_padding_then_convolution(shape):
    layer, x = example(shape, 3)
    with tf.GradientTape(persistent=True) as tape:
        tape.watch(x)
        one, two = layer(x), separate_steps(x, layer.kernel.value, layer.bias.value)
        losses = tf.reduce_sum(one**3), tf.reduce_sum(two**3)
    assert one.shape == layer.compute_output_shape(shape) == (shape[0], 2 * shape[1] + 2, 2 * shape[2] + 2, 3)
    np.testing.assert_allclose(one, two, atol=1e-5)
    for source in (x, layer.kernel.value, layer.bias.value):
        moves = [tape.gradient(loss, source) for loss in losses]
        np.testing.assert_allclose(*moves, rtol=1e-4, atol=1e-4)


def test_corner_pixels_stay_in_the_corners():
    # Six places on three pixels: 0, 0.4, 0.8, 1.2, 1.6, 2.
    expected = [[1, 0, 0], [0.6, 0.4, 0], [0.2, 0.8, 0], [0, 0.8, 0.2], [0, 0.4, 0.6], [0, 0, 1]]
    np.testing.assert_allclose(cpu_kernels.bilinear_matrix(3), expected, atol=1e-12)
    np.testing.assert_array_equal(cpu_kernels.bilinear_matrix(1), [[1], [1]])


@pytest.mark.parametrize("kind", [cpu_kernels.UpsampledConv2D, cpu_kernels.RepeatedConv2D])
def test_it_comes_back_from_its_configuration(kind):
    layer = kind(2, use_bias=False, kernel_initializer=keras.initializers.GlorotUniform(seed=3))
    again = keras.saving.deserialize_keras_object(keras.saving.serialize_keras_object(layer))
    x = np.ones((1, 2, 2, 1), np.float32)
    np.testing.assert_array_equal(again(x), layer(x))
    assert len(again.weights) == 1


@pytest.mark.parametrize(
    ("shape", "filters"), [((2, 5, 6, 4), 3), ((1, 1, 1, 2), 1), ((2, 8, 8, 128), 130), ((1, 8, 8, 2), 3)]
)
@pytest.mark.parametrize("training", [False, True])
def test_pixels_are_repeated_and_convolved(shape, filters, training):
    """Equal to Keras' two layers, with values, and gradients once and twice."""
    generator = np.random.default_rng(0)
    layer, convolution = cpu_kernels.RepeatedConv2D(filters), keras.layers.Conv2D(filters, 3, padding="same")
    theirs = keras.Sequential([keras.layers.UpSampling2D(), convolution])
    layer.build(shape)
    theirs.build(shape)
    layer.bias.assign(generator.normal(size=filters))
    convolution.set_weights(layer.get_weights())
    x = tf.constant(generator.normal(size=shape), tf.float32)
    found = []
    for network, kernel in ((lambda x: layer(x, training=training), layer.kernel), (theirs, convolution.kernel)):
        with tf.GradientTape(persistent=True) as tape:
            tape.watch([x, kernel.value])
            y = network(x)
            slope = tape.gradient(tf.reduce_sum(y**3), x)
            penalty = tf.reduce_sum(slope**2)
        found.append([y, slope, *tape.gradient(penalty, [x, kernel.value])])
    assert found[0][0].shape == layer.compute_output_shape(shape)
    for one, two in zip(*found, strict=True):
        np.testing.assert_allclose(one, two, rtol=1e-3, atol=1e-5 * np.abs(two).max())
    with cpu_kernels.disabled():
        np.testing.assert_allclose(layer(x), found[1][0], rtol=1e-3, atol=1e-4)


# Piecewise-linear activations -----------------------------------------------------------------------------------------

THEIRS = {"relu": tf.nn.relu, "leaky_relu": lambda x: tf.nn.leaky_relu(x, 0.2)}
X = (-3.0, -0.5, 0.0, 0.25, 2.0)


@pytest.mark.parametrize("name", cpu_kernels.PIECEWISE_LINEAR)
def test_values_and_slopes_are_those_of_tensorflow(name):
    found = []
    for function in (cpu_kernels.PIECEWISE_LINEAR[name], THEIRS[name], keras.activations.get(name)):
        with tf.GradientTape() as tape:
            tape.watch(x := tf.constant(X))
            y = function(x)
        found.append((y, tape.gradient(y, x, output_gradients=tf.range(5.0))))
    for ours, theirs in ((found[0], found[1]), (found[0], found[2])):
        np.testing.assert_array_equal(ours[0], theirs[0])
        np.testing.assert_array_equal(ours[1], theirs[1])


def penalty_gradients(monkeypatch, plain: bool):
    """The gradients of a gradient penalty, and how many operations of each kind they take."""
    with monkeypatch.context() as patch:
        if plain:
            patch.setattr(DiscriminatorOptions, "activation_function", property(lambda options: options.activation))
        options = DiscriminatorOptions(DataSpec("toy", (20, 20, 1)), 1, filters=(3, 4), activation="leaky_relu")
        critic = NETWORKS["dcgan"].encoder(options)
    weights = [w.value for w in critic.trainable_weights]
    images = [np.random.default_rng(i).uniform(-1, 1, (5, 20, 20, 1)).astype(np.float32) for i in (0, 1)]

    @tf.function
    def gradients():
        with tf.GradientTape() as tape:
            penalty = penalties.gradient_penalty(critic, *map(tf.constant, images), tf.fill([5], 0.3))
        return tape.gradient(penalty, weights, unconnected_gradients="zero")

    return gradients(), Counter(node.op for node in gradients.get_concrete_function().graph.as_graph_def().node)


def test_a_penalty_has_the_same_gradient_for_less_work(monkeypatch):
    """TensorFlow's zeros would pass back through the two convolutions that led to the slope."""
    (ours, few), (theirs, many) = (penalty_gradients(monkeypatch, plain) for plain in (False, True))
    for one, other in zip(ours, theirs, strict=True):
        np.testing.assert_allclose(one, other, rtol=1e-5, atol=1e-7)
    assert max(np.abs(gradient).max() for gradient in ours) > 0
    assert many["Conv2DBackpropFilter"] - few["Conv2DBackpropFilter"] == 2
    assert few["Conv2D"] == many["Conv2D"]


# Batch normalization --------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("count", [1, 4])
def test_batch_normalization_is_that_of_keras(count):
    """Outputs, gradients and moving statistics; of a single place, too, whose variance is 0."""
    x = tf.constant(np.random.default_rng(0).normal(2, 3, (count, count, 1, 3)).astype(np.float32))
    found = []
    for kind in (keras.layers.BatchNormalization, BatchNormalization):
        layer = kind()
        layer.build(x.shape)
        layer.gamma.assign([1.0, 2.0, 0.5])
        with tf.GradientTape() as tape:
            tape.watch(x)
            for _ in range(3):
                y = layer(x, training=True)
            loss = tf.reduce_sum(tf.square(y) * x)
        found.append([y, *tape.gradient(loss, [x, *(w.value for w in layer.trainable_weights)]), *layer.weights])
    for one, other in zip(*found, strict=True):
        np.testing.assert_allclose(one, other, rtol=1e-4, atol=1e-3)


# Optimizer ------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("jit", [False, True])
@pytest.mark.parametrize("beta_1", [0.0, 0.9])
def test_adam_is_that_of_keras(jit, beta_1):
    """Weights, moments and steps, over 50 steps of a falling learning rate."""
    rng = np.random.default_rng(0)
    start, gradients = rng.normal(size=(5, 3)), tf.constant(rng.normal(size=(50, 5, 3)), tf.float32)
    weights, optimizers = [], []
    for kind in (keras.optimizers.Adam, cpu_kernels.Adam):
        rate = keras.optimizers.schedules.CosineDecay(1e-2, 60)
        weights.append(keras.Variable(start, dtype="float32"))
        optimizers.append(kind(rate, beta_1=beta_1))
        optimizers[-1].build(weights[-1:])

    @tf.function(jit_compile=jit)
    def step(gradient):
        for weight, optimizer in zip(weights, optimizers, strict=True):
            optimizer.apply_gradients([(gradient, weight)])

    for gradient in gradients:
        step(gradient)
    for one, other in zip(
        *([weight, *o.variables] for weight, o in zip(weights, optimizers, strict=True)), strict=True
    ):
        np.testing.assert_allclose(one, other, rtol=1e-5, atol=1e-6)
    assert np.abs(np.asarray(weights[1]) - start).max() > 0.1
