"""How time and memory grow with the number of images, and whether training waits for them.

    python tools/bench_scale.py [--sizes 10000,100000,1000000] [--kinds folder,zip] [--memory_mib 64] [--dcgan]
    python tools/bench_scale.py --shards [--sizes 10000,100000,1000000,10000000] [--kinds tfrecord,tar]
    python tools/bench_scale.py --workers 1,2,4 --sizes 50000 [--kinds parquet,tfrecord,tfds,tar]
    python tools/bench_scale.py --stream 0 --workers 1,2,4 --sizes 50000 [--kinds parquet,tfrecord,tar]
    python tools/bench_scale.py --stream 50 --dcgan --cache none --sizes 10000 --kinds tar
    python tools/bench_scale.py --memory [--sizes 10000] [--kinds npz,zip]

Pictures are 64x64 colour JPEGs: 256 different ones, written again and again under other names (what is read and
decoded does not depend on what they show). Each size is opened, decoded and trained on for one epoch of a small VAE in
a process of its own, whose resident memory is watched. `--memory_mib` stands for the memory that decoded images may
take, so that they have to go to the disk (--cache auto), as a set that is larger than the memory does. Files that are
mapped into the memory count as resident but can be dropped at any time: memory without them is printed beside.

Waiting for data: the seconds of a step of training that is fed by the pipeline, less those of one that is given the
same batch again and again, as a share of the former; medians over rounds that take turns.

`--shards`: sets of shards of 10,000 images, all hard links to one file, so that sizes beyond the disk can be had; the
disk's own speed is not measured. Each is opened in a process of its own that has not seen it, and in a second one that
finds what the first one remembered; the second reads SOME images of an epoch that is not kept decoded.

`--workers`: the bytes that one worker of so many asks the system for in an epoch of such a set (`rchar` of Linux), as a
share of those of one worker alone. Parquet files have groups of ROWS_PER_GROUP rows; tfds is a TFRecord set by name.

`--stream N`: the set of shards lies at a web server on this machine, which waits N milliseconds before each answer, and
is streamed from there; the bytes of `--workers` are those that the server sends in the epoch.

`--memory`: how many times the decoded images are in memory while a small VAE trains, while it trains and its samples
are measured after each epoch, and while it is evaluated. That is the most that a process had resident, less the same of
a set of FEW images, over the bytes by which the decoded images differ.
"""

import argparse
import contextlib
import hashlib
import io
import json
import os
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
import urllib.request
import zipfile
from pathlib import Path

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")

import numpy as np

DIFFERENT, SIDE, IMAGES_PER_FOLDER = 256, 64, 10_000
BATCH, HIDDEN = 256, [64]
WORKERS_BATCH = 64
WATCH_SECONDS = 0.05
DCGAN = {"filters": (64, 128, 256, 512)}
DCGAN_BATCH, DCGAN_STEPS = 64, 4
SHARDS = {"tar": "TarShards", "tfrecord": "TfrecordShards", "parquet": None}
IMAGES_PER_SHARD, ROWS_PER_GROUP, CLASSES, SOME = 10_000, 100, 10, 20_000
MARK = "mark"
FEW = 2000  # every batch of the commands is full
TRAIN = [
    "train", "--model", "vae", "--dataset", "{data}", "--run_dir", "{run}", "--epochs", "1",
    "--batch_size", "64", "--set", "model_args.hidden=[64]", "--samples_every", "1",
]  # fmt: skip
COMMANDS = {
    "training": TRAIN,
    "watching": [*TRAIN, "--eval_every", "1", "--eval_count", "500"],
    "evaluating": ["eval", "{trained}", "--count", "500"],
}


def encoded() -> list[bytes]:
    """Smooth colour noise as JPEG."""
    from PIL import Image

    generator, pictures = np.random.default_rng(0), []
    for _ in range(DIFFERENT):
        small = Image.fromarray(generator.integers(0, 256, (8, 8, 3), np.uint8))
        stream = io.BytesIO()
        small.resize((SIDE, SIDE), Image.Resampling.BICUBIC).save(stream, "JPEG", quality=90)
        pictures.append(stream.getvalue())
    return pictures


def write(folder: Path, kind: str, count: int) -> Path:
    """A folder or a zip of `count` pictures, shards of them, or an .npz file of as many."""
    if kind in SHARDS:
        return write_shards(folder, kind, count)
    pictures = encoded()
    if kind == "zip":
        with zipfile.ZipFile(folder / "set.zip", "w") as file:
            for number in range(count):
                file.writestr(f"{number // IMAGES_PER_FOLDER:04}/{number:08}.jpg", pictures[number % DIFFERENT])
        return folder / "set.zip"
    if kind == "npz":
        generator = np.random.default_rng(0)
        np.savez(folder / "set.npz", images=generator.integers(0, 256, (count, SIDE, SIDE, 3), np.uint8))
        return folder / "set.npz"
    for number in range(count):
        if number % IMAGES_PER_FOLDER == 0:
            (folder / "set" / f"{number // IMAGES_PER_FOLDER:04}").mkdir(parents=True)
        path = folder / "set" / f"{number // IMAGES_PER_FOLDER:04}" / f"{number:08}.jpg"
        path.write_bytes(pictures[number % DIFFERENT])
    return folder / "set"


def write_shards(folder: Path, kind: str, count: int) -> Path:
    """A folder of shards that are one file under many names."""
    from kgen.data import write_shards as shards

    pictures, total, folder = encoded(), count // IMAGES_PER_SHARD, folder / "shards"
    folder.mkdir()
    if kind == "parquet":
        names = [f"train-{number:05d}-of-{total:05d}.parquet" for number in range(total)]
        write_parquet(folder / names[0], pictures)
        for name in names[1:]:
            os.link(folder / names[0], folder / name)
        return folder
    formats = getattr(shards, SHARDS[kind])
    names = [formats.file_name("made", "train", number, total) for number in range(total)]
    images, size = formats.write(folder / names[0], (
        shards.WrittenSample(i, i, f"{i:08}.jpg", pictures[i % DIFFERENT], i % CLASSES) for i in range(IMAGES_PER_SHARD)
    ))  # fmt: skip
    for name in names[1:]:
        os.link(folder / names[0], folder / name)
    done = [shards.WrittenShard(name, "train", images, size, "", []) for name in names]
    spec = shards.ShardsSpec("made", (SIDE, SIDE, 3), tuple(map(str, range(CLASSES))))
    formats.describe(folder, spec, done)
    return folder


def write_parquet(path: Path, pictures: list[bytes]):
    """A shard as the Hugging Face hub stores it."""
    import pyarrow as arrow
    import pyarrow.parquet as parquet

    images = [{"bytes": pictures[i % DIFFERENT], "path": None} for i in range(IMAGES_PER_SHARD)]
    kind = arrow.struct([("bytes", arrow.binary()), ("path", arrow.string())])
    labels = arrow.array([i % CLASSES for i in range(IMAGES_PER_SHARD)], arrow.int64())
    table = arrow.table({"image": arrow.array(images, kind), "label": labels})
    parquet.write_table(table, path, row_group_size=ROWS_PER_GROUP)


def config_of(path: str, **settings):
    """The settings of a set at a path, or at an address, from which it is streamed."""
    import kgen

    remote = "stream" if "://" in path else "auto"
    return kgen.DataConfig(path, remote=remote, **{"cache": "none", "validation_fraction": 0.0, **settings})


@contextlib.contextmanager
def served(path: Path, delay_ms: float | None):
    """(the server, the address of a folder there), or (None, its path) where it is not streamed."""
    if delay_ms is None:
        yield None, path
        return
    sys.path.insert(0, str(Path(__file__).parents[1] / "tests"))
    from range_server import range_server

    sums = [f"{sha256_of(file)}  {file.name}" for file in sorted(path.iterdir())]
    (path / "SHA256SUMS").write_text("\n".join(sums) + "\n")
    (path / MARK).write_text("the epoch begins")
    with range_server(path) as server:
        server.delay = delay_ms / 1000
        yield server, server.url


def sha256_of(path: Path, known={}) -> str:  # noqa: B006
    """Of the content of a file, of which there are many hard links."""
    number = path.stat().st_ino
    if number not in known:
        known[number] = hashlib.sha256(path.read_bytes()).hexdigest()
    return known[number]


def reading(path: str, workers: str, *_):
    """Prints the bytes that the last of some workers reads in an epoch."""
    import kgen

    def read_so_far() -> int:
        return int(Path("/proc/self/io").read_text().split("rchar:")[1].split()[0])

    workers = int(workers)
    dataset = kgen.data.load(config_of(path))
    batches = dataset.batches(batch_size=WORKERS_BATCH, as_uint8=True, share=(workers - 1, workers))
    if "://" in path:
        urllib.request.urlopen(f"{path}/{MARK}").read()
    before, images = read_so_far(), 0
    for _, labels in batches:
        images += len(labels)
    print(json.dumps({"bytes": read_so_far() - before, "images": images}), flush=True)
    os._exit(0)


def measure_workers(folder: Path, kind: str, size: int, workers: list[int], delay_ms: float | None):
    """Prints a line for each number of workers."""
    path, alone = write_shards(folder, "tfrecord" if kind == "tfds" else kind, size), None
    environment = os.environ | {"KGEN_CACHE_DIR": str(folder / "cache"), "TFDS_DATA_DIR": str(folder)}
    if kind == "tfds":
        (folder / "made").mkdir()
        path.rename(folder / "made" / "1.0.0")
        path = "tfds:made"
    with served(path, delay_ms) as (server, path):
        for place, number in enumerate([1, *workers]):
            command = [sys.executable, __file__, "--cache", "none", "--work", f"read {number}", str(path)]
            found, _, _ = watched(command, environment)
            if server is not None:
                began = max(i for i, (name, _) in enumerate(server.answers) if name == MARK)
                found["bytes"] = sum(sent for _, sent in server.answers[began + 1 :])
                found["requests"] = len(server.answers) - began - 1
            if not place:  # it has just seen every image
                if server is not None:
                    first = sum(sent for _, sent in server.answers[:began])
                    print(f"{kind:8} {size:10,} images, opened first: {first / 2**20:.1f} MiB", flush=True)
                continue
            alone = alone or found["bytes"]
            print(
                f"{kind:8} {size:10,} images, {number} workers: one reads {found['bytes'] / 2**20:.1f} MiB per epoch, "
                f"{found['bytes'] / alone:.4f} of what one alone reads, for {found['images']:,} images"
                + (f", in {found['requests']:,} requests" if server is not None else ""),
                flush=True,
            )


def opening(path: str, *_):
    """Prints the seconds that opening takes without the imports, and those per image of SOME."""
    import tensorflow as tf  # noqa: F401
    import tensorflow_datasets  # noqa: F401

    import kgen
    from kgen.data.training_data import Content

    started, cpu = time.perf_counter(), time.process_time()
    dataset = kgen.data.load(kgen.DataConfig(path, cache="none", validation_fraction=0.01))
    Content.of(dataset)
    opened, opening_cpu = time.perf_counter() - started, time.process_time() - cpu
    batches = iter(dataset.batches(batch_size=BATCH, repeat=True, as_uint8=True))
    next(batches)
    first = time.perf_counter() - started - opened
    started, cpu, read = time.perf_counter(), time.process_time(), 0
    while read < SOME:
        read += len(next(batches)[1])
    each, cpu = (time.perf_counter() - started) / read, (time.process_time() - cpu) / read
    found = {"open": opened, "opening_cpu": opening_cpu, "first": first, "each": each, "cpu": cpu}
    print(json.dumps(found), flush=True)
    os._exit(0)  # the iterator's threads read on


def measure_shards(folder: Path, kind: str, size: int, first: float | None) -> float:
    """Prints a line; returns the CPU-seconds that an image took."""
    path = write_shards(folder, kind, size)
    environment = os.environ | {"KGEN_CACHE_DIR": str(folder / "cache")}
    command = [sys.executable, __file__, "--work", "open", str(path)]
    new, _, _ = watched(command, environment)
    known, most, _ = watched(command, environment)
    growth = f"{known['cpu'] / first:.2f} of the smallest's" if first else "smallest"
    print(
        f"{kind:8} {size:10,} images  opened in {new['open']:.1f} s ({new['opening_cpu']:.1f} of CPU), again in "
        f"{known['open']:.1f} s ({known['opening_cpu']:.1f}), first batch after {known['first']:.1f} s; "
        f"{1e6 * known['each']:.0f} us per image, {1e6 * known['cpu']:.0f} of CPU ({growth}); "
        f"{most:,.0f} MiB resident at most",
        flush=True,
    )
    return first or known["cpu"]


def work(path: str, cache: str, memory_mib: int):
    """Opens and trains, then prints what it took."""
    import kgen
    from kgen.config import override
    from kgen.data import store
    from kgen.train import train

    store.memory_budget = lambda: memory_mib * 2**20
    settings = {
        "model": "vae", "data.dataset": path, "data.cache": cache, "data.validation_fraction": 0.01,
        "train.epochs": 1, "train.batch_size": BATCH, "train.jit_compile": False, "model_args.hidden": HIDDEN,
        "model_args.likelihood": "gaussian_learned",
    }  # fmt: skip
    config = override(kgen.RunConfig(), settings)
    started = time.perf_counter()
    dataset = kgen.data.load(config.data)
    opened = time.perf_counter() - started
    run = train(config, dataset=dataset, run_dir=f"{path}-run")
    row = run.metrics()[-1]
    epoch = dataset.spec.examples["train"] / row["images_per_second"]
    whole = time.perf_counter() - started
    print(json.dumps({"open": opened, "epoch": epoch, "whole": whole, "notes": dataset.notes[-1]}))


def waiting(path: str, cache: str, memory_mib: int, rounds: int = 5):
    """Prints the share of a DCGAN's time that is spent waiting for data."""
    import tensorflow as tf

    import kgen
    from kgen.data import store

    store.memory_budget = lambda: memory_mib * 2**20
    dataset = kgen.data.load(config_of(path, cache=cache))
    model = kgen.build_model("dcgan", dataset.spec, **DCGAN)
    model.compile(steps_per_execution=DCGAN_STEPS, jit_compile=False)
    fed = dataset.batches("train", batch_size=DCGAN_BATCH, repeat=True)
    given = tf.data.Dataset.from_tensors(next(iter(fed))).repeat()
    seconds = {"fed": [], "given": []}
    for number in range(rounds + 1):
        for name, batches in (("fed", fed), ("given", given)):
            started = time.perf_counter()
            model.fit(batches, steps_per_epoch=DCGAN_STEPS, verbose=0)
            if number:  # the first one compiles
                seconds[name].append((time.perf_counter() - started) / DCGAN_STEPS)
    started, taken = time.perf_counter(), 0
    for _ in fed.take(100):
        taken += DCGAN_BATCH
    alone = taken / (time.perf_counter() - started)
    fed, given = (statistics.median(seconds[name]) for name in ("fed", "given"))
    print(json.dumps({"fed": fed, "given": given, "alone": alone}))


def copies_in_memory(folder: Path, kind: str, count: int):
    """Prints the ratio of resident to decoded bytes of each command."""
    sets, peaks = {}, {}
    for size in (FEW, count):
        (folder / str(size)).mkdir()
        sets[size] = write(folder / str(size), kind, size)
    environment = os.environ | {"KGEN_CACHE_DIR": str(folder / "cache")}
    decoded = (count - FEW) * SIDE * SIDE * 3
    for job in COMMANDS:
        for size, path in sets.items():
            places = {"data": path, "run": path.parent / job, "trained": path.parent / "training"}
            name, *words = [word.format(**places) for word in COMMANDS[job]]
            call = f"import sys; from kgen.cli.{name} import main; sys.exit(main())"
            peaks[size] = peak([sys.executable, "-c", call, *words], environment, folder)
        print(
            f"{kind:6} {count:9,} images  {job}: {(peaks[count] - peaks[FEW]) / decoded:.2f} times the decoded "
            f"{decoded / 2**20:.0f} MiB ({peaks[count] / 2**20:,.0f} MiB resident at most, "
            f"{peaks[FEW] / 2**20:,.0f} MiB with {FEW} images)",
            flush=True,
        )


def peak(command: list[str], environment: dict, folder: Path) -> int:
    """The most bytes that a process in a folder had resident."""
    process = subprocess.Popen(
        command, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True, env=environment, cwd=folder
    )
    said = process.stderr.read()
    _, status, usage = os.wait4(process.pid, 0)
    if status:
        raise SystemExit(f"{' '.join(command)} failed: {said}")
    return usage.ru_maxrss * (1 if sys.platform == "darwin" else 1024)


def watched(command: list[str], environment: dict) -> tuple[dict, float, float]:
    """What a process printed last, and the most that it and its children had resident: (all, without mapped files)."""
    import psutil

    process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True, env=environment)
    watcher, most, most_own = psutil.Process(process.pid), 0, 0
    while process.poll() is None:
        try:
            found = [p.memory_info() for p in (watcher, *watcher.children(recursive=True))]
            most = max(most, sum(m.rss for m in found))
            most_own = max(most_own, sum(m.rss - getattr(m, "shared", 0) for m in found))
        except psutil.NoSuchProcess:
            pass
        time.sleep(WATCH_SECONDS)
    lines = process.stdout.read().splitlines()
    if process.returncode:
        raise SystemExit(f"{' '.join(command)} ended with {process.returncode}: run it by hand")
    return json.loads(lines[-1]), most / 2**20, most_own / 2**20


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--sizes", default="10000,100000,1000000")
    parser.add_argument(
        "--kinds",
        help="of folder, zip, npz, tar, tfrecord, parquet; else folder,zip; npz,zip with --memory, tfrecord,tar with "
        "--shards, parquet,tfrecord,tfds,tar with --workers",
    )
    parser.add_argument("--shards", action="store_true", help="sets of shards, that are not kept decoded")
    parser.add_argument("--workers", help="numbers of workers: bytes that one of them reads, at the first of the sizes")
    parser.add_argument(
        "--stream", type=float, help="streamed from a web server that waits so many milliseconds before each answer"
    )
    parser.add_argument(
        "--memory", action="store_true", help="copies of the images in memory, at the first of the sizes"
    )
    parser.add_argument("--cache", default="auto", choices=("auto", "memory", "disk", "none"))
    parser.add_argument("--memory_mib", type=int, default=64)
    parser.add_argument("--dcgan", action="store_true", help="the share of waiting alone, at the first of the sizes")
    parser.add_argument("--where", help="a folder on the disk to measure; else the one for temporary files")
    parser.add_argument("--work", nargs=2, help=argparse.SUPPRESS)
    given = parser.parse_args()
    if given.work:
        job, *words = given.work[0].split()
        jobs = {"train": work, "wait": waiting, "open": opening, "read": reading}
        jobs[job](given.work[1], *words, *([] if words else [given.cache, given.memory_mib]))
        return 0
    sizes = [int(size) for size in given.sizes.split(",")]
    usual = "npz,zip" if given.memory else "tfrecord,tar" if given.shards else "folder,zip"
    usual = "parquet,tfrecord,tfds,tar" if given.workers else usual
    usual = "parquet,tfrecord,tar" if given.stream is not None else usual
    for kind in (given.kinds or usual).split(","):
        first = None
        for size in sizes[:1] if given.dcgan or given.memory or given.workers else sizes:
            folder = Path(tempfile.mkdtemp(dir=given.where))
            try:
                if given.memory:
                    copies_in_memory(folder, kind, size)
                elif given.workers:
                    measure_workers(folder, kind, size, [int(n) for n in given.workers.split(",")], given.stream)
                elif given.shards:
                    first = measure_shards(folder, kind, size, first)
                else:
                    first = measure(folder, kind, size, given, first)
            finally:
                shutil.rmtree(folder)
    return 0


def measure(folder: Path, kind: str, size: int, given, first: float | None) -> float:
    """Prints a line; returns the seconds that an image took."""
    path = write(folder, kind, size)
    options = [f"--cache={given.cache}", f"--memory_mib={given.memory_mib}"]
    job = "wait" if given.dcgan else "train"
    environment = os.environ | {"KGEN_CACHE_DIR": str(folder / "cache")}
    with served(path, given.stream) as (_, path):
        result, most, own = watched([sys.executable, __file__, *options, "--work", job, str(path)], environment)
    if given.dcgan:
        share = max(0.0, 1 - result["given"] / result["fed"])
        print(
            f"{kind:6} {size:9,} images  DCGAN {SIDE}x{SIDE}: {result['fed'] * 1000:.0f} ms per step of {DCGAN_BATCH}, "
            f"{result['given'] * 1000:.0f} ms with the batch at hand: {share:.1%} of the time waiting for data; the "
            f"pipeline alone gives {result['alone']:,.0f} images/s; {most:,.0f} MiB resident",
            flush=True,
        )
        return 0.0
    each = (result["open"] + result["epoch"]) / size
    growth = f"{each / first:.2f} of the smallest's" if first else "smallest"
    print(
        f"{kind:6} {size:9,} images  opened and decoded {result['open']:.1f} s, epoch {result['epoch']:.1f} s, "
        f"{1e6 * each:.0f} us per image ({growth}); {most:,.0f} MiB resident at most, {own:,.0f} MiB without mapped "
        f"files; {result['notes']}",
        flush=True,
    )
    return first or each


if __name__ == "__main__":
    sys.exit(main())
