"""How fast an archive is scanned, against the library's own header reader and on two cores against one; memory."""

import os
from pathlib import Path
from statistics import median

import pytest
import wfdb
from edfio import Patient

from medcl.archive.scan import scan
from tests.benchmarks.machine import SALT, gains, peak, seconds
from tests.modality.written import waves, write_edf

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


@pytest.mark.benchmark
def test_memory_does_not_grow_with_the_files(tmp_path: Path) -> None:
    """50,000 recordings of as many patients in one folder; what a record takes are a few numbers, such as its patient.

    10,000 are enough for what is in memory at a time. 230 bytes a file were measured, most of them the names of one
    folder; Arrow's allocator gives memory back after a while, which moves a peak by some MiB (400 bytes a file were
    seen). A row of the manifest that is kept takes 1,000 and more.
    """
    content = write_edf(tmp_path / "first.edf", waves(scale=50), patient=Patient(code="P00000")).read_bytes()
    for folder, number in (("few", 10_000), ("many", 50_000)):
        (tmp_path / folder).mkdir()
        for patient in range(number):
            own = content.replace(b"P00000", f"P{patient:05}".encode())
            (tmp_path / folder / f"recording_{patient:05}.edf").write_bytes(own)
    few, many = (peak(tmp_path / folder, tmp_path / f"{folder}.parquet") for folder in ("few", "many"))
    each = (many - few) * 1024 * 1024 / 40_000
    print(f"\nmost memory: 10,000 files {few:.0f} MiB, 50,000 files {many:.0f} MiB, {each:.0f} bytes a file")
    assert each < 600
