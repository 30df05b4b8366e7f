"""The memory of this process: what it may have, and what is free; a container's limit counts."""

from collections.abc import Iterator
from pathlib import Path

CONTROL_GROUPS = Path("/sys/fs/cgroup")


def memory_limit() -> int:
    """Bytes that this process may have: the physical memory, or the limit of its container where that is less."""
    import psutil

    return min([psutil.virtual_memory().total, *(limit for limit, _ in _container_limits())])


def free_memory() -> int:
    """Bytes that this process can still get, without what files in the page cache take."""
    import psutil

    return min([psutil.virtual_memory().available, *(max(0, limit - used) for limit, used in _container_limits())])


def _container_limits() -> Iterator[tuple[int, int]]:
    """(limit, bytes used without cached files) of the control group that this process sees as its own, if it has one.

    Version 2 of control groups has one folder of files, version 1 one per kind of resource.
    """
    for folder, limit, used in (
        (CONTROL_GROUPS, "memory.max", "memory.current"),
        (CONTROL_GROUPS / "memory", "memory.limit_in_bytes", "memory.usage_in_bytes"),
    ):
        try:
            most, now = int((folder / limit).read_text()), int((folder / used).read_text())
            counted = dict(line.split() for line in (folder / "memory.stat").read_text().splitlines())
        except (OSError, ValueError):  # no such group, or "max"
            continue
        yield most, now - int(counted.get("total_inactive_file", counted.get("inactive_file", 0)))
