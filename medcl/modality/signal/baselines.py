"""What an encoder of recordings has to beat: power in bands, covariance of channels, EEG patterns, an ECG's beat."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import cast

import numpy as np

from medcl.modality.baselines import Baseline, Floats, State, mean_of_records
from medcl.modality.rows import Ints
from medcl.modality.sampling import SampleSet
from medcl.modality.signal.beats import LOWEST_RATE, MeanBeat
from medcl.modality.signal.config import SignalConfig
from medcl.modality.signal.covariances import products, shrunk
from medcl.modality.signal.record import modality_of
from medcl.modality.signal.samples import SignalWindows
from medcl.modality.signal.spatial_patterns import CommonSpatialPatterns

BANDS = {"delta": (1.0, 4.0), "theta": (4.0, 8.0), "alpha": (8.0, 13.0), "beta": (13.0, 30.0), "gamma": (30.0, 45.0)}
"""Hz; the lower edge belongs to a band, the upper one to the next."""
CHANNELS = (2, 128)
"""Fewest and most channels whose covariance is taken."""
_SEGMENT = 2.0  # seconds of a segment of Welch's method; of shorter windows the spectrum is interpolated as finely
_LEAST = 1e-9  # power (unit squared) that a flat channel is given, far below the noise of amplifiers in uV and in mV
_VALUES = 1 << 24  # whose spectra are in memory at once
_SHRINKAGE = 0.1
_RECORDS = 1024  # whose covariance matrices are in memory at once


def bands_of(rate: float) -> list[tuple[float, float]]:
    """The bands that lie below half of a sampling rate (Hz) as a whole."""
    return [(low, high) for low, high in BANDS.values() if high <= rate / 2]


@dataclass(frozen=True)
class BandPower:
    """Power of each channel in the classical bands of the EEG, by Welch's method over all windows of a recording.

    Segments are 2 s long with Hann's window and overlap by half; the power (unit squared) of the windows is averaged.
    """

    title: str = "band power"

    def fit(self, samples: SampleSet, rows: Ints) -> State:
        """Nothing."""
        return {}

    def transform(self, samples: SampleSet, rows: Ints, state: State) -> Floats:
        """(R, 2 * C * bands): the decimal logarithm of the power in a band, then its share of that in all bands."""
        windows = cast(SignalWindows, samples)
        rate = windows.store.sampling_rate
        power = mean_of_records(samples, rows, lambda x: _power(x, rate), windows.centred)
        of_channel = power.reshape(len(rows), -1, len(bands_of(rate)))
        share = of_channel / np.maximum(of_channel.sum(axis=2, keepdims=True), _LEAST)
        return np.concatenate([np.log10(np.maximum(power, _LEAST)), share.reshape(power.shape)], axis=1)


def _power(x: Floats, rate: float) -> Floats:
    """Windows (B, C, T) -> (B, C * bands)."""
    from scipy.signal import welch

    segment = round(_SEGMENT * rate)
    # Some windows at a time: the segments and their spectra take several times the memory of the windows.
    parts = np.array_split(x, -(-x.size // _VALUES))
    spectra = [welch(part, rate, nperseg=min(x.shape[2], segment), nfft=segment, detrend="constant") for part in parts]
    frequencies, density = spectra[0][0], np.concatenate([own for _, own in spectra])
    inside = np.array([(frequencies >= low) & (frequencies < high) for low, high in bands_of(rate)])
    power: Floats = np.einsum("bcf,kf->bck", density, inside) * (frequencies[1] - frequencies[0])
    return power.reshape(len(x), -1)


@dataclass(frozen=True)
class Covariance:
    """The covariance of the channels of a recording in the tangent space at the mean of training recordings.

    Barachant et al. 2012 (Multiclass brain-computer interface classification by Riemannian geometry), eq. 5 to 7: the
    upper triangle of log(M^-1/2 S M^-1/2), what is off the diagonal times the square root of 2. S is the covariance
    (unit squared) over all windows of the recording, each less its mean, shrunk by 0.1 to a multiple of the identity,
    so that leads that depend on one another do no harm. M is the log-Euclidean mean, exp(mean(log(S))), which
    recordings are added to one by one; the paper takes the Riemannian mean.
    """

    title: str = "channel covariance (tangent space)"

    def fit(self, samples: SampleSet, rows: Ints) -> State:
        """`reference` (C, C), the mean of the recordings."""
        total = sum(_of_eigenvalues(_matrices(samples, part), _log).sum(axis=0) for part in _blocks(rows))
        return {"reference": _of_eigenvalues(total / len(rows), np.exp)}

    def transform(self, samples: SampleSet, rows: Ints, state: State) -> Floats:
        """(R, C (C + 1) / 2)."""
        reference = state["reference"]
        whitening = _of_eigenvalues(reference, lambda values: 1 / np.sqrt(values))
        upper = np.triu_indices(len(reference))
        weight = np.where(upper[0] == upper[1], 1, np.sqrt(2))
        found = np.empty((len(rows), len(weight)))
        for number, part in enumerate(_blocks(rows)):
            tangent = _of_eigenvalues(whitening @ _matrices(samples, part) @ whitening, _log)
            found[number * _RECORDS :][: len(part)] = tangent[:, *upper] * weight
        return found


def _blocks(rows: Ints) -> list[Ints]:
    return [rows[start : start + _RECORDS] for start in range(0, len(rows), _RECORDS)]


def _matrices(samples: SampleSet, rows: Ints) -> Floats:
    """Regularised covariance matrices (R, C, C)."""
    return shrunk(mean_of_records(samples, rows, products, cast(SignalWindows, samples).centred), _SHRINKAGE)


def _of_eigenvalues(matrices: Floats, function: Callable[[Floats], Floats]) -> Floats:
    """A function of symmetric positive definite matrices (..., C, C)."""
    values, vectors = np.linalg.eigh(matrices)
    made: Floats = (vectors * function(values)[..., None, :]) @ np.swapaxes(vectors, -1, -2)
    return made


def _log(values: Floats) -> Floats:
    # Rounding may leave an eigenvalue of nothing below 0, which has no logarithm.
    logarithm: Floats = np.log(np.maximum(values, np.finfo(np.float64).tiny))
    return logarithm


def baselines(config: SignalConfig) -> dict[str, Baseline]:
    """See `Wing.baselines`. Beats are those of an ECG, which the names of the channels tell."""
    rate, channels = config.sampling_rate or 0.0, config.channels or []
    offered: dict[str, Baseline] = {}
    if bands_of(rate):
        offered["band_power"] = BandPower()
    if CHANNELS[0] <= len(channels) <= CHANNELS[1]:
        offered["covariance"] = Covariance()
        if modality_of(channels, "eeg") == "eeg":
            offered["csp"] = CommonSpatialPatterns()
    if modality_of(channels, "eeg") == "ecg" and rate >= LOWEST_RATE:
        offered["beats"] = MeanBeat()
    return offered
