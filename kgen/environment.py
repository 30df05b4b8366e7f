"""The environment that decides the last bits of a floating-point result: the processor, and the libraries' choices.

Kernels for other instruction sets, or for another number of threads, add the same numbers in another order, so results
on two kinds of machine agree to rounding and not to the bit. Runs, exports and evaluations record this description;
`python -m kgen.environment` prints it.
"""

import os
import platform
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from kgen import gpu

INSTRUCTION_SETS = (
    "SSE41", "SSE42", "AVX", "FMA3", "AVX2", "AVX512F", "AVX512VNNI", "AVX512BF16", "AVX512FP16", "X86_V2", "X86_V3",
    "X86_V4", "NEON", "ASIMD", "ASIMDHP", "ASIMDDP", "ASIMDFHM", "SVE",
)  # fmt: skip
"""Those that are recorded, by NumPy's names; X86_V3 and the like are levels of x86-64, for which NumPy has kernels."""

VARIABLES = (
    "TF_ENABLE_ONEDNN_OPTS", "ONEDNN_MAX_CPU_ISA", "ONEDNN_DEFAULT_FPMATH_MODE", "XLA_FLAGS", "TF_XLA_FLAGS",
    "TF_NUM_INTRAOP_THREADS", "TF_NUM_INTEROP_THREADS", "OMP_NUM_THREADS", "OPENBLAS_CORETYPE", "OPENBLAS_NUM_THREADS",
    "NPY_DISABLE_CPU_FEATURES", "NVIDIA_TF32_OVERRIDE", "TF_DETERMINISTIC_OPS",
)  # fmt: skip
"""Environment variables with which a user changes what the libraries choose."""

TEMPLATES = {
    "processor": "processor {}",
    "architecture": "{}",
    "instruction_sets": "instruction sets {}",
    "cores": "{} cores",
    "onednn": "oneDNN {}",
    "blas": "{}",
    "variables": "{}",
    "gpus": "GPUs {}",
    "libraries": "{}",
}
"""How each key is written in a sentence, in this order."""


def environment() -> dict[str, Any]:
    """The processor and the libraries' choices here, as JSON types. Imports TensorFlow.

    Returns:
        "processor": its name; "architecture": e.g. "x86_64"; "instruction_sets": those of INSTRUCTION_SETS that NumPy
        finds; "cores": that this process may use; "onednn": whether TensorFlow computes with oneDNN; "blas": NumPy's,
        with its version and the processor that it took its kernels for; "variables": those of VARIABLES that are set;
        "gpus": names; "libraries": name -> version.
    """
    import importlib.metadata

    from tensorflow.python.util import _pywrap_util_port

    return {
        "processor": _processor(),
        "architecture": platform.machine(),
        "instruction_sets": _instruction_sets(),
        "cores": len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count(),
        "onednn": bool(_pywrap_util_port.IsMklEnabled()),
        "blas": _blas(),
        "variables": {name: os.environ[name] for name in VARIABLES if os.environ.get(name)},
        "libraries": {name: importlib.metadata.version(name) for name in ("tensorflow", "keras", "numpy")},
        "gpus": [gpu.name_of(device) or device.name for device in gpu.visible()],
    }


def describe(found: Mapping[str, Any]) -> str:
    """An environment in a sentence: "processor AMD EPYC, x86_64, instruction sets ... AVX2, 2 cores, oneDNN on"."""
    return ", ".join(filter(None, (_describe_value(key, found.get(key)) for key in TEMPLATES)))


def differences(one: Mapping[str, Any], other: Mapping[str, Any]) -> list[str]:
    """Where two environments differ, as phrases: "oneDNN off (was on)"; [] where the bits of results can be the same.

    Args:
        one: as it was, from `environment`.
        other: as it is.
    """
    differ = [key for key in TEMPLATES if one.get(key) != other.get(key)]
    return [f"{_describe_value(key, other.get(key)) or f'no {key}'} (was {_value(one.get(key))})" for key in differ]


def versions() -> dict[str, str]:
    """Versions of what a result depends on; "not installed" of what sampling without TensorFlow does without."""
    import importlib.metadata

    import kgen

    found = {"kgen": kgen.__version__, "python": platform.python_version()}
    for name in ("tensorflow", "keras", "tensorflow-datasets", "numpy"):
        try:
            found[name] = importlib.metadata.version(name)
        except importlib.metadata.PackageNotFoundError:
            found[name] = "not installed"
    return found


def _describe_value(key: str, value: Any) -> str:
    """A value as a phrase; "" for an empty one."""
    return "" if value in (None, [], {}) else TEMPLATES[key].format(_value(value))


def _value(value: Any) -> str:
    if isinstance(value, bool):
        return "on" if value else "off"
    if isinstance(value, Mapping):
        return " ".join(f"{name}={setting}" for name, setting in value.items()) or "none"
    return " ".join(map(str, value)) or "none" if isinstance(value, list) else str(value)


def _processor() -> str:
    """The processor's name; of arm64 Linux, which has none, its part numbers."""
    try:
        lines = Path("/proc/cpuinfo").read_text(encoding="utf-8", errors="replace").splitlines()
    except OSError:
        return platform.processor() or platform.machine()
    found = {name.strip(): value.strip() for name, _, value in (line.partition(":") for line in lines)}
    parts = [f"{name} {found[name]}" for name in ("CPU implementer", "CPU part", "CPU variant") if name in found]
    return found.get("model name") or ", ".join(parts) or platform.machine()


def _instruction_sets() -> list[str]:
    from numpy._core._multiarray_umath import __cpu_features__ as features  # as np.show_runtime reads them

    return [name for name in INSTRUCTION_SETS if features.get(name)]


def _blas() -> str:
    """NumPy's, and not SciPy's of its own, which is there only when something has imported it."""
    import numpy
    from threadpoolctl import threadpool_info

    loaded = [pool for pool in threadpool_info() if pool["user_api"] == "blas"]
    libraries = Path(numpy.__file__).resolve().parents[1] / "numpy.libs"  # of a wheel
    found = [pool for pool in loaded if libraries in Path(pool["filepath"]).parents] or loaded[:1]
    return " ".join(
        f"{pool['internal_api']} {pool['version']} {pool.get('architecture', '')}" for pool in found
    ).strip()


if __name__ == "__main__":
    print(describe(environment()))
