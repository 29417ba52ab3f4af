"""Objects in memory have the embeddings that `medcl embed` gives the files that they were read from."""

import shutil
import stat
from collections.abc import Callable
from dataclasses import asdict
from pathlib import Path
from typing import Any

import mne
import nibabel as nib
import numpy as np
import pydicom
import pytest
import wfdb
from PIL import Image

import medcl
from medcl.archive.manifest import Manifest
from medcl.embed.embeddings import EmbeddingsFile
from medcl.errors import MedclError, UsageError
from medcl.modality.report.config import TextConfig, TextEncoderConfig
from medcl.modality.report.encoders.tokens import Tokenizer
from medcl.modality.signal.config import SignalEncoderConfig
from medcl.modality.spec import Card, SignalCard, TextCard, VolumeCard
from medcl.modality.volume.config import VolumeConfig
from tests.embed import archives
from tests.modality.written import write_fif

SAME = 1e-6
ENCODER = SignalEncoderConfig(name="resnet", dim=8, hidden=8, depth=3, stride=8)
# Another rate, another order of channels and a filter than the files have.
ECG = SignalCard(ENCODER, ("V5", "I", "II"), 80.0, 2.0, "record", (0.5, 30.0))
EEG = SignalCard(ENCODER, ("O2", "C3", "CZ"), 128.0, 2.0, "window", None, 50.0)
MR = VolumeCard(archives.NETWORK, 1, "mr", asdict(VolumeConfig(size=(16, 16, 1), spacing=(4.0, 4.0, None))))
CT = VolumeCard(
    archives.NETWORK, 1, "ct", asdict(VolumeConfig(size=(16, 16, 1), window=(-1000.0, 400.0), foreground=False))
)


@pytest.fixture(scope="module")
def archive(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("objects") / "a"
    medcl.phantom(folder, 2, 2, ct_patients=1, mr_patients=2, xray_patients=1, reports=True)
    return folder


Embedded = tuple[Path, Manifest, np.ndarray]


@pytest.fixture(scope="module")
def embedded(archive: Path) -> Callable[..., Embedded]:
    """Embed a folder of the archive: the run, the manifest and the embeddings in its order."""

    def embed(name: str, card: Card, **settings: Any) -> Embedded:
        place = archive.parent / name
        manifest = place / "m.parquet"
        medcl.scan(archive / name, manifest, patient_per_record=True, jobs=1, **settings)
        run = archives.save(place / "run", card)
        found = medcl.embed(run, manifest, place / "e.parquet", jobs=1)
        ids = EmbeddingsFile.read(Path(found)).column("record_id")
        every = Manifest.read(manifest)
        rows = [list(every.column("record_id")).index(one) for one in ids]
        return run, every.select(rows), EmbeddingsFile.read(Path(found)).vectors()

    return embed


def files_of(manifest: Manifest) -> list[Path]:
    return [manifest.root / one for one in manifest.column("path")]


def test_arrays_of_recordings(embedded: Callable[..., Embedded]) -> None:
    run, manifest, expected = embedded("ecg", ECG)
    encoder = medcl.load(run)
    records = [wfdb.rdrecord(str(path.with_suffix(""))) for path in files_of(manifest)]
    for record, z in zip(records, expected, strict=True):
        found = encoder.embed(record.p_signal.T, sampling_rate=record.fs, channels=record.sig_name)
        np.testing.assert_allclose(found, z, atol=SAME)
        in_volts = encoder.embed(record.p_signal.T / 1000, sampling_rate=record.fs, channels=record.sig_name, unit="V")
        np.testing.assert_allclose(in_volts, z, atol=SAME)
    every = encoder.embed(
        [one.p_signal.T for one in records], sampling_rate=records[0].fs, channels=records[0].sig_name
    )
    np.testing.assert_allclose(every, expected, atol=SAME)
    windows = encoder.embed(
        records[0].p_signal.T, sampling_rate=records[0].fs, channels=records[0].sig_name, level="window"
    )
    np.testing.assert_allclose(windows.mean(axis=0), expected[0], atol=SAME)
    # A path is read where it is.
    np.testing.assert_allclose(encoder.embed(files_of(manifest)), expected, atol=SAME)


def test_recordings_of_mne(embedded: Callable[..., Embedded]) -> None:
    run, manifest, expected = embedded("eeg", EEG)
    encoder = medcl.load(run)
    for path, z in zip(files_of(manifest), expected, strict=True):
        raw = mne.io.read_raw_edf(path, verbose="ERROR")
        np.testing.assert_allclose(encoder.embed(raw), z, atol=SAME)


def test_epochs_of_mne(tmp_path: Path) -> None:
    values = 1e-5 * np.random.default_rng(0).standard_normal((3, 2000))
    raw = mne.io.read_raw_fif(write_fif(tmp_path / "a_raw.fif", values), verbose="ERROR")
    epochs = mne.make_fixed_length_epochs(raw, 4.0, preload=True, verbose="ERROR")
    (tmp_path / "a").mkdir()
    epochs.save(tmp_path / "a" / "a-epo.fif", fmt="double", verbose="ERROR")
    card = SignalCard(ENCODER, ("FP1", "FZ", "O2"), 64.0, 1.5, "window")
    run = archives.save(tmp_path / "run", card)
    medcl.scan(tmp_path / "a", tmp_path / "m.parquet", patient_per_record=True, jobs=1)
    expected = EmbeddingsFile.read(Path(medcl.embed(run, tmp_path / "m.parquet", tmp_path / "e.parquet", jobs=1)))
    assert expected.column("pieces")[0] == 10, "no window reaches from one epoch into the next"
    np.testing.assert_allclose(medcl.load(run).embed(epochs), expected.vectors()[0], atol=SAME)


def test_volumes_of_nibabel(embedded: Callable[..., Embedded]) -> None:
    run, manifest, expected = embedded("mr", MR, include="P*/*.nii.gz")
    encoder = medcl.load(run)
    for path, z in zip(files_of(manifest), expected, strict=True):
        image = nib.load(path)
        np.testing.assert_allclose(encoder.embed(image), z, atol=SAME)
        turned = nib.as_closest_canonical(image)
        voxels = np.asarray(turned.dataobj).astype(image.get_data_dtype())
        again = encoder.embed(nib.Nifti1Image(voxels, turned.affine))
        np.testing.assert_allclose(again, z, atol=1e-5, err_msg="stored along other axes")


def test_slices_of_pydicom_are_one_volume(embedded: Callable[..., Embedded]) -> None:
    run, manifest, expected = embedded("ct", CT)
    encoder = medcl.load(run)
    path = files_of(manifest)[0]
    slices = [pydicom.dcmread(path.parent / name) for name in manifest.column("files")[0]]
    np.testing.assert_allclose(encoder.embed(slices[::-1]), expected[0], atol=SAME)
    volume = np.stack([one.pixel_array for one in sorted(slices, key=lambda one: one.ImagePositionPatient[2])], -1)
    spacing = [*slices[0].PixelSpacing, abs(slices[1].ImagePositionPatient[2] - slices[0].ImagePositionPatient[2])]
    slope, intercept = slices[0].RescaleSlope, slices[0].RescaleIntercept
    in_ras = (volume * slope + intercept).transpose(1, 0, 2)[::-1, ::-1].astype(np.int16)
    found = encoder.embed(np.ascontiguousarray(in_ras), spacing=[float(one) for one in spacing])
    np.testing.assert_allclose(found, expected[0], atol=1e-4)


def test_images_of_pillow_and_pydicom(embedded: Callable[..., Embedded]) -> None:
    run, manifest, expected = embedded("xray_png", archives.pictures())
    encoder = medcl.load(run)
    images = [Image.open(path) for path in files_of(manifest)]
    np.testing.assert_allclose(encoder.embed(images), expected, atol=SAME)
    np.testing.assert_allclose(encoder.embed(np.asarray(images[0])), expected[0], atol=SAME)
    run, manifest, expected = embedded("xray", archives.pictures())
    for path, z in zip(files_of(manifest), expected, strict=True):
        np.testing.assert_allclose(medcl.load(run).embed(pydicom.dcmread(path)), z, atol=SAME)


def test_reports(archive: Path, tmp_path: Path) -> None:
    folder = tmp_path / "a"
    shutil.copytree(archive / "ecg", folder)
    shutil.copytree(archive / "reports" / "ecg", folder / "reports")
    files = sorted((folder / "reports").glob("P*/*.txt"))
    texts = [path.read_text(encoding="utf-8") for path in files]
    network = TextEncoderConfig(dim=16, hidden=32, depth=1, vocabulary=300)
    tokenizer = Tokenizer.train(texts, 300).to_json()
    run = archives.save(tmp_path / "run", TextCard(network, tokenizer, None, asdict(TextConfig(length=24))))
    medcl.scan(folder, tmp_path / "m.parquet", patient_per_record=True, reports="reports/P*/*.txt", jobs=1)
    expected = EmbeddingsFile.read(Path(medcl.embed(run, tmp_path / "m.parquet", tmp_path / "e.parquet", jobs=1)))
    by_path = dict(zip(expected.column("path"), expected.vectors(), strict=True))
    for path, text in zip(files, texts, strict=True):
        z = by_path[path.relative_to(folder).as_posix()]
        np.testing.assert_allclose(medcl.load(run).embed(text), z, atol=SAME)


def test_what_is_missing_or_does_not_fit_is_named(tmp_path: Path) -> None:
    encoder = medcl.load(archives.save(tmp_path / "run", ECG))
    x = np.random.default_rng(0).standard_normal((3, 1000))
    leads = ("I", "II", "V5")
    with pytest.raises(UsageError, match="sampling_rate= is missing"):
        encoder.embed(x, channels=leads)
    with pytest.raises(UsageError, match=r"2 channels= for an array of shape \(3, 1000\)"):
        encoder.embed(x, sampling_rate=100, channels=leads[:2])
    with pytest.raises(UsageError, match="str: the encoder takes recordings from arrays"):
        encoder.embed("a report")
    with pytest.raises(MedclError, match="lacks the channels V5; it has I, II, V4"):
        encoder.embed(x, sampling_rate=100, channels=("I", "II", "V4"))
    with pytest.raises(MedclError, match="object 1: too short for its filter"):
        encoder.embed([x, x[:, :50]], sampling_rate=100, channels=leads)
    with pytest.raises(MedclError, match="too short"):
        encoder.embed(x[:, :50], sampling_rate=100, channels=leads)
    Image.new("L", (16, 16)).save(tmp_path / "a.png")
    with pytest.raises(MedclError, match="no encoder for images"):
        encoder.embed(tmp_path / "a.png")
    with pytest.raises(UsageError, match="there is no such file"):
        encoder.embed(tmp_path / "nowhere.edf")
    volumes = medcl.load(archives.save(tmp_path / "volumes", MR))
    with pytest.raises(UsageError, match="needs spacing="):
        volumes.embed(np.zeros((8, 8, 8)))


def test_nothing_is_left_on_the_disk(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    encoder = medcl.load(archives.save(tmp_path / "run", archives.pictures()))
    place = tmp_path / "temporary"
    place.mkdir()
    monkeypatch.setattr("tempfile.tempdir", str(place))
    seen: list[int] = []
    monkeypatch.setattr(
        "medcl.embed.inputs.write",
        lambda x, kinds, folder, given: (
            seen.append(folder.parent.stat().st_mode),
            folder.mkdir(),
            x.save(folder / "0.png"),
        )[0],
    )
    encoder.embed(Image.fromarray(np.arange(256, dtype=np.uint8).reshape(16, 16)))
    assert stat.S_IMODE(seen[0]) == 0o700
    assert not list(place.iterdir())
