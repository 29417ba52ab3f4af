"""EDF, EDF+ and BDF: 16- and 24-bit integers with a header of fixed columns."""

import re
import warnings
from dataclasses import dataclass
from pathlib import Path

import edfio
import numpy as np
from numpy.typing import NDArray

from medcl.errors import UnreadableError
from medcl.readers.signal import Signal, SignalHeader, canonical_unit, kept_unit, modality_of

_FIXED = 256  # bytes of the header, and as many again for each signal
_STATUS = "Status"  # the trigger channel of BDF


@dataclass(frozen=True)
class _Header:
    """A header, which of the signals (annotations not counted) are its channels, and the ranges of each of them."""

    header: SignalHeader
    signals: tuple[int, ...]
    digital: NDArray[np.float64]  # (channels, 2) lowest and highest
    physical: NDArray[np.float64]  # (channels, 2)
    is_bdf: bool


def read_header(path: Path) -> SignalHeader:
    """Read the header of an EDF or BDF file, whatever its name.

    Annotations and the status channel of BDF are no channels. The patient's code is taken as an id, never the name or
    the birth date that stand beside it; the free text of a plain EDF file is an id as a whole.

    Args:
        path: of the file.

    Returns:
        The header.

    Raises:
        UnreadableError: it is damaged, its length is not what it says, signals differ in sampling rate, a recording
            with gaps (EDF+D), or a rate, length, unit or calibration is missing.
    """
    return _read(path).header


def read_signal(path: Path) -> Signal:
    """Read a recording.

    Args:
        path: of the file.

    Returns:
        Digital values as stored: int16, of BDF int32.

    Raises:
        UnreadableError: as `read_header`.
    """
    about = _read(path)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        try:
            read = edfio.read_bdf if about.is_bdf else edfio.read_edf
            every = read(path, header_encoding="latin-1").signals
            data = np.stack([every[number].digital for number in about.signals])
        except Exception as error:
            raise UnreadableError(f"damaged file: edfio cannot read it ({type(error).__name__}: {error})") from error
    header = about.header
    units, factors = zip(*(kept_unit(unit, header.modality) for unit in header.units), strict=True)
    gain = np.diff(about.digital)[:, 0] / np.diff(about.physical)[:, 0]
    offset = about.digital[:, 1] - about.physical[:, 1] * gain
    return Signal(data, header.sampling_rate, header.channels, units, gain / np.array(factors), offset)


def _read(path: Path) -> _Header:
    try:
        with path.open("rb") as file:
            fixed = file.read(_FIXED)
            content = fixed + file.read(max(0, int(fixed[184:192]) - _FIXED))
        size = path.stat().st_size
        is_bdf = fixed.startswith(b"\xff")
        if len(content) < int(fixed[184:192]):
            raise UnreadableError("truncated file: it ends within its header")
        # edfio counts the records that it finds; how many the header promises is what the file is held against.
        promised, duration = int(fixed[236:244]), float(fixed[244:252])
        if not 0 < duration < float("inf"):
            raise UnreadableError("unknown sampling rate: the header states data records of no duration")
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            # From the header's bytes alone: given a BDF file, edfio reads all of it.
            every = (edfio.read_bdf if is_bdf else edfio.read_edf)(content, header_encoding="latin-1").signals
        reserved = fixed[192:236].decode("latin-1").strip()
        chosen = [number for number, signal in enumerate(every) if signal.label.strip() != _STATUS]
        # Annotations are no signals, but take their place in a data record.
        count = int(fixed[252:256])
        samples = content[_FIXED + 216 * count : _FIXED + 224 * count]
        frame = sum(int(samples[8 * i : 8 * i + 8]) for i in range(count)) * (3 if is_bdf else 2)
        per_record = {every[number].samples_per_data_record for number in chosen}
        channels = tuple(every[number].label.strip() for number in chosen)
        units = tuple(canonical_unit(every[number].physical_dimension) for number in chosen)
        digital = np.array([every[number].digital_range for number in chosen], dtype=np.float64).reshape(-1, 2)
        physical = np.array([every[number].physical_range for number in chosen], dtype=np.float64).reshape(-1, 2)
    except OSError as error:
        raise UnreadableError(f"cannot be read: {error.strerror}") from error
    except UnreadableError:
        raise
    except Exception as error:
        # edfio raises whatever a broken field leads to.
        raise UnreadableError("damaged header: a number that it must state is none") from error
    if reserved.startswith(("EDF+D", "BDF+D")):
        raise UnreadableError("a recording with gaps (EDF+D): its pieces are not joined here; split it at the gaps")
    if len(per_record) > 1:
        rates = ", ".join(f"{count / duration:g}" for count in sorted(per_record))
        raise UnreadableError(f"several sampling rates: signals of {rates} Hz in one file; they are not resampled here")
    found = (size - len(content)) // frame if frame else 0
    if promised not in (-1, found) or (size - len(content)) % max(frame, 1):
        raise UnreadableError(
            f"truncated file: {found} whole data records after the header, which says {promised}"
            if found < max(promised, 1) or promised == -1
            else f"too long: {found} data records after the header, which says {promised}"
        )
    for name, *ranges in zip(channels, digital, physical, strict=True):
        if not all(np.isfinite(one).all() and one[0] != one[1] for one in ranges):
            raise UnreadableError(f"no calibration: the digital or physical range of {name} is empty")
    header = SignalHeader(
        modality=modality_of(channels, "eeg"),
        format="bdf" if is_bdf else "edf",
        sampling_rate=next(iter(per_record), 0) / duration,
        n_samples=found * next(iter(per_record), 0),
        channels=channels,
        units=units,
        ids=_ids(fixed[8:88].decode("latin-1").strip()),
        files=(path.name,),
    )
    return _Header(header, tuple(chosen), digital, physical, is_bdf)


def _ids(field: str) -> dict[str, str]:
    """The patient field of EDF+ is `code sex birthdate name`; that of a plain EDF file is any text."""
    parts = field.split()
    follows_plus = len(parts) >= 4 and parts[1] in ("M", "F", "X") and re.fullmatch(r"X|\d\d-\w{3}-\d{4}", parts[2])
    patient = parts[0] if follows_plus else " ".join(parts)
    return {"patient": patient}
