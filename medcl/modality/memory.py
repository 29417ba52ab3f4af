"""Whether a volume fits into memory, asked before it is decoded."""

import os
from pathlib import Path

_LIMITS = ((Path("/sys/fs/cgroup/memory.max"), Path("/sys/fs/cgroup/memory.current")),)


def available() -> int | None:
    """Bytes of memory that can be taken, within the limit of a container too; None where the system does not tell."""
    known = [count for count in (_of_machine(), *(_of_container(*paths) for paths in _LIMITS)) if count is not None]
    return min(known, default=None)


def _of_machine() -> int | None:
    try:
        lines = Path("/proc/meminfo").read_text().splitlines()
        return next(int(line.split()[1]) * 1024 for line in lines if line.startswith("MemAvailable:"))
    except (OSError, StopIteration, ValueError):
        pass
    try:
        # Not on every system, and without what files occupy, which could be given up.
        return os.sysconf("SC_AVPHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")
    except (OSError, ValueError):
        return None


def _of_container(limit: Path, taken: Path) -> int | None:
    try:
        return max(0, int(limit.read_text()) - int(taken.read_text()))
    except (OSError, ValueError):  # no container, or `max`
        return None
