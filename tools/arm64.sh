#!/usr/bin/env bash
# Runs tests on an emulated arm64 processor: tools/arm64.sh [pytest arguments]. Needs Debian, as root, and 6 GB.
# The first time it installs qemu, an arm64 Debian and every dependency into $KGEN_ARM64 (/var/tmp/kgen-arm64).
# LiteRT's interpreter crashes in the emulator, so tests that run .tflite files are left out; an import of TensorFlow
# takes half a minute there.
set -euo pipefail
cd "$(dirname "$0")/.."
place=${KGEN_ARM64:-/var/tmp/kgen-arm64}
venv=${KGEN_VENV:-.venv}
suite=bookworm # its Python is 3.11

if [ ! -f "$place/.installed" ]; then
  mkdir -p "$place"
  DEBIAN_FRONTEND=noninteractive apt-get install -y -qq qemu-user-static debootstrap >/dev/null
  rm -rf "$place/root"
  debootstrap --arch=arm64 --foreign --variant=minbase --include=python3,libpython3.11-stdlib,libstdc++6,libgomp1 \
    "$suite" "$place/root" >"$place/debootstrap.log"
  for package in "$place"/root/var/cache/apt/archives/*.deb; do dpkg -x "$package" "$place/root"; done
  "$venv/bin/python" - >"$place/requirements.txt" <<'PYTHON'
import tomllib

project = tomllib.load(open("pyproject.toml", "rb"))["project"]
extras = [r for name in ("serve", "test") for r in project["optional-dependencies"][name] if not r.startswith("kgen")]
print("\n".join(project["dependencies"] + extras))
PYTHON
  "$venv/bin/pip" wheel --quiet --no-deps --wheel-dir "$place/wheels" promise # pure Python, published without a wheel
  platforms=(--platform=manylinux_2_28_aarch64 --platform=manylinux_2_27_aarch64 --platform=manylinux2014_aarch64)
  "$venv/bin/pip" install --quiet --target "$place/site" --find-links "$place/wheels" --only-binary=:all: \
    --python-version=3.11 --implementation=cp "${platforms[@]}" --requirement "$place/requirements.txt"
  touch "$place/.installed"
fi

if [ $# = 0 ]; then
  set -- -q tests/test_portable.py tests/test_random.py tests/test_images.py tests/data/test_transforms.py \
    tests/data/test_fingerprint.py tests/losses tests/evaluate/test_frechet.py tests/evaluate/test_kernel.py \
    tests/evaluate/test_prdc.py tests/evaluate/test_sliced.py tests/nn/test_likelihoods.py tests/nn/test_spectral.py \
    tests/nn/test_cpu_kernels.py --deselect tests/test_portable.py::test_tflite_agrees_with_builtin_operators_alone
fi
export PYTHONPATH=$PWD:$place/site QEMU_LD_PREFIX=$place/root LD_LIBRARY_PATH='' TF_CPP_MIN_LOG_LEVEL=3
exec qemu-aarch64-static "$place/root/usr/bin/python3.11" -m pytest -p no:cacheprovider "$@"
