"""Every format: what `scan` calls ok, `prepare` decodes; and whatever a file says, no name comes out of it."""

import importlib.util
import re
import shutil
from pathlib import Path

import pyarrow.parquet as pq
import pytest

from medcl.archive.build import build_manifest
from medcl.archive.config import ScanRequest
from medcl.archive.manifest import Manifest
from medcl.data.prepare import prepare
from medcl.modality.formats import FORMATS
from medcl.modality.image.config import ImageConfig
from medcl.modality.signal.config import SignalConfig
from medcl.modality.volume.config import VolumeConfig
from tests.archive.every_format import PERSON, WORDS, WRITERS

CHANNELS = {"ecg": ["I", "II", "V1"], "eeg": ["Fp1", "Fz", "O2"]}
ITK = ("nrrd", "metaimage")


@pytest.fixture(scope="module")
def sound(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An archive with a folder a format."""
    root = tmp_path_factory.mktemp("formats") / "archive"
    for name, write in WRITERS.items():
        if name in ITK and importlib.util.find_spec("itk") is None:
            continue
        (root / name).mkdir(parents=True)
        write(root / name)
    return root


def scanned(root: Path) -> Manifest:
    output = root.parent / "m.parquet"
    print(build_manifest(ScanRequest(folder=root, output=output, patient_per_record=True, jobs=1)))
    return Manifest.read(output)


def prepared(manifest: Manifest, store: Path) -> dict[str, str]:
    """Prepare every record that is ok; path -> why it cannot be."""
    usable = manifest.ok()
    quarantine: dict[str, str] = {}
    for modality, channels in CHANNELS.items():
        signals = usable.select(usable.column("modality") == modality)
        config = SignalConfig(sampling_rate=100, channels=channels)
        quarantine |= prepare(signals, config, store, jobs=1).quarantine
    quarantine |= prepare(usable, VolumeConfig(size=(4, 4, 1), spacing=None), store, jobs=1).quarantine
    quarantine |= prepare(usable, ImageConfig(size=(20, 20)), store, jobs=1).quarantine
    paths = dict(zip(usable.column("record_id"), usable.column("path"), strict=True))
    return {paths[record]: why for record, why in quarantine.items()}


def test_every_format_has_a_writer_here() -> None:
    assert {one.name for one in FORMATS if one.begins and not one.unread} == set(WRITERS)


def test_what_scan_calls_ok_prepare_can_decode(sound: Path, tmp_path: Path) -> None:
    manifest = scanned(sound)
    found = dict(zip(manifest.column("format"), manifest.column("status"), strict=True))
    assert found == dict.fromkeys((folder.name for folder in sound.iterdir()), "ok")
    # Its O2 has the patient's name, and so none here.
    reasons = prepared(manifest, tmp_path / "store")
    assert list(reasons) == ["gdf/a.gdf"]
    assert "O2" in reasons["gdf/a.gdf"]
    channels = dict(zip(manifest.column("format"), manifest.column("channels"), strict=True))
    assert list(channels["gdf"]) == ["Fp1", "Fz", "channel 3"]
    assert list(channels["edf"])[:4] == ["Fp1", "Fz", "O2", "channel 4"]
    assert list(channels["fif"]) == ["Fp1", "Fz", "O2", "channel 4"]


def test_no_name_in_any_field_of_any_file_comes_out(
    sound: Path,
    tmp_path: Path,
    capfd: pytest.CaptureFixture[str],
    caplog: pytest.LogCaptureFixture,
    recwarn: pytest.WarningsRecorder,
) -> None:
    root = tmp_path / "archive"
    shutil.copytree(sound, root / "sound")
    for folder in sorted(sound.iterdir()):
        damaged(folder, root)
    capfd.readouterr()

    manifest = scanned(root)
    reasons = prepared(manifest, tmp_path / "store")

    said = "".join([*capfd.readouterr(), caplog.text, *(str(one.message) for one in recwarn)])
    status = dict(zip(manifest.column("path"), manifest.column("status"), strict=True))
    assert sum(one != "ok" for one in status.values()) > len(WRITERS)
    texts = {"said": said, "reasons": str(reasons), "metadata": str(manifest.metadata)}
    # What a damaged header has in the place of a channel's name is the name of a channel.
    texts |= {
        f"row of {row['path']}": str(row if row["path"].startswith("sound/") else row | {"channels": None})
        for row in manifest.table.to_pylist()
    }
    written = [one for one in (tmp_path / "store").rglob("*") if one.is_file()]
    assert len(written) > 8
    for path in written:
        whole = pq.read_table(path) if path.suffix == ".parquet" else None
        about = f"{whole.to_pylist()} {whole.schema.metadata}" if whole is not None else ""
        texts[path.name] = about or path.read_bytes().decode("latin-1")
    assert {place: text[:2000] for place, text in texts.items() if any(word in text.lower() for word in WORDS)} == {}


def damaged(folder: Path, root: Path) -> None:
    """Copies of a record that provoke the errors of its reader: cut, and with a name where a number was."""
    for path in sorted(folder.iterdir())[:1]:
        content = path.read_bytes()
        wrong = {"half": content[: len(content) // 2], "short": content[: min(200, len(content) // 3)]}
        numbers = [one.span() for one in re.finditer(rb"(?<![\w.])\d+(\.\d+)?(?![\w.])", content[:4096])]
        for place, (start, stop) in enumerate(numbers[:: max(1, len(numbers) // 12)]):
            name = PERSON.encode()
            wrong[f"number{place}"] = content[:start] + name + content[stop:]
            wrong[f"width{place}"] = content[:start] + name[: stop - start] + content[stop:]
        for place in (4, 40, 76, 108, 132, 160, 344):
            wrong[f"at{place}"] = content[:place] + PERSON.encode() + content[place + len(PERSON) :]
        for kind, one in wrong.items():
            copy = root / kind / folder.name
            shutil.copytree(folder, copy)
            (copy / path.name).write_bytes(one)
