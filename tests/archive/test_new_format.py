"""What is added is found, scanned and decoded: a format, which is a module and a line; a wing, a folder and a line."""

import os
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

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
WING = {
    "__init__.py": """
from dataclasses import dataclass

from medcl.modality.base import Wing


@dataclass(frozen=True)
class SoundConfig:
    length: int = 4


class SoundWing(Wing):
    name, plural, examples, unit = "sound", "sounds", "sounds", "sound"
    sample, no_sample, unlinked = "beats", "too short", "sounds have no partner"
    columns, reads_files, shows_samples, has_slices = ("n_samples",), True, False, False
    config = encoder_config = spec = SoundConfig
    check = original = thumbnails = views = spec_of = data_of = lambda self, *given: None
""",
    "record.py": """
MODALITIES, DAMAGED, OWN_STUDY = ("sound",), (), False


def columns(header):
    return {"modality": "sound", "format": "wave", "n_samples": header.length, "flags": list(header.flags)}


def summary(records):
    return f"sounds         {len(records)}"
""",
    "formats/__init__.py": """
from medcl.modality.content import Format, starts

RANK = 4
FORMATS = (Format("wave", starts(b"WAVE\\n"), "wave", (".wave",)),)
""",
    "formats/wave.py": """
from types import SimpleNamespace


def read_header(path):
    return SimpleNamespace(length=path.stat().st_size - 5, ids={}, files=(), flags=())
""",
    "prepare.py": """
from dataclasses import dataclass

import numpy as np
import pyarrow as pa

from medcl.modality.storing import Appended, DecodedRecord, Preparation, PreparedRecords, StoreIndex

INDEX = StoreIndex("sounds", b"sounds", 1, pa.schema([("record_id", pa.string()), ("place", pa.int64())]))
LAYOUT = Appended("sounds.b2nd", "", "place", "LZ4", False, block=1, blocks=16)


def preparation(manifest, config):
    return Preparation([config.length], config, LAYOUT, np.full(len(manifest), config.length), np.zeros(len(manifest)))


def decode(source, config):
    return DecodedRecord({None: np.frombuffer(source.file.read_bytes()[5 : 5 + config.length], np.uint8)[None]}, {})


@dataclass(frozen=True, eq=False)
class SoundStore(PreparedRecords):
    def described(self):
        return f"{len(self)} sounds"


def opened(stored):
    return SoundStore(**SoundStore.shared(stored))
""",
}
SCRIPT = """
from pathlib import Path

from medcl.archive.build import ScanRequest, build_manifest
from medcl.archive.manifest import Manifest
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

SOUNDS = """
from pathlib import Path

from medcl.api import retrieve
from medcl.archive.build import ScanRequest, build_manifest
from medcl.archive.manifest import Manifest
from medcl.commands.parsers import parse
from medcl.data.prepare import prepare
from medcl.errors import UsageError
from medcl.modality.sound import SoundConfig

found = build_manifest(ScanRequest(Path("archive"), Path("m.parquet"), patient_per_record=True, jobs=1))
print(next(line for line in str(found).splitlines() if line.startswith("sounds")))
manifest = Manifest.read("m.parquet")
for row in manifest.table.select(("path", "format", "modality", "status", "n_samples")).to_pylist():
    print(*row.values())
sounds = prepare(manifest, SoundConfig(), Path("store"), jobs=1)
print(sounds.described(), sounds.quarantine)
try:
    parse(retrieve, ["--kind", "sond"])
except UsageError as error:
    print(error)
"""


def copy_of_medcl(folder: Path) -> Path:
    shutil.copytree(Path(medcl.__file__).parent, folder / "medcl", ignore=shutil.ignore_patterns("__pycache__"))
    (folder / "archive").mkdir()
    return folder / "medcl" / "modality"


def run(folder: Path, script: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-c", script],
        cwd=folder,
        env=os.environ | {"PYTHONPATH": str(folder), "MEDCL_SALT": "a salt for the tests of medcl, 2718281828"},
        capture_output=True,
        text=True,
        check=False,
    )


def test_a_module_and_a_line_are_a_format(tmp_path: Path) -> None:
    modality = copy_of_medcl(tmp_path)
    for wing, (name, module, line) in LINES.items():
        formats = modality / wing / "formats"
        (formats / f"{name}.py").write_text(module)
        table = (formats / "__init__.py").read_text()
        (formats / "__init__.py").write_text(table.replace("FORMATS = (\n", f"FORMATS = (\n    {line}\n"))
    numbers = np.random.default_rng(0)
    for number in range(2):
        samples = numbers.integers(-900, 900, (2, 300)).astype("<i2").tobytes()
        header = b'{"rate": 100, "leads": ["I", "II"], "patient": "%d"}' % number
        (tmp_path / "archive" / f"{number}.tiny").write_bytes(b"TINY\n" + header + b"\n" + samples)
        pixels = numbers.integers(0, 255, (20, 30)).astype(np.uint8).tobytes()
        (tmp_path / "archive" / f"{number}.pgm").write_bytes(b"P5\n30 20\n255\n" + pixels)
    (tmp_path / "archive" / "claims.tiny").write_bytes(b"something else")
    (tmp_path / "archive" / "other.txt").write_bytes(b"P5")

    done = run(tmp_path, SCRIPT)

    assert done.returncode == 0, done.stderr
    assert done.stdout.splitlines() == [
        "0.pgm pgm image ok 1",
        "0.tiny tiny ecg ok 2",
        "1.pgm pgm image ok 1",
        "1.tiny tiny ecg ok 2",
        "claims.tiny None None not what its name says: the content is not that of a .tiny file None",
        "refused {} {}",
    ]


def check_sounds(folder: Path, script: str) -> None:
    for number in range(2):
        (folder / "archive" / f"{number}.wave").write_bytes(b"WAVE\n" + bytes(range(number, 9)))

    done = run(folder, script)

    assert done.returncode == 0, done.stderr
    *lines, refusal = done.stdout.splitlines()
    assert lines == [
        "sounds         2",
        "0.wave wave sound ok 9",
        "1.wave wave sound ok 8",
        "2 sounds {}",
    ]
    assert refusal.startswith("argument --kind: 'sond' is none of ")
    assert refusal.endswith("did you mean 'sound'? (see `medcl retrieve --help`)")


def write_wing(package: Path) -> None:
    for name, module in WING.items():
        (package / name).parent.mkdir(parents=True, exist_ok=True)
        (package / name).write_text(module)


def install_wing(folder: Path, point: str) -> None:
    about = folder / "soundwing-1.0.dist-info"
    about.mkdir()
    (about / "METADATA").write_text("Metadata-Version: 2.1\nName: soundwing\nVersion: 1.0\n")
    (about / "entry_points.txt").write_text(f"[medcl.wings]\n{point}\n")


def test_a_folder_and_a_line_are_a_wing(tmp_path: Path) -> None:
    modality = copy_of_medcl(tmp_path)
    write_wing(modality / "sound")
    wings = (modality / "__init__.py").read_text()
    line = '    "sound": "medcl.modality.sound:SoundWing",\n'
    (modality / "__init__.py").write_text(wings.replace("_WINGS = {\n", f"_WINGS = {{\n{line}"))
    check_sounds(tmp_path, SOUNDS)


def test_an_installed_package_adds_a_wing(tmp_path: Path) -> None:
    copy_of_medcl(tmp_path)
    write_wing(tmp_path / "soundwing")
    install_wing(tmp_path, "sound = soundwing:SoundWing")
    check_sounds(tmp_path, SOUNDS.replace("medcl.modality.sound", "soundwing"))


@pytest.mark.parametrize(
    ("point", "words"),
    [
        ("sound = soundless:SoundWing", "adds the wing sound, but soundless cannot be loaded"),
        ("image = soundwing:SoundWing", "the installed package soundwing adds a wing that does not fit"),
    ],
)
def test_a_package_whose_wing_cannot_be_used_is_named(tmp_path: Path, point: str, words: str) -> None:
    copy_of_medcl(tmp_path)
    install_wing(tmp_path, point)
    done = run(tmp_path, "import medcl.modality.formats")
    assert words in done.stderr
