"""Optimizers by their names, and those of a preset."""

import keras
import tensorflow as tf

from kgen.models.presets import PRESETS


class Adam(keras.optimizers.Adam):
    """Keras' Adam, whose update of a weight is TensorFlow's one operation in place of a dozen.

    The same rule (Kingma & Ba 2015, https://arxiv.org/abs/1412.6980, with the step size of section 2), the same
    variables and checkpoints; weights and moments pass through memory once a step, not once an operation.
    """

    def update_step(self, gradient, variable, learning_rate):
        if self.amsgrad or isinstance(gradient, tf.IndexedSlices):
            return super().update_step(gradient, variable, learning_rate)
        dtype, index = variable.dtype, self._get_variable_index(variable)
        steps = tf.cast(self.iterations + 1, dtype)
        tf.raw_ops.ResourceApplyAdam(
            var=variable.handle,
            m=self._momentums[index].value.handle,
            v=self._velocities[index].value.handle,
            beta1_power=tf.pow(tf.cast(self.beta_1, dtype), steps),
            beta2_power=tf.pow(tf.cast(self.beta_2, dtype), steps),
            lr=tf.cast(learning_rate, dtype),
            beta1=tf.cast(self.beta_1, dtype),
            beta2=tf.cast(self.beta_2, dtype),
            epsilon=tf.cast(self.epsilon, dtype),
            grad=tf.cast(gradient, dtype),
        )


def build_optimizer(kind: str, learning_rate, *, beta_1: float, beta_2: float) -> keras.optimizers.Optimizer:
    """An optimizer: "adam" (which alone has the betas), "rmsprop" or "sgd".

    RMSprop is PyTorch's, with which Arjovsky et al. 2017 trained: it keeps 0.99 of the mean square, and divides by its
    root plus 1e-8. Keras adds its epsilon under the root: its 1e-7 would hold back gradients smaller than 3e-4.
    """
    if kind == "rmsprop":
        return keras.optimizers.RMSprop(learning_rate, rho=0.99, epsilon=1e-16)
    if kind == "sgd":
        return keras.optimizers.SGD(learning_rate)
    return Adam(learning_rate, beta_1=beta_1, beta_2=beta_2)


def preset_optimizers(name: str) -> dict[str, keras.optimizers.Optimizer]:
    """Phase -> the optimizer of a preset; an unknown name raises UserError."""
    preset = PRESETS[name]
    betas = {"beta_1": preset.beta_1, "beta_2": preset.beta_2}
    return {phase: build_optimizer(preset.optimizer, rate, **betas) for phase, rate in preset.learning_rates.items()}
