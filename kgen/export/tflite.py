"""The .tflite files of an export: signatures of batch 1 with builtin operators only, in float32 or quantized.

The batch is fixed because a dynamic one is slower (up to 100 times, quantized) and not every runtime takes it. The
signatures of a file share weights in float32 but not quantized ones, so each quantized signature gets its own file,
made from the float32 file by `quantization.py`.
"""

import tempfile
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import tensorflow as tf
from ai_edge_litert.interpreter import Interpreter
from tqdm import tqdm

from kgen import random
from kgen.errors import UserError
from kgen.export.golden import Golden
from kgen.export.quantization import Range, calibrate, compact, float16, folded, integer, integers, only, weights8
from kgen.export.saved_model import write_saved_model
from kgen.export.signatures import PNG, ExportSignature
from kgen.export.tolerances import INTEGERS, QUANTIZATIONS, TOLERANCES, Deviation
from kgen.export.verify import compare_signature
from kgen.run import Run
from kgen.sampling import Prior
from kgen.sampling.exported import TFLiteRuntime, with_metadata


def write_tflite(
    signatures: Mapping[str, ExportSignature],
    about: Mapping[str, Any],
    folder: Path,
    golden: Golden,
    quantize: Sequence[str],
    rows: Mapping[str, np.ndarray],
    integer_decoder: ExportSignature | None = None,
) -> list[dict[str, Any]]:
    """Writes model.tflite and encoder.tflite in float32, and SIGNATURE-QUANTIZATION.tflite for each quantization.

    Of the forms of a quantization the first that is within its tolerance is written; none if none is.

    Args:
        signatures: of batch 1, by name.
        about: metadata of each file.
        folder: where they are written.
        golden: decides between the forms of a quantization.
        quantize: of QUANTIZATIONS.
        rows: calibration rows for "int8" and INTEGERS, see `calibration_rows`.
        integer_decoder: `decode` of batch 1 for INTEGERS, with labels that are looked up.

    Returns:
        For each quantized file {"file", "form", "bytes", "share_of_float32", "psnr_db", "max_abs_difference",
        "refused"}; psnr_db is None of encodings, refused None of a file that was written, else why it was not. That of
        INTEGERS has "inputs" and "outputs" as well, if it was written: name -> {"scale", "zero_point", "range"}, for
        value = scale * (integer - zero_point).
    """
    signatures = {name: found for name, found in signatures.items() if name != PNG}  # no builtin operator writes PNG
    inputs = {name: [tensor.name for tensor in found.inputs] for name, found in signatures.items()}

    def described(content: bytes, *names: str) -> bytes:
        return with_metadata(content, {**about, "signatures": {name: inputs[name] for name in names}})

    files = {"model.tflite": [name for name in signatures if name != "encode"]}
    if "encode" in signatures:
        files["encoder.tflite"] = ["encode"]
    quantize, results = list(dict.fromkeys(quantize)), []
    of_all = [kind for kind in quantize if kind != INTEGERS]
    form = {"unit": "file", "delay": 2, "leave": False, "disable": None}
    total = len(files) + len(of_all) * len(signatures) + (INTEGERS in quantize)
    with (
        tempfile.TemporaryDirectory() as saved_model,
        tqdm(total=total, desc="converting to TFLite", **form) as bar,
    ):
        write_saved_model(signatures, Path(saved_model), endpoints=False)
        for file, names in files.items():
            model = _convert(saved_model, names)
            (folder / file).write_bytes(described(model, *names))
            bar.update()
            for name in names if of_all else ():
                alone = folded(only(model, name))
                ranges = calibrate(alone, single_rows(rows, inputs[name])) if "int8" in quantize else {}
                size = len(described(alone, name))
                for kind in of_all:
                    path = folder / f"{name}-{kind}.tflite"
                    chosen = _choose(
                        kind,
                        name,
                        golden,
                        path,
                        lambda form, m=alone, r=ranges, n=name: described(compact(form.make(m, r)), n),
                    )
                    results.append(chosen.to_json(path.name, size))
                    bar.update()
        if INTEGERS in quantize:
            path, alone = folder / f"decode-{INTEGERS}.tflite", folded(convert({"decode": integer_decoder}))
            ranges = calibrate(alone, single_rows(rows, inputs["decode"]))
            chosen = _choose(
                INTEGERS, "decode", golden, path, lambda form: described(compact(form.make(alone, ranges)), "decode")
            )
            tensors = {} if chosen.exceeded else integer_tensors(path.read_bytes())
            results.append(chosen.to_json(path.name, len(described(alone, "decode"))) | tensors)
            bar.update()
    return sorted(results, key=lambda found: quantize.index(found["file"].rpartition("-")[2].partition(".")[0]))


def write_batched(signatures: Mapping[str, ExportSignature], about: Mapping[str, Any], file: Path):
    """Writes the signatures of model.tflite in float32 with the batch size that they have here.

    Args:
        signatures: of one batch size, or of any, by name.
        about: metadata of the file.
        file: its path.
    """
    chosen = {name: found for name, found in signatures.items() if name not in (PNG, "encode")}
    inputs = {name: [tensor.name for tensor in found.inputs] for name, found in chosen.items()}
    file.write_bytes(with_metadata(convert(chosen), {**about, "signatures": inputs}))


def convert(signatures: Mapping[str, ExportSignature]) -> bytes:
    """The bytes of a float32 .tflite file with signatures, of batch 1."""
    with tempfile.TemporaryDirectory() as folder:
        write_saved_model(signatures, Path(folder), endpoints=False)
        return _convert(folder, list(signatures))


def _convert(saved_model: str, names: Sequence[str]) -> bytes:
    converter = tf.lite.TFLiteConverter.from_saved_model(saved_model, signature_keys=list(names))
    converter.target_spec.supported_ops = [tf.lite.OpsSet.TFLITE_BUILTINS]
    return converter.convert()


# Forms of a quantization ----------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Form:
    """A way to make a smaller file.

    Attributes:
        help: what it does.
        make: from a float32 file of one signature, and the ranges of its tensors.
        share: of the bytes of the next form at which this one is preferred.
    """

    help: str
    make: Callable[[bytes, Mapping[int, Range]], bytes]
    share: float = 1.0


WEIGHTS16 = (Form("weights", lambda model, _: float16(model)),)
WEIGHTS8 = (
    Form(  # a dense layer with few inputs needs more bytes for the scales of its outputs than for its weights
        "weights, one scale per dense layer; arithmetic at run time",
        lambda model, _: weights8(model, dynamic=True, dense_per_channel=False),
        share=0.9,
    ),
    Form("weights; arithmetic at run time", lambda model, _: weights8(model, dynamic=True)),
    Form("weights; arithmetic in floats", lambda model, _: weights8(model, dynamic=False)),
)
INTEGER = (
    Form(
        "all layers, one scale per dense layer",
        lambda model, ranges: integer(model, ranges, dense_per_channel=False),
        share=0.9,
    ),
    Form("all layers", lambda model, ranges: integer(model, ranges)),
    Form("all layers but the last", lambda model, ranges: integer(model, ranges, float_layers=[-1])),
    Form("all layers but first and last", lambda model, ranges: integer(model, ranges, float_layers=[0, -1])),
)
ALL_INTEGER = (
    Form(
        "everything, one scale per dense layer",
        lambda model, ranges: integers(model, ranges, dense_per_channel=False),
        share=0.9,
    ),
    Form("everything", integers),
)
FORMS = dict(zip(QUANTIZATIONS, (WEIGHTS16, WEIGHTS8, INTEGER, ALL_INTEGER), strict=True))
"""The forms of each of QUANTIZATIONS, from the smallest and fastest to the most exact."""


@dataclass(frozen=True)
class _Choice:
    """A form of a file and its quality; the output with the largest deviation counts."""

    form: Form
    bytes: int
    deviation: Deviation
    exceeded: list[str]

    def to_json(self, file: str, float32_bytes: int) -> dict[str, Any]:
        return {
            "file": file,
            "form": self.form.help,
            "bytes": self.bytes,
            "share_of_float32": round(self.bytes / float32_bytes, 4),
            "psnr_db": self.deviation.psnr_db,
            "max_abs_difference": self.deviation.max_abs_difference,
            "refused": ", ".join(self.exceeded) or None,
        }


def _choose(kind: str, signature: str, golden: Golden, path: Path, make: Callable[[Form], bytes]) -> _Choice:
    """The first form that is within the tolerance, which is then the file; else the most exact, and no file."""
    found = []
    for form, following in pairwise([*FORMS[kind], None]):
        content = make(form)
        if form.share < 1 and len(content) > form.share * len(make(following)):
            continue
        path.write_bytes(content)
        deviations = [d for _, d in compare_signature(path.name, kind, TFLiteRuntime(path).call, signature, golden)]
        worst = max(deviations, key=lambda deviation: deviation.max_abs_difference)
        exceeded = [text for deviation in deviations for text in deviation.exceeded(TOLERANCES[kind])]
        found.append(_Choice(form, len(content), worst, exceeded))
        if not exceeded:
            return found[-1]
    path.unlink()
    return max(found, key=lambda choice: choice.deviation.psnr_db or -choice.deviation.max_abs_difference)


def integer_tensors(model: bytes) -> dict[str, dict[str, dict[str, Any]]]:
    """{"inputs", "outputs"} of a file of one signature: name -> scale, zero point and range of those of 8 bits."""
    runner = Interpreter(model_content=model).get_signature_runner()
    found = {}
    for kind, tensors in (("inputs", runner.get_input_details()), ("outputs", runner.get_output_details())):
        described = {}
        for name, tensor in tensors.items():
            scale, zero = tensor["quantization"]
            if tensor["dtype"] == np.int8:
                ends = [round(float(scale * (end - zero)), 6) for end in (-128, 127)]
                described[name] = {"scale": float(scale), "zero_point": int(zero), "range": ends}
        found[kind] = described
    return found


# Calibration ----------------------------------------------------------------------------------------------------------

CALIBRATION_ROWS = 100


def calibration_rows(run: Run, model, density: Prior) -> dict[str, np.ndarray]:
    """CALIBRATION_ROWS values for each input of the signatures, by name, from the training images.

    Latent points are sampled from the prior; where there is an encoder, every other one from the posterior of a
    training image. Labels are those of the images, so of all classes.

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
        noise = random.portable_normals(random.row_seeds(0, count), z[0].size).reshape(z.shape)
        z[::2] = (mean + np.exp(0.5 * log_var) * noise)[::2]
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
