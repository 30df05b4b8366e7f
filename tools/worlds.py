"""Runs a command as on other processors: with the kernels that the libraries choose there.

    python tools/worlds.py -- .venv/bin/python -m pytest -m numerics        # in those that `checked` names
    python tools/worlds.py --worlds sse41 -- kgen-train --model cvae

Kernels for other instruction sets, or another number of threads, add in another order, and so find what depends on the
last bits. Prints a line per world and ends with the exit code of the first command that failed.
"""

import argparse
import os
import subprocess
import time

AVX2 = {
    "ONEDNN_MAX_CPU_ISA": "AVX2",  # oneDNN's, and the matrix product of TensorFlow that is there without it
    "XLA_FLAGS": "--xla_cpu_max_isa=AVX2",
    "NPY_DISABLE_CPU_FEATURES": "X86_V4 AVX512_ICL AVX512_SPR",
}
WORLDS = {
    "default": {},
    "avx2_without_onednn": {**AVX2, "TF_ENABLE_ONEDNN_OPTS": "0"},  # TensorFlow's own choice on a processor with AVX2
    "sse41": {
        "ONEDNN_MAX_CPU_ISA": "SSE41",
        "XLA_FLAGS": "--xla_cpu_max_isa=SSE4_2",
        "NPY_DISABLE_CPU_FEATURES": "X86_V3 X86_V4 AVX512_ICL AVX512_SPR",
    },
    "avx2_one_thread": {**AVX2, "TF_NUM_INTRAOP_THREADS": "1", "OMP_NUM_THREADS": "1", "OPENBLAS_NUM_THREADS": "1"},
    "onednn_off": {"TF_ENABLE_ONEDNN_OPTS": "0"},
    "four_threads": {"TF_NUM_INTRAOP_THREADS": "4", "OPENBLAS_NUM_THREADS": "4"},
}
"""Name -> what is set in the environment; a processor that lacks an instruction set ignores that it is switched off."""

CHECKED = ("avx2_without_onednn", "sse41", "avx2_one_thread")
"""Those that `tools/test.sh` runs the numerics tests in, beside "default"; see `checked`."""


def checked() -> list[str]:
    """CHECKED without a world that this one is: on a processor without AVX-512 TensorFlow computes without oneDNN."""
    from kgen.environment import environment

    here = environment()
    own = not here["onednn"] and "AVX2" in here["instruction_sets"] and "AVX512F" not in here["instruction_sets"]
    return [name for name in CHECKED if not (own and name == "avx2_without_onednn")]


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--worlds", help=f"of {', '.join(WORLDS)}; default: {','.join(CHECKED)}, less what is here")
    parser.add_argument("command", nargs="+", help="after --")
    options = parser.parse_args()
    names = options.worlds.split(",") if options.worlds else checked()
    if unknown := [name for name in names if name not in WORLDS]:
        parser.error(f"--worlds takes {', '.join(WORLDS)}. Received: {unknown[0]!r}")
    codes = []
    for name in names:
        settings = " ".join(f"{key}='{value}'" for key, value in WORLDS[name].items())
        print(f"== world {name}: {settings}", flush=True)
        started = time.monotonic()
        codes.append(subprocess.run(options.command, env={**os.environ, **WORLDS[name]}).returncode)
        print(f"== world {name}: exit code {codes[-1]} after {time.monotonic() - started:.0f} seconds", flush=True)
    return next((code for code in codes if code), 0)


if __name__ == "__main__":
    raise SystemExit(main())
