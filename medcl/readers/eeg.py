"""GDF, FIF, BrainVision and EEGLAB recordings, through mne."""

import contextlib
import re
import tempfile
import warnings
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import mne
import numpy as np
from mne.io.constants import FIFF

from medcl.errors import UnreadableError
from medcl.readers.deadline import deadline
from medcl.readers.signal import Signal, SignalHeader, canonical_unit, kept_unit, modality_of

_SUFFIX = {"gdf": ".gdf", "fif": ".fif"}  # of the formats in one file, which may be read under another name
_READ: dict[str, Callable[..., Any]] = {
    "gdf": mne.io.read_raw_gdf,
    "fif": mne.io.read_raw_fif,
    "brainvision": mne.io.read_raw_brainvision,
    "eeglab": mne.io.read_raw_eeglab,
}
_LONGEST = 60  # seconds for a header; a sound one takes milliseconds
_FIF_UNITS = {FIFF.FIFF_UNIT_V: "V", FIFF.FIFF_UNIT_T: "T", FIFF.FIFF_UNIT_T_M: "T/m"}


def read_header(path: Path, format: str) -> SignalHeader:
    """Read the header of a recording.

    Trigger channels are no channels. Voltages are in the unit that the file states; FIF states V, EEGLAB means uV.

    Args:
        path: of the header: x.vhdr, x.set, x.fif, x.gdf.
        format: `gdf`, `fif`, `brainvision` or `eeglab`.

    Returns:
        The header.

    Raises:
        UnreadableError: it is damaged, a file that it names is missing or too short, or a rate, length or unit is
            missing.
    """
    with _opened(path, format) as raw:
        return _header(path, format, raw)


def read_signal(path: Path, format: str) -> Signal:
    """Read a recording.

    Args:
        path: of the header.
        format: `gdf`, `fif`, `brainvision` or `eeglab`.

    Returns:
        Physical values, float32: voltages in uV (those of an ECG in mV), others as the file states them.

    Raises:
        UnreadableError: as `read_header`, or the samples cannot be decoded.
    """
    with _opened(path, format) as raw:
        header = _header(path, format, raw)
        try:
            values = raw.get_data(picks=_picks(raw), verbose="ERROR")
        except Exception as error:
            raise UnreadableError(f"damaged file: mne cannot decode it ({type(error).__name__}: {error})") from error
    units, factors = zip(*(kept_unit("V" if _is_voltage(u) else u, header.modality) for u in header.units), strict=True)
    data = (values * np.array(factors)[:, None]).astype(np.float32)
    nothing = np.zeros(len(units))
    return Signal(data, header.sampling_rate, header.channels, tuple(units), nothing + 1, nothing)


@contextlib.contextmanager
def _opened(path: Path, format: str) -> Iterator[Any]:
    """The recording, not loaded. What mne cannot open is unreadable, whatever it raises."""
    with contextlib.ExitStack() as stack:
        said = stack.enter_context(warnings.catch_warnings(record=True))
        warnings.simplefilter("always")
        source = path
        if format in _SUFFIX and path.suffix != _SUFFIX[format]:
            # mne chooses by the name: a link with the right one.
            source = Path(stack.enter_context(tempfile.TemporaryDirectory())) / f"recording_raw{_SUFFIX[format]}"
            source.symlink_to(path.resolve())
        elif format == "brainvision" and path.suffix not in (".vhdr", ".ahdr"):
            raise UnreadableError("a BrainVision header that is not named .vhdr: rename it")
        try:
            with deadline(_LONGEST):
                raw = _READ[format](source, preload=False, verbose="WARNING")
        except UnreadableError:
            raise
        except Exception as error:
            reason = str(error).replace(str(path.parent), "").splitlines()
            raise UnreadableError(
                f"mne cannot read it: {type(error).__name__}: {reason[0] if reason else 'no reason'}"
            ) from error
        if any("record length" in str(warning.message) for warning in said):
            # mne goes on with one second a data record.
            raise UnreadableError("unknown sampling rate: the header states data records of 0 s")
        yield raw


def _header(path: Path, format: str, raw: Any) -> SignalHeader:
    _check_length(path, format, raw)
    picks = _picks(raw)
    channels = tuple(raw.ch_names[pick] for pick in picks)
    files = [Path(name).name for name in raw.filenames if name is not None]
    if format == "brainvision":
        marker = path.with_suffix(".vmrk")
        files += [marker.name] if marker.exists() else []
    elif format in _SUFFIX and path.suffix != _SUFFIX[format]:
        files = []
    return SignalHeader(
        modality=modality_of(channels, "eeg"),
        format=format,
        sampling_rate=float(raw.info["sfreq"]),
        n_samples=int(raw.n_times),
        channels=channels,
        units=tuple(_unit(format, raw, pick) for pick in picks),
        ids=_ids(raw),
        files=tuple(dict.fromkeys([path.name, *files])),
    )


def _picks(raw: Any) -> list[int]:
    return [number for number, kind in enumerate(raw.get_channel_types()) if kind != "stim"]


def _unit(format: str, raw: Any, pick: int) -> str:
    if format == "eeglab":
        return "uV"
    if format == "gdf":
        # mne knows these two and takes every other dimension, V or none, as it comes.
        return {1e-6: "uV", 1e-3: "mV"}.get(float(raw._raw_extras[0]["units"][pick]), "")
    stated = str(raw._orig_units.get(raw.ch_names[pick], "n/a"))
    if stated != "n/a":
        return canonical_unit(stated)
    return _FIF_UNITS.get(int(raw.info["chs"][pick]["unit"]), "as stored")


def _check_length(path: Path, format: str, raw: Any) -> None:
    """Hold the data against the header, where mne takes what it finds."""
    data = Path(raw.filenames[0]) if raw.filenames[0] is not None else path
    size, expected = data.stat().st_size, 0
    if format == "gdf":
        extras = raw._raw_extras[0]
        counts = np.asarray(extras["n_samps"])[list(_picks(raw))]
        if len(np.unique(counts)) > 1:
            raise UnreadableError("several sampling rates in one file; they are not resampled here")
        frame = int(np.sum(extras["n_samps"])) * int(extras["dtype_byte"])
        expected = int(extras["data_offset"]) + int(extras["n_records"]) * frame
    elif format == "eeglab" and data.suffix == ".fdt":
        expected = 4 * len(raw.ch_names) * int(raw.n_times)
    elif format == "brainvision":
        stated = re.search(rb"^DataPoints\s*=\s*(\d+)", path.read_bytes(), re.MULTILINE)
        if stated is not None and int(stated[1]) > raw.n_times:
            raise UnreadableError(
                f"truncated signal file: {data.name} has {raw.n_times} samples, the header says {int(stated[1])}"
            )
    if size < expected:
        raise UnreadableError(f"truncated signal file: {data.name} has {size} bytes, the header says {expected}")


def _is_voltage(unit: str) -> bool:
    return unit in ("V", "mV", "uV", "nV")


def _ids(raw: Any) -> dict[str, str]:
    patient = (raw.info["subject_info"] or {}).get("his_id")
    return {} if patient is None else {"patient": str(patient).strip()}
