"""Formats that kgen-export writes beside SavedModel and TFLite, and what each needs. Importing this is cheap."""

from collections.abc import Sequence
from importlib.util import find_spec

from kgen.errors import UserError
from kgen.models.presets import PRESETS
from kgen.registry import Registry

FORMATS = Registry("format")
FORMATS |= {"onnx": "generate.onnx, decode.onnx and encode.onnx for ONNX Runtime"}
ALWAYS = ("savedmodel", "tflite")
"""What every export holds, whatever its formats."""
NEEDED = {"onnx": ("tf2onnx", "onnxruntime")}
OPSETS = (15, 18)
"""The least and the greatest version of ONNX's operators that tf2onnx writes well."""


DYNAMIC = "dynamic"
"""The batch size of a file that takes any."""
LARGEST_BATCH = 4096


def batch_size(text: str) -> int | None:
    """The batch size that a user writes: a whole number from 2, or None for DYNAMIC.

    Raises:
        UserError: neither.
    """
    if text == DYNAMIC:
        return None
    if text.isascii() and text.isdigit() and len(text) < 9 and 2 <= int(text) <= LARGEST_BATCH:
        return int(text)
    raise UserError(f"--tflite_batch takes 2 to {LARGEST_BATCH} or {DYNAMIC} (model.tflite has 1). Received: {text!r}")


def batched_file(text: str) -> str:
    """The name of the .tflite file of a batch size."""
    return "model-anybatch.tflite" if text == DYNAMIC else f"model-batch{int(text)}.tflite"


def check_formats(names: Sequence[str]):
    """Raises UserError for a name that is no format, and for one whose packages are not installed."""
    for name in names:
        if name.lower().replace("_", "") in ALWAYS:
            others = ", ".join(FORMATS)
            raise UserError(f"--format {name}: every export holds a SavedModel and model.tflite; others are {others}")
        FORMATS[name]
        if missing := [package for package in NEEDED[name] if find_spec(package) is None]:
            packages = " and ".join(missing)
            raise UserError(f"--format {name} needs {packages}; install them with: pip install 'kgen[onnx]'")


def check_discriminator(model: str):
    """Raises UserError for `--with_discriminator` of a model that has none."""
    if not PRESETS[model].adversarial:
        raise UserError(f"--with_discriminator: model {model!r} has no discriminator; leave out the flag")
