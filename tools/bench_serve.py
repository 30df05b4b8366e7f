"""Measures kgen-serve on an export, side by side in one run: python tools/bench_serve.py exports/NAME

1. `decode` of the .tflite files, float32 and (of an export with --quantize dynamic) 8 bits: milliseconds per image on
   one thread, bytes.
2. The first request after the start beside the median.
3. CPU-seconds of the server per request, with --clients that ask for one PNG at a time: batched, and one call each.
4. 64 clients for --seconds, a new version in between: requests dropped, and the server's memory.
"""

import argparse
import asyncio
import json
import re
import shutil
import signal
import socket
import statistics
import subprocess
import sys
import tempfile
import time
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import psutil
import requests
import tensorflow as tf
from ending import exit_code_of

SERVE = "from kgen.cli.serve import main; import sys; sys.exit(main())"


@contextmanager
def server(root: Path, *flags: str):
    """(process, port) of a kgen-serve over a folder."""
    command = [sys.executable, "-c", SERVE, str(root), "--port", "0", "--grpc_port", "0", *flags]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True) as process:
        try:
            for line in process.stdout:
                if found := re.search(r"REST http://127.0.0.1:(\d+)", line):
                    yield psutil.Process(process.pid), int(found[1])
                    break
        finally:
            process.send_signal(signal.SIGTERM)
            process.wait()


def request(name: str, manifest: dict, seed: int) -> bytes:
    """A POST that asks for one PNG."""
    inputs = {"seed": [seed], "temperature": [1.0]} | ({"label": [seed % 10]} if manifest["conditional"] else {})
    body = json.dumps({"signature_name": "generate_png", "inputs": inputs}).encode()
    head = f"POST /v1/models/{name}:predict HTTP/1.1\r\nHost: localhost\r\nContent-Length: {len(body)}\r\n\r\n"
    return head.encode() + body


async def client(port: int, sends, wrong: list[bytes]):
    """Sends requests one after the other on one connection; collects the answers that are no PNG."""
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    for sent in sends:
        writer.write(sent)
        head = await reader.readuntil(b"\r\n\r\n")
        body = await reader.readexactly(int(re.search(rb"content-length: (\d+)", head, re.IGNORECASE)[1]))
        if not head.startswith(b"HTTP/1.1 200") or b"iVBOR" not in body:
            wrong.append(body)
    writer.close()


def load(port: int, name: str, manifest: dict, clients: int, count: int) -> list[bytes]:
    """`count` requests by so many clients at once; returns what was wrong."""
    wrong: list[bytes] = []

    async def everyone():
        shares = [[request(name, manifest, seed) for seed in range(i, count, clients)] for i in range(clients)]
        await asyncio.gather(*(client(port, share, wrong) for share in shares))

    asyncio.run(everyone())
    return wrong


def cpu(process: psutil.Process) -> float:
    times = process.cpu_times()
    return times.user + times.system


def joined_and_alone(root: Path, name: str, manifest: dict, clients: int, count: int, turns: int):
    """Part 3, in turns."""
    spent: dict[str, list[float]] = {"joined": [], "alone": []}
    with server(root) as (joined, joined_port), server(root, "--max_batch_size", "1") as (alone, alone_port):
        for port in (joined_port, alone_port):
            load(port, name, manifest, clients, 200)
        for _ in range(turns):
            for key, process, port in (("joined", joined, joined_port), ("alone", alone, alone_port)):
                before, wrong = cpu(process), load(port, name, manifest, clients, count)
                spent[key].append((cpu(process) - before) / count)
                assert not wrong, wrong[0]
    together, apart = (statistics.median(spent[key]) for key in ("joined", "alone"))
    print(
        f"{clients} clients, {2 * turns * count} requests, no error: {1000 * together:.2f} CPU-ms per request joined, "
        f"{1000 * apart:.2f} alone: {apart / together:.2f} times fewer"
    )


def first_and_median(root: Path, name: str, manifest: dict):
    """Part 2; by a bare socket, so that the client's own first time is not counted."""
    with server(root) as (_process, port):
        seconds = []
        for seed in range(200):
            started = time.perf_counter()
            with socket.create_connection(("127.0.0.1", port)) as connection:
                connection.sendall(request(name, manifest, seed))
                answer = connection.recv(2**16)
                while not answer.endswith(b"}"):
                    answer += connection.recv(2**16)
            seconds.append(time.perf_counter() - started)
            assert answer.startswith(b"HTTP/1.1 200") and b"iVBOR" in answer, answer
    median = statistics.median(seconds)
    print(f"first request {1000 * seconds[0]:.1f} ms, median {1000 * median:.1f} ms: {seconds[0] / median:.1f} times")


def version_change(root: Path, name: str, manifest: dict, seconds: float):
    """Part 4; leaves a second version."""
    with server(root) as (process, port):
        load(port, name, manifest, 64, 2000)
        memory, wrong, asked = [process.memory_info().rss], [], []

        def until(end: float, first: int):
            for seed in range(first, 2**31, 64):
                if time.monotonic() > end:
                    return
                asked.append(seed)
                yield request(name, manifest, seed)

        async def change():
            await asyncio.sleep(seconds / 2)
            memory.append(process.memory_info().rss)
            shutil.copytree(root / name / "1", root / name / ".part-2")
            (root / name / ".part-2").rename(root / name / "2")

        async def everyone():
            end = time.monotonic() + seconds
            await asyncio.gather(change(), *(client(port, until(end, i), wrong) for i in range(64)))

        asyncio.run(everyone())
        memory.append(process.memory_info().rss)
        states = requests.get(f"http://127.0.0.1:{port}/v1/models/{name}", timeout=10).json()["model_version_status"]
    versions = ", ".join(f"version {state['version']} {state['state']}" for state in states)
    print(
        f"64 clients for {seconds:.0f} seconds, {len(asked)} requests, at the end {versions}: {len(wrong)} failed; "
        f"memory at the start, before the change and at the end: {', '.join(f'{m / 2**20:.0f}' for m in memory)} MiB"
    )


def tflite(folder: Path):
    """Part 1; bytes are those of a file with `decode` alone."""
    from kgen.export.golden import Golden
    from kgen.export.signatures import ExportSignature
    from kgen.export.tflite import convert
    from kgen.sampling.exported import TFLiteRuntime

    golden = Golden.load(folder)
    row = {"z": golden.z[:1]} | ({} if golden.label is None else {"label": golden.label[:1]})
    loaded = tf.saved_model.load(str(folder))  # holds the variables
    inputs = tuple(tf.TensorSpec(value.shape, value.dtype, name=name) for name, value in row.items())
    decode = ExportSignature(lambda *values: loaded.signatures["decode"](**dict(zip(row, values, strict=True))), inputs)
    files = {"model.tflite": folder / "model.tflite", "decode-dynamic.tflite": folder / "decode-dynamic.tflite"}
    runtimes = {name: TFLiteRuntime(file) for name, file in files.items() if file.is_file()}
    seconds: dict[str, list[float]] = {name: [] for name in runtimes}
    for _ in range(300):
        for name, runtime in runtimes.items():
            started = time.perf_counter()
            runtime.run("decode", **row)
            seconds[name].append(time.perf_counter() - started)
    float32 = len(convert({"decode": decode}))
    for name, taken in seconds.items():
        size = float32 if name == "model.tflite" else files[name].stat().st_size
        print(f"{name}: decode {1000 * np.median(taken):.3f} ms per image, alone {size:,} bytes ({size / float32:.2f})")


def version_of(export: Path) -> Path:
    """The latest version of an export."""
    from kgen.errors import UserError
    from kgen.sampling import latest_version

    if (folder := latest_version(export)) is None:
        raise UserError(f"{export} is no export of kgen-export; name one, exports/NAME")
    return folder


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("export", type=Path, help="exports/NAME")
    parser.add_argument("--clients", type=int, default=16)
    parser.add_argument("--requests", type=int, default=2000, help="per turn")
    parser.add_argument("--turns", type=int, default=5)
    parser.add_argument("--seconds", type=float, default=60.0)
    args = parser.parse_args()
    folder = version_of(args.export)
    manifest = json.loads((folder / "manifest.json").read_text(encoding="utf-8"))
    tflite(folder)
    with tempfile.TemporaryDirectory() as base:
        root, name = Path(base), args.export.name
        shutil.copytree(folder, root / name / "1")
        first_and_median(root, name, manifest)
        joined_and_alone(root, name, manifest, args.clients, args.requests, args.turns)
        version_change(root, name, manifest, args.seconds)


if __name__ == "__main__":
    sys.exit(exit_code_of(main))
