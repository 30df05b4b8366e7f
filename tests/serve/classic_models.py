"""The models of TF Serving's own tests, made anew: TensorFlow 1 graphs, a function with a default, a .tflite file.

half_plus_two: y = x / 2 + 2; its inputs are declared [-1, 1] and take any shape, as in TF Serving's testdata.
"""

from pathlib import Path

import numpy as np

METHODS = "tensorflow/serving/"


def save_v1(path: Path, build):
    """A SavedModel without the objects of TensorFlow 2.

    Args:
        path: NAME/VERSION.
        build: makes the graph; returns {signature: (method, inputs, outputs)}.
    """
    import tensorflow as tf

    v1 = tf.compat.v1
    with tf.Graph().as_default(), v1.Session() as session:
        signatures = {
            name: v1.saved_model.build_signature_def(
                *({key: v1.saved_model.build_tensor_info(tensor) for key, tensor in part.items()} for part in parts),
                METHODS + method,
            )
            for name, (method, *parts) in build(tf, v1).items()
        }
        session.run(v1.global_variables_initializer())
        builder = v1.saved_model.Builder(str(path))
        builder.add_meta_graph_and_variables(session, ["serve"], signature_def_map=signatures)
        builder.save()


def half_plus_two(tf, v1):
    a, b, c = (v1.get_variable(name, initializer=value) for name, value in (("a", 0.5), ("b", 2.0), ("c", 3.0)))
    examples = v1.placeholder(tf.string, [None], name="tf_example")
    features = {"x": tf.io.FixedLenFeature([1], tf.float32), "x2": tf.io.FixedLenFeature([1], tf.float32, [0.0])}
    parsed = v1.io.parse_example(examples, features)
    x, x2 = tf.identity(parsed["x"], "x"), tf.identity(parsed["x2"], "x2")
    y, y2, y3 = a * x + b, a * x + c, a * x2 + c
    return {
        "serving_default": ("predict", {"x": x}, {"y": y}),
        "regress_x_to_y": ("regress", {"inputs": examples}, {"outputs": y}),
        "regress_x_to_y2": ("regress", {"inputs": examples}, {"outputs": y2}),
        "regress_x2_to_y3": ("regress", {"inputs": x2}, {"outputs": y3}),
        "classify_x_to_y": ("classify", {"inputs": examples}, {"scores": y}),
    }


def half_plus_three(tf, v1):
    """Of scalars; no batch."""
    x = v1.placeholder(tf.float32, [], name="x")
    return {"serving_default": ("predict", {"x": x}, {"y": 0.5 * x + v1.get_variable("b", initializer=3.0)})}


def counter(tf, v1):
    """Of reference variables, with signatures that take nothing."""
    count = v1.Variable(0.0, dtype=tf.float32, name="counter", use_resource=False)
    delta = v1.placeholder(tf.float32, name="delta")
    return {
        "get_counter": ("predict", {}, {"output": count}),
        "incr_counter": ("predict", {}, {"output": v1.assign_add(count, 1.0)}),
        "incr_counter_by": ("predict", {"delta": delta}, {"output": v1.assign_add(count, delta)}),
        "reset_counter": ("predict", {}, {"output": v1.assign(count, 0.0)}),
    }


def echo(tf, v1):
    """Answers what it is sent, of any shape."""
    kinds = {"int": tf.int32, "str": tf.string, "float": tf.float32, "dbl": tf.float64}
    given = {name: v1.placeholder(kind, name=name) for name, kind in kinds.items()}
    same = {name: tf.identity(tensor) for name, tensor in given.items()}
    named = {f"{name}_tensor": tensor for name, tensor in given.items()}
    signatures = {name: ("predict", {"default": given[name]}, {"same": same[name]}) for name in kinds}
    signatures["all"] = ("predict", named, {f"{name}_tensor": tensor for name, tensor in same.items()})
    columns = {f"{name}_tensor": given[name] for name in ("int", "str")}
    signatures["two"] = ("predict", columns, {f"{name}_tensor": same[name] for name in ("int", "str")})
    signatures["bytes"] = ("predict", {"default": given["str"]}, {"str_tensor_bytes": same["str"]})
    return signatures


def classes(tf, v1):
    """Classes and scores, right and wrong in every way that TF Serving's tests name."""
    examples = v1.placeholder(tf.string, name="examples")
    rows = tf.size(examples)
    parsed = v1.io.parse_example(
        examples, {"output": tf.io.VarLenFeature(tf.float32), "class": tf.io.VarLenFeature(tf.string)}
    )
    scores, labels = v1.sparse.to_dense(parsed["output"]), v1.sparse.to_dense(parsed["class"], "")
    one = v1.sparse.to_dense(parsed["output"])[:, :1]
    short = lambda tensor: tensor[: rows - 1]  # noqa: E731

    def classify(**outputs):
        return "classify", {"inputs": examples}, outputs

    def regress(**outputs):
        return "regress", {"inputs": examples}, outputs

    return {
        "serving_default": classify(classes=labels, scores=scores),
        "classes": classify(classes=labels),
        "scores": classify(scores=scores),
        "no_outputs": classify(other=scores),
        "other_input": ("classify", {"x": examples}, {"scores": scores}),
        "short_classes": classify(classes=short(labels)),
        "short_scores": classify(scores=short(scores)),
        "wrong_classes": classify(classes=scores),
        "wrong_scores": classify(scores=labels),
        "mismatched": classify(classes=labels, scores=scores[:, :1]),
        "vector": classify(scores=one[:, 0]),
        "regress": regress(outputs=one),
        "regress_vector": regress(outputs=one[:, 0]),
        "regress_wide": regress(outputs=scores),
        "regress_short": regress(outputs=short(one)),
        "regress_strings": regress(outputs=labels[:, :1]),
        "regress_other": regress(other=one),
    }


def write_function(path: Path):
    """A SavedModel of TensorFlow 2: y = times x, of any shape; `times` is 3 where a request leaves it out."""
    import tensorflow as tf

    module = tf.Module()

    def scaled(x, times):
        return {"y": times * x}

    function = tf.function(scaled)
    concrete = function.get_concrete_function(tf.TensorSpec(None, tf.float32), tf.TensorSpec([], tf.float32))
    tf.saved_model.save(module, str(path), signatures={"serving_default": concrete})
    from tensorflow.core.protobuf import saved_model_pb2

    saved = saved_model_pb2.SavedModel.FromString((path / "saved_model.pb").read_bytes())
    default = tf.make_tensor_proto(np.float32(3))
    saved.meta_graphs[0].signature_def["serving_default"].defaults["times"].CopyFrom(default)
    (path / "saved_model.pb").write_bytes(saved.SerializeToString())


def write_tflite(path: Path, *, signature: bool):
    """model.tflite of half_plus_two for one row, alone in its version."""
    import tensorflow as tf

    path.mkdir(parents=True)
    module = tf.Module()
    module.run = tf.function(lambda x: {"y": 0.5 * x + 2.0}, input_signature=[tf.TensorSpec([1, 1], tf.float32, "x")])
    concrete = module.run.get_concrete_function()
    if signature:
        tf.saved_model.save(module, str(path / "saved"), signatures=concrete)
        converter = tf.lite.TFLiteConverter.from_saved_model(str(path / "saved"))
    else:
        converter = tf.lite.TFLiteConverter.from_concrete_functions([concrete], module)
    content = converter.convert()
    if signature:
        import shutil

        shutil.rmtree(path / "saved")
    (path / "model.tflite").write_bytes(content)


def write_all(root: Path):
    """The folder that test_tf_serving.py serves."""
    for name, build, versions in (
        ("half_plus_two", half_plus_two, ("00000123", "00000124")),
        ("half_plus_three", half_plus_three, ("00000123",)),
        ("counter", counter, ("00000123",)),
        ("echo", echo, ("1",)),
        ("classes", classes, ("1",)),
    ):
        for version in versions:
            (root / name).mkdir(parents=True, exist_ok=True)
            save_v1(root / name / version, build)
    write_function(root / "function" / "1")
    write_tflite(root / "lite" / "1", signature=True)
    write_tflite(root / "lite" / "2", signature=False)
    entries = []
    for path in sorted(p for p in root.iterdir() if p.is_dir()):
        more = "version_labels { key: 'live' value: 123 }" if path.name == "half_plus_two" else ""
        entries.append(
            f"config {{ name: '{path.name}' base_path: '{path}' model_platform: 'tensorflow' "
            f"model_version_policy {{ all {{}} }} {more} }}"
        )
    (root / "models.config").write_text(f"model_config_list {{ {' '.join(entries)} }}")
