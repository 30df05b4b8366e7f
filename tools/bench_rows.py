"""Measures the cost of decoding row by row, so that the bits of a row do not depend on the batch.

    python tools/bench_rows.py

Each model is decoded in one call of the batch, as exports do, and row by row in a loop of the graph (`tf.map_fn`), in
turns. Prints the median milliseconds per call, wall and CPU time, at batches of 1, 8 and 64.
"""

import time

import numpy as np
import tensorflow as tf
from absl import app, flags

from kgen.models import build_model
from kgen.spec import DataSpec

FLAGS = flags.FLAGS
flags.DEFINE_integer("calls", 40, "Calls of each way and batch.")

GRAY, COLOR = DataSpec("gray", (28, 28, 1), num_classes=10), DataSpec("color", (64, 64, 3))
MODELS = {"cvae": GRAY, "conv_cvae": GRAY, "cdcgan": GRAY, "dcgan": COLOR}
BATCHES = (1, 8, 64)


def ways(model):
    """Way -> a compiled function of z and labels."""
    signature = [tf.TensorSpec([None, *model.latent_shape], tf.float32), tf.TensorSpec([None], tf.int32)]

    def row_by_row(z, labels):
        image = tf.TensorSpec(model.spec.image_shape, tf.float32)
        return tf.map_fn(lambda row: model.generate(*(x[None] for x in row))[0], (z, labels), fn_output_signature=image)

    return {
        "one call": tf.function(model.generate, input_signature=signature),
        "row by row": tf.function(row_by_row, input_signature=signature),
    }


def milliseconds(functions, arguments) -> list[tuple[float, float]]:
    """The median (wall, CPU) of each."""
    taken = [[] for _ in functions]
    for function in functions:
        function(*arguments)
    for _ in range(FLAGS.calls):
        for function, times in zip(functions, taken, strict=True):
            wall, cpu = time.perf_counter(), time.process_time()
            function(*arguments).numpy()
            times.append((time.perf_counter() - wall, time.process_time() - cpu))
    return [tuple(1e3 * np.median(times, axis=0)) for times in taken]


def main(_):
    print(f"{'model':<28}{'batch':>6}{'one call: ms':>14}{'CPU ms':>8}{'row by row: ms':>16}{'CPU ms':>8}")
    for name, spec in MODELS.items():
        model = build_model(name, spec, seed=0)
        functions = ways(model)
        for size in BATCHES:
            z = tf.constant(np.random.default_rng(0).standard_normal((size, *model.latent_shape)), tf.float32)
            (wall, cpu), (rows_wall, rows_cpu) = milliseconds(functions.values(), (z, tf.zeros(size, tf.int32)))
            title = f"{name} {'x'.join(map(str, spec.image_shape))}"
            print(f"{title:<28}{size:>6}{wall:>14.2f}{cpu:>8.2f}{rows_wall:>16.2f}{rows_cpu:>8.2f}", flush=True)


if __name__ == "__main__":
    app.run(main)
