"""BrainVision recordings, through mne: a header .vhdr, and the files of samples and markers that it names."""

import re
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import mne

from medcl.errors import UnreadableError
from medcl.modality.foreign import foreign, named_file
from medcl.modality.signal.channels import VOLTS, canonical_unit
from medcl.modality.signal.config import Stated
from medcl.modality.signal.epochs import Event, Events
from medcl.modality.signal.formats.channel_choice import Channel, choose, header_of, physical_signal
from medcl.modality.signal.record import Pieces, Signal, SignalHeader

_LARGEST = 1 << 24  # bytes of a header, which describes each channel in a line


@dataclass(frozen=True)
class _Opened:
    """A recording, not loaded; which of its channels are read, and what is in its files."""

    raw: Any
    picks: list[int]
    header: SignalHeader


def read_header(path: Path, stated: Stated | None = None) -> SignalHeader:
    """Read the header of a .vhdr; the stated unit is that of channels which state none.

    A header that names a file of samples that is missing (renamed recordings do) is read with the file of its own stem,
    and has a flag.

    Raises:
        UnreadableError: it is damaged, the file of samples is missing, too short or outside the folder, or a rate or a
            unit is missing.
    """
    return _open(path, stated).header


def read_signal(path: Path, stated: Stated | None = None) -> Signal:
    """Read a recording; errors as of `read_header`, or the samples cannot be decoded.

    Returns:
        Physical values, float32: voltages in uV (those of an ECG in mV), others as the file states them.
    """
    return _signal(_open(path, stated))


@contextmanager
def pieces(path: Path, stated: Stated | None = None) -> Iterator[Pieces | None]:
    """Open a recording to be read a piece at a time; None of text, whose lines have to be counted from the first."""
    with path.open("rb") as file:
        form = _stated(file.read(_LARGEST), "DataFormat") or b""
    opened = _open(path, stated) if form.upper() == b"BINARY" else None
    yield None if opened is None else Pieces((0,), lambda first, last: _signal(opened, (first, last)))


def _signal(opened: _Opened, span: tuple[int, int] | None = None) -> Signal:
    header = opened.header
    first, last = span or (0, None)
    with foreign("mne", "BrainVision files"):
        values = opened.raw.get_data(picks=opened.picks, start=first, stop=last, verbose="ERROR")
    # mne gives V for each voltage.
    for row, unit in zip(values, header.units, strict=True):
        row /= VOLTS.get(unit, 1.0)
    return physical_signal(header, values, span=span)


def read_events(path: Path) -> Events:
    """Read the markers of the file that the header names: `Stimulus/S 1`.

    Raises:
        UnreadableError: there is no such file, or it is damaged.
    """
    with path.open("rb") as file:
        name = (_stated(file.read(_LARGEST), "MarkerFile") or b"").decode("utf-8", "surrogateescape")
    markers, _ = named_file(path, name.replace("$b", path.stem), (".vmrk", ".amrk"), "file of markers")
    rate = _open(path, None).header.sampling_rate
    with foreign("mne", "BrainVision files"):
        read = mne.read_annotations(markers, sfreq=rate)
        pairs = zip(read.description.tolist(), read.onset.tolist(), strict=True)
    return Events(tuple(Event(" ".join(name.split()), second) for name, second in pairs))


def _open(path: Path, stated: Stated | None) -> _Opened:
    if path.suffix not in (".vhdr", ".ahdr"):
        raise UnreadableError("a BrainVision header that is not named .vhdr: rename it")
    with path.open("rb") as file:
        text = file.read(_LARGEST)
    described = len(re.findall(rb"(?im)^\s*Ch\d+\s*=", text.split(b"[Coordinates]")[0]))
    channels = _stated(text, "NumberOfChannels")
    if channels is not None and channels.isdigit() and int(channels) > described:
        raise UnreadableError(f"damaged header: it states {int(channels)} channels and describes {described}")
    name = (_stated(text, "DataFile") or b"").decode("utf-8", "surrogateescape")
    name = name.replace("$b", path.stem)
    data, flags = named_file(path, name, (".eeg", ".dat", ".avg", ".seg"), "file of samples")
    with foreign("mne", "BrainVision files"):
        raw = mne.io.read_raw_brainvision(
            path,
            preload=False,
            overrides={"data_fname": data.resolve(), "marker_fname": False},
            verbose="ERROR",
        )
        filled = stated.unit if stated is not None else ""
        units = [_unit(str(raw._orig_units.get(name, ""))) or filled for name in raw.ch_names]
        rate, length = float(raw.info["sfreq"]), int(raw.n_times)
    every = [Channel(name, unit, rate) for name, unit in zip(raw.ch_names, units, strict=True)]
    choice = choose(every)
    points = _stated(text, "DataPoints")
    if points is not None and points.isdigit() and int(points) > length:
        raise UnreadableError(
            f"truncated file: the file of samples has {length} samples, the header says {int(points)}"
        )
    marker = path.with_suffix(".vmrk")
    files = (path.name, data.name, *([marker.name] if marker.exists() else []))
    flags = (*flags, *choice.flags)
    header = header_of(path, "brainvision", every, choice, length, "eeg", flags, files=files)
    return _Opened(raw, list(choice.kept), header)


def _stated(text: bytes, key: str) -> bytes | None:
    found = re.search(rb"(?im)^\s*" + key.encode() + rb"\s*=([^\r\n]*)", text)
    return found[1].strip() if found else None


def _unit(stated: str) -> str:
    return "" if stated == "n/a" else canonical_unit(stated)
