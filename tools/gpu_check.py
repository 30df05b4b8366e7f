"""Checks kgen on this machine's GPU in some minutes; without a GPU, checks itself on the CPU in small sizes.

    python tools/gpu_check.py [--minutes 5] [--only a,c] [--to FOLDER]

a. parity: 20 SGD steps of every preset on the GPU against the CPU, TF32 off; then by XLA, TF32 and mixed precision.
b. mirrored: the same on all GPUs, or on two halves of the only one, against one device.
c. speed: images per second by XLA, steps per call and precision; beside PyTorch, torch.compile and JAX where they are.
d. resuming: trained twice, and killed and resumed, with --deterministic: the same bits.
e. recipe: a DCGAN trained for the time that is left; its samples, FID and run are kept.
f. inference: a SavedModel at batches of 1, 64 and 1024, and kgen-serve with 64 clients.

a, b and d run side by side, then c, f and e, each within its share of the minutes. Whatever ends one measurement (an
abort, its time limit) is told in its line, and the next one runs in a new process. Into --to (or $OUT, or gpu_check/)
go results.json after each measurement, results.md, logs.txt, and what e keeps; the last lines are a short table. It
needs kgen's own dependencies alone: the images are made here. Exit code 1: something failed.

Of what part e keeps: tar xf dcgan-run.tar.gz && kgen-export dcgan-run makes and verifies its export, on any machine.
"""

import argparse
import contextlib
import datetime
import json
import os
import platform
import signal
import subprocess
import sys
import sysconfig
import tempfile
import threading
import time
from dataclasses import dataclass
from pathlib import Path

HERE = Path(__file__).resolve().parent
MARK = "@@"
TITLES = {
    "a": "as on the CPU", "b": "mirrored", "c": "speed", "d": "exact resume", "e": "a recipe", "f": "inference",
}  # fmt: skip
WAVES = (("abd", 0.30), ("c", 0.42), ("f", 0.10), ("e", 0.18))
"""Parts that run side by side, and their share of the time; what one leaves is the next ones'."""
LIMITS = {"a": 60, "b": 60, "c": 45, "d": 100, "e": 3600, "f": 40}
"""Seconds that one measurement of a part may take."""
OUT_OF_TIME = "left out: no time"
ENDING = 5
"""Seconds that are kept for writing the results."""


@dataclass(frozen=True)
class Work:
    """Measurements of one process, one after the other.

    Attributes:
        part: a letter.
        kind: what the process imports first: "kgen", or "peers" for nothing.
        names: of the measurements; see `gpu_parts`.
        gpu: whether they run on the GPU.
    """

    part: str
    kind: str
    names: tuple[str, ...]
    gpu: bool = True


# What is measured -----------------------------------------------------------------------------------------------------


PRESETS = (
    "dcgan", "vae", "wgan_gp", "conv_vae", "pixel_vae", "cvae", "gan", "cdcgan", "vae_gan", "wgan", "conv_cvae", "cgan",
    "wcgan_gp", "pixel_cvae",
)  # fmt: skip
"""Every preset, those that differ most first."""
OTHERWISE = ("XLA", "TF32", "mixed_float16", "mixed_bfloat16")
JOBS = ("dcgan", "vae", "conv_vae", "wgan_gp", "dcgan128")
BEST = "kgen/XLA/32/TF32/pipeline"
TRIED_ON_CPU = ("plain/1/float32/pipeline", "XLA-loop/8/float32/resident")


def works_of(gpu: bool) -> dict[str, list[Work]]:
    """Part -> its processes, the most valuable first: those of c one after the other, those of others side by side."""
    if not gpu:
        return {
            "a": [Work("a", "kgen", ("vae XLA", "dcgan"), False)],
            "b": [Work("b", "kgen", ("vae",), False)],
            "c": [Work("c", "kgen", tuple(f"vae/kgen/{how}" for how in TRIED_ON_CPU), False)],
            "d": [Work("d", "kgen", ("vae",), False)],
            "e": [Work("e", "kgen", ("dcgan",), False)],
            "f": [Work("f", "kgen", ("cvae", "serve"), False)],
        }  # fmt: skip
    lanes = [PRESETS[i::3] for i in range(3)]
    tested = [(f"{name} {how}" for name in lane[:2] for how in OTHERWISE) for lane in lanes]
    return {
        "a": [
            Work("a", "kgen", ("trial of XLA",)),
            *(Work("a", "kgen", (*lane, *more)) for lane, more in zip(lanes, tested, strict=True)),
        ],
        "b": [Work("b", "kgen", ("vae", "dcgan", "wgan_gp", "conv_vae"))],
        "c": speeds(),
        "d": [Work("d", "kgen", ("vae", "wgan_gp XLA", "vae XLA"))],
        "e": [Work("e", "kgen", ("dcgan",))],
        "f": [Work("f", "kgen", ("serve", "dcgan", "cvae"))],
    }


def speeds() -> list[Work]:
    """First what the bars ask for; then what the defaults are chosen by; then the rest."""

    def kgen(*names: str) -> Work:
        return Work("c", "kgen", names)

    def peers(*names: str) -> Work:
        return Work("c", "peers", names)

    compiled, eager = "torch.compile", "PyTorch eager"
    grid = [
        f"{job}/kgen/{how}/{precision}/pipeline"
        for precision in ("TF32", "mixed_bfloat16", "float32")
        for job in JOBS
        for how in ("XLA/32", "plain/32", "XLA-loop/32", "XLA/1", "XLA/8", "plain/1", "plain/8")
    ]
    first = [f"dcgan/{BEST}", "dcgan/kgen/plain/32/TF32/pipeline", f"vae/{BEST}", "vae/kgen/XLA-loop/32/TF32/pipeline"]
    feeds = [f"{job}/kgen/XLA/32/TF32/{feed}" for job in ("dcgan", "vae") for feed in ("fixed", "resident")]
    second = [f"{job}/{BEST}" for job in JOBS[2:]]
    return [
        kgen(*first),
        peers(f"dcgan/{compiled}/TF32"),
        Work("c", "kgen", ("vae/kgen on the CPU/XLA-loop/32/float32/pipeline",), False),
        peers("dcgan/JAX/TF32", "vae/JAX/TF32"),
        kgen(*feeds, *second),
        peers(f"vae/{compiled}/TF32", f"dcgan/{eager}/TF32", f"vae/{eager}/TF32"),
        kgen(*(name for name in grid if name not in (*first, *second))),
        peers(*(f"{job}/{name}/TF32" for job in JOBS[2:] for name in (compiled, eager))),
        peers(*(f"{job}/JAX/TF32" for job in JOBS[2:])),
        peers(*(f"{job}/{compiled}/{precision}" for precision in ("mixed_bfloat16", "float32") for job in JOBS[:2])),
    ]


# Processes ------------------------------------------------------------------------------------------------------------


class Check:
    """All measurements: what they found so far, and the processes that wait for one.

    Args:
        folder: where files go.
        until: when everything must be done, by the monotonic clock.
        script: measures.
    """

    def __init__(self, folder: Path, until: float, script: Path = HERE / "gpu_parts.py"):
        self.folder, self.until, self.script = folder.absolute(), until, script.absolute()
        self.about: dict = {}
        self.records: list[dict] = []
        self.lock = threading.Lock()
        self.waiting: list[subprocess.Popen] = []
        self.logs, self.room = (tempfile.TemporaryDirectory(prefix="gpu_check-") for _ in range(2))
        for library in found_libdevice():
            (Path(self.room.name) / library.name).symlink_to(library)

    def prepare(self, count: int):
        """Starts processes that import TensorFlow while others measure."""
        self.waiting += [self.start("kgen") for _ in range(count)]

    def start(self, kind: str) -> subprocess.Popen:
        environment = os.environ | {
            "PYTHONPATH": os.pathsep.join([*filter(None, [os.environ.get("PYTHONPATH")]), str(HERE.parent)]),
            "TF_CPP_MIN_LOG_LEVEL": os.environ.get("TF_CPP_MIN_LOG_LEVEL", "1"),
            "TF_FORCE_GPU_ALLOW_GROWTH": "true",  # several processes share the GPU
            "XLA_PYTHON_CLIENT_PREALLOCATE": "false",
            "KERAS_BACKEND": "tensorflow",
        }
        log, path = tempfile.mkstemp(".log", f"{kind}-", self.logs.name)
        command = [sys.executable, "-u", "-X", "faulthandler", str(self.script), kind]
        pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE, "stderr": log, "text": True}
        process = subprocess.Popen(command, **pipes, env=environment, cwd=self.room.name, start_new_session=True)
        os.close(log)
        process.log = Path(path)
        return process

    def take(self, kind: str) -> subprocess.Popen:
        """A process that has imported what it needs, or is about to."""
        with self.lock:
            return self.waiting.pop(0) if kind == "kgen" and self.waiting else self.start(kind)

    def run(self, work: Work, until: float):
        """Runs all measurements of a work that there is time for."""
        left = list(work.names)
        while left and time.monotonic() < until:
            left = left[self.measure(work, left, until) :]
        for name in left:
            self.add({"part": work.part, "name": name, "ok": None, "text": OUT_OF_TIME})

    def measure(self, work: Work, names: list[str], until: float) -> int:
        """Runs measurements in one process until it ends; returns how many came to an end."""
        process, done, limit = self.take(work.kind), 0, LIMITS.get(work.part, 60)
        group = {"part": work.part, "names": names, "gpu": work.gpu, "folder": str(self.folder)}
        group["seconds"] = max(1.0, until - time.monotonic())
        with contextlib.suppress(BrokenPipeError):
            process.stdin.write(json.dumps(group) + "\n")
            process.stdin.close()
        stopped = []

        def stop(reason: str):
            stopped.append(reason)
            with contextlib.suppress(ProcessLookupError):
                os.killpg(process.pid, signal.SIGKILL)  # with the trainings and servers that it started

        def watch() -> threading.Timer:
            left = until - time.monotonic()
            reason = f"no end in {limit} s" if left > limit else OUT_OF_TIME
            timer = threading.Timer(max(0.1, min(limit, left)), stop, [reason])
            timer.daemon = True
            timer.start()
            return timer

        timer = watch()
        for line in process.stdout:
            if line.startswith(MARK):
                timer.cancel()
                self.add(json.loads(line[len(MARK) :]))
                done += 1
                timer = watch()
        code = process.wait()
        timer.cancel()
        if code and done < len(names):
            how = stopped[0] if stopped else f"signal {-code}" if code < 0 else f"exit code {code}"
            result = {"ok": False, "text": f"FAILED: the process ended in it ({how}): {last_words(process.log)}"}
            if how == OUT_OF_TIME:
                result = {"ok": None, "text": how}
            self.add({"part": work.part, "name": names[done], **result})
            done += 1
        return done

    def add(self, record: dict):
        with self.lock:
            if record["part"] == "about":
                self.about = record
            else:
                self.records.append(record)
            print(line_of(record), flush=True)
            write(self.folder / "results.json", json.dumps({"about": self.about, "records": self.records}, indent=1))

    def close(self):
        for process in self.waiting:
            process.kill()
            process.wait()
        logs = [f"{file.name}\n{file.read_text(errors='replace')}" for file in sorted(Path(self.logs.name).iterdir())]
        write(self.folder / "logs.txt", "\n".join(logs))
        self.logs.cleanup()
        self.room.cleanup()


def found_libdevice() -> list[Path]:
    """NVIDIA's libdevice.10.bc of some package of Python, which XLA needs and looks for in its working folder at last.

    Where the CUDA libraries are those of other packages (PyTorch's, JAX's), XLA does not find it by itself.
    """
    site = Path(sysconfig.get_path("purelib"))
    packages = ("nvidia/*/nvvm/libdevice", "nvidia/*/*/nvvm/libdevice", "triton/backends/nvidia/lib")
    return [path for folder in packages for path in sorted(site.glob(f"{folder}/libdevice.10.bc"))][:1]


def last_words(log: Path) -> str:
    """The end of what a process wrote to standard error, in one line."""
    lines = [line.strip() for line in log.read_text(errors="replace").splitlines() if line.strip()]
    telling = ("Fatal", "Check failed", "rror", "ERROR", "ptxas")
    said = [line for line in lines if any(word in line for word in telling)]
    return " | ".join((said or lines)[-3:])[:400]


# What is told ---------------------------------------------------------------------------------------------------------


def line_of(record: dict) -> str:
    mark = {True: "ok", False: "FAILED", None: "-"}[record.get("ok", True)]
    return f"{record['part']:5} {record['name']:42} {mark:6} {record.get('seconds', 0):6.1f} s  {record['text']}"


def table(records: list[dict]) -> list[str]:
    """The short table: a line per part."""
    lines = []
    for part, title in TITLES.items():
        own = [record for record in records if record["part"] == part]
        passed, failed = (sum(record.get("ok") is value for record in own) for value in (True, False))
        left = len(own) - passed - failed
        if own:
            counts = f"{passed:3} passed {failed:3} failed {left:3} left out"
            lines.append(f"{part} {title:14} {counts}  {best_of(part, own)}")
    return lines


def best_of(part: str, own: list[dict]) -> str:
    """The most telling number of a part."""
    if part == "c":
        best: dict[str, float] = {}
        for record in own:
            key = " ".join(record["name"].split("/")[:2])
            best[key] = max(best.get(key, 0.0), record.get("images_per_second", 0.0))
        return "; ".join(f"{name} {value:,.0f}/s" for name, value in [*best.items()][:6])
    worst = [r for r in own if "weights" in r and not r.get("told")]
    if worst:
        return f"weights within {max(r['weights'] for r in worst):.1e}"
    return next((r["text"] for r in own if r.get("ok")), "")[:80]


def page(about: dict, records: list[dict], command: str) -> str:
    """Markdown for tools/README.md."""
    versions = ", ".join(f"{name} {value}" for name, value in about.get("versions", {}).items() if value)
    where = f"{about.get('text', 'the machine is not known')}; {about.get('cores', '?')} CPU cores"
    lines = [f"`{command}`, {datetime.date.today()}: {where}; Python {platform.python_version()}, {versions}.", ""]
    for part, title in TITLES.items():
        own = [record for record in records if record["part"] == part]
        if not own:
            continue
        lines += [f"{part}. {title}:", "", "| what | | result |", "|---|---|---|"]
        for r in own:
            mark = {True: "yes", False: "**no**", None: ""}[r.get("ok", True)]
            lines.append(f"| {r['name']} | {mark} | {r['text'].replace('|', '/')} |")
        lines.append("")
    return "\n".join(lines)


def write(path: Path, text: str):
    aside = path.with_suffix(".part")
    aside.write_text(text, encoding="utf-8")
    aside.replace(path)


# The whole ------------------------------------------------------------------------------------------------------------


def main(argv: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--minutes", type=float, default=5.0)
    parser.add_argument("--only", default="".join(TITLES), help="parts, for example a,c")
    parser.add_argument("--to", type=Path, default=Path(os.environ.get("OUT") or "gpu_check"))
    args = parser.parse_args(argv)
    parts = [part for part in TITLES if part in args.only.replace(",", "")]
    args.to.mkdir(parents=True, exist_ok=True)
    check = Check(args.to, time.monotonic() + 60 * args.minutes - ENDING)
    try:
        run(check, parts)
    finally:
        check.close()
    command = f"python tools/gpu_check.py --minutes {args.minutes:g}"
    command += f" --only {args.only}" if len(parts) < len(TITLES) else ""
    write(args.to / "results.md", page(check.about, check.records, command))
    print("\n".join([f"gpu_check: {check.about.get('text', '')}", *table(check.records)]))
    return int(any(record.get("ok") is False for record in check.records))


def run(check: Check, parts: list[str]):
    """Runs the parts, wave after wave."""
    check.prepare(min(7, 1 + len(os.sched_getaffinity(0)) // 2))
    check.run(Work("about", "kgen", ("machine",)), time.monotonic() + 60)
    works = works_of(bool(check.about.get("gpu")))
    waves = [([part for part in wave if part in parts], share) for wave, share in WAVES]
    waves = [(wave, share) for wave, share in waves if wave]
    for i, (wave, share) in enumerate(waves):
        now = time.monotonic()
        until = now + (check.until - now) * share / sum(share for _, share in waves[i:])
        in_turn = len(wave) == 1 and wave[0] == "c"
        groups = [[work] for part in wave for work in works[part]] if not in_turn else [works["c"]]
        threads = [threading.Thread(target=lambda g=group, u=until: [check.run(w, u) for w in g]) for group in groups]
        for thread in threads:
            thread.start()
        if check.about.get("gpu"):
            check.prepare(2)  # for the next wave
        for thread in threads:
            thread.join()


if __name__ == "__main__":
    sys.exit(main())
