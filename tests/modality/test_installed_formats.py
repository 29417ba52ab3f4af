"""A file format of another installed package is scanned, prepared and read like one of ours."""

import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

import medcl

FORMAT = """
import struct

import numpy as np

from medcl.modality.content import Format, starts
from medcl.modality.signal.record import Signal, SignalHeader

FORMATS = (Format("own-recorder", starts(b"OWNR"), "ownformat.reader", (".own",)),)
"""
READER = """
import numpy as np

from medcl.modality.signal.record import Signal, SignalHeader


def read_header(path):
    rate, count = np.frombuffer(path.read_bytes()[4:12], "<i4")
    return SignalHeader("ecg", "own-recorder", float(rate), int(count), ("I", "II"), ("mV", "mV"), {}, (path.name,))


def read_signal(path):
    header = read_header(path)
    data = np.frombuffer(path.read_bytes()[12:], "<f4").reshape(2, -1)
    return Signal(data, header.sampling_rate, header.channels, header.units, np.ones(2), np.zeros(2))
"""
SCRIPT = """
import sys, medcl
from medcl.modality.formats import identify, read_signal
from pathlib import Path
archive, output = map(Path, sys.argv[1:])
scanned = medcl.scan(archive, output, id_pattern=r"(?P<patient>P\\d+)", jobs=1)
prepared = medcl.prepare({"inputs": {"signal": {"data": {"window": 1.0}}},
    "objectives": {"patient": {"of": "signal"}}}, scanned, jobs=1)
path = next(archive.glob("*.own"))
data = read_signal(path, "own-recorder").data
print(identify(path), data.shape, len(scanned.value), prepared.value["signal"].channels)
"""


def install(site: Path, point: str = "signal = ownformat:FORMATS") -> None:
    (site / "ownformat").mkdir(parents=True)
    (site / "ownformat" / "__init__.py").write_text(FORMAT)
    (site / "ownformat" / "reader.py").write_text(READER)
    about = site / "ownformat-1.0.dist-info"
    about.mkdir()
    (about / "METADATA").write_text("Metadata-Version: 2.1\nName: ownformat\nVersion: 1.0\n")
    (about / "entry_points.txt").write_text(f"[medcl.formats]\n{point}\n")


def run(site: Path, script: str, *arguments: Path) -> subprocess.CompletedProcess[str]:
    path = os.pathsep.join([str(Path(medcl.__file__).parents[1]), str(site)])
    environment = {**os.environ, "PYTHONPATH": path}
    return subprocess.run([sys.executable, "-c", script, *arguments], env=environment, capture_output=True, text=True)


def test_files_of_an_installed_format_become_records(tmp_path: Path) -> None:
    install(tmp_path / "site")
    archive = tmp_path / "archive"
    archive.mkdir()
    for number in range(4):
        data = np.random.default_rng(number).normal(size=(2, 500)).astype("<f4")
        content = b"OWNR" + np.array([100, 500], "<i4").tobytes() + data.tobytes()
        (archive / f"P{number}.own").write_bytes(content)
    found = run(tmp_path / "site", SCRIPT, archive, tmp_path / "m.parquet")
    assert "own-recorder (2, 500) 4 ['I', 'II']" in found.stdout, found.stderr[-2000:]


@pytest.mark.parametrize(
    ("point", "words"),
    [
        ("signal = ownformat:MISSING", "ownformat adds formats of files, but ownformat:MISSING cannot be loaded"),
        ("film = ownformat:FORMATS", "named for a wing (signal, volume, image, table)"),
    ],
)
def test_a_package_whose_formats_cannot_be_used_is_named(tmp_path: Path, point: str, words: str) -> None:
    install(tmp_path / "site", point)
    found = run(tmp_path / "site", "import medcl.modality.formats")
    assert words in found.stderr
