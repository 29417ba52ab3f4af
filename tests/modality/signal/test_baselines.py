"""Power in bands and covariance of the channels of recordings."""

import io
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from scipy.linalg import expm, inv, logm, sqrtm

from medcl.data.prepare import prepare
from medcl.modality import wing
from medcl.modality.signal.baselines import BANDS, BandPower, Covariance
from medcl.modality.signal.config import SignalConfig
from medcl.modality.signal.samples import SignalWindows
from tests.data.wfdb_archive import noise, scanned, write_record

CONFIG = SignalConfig(window=2.5, stride=2.5)
ROWS = np.array([0])


def windows_of(folder: Path, *signals: np.ndarray, rate: float = 100, config: SignalConfig = CONFIG) -> SignalWindows:
    """The windows of recordings (time, leads), one a patient."""
    for number, signal in enumerate(signals):
        write_record(folder / "a", f"p{number}", "r", signal, rate)
    manifest = scanned(folder / "a")
    return SignalWindows(prepare(manifest, config, folder / "s", jobs=1), manifest, config)


def kept(state: dict[str, Any]) -> dict[str, Any]:
    """What a baseline learned, from a file that holds no pickle."""
    file = io.BytesIO()
    np.savez(file, **state)
    file.seek(0)
    return dict(np.load(file, allow_pickle=False))


def sine(frequency: float, seconds: float = 10, rate: float = 100, height: float = 1.0) -> np.ndarray:
    wave = height * np.sin(2 * np.pi * frequency * np.arange(round(seconds * rate)) / rate)
    return wave[:, None] + noise(seconds, rate, leads=3) / 100


@pytest.mark.parametrize(
    ("frequency", "band"), [(2, "delta"), (6, "theta"), (10, "alpha"), (20, "beta"), (38, "gamma")]
)
def test_a_sine_has_its_power_in_its_band(tmp_path: Path, frequency: float, band: str) -> None:
    found = BandPower().transform(windows_of(tmp_path, sine(frequency)), ROWS, {})
    assert found.shape == (1, 2 * 3 * len(BANDS))
    logarithm, share = found.reshape(2, 3, len(BANDS))
    number = list(BANDS).index(band)
    assert (share[:, number] > 0.95).all()
    # A sine of 1 mV has a power of a half.
    np.testing.assert_allclose(10 ** logarithm[:, number], 0.5, rtol=0.05)


@pytest.mark.parametrize("standardise", ["record", "window", "none"])
def test_power_is_of_physical_values_whatever_the_encoder_takes(tmp_path: Path, standardise: Any) -> None:
    config = SignalConfig(window=2.5, stride=2.5, standardise=standardise)
    windows = windows_of(tmp_path, sine(10), sine(10, height=2) + 5, config=config)
    one, two = BandPower().transform(windows, np.array([0, 1]), {})
    assert two[2] - one[2] == pytest.approx(np.log10(4), abs=0.02)


def test_bands_above_half_of_the_sampling_rate_are_left_out(tmp_path: Path) -> None:
    windows = windows_of(tmp_path, noise(10, 50), rate=50)
    assert BandPower().transform(windows, ROWS, {}).shape == (1, 2 * 3 * 3)
    assert "band_power" not in wing("signal").baselines(SignalConfig(sampling_rate=6, channels=["C3", "C4"]))


def test_short_windows_and_flat_channels_stay_finite(tmp_path: Path) -> None:
    signal = noise(4)
    signal[:, 1] = 0.3
    windows = windows_of(tmp_path, signal, signal * 0, config=SignalConfig(window=0.3, stride=0.3))
    both = np.array([0, 1])
    for baseline in (BandPower(), Covariance()):
        assert np.isfinite(baseline.transform(windows, both, baseline.fit(windows, both))).all()


def test_the_reference_itself_is_at_zero(tmp_path: Path) -> None:
    windows = windows_of(tmp_path, noise(10))
    own = Covariance()
    state = own.fit(windows, ROWS)
    regular = np.cov(noise(10).T)
    np.testing.assert_allclose(state["reference"], regular, atol=0.05)
    np.testing.assert_allclose(own.transform(windows, ROWS, state), 0, atol=1e-9)


def test_tangent_vectors_are_those_of_the_definition(tmp_path: Path) -> None:
    mixed = [noise(10, seed=seed) @ np.random.default_rng(seed).normal(size=(3, 3)) for seed in range(3)]
    windows, own, rows = windows_of(tmp_path, *mixed), Covariance(), np.arange(3)
    found = own.transform(windows, rows, own.fit(windows, rows))
    matrices = []
    for signal in mixed:
        parts = signal.reshape(4, 250, 3)
        parts = parts - parts.mean(axis=1, keepdims=True)
        raw = sum(part.T @ part for part in parts) / 1000
        matrices.append(0.9 * raw + 0.1 * np.trace(raw) / 3 * np.eye(3))
    whitening = inv(sqrtm(expm(sum(map(logm, matrices)) / 3)))
    for vector, matrix in zip(found, matrices, strict=True):
        tangent = logm(whitening @ matrix @ whitening).real
        expected = [tangent[i, j] * (1 if i == j else 2**0.5) for i in range(3) for j in range(i, 3)]
        np.testing.assert_allclose(vector, expected, atol=2e-3)


def test_what_was_learned_is_applied_to_new_records(tmp_path: Path) -> None:
    old, new = (windows_of(tmp_path / one, noise(10, seed=seed)) for one, seed in (("old", 1), ("new", 2)))
    own = Covariance()
    state = kept(own.fit(old, ROWS))
    found = own.transform(new, ROWS, state)
    assert found.shape == (1, 6)
    assert 0 < np.abs(found).max() < 1
    np.testing.assert_array_equal(found, own.transform(new, ROWS, own.fit(old, ROWS)))


def test_blocks_of_records_change_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    windows, own, rows = windows_of(tmp_path, *(noise(5, seed=n) for n in range(5))), Covariance(), np.arange(5)
    whole = own.transform(windows, rows, own.fit(windows, rows))
    monkeypatch.setattr("medcl.modality.signal.baselines._RECORDS", 2)
    np.testing.assert_allclose(own.transform(windows, rows, own.fit(windows, rows)), whole, atol=1e-9)


def test_what_is_offered_depends_on_channels_and_rate() -> None:
    def names(rate: float, *channels: str) -> list[str]:
        return list(wing("signal").baselines(SignalConfig(sampling_rate=rate, channels=list(channels))))

    assert names(100, "I", "II", "V1") == ["band_power", "covariance", "beats"]
    assert names(250, "C3", "Cz", "C4") == ["band_power", "covariance", "csp"]
    assert names(250, "Cz") == ["band_power"]
    assert names(250, *(f"E{n}" for n in range(129))) == ["band_power"]
    assert names(40, "II") == ["band_power"]
