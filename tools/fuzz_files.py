"""Reads thousands of damaged files: each must be read, or refused with a message, and nothing else may happen.

    python tools/fuzz_files.py [--count 2000] [--seed 0] [--kinds png,npz,weights]

Images, .mat, .npz, IDX, zip and tar files go through `kgen.data.load` and one epoch of batches; the files of a small
run go through `Run.open`, `Run.metrics`, `load_model`, kgen-report, kgen-sample and --resume. Every damage is a
function of (seed, kind, number): a case that fails is repeated by naming them. tests/data/test_fuzz_files.py runs some.
"""

import argparse
import contextlib
import io
import itertools
import os
import shutil
import signal
import sys
import tarfile
import tempfile
import time
import traceback
import zipfile
from collections import Counter
from pathlib import Path

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
os.environ.setdefault("CUDA_VISIBLE_DEVICES", "-1")

import numpy as np
from file_damage import damage, watched

INPUTS = ("png", "jpg", "mat", "mat73", "npz", "zip", "tar", "tar.gz", "idx")
RUN_FILES = {
    "config": "config.json", "metrics": "metrics.jsonl", "weights": "checkpoints/best.npz",
    "step_npz": "checkpoints/step-*.npz",
}  # fmt: skip
KINDS = (*INPUTS, *RUN_FILES)
PICTURES = 10
"""Damaged pictures in one folder."""
SECONDS = 30
"""After which a case counts as one that hangs."""
CACHES = ("memory", "none", "disk")


# What is read -------------------------------------------------------------------------------------------------------


class Bench:
    """Whole files to damage, and what reads them.

    Args:
        root: a folder of its own.
    """

    def __init__(self, root: Path):
        self.root = root
        (root / "whole").mkdir(parents=True)
        self.whole = {kind: _make(kind, root / "whole") for kind in INPUTS}
        self.run = None

    def trained(self) -> Path:
        """A run of two epochs."""
        if self.run is None:
            from kgen.config import RunConfig, override
            from kgen.train import train

            settings = {
                "model": "vae", "data.dataset": str(self.whole["npz"]), "train.epochs": 2, "train.batch_size": 4,
                "train.jit_compile": False, "model_args.hidden": [4], "model_args.latent_dim": 2,
                "train.checkpoint_steps": 2,
            }  # fmt: skip
            with _silent():
                self.run = train(override(RunConfig(), settings), run_dir=str(self.root / "run")).path
        return self.run

    def case(self, kind: str, number: int, seed: int) -> str:
        """Damages one file and reads it.

        Returns:
            "read" or "refused".

        Raises:
            AssertionError: anything else happened.
        """
        generator = np.random.default_rng([seed, KINDS.index(kind), number])
        folder = self.root / "case"
        shutil.rmtree(folder, ignore_errors=True)
        folder.mkdir()
        if kind in INPUTS:
            path = self.prepared_input(kind, folder, generator)
            return self.guarded(lambda: read_input(path, CACHES[number % len(CACHES)]))
        path = folder / "run"
        shutil.copytree(self.trained(), path)
        file = sorted(path.glob(RUN_FILES[kind]))[-1]
        file.write_bytes(damage(kind, file.read_bytes(), generator))
        steps = READERS[kind]
        return self.guarded(lambda: steps[number % len(steps)](path))

    def prepared_input(self, kind: str, folder: Path, generator: np.random.Generator) -> Path:
        """The damaged file, pictures in a folder beside a whole one."""
        content = damage(kind, self.whole[kind].read_bytes(), generator)
        if kind not in ("png", "jpg"):
            names = {"mat73": "set.mat", "idx": "train-images-idx3-ubyte"}
            path = folder / names.get(kind, f"set.{kind}")
            path.write_bytes(content)
            return path
        (folder / "set").mkdir()
        for place in range(PICTURES):
            (folder / "set" / f"{place}.{kind}").write_bytes(content)
            content = damage(kind, self.whole[kind].read_bytes(), generator)
        shutil.copy(self.whole[kind], folder / "set" / f"b.{kind}")
        return folder / "set"

    def guarded(self, read) -> str:
        """Calls `read`; it may raise only kgen's own errors with a message, and nothing outside may change."""
        from kgen.errors import ExportFailed, TrainingFailed, UserError

        def late(*_):
            raise TimeoutError(f"took more than {SECONDS} seconds")

        before = signal.signal(signal.SIGALRM, late)
        signal.alarm(SECONDS)
        try:
            with watched(self.root) as events, _silent():
                try:
                    read()
                    outcome = "read"
                except (UserError, TrainingFailed, ExportFailed) as error:
                    assert str(error).strip(), "an error without words"
                    outcome = "refused"
            assert not events, events
            return outcome
        finally:
            signal.alarm(0)
            signal.signal(signal.SIGALRM, before)


@contextlib.contextmanager
def _silent():
    with contextlib.redirect_stdout(io.StringIO()), contextlib.redirect_stderr(io.StringIO()):
        yield


def read_input(path: Path, cache: str):
    """`kgen.data.load`, and an epoch of every split."""
    from kgen.config import DataConfig
    from kgen.data import load

    dataset = load(DataConfig(str(path), image_size=(8, 8), cache=cache))
    for split in dataset.splits:
        for images, _ in dataset.batches(split, batch_size=2):
            assert images.shape[1:3] == (8, 8)


def _opened(path: Path):
    from kgen.run import Run

    run = Run.open(path)
    run.metrics()
    run.checkpoint_state()


def _loaded(path: Path):
    from kgen.run import Run

    Run.open(path).load_model("best")


def _command(main, *argv: str):
    from kgen.errors import UserError

    err = io.StringIO()
    with contextlib.redirect_stderr(err):
        code = main(argv)
    assert code in (0, 1, 2), code
    if code:
        raise UserError(err.getvalue())


def _reported(path: Path):
    from kgen.cli import report

    _command(report.main, str(path))


def _sampled(path: Path):
    from kgen.cli import sample

    _command(sample.main, str(path), "--count", "2", "--out", str(path / "samples.png"))


def _start_found(path: Path):
    from kgen.run import Run
    from kgen.train import checkpointing

    assert checkpointing.latest_checkpoint(Run.open(path)) is not None  # the one before is whole


def _resumed(path: Path):
    from kgen.train import resume

    resume(path, {"train.epochs": 3})


READERS = {
    "config": (_opened, _reported, _sampled, _opened, _loaded, _opened, _resumed, _opened),
    "metrics": (_opened, _reported, _opened, _reported, _resumed),
    "weights": (_loaded, _opened, _loaded, _reported, _loaded, _sampled, _resumed),
    "step_npz": (_start_found, _resumed),
}
SHARES = {"png": 0.2, "jpg": 0.2, "weights": 0.7, "config": 0.7, "step_npz": 0.3}
"""Of cases, for kinds that take long to read."""


def _make(kind: str, folder: Path) -> Path:
    """A small whole file of a kind."""
    from PIL import Image

    pixels = np.random.default_rng(0).integers(0, 256, (16, 8, 8, 3), np.uint8)
    pixels[:, :4] //= 4
    path = folder / (f"whole-{kind}.mat" if kind.startswith("mat") else f"whole.{kind}")
    if kind in ("png", "jpg"):
        Image.fromarray(pixels[0]).save(path)
    elif kind == "npz":
        np.savez(path, images=pixels, labels=np.arange(16) % 2)
    elif kind == "mat":
        import scipy.io

        scipy.io.savemat(path, {"X": pixels.transpose(1, 2, 3, 0), "y": np.arange(16) % 2})
    elif kind == "mat73":
        import h5py

        with h5py.File(path, "w", userblock_size=512) as file:
            file.create_dataset("X", data=pixels.transpose(0, 3, 2, 1), chunks=(4, 3, 8, 8), compression="gzip")
            file.create_dataset("y", data=np.arange(16)[None] % 2)
        with open(path, "r+b") as file:
            file.write(b"MATLAB 7.3 MAT-file".ljust(124) + b"\x00\x02IM")
    elif kind == "idx":
        path.write_bytes(bytes((0, 0, 8, 3, *(0, 0, 0, 16, 0, 0, 0, 8, 0, 0, 0, 8))) + pixels[..., 0].tobytes())
    else:
        with _archive(path, kind) as add:
            for number, image in enumerate(pixels[:4]):
                stream = io.BytesIO()
                Image.fromarray(image).save(stream, "PNG")
                add(f"class{number % 2}/{number}.png", stream.getvalue())
    return path


@contextlib.contextmanager
def _archive(path: Path, kind: str):
    """Writes a zip or a tar: yields a function of a name and a content."""
    if kind == "zip":
        with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as file:
            yield file.writestr
        return

    def add(name: str, content: bytes):
        member = tarfile.TarInfo(name)
        member.size = len(content)
        file.addfile(member, io.BytesIO(content))

    with tarfile.open(path, "w:gz" if kind.endswith("gz") else "w") as file:
        yield add


def cases(count: int, kinds=KINDS):
    """(kind, number), `count` of them, spread over the kinds by SHARES."""
    total = sum(SHARES.get(kind, 1) for kind in kinds)
    parts = {kind: round(count * SHARES.get(kind, 1) / total) for kind in kinds}
    parts[kinds[0]] += count - sum(parts.values())
    rounds = itertools.zip_longest(*([(kind, n) for n in range(parts[kind])] for kind in kinds))
    return [case for group in rounds for case in group if case]


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--count", type=int, default=2000)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--kinds", default=",".join(KINDS))
    parser.add_argument("--case", help="KIND:NUMBER, one case with its traceback")
    args = parser.parse_args()
    import psutil

    from kgen import imports

    imports.for_a_command()
    outcomes, failures, started = Counter(), Counter(), time.monotonic()
    kinds = tuple(args.kinds.split(","))
    todo = [(args.case.split(":")[0], int(args.case.split(":")[1]))] if args.case else cases(args.count, kinds)
    with tempfile.TemporaryDirectory() as folder:
        os.environ["KGEN_CACHE_DIR"] = str(Path(folder) / "bench" / "cache")
        bench = Bench(Path(folder) / "bench")
        read_input(bench.whole["zip"], CACHES[0])  # imports the libraries, some of which write files and start programs
        for kind, number in todo:
            try:
                outcomes[kind, bench.case(kind, number, args.seed)] += 1
            except Exception as error:
                words = f"{type(error).__name__}: {str(error)[:200]}"
                outcomes[kind, "FAILED"] += 1
                failures[kind, words] += 1
                if args.case:
                    traceback.print_exc()
                elif failures[kind, words] == 1:
                    print(f"--case {kind}:{number} --seed {args.seed}: {words}", flush=True)
    for kind in kinds:
        found = {words: count for (k, words), count in outcomes.items() if k == kind}
        print(f"{kind:10} {found}")
    failed = sum(failures.values())
    count = len(todo) + (PICTURES - 1) * sum(kind in ("png", "jpg") for kind, _ in todo)
    resident = psutil.Process().memory_info().rss / 2**20
    seconds = time.monotonic() - started
    print(f"{count} files in {len(todo)} cases, {failed} failed; {seconds:.0f} s, {resident:.0f} MiB resident")
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
