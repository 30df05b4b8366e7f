"""Verifies an export: every file runs the golden batch, and its outputs must agree with those of the model.

That needs the folder alone: neither the run nor its data, on any machine.
"""

import io
import time
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

from kgen.export.golden import FEW, Golden
from kgen.export.integrity import check_files
from kgen.export.place import find_version
from kgen.export.tolerances import BORDER, ONNX, QUANTIZATIONS, SAVED_MODEL, TOLERANCES, Deviation, compare_outputs
from kgen.gpu import full_float32
from kgen.sampling.exported import ONNXRuntime, Runtime, SavedModelRuntime, TFLiteRuntime, row_by_row

TIMED_CALLS = 20
TIMED_SECONDS = 0.5


def verify_export(path: str | Path, *, key: Any = None) -> tuple[Path, dict[str, dict[str, Any]]]:
    """Verifies an export again, on this machine.

    Args:
        path: exports/NAME (its latest version), or exports/NAME/VERSION.
        key: a `public_key` that the manifest must be signed with; None for any, or no signature.

    Returns:
        The version, and the result of `verify_files`.

    Raises:
        UserError: the path is not an export, or its manifest is damaged.
        ExportFailed: a file has changed since the export or was added, exceeds its tolerance here, or the signature is
            not that of the key.
    """
    folder = find_version(path)
    check_files(folder, key)
    return folder, verify_files(folder, Golden.load(folder))


@full_float32()
def verify_files(folder: Path, golden: Golden) -> dict[str, dict[str, Any]]:
    """Compares every signature of every file of a version with the golden batch.

    Returns:
        "FILE SIGNATURE" -> the Deviation as JSON, with "row_by_row": the Deviation of the first rows called one by one,
        where a file takes batches; "latency_ms": the median of calls of one row.

    Raises:
        ExportFailed: a tolerance is exceeded, in a batch or row by row.
    """
    from tqdm import tqdm

    found: dict[str, dict[str, Any]] = {}
    form = {"unit": "file", "delay": 2, "leave": False, "disable": None}
    files = 1 + sum(len(list(folder.glob(f"*.{suffix}"))) for suffix in ("tflite", "onnx"))
    for file, kind, runtime in tqdm(runtimes(folder), total=files, desc="comparing with the model", **form):
        for signature in runtime.signatures:
            for output, deviation in deviations(file, kind, runtime.call, signature, golden):
                found[output] = deviation.to_json()
            if kind in (SAVED_MODEL, ONNX):
                one_by_one = partial(row_by_row, runtime.call)
                for output, deviation in deviations(
                    file, kind, one_by_one, signature, golden, rows=FEW, suffix=", row by row,"
                ):
                    found[output]["row_by_row"] = deviation.to_json()
            found[output]["latency_ms"] = _latency_ms(runtime, signature, golden.inputs(signature))
    return found


def deviations(
    file: str,
    kind: str,
    call: Callable[..., dict],
    signature: str,
    golden: Golden,
    *,
    rows: int | None = None,
    suffix: str = "",
) -> Iterator[tuple[str, Deviation]]:
    """`compare_signature`, checked.

    Args:
        suffix: of the name in the message.
        file, kind, call, signature, golden, rows: as of `compare_signature`.

    Raises:
        ExportFailed: the tolerance of the kind is exceeded.
    """
    for output, deviation in compare_signature(file, kind, call, signature, golden, rows=rows):
        advice = f"; leave {kind} out of --quantize" if kind in QUANTIZATIONS else ""
        deviation.check(output + suffix, golden.tolerance(kind), advice)
        yield output, deviation


def compare_signature(
    file: str, kind: str, call: Callable[..., dict], signature: str, golden: Golden, *, rows: int | None = None
) -> Iterator[tuple[str, Deviation]]:
    """("FILE SIGNATURE", Deviation) of each output of a signature.

    Args:
        file: its name.
        kind: of the file, in TOLERANCES.
        call: `Runtime.call` of the file.
        signature: its name.
        golden: the expected outputs.
        rows: the first rows of the golden batch; None takes all.
    """
    inputs, expected = ({name: value[:rows] for name, value in part.items()} for part in golden.case(signature))
    got, tolerance = _decode_png(call(signature, **inputs)), golden.tolerance(kind)
    for name, values in expected.items():
        output = f"{file} {signature}" + (f" {name}" if len(expected) > 1 else "")
        border = tolerance.max_abs_difference if tolerance.same_pixels else BORDER
        yield output, compare_outputs(values, got[name], are_images=signature != "encode", border=border)


def runtimes(folder: Path) -> Iterator[tuple[str, str, Runtime]]:
    """(name, kind in TOLERANCES, runtime) of the SavedModel, the .tflite and the .onnx files of a version."""
    yield SAVED_MODEL, SAVED_MODEL, SavedModelRuntime(folder)
    for file in sorted(folder.glob("*.tflite")):
        kind = file.stem.rpartition("-")[2]
        yield file.name, kind if kind in TOLERANCES else "float32", TFLiteRuntime(file)
    for file in sorted(folder.glob("*.onnx")):
        yield file.name, ONNX, ONNXRuntime(file)


def _decode_png(outputs: dict[str, np.ndarray]) -> dict[str, np.ndarray]:
    """Outputs with `images` [B, H, W, C] uint8 in place of `png_bytes`."""
    from PIL import Image

    if "png_bytes" not in outputs:
        return outputs
    decoded = [np.asarray(Image.open(io.BytesIO(file))) for file in outputs["png_bytes"]]
    return {"images": np.stack([image if image.ndim == 3 else image[..., None] for image in decoded])}


def _latency_ms(runtime: Runtime, signature: str, inputs: dict[str, np.ndarray]) -> float:
    """The median of calls of one row, or of one batch if the file has a larger one, in milliseconds per row."""
    size = getattr(runtime, "batch_size", 1) or 1
    row, seconds = {name: value[np.arange(size) % len(value)] for name, value in inputs.items()}, []
    until = time.monotonic() + TIMED_SECONDS
    runtime.call(signature, **row)
    while len(seconds) < TIMED_CALLS and (not seconds or time.monotonic() < until):
        started = time.perf_counter()
        runtime.call(signature, **row)
        seconds.append(time.perf_counter() - started)
    return round(1000 * float(np.median(seconds)) / size, 4)
