"""No file ends `prepare`: what has changed since the scan, is absurd or ends its reader is left out with its reason."""

import os
import shutil
from dataclasses import replace
from datetime import date
from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest
from edfio import Patient

from medcl.archive.build import build_manifest
from medcl.archive.config import ScanRequest
from medcl.archive.manifest import Manifest
from medcl.archive.masks import MaskRule
from medcl.archive.schema import SCHEMA, scanned_column
from medcl.data.prepare import prepare
from medcl.errors import UnreadableError, UsageError
from medcl.evaluate.segment_predict import labels_of
from medcl.modality.image.config import ImageConfig
from medcl.modality.signal import prepare as decode
from medcl.modality.signal.config import SignalConfig
from medcl.modality.volume.config import VolumeConfig
from medcl.phantom.volumes import write_volumes
from tests.archive.test_guard import segfaulting
from tests.data.volume_archive import CLASSES, labels, noise, save
from tests.modality.written import waves, write_edf, write_eeglab

CONFIG = SignalConfig(sampling_rate=100, channels=["Fp1", "Fz", "O2"])


def scanned(folder: Path, **options: object) -> Manifest:
    output = folder.parent / "m.parquet"
    build_manifest(ScanRequest(folder=folder, output=output, patient_per_record=True, jobs=1, **options))  # type: ignore[arg-type]
    return Manifest.read(output).ok()


def reasons(manifest: Manifest, quarantine: dict[str, str]) -> dict[str, str]:
    """Path -> why."""
    paths = dict(zip(manifest.column("record_id"), manifest.column("path"), strict=True))
    return {paths[record]: why for record, why in quarantine.items()}


def person(code: str) -> Patient:
    return Patient(code=code, sex="F", birthdate=date(1950, 2, 3), name="Smith_Jane")


def test_another_patient_under_an_old_name_is_noticed(tmp_path: Path) -> None:
    names = ("header", "shorter", "same", "time")
    for number, name in enumerate(names):
        write_edf(tmp_path / "a" / f"{name}.edf", waves(scale=50, seed=number), patient=person(f"P{number}"))
    manifest = scanned(tmp_path / "a")
    times = {name: (tmp_path / "a" / f"{name}.edf").stat().st_mtime_ns for name in names}
    # As long as before, and as old: only the header tells.
    write_edf(tmp_path / "a" / "header.edf", waves(scale=50, seed=9), patient=person("P9"))
    write_edf(tmp_path / "a" / "shorter.edf", waves(scale=50, seed=9, samples=400), patient=person("P1"))
    for name in ("header", "shorter"):
        os.utime(tmp_path / "a" / f"{name}.edf", ns=(0, times[name]))
    os.utime(tmp_path / "a" / "time.edf", ns=(0, times["time"] + 1))

    store = prepare(manifest, CONFIG, tmp_path / "store", jobs=1)

    found = reasons(manifest, store.quarantine)
    assert sorted(found) == ["header.edf", "shorter.edf", "time.edf"]
    assert all(why.startswith("changed since the scan: ") and "scan the archive again" in why for why in found.values())
    (tmp_path / "m.parquet").unlink()
    again = scanned(tmp_path / "a")
    assert prepare(again, CONFIG, tmp_path / "store", jobs=1).quarantine == {}


def test_only_strict_reads_the_headers_of_all_slices(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write_volumes(tmp_path / "a", ct_patients=2, mr_patients=0, seed=0)
    shutil.rmtree(tmp_path / "a" / "ct" / "masks", ignore_errors=True)
    manifest = scanned(tmp_path / "a")
    series = manifest.select(manifest.column("format") == "dicom")
    path = tmp_path / "a" / str(series.column("path")[0])
    about, content = path.stat(), path.read_bytes()
    age = content.index(b"PatientName") if b"PatientName" in content else content.index(b"LO")
    config = VolumeConfig(size=(8, 8, 8))
    before = prepare(series, config, tmp_path / "one", jobs=1, strict=True)
    # Another place of the slice, in a file of the same size and time.
    spacing = content.index(b"\x20\x00\x32\x00")
    at = content.index(b"\\", spacing)
    path.write_bytes(content[: at - 1] + (b"7" if content[at - 1 : at] != b"7" else b"8") + content[at:])
    os.utime(path, ns=(0, about.st_mtime_ns))
    assert age > 0
    lax = prepare(series, config, tmp_path / "two", jobs=1)
    strict = prepare(series, config, tmp_path / "three", jobs=1, strict=True)
    assert before.quarantine == {}
    assert not any("changed since" in why for why in lax.quarantine.values())
    changed = reasons(series, strict.quarantine)
    assert changed[str(series.column("path")[0])].startswith("changed since the scan: another header")
    monkeypatch.setenv("MEDCL_SALT", "another salt, of another site")
    with pytest.raises(UsageError, match="set MEDCL_SALT to that of the scan"):
        prepare(series, config, tmp_path / "four", jobs=1, strict=True)


def test_a_strict_scan_lets_a_strict_preparation_compare_every_byte(tmp_path: Path) -> None:
    path = write_edf(tmp_path / "a" / "a.edf", waves(scale=50, samples=20000))
    write_edf(tmp_path / "a" / "b.edf", waves(scale=50))
    manifest = scanned(tmp_path / "a", strict=True)
    about, content = path.stat(), path.read_bytes()
    path.write_bytes(content[:-2] + bytes([content[-2] ^ 1, content[-1]]))
    os.utime(path, ns=(0, about.st_mtime_ns))
    lax = prepare(manifest, CONFIG, tmp_path / "lax", jobs=1)
    strict = prepare(manifest, CONFIG, tmp_path / "strict", jobs=1, strict=True)
    assert lax.quarantine == {}
    assert reasons(manifest, strict.quarantine)["a.edf"].startswith("changed since the scan: another content")


def linked(folder: Path, **options: object) -> Manifest:
    """Volumes v0 to v4 and their label maps, scanned anew."""
    (folder.parent / "m.parquet").unlink(missing_ok=True)
    return scanned(folder, masks=MaskRule("m_{name}", CLASSES, "organs"), **options)


def write_linked(folder: Path) -> None:
    for number in range(5):
        save(folder / f"v{number}.nii", noise(seed=number))
        save(folder / f"m_v{number}.nii", labels(seed=number))


def test_another_label_map_under_an_old_name_is_noticed(tmp_path: Path) -> None:
    folder, config = tmp_path / "a", VolumeConfig(size=(8, 8, 8))
    write_linked(folder)
    manifest = linked(folder)
    before = {path.name: path.stat().st_mtime_ns for path in folder.iterdir()}
    save(folder / "m_v0.nii", labels((20, 24, 15)))
    # As long as before, and as old: only the header tells.
    content = (folder / "m_v1.nii").read_bytes()
    (folder / "m_v1.nii").write_bytes(content[:148] + b"drawn by another" + content[164:])
    os.utime(folder / "m_v2.nii", ns=(0, before["m_v2.nii"] + 1))
    (folder / "m_v3.nii").unlink()
    for name in ("m_v0.nii", "m_v1.nii"):
        os.utime(folder / name, ns=(0, before[name]))

    store = prepare(manifest, config, tmp_path / "store", jobs=1)

    found = reasons(manifest, store.mask_quarantine["organs"])
    assert len(store) == 5
    assert sorted(found) == [f"v{number}.nii" for number in range(4)]
    for name, why in (("v0", "bytes, the manifest has"), ("v1", "another header"), ("v2", "another time")):
        assert found[f"{name}.nii"].startswith("changed since the scan: ")
        assert why in found[f"{name}.nii"]
    assert "the file has been deleted or moved since the scan" in found["v3.nii"]
    row = int(np.flatnonzero(manifest.column("path") == "v2.nii")[0])
    with pytest.raises(UnreadableError, match="changed since the scan: another time"):
        labels_of(store, row, manifest, row, "organs")
    again = prepare(linked(folder), config, tmp_path / "store", jobs=1).mask_quarantine["organs"]
    assert [why[:13] for why in again.values()] == ["the label map"], "of v0, which has another shape"


def test_a_strict_scan_lets_a_strict_preparation_compare_every_byte_of_a_label_map(tmp_path: Path) -> None:
    folder, config = tmp_path / "a", VolumeConfig(size=(8, 8, 8))
    for number in range(2):
        save(folder / f"v{number}.nii", noise((40, 40, 60), seed=number))
        save(folder / f"m_v{number}.nii", labels((40, 40, 60), seed=number))
    manifest = linked(folder, strict=True)
    path = folder / "m_v0.nii"
    time, content = path.stat().st_mtime_ns, path.read_bytes()
    path.write_bytes(content[:-1] + bytes([(content[-1] + 1) % 3]))
    os.utime(path, ns=(0, time))
    lax = prepare(manifest, config, tmp_path / "lax", jobs=1)
    strict = prepare(manifest, config, tmp_path / "strict", jobs=1, strict=True)
    assert lax.mask_quarantine["organs"] == {}
    found = reasons(manifest, strict.mask_quarantine["organs"])
    assert list(found) == ["v0.nii"]
    assert found["v0.nii"].startswith("changed since the scan: another content")


def test_label_maps_of_a_manifest_that_noted_no_state_are_read(tmp_path: Path) -> None:
    write_linked(tmp_path / "a")
    manifest = linked(tmp_path / "a")
    old = replace(manifest, table=manifest.table.drop_columns([scanned_column("organs")]))
    os.utime(tmp_path / "a" / "m_v2.nii", ns=(0, 1))
    store = prepare(old, VolumeConfig(size=(8, 8, 8)), tmp_path / "store", jobs=1)
    assert store.mask_quarantine["organs"] == {}


@pytest.mark.parametrize("jobs", [1, 2])
def test_a_file_that_ends_its_reader_ends_no_preparation(tmp_path: Path, jobs: int) -> None:
    (tmp_path / "a").mkdir()
    write_edf(tmp_path / "a" / "a.edf", waves(scale=50))
    write_eeglab(tmp_path / "a" / "b.set", waves(scale=50))
    write_eeglab(tmp_path / "a" / "c.set", waves(scale=50, seed=1))
    manifest = scanned(tmp_path / "a")
    sound = (tmp_path / "a" / "b.set").read_bytes()
    (tmp_path / "a" / "b.set").write_bytes(segfaulting(sound))
    # A manifest that knows neither size nor time: as one of another origin.
    for name in ("size", "mtime_ns", "checksum"):
        manifest = manifest.with_column(name, pa.nulls(3, SCHEMA.field(name).type))
    store = prepare(manifest, CONFIG, tmp_path / "store", jobs=jobs)
    assert list(reasons(manifest, store.quarantine)) == ["b.set"]
    assert len(store) == 2


def test_values_that_no_recording_has_are_named(tmp_path: Path) -> None:
    (tmp_path / "a").mkdir()
    for name, largest in (("good", 1.0), ("large", 1e12), ("infinite", np.inf)):
        values = waves(scale=1e-5)
        values[0, 7] *= largest
        np.save(tmp_path / "a" / f"{name}.npy", values.T.astype(np.float32))
        (tmp_path / "a" / f"{name}.json").write_text('{"fs": 100, "labels": ["Fp1", "Fz", "O2"], "unit": "V"}')
    manifest = scanned(tmp_path / "a")
    store = prepare(manifest, CONFIG, tmp_path / "store", jobs=1)
    found = reasons(manifest, store.quarantine)
    assert sorted(found) == ["infinite.npy", "large.npy"]
    assert "infinite" in found["infinite.npy"]
    assert "Fp1" in found["infinite.npy"]
    assert "channel Fp1, above the limit of 1e+09: its gain or its unit is wrong" in found["large.npy"]


def test_a_recording_larger_than_memory_costs_no_other(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write_edf(tmp_path / "a" / "short.edf", waves(scale=50))
    write_edf(tmp_path / "a" / "long.edf", waves(scale=50, samples=5000))
    manifest = scanned(tmp_path / "a")
    monkeypatch.setattr("medcl.data.prepare.available", lambda: 3 * 1000 * decode.NEEDED)
    store = prepare(manifest, CONFIG, tmp_path / "store", jobs=1)
    assert reasons(manifest, store.quarantine)["long.edf"].startswith("larger than memory")
    assert len(store) == 1


@pytest.mark.parametrize("error", [MemoryError("Smith"), OverflowError("Smith"), KeyError("Smith_Jane.edf")])
def test_whatever_a_reader_raises_is_the_reason_of_one_record(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, error: Exception
) -> None:
    for name in "ab":
        write_edf(tmp_path / "a" / f"{name}.edf", waves(scale=50))
    manifest = scanned(tmp_path / "a")
    read_signal = decode.read_signal

    def reader(path: Path, *how: object, **options: object) -> object:
        if path.name == "a.edf":
            raise error
        return read_signal(path, *how, **options)

    monkeypatch.setattr(decode, "read_signal", reader)
    store = prepare(manifest, CONFIG, tmp_path / "store", jobs=1)
    found = reasons(manifest, store.quarantine)
    assert list(found) == ["a.edf"]
    assert "Smith" not in found["a.edf"]


def test_pictures_are_compared_with_their_scan_too(tmp_path: Path) -> None:
    from PIL import Image

    (tmp_path / "a").mkdir()
    for number, name in enumerate("ab"):
        pixels = np.random.default_rng(number).integers(0, 255, (40, 40), dtype=np.uint8)
        Image.fromarray(pixels).save(tmp_path / "a" / f"{name}.png", compress_level=0)
    manifest = scanned(tmp_path / "a")
    time = (tmp_path / "a" / "a.png").stat().st_mtime_ns
    shutil.copy(tmp_path / "a" / "b.png", tmp_path / "a" / "a.png")
    os.utime(tmp_path / "a" / "a.png", ns=(0, time))
    store = prepare(manifest, ImageConfig(size=(20, 20)), tmp_path / "store", jobs=1)
    assert reasons(manifest, store.quarantine)["a.png"].startswith("changed since the scan: another header")
