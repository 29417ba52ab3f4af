"""How fast windows are aligned and recordings filtered, beside reading them and beside scipy."""

import time
from collections.abc import Callable
from pathlib import Path
from statistics import median

import numpy as np
import pytest
from scipy.signal import fftconvolve

from medcl.data.prepare import prepare
from medcl.modality.signal.config import SignalConfig
from medcl.modality.signal.designs import designs
from medcl.modality.signal.filters import band_and_notch
from medcl.modality.signal.samples import SignalWindows
from tests.data.wfdb_archive import noise, scanned, write_record

RATE, CHANNELS, REPEATS = 250.0, 22, 5


def seconds(work: Callable[[], object]) -> float:
    start = time.process_time()
    work()
    return time.process_time() - start


@pytest.mark.benchmark
def test_aligned_windows_a_second(tmp_path: Path) -> None:
    """Alignment costs a product of matrices a window, and a covariance of each recording once."""
    names = [f"E{i}" for i in range(CHANNELS)]
    for patient in range(4):
        signal = noise(60, rate=RATE, seed=patient, leads=CHANNELS)
        write_record(tmp_path / "a", f"p{patient}", "r", signal, rate=RATE, unit="uV", names=names)
    manifest = scanned(tmp_path / "a")
    plain = SignalConfig(window=2.0, stride=0.5, standardise="none")
    aligned = SignalConfig(window=2.0, stride=0.5, standardise="none", align="patient")
    store = prepare(manifest, plain, tmp_path / "s", jobs=1)
    ratios, rates = [], []
    for _ in range(REPEATS):
        taken = []
        for config in (plain, aligned):
            windows = SignalWindows(store, manifest, config)
            parts = np.array_split(np.arange(len(windows)), len(windows) // 32)
            taken.append(seconds(lambda parts=parts, windows=windows: [windows.read(one) for one in parts]))  # type: ignore[misc]
        ratios.append(taken[1] / taken[0])
        rates.append([len(windows) / one for one in taken])
    read, turned = np.median(rates, axis=0)
    print(f"\n{CHANNELS} channels, windows of 500 samples: {read:.0f} a second read, {turned:.0f} read and aligned")
    assert median(ratios) < 6


@pytest.mark.benchmark
def test_filtered_windows_a_second() -> None:
    """The filters of a recording take no longer than twice the convolution of scipy with the same coefficients."""
    x, config = np.random.default_rng(0).normal(size=(CHANNELS, round(300 * RATE))), SignalConfig(band=[0.5, 40.0])
    (design,) = designs(config)
    taps = design.taps(RATE)

    def convolved() -> None:
        for channel in x:
            fftconvolve(np.pad(channel, len(taps) // 2, mode="reflect"), taps, mode="valid")

    band_and_notch(x, RATE, config)
    taken = [(seconds(lambda: band_and_notch(x, RATE, config)), seconds(convolved)) for _ in range(REPEATS)]
    rate = 150 / median(one for one, _ in taken)
    print(f"\n{CHANNELS} channels at {RATE:g} Hz, 0.5 to 40 Hz: {rate:.0f} windows of 2 s filtered a second")
    assert median(one / other for one, other in taken) < 2
