"""A format that is added by the checklist of CONTRIBUTING.md, a module and a line, is found, scanned and decoded."""

import os
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np

import medcl

SIGNAL = """
import json

import numpy as np

from medcl.modality.signal.formats import ecg_xml


def _read(path):
    header, samples = path.read_bytes().split(b"\\n", 2)[1:]
    about = json.loads(header)
    values = np.frombuffer(samples, "<i2").reshape(len(about["leads"]), -1) / 1000
    each = [(name, "mV", lead) for name, lead in zip(about["leads"], values)]
    return ecg_xml.recording(path, "tiny", about["rate"], each, ids={"patient": about["patient"]})


read_header, read_signal = ecg_xml.readers(_read)
"""
IMAGE = """
import numpy as np

from medcl.modality.image.record import Image, ImageHeader


def read_header(path):
    columns, rows = map(int, path.read_bytes().split(b"\\n", 3)[1].split())
    return ImageHeader("pgm", rows, columns, 1, "uint8")


def read_image(path):
    header, pixels = read_header(path), path.read_bytes().split(b"\\n", 3)[3]
    return Image(np.frombuffer(pixels, np.uint8).reshape(1, header.rows, header.columns), (0.0, 255.0))
"""
LINES = {
    "signal": ("tiny", SIGNAL, 'Format("tiny", starts(b"TINY\\n"), "tiny", (".tiny",)),'),
    "image": ("pgm", IMAGE, 'Format("pgm", starts(b"P5\\n"), "pgm", (".pgm",)),'),
}
SCRIPT = """
from pathlib import Path

from medcl.archive.build import ScanRequest, build_manifest
from medcl.archive.manifest import Manifest
from medcl.data.prepare import prepare
from medcl.data.prepare import prepare
from medcl.modality.image.config import ImageConfig
from medcl.modality.signal.config import SignalConfig

found = build_manifest(ScanRequest(Path("archive"), Path("m.parquet"), patient_per_record=True, jobs=2))
assert "hours          0.00" in str(found) and "images         2 (2 grey, 0 colour) in 2 files" in str(found)
manifest = Manifest.read("m.parquet")
columns = ("path", "format", "modality", "status", "n_channels")
for row in manifest.table.select(columns).to_pylist():
    print(*row.values())
window = SignalConfig(window=1.0, sampling_rate=100.0, channels=["I", "II"])
signals = prepare(manifest.of_kind("signal"), window, Path("store"), jobs=1)
images = prepare(manifest.of_kind("image"), ImageConfig(size=(8, 8)), Path("store"), jobs=1)
print("refused", signals.quarantine, images.quarantine)
"""


def test_a_module_and_a_line_are_a_format(tmp_path: Path) -> None:
    shutil.copytree(Path(medcl.__file__).parent, tmp_path / "medcl", ignore=shutil.ignore_patterns("__pycache__"))
    for wing, (name, module, line) in LINES.items():
        formats = tmp_path / "medcl" / "modality" / wing / "formats"
        (formats / f"{name}.py").write_text(module)
        table = (formats / "__init__.py").read_text()
        (formats / "__init__.py").write_text(table.replace("FORMATS = (\n", f"FORMATS = (\n    {line}\n"))
    (tmp_path / "archive").mkdir()
    numbers = np.random.default_rng(0)
    for number in range(2):
        samples = numbers.integers(-900, 900, (2, 300)).astype("<i2").tobytes()
        header = b'{"rate": 100, "leads": ["I", "II"], "patient": "%d"}' % number
        (tmp_path / "archive" / f"{number}.tiny").write_bytes(b"TINY\n" + header + b"\n" + samples)
        pixels = numbers.integers(0, 255, (20, 30)).astype(np.uint8).tobytes()
        (tmp_path / "archive" / f"{number}.pgm").write_bytes(b"P5\n30 20\n255\n" + pixels)
    (tmp_path / "archive" / "claims.tiny").write_bytes(b"something else")
    (tmp_path / "archive" / "other.txt").write_bytes(b"P5")

    done = subprocess.run(
        [sys.executable, "-c", SCRIPT],
        cwd=tmp_path,
        env=os.environ | {"PYTHONPATH": str(tmp_path), "MEDCL_SALT": "a salt for the tests of medcl, 2718281828"},
        capture_output=True,
        text=True,
        check=False,
    )

    assert done.returncode == 0, done.stderr
    assert done.stdout.splitlines() == [
        "0.pgm pgm image ok 1",
        "0.tiny tiny ecg ok 2",
        "1.pgm pgm image ok 1",
        "1.tiny tiny ecg ok 2",
        "claims.tiny None None not what its name says: the content is not that of a .tiny file None",
        "refused {} {}",
    ]
