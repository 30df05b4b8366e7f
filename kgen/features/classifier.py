"""The classifier of a data set: trained on its training split by one seeded recipe, cached under the hash of the data.

Two convolutions of 5x5 with stride 2 (a third and fourth for images above 32 pixels), 128 rectified features, dropout,
and a cosine decay of Adam from 2e-3. Its features are z-scored by the training images; units that hardly ever fire are
left out, because their z-scores are so large that they would dominate any distance.
"""

from collections.abc import Mapping

import numpy as np

from kgen import images as kimages
from kgen import random
from kgen.cache import cached_arrays, digest
from kgen.data.reference import Reference
from kgen.errors import UserError
from kgen.features import EXTRACTORS
from kgen.features.extractors import Extractor
from kgen.progress import Bar, announce

RECIPE = 1
"""Incremented with anything that changes what is learned."""
BATCH_SIZE = 128
EPOCHS, LEAST_STEPS = 5, 800
LEARNING_RATE = 2e-3
FEATURES, DROPOUT = 128, 0.3
LEAST_ACTIVE = 0.01
"""A feature is used if it is above zero for at least this share of the training images."""
MOST_IMAGES = 100_000


class Classifier(Extractor):
    """A trained classifier as an extractor of features.

    Args:
        arrays: what `train_classifier` returns.
        image_shape: of its images.
        num_classes: of its data.
    """

    name = "classifier"

    def __init__(self, arrays: Mapping[str, np.ndarray], image_shape: tuple[int, int, int], num_classes: int):
        import tensorflow as tf

        network = build_network(image_shape, num_classes, seed=0)
        network.set_weights([arrays[f"weight{i:02d}"] for i in range(len(network.weights))])
        self._network = tf.function(lambda x: network(x, training=False), autograph=False)
        self._used, self._mean, self._stddev = arrays["used"], arrays["mean"], arrays["stddev"]
        self.dimension, self.num_classes = len(self._used), num_classes
        self.hash = digest(*(arrays[name] for name in sorted(arrays)))

    def batch(self, pixels):
        features, logits = self._network(kimages.to_unit(pixels))
        return (features.numpy()[:, self._used] - self._mean) / self._stddev, logits

    def predict(self, pixels: np.ndarray) -> np.ndarray:
        """The class of each image, [N] int32."""
        return self(pixels)[1].argmax(axis=1).astype(np.int32)


def open_classifier(reference: Reference) -> Classifier:
    """The classifier of a data set, trained now if it is not in the cache.

    Raises:
        UserError: the data has no labels, or a single class.
    """
    spec, train = reference.spec, reference.train
    if spec.num_classes < 2:
        raise UserError(
            f"a classifier needs labels of two classes or more, and data set {spec.name!r} has {spec.num_classes} "
            f"classes; use --features {' or '.join(name for name in EXTRACTORS if name != Classifier.name)}"
        )
    key = {"recipe": RECIPE, "data": train.hash, "split": train.split, "classes": spec.num_classes}

    def make():
        return train_classifier(train.pixels, train.labels, spec.num_classes, name=f"classifier of {spec.name}")

    return Classifier(cached_arrays("classifiers", key, make), spec.image_shape, spec.num_classes)


def train_classifier(
    pixels: np.ndarray, labels: np.ndarray, num_classes: int, *, seed: int = 0, name: str = "classifier"
) -> dict[str, np.ndarray]:
    """Trains by the recipe.

    Args:
        pixels: [N, H, W, C] uint8, an array or SplitImages; read batch by batch.
        labels: [N] int32.
        num_classes: of the labels.
        seed: of the weights and the order.
        name: shown beside the progress.

    Returns:
        The weights in order, and which features are used, with their mean and standard deviation.
    """
    import keras

    rows = random.generator(seed, "classifier images").permutation(len(pixels))[:MOST_IMAGES]
    batch_size = min(BATCH_SIZE, max(16, len(rows) // 20), len(rows))
    epochs = max(EPOCHS, -(-LEAST_STEPS // max(1, len(rows) // batch_size)))
    batches = _batches(pixels, labels, rows, batch_size, epochs, seed)
    network = build_network(pixels.shape[1:], num_classes, seed)
    steps = len(rows) // batch_size * epochs
    _fit(
        network,
        batches,
        steps,
        keras.optimizers.Adam(keras.optimizers.schedules.CosineDecay(LEARNING_RATE, steps)),
        name,
    )
    weights = {f"weight{i:02d}": value for i, value in enumerate(network.get_weights())}
    features = _features(network, pixels, rows)
    used = np.flatnonzero((features > 0).mean(axis=0) >= LEAST_ACTIVE)
    if not len(used):
        raise UserError(f"the {name} learned nothing: none of its features is ever above zero. Are the labels right?")
    features = features[:, used].astype(np.float64)
    scale = {"mean": features.mean(axis=0).astype(np.float32), "stddev": features.std(axis=0).astype(np.float32)}
    return {**weights, "used": used, **scale}


def build_network(image_shape: tuple[int, int, int], num_classes: int, seed: int):
    """A Keras model: images [B, H, W, C] in [0, 1] -> (features [B, FEATURES], logits [B, num_classes])."""
    import keras
    from keras import layers

    def init(*names):
        return keras.initializers.GlorotUniform(random.seed_of(seed, "classifier", *names))

    x = inputs = keras.Input(image_shape)
    side, filters, depth = min(image_shape[:2]), 32, 0
    while depth < 2 or side > 8:
        kernel = init("conv", depth)
        x = layers.Conv2D(filters, 5, 2, padding="same", activation="relu", kernel_initializer=kernel)(x)
        side, filters, depth = -(-side // 2), 64, depth + 1
    x = layers.Flatten()(x)
    features = layers.Dense(FEATURES, activation="relu", kernel_initializer=init("features"))(x)
    x = layers.Dropout(DROPOUT, seed=random.seed_of(seed, "classifier", "dropout"))(features)
    return keras.Model(inputs, [features, layers.Dense(num_classes, kernel_initializer=init("logits"))(x)])


def _batches(pixels, labels, rows, batch_size: int, epochs: int, seed: int):
    """Batches of every epoch in turn, each in a new order of the rows."""
    for epoch in range(epochs):
        order = rows[random.generator(seed, "classifier order", epoch).permutation(len(rows))]
        for start in range(0, len(order) - batch_size + 1, batch_size):
            chosen = order[start : start + batch_size]
            yield kimages.to_unit(pixels[chosen]), labels[chosen]


def _fit(network, batches, steps: int, optimizer, name: str):
    import tensorflow as tf

    optimizer.build(network.trainable_variables)

    @tf.function(autograph=False)
    def step(x, y):
        with tf.GradientTape() as tape:
            loss = tf.reduce_mean(tf.nn.sparse_softmax_cross_entropy_with_logits(y, network(x, training=True)[1]))
        optimizer.apply(tape.gradient(loss, network.trainable_variables), network.trainable_variables)
        return loss

    announce(f"training the {name}")
    with Bar(steps, f"training the {name}") as bar:
        for x, y in batches:
            loss = step(tf.constant(x), tf.constant(y))
            bar.advance(1, [f"loss {float(loss):.3f}"] if bar.drawn and bar.done % 50 == 49 else [])


def _features(network, pixels, rows: np.ndarray) -> np.ndarray:
    parts = [network(kimages.to_unit(pixels[rows[i : i + 512]]), training=False)[0] for i in range(0, len(rows), 512)]
    return np.concatenate(parts)
