"""R peaks at 100 Hz beside the detectors of wfdb (xqrs) and mne, on synthetic ECGs whose beats are known."""

import warnings
from collections.abc import Callable

import mne
import numpy as np
import pytest
from mne.preprocessing.ecg import qrs_detector
from wfdb.processing import xqrs_detect

from medcl.modality.signal.beats import r_peaks
from medcl.phantom.morphology import DIAGNOSES
from tests.modality.signal.test_beats import drawn

pytestmark = pytest.mark.benchmark

RATE, SECONDS, NEAR = 100, 10, 0.1
LEAD = 1


def xqrs(lead: np.ndarray) -> np.ndarray:
    return np.asarray(xqrs_detect(lead, RATE, verbose=False))


def of_mne(lead: np.ndarray) -> np.ndarray:
    with mne.utils.use_log_level("ERROR"), warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return np.asarray(qrs_detector(RATE, lead.copy()))


def own(lead: np.ndarray) -> np.ndarray:
    return r_peaks(lead, RATE)


@pytest.fixture(scope="module")
def ecgs() -> list[tuple[np.ndarray, np.ndarray]]:
    """Lead II in mV, and the seconds of its beats, but for those too near to an end to be whole."""
    made = [drawn(diagnosis, seed, SECONDS, RATE) for diagnosis in DIAGNOSES for seed in range(10)]
    return [(ecg[LEAD].astype(np.float64), beats) for ecg, beats in made]


def f1(detect: Callable[[np.ndarray], np.ndarray], ecgs: list[tuple[np.ndarray, np.ndarray]]) -> float:
    hit = found = there = 0
    for lead, beats in ecgs:
        inside = beats[(beats > 0.3) & (beats < SECONDS - 0.3)]
        peaks = detect(lead) / RATE
        hit += int((np.abs(inside[:, None] - peaks[None]) < NEAR).any(axis=1).sum())
        found += int(((peaks > 0.3) & (peaks < SECONDS - 0.3)).sum())
        there += len(inside)
    return 2 * hit / (found + there)


def test_as_many_beats_are_found_as_by_the_rivals(ecgs: list[tuple[np.ndarray, np.ndarray]]) -> None:
    scores = {detect.__name__: f1(detect, ecgs) for detect in (own, xqrs, of_mne)}
    print(f"F1 of R peaks at {RATE} Hz: {scores}")
    assert scores["own"] > 0.98
    assert scores["own"] >= max(scores["xqrs"], scores["of_mne"])
