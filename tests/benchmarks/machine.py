"""What the machine has to give: how much faster than one its two cores do the same work."""

import subprocess
import sys
import time
from collections import deque
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path

from medcl.archive.scan import scan
from medcl.engine.parallel import run_chunks

ROUNDS = 5
SALT = b"the salt of the tests"


# Of the resources that the system counts for a process, the peak would be that of the process that started it.
_PEAK = """
import sys
from pathlib import Path
from medcl.archive.build import build_manifest
from medcl.archive.config import ScanRequest
build_manifest(ScanRequest(Path(sys.argv[1]), Path(sys.argv[2]), patient_per_record=True, jobs=1))
status = dict(line.split(":") for line in Path("/proc/self/status").read_text().splitlines())
print(status["VmHWM"].split()[0])
"""


def peak(folder: Path, output: Path) -> float:
    """MiB of memory that `medcl scan` of a folder, in a process of its own, takes at most."""
    words = [sys.executable, "-c", _PEAK, str(folder), str(output)]
    done = subprocess.run(words, capture_output=True, text=True, check=True)
    return float(done.stdout) / 1024


def seconds(call: Callable[[], object]) -> float:
    start = time.perf_counter()
    call()
    return time.perf_counter() - start


def alone(folders: Sequence[Path]) -> int:
    """Scan folders in this process."""
    return sum(len(scan(folder, salt=SALT, jobs=1).ok()) for folder in folders)


def gains(whole: Path, halves: Sequence[Path]) -> tuple[float, float]:
    """How much faster an archive is scanned with two cores; each in the best of some rounds, since others use them too.

    Args:
        whole: the archive.
        halves: its two folders, of as many files each.

    Returns:
        The gain of a scan in two processes over one, and that of two programs that scan half the archive each and know
        nothing of each other: where arithmetic or the file system gives two programs no more, it gives a scan no more.
    """

    def scanned(jobs: int) -> None:
        scan(whole, salt=SALT, jobs=jobs)

    def apart() -> None:
        deque(run_chunks(alone, halves, jobs=2, chunk=1), maxlen=0)

    calls = (partial(scanned, 1), partial(scanned, 2), apart)
    apart()  # starts the processes, and brings the files into memory
    one, two, two_programs = (
        min(times) for times in zip(*[[seconds(call) for call in calls] for _ in range(ROUNDS)], strict=True)
    )
    print(f"\none process {one:.2f} s, two {two:.2f} s: {one / two:.2f}x; two programs {one / two_programs:.2f}x")
    return one / two, one / two_programs
