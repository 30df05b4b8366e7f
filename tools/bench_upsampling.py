"""Upsampling and convolution in one layer against the two steps: CPU milliseconds of a training step's share.

    python tools/bench_upsampling.py [--batch_size 128] [--rounds 20]

At the two places where the network "bilinear" upsamples. Forward and backward; the contestants take turns; medians.
"""

import argparse
import statistics
import time

import keras
import tensorflow as tf

from kgen.nn.cpu_kernels import UpsampledConv2D

PLACES = ((5, 64, 32), (12, 32, 16))
"""Side and channels of the input, channels of the output."""


class Upsampled(keras.layers.Layer):
    """Bilinear upsampling by two, corners aligned, by TensorFlow's own operation."""

    def call(self, x):
        size = [2 * side for side in x.shape[1:3]]
        return tf.raw_ops.ResizeBilinear(images=x, size=size, align_corners=True)


def contestants(filters: int) -> dict[str, keras.Sequential]:
    convolution = keras.layers.Conv2D(filters, 3, padding="valid")
    transposed = keras.layers.Conv2DTranspose(filters, 3, padding="valid")
    return {
        "UpSampling2D, ZeroPadding2D, Conv2D": keras.Sequential(
            [keras.layers.UpSampling2D(interpolation="bilinear"), keras.layers.ZeroPadding2D(2), convolution]
        ),
        "resize, Conv2DTranspose": keras.Sequential([Upsampled(), transposed]),
        "UpsampledConv2D": keras.Sequential([UpsampledConv2D(filters)]),
    }


def step_of(network: keras.Sequential):
    """x -> the gradients of a loss with respect to x and the weights."""

    @tf.function
    def step(x):
        weights = [weight.value for weight in network.trainable_weights]
        with tf.GradientTape() as tape:
            tape.watch([x, *weights])
            loss = tf.reduce_sum(tf.square(network(x)))
        return tape.gradient(loss, [x, *weights])

    return step


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--batch_size", type=int, default=128)
    parser.add_argument("--rounds", type=int, default=20)
    given = parser.parse_args()
    for side, channels, filters in PLACES:
        x = tf.random.stateless_normal((given.batch_size, side, side, channels), (0, 0))
        networks = contestants(filters)
        for network in networks.values():
            network.build(x.shape)
        steps = {name: step_of(network) for name, network in networks.items()}
        seconds = {name: [] for name in steps}
        for _ in range(given.rounds + 2):
            for name, step in steps.items():
                start = time.process_time()
                step(x)
                seconds[name].append(time.process_time() - start)
        print(f"{given.batch_size} x {side}x{side}x{channels} -> {2 * side + 2}x{2 * side + 2}x{filters}")
        for name, found in seconds.items():
            print(f"  {name:38} {1000 * statistics.median(found[2:]):6.1f} CPU-ms")


if __name__ == "__main__":
    main()
