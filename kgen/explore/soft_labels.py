"""A conditional model that takes vectors in the place of labels: mixtures of classes."""

from collections.abc import Iterator
from contextlib import contextmanager

import keras

from kgen.nn.layers import OneHot


@contextmanager
def soft_labels(model) -> Iterator:
    """The model; while the context lasts, `generate` takes labels [B, num_classes] float32 instead of [B] int32.

    Args:
        model: a conditional GenerativeModel whose decoder or generator sees the label as a one-hot vector.
    """
    name = "decoder" if hasattr(model, "decoder") else "generator"
    network = getattr(model, name)
    (layer,) = (layer for layer in network.layers if type(layer) is OneHot)
    z = network.inputs[0]
    opened = keras.Model([z, layer.output], network.output)
    object.__setattr__(model, name, opened)  # past Keras, which would track its weights a second time
    try:
        yield model
    finally:
        object.__setattr__(model, name, network)
