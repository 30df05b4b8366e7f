"""The memory of this process: what it may have, and what is free; a container's limit counts. And whether an error
says that memory was not enough, that of a GPU too, or room for files."""

import sys
from collections.abc import Iterator
from pathlib import Path

CONTROL_GROUPS = Path("/sys/fs/cgroup")

LACK = (
    "resource_exhausted", "oom when allocating", "out of memory", "out_of_memory", "out of gpu memory", "alloc_failed",
    "failed to allocate memory", "failed to allocate request", "failed to allocate the scratch space",
    "dst tensor is not initialized", "bad_alloc",
)  # fmt: skip
"""What TensorFlow, XLA and the libraries of a GPU say where memory was not enough, in errors of many kinds.

cuDNN's lack is a NotFoundError ("No algorithm worked!  Error messages: ... CUDNN_STATUS_ALLOC_FAILED"), that of a copy
to the GPU an InternalError ("Dst tensor is not initialized.").
"""

OF_FILES = ("no space left on device", "disk quota exceeded", "too many open files")
"""Of these TensorFlow says RESOURCE_EXHAUSTED, too."""


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


def lacks_memory(error: BaseException) -> bool:
    """Whether an error says that memory was not enough. Imports no TensorFlow, whose errors it knows by their words."""
    tensorflow = sys.modules.get("tensorflow")
    if tensorflow is None or not isinstance(error, tensorflow.errors.OpError):
        return isinstance(error, MemoryError)
    if lacks_files(error):
        return False
    return isinstance(error, tensorflow.errors.ResourceExhaustedError) or says_lack(str(error))


def lacks_files(error: BaseException) -> bool:
    """Whether an error of TensorFlow says that the disk is full, or that too many files are open."""
    tensorflow = sys.modules.get("tensorflow")
    if tensorflow is None or not isinstance(error, tensorflow.errors.OpError):
        return False
    return any(words in str(error).lower() for words in OF_FILES)


def says_lack(text: str) -> bool:
    """Whether a message, or what a process wrote, says that memory was not enough."""
    text = text.lower()
    return any(words in text for words in LACK)
