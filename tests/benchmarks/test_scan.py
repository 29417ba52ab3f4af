"""How fast an archive is scanned: against the library's own header reader, and on two cores against one."""

import os
from pathlib import Path
from statistics import median

import pytest
import wfdb

from medcl.archive.scan import scan
from tests.benchmarks.machine import SALT, gains, seconds

LEADS = ("I", "II", "III", "AVR", "AVL", "AVF", "V1", "V2", "V3", "V4", "V5", "V6")


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
    halves = [tmp_path / "a", tmp_path / "b"]
    for half in halves:
        archive(half, 2000)
    ours, possible = gains(tmp_path, halves)
    assert ours >= 0.55 * possible
