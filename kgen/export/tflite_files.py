"""The .tflite files of a bundle: model.tflite and encoder.tflite in float32, and smaller ones of a signature each."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from kgen.errors import ExportFailed
from kgen.export.certify import agreements
from kgen.export.examples import one_by_one
from kgen.export.golden import Golden
from kgen.export.signatures import PNG, Signature
from kgen.export.tflite import convert
from kgen.sampling.runtimes import TFLiteRuntime
from kgen.sampling.tflite_metadata import with_metadata

WORTH_IT = 0.9
"""Of the bytes of a file, below which a coarser one is worth its errors."""


def write_tflite(
    signatures: Mapping[str, Signature],
    about: Mapping[str, Any],
    folder: Path,
    golden: Golden,
    quantize: Sequence[str],
    rows: Mapping[str, np.ndarray],
):
    """Writes them.

    Args:
        signatures: of batch 1.
        about: goes into each file.
        golden: what files are held to where there is a choice.
        quantize: of QUANTIZATIONS.
        rows: examples for "int8".
    """
    signatures = {name: found for name, found in signatures.items() if name != PNG}  # no builtin operator writes PNG

    def write(file: str, *names: str, **options) -> Path:
        chosen = {name: signatures[name] for name in names}
        told = {name: [tensor.name for tensor in found.inputs] for name, found in chosen.items()}
        content = with_metadata(convert(chosen, **options), {**about, "signatures": told})
        (folder / file).write_bytes(content)
        return folder / file

    write("model.tflite", *(name for name in signatures if name != "encode"))
    if "encode" in signatures:
        write("encoder.tflite", "encode")
    for kind in dict.fromkeys(quantize):
        for name, signature in signatures.items():
            if (kind, name) == ("int8", "interpolate"):  # of angles 8 bits keep too little; decode takes points between
                continue
            inputs = [tensor.name for tensor in signature.inputs]
            file = f"{name}-{kind}.tflite"
            written = write(file, name, quantize=kind, examples=lambda i=inputs: one_by_one(rows, i))
            if kind == "dynamic":
                coarser = write(f".{file}", name, quantize=kind, dense_per_channel=False)
                _take_smaller(written, coarser, kind, name, golden)


def _take_smaller(file: Path, coarser: Path, kind: str, signature: str, golden: Golden):
    """Puts the coarser file in the other's place if that saves something and it holds the bounds.

    A dense layer with few inputs needs more room for the scales of its outputs than for its weights.
    """
    try:
        if coarser.stat().st_size <= WORTH_IT * file.stat().st_size:
            call = TFLiteRuntime(coarser).call
            list(agreements(coarser.name, kind, call, signature, golden))  # raises where one is broken
            coarser.replace(file)
    except ExportFailed:
        pass
    finally:
        coarser.unlink(missing_ok=True)
