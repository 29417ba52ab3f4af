"""What an archive of CT takes: `python -m tests.benchmarks.rates FOLDER` prints the measured rates of docs/scale.md.

Seconds are those of a core that works (user and system time), which a machine that others use does not stretch as it
does the time on the wall. One process each.
"""

import resource
import sys
from collections.abc import Callable
from pathlib import Path

import numpy as np

import medcl
from tests.benchmarks.machine import peak
from tests.modality.dicom.dicom_files import write

SIDE, SLICES, PATIENTS, STEPS = 512, 40, 12, 20
CT = "1.2.840.10008.5.1.4.1.1.2"
HEADERS = (500, 5_000, 50_000)


def busy() -> float:
    """Seconds that cores have worked for this process and for those that it waited for."""
    used = [resource.getrusage(who) for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN)]
    return sum(one.ru_utime + one.ru_stime for one in used)


def rate(name: str, count: int, call: Callable[[], object]) -> None:
    """Print how many a core does in a second."""
    start = busy()
    call()
    print(f"{name}: {count / (busy() - start):.1f} a second of a core", flush=True)


def slices(folder: Path) -> None:
    """Write CTs of 512 x 512: smooth, with noise of 12 bits, as hard to compress as real ones."""
    rng = np.random.default_rng(0)
    y, x = np.mgrid[:SIDE, :SIDE] / SIDE - 0.5
    body = np.where(x**2 + y**2 < 0.16, 40.0, -1000.0)
    for patient in range(PATIENTS):
        place = folder / f"p{patient}"
        place.mkdir(parents=True)
        for number in range(SLICES):
            grey = body + 200 * np.sin(20 * x * (1 + number / SLICES)) * (body > 0) + rng.normal(0, 15, (SIDE, SIDE))
            own = {
                "Rows": SIDE,
                "Columns": SIDE,
                "PixelData": grey.astype(np.int16).tobytes(),
                "PixelSpacing": [0.7, 0.7],
            }
            names = {"PatientID": f"R{patient:03}", "StudyInstanceUID": f"1.2.7.{patient}"}
            uids = {"SeriesInstanceUID": f"1.2.9.{patient}", "SOPInstanceUID": f"1.2.8.{patient}.{number}"}
            scaled = {"RescaleSlope": 1, "RescaleIntercept": 0, "ImagePositionPatient": [0, 0, 2.0 * number]}
            write(
                place / f"{number}.dcm",
                number,
                **own,
                **names,
                **uids,
                **scaled,
                ImageOrientationPatient=[1, 0, 0, 0, 1, 0],
            )


def headers(folder: Path, count: int) -> Path:
    """Write series of 100 small slices each: those of one template, with uids of their own."""
    template, contents = folder / "template", []
    folder.mkdir(parents=True)
    for number in range(100):
        write(template, number, SeriesInstanceUID="1.2.9.1000001", SOPInstanceUID=f"1.2.8.1000001.{number}")
        contents.append(template.read_bytes())
    template.unlink()
    for series in range(count // 100):
        place = folder / f"{series}"
        place.mkdir()
        for number, content in enumerate(contents):
            (place / f"{number}.dcm").write_bytes(content.replace(b"1000001", f"{series + 1000002}".encode()))
    return folder


def main(folder: Path) -> None:
    """Print a line a command."""
    slices(folder / "ct")
    count, archive, run = SLICES * PATIENTS, folder / "ct.parquet", folder / "run"
    inputs = {"volume": {"data": {"size": [64, 64, 1]}, "encoder": {"dims": 2}}}
    settings = {"inputs": inputs, "optimiser": {"steps": STEPS}, "batch": {"patients": 5, "samples": 4}}
    rate("scan", count, lambda: medcl.scan(folder / "ct", archive))
    rate("prepare", count, lambda: medcl.prepare("chaitanya_gr", archive, jobs=1, **settings))
    size = sum(one.stat().st_size for one in folder.glob("ct.store/**/*.b2nd"))
    print(
        f"store: {size / count / 1024:.0f} KiB a slice, {size / (count * SIDE * SIDE * 2):.0%} of the pixels",
        flush=True,
    )
    rate("reduce --by hash", count, lambda: medcl.reduce(archive, folder / "reduced.parquet", by=["hash"], jobs=1))
    rate("pretrain, samples", 20 * STEPS, lambda: medcl.pretrain("chaitanya_gr", archive, run, **settings))
    rate("embed", count, lambda: medcl.embed(run, archive, folder / "e.parquet", jobs=1))
    for number in HEADERS:
        there = headers(folder / f"headers{number}", number)
        before = busy()
        most = peak(there, folder / f"h{number}.parquet")
        print(f"scan of {number:,} headers: {busy() - before:.0f} s of a core, {most:.0f} MiB", flush=True)


if __name__ == "__main__":
    main(Path(sys.argv[1]))
