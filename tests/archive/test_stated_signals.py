"""What a user states of signals holds from the scan to the store."""

from pathlib import Path

import numpy as np
import pytest
import yaml

from medcl.archive.build import build_manifest
from medcl.archive.config import ScanRequest
from medcl.archive.manifest import Manifest
from medcl.cli import main
from medcl.data.prepare import prepare
from medcl.modality.signal.config import SignalConfig
from medcl.modality.signal.store import SignalStore
from tests.modality.signal.formats import write_signals as write
from tests.modality.written import ELECTRODES, waves, write_wfdb

VALUES = waves(samples=500, scale=50)


def prepared(manifest: Path) -> SignalStore:
    config = SignalConfig(window=1.0, sampling_rate=100, channels=list(ELECTRODES))
    return prepare(Manifest.read(manifest), config, manifest.with_name("store"), jobs=1)


@pytest.fixture
def arrays(tmp_path: Path) -> Path:
    folder = tmp_path / "archive"
    folder.mkdir()
    for name in "abc":
        np.save(folder / f"{name}.npy", VALUES)
    return folder


def test_the_rate_channels_and_unit_of_the_call_are_those_of_every_array(arrays: Path, tmp_path: Path) -> None:
    flags = ["--sampling-rate", "100", "--channels", *ELECTRODES, "--unit", "uV"]
    assert main(["scan", str(arrays), "-o", str(tmp_path / "m.parquet"), "--patient-per-record", *flags]) == 0
    assert Manifest.read(tmp_path / "m.parquet").column("status").tolist() == ["ok"] * 3
    store = prepared(tmp_path / "m.parquet")
    assert len(store) == 3
    for number in range(3):
        np.testing.assert_allclose(store.read(number), VALUES, atol=1e-4)


def test_other_words_of_the_user_read_the_files_again(arrays: Path, tmp_path: Path) -> None:
    def scanned(*flags: str) -> Manifest:
        call = ["scan", str(arrays), "-o", str(tmp_path / "m.parquet"), "--patient-per-record", "--unit", "uV", *flags]
        assert main(call) == 0
        return Manifest.read(tmp_path / "m.parquet")

    assert set(scanned("--sampling-rate", "100").column("sampling_rate")) == {100}
    assert set(scanned("--sampling-rate", "200").column("sampling_rate")) == {200}


def test_a_card_states_it_too(arrays: Path, tmp_path: Path) -> None:
    about = dict.fromkeys(("name", "version", "source", "licence", "citation"), "x")
    about |= {"modality": "eeg", "unit": "uV", "sampling_rate": 100, "channels": list(ELECTRODES)}
    (tmp_path / "card.yaml").write_text(yaml.safe_dump(about))
    output = tmp_path / "m.parquet"
    request = ScanRequest(arrays, output, card=tmp_path / "card.yaml", patient_per_record=True)
    assert build_manifest(request).summary.records == 3
    np.testing.assert_allclose(prepared(output).read(2), VALUES, atol=1e-4)


def test_a_matlab_file_beside_its_wfdb_header_is_no_record_of_its_own(tmp_path: Path) -> None:
    folder = tmp_path / "archive"
    path = write_wfdb(folder, "a", write.beats(3))
    (folder / "a.dat").rename(folder / "a.mat")
    path.write_text(path.read_text().replace("a.dat", "a.mat"))
    write.write_mat(folder / "b.mat", VALUES)
    output = tmp_path / "m.parquet"
    assert main(["scan", str(folder), "-o", str(output), "--patient-per-record", "--fractions", "1", "0", "0"]) == 0
    assert Manifest.read(output).column("path").tolist() == ["a.hea", "b.mat"]
