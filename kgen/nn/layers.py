"""Layers that bring labels into a network."""

import keras
from keras import ops


@keras.saving.register_keras_serializable("kgen")
class OneHot(keras.layers.Layer):
    """labels [B] int -> [B, num_classes], 1 at the label."""

    def __init__(self, num_classes: int, **kwargs):
        super().__init__(**kwargs)
        self.num_classes = num_classes

    def call(self, labels):
        return ops.one_hot(ops.cast(labels, "int32"), self.num_classes, dtype=self.compute_dtype)

    def get_config(self):
        return super().get_config() | {"num_classes": self.num_classes}


@keras.saving.register_keras_serializable("kgen")
class LabelMaps(OneHot):
    """labels [B] int -> [B, height, width, num_classes]: the label's channel is 1 everywhere, the others are 0."""

    def __init__(self, num_classes: int, height: int, width: int, **kwargs):
        super().__init__(num_classes, **kwargs)
        self.height, self.width = height, width

    def call(self, labels):
        return ops.tile(super().call(labels)[:, None, None, :], (1, self.height, self.width, 1))

    def get_config(self):
        return super().get_config() | {"height": self.height, "width": self.width}
