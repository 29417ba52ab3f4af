"""The converter of BCI Competition IV 2b: from MATLAB files to trials that a scan reads with its card."""

import importlib.util
from pathlib import Path
from types import ModuleType

import numpy as np
import pytest
from scipy.io import savemat

from medcl.archive.manifest import Manifest
from medcl.cli import main

DATASETS = Path(__file__).parent.parent / "datasets"


@pytest.fixture(scope="module")
def converter() -> ModuleType:
    spec = importlib.util.spec_from_file_location("bci_iv_2b", DATASETS / "bci_iv_2b.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_trials_are_scanned_with_their_subjects_and_hands(converter: ModuleType, tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    recordings = {
        f"B0{subject}0{session}T": rng.normal(0, 10, (1000, 3, 4)) for subject in (1, 2, 3) for session in (3, 4)
    }
    for name, data in recordings.items():
        savemat(tmp_path / f"{name}.mat", {"data": data, "label": np.array([[1], [2], [2], [1]])})
    assert converter.main([str(tmp_path), str(tmp_path / "out")]) == 0
    words = ["--card", str(DATASETS / "bci_iv_2b.yaml"), "-o", str(tmp_path / "m.parquet"), "--jobs", "1"]
    assert main(["scan", str(tmp_path / "out"), *words]) == 0
    manifest = Manifest.read(tmp_path / "m.parquet")
    assert len(manifest) == 24
    assert len(set(manifest.column("patient").tolist())) == 3
    assert set(manifest.column("status")) == {"ok"}
    by_path = dict(zip(manifest.column("path"), manifest.column("hand"), strict=True))
    assert [by_path[f"02/04T/t{k:03d}.npy"] for k in range(4)] == ["left", "right", "right", "left"]
    np.testing.assert_allclose(
        np.load(tmp_path / "out" / "02" / "04T" / "t001.npy"), recordings["B0204T"][:, :, 1].T, rtol=1e-6
    )


def test_other_files_are_refused_by_name(
    converter: ModuleType, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert converter.main([str(tmp_path), str(tmp_path / "out")]) == 1
    assert "B0103T.mat" in capsys.readouterr().err
    savemat(tmp_path / "B0103T.mat", {"other": np.zeros(3)})
    assert converter.main([str(tmp_path), str(tmp_path / "out")]) == 1
    assert "not a recording of this data set" in capsys.readouterr().err
