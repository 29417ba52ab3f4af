"""What channels are measured against: derivations, the common average, the nearest electrodes."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from medcl.archive.build import build_manifest
from medcl.archive.config import ScanRequest
from medcl.archive.manifest import Manifest
from medcl.data.prepare import prepare
from medcl.errors import UsageError
from medcl.modality.signal.config import SignalConfig, SignalEncoderConfig, Stated
from medcl.modality.signal.montage import matrix
from medcl.modality.signal.preprocessing import preprocessing
from medcl.modality.signal.reference import preprocess
from medcl.modality.signal.samples import SignalWindows
from medcl.modality.spec import SignalCard

CHANNELS = ["F3", "C3", "Cz", "C4", "P3"]
RATE = 100.0


@pytest.fixture(scope="module")
def recorded(tmp_path_factory: pytest.TempPathFactory) -> tuple[Manifest, np.ndarray]:
    folder = tmp_path_factory.mktemp("montage")
    x = np.random.default_rng(0).normal(0, 10, (5, 600)).astype(np.float32)
    (folder / "a" / "p0").mkdir(parents=True)
    np.save(folder / "a" / "p0" / "r.npy", x)
    output = folder / "m.parquet"
    build_manifest(
        ScanRequest(
            folder=folder / "a",
            output=output,
            id_pattern=r"(?P<patient>[^/]+)/(?P<trial>[^/.]+)",
            stated=Stated(RATE, tuple(CHANNELS), "uV"),
            modality="eeg",
            jobs=1,
        )
    )
    return Manifest.read(output), x


@pytest.mark.parametrize(
    ("channels", "reference", "expected"),
    [
        (["C3-Cz", "C4", "C3-P3"], "none", lambda x: np.stack([x[1] - x[2], x[3], x[1] - x[4]])),
        (CHANNELS, "average", lambda x: x - x.mean(axis=0)),
        (["C3", "C4", "Cz"], "average", lambda x: x[[1, 3, 2]] - x[[1, 3, 2]].mean(axis=0)),
        (["C3", "Cz", "C4"], "laplacian", lambda x: x[1:4] - np.stack([(x[i] + x[j]) / 2 for i, j in PAIRS])),
    ],
)
def test_recordings_are_referenced_as_they_are_prepared(
    recorded: tuple[Manifest, np.ndarray], tmp_path: Path, channels: list[str], reference: Any, expected: Any
) -> None:
    manifest, x = recorded
    config = SignalConfig(
        channels=channels, window=2.0, stride=2.0, sampling_rate=RATE, standardise="none", reference=reference
    )
    store = prepare(manifest, config, tmp_path, jobs=1)
    np.testing.assert_allclose(store.read(0), expected(x.astype(np.float64)), atol=1e-4)
    windows = SignalWindows(store, manifest, config)
    card = SignalCard(SignalEncoderConfig(), tuple(channels), RATE, 2.0, "none", reference=reference)
    made = preprocess(x, RATE, CHANNELS, ["uV"] * 5, preprocessing(card).settings)
    np.testing.assert_allclose(made, windows.read(np.arange(len(windows))).numpy(), atol=1e-4)


PAIRS = [(2, 3), (1, 3), (1, 2)]
"""Of C3, Cz and C4 the two others."""


def test_a_laplacian_takes_off_the_four_nearest() -> None:
    channels = ["Cz", "C3", "C4", "Fz", "Pz", "O1", "Fp1"]
    found = matrix("laplacian", channels)
    assert {channels[i] for i in np.flatnonzero(found[0] < 0)} == {"C3", "C4", "Fz", "Pz"}
    np.testing.assert_allclose(found.sum(axis=1), 0, atol=1e-12)


def test_references_that_cannot_be_are_refused(recorded: tuple[Manifest, np.ndarray], tmp_path: Path) -> None:
    manifest, _ = recorded
    with pytest.raises(UsageError, match="two channels or more"):
        prepare(manifest, SignalConfig(channels=["Cz"], reference="average"), tmp_path, jobs=1)
    with pytest.raises(UsageError, match="no position is known of X"):
        matrix("laplacian", ["Cz", "X"])
