"""A SavedModel whose every answer can be computed in the head, and a folder of it for TF Serving.

    python tests/serve/tiny_models.py FOLDER

writes FOLDER/tiny/1 and FOLDER/models.config, which gives the version the label "stable".
"""

import json
import sys
from pathlib import Path

import numpy as np

LABEL = "stable"


def images_of(label, seed, offset: float = 0.0) -> np.ndarray:
    """What `serving_default` answers: 100 label + seed + offset, and 0, 1, 2, 3 over the four pixels."""
    first = 100.0 * np.asarray(label) + np.asarray(seed) + offset
    return (first[:, None] + np.arange(4)).reshape(-1, 2, 2, 1).astype(np.float32)


def png_of(label: int, seed: int) -> bytes:
    """What `generate_png` answers: bytes that are no UTF-8."""
    return b"\x89PNG" + f"{label},{seed}".encode()


def module(offset: float = 0.0):
    """(a tf.Module, its signatures)."""
    import tensorflow as tf

    def spec(dtype, *shape):
        return tf.TensorSpec([None, *shape], dtype)

    tiny = tf.Module()
    tiny.pixels = tf.Variable(np.arange(4, dtype=np.float32) + offset)

    def images(first):
        return {"images": tf.reshape(first[:, None] + tiny.pixels, [-1, 2, 2, 1])}

    def serving_default(label, seed):
        return images(100.0 * tf.cast(label, tf.float32) + tf.cast(seed, tf.float32))

    def generate_png(label, seed):
        return {"png_bytes": tf.strings.join([b"\x89PNG", tf.as_string(label), ",", tf.as_string(seed)])}

    def decode(z, label):
        return images(tf.reduce_sum(z, 1) + 100.0 * tf.cast(label, tf.float32))

    def single(x):
        return {"y": 2.0 * x}

    def pair(x):
        return {"mean": tf.reduce_mean(x, 1), "log_var": x}

    def text(words):
        return {"upper": tf.strings.upper(words), "raw_bytes": words}

    def wide(x):
        return {"total": tf.reduce_sum(x, 1)}

    def below_100(x):
        with tf.control_dependencies([tf.debugging.assert_less(x, 100.0, "x is 100 or more")]):
            return {"y": tf.identity(x)}

    def whole(x):
        return {"total": tf.reduce_sum(x)}

    def three(x):
        return {"y": x + 1.0}

    def types(small, byte, long, double, flag):
        same = {"small": small, "byte": byte, "long": long, "double": double, "flag": flag}
        return {name: tf.identity(x) for name, x in same.items()}

    def halves(x):
        return {"y": 2.0 * tf.cast(x, tf.float32)}

    numbers = (spec(tf.int32), spec(tf.int32))
    functions = {
        serving_default: numbers,
        generate_png: numbers,
        decode: (spec(tf.float32, 3), spec(tf.int32)),
        single: (spec(tf.float32),),
        pair: (spec(tf.float32, 2),),
        text: (spec(tf.string),),
        wide: (spec(tf.float32, None),),
        below_100: (spec(tf.float32),),
        whole: (spec(tf.float32),),
        three: (tf.TensorSpec([3], tf.float32),),
        types: tuple(map(spec, (tf.int8, tf.uint8, tf.int64, tf.float64, tf.bool))),
        halves: (spec(tf.float16),),
    }
    return tiny, {f.__name__: tf.function(f).get_concrete_function(*specs) for f, specs in functions.items()}


def write(path: Path, *, offset: float = 0.0, ranges: dict | None = None, warmup: list | None = None) -> Path:
    """Writes the SavedModel at once, as an exporter does: aside, then renamed.

    Args:
        path: FOLDER/NAME/VERSION.
        ranges: go into manifest.json.
        warmup: PredictionLog messages (or raw bytes) for the file of recorded requests.
    """
    import tensorflow as tf

    aside = path.with_name(f".part-{path.name}")
    tiny, signatures = module(offset)
    tf.saved_model.save(tiny, str(aside), signatures=signatures)
    if ranges is not None:
        (aside / "manifest.json").write_text(json.dumps({"ranges": ranges}))
    if warmup is not None:
        (aside / "assets.extra").mkdir()
        with tf.io.TFRecordWriter(str(aside / "assets.extra" / "tf_serving_warmup_requests")) as file:
            for record in warmup:
                file.write(record if isinstance(record, bytes) else record.SerializeToString())
    aside.rename(path)
    return path


def config(folder: Path, **labels: int) -> str:
    """A ModelServerConfig for the model `tiny` with all its versions."""
    lines = "".join(f"  version_labels {{ key: '{name}' value: {version} }}\n" for name, version in labels.items())
    policy = "  model_version_policy { all {} }\n"
    place = f"  name: 'tiny'\n  base_path: '{folder / 'tiny'}'\n  model_platform: 'tensorflow'\n"
    return f"model_config_list {{ config {{\n{place}{policy}{lines}}} }}\n"


if __name__ == "__main__":
    target = Path(sys.argv[1]).resolve()
    write(target / "tiny" / "1")
    (target / "models.config").write_text(config(target, **{LABEL: 1}))
