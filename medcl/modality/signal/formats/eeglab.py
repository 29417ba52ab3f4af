"""EEGLAB recordings: a .set (MATLAB version 5 or 7.3) that holds its samples or names the .fdt that does."""

from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from medcl.errors import UnreadableError
from medcl.modality.foreign import foreign, named_file
from medcl.modality.signal.channels import numbered
from medcl.modality.signal.epochs import Event, Events
from medcl.modality.signal.formats import matlab
from medcl.modality.signal.formats.channel_choice import Channel, choose, header_of, physical_signal
from medcl.modality.signal.record import Pieces, Signal, SignalHeader

_FIELDS: tuple[str, ...] = ("nbchan", "pnts", "trials", "srate", "data", "datfile", "chanlocs", "event")
_LEFT: tuple[str, ...] = ("data", "icaact", "icawinv", "icasphere", "icaweights", "times", "urevent", "epoch")
_LEFT += ("reject", "stats", "etc", "history", "comments", "specdata", "specicaact", "dipfit", "urchanlocs")
_BESIDE = (".fdt", ".dat")
_TRIGGERS = ("stim", "trigger", "trig", "status")


@dataclass(frozen=True)
class _Set:
    """A header, where the samples are, and which channels are read.

    Args:
        header: of the recording.
        kept: numbers of the channels.
        count: of all channels.
        trials: number of epochs; 1 of a continuous recording.
        starts: samples at which epochs, or stretches between boundaries, begin.
        samples: a file of them; or the array; or None: the array of the .set, of version 7.3, is still to be read.
    """

    header: SignalHeader
    kept: list[int]
    count: int
    trials: int
    starts: tuple[int, ...]
    samples: "Path | NDArray[Any] | None"


def read_header(path: Path) -> SignalHeader:
    """Read the header of a recording; EEGLAB means microvolt.

    Epochs are one recording of trials, with a gap behind each; continuous data has gaps where an event says
    `boundary`. Channels of triggers are kept aside, with a flag.

    Raises:
        UnreadableError: it is damaged, no recording of EEGLAB, its samples are missing, too few or outside the folder.
    """
    return _read(path).header


def read_signal(path: Path) -> Signal:
    """Read a recording: physical values, float32, in uV (those of an ECG in mV); errors as of `read_header`."""
    about = _read(path)
    with _opened(path, about) as values:
        return physical_signal(about.header, values(0, about.header.n_samples), about.starts)


@contextmanager
def pieces(path: Path) -> Iterator[Pieces | None]:
    """Open a recording to be read a piece at a time; None of epochs, and of samples in a .set of version 5.

    Those are read with the header; that they are beside is told by the name of the file.
    """
    beside = any(path.with_suffix(suffix).is_file() for suffix in _BESIDE)
    about = _read(path) if beside or matlab.is_hdf5(path) else None
    if about is None or about.trials > 1 or isinstance(about.samples, np.ndarray):
        yield None
        return
    with _opened(path, about) as values:

        def read(first: int, last: int) -> Signal:
            return physical_signal(about.header, values(first, last), span=(first, last))

        yield Pieces(about.starts, read)


@contextmanager
def _opened(path: Path, about: _Set) -> Iterator[Callable[[int, int], NDArray[np.float64]]]:
    """The values of the kept channels, (channels, time), from one sample to before another."""
    shape = (about.count, about.header.n_samples)
    with ExitStack() as stack:
        if isinstance(about.samples, Path):
            # A .dat holds channel after channel, a .fdt sample after sample.
            order: Literal["C", "F"] = "C" if about.samples.suffix.lower() == ".dat" else "F"
            every: Any = np.memmap(about.samples, np.dtype("<f4"), "r", shape=shape, order=order)
        elif about.samples is None:
            with foreign("scipy or h5py", "MATLAB files"):
                every = _of_version_73(stack.enter_context(matlab.opened(path)))
        else:
            every = about.samples

        def values(first: int, last: int) -> NDArray[np.float64]:
            if about.samples is not None:
                return np.asarray(every[about.kept, first:last], dtype=np.float64)
            with foreign("scipy or h5py", "MATLAB files"):
                # As HDF5 keeps it the order of dimensions is reversed: (trials, samples, channels).
                flat = every if every.shape == shape[::-1] else every[()].reshape(shape[::-1])
                return np.asarray(flat[first:last].T[about.kept], dtype=np.float64)

        yield values


def read_events(path: Path) -> Events:
    """Read the events, whose types are names or numbers; those of epochs lie in their epoch.

    Raises:
        UnreadableError: it is damaged.
    """
    with foreign("scipy or h5py", "MATLAB files"):
        about = _inner(matlab.values(path, ("EEG", *_FIELDS), _LEFT if matlab.is_hdf5(path) else ()))
        rate = float(_scalar(about, "srate", 0))
        starts = _starts(about.get("event"), _number(about, "pnts"), _number(about, "trials", 1))
        marks = [(kind, at) for kind, at in _marks(about.get("event")) if kind != "boundary"]
        # Samples are counted from 1.
        events = [Event(_named(kind), (at - 1) / rate) for kind, at in marks]
    return Events(tuple(sorted(events, key=lambda one: one.second)), tuple(start / rate for start in starts))


def _named(kind: Any) -> str:
    return " ".join(str(kind).split()) if isinstance(kind, str) else f"{float(kind):g}"


def _read(path: Path) -> _Set:
    with foreign("scipy or h5py", "MATLAB files"):
        newer = matlab.is_hdf5(path)
        names = {name for name, _, _ in matlab.variables(path)}
        if not names & {"EEG", "nbchan"}:
            raise UnreadableError("no recording: a MATLAB file without the structure EEG, or a study of several")
        found = matlab.values(path, ("EEG", *_FIELDS), _LEFT if newer else ())
        about = _inner(found)
        count, points = _number(about, "nbchan"), _number(about, "pnts")
        trials, rate = _number(about, "trials", 1), float(_scalar(about, "srate", 0))
        labels, types = _locations(about.get("chanlocs"), count)
        starts = _starts(about.get("event"), points, trials)
    length = points * trials
    samples, files, flags = _samples(path, about, newer, count, length)
    if len(labels) not in (0, count):
        raise UnreadableError(f"damaged header: it describes {len(labels)} of {count} channels")
    if not labels:
        labels, flags = [str(number + 1) for number in range(count)], (*flags, "channels without names: numbered")
    problems = ["marker" if kind.lower() in _TRIGGERS else "" for kind in types] or [""] * count
    every = [Channel(name, "uV", rate, problem) for name, problem in zip(numbered(labels), problems, strict=True)]
    choice = choose(every)
    if len(starts) > 1:
        flags = (*flags, f"{'epochs' if trials > 1 else 'stretches'}, with a gap behind each: {len(starts)}")
    flags = (*flags, *choice.flags)
    header = header_of(path, "eeglab", every, choice, length, "eeg", flags, files=(path.name, *files))
    return _Set(header, list(choice.kept), count, trials, starts, samples)


def _samples(
    path: Path, about: Mapping[str, Any], newer: bool, count: int, length: int
) -> tuple["Path | NDArray[Any] | None", tuple[str, ...], tuple[str, ...]]:
    """Where the samples are, their file beside the .set, and a flag if that is not the one that the .set names."""
    data = about.get("data")
    if newer:
        with foreign("scipy or h5py", "MATLAB files"), matlab.opened(path) as file:
            dataset = _of_version_73(file)
            if matlab.class_of(dataset) == "char":
                data = "".join(map(chr, dataset[()].reshape(-1).tolist())).strip("\0 ") if dataset.size < 4096 else ""
            else:
                matlab.check_size(dataset)
                _check_count(dataset.size, count, length)
                return None, (), ()
    if isinstance(data, str) or data is None or np.size(data) == 0:
        named = data if isinstance(data, str) else ""
        beside, flags = named_file(path, named, _BESIDE, "file of samples")
        size, expected = beside.stat().st_size, 4 * count * length
        if size < expected:
            raise UnreadableError(f"truncated file: the file of samples has {size} bytes, the header says {expected}")
        return beside, (beside.name,), flags
    array = np.asarray(data)
    if array.dtype.kind not in "fiu":
        raise UnreadableError("damaged file: its samples are no numbers")
    _check_count(array.size, count, length)
    return array.reshape(count, length, order="F"), (), ()


def _of_version_73(file: Any) -> Any:
    place = file.get("EEG", file)
    if "data" not in place or not hasattr(place["data"], "shape"):
        raise UnreadableError("no samples: the structure EEG has no data")
    return place["data"]


def _check_count(found: int, count: int, length: int) -> None:
    if found != count * length:
        raise UnreadableError(f"truncated or damaged: {found} values, the header says {count} channels x {length}")


def _inner(found: dict[str, Any]) -> dict[str, Any]:
    for _ in range(2):
        inner = found.get("EEG")
        if not isinstance(inner, dict):
            break
        found = inner
    if "nbchan" not in found or isinstance(found["nbchan"], list):
        raise UnreadableError("no recording: the structure EEG is empty, or holds several recordings: save each")
    return found


def _scalar(about: Mapping[str, Any], field: str, default: float) -> Any:
    value = about.get(field)
    return default if value is None or np.size(value) != 1 else np.asarray(value).reshape(-1)[0]


def _number(about: Mapping[str, Any], field: str, default: int = 0) -> int:
    number = float(_scalar(about, field, default))
    if not (number.is_integer() and 0 < number < 2**40):
        raise UnreadableError(f"damaged header: {field} is no count")
    return int(number)


def _locations(chanlocs: Any, count: int) -> tuple[list[str], list[str]]:
    """Labels and types of the channels; none if the file has none."""
    if isinstance(chanlocs, list):
        dictionaries = [one for one in chanlocs if isinstance(one, dict)]
        chanlocs = {key: [one.get(key) for one in dictionaries] for key in ("labels", "type")}
    if not isinstance(chanlocs, dict) or chanlocs.get("labels") is None:
        return [], []
    labels, types = (chanlocs.get(key) for key in ("labels", "type"))
    labels = labels if isinstance(labels, list) else [labels]
    types = types if isinstance(types, list) else [types] * len(labels)
    return [str(one).strip() if isinstance(one, str) else f"{i + 1}" for i, one in enumerate(labels)], [
        one if isinstance(one, str) else "" for one in types
    ]


def _starts(events: Any, points: int, trials: int) -> tuple[int, ...]:
    if trials > 1:
        return tuple(range(0, points * trials, points))
    # A boundary lies half a sample behind the last one before it, counted from 1.
    at = {int(latency) for kind, latency in _marks(events) if kind == "boundary"}
    inside = sorted(start for start in at if 0 < start < points)
    return (0, *inside)


def _marks(events: Any) -> list[tuple[Any, float]]:
    """Types of the events and their latencies, in samples counted from 1."""
    if not isinstance(events, dict):
        return []
    kinds, latencies = events.get("type"), events.get("latency")
    if isinstance(kinds, str):
        kinds, latencies = [kinds], [latencies]
    kinds = np.asarray(kinds, dtype=object).reshape(-1).tolist() if isinstance(kinds, np.ndarray) else kinds
    if not isinstance(kinds, list) or latencies is None or len(kinds) != np.size(latencies):
        return []
    at = np.asarray(latencies, dtype=object).reshape(-1).tolist()
    return [(kind, float(one)) for kind, one in zip(kinds, at, strict=True) if isinstance(one, int | float)]
