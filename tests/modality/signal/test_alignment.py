"""Euclidean alignment: persons whose channels are mixed differently become alike, without a label."""

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from sklearn.linear_model import LogisticRegression

from medcl.archive.manifest import Manifest
from medcl.data.prepare import prepare
from medcl.errors import UsageError
from medcl.modality import wing
from medcl.modality.signal.alignment import Alignment
from medcl.modality.signal.config import SignalConfig
from medcl.modality.signal.prepare import resolve
from medcl.modality.signal.samples import SignalWindows
from tests.data.wfdb_archive import archive, scanned, write_record

ALIGNED = SignalConfig(window=2.0, stride=2.0, standardise="none", align="patient")
PERSONS, TRIALS = 5, 60


def windows_of(manifest: Manifest, folder: Path, config: SignalConfig) -> SignalWindows:
    return SignalWindows(prepare(manifest, config, folder, jobs=1), manifest, config)


def covariance(x: np.ndarray) -> np.ndarray:
    """Of windows, by the definition: the mean of numpy's covariance of each."""
    return np.asarray(np.mean([np.cov(one) for one in x.astype(np.float64)], axis=0))


def read(windows: SignalWindows, rows: list[int]) -> np.ndarray:
    return np.asarray(windows.read(np.flatnonzero(np.isin(windows.rows, rows))).numpy())


@pytest.mark.parametrize("level", ["patient", "recording"])
def test_the_mean_covariance_of_a_group_is_the_identity(tmp_path: Path, level: Any) -> None:
    manifest = archive(tmp_path / "a", patients=2, trials=2, seconds=8.0)
    windows = windows_of(manifest, tmp_path / "s", replace(ALIGNED, align=level))
    groups = {"patient": [[0, 1], [2, 3]], "recording": [[0], [1], [2], [3]]}[level]
    for rows in groups:
        np.testing.assert_allclose(covariance(read(windows, rows)), np.eye(3), atol=1e-5)


def test_online_a_recording_is_aligned_by_those_before_it(tmp_path: Path) -> None:
    manifest = archive(tmp_path / "a", patients=2, trials=3, seconds=8.0)
    online = windows_of(manifest, tmp_path / "s", replace(ALIGNED, align_online=True))
    whole = windows_of(manifest, tmp_path / "s", ALIGNED)
    for first in (0, 3):
        for last in range(3):
            until = manifest.select(np.arange(first, first + last + 1))
            expected = read(windows_of(until, tmp_path / f"s{first}{last}", ALIGNED), [last])
            np.testing.assert_allclose(read(online, [first + last]), expected, rtol=1e-4, atol=1e-5)
        np.testing.assert_allclose(read(online, [first + 2]), read(whole, [first + 2]), rtol=1e-4, atol=1e-5)


def test_flat_channels_and_dependent_ones_stay_finite(tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    signal = rng.normal(0, 0.5, (800, 3))
    flat, dependent = signal.copy(), signal.copy()
    flat[:, 1] = 0.2
    dependent[:, 2] = -dependent[:, 0] - dependent[:, 1]
    for patient, one in (("p0", flat), ("p1", dependent.round(3))):
        write_record(tmp_path / "a", patient, "r", one)
    windows = windows_of(scanned(tmp_path / "a"), tmp_path / "s", ALIGNED)
    assert not read(windows, [0])[:, 1].any()
    for row in (0, 1):
        matrix = covariance(read(windows, [row]))
        # A projection on the directions that have a signal.
        np.testing.assert_allclose(np.linalg.eigvalsh(matrix), [0, 1, 1], atol=1e-4)


def test_what_one_person_teaches_holds_for_another_only_after_alignment() -> None:
    """Persons mix the same sources differently; in each trial one of two sources is stronger."""
    rng = np.random.default_rng(0)
    rows = np.arange(PERSONS * TRIALS)
    person, hand = rows // TRIALS, rows % 2
    x = rng.normal(size=(len(rows), 3, 200))
    x[:, 0] *= np.where(hand, 1.3, 0.75)[:, None]
    x[:, 1] *= np.where(hand, 0.75, 1.3)[:, None]
    for one in range(PERSONS):
        mixing = rng.normal(size=(3, 3))
        # Whitening undoes a mixing up to a rotation, and entirely where it is symmetric.
        x[person == one] = (mixing @ mixing.T + 0.1 * np.eye(3)) @ x[person == one]
    x = x.astype(np.float32)
    aligned = Alignment(person, rows, lambda numbers: x[numbers], online=False)(rows, x)

    def accuracy(x: np.ndarray) -> float:
        z, scores = np.log(x.var(axis=2)), []
        for one in range(PERSONS):
            known = person != one
            model = LogisticRegression(max_iter=1000).fit(z[known], hand[known])
            scores.append(model.score(z[~known], hand[~known]))
        return float(np.mean(scores))

    assert accuracy(x) <= 0.65
    assert accuracy(aligned) >= 0.9
    for one in range(PERSONS):
        np.testing.assert_allclose(covariance(aligned[person == one]), np.eye(3), atol=1e-5)


def test_what_does_not_go_together_is_refused(tmp_path: Path) -> None:
    manifest = archive(tmp_path / "a", patients=1, trials=1)
    with pytest.raises(UsageError, match=r"set data\.standardise to none"):
        resolve(manifest, replace(ALIGNED, standardise="record"))
    with pytest.raises(UsageError, match=r"data\.align"):
        resolve(manifest, replace(ALIGNED, align="none", align_online=True))
    with pytest.raises(UsageError, match="does not have a session"):
        windows_of(manifest, tmp_path / "s", replace(ALIGNED, align="session"))


def test_reports_say_what_was_used() -> None:
    note = wing("signal").note
    assert note(SignalConfig()) == ""
    assert "all recordings of a patient together" in note(ALIGNED)
    assert "with those before it" in note(replace(ALIGNED, align_online=True))
    assert "never a label" in note(ALIGNED)
