"""What a command costs beside the steps of its training: `kgen-train --model cvae`, and the same steps from Python.

    python tools/bench_job.py [--rounds 3] [--beside CHECKOUT] [kgen-train's arguments]

Contestants take turns, each a process of its own with the import of TensorFlow in its time: the command; `build_model`,
`compile` and `fit` of the same configuration, as the command resolves it; with --beside also the command of another
checkout. Printed: CPU-seconds and wall seconds, medians, and their ratio to the bare `fit`. Run it on a quiet machine.
"""

import argparse
import json
import os
import resource
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

HERE = Path(__file__).resolve().parent.parent
COMMAND = "from kgen.cli.train import main; main()"
BARE = """
import json, sys
import kgen
from kgen import data
from kgen.models import build_model
from kgen.train.trainer import compile_model

config = kgen.RunConfig.from_json(json.loads(sys.argv[1]))
dataset = data.load(config.data, seed=config.seed)
model = build_model(config.model, dataset.spec, seed=config.seed, **config.model_args)
steps = dataset.spec.examples["train"] // config.train.batch_size
compile_model(model, config, steps)
batches = dataset.batches("train", batch_size=config.train.batch_size, seed=config.seed, repeat=True)
model.fit(batches, epochs=config.train.epochs, steps_per_epoch=steps, verbose=0)
"""


def seconds(checkout: Path, code: str, *arguments: str) -> tuple[float, float]:
    """(CPU-seconds, wall seconds) of Python code in a process that imports kgen of a checkout."""
    environment = os.environ | {"PYTHONPATH": str(checkout), "TF_CPP_MIN_LOG_LEVEL": "3"}
    before, started = resource.getrusage(resource.RUSAGE_CHILDREN), time.monotonic()
    command = [sys.executable, "-c", code, *arguments]
    ended = subprocess.run(command, env=environment, capture_output=True, text=True)
    if ended.returncode:
        sys.exit(f"it failed with exit code {ended.returncode}:\n{ended.stderr[-2000:]}")
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    cpu = after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime
    return cpu, time.monotonic() - started


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0], allow_abbrev=False)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--beside", type=Path, help="another checkout of kgen")
    options, arguments = parser.parse_known_args()
    arguments = arguments or ["--model", "cvae"]
    checkouts = {"kgen-train": HERE} | ({str(options.beside): options.beside.resolve()} if options.beside else {})
    found = {}
    with tempfile.TemporaryDirectory() as folder:
        for turn in range(options.rounds):
            for name, checkout in checkouts.items():
                run = Path(folder) / f"{len(found)}-{turn}"
                place = ["--run_dir", str(run)]
                found.setdefault(name, []).append(seconds(checkout, COMMAND, *arguments, *place))
                if checkout == HERE:
                    config = json.loads((run / "config.json").read_text(encoding="utf-8"))
                    costs = json.loads((run / "costs.json").read_text(encoding="utf-8"))
            settings = {key: config[key] for key in ("model", "model_args", "data", "train", "seed") if key in config}
            found.setdefault("bare fit", []).append(seconds(HERE, BARE, json.dumps(settings)))
    median = {name: [statistics.median(column) for column in zip(*times, strict=True)] for name, times in found.items()}
    print(f"{' '.join(arguments)}; {options.rounds} rounds, medians")
    for name, (cpu, wall) in median.items():
        bare_cpu, bare_wall = median["bare fit"]
        print(f"{name:40} {cpu:7.1f} CPU-s ({cpu / bare_cpu:.2f})  {wall:7.1f} s wall ({wall / bare_wall:.2f})")
    print(f"costs.json: beside steps and compilation {costs['overhead']:.1%} of the steps' CPU time")


if __name__ == "__main__":
    main()
