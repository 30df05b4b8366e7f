"""Generators of small sets of pictures at 64x64: which settings are worth their time?

    python tools/bench_own_pictures.py --data ../shared/data [--minutes 10] [--seeds 0 1 2] [--sets emoji faces ...]
                                       [--variants dcgan upsampling ...] [--folder bench_own_pictures]

Every variant trains on every set for as long (`kgen-train --minutes`), and is judged by SqueezeNet's features against
the training images: Fréchet and kernel distance (the latter also where images are few), recall, and the metric
near_copies. It leaves `table.md`, and `index.html` with a grid of each run, nothing picked; what is there already is
not trained again. Run it on a quiet machine: equal minutes are equal work only there.

Needs twemoji72.zip, cifar10_jpeg.zip, olivetti/olivettifaces.mat and judge/squeezenet_v1.1_notop.h5 in --data.
"""

import argparse
import csv
import html
import io
import itertools
import json
import statistics
import subprocess
import sys
import zipfile
from collections.abc import Iterable
from pathlib import Path

from ending import exit_code_of

HERE = Path(__file__).resolve().parent.parent
COUNT = 3_000
"""Samples, and most training images, that the judge compares."""
SEEDS = 10

LAZY = {"r1": 0.1, "penalty_every": 8}
UPSAMPLING = {"network": "upsampling", **LAZY}
ALL_CHANGES = ["color", "translation", "scale"]
VARIANTS = {
    "dcgan": {},
    "own-pictures": {"recipe": "own-pictures"},
    "own-pictures, fine-tuned": {"recipe": "own-pictures-fine-tune"},
    "own-pictures, transposed": {"recipe": "own-pictures", "network": "dcgan"},
    "own-pictures, unchanged": {"recipe": "own-pictures", "augment": []},
    "own-pictures, not mirrored": {"recipe": "own-pictures", "train.flip": "off"},
    "own-pictures, excitation": {"recipe": "own-pictures", "skip_excitation": True},
    "own-pictures, ADA": {"recipe": "own-pictures", "augment": ALL_CHANGES, "augment_target": 0.6},
    "own-pictures, R1 of 1": {"recipe": "own-pictures", "r1": 1.0},
    "own-pictures, ADA and R1 of 1": {
        "recipe": "own-pictures",
        "augment": ALL_CHANGES,
        "augment_target": 0.6,
        "r1": 1.0,
    },
    "own-pictures, features": {
        "recipe": "own-pictures",
        "feature_discriminator": "efficientnet-lite0",
        "feature_every": 4,
        "feature_weight": 0.25,
    },
    "dcgan, lazy R1": LAZY,
    "upsampling": UPSAMPLING,
    "upsampling, half": UPSAMPLING | {"filters": [16, 32, 64, 128]},
    "upsampling, R1 of 1": UPSAMPLING | {"r1": 1.0},
    "upsampling, pairs": UPSAMPLING | {"loss": "relativistic_pair", "r2": 0.1},
    "upsampling, ADA": UPSAMPLING | {"augment": ALL_CHANGES, "augment_target": 0.6},
    "residual, half": UPSAMPLING | {"network": "residual", "filters": [16, 32, 64, 128]},
    "upsampling, color": UPSAMPLING | {"augment": ["color", "translation", "cutout"]},
}
"""Name -> arguments of the model over the recipe, which is images-dcgan unless given; `train.` for the training's."""


def sets(data: Path, folder: Path) -> dict[str, list[str]]:
    """Name of a set -> the flags that name it."""
    faces = folder / "emoji-faces"
    if not faces.is_dir():
        with zipfile.ZipFile(data / "twemoji72.zip") as archive:
            labels = csv.DictReader(io.StringIO(archive.read("twemoji72/labels.csv").decode("utf-8")))
            names = [row["file"] for row in labels if row["subgroup"].startswith("face-")][:100]
            faces.mkdir(parents=True)
            for name in names:
                (faces / name).write_bytes(archive.read(f"twemoji72/{name}"))
    return {
        "emoji": ["--dataset", str(data / "twemoji72.zip")],
        "photographs": ["--dataset", str(data / "cifar10_jpeg.zip"), "--limit", "5000", "--layout", "split/folder"],
        "faces": ["--dataset", str(data / "olivetti" / "olivettifaces.mat")],
        "emoji-faces": ["--dataset", str(faces)],
    }


def kgen(command: str, *arguments: str) -> str:
    """Standard output of a command; ends the bench where it fails."""
    code = f"import sys; from kgen.cli.{command} import main; sys.exit(main())"
    ended = subprocess.run([sys.executable, "-c", code, *arguments], capture_output=True, text=True, cwd=HERE)
    if ended.returncode:
        sys.exit(f"kgen-{command} {' '.join(arguments)} ended with {ended.returncode}:\n{ended.stderr[-2000:]}")
    return ended.stdout


def measure(run: Path, flags: list[str], variant: str, seed: int, minutes: float, judge: Path):
    """Trains and judges one run, and writes its figures to bench.json there; nothing where they stand already."""
    result = run / "bench.json"
    if result.is_file():
        return
    arguments = dict(VARIANTS[variant])
    recipe = arguments.pop("recipe", "images-dcgan")
    given = {key if key.startswith("train.") else f"model_args.{key}": value for key, value in arguments.items()}
    settings = [f"--set={key}={json.dumps(value)}" for key, value in given.items()]
    kgen(
        "train", "--recipe", recipe, *flags, "--minutes", str(minutes), "--seed", str(seed), "--run_dir",
        str(run), "--set", "train.validate_every=1000", *settings,
    )  # fmt: skip
    judged = ["--features", "squeezenet", "--feature_weights", str(judge), "--count", str(COUNT), "--repeats", "1"]
    kgen("eval", str(run), *judged, "--metrics", "fid,kid,prdc", "--split", "train", "--num_real", str(COUNT))
    kgen("eval", str(run), *judged, "--metrics", "memorization")
    rows = [json.loads(line) for line in (run / "eval" / "best.jsonl").read_text(encoding="utf-8").splitlines()]
    values = {row["metric"]: row["value"] for row in rows}
    parts = json.loads((run / "costs.json").read_text(encoding="utf-8"))["parts"]
    metrics = (run / "metrics.jsonl").read_text(encoding="utf-8").splitlines()
    values |= {"steps": max(json.loads(line)["step"] for line in metrics), "cpu_seconds": parts["steps"]["cpu_seconds"]}
    result.write_text(json.dumps(values), encoding="utf-8")


COLUMNS = {
    "fid": "distance",
    "kid": "kernel",
    "recall": "recall",
    "near_copies": "copies",
    "steps": "steps",
    "cpu_seconds": "CPU-s",
}


def write(folder: Path, names: Iterable[str]):
    """table.md and index.html, of all runs that are there."""
    lines = ["| set | variant | " + " | ".join(COLUMNS.values()) + " |", "|---" * (len(COLUMNS) + 2) + "|"]
    grids = []
    for name, variant in itertools.product(names, VARIANTS):
        files = {seed: folder / run_of(name, variant, seed) / "bench.json" for seed in range(SEEDS)}
        seeds = {seed: json.loads(file.read_text(encoding="utf-8")) for seed, file in files.items() if file.is_file()}
        if not seeds:
            continue
        cells = []
        for key in COLUMNS:
            values = [values[key] for values in seeds.values() if values.get(key) is not None]
            if not values:
                cells.append("-")
                continue
            spread = f" ({min(values):.4g} to {max(values):.4g})" if len(values) > 1 else ""
            cells.append(f"{statistics.median(values):.4g}{spread}")
        lines.append(f"| {name} | {variant} | " + " | ".join(cells) + " |")
        for seed, values in seeds.items():
            words = html.escape(f"{name}, {variant}, seed {seed}: kernel distance {values['kid']:.4g}")
            picture = html.escape(f"{run_of(name, variant, seed)}/samples/final.png")
            grids.append(f'<figure><img src="{picture}" alt=""><figcaption>{words}</figcaption></figure>')
    (folder / "table.md").write_text("\n".join(lines) + "\n", encoding="utf-8")
    style = "body{font-family:sans-serif;display:flex;flex-wrap:wrap;gap:1em}figure{margin:0}img{width:24em}"
    page = f'<!doctype html><meta charset="utf-8"><title>Own pictures</title><style>{style}</style>{"".join(grids)}'
    (folder / "index.html").write_text(page, encoding="utf-8")
    print("\n".join(lines), flush=True)


def run_of(name: str, variant: str, seed: int) -> str:
    return f"{name}-{variant}-{seed}".replace(", ", "-").replace(" ", "-")


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--folder", type=Path, default=Path("bench_own_pictures"))
    parser.add_argument("--minutes", type=float, default=10)
    parser.add_argument("--seeds", type=int, nargs="+", default=[0, 1, 2], choices=range(SEEDS))
    parser.add_argument("--sets", nargs="+", choices=["emoji", "photographs", "faces", "emoji-faces"])
    parser.add_argument("--variants", nargs="+", choices=list(VARIANTS), default=list(VARIANTS))
    given = parser.parse_args()
    folder, data = given.folder.resolve(), given.data.resolve()
    flags = sets(data, folder)
    for name in given.sets or flags:
        for variant in given.variants:
            for seed in given.seeds:
                run, judge = folder / run_of(name, variant, seed), data / "judge" / "squeezenet_v1.1_notop.h5"
                measure(run, flags[name], variant, seed, given.minutes, judge)
                write(folder, flags)


if __name__ == "__main__":
    sys.exit(exit_code_of(main))
