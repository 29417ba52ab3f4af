"""A disk that is full, for tests that need no right to mount one; and one that is read only, where they have it."""

import json
import resource
import shutil
import subprocess
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path


@contextmanager
def small_disk(most: int) -> Iterator[None]:
    """No file may grow beyond `most` bytes within the block."""
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (most, before[1]))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)


_CALLS = """
import json, sys
from medcl.cli import main
print(json.dumps([main(words) for words in json.loads(sys.argv[1])]), file=sys.stderr)
"""


def on_read_only_disk(folder: Path, calls: Sequence[Sequence[str]]) -> tuple[list[int], list[str]] | None:
    """Run calls of `medcl` in a process for which an empty file system, mounted to be read only, lies on a folder.

    Returns:
        Exit codes and the lines of stderr; None where this user may not mount anything.
    """
    mount = ["unshare", "--map-root-user", "--mount", "sh", "-c", 'mount -t tmpfs -o ro none "$0" && exec "$@"']
    if shutil.which("unshare") is None or subprocess.run([*mount, folder, "true"], capture_output=True).returncode:
        return None
    words = [sys.executable, "-c", _CALLS, json.dumps(calls)]
    done = subprocess.run([*mount, folder, *words], capture_output=True, text=True, check=True)
    *lines, codes = done.stderr.strip().splitlines()
    return json.loads(codes), lines
