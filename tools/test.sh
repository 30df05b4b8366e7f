#!/usr/bin/env bash
# All the set-up and every check: tools/test.sh [--quick] [pytest arguments]. Needs Python 3.11 and a package index.
# --quick leaves out the slow tests: the loop to work in. With arguments that choose tests, only those run; without, the
# numerics tests also run as on other processors.
set -euo pipefail
cd "$(dirname "$0")/.."
venv=${KGEN_VENV:-.venv}
python=${PYTHON:-python3.11}
command -v "$python" >/dev/null || python=python3

# A virtual environment, installed anew only when pyproject.toml has changed.
stamp=$venv/.installed
if [ ! -f "$stamp" ] || ! cmp -s pyproject.toml "$stamp"; then
  "$python" -m venv "$venv"
  "$venv/bin/pip" install --quiet --editable '.[test]'
  cp pyproject.toml "$stamp"
fi

# Chromium and npm for the tests of the pages, where this user may install them; without them they skip.
browser() { command -v chromium && command -v chromedriver && command -v npm; }
get_browser() {
  timeout 120 apt-get update -qq &&
    DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends chromium chromium-driver nodejs npm
}
if ! browser >/dev/null && [ "$(id -u)" = 0 ] && command -v apt-get >/dev/null; then
  get_browser >/dev/null 2>&1 || echo "tools/test.sh: Chromium and npm could not be installed; the tests of the pages skip" >&2
fi

# Real data sets, where somebody has put them beside the project; their tests skip when they are not there.
if [ -z "${TFDS_DATA_DIR:-}" ] && [ -d ../shared/data/tfds ]; then
  TFDS_DATA_DIR=$(cd ../shared/data/tfds && pwd)
  export TFDS_DATA_DIR
fi
export TF_CPP_MIN_LOG_LEVEL=${TF_CPP_MIN_LOG_LEVEL:-3}

# What to reproduce a failure with: the processor, and what the libraries choose on it.
"$venv/bin/python" -m kgen.environment 2>/dev/null || echo "python -m kgen.environment failed"

"$venv/bin/ruff" check .
"$venv/bin/ruff" format --check .
workers=(--numprocesses logical --maxprocesses 4 --dist loadfile --no-loadscope-reorder)
"$venv/bin/python" -m pytest "${workers[@]}" "$@"
if [[ " $* " != *" -"[km]* && " $* " != *" --quick "* && " $* " != *tests* ]]; then
  "$venv/bin/python" tools/worlds.py -- "$venv/bin/python" -m pytest -q -m numerics "${workers[@]}"
fi
