"""Bytes that kgen's dependencies take on the disk, in the environment that runs it: of kgen, and what each extra adds.

python tools/install_size.py
"""

import importlib.metadata as metadata
import tomllib
from pathlib import Path

from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

LARGEST = 8


def closure(requirements: list[str]) -> set[str]:
    """The names of the installed packages that requirements lead to."""
    found, waiting = set(), [Requirement(text) for text in requirements]
    while waiting:
        wanted = waiting.pop()
        name = canonicalize_name(wanted.name)
        for extra in ("", *wanted.extras):
            if (name, extra) in found or name == "kgen":
                continue
            try:
                needs = map(Requirement, metadata.requires(name) or [])
            except metadata.PackageNotFoundError:
                print(f"{name} is not installed, and not counted")
                continue
            found.add((name, extra))
            waiting += [need for need in needs if not need.marker or need.marker.evaluate({"extra": extra})]
    return {name for name, _ in found}


def megabytes(name: str) -> float:
    """What the files of a package take on the disk."""
    files = [Path(file.locate()) for file in metadata.files(name) or []]
    return sum(file.stat().st_blocks * 512 for file in files if file.exists()) / 1e6


def main():
    project = tomllib.loads((Path(__file__).parents[1] / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    needed = closure(project["dependencies"])
    sizes = {name: megabytes(name) for name in needed}
    print(f"kgen: {len(needed)} packages, {sum(sizes.values()):,.0f} MB")
    for name in sorted(sizes, key=sizes.get, reverse=True)[:LARGEST]:
        print(f"  {name} {sizes[name]:,.0f} MB")
    for extra, requirements in project["optional-dependencies"].items():
        more = closure(requirements) - needed
        print(f"[{extra}]: {len(more)} more, {sum(map(megabytes, more)):,.0f} MB")


if __name__ == "__main__":
    main()
