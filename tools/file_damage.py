"""Damages files, and watches that reading them runs no code and changes nothing elsewhere; see fuzz_files.py."""

import contextlib
import io
import json
import os
import sys
import zipfile
from pathlib import Path

import numpy as np

WRONG_VALUES = (None, True, -1, 0, 1.5, 1e308, 2**70, "", "../../x", "NaN", [], [[]], {}, {"a": 1}, [1, "2"], "\udcff")


# Damage -------------------------------------------------------------------------------------------------------------


def damaged(content: bytes, generator: np.random.Generator) -> bytes:
    """Some bytes changed: bits, chunks, lengths, the beginning or the end."""
    data, size = bytearray(content), len(content)
    a, b = sorted(generator.integers(0, size + 1, 2).tolist())
    short = min(b, a + int(generator.integers(1, 65)))
    match int(generator.integers(10)):
        case 0:  # bits
            for place in generator.integers(0, size, int(generator.integers(1, 9))):
                data[place] ^= 1 << int(generator.integers(8))
        case 1:  # the end is missing
            del data[a:]
        case 2:  # a chunk of noise
            data[a:short] = generator.bytes(short - a)
        case 3:  # a chunk is missing
            del data[a:short]
        case 4:  # a chunk twice
            data[a:a] = data[a:short]
        case 5:  # two halves change places
            data[:] = data[a:] + data[:a]
        case 6:  # the header
            for place in generator.integers(0, min(size, 64), 4):
                data[place] = int(generator.integers(256))
        case 7:  # a length, an offset or a count
            value = generator.choice([0, 1, 0x7FFFFFFF, 0x80000000, 0xFFFFFFFF, 100_000])
            data[a : a + 4] = int(value).to_bytes(4, str(generator.choice(["little", "big"])))
        case 8:  # the tail is zeros, as after a crash of the computer
            data[a:] = bytes(size - a)
        case 9:  # something is put between
            data[a:a] = generator.bytes(int(generator.integers(1, 65)))
    return bytes(data)


def damaged_archive(content: bytes, generator: np.random.Generator) -> bytes:
    """One member of a zip damaged, with a checksum that fits."""
    out = io.BytesIO()
    with zipfile.ZipFile(io.BytesIO(content)) as file, zipfile.ZipFile(out, "w") as written:
        chosen = int(generator.integers(len(file.namelist())))
        for number, name in enumerate(file.namelist()):
            member = file.read(name)
            written.writestr(name, damaged(member, generator) if number == chosen else member)
    return out.getvalue()


def damaged_json(content: bytes, generator: np.random.Generator) -> bytes:
    """One value of a JSON text, or of one of its lines, replaced by one of another type or size, or taken away."""
    lines = content.decode().rstrip("\n").split("\n")
    whole = len(lines) == 1 or not lines[0].endswith("}")
    place = 0 if whole else int(generator.integers(len(lines)))
    value = json.loads(content if whole else lines[place])
    holders, stack = [], [value]
    while stack:
        holder = stack.pop()
        items = list(holder.items() if isinstance(holder, dict) else enumerate(holder))
        holders += [(holder, key) for key, _ in items]
        stack += [item for _, item in items if isinstance(item, (dict, list)) and item]
    holder, key = holders[int(generator.integers(len(holders)))]
    if generator.random() < 0.2:
        del holder[key]
    else:
        holder[key] = WRONG_VALUES[int(generator.integers(len(WRONG_VALUES)))]
    text = json.dumps(value)
    if not whole:
        text = "\n".join([*lines[:place], text, *lines[place + 1 :]])
    return f"{text}\n".encode()


def damage(kind: str, content: bytes, generator: np.random.Generator) -> bytes:
    """A damage that suits the kind."""
    if kind in ("npz", "zip") and generator.random() < 0.5:
        return damaged_archive(content, generator)
    if kind in ("config", "metrics") and generator.random() < 0.6:
        return damaged_json(content, generator)
    return damaged(content, generator)


# What is forbidden --------------------------------------------------------------------------------------------------

_EVENTS: list[str] | None = None
_ROOT = ""
_CHANGES = ("os.remove", "os.rename", "os.mkdir", "os.rmdir", "os.link", "os.symlink", "os.truncate", "shutil.rmtree")
_OWN = ("__pycache__", "__autograph_generated_file")
"""Parts of names of what Python and TensorFlow write for themselves."""
_STARTS = ("os.system", "os.exec", "os.posix_spawn", "subprocess.Popen", "pickle.find_class")


def _audit(event: str, args: tuple):
    if _EVENTS is None:
        return
    if event in _STARTS:
        _EVENTS.append(f"{event} {args}")
    elif event in _CHANGES or (event == "open" and args[2] & (os.O_WRONLY | os.O_RDWR | os.O_CREAT)):
        for path in args[:2] if event == "os.rename" else args[:1]:
            if isinstance(path, (str, bytes, os.PathLike)):
                real = os.path.realpath(os.fsdecode(path))
                nameless = event == "open" and os.path.isdir(real)  # a temporary file without a name
                allowed = nameless or real.startswith((_ROOT, "/dev/", "/proc/")) or any(own in real for own in _OWN)
                if not allowed:
                    _EVENTS.append(f"{event} {real}")


@contextlib.contextmanager
def watched(root: Path):
    """A list that fills with what runs code or changes a file outside a folder."""
    global _EVENTS, _ROOT
    if not getattr(watched, "added", False):
        sys.addaudithook(_audit)  # stays for the life of the process; silent outside of this
        watched.added = True
    _EVENTS, _ROOT = [], f"{root.resolve()}{os.sep}"
    try:
        yield _EVENTS
    finally:
        _EVENTS = None
