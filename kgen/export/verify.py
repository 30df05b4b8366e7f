"""Runs every file of an export on the golden batch and holds it to its bound; needs the folder alone, anywhere."""

import io
import time
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

from kgen.export.golden import BORDER, BOUNDS, FEW, QUANTIZATIONS, SAVED_MODEL, Deviation, Golden, compare_outputs
from kgen.export.signatures import PNG
from kgen.sampling.exported import Runtime, SavedModelRuntime, TFLiteRuntime, row_by_row

TIMED_CALLS = 20
TIMED_SECONDS = 0.5


def certify(folder: Path, golden: Golden) -> dict[str, dict[str, Any]]:
    """Compares every signature of every file of a version with the golden batch.

    Returns:
        "FILE SIGNATURE" -> the Agreement as JSON; "row_by_row": that of the first rows called one by one, where a file
        takes batches; "latency_ms": the median of calls of one row.

    Raises:
        ExportFailed: a bound is broken, by a batch or by a row alone.
    """
    found: dict[str, dict[str, Any]] = {}
    for file, kind, runtime in runtimes(folder):
        for signature in runtime.signatures:
            for artefact, agreement in agreements(file, kind, runtime.call, signature, golden):
                found[artefact] = agreement.to_json()
            if kind == SAVED_MODEL:
                alone = partial(row_by_row, runtime.call)
                again = agreements(file, kind, alone, signature, golden, rows=FEW, way=", row by row,")
                for artefact, agreement in again:
                    found[artefact]["row_by_row"] = agreement.to_json()
            found[artefact]["latency_ms"] = _latency(runtime, signature, inputs_of(golden, signature))
    return found


def agreements(
    file: str,
    kind: str,
    call: Callable[..., dict],
    signature: str,
    golden: Golden,
    *,
    rows: int | None = None,
    way: str = "",
) -> Iterator[tuple[str, Deviation]]:
    """("FILE SIGNATURE", agreement) of each output of a signature; raises ExportFailed when a bound is broken.

    Args:
        call: `Runtime.call` of the file.
        rows: of the golden batch, the first; None takes all.
        way: words for the message.
    """
    inputs, expected = ({name: value[:rows] for name, value in part.items()} for part in _case(golden, signature))
    got = _decoded(call(signature, **inputs))
    for name, values in expected.items():
        artefact = f"{file} {signature}" + (f" {name}" if len(expected) > 1 else "")
        border = BOUNDS[kind].largest_difference if BOUNDS[kind].same_pixels else BORDER
        agreement = compare_outputs(values, got[name], are_images=signature != "encode", border=border)
        advice = f"; leave {kind} out of --quantize" if kind in QUANTIZATIONS else ""
        agreement.demand(artefact + way, BOUNDS[kind], advice)
        yield artefact, agreement


def runtimes(folder: Path) -> Iterator[tuple[str, str, Runtime]]:
    """(name, kind in BOUNDS, runtime) of every file of a version that can be run."""
    yield SAVED_MODEL, SAVED_MODEL, SavedModelRuntime(folder)
    for file in sorted(folder.glob("*.tflite")):
        kind = file.stem.rpartition("-")[2]
        yield file.name, kind if kind in BOUNDS else "float32", TFLiteRuntime(file)


def inputs_of(golden: Golden, signature: str) -> dict[str, np.ndarray]:
    """The golden inputs of a signature, at least FEW rows."""
    return _case(golden, signature)[0]


def _case(golden: Golden, signature: str) -> tuple[dict[str, np.ndarray], dict[str, np.ndarray]]:
    """Inputs of a signature, and its outputs in floats."""
    few = slice(FEW)
    cases = {
        "serving_default": ({"seed": golden.seed}, {"images": golden.images}),
        "generate": ({"seed": golden.seed[few], "temperature": golden.temperature}, {"images": golden.tempered}),
        "decode": ({"z": golden.z}, {"images": golden.images}),
        "interpolate": (
            {"z0": golden.z[few], "z1": golden.z[FEW : 2 * FEW], "t": golden.t},
            {"images": golden.interpolated},
        ),
        "encode": ({"images": golden.images[few]}, {"mean": golden.mean, "log_var": golden.log_var}),
    }
    inputs, expected = cases["generate" if signature in ("generate_u8", PNG) else signature]
    if golden.label is not None:
        inputs = {**inputs, "label": golden.label[: len(next(iter(inputs.values())))]}
    return inputs, expected


def _decoded(outputs: dict[str, np.ndarray]) -> dict[str, np.ndarray]:
    """Outputs whose PNG files are the images that they hold."""
    from PIL import Image

    if "png_bytes" not in outputs:
        return outputs
    pictures = [np.asarray(Image.open(io.BytesIO(file))) for file in outputs["png_bytes"]]
    return {"images": np.stack([p if p.ndim == 3 else p[..., None] for p in pictures])}


def _latency(runtime: Runtime, signature: str, inputs: dict[str, np.ndarray]) -> float:
    """The median of calls of one row, ms."""
    row, seconds = {name: value[:1] for name, value in inputs.items()}, []
    until = time.monotonic() + TIMED_SECONDS
    runtime.call(signature, **row)
    while len(seconds) < TIMED_CALLS and (not seconds or time.monotonic() < until):
        started = time.perf_counter()
        runtime.call(signature, **row)
        seconds.append(time.perf_counter() - started)
    return round(1000 * float(np.median(seconds)), 4)
