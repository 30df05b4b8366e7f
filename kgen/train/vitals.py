"""What tells whether an adversarial training is well, beside its losses: numbers of a fixed draw of samples.

diversity: mean distance between two samples over the mean distance between two real images. About 1; at a collapse
    near 0.
label_effect: of a conditional model: how far another label moves an image, over how far another z and label do. Near 0
    where the label is ignored.
saturated: share of the pixels whose tanh (or sigmoid) passes less than a thousandth of its slope, less the share of
    real pixels that are black or white: those must be as extreme. Near 1 where the generator can no longer move.
generator_alive, discriminator_alive: of the hidden layer where it is least: the share of units that differ between
    images.
"""

import keras
import numpy as np
import tensorflow as tf

from kgen import data, images, rng

SAMPLES = 256
ENOUGH = 64
"""With fewer validation images the real ones are taken from training."""
FLAT_SLOPE = 1e-3


class Vitals:
    """Measures them, the same latent points and real images every time.

    Args:
        model: an adversarial model.
        dataset: that it trains on.
        seed: of the latent points.

    Attributes:
        weakest: network -> name of the hidden layer with the smallest share of units that differ, when last measured.
    """

    def __init__(self, model, dataset: data.Dataset, seed: int):
        many = model.spec.examples.get("validation", 0) >= ENOUGH
        split = "validation" if many else "train"
        stored, _ = next(iter(dataset.batches(split, batch_size=SAMPLES, seed=seed, training=False)))
        real = np.asarray(stored, np.float32)
        self.model, self.weakest = model, {}
        self._real_distance = mean_distance(real)
        self._real_extreme = float(np.mean((images.to_uint8(real) % 255) == 0))
        self._z = rng.latents(rng.seed_of(seed, "vitals"), SAMPLES, model.latent_shape)
        classes = max(model.spec.num_classes, 1)
        numbers = np.arange(SAMPLES, dtype=np.int32)
        self._labels = numbers % classes
        self._other = (self._labels + 1 + numbers // classes % max(classes - 1, 1)) % classes
        self._watched = {
            "generator": _watched(model.generator),
            "discriminator": _watched(model.discriminator),
        }
        self._logits = tf.function(lambda z, labels: model.generator(model.with_labels(z, labels), training=False))

    def measure(self) -> dict[str, float]:
        """Name -> number; see the module."""
        model, given = self.model, (self._z, self._labels)
        logits = self._logits(*given).numpy()
        shown = model.painted(tf.constant(logits))
        fake = np.asarray(model.unit(shown))
        apart = mean_distance(fake)
        found = {"saturated": max(0.0, self._flat(logits) - self._real_extreme)}
        if self._real_distance:  # of a single image there is none
            found["diversity"] = apart / self._real_distance
        if model.conditional:
            relabelled = np.asarray(model.unit(model.painted(self._logits(self._z, self._other))))
            moved = np.sqrt(np.square(relabelled - fake).sum(axis=(1, 2, 3))).mean()
            found["label_effect"] = float(moved) / apart if apart else 0.0
        inputs = {"generator": model.with_labels(*given), "discriminator": model.with_labels(shown, self._labels)}
        for name, (layers, activations) in self._watched.items():
            if not layers:
                continue
            shares = [_alive(a) for a in keras.tree.flatten(activations(inputs[name], training=False))]
            least = int(np.argmin(shares))
            self.weakest[name], found[f"{name}_alive"] = layers[least], shares[least]
        return {name: float(value) for name, value in found.items()}

    def _flat(self, logits: np.ndarray) -> float:
        """The share of the pixels where the generator's last function is flat."""

        def slope(x):
            with tf.GradientTape() as tape:
                tape.watch(x)
                painted = self.model.painted(x)
            return tape.gradient(painted, x).numpy()

        steepest = slope(tf.zeros(1))
        return float(np.mean(slope(tf.constant(logits)) < FLAT_SLOPE * steepest))


def mean_distance(x: np.ndarray) -> float:
    """The mean Euclidean distance between two of N images, over all pairs."""
    flat = x.reshape(len(x), -1).astype(np.float64)
    squares = np.square(flat).sum(axis=1)
    apart = np.maximum(squares[:, None] + squares[None] - 2.0 * flat @ flat.T, 0.0)
    pairs = len(x) * (len(x) - 1)
    return float(np.sqrt(apart).sum() / pairs) if pairs else 0.0


def _watched(network: keras.Model) -> tuple[list[str], keras.Model | None]:
    """The names of a network's hidden activations, and a model that gives them."""
    layers = [layer for layer in network.layers if isinstance(layer, keras.layers.Activation)]
    return [layer.name for layer in layers], keras.Model(
        network.input, [layer.output for layer in layers]
    ) if layers else None


def _alive(activation) -> float:
    """Of [B, ..., C]: the share of the units (channels, of maps) that are not the same for all images."""
    x = np.asarray(activation, np.float32).reshape(len(activation), -1, activation.shape[-1])
    spread = (x.max(axis=0) - x.min(axis=0)).max(axis=0)
    return float(np.mean(spread > 1e-6))
