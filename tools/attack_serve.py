"""Attacks a kgen-serve of its own on this machine, and measures how long others wait: python tools/attack_serve.py
exports/NAME

Each attack lasts --seconds. Meanwhile /healthz is asked every 50 ms and a prediction of one row every 100 ms, each on a
connection of its own from the same address as the attack. A line per attack: the longest wait of either, their errors,
and the CPU-seconds of the server. Loopback only; connections and bytes are bounded.
"""

import argparse
import asyncio
import contextlib
import gzip
import json
import multiprocessing
import shutil
import socket
import sys
import tempfile
import time
from pathlib import Path

import grpc
from ending import exit_code_of

MEBI = 2**20
LIMITS_MS = {"healthz": 200, "predict": 1000}


def head(name: str, length: int, *lines: str) -> bytes:
    extra = "".join(f"{line}\r\n" for line in lines)
    start = f"POST /v1/models/{name}:predict HTTP/1.1\r\nHost: localhost\r\nContent-Length: {length}\r\n"
    return f"{start}{extra}\r\n".encode()


def filled(before: bytes, unit: bytes, after: bytes, size: int = 15_000_000) -> bytes:
    return before + unit * ((size - len(before) - len(after)) // len(unit)) + after


def objects(first: bytes, count: int) -> bytes:
    return first + b",".join(b'"%x":1' % i for i in range(count)) + b"}}"


BODIES = {
    "15,000,000 quotes": lambda: b'"' * 15_000_000,
    "700,000 rows": lambda: filled(b'{"instances":[', b'{"seed":1,"label":1},', b'{"seed":1,"label":1}]}', 14_700_000),
    "empty lists": lambda: filled(b'{"instances":[', b"[],", b"[]]}"),
    "numbers": lambda: filled(b'{"inputs":{"seed":[', b"0,", b"0]}}"),
    "keys": lambda: objects(b'{"inputs":{', 1_200_000),
    "one long string": lambda: filled(b'{"signature_name":"', b"x", b'","instances":[1]}'),
    "brackets": lambda: b"[" * 15_000_000,
    "small, of empty lists": lambda: filled(b'{"instances":[', b"[],", b"[]]}", 16_000),
    "garbage": lambda: bytes(range(256)) * 60_000,
    "gzip of 64 MiB": lambda: gzip.compress(b"[" * (64 * MEBI)),
}
"""Requests whose work is in their body; each is answered, and sent again."""


def posted(name: str, kind: str) -> bytes:
    body = BODIES[kind]()
    return head(name, len(body), *(["Content-Encoding: gzip"] if "gzip" in kind else [])) + body


async def sending(port: int, data: bytes, end: float):
    """Sends it, reads what comes, on new connections until the end."""
    while time.monotonic() < end:
        with contextlib.suppress(OSError, asyncio.TimeoutError):
            reader, writer = await asyncio.open_connection("127.0.0.1", port)
            async with asyncio.timeout(max(0.1, end - time.monotonic())):
                writer.write(data)
                await writer.drain()
                await reader.read(4096)
            writer.close()
        await asyncio.sleep(0.001)


async def holding(port: int, start: bytes, drip: bytes, end: float):
    """Sends a start, then a drip each second, and reads nothing."""
    while time.monotonic() < end:
        with contextlib.suppress(OSError):
            reader, writer = await asyncio.open_connection("127.0.0.1", port)
            writer.write(start)
            while time.monotonic() < end and not reader.at_eof():
                await asyncio.sleep(1)
                writer.write(drip)
            writer.close()
        await asyncio.sleep(0.01)


async def calling(port: int, message: bytes, end: float):
    """A gRPC call of any bytes, again and again."""
    async with grpc.aio.insecure_channel(f"127.0.0.1:{port}") as channel:
        call = channel.unary_unary("/tensorflow.serving.PredictionService/Predict")
        while time.monotonic() < end:
            with contextlib.suppress(grpc.RpcError):
                await call(message, timeout=max(0.1, end - time.monotonic()))


def varint(number: int) -> bytes:
    found = b""
    while number > 127:
        found += bytes([number & 127 | 128])
        number >>= 7
    return found + bytes([number])


def many_inputs() -> bytes:
    names = (b"%x" % i for i in range(1_100_000))
    return b"".join(b"\x12" + varint(len(n) + 4) + b"\x0a" + varint(len(n)) + n + b"\x12\x00" for n in names)


def many_strings() -> bytes:
    tensor = b"\x08\x07" + b"\x42\x00" * 7_500_000  # empty ones
    value = b"\x0a\x01x\x12" + varint(len(tensor)) + tensor
    return b"\x12" + varint(len(value)) + value


MESSAGES = {"gRPC: 1,100,000 inputs": many_inputs, "gRPC: strings": many_strings}
HELD = {
    "silent": 300,
    "headers without a body": 300,
    "bodies that drip": 300,
    "headers that drip": 300,
    "answers that nobody reads": 32,
    "pipelined": 8,
}
"""Clients that send a start, and little more."""
ROWS, HEADER = "1024 images a request", "a header of 60 MB"
ATTACKS = (*BODIES, *MESSAGES, *HELD, ROWS, HEADER)


def one_client(kind: str, name: str, manifest: dict, port: int, grpc_port: int):
    """(clients, a function of the end that returns what one client does)."""
    if kind in BODIES:
        data = posted(name, kind)
        return 64 if "small" in kind else 4, lambda end: sending(port, data, end)
    if kind in MESSAGES:
        data = MESSAGES[kind]()
        return 3, lambda end: calling(grpc_port, data, end)
    if kind == HEADER:
        return 2, lambda end: sending(port, b"GET / HTTP/1.1\r\na: " + b"b" * 60_000_000, end)
    rows = {"seed": [1] * 1024, "temperature": [1.0] * 1024} | (
        {"label": [0] * 1024} if manifest["conditional"] else {}
    )
    signature = "generate_png" if kind == ROWS else "generate"  # what the others ask, and large answers
    large = json.dumps({"signature_name": signature, "inputs": rows}).encode()
    if kind == ROWS:
        return 8, lambda end: sending(port, head(name, len(large)) + large, end)
    start, drip = {
        "silent": (b"", b""),
        "headers without a body": (head(name, 1000), b""),
        "bodies that drip": (head(name, 1000) + b"{", b" "),
        "headers that drip": (b"GET / HTTP/1.1\r\n", b"a: b\r\n"),
        "answers that nobody reads": (head(name, len(large)) + large, b""),
        "pipelined": (b"GET /healthz HTTP/1.1\r\nHost: localhost\r\n\r\n" * 50_000, b""),
    }[kind]
    return HELD[kind], lambda end: holding(port, start, drip, end)


def attack(kind: str, name: str, manifest: dict, port: int, grpc_port: int, seconds: float):
    """In a process of its own."""
    clients, one = one_client(kind, name, manifest, port, grpc_port)

    async def everyone():
        end = time.monotonic() + seconds
        await asyncio.gather(*(one(end) for _ in range(clients)))

    asyncio.run(everyone())


def asked(port: int, data: bytes) -> tuple[float, bool]:
    """(milliseconds until the answer, whether it is 200)."""
    started = time.perf_counter()
    try:
        with socket.create_connection(("127.0.0.1", port), 30) as connection:
            connection.sendall(data)
            good = connection.recv(16).startswith(b"HTTP/1.1 200")
    except OSError:
        good = False
    return 1000 * (time.perf_counter() - started), good


def watched(process: multiprocessing.Process, port: int, data: dict[str, bytes]) -> dict[str, list]:
    """Asks until the process ends."""
    found = {"healthz": [], "predict": []}
    while process.is_alive():
        for kind in ("healthz", "predict", "healthz"):
            found[kind].append(asked(port, data[kind]))
            time.sleep(0.03)
    return found


def main():
    from bench_serve import cpu, request, server, version_of  # imports TensorFlow, which the attackers do without

    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("export", type=Path, help="exports/NAME")
    parser.add_argument("--seconds", type=float, default=5.0, help="of each attack")
    parser.add_argument("--only", help="the attacks whose name has this in it")
    args = parser.parse_args()
    folder = version_of(args.export)
    name, manifest = args.export.name, json.loads((folder / "manifest.json").read_text(encoding="utf-8"))
    get = b"GET /healthz HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n"
    data = {"healthz": get, "predict": request(name, manifest, 1)}
    spawn, beyond = multiprocessing.get_context("spawn"), []
    with tempfile.TemporaryDirectory() as base, socket.create_server(("127.0.0.1", 0)) as free:
        grpc_port = free.getsockname()[1]
        free.close()
        shutil.copytree(folder, Path(base) / name / "1")
        with server(Path(base), "--grpc_port", str(grpc_port)) as (process, port):
            for kind in ("nothing", *ATTACKS):
                if args.only and args.only not in kind:
                    continue
                arguments = (kind, name, manifest, port, grpc_port, args.seconds)
                attacker = (
                    spawn.Process(target=time.sleep, args=(args.seconds,))
                    if kind == "nothing"
                    else spawn.Process(target=attack, args=arguments)
                )
                before = cpu(process)
                attacker.start()
                found = watched(attacker, port, data)
                texts = []
                for asking, waits in found.items():
                    longest, wrong = max(ms for ms, _ in waits), sum(not good for _, good in waits)
                    texts.append(f"{asking} {longest:.0f} ms ({len(waits)} asked, {wrong} failed)")
                    if longest > LIMITS_MS[asking] or wrong:
                        beyond.append(f"{kind}: {texts[-1]}")
                memory = process.memory_info().rss / MEBI
                spent = cpu(process) - before
                print(f"{kind}: {', '.join(texts)}; {spent:.1f} CPU-s, {memory:.0f} MiB", flush=True)
    print("\n".join(["beyond the limits:", *beyond]) if beyond else f"all within {LIMITS_MS}")


if __name__ == "__main__":
    sys.exit(exit_code_of(main))
