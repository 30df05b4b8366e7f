"""The .tflite files of an export: signatures of batch 1 with builtin operators only, in float32 or quantized.

The batch is fixed because a dynamic one is slower (up to 100 times, quantized) and not every runtime takes it. The
signatures of a file share weights in float32 but not quantized ones, so each quantized signature gets its own file.
"""

import tempfile
import warnings
from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import tensorflow as tf
from tqdm import tqdm

from kgen import random
from kgen.errors import ExportFailed, UserError
from kgen.export.golden import Golden
from kgen.export.saved_model import write_saved_model
from kgen.export.signatures import PNG, ExportSignature
from kgen.export.verify import deviations
from kgen.run import Run
from kgen.sampling import Prior
from kgen.sampling.exported import TFLiteRuntime, with_metadata

Examples = Callable[[], Iterable[Mapping[str, np.ndarray]]]

SMALLER = 0.9
"""Share of the bytes of a file at which a coarser quantization is preferred."""


def write_tflite(
    signatures: Mapping[str, ExportSignature],
    about: Mapping[str, Any],
    folder: Path,
    golden: Golden,
    quantize: Sequence[str],
    rows: Mapping[str, np.ndarray],
):
    """Writes model.tflite and encoder.tflite in float32, and SIGNATURE-QUANTIZATION.tflite for each quantization.

    Args:
        signatures: of batch 1, by name.
        about: metadata of each file.
        folder: where they are written.
        golden: decides between two ways of quantization.
        quantize: of QUANTIZATIONS.
        rows: calibration rows for "int8", see `calibration_rows`.
    """
    signatures = {name: found for name, found in signatures.items() if name != PNG}  # no builtin operator writes PNG

    def write(file: str, *names: str, **options) -> Path:
        chosen = {name: signatures[name] for name in names}
        inputs = {name: [tensor.name for tensor in found.inputs] for name, found in chosen.items()}
        content = with_metadata(convert(chosen, **options), {**about, "signatures": inputs})
        (folder / file).write_bytes(content)
        return folder / file

    excluded = ("int8", "interpolate")  # 8 bits are too few for angles; decode takes interpolated points
    smaller = [(kind, name) for kind in dict.fromkeys(quantize) for name in signatures if (kind, name) != excluded]
    form = {"unit": "file", "delay": 2, "leave": False, "disable": None}
    with tqdm(total=1 + ("encode" in signatures) + len(smaller), desc="converting to TFLite", **form) as bar:
        write("model.tflite", *(name for name in signatures if name != "encode"))
        bar.update()
        if "encode" in signatures:
            write("encoder.tflite", "encode")
            bar.update()
        for kind, name in smaller:
            inputs = [tensor.name for tensor in signatures[name].inputs]
            file = f"{name}-{kind}.tflite"
            written = write(file, name, quantize=kind, examples=lambda i=inputs: single_rows(rows, i))
            if kind == "dynamic":
                coarser = write(f".{file}", name, quantize=kind, dense_per_channel=False)
                _prefer_smaller(written, coarser, kind, name, golden)
            bar.update()


def _prefer_smaller(file: Path, coarser: Path, kind: str, signature: str, golden: Golden):
    """Replaces a file by the coarser one if that is smaller and within the tolerance.

    A dense layer with few inputs needs more bytes for the scales of its outputs than for its weights.
    """
    try:
        if coarser.stat().st_size <= SMALLER * file.stat().st_size:
            call = TFLiteRuntime(coarser).call
            list(deviations(coarser.name, kind, call, signature, golden))  # raises ExportFailed
            coarser.replace(file)
    except ExportFailed:
        pass
    finally:
        coarser.unlink(missing_ok=True)


def convert(
    signatures: Mapping[str, ExportSignature],
    *,
    quantize: str | None = None,
    examples: Examples | None = None,
    dense_per_channel: bool = True,
) -> bytes:
    """Converts signatures into one .tflite file.

    Args:
        signatures: of batch 1, by name; a single one if quantized.
        quantize: None keeps float32. "float16" halves the weights. "dynamic" stores weights in 8 bits and quantizes
            activations at run time. "int8" computes in 8 bits; inputs and outputs keep their types.
        examples: rows of a signature's inputs, from which "int8" takes the ranges of activations.
        dense_per_channel: 8-bit weights of dense layers get a scale per output (12 bytes each), not one per layer.

    Returns:
        The bytes of the file.
    """
    with tempfile.TemporaryDirectory() as folder:
        write_saved_model(signatures, Path(folder))
        converter = tf.lite.TFLiteConverter.from_saved_model(folder, signature_keys=list(signatures))
        converter.target_spec.supported_ops = [tf.lite.OpsSet.TFLITE_BUILTINS]
        if quantize is not None:
            converter.optimizations = [tf.lite.Optimize.DEFAULT]
            converter._experimental_disable_per_channel_quantization_for_dense_layers = not dense_per_channel
        if quantize == "float16":
            converter.target_spec.supported_types = [tf.float16]
        elif quantize == "int8":
            (name,) = signatures
            converter.representative_dataset = lambda: ((name, dict(row)) for row in examples())
            converter.target_spec.supported_ops += [tf.lite.OpsSet.TFLITE_BUILTINS_INT8]
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # the calibrator uses the deprecated tf.lite.Interpreter
            return converter.convert()


# Calibration ----------------------------------------------------------------------------------------------------------

CALIBRATION_ROWS = 200


def calibration_rows(run: Run, model, density: Prior) -> dict[str, np.ndarray]:
    """CALIBRATION_ROWS values for each input of the signatures, by name, from the training images.

    Latent points are sampled from the posteriors of training images; without an encoder, from the prior.

    Args:
        run: whose training images are loaded.
        model: of the run.
        density: the prior.

    Raises:
        UserError: the training images cannot be loaded, or have changed.
    """
    try:
        dataset = run.training_data.load()
    except UserError as error:
        raise UserError(f"--quantize int8 takes its ranges from the training images of {run.path}: {error}") from error
    (images, labels), *_ = dataset.batches(
        "train", batch_size=CALIBRATION_ROWS, seed=run.config.seed, training=False, limit=CALIBRATION_ROWS
    )
    images, labels = np.asarray(images), np.asarray(labels, np.int32)
    count, given = len(images), labels if model.conditional else None
    z = density.sample(run.config.seed, count, given)
    if model.has_encoder:
        mean, log_var = (np.asarray(x) for x in model.encode(images, given))
        z = mean + np.exp(0.5 * log_var) * random.portable_normals(random.row_seeds(0, count), z[0].size).reshape(
            z.shape
        )
    return {
        "images": images, "label": run.spec.numbers(labels), "z": z, "z0": z, "z1": np.roll(z, 1, axis=0),
        "seed": random.row_seeds(run.config.seed, count), "temperature": np.ones(count, np.float32),
        "t": np.linspace(0, 1, count, dtype=np.float32),
    }  # fmt: skip


def single_rows(rows: Mapping[str, np.ndarray], names: Iterable[str]) -> Iterable[dict[str, np.ndarray]]:
    """The rows of some inputs, each as a batch of one."""
    chosen = {name: rows[name] for name in names}
    for i in range(len(next(iter(chosen.values())))):
        yield {name: values[i : i + 1] for name, values in chosen.items()}
