"""How fast DICOM headers are scanned, on one core and on two, and how much memory many of them take."""

import os
import shutil
from pathlib import Path
from statistics import median

import pydicom
import pytest

from medcl.archive.scan import scan
from medcl.modality.dicom.header import tags_of
from medcl.modality.dicom.slice import KEYWORDS
from tests.benchmarks.machine import SALT, gains, peak, seconds
from tests.modality.dicom.dicom_files import write

SLICES, SERIES, FOLDERS = 100, 20, 5
TAGS = tags_of(KEYWORDS)


@pytest.fixture(scope="module")
def archive(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Five folders of 20 series of 100 small slices, 10,000 files.

    One series is written by pydicom, the others are its bytes with uids of their own.
    """
    root = tmp_path_factory.mktemp("in")
    template = root / "template"
    slices = []
    for number in range(SLICES):
        write(template, number, SeriesInstanceUID="1.2.9.1000001", SOPInstanceUID=f"1.2.8.1000001.{number}")
        slices.append(template.read_bytes())
    template.unlink()
    for series in range(SERIES * FOLDERS):
        place = root / str(series // SERIES) / f"{series % 4}-{series % 5}"
        place.mkdir(parents=True)
        uid = f"{series + 1000002}".encode()
        for number, content in enumerate(slices):
            (place / f"{number:03}.dcm").write_bytes(content.replace(b"1000001", uid))
    return root


@pytest.mark.benchmark
def test_a_core_scans_at_no_less_than_the_rate_of_a_bare_pydicom_loop(archive: Path) -> None:
    paths = sorted((archive / "0").glob("0-?/*"))

    def parsed() -> None:
        for path in paths:
            pydicom.dcmread(path, stop_before_pixels=True, specific_tags=TAGS)

    def read() -> None:
        # A value is decoded when it is asked for: a loop that asks for none has read nothing yet.
        for path in paths:
            header = pydicom.dcmread(path, stop_before_pixels=True, specific_tags=TAGS)
            for keyword in KEYWORDS:
                header.get(keyword)

    def scanned() -> None:
        assert len(scan(archive / "0", salt=SALT, jobs=1, include="0-?/*").ok()) == 5

    scanned()
    rows = [[seconds(call) for call in (parsed, read, scanned)] for _ in range(3)]
    bare, values, ours = (median(times) for times in zip(*rows, strict=True))
    rates = [len(paths) / time for time in (bare, values, ours)]
    print(
        f"\nheaders a second on one core: pydicom {rates[0]:.0f}, with the values {rates[1]:.0f}, scan {rates[2]:.0f}: "
        f"{bare / ours:.2f}x and {values / ours:.2f}x"
    )
    assert values / ours >= 1.0


@pytest.mark.benchmark
@pytest.mark.skipif((os.cpu_count() or 1) < 2, reason="one core cannot show how two scale")
def test_two_processes_read_headers_as_much_faster_as_the_machine_allows(archive: Path, tmp_path: Path) -> None:
    halves = [tmp_path / "a", tmp_path / "b"]
    for half, series in zip(halves, ("?-[02]", "?-[134]"), strict=True):
        for folder in (archive / "0").glob(series):
            shutil.copytree(folder, half / folder.name)
    ours, possible = gains(tmp_path, halves)
    # The slices of a series are put in order by one process.
    assert ours >= 0.55 * possible


@pytest.mark.benchmark
def test_memory_does_not_grow_with_the_headers(archive: Path, tmp_path: Path) -> None:
    """10,000 headers, since 100,000 take minutes."""
    few, many = peak(archive / "0", tmp_path / "few.parquet"), peak(archive, tmp_path / "many.parquet")
    each = (many - few) * 1024 * 1024 / (SLICES * SERIES * (FOLDERS - 1))
    print(f"\nmost memory: 2,000 headers {few:.0f} MiB, 10,000 headers {many:.0f} MiB, {each:.0f} bytes a header")
    assert each < 2000
