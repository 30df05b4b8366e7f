"""How much faster a PixelVAE samples because it keeps activations, and that it draws the same images.

    python tools/bench_pixel_sampling.py [--batch 32] [--width 32] [--layers 8]

Beside the sampler stands the naive loop: a pass over the whole image for every pixel, as one graph, of which one pixel
is used. Both draw the same 28x28 images from the same noise; the ratio of their wall times is what counts.
"""

import argparse
import os
import time

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")

import numpy as np
import tensorflow as tf

from kgen import random
from kgen.models import build_model
from kgen.nn import pixelcnn
from kgen.spec import DataSpec

SIDE = 28


def naive(model, z):
    """`model.generate`, recomputing the image for every pixel."""
    condition = model.decoder(z[:, : model.code_dim], training=False)
    noise = tf.reshape(pixelcnn.normal_cdf(z[:, model.code_dim :]), (-1, SIDE, SIDE, 1))

    def pixel(place, image):
        logits = model.pixel_cnn(pixelcnn.signed(image, 2), condition)
        drawn = pixelcnn.sample_levels(logits, noise)  # of every pixel; one is right
        here = tf.reshape(tf.one_hot(place, SIDE * SIDE), (1, SIDE, SIDE, 1))
        return place + 1, image + here * drawn

    start = (tf.constant(0), tf.zeros_like(noise))
    return tf.while_loop(lambda place, _: place < SIDE * SIDE, pixel, start)[1]


def seconds(function, z, repeats: int) -> tuple[float, np.ndarray]:
    """The shortest time of a call, and the images; traced before."""
    images, times = function(z).numpy(), []
    for _ in range(repeats):
        started = time.perf_counter()
        function(z).numpy()
        times.append(time.perf_counter() - started)
    return min(times), images


def main():
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    for name, value in (("batch", 32), ("width", 32), ("layers", 8), ("repeats", 3)):
        parser.add_argument(f"--{name}", type=int, default=value)
    args = parser.parse_args()
    model = build_model("pixel_vae", DataSpec("binary", (SIDE, SIDE, 1)), width=args.width, layers=args.layers)
    generator = np.random.default_rng(0)
    for weight in model.trainable_variables:  # as after training: every weight has a say
        weight.assign(weight.numpy() + 0.05 * generator.normal(size=weight.shape))
    z = tf.constant(random.latents(0, args.batch, model.latent_shape))
    kept, images = seconds(tf.function(model.generate), z, args.repeats)
    loop, expected = seconds(tf.function(lambda z: naive(model, z)), z, 1)
    print(f"{args.batch} images {SIDE}x{SIDE}, {args.layers} layers of {args.width} channels")
    print(f"activations kept  {kept:8.2f} s  {kept / args.batch:.3f} s an image")
    print(f"naive loop        {loop:8.2f} s  {loop / args.batch:.3f} s an image")
    print(f"ratio             {loop / kept:8.1f}")
    print(f"pixels that differ {int((images != expected).sum())} of {images.size}; share of white {images.mean():.3f}")


if __name__ == "__main__":
    main()
