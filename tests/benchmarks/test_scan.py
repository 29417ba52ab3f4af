"""How fast an archive is scanned: against the library's own header reader, and on two cores against one."""

import os
import time
from collections import deque
from collections.abc import Callable, Sequence
from pathlib import Path
from statistics import median

import pytest
import wfdb

from medcl.archive.scan import scan
from medcl.engine.parallel import run_chunks

LEADS = ("I", "II", "III", "AVR", "AVL", "AVF", "V1", "V2", "V3", "V4", "V5", "V6")
SALT = b"the salt of the tests"


def archive(folder: Path, records: int) -> list[Path]:
    """12-lead headers as PTB-XL has them, with signal files of a tenth of a second."""
    headers = []
    for number in range(records):
        name = f"{number:05}_lr"
        lines = [f"{name} 12 100 10", *(f"{name}.dat 16 1000.0(0)/mV 16 0 {number} 0 0 {lead}" for lead in LEADS)]
        path = folder / f"{number // 1000:02}000" / f"{name}.hea"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text("\n".join(lines) + "\n")
        path.with_suffix(".dat").write_bytes(bytes(240))
        headers.append(path)
    return headers


def spin(numbers: Sequence[int]) -> int:
    """Arithmetic of about a second that nothing but a processor is needed for."""
    return sum(i * i for _ in numbers for i in range(10_000_000))


def seconds(call: Callable[[], object]) -> float:
    start = time.perf_counter()
    call()
    return time.perf_counter() - start


@pytest.mark.benchmark
def test_a_core_scans_at_no_less_than_the_rate_of_a_bare_rdheader_loop(tmp_path: Path) -> None:
    headers = archive(tmp_path, 250)

    def bare() -> None:
        for path in headers:
            wfdb.rdheader(str(path.with_suffix("")))

    def scanned() -> None:
        assert len(scan(tmp_path, salt=SALT, jobs=1).ok()) == len(headers)

    scanned()
    pairs = [(seconds(bare), seconds(scanned)) for _ in range(3)]
    library, ours = (median(times) for times in zip(*pairs, strict=True))
    print(f"\nheaders a second on one core: rdheader {250 / library:.0f}, scan {250 / ours:.0f}, {library / ours:.1f}x")
    assert library / ours >= 0.9


@pytest.mark.benchmark
@pytest.mark.skipif((os.cpu_count() or 1) < 2, reason="one core cannot show how two scale")
def test_two_processes_scan_as_much_faster_as_the_machine_allows(tmp_path: Path) -> None:
    archive(tmp_path, 4000)

    def scanned(jobs: int) -> Callable[[], None]:
        return lambda: None if len(scan(tmp_path, salt=SALT, jobs=jobs).ok()) == 4000 else pytest.fail("records lost")

    def spun(jobs: int) -> Callable[[], object]:
        return lambda: deque(run_chunks(spin, range(2), jobs=jobs, chunk=1), maxlen=0)

    # The first scan starts the processes and brings the files into memory.
    scanned(2)()
    rows = [[seconds(call) for call in (scanned(1), scanned(2), spun(1), spun(2))] for _ in range(3)]
    one, two, spun_one, spun_two = (median(times) for times in zip(*rows, strict=True))
    print(f"\n4000 headers: one process {one:.2f} s, two {two:.2f} s, {one / two:.2f}x")
    print(f"what the machine has to give, arithmetic alone: {spun_one / spun_two:.2f}x")
    assert one / two >= 0.7 * spun_one / spun_two
