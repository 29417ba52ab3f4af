"""FIF recordings, through mne: raw data in one file or several parts, and epochs; packed with gzip or not."""

import contextlib
import gzip
import os
import struct
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import mne
from mne._fiff.open import fiff_open
from mne._fiff.tag import read_tag
from mne._fiff.tree import dir_tree_find
from mne.io.constants import FIFF

from medcl.errors import UnreadableError
from medcl.modality.content import IncompleteError
from medcl.modality.foreign import foreign, linked
from medcl.modality.signal.channels import without_person
from medcl.modality.signal.epochs import Event, Events
from medcl.modality.signal.formats.channel_choice import Channel, choose, header_of, physical_signal
from medcl.modality.signal.formats.mne_events import of_raw
from medcl.modality.signal.record import Pieces, Signal, SignalHeader

_UNITS = {FIFF.FIFF_UNIT_V: "V", FIFF.FIFF_UNIT_T: "T", FIFF.FIFF_UNIT_T_M: "T/m", FIFF.FIFF_UNIT_CEL: "degC"}
_TRIGGERS = (FIFF.FIFFV_STIM_CH, FIFF.FIFFV_SYST_CH)
_KINDS = {int(value) for name, value in FIFF.items() if name.startswith("FIFFV_") and name.endswith("_CH")}
_MOST_PARTS = 1000
_POINTER = 52  # bytes before the place of the directory, the second tag


@dataclass(frozen=True)
class _Opened:
    """A recording, not loaded: raw data or epochs; and its channels that are read."""

    data: Any
    picks: list[int]
    header: SignalHeader
    starts: tuple[int, ...]  # of the epochs, in samples


def read_header(path: Path) -> SignalHeader:
    """Read the header of a recording; FIF states voltages in V.

    Channels without a unit, of an unknown kind and of triggers are kept aside, each with a flag. Of a recording in
    parts, the first is the recording, and the others are its files; they are found only beside a file named .fif or
    .fif.gz. Epochs are one recording of trials, with a gap behind each.

    Raises:
        UnreadableError: it is damaged or truncated, a part is missing, or it holds neither raw data nor epochs.
    """
    with _opened(path) as opened:
        return opened.header


def read_signal(path: Path) -> Signal:
    """Read a recording; errors as of `read_header`, or the samples cannot be decoded.

    Returns:
        Physical values, float32: voltages in uV (those of an ECG in mV), others as the file states them.
    """
    with _opened(path) as opened:
        with foreign("mne", "FIF"):
            values = opened.data.get_data(picks=opened.picks, verbose="ERROR")
        if values.ndim == 3:
            values = values.transpose(1, 0, 2).reshape(len(opened.picks), -1)
        return physical_signal(opened.header, values, opened.starts)


@contextlib.contextmanager
def pieces(path: Path) -> Iterator[Pieces | None]:
    """Open a recording to be read a piece at a time; None of epochs, and of what is packed with gzip."""
    with _opened(path) as opened:

        def read(first: int, last: int) -> Signal:
            with foreign("mne", "FIF"):
                values = opened.data.get_data(picks=opened.picks, start=first, stop=last, verbose="ERROR")
            return physical_signal(opened.header, values, span=(first, last))

        able = isinstance(opened.data, mne.io.BaseRaw) and opened.data.filenames[0].suffix != ".gz"
        yield Pieces(opened.starts, read) if able else None


def read_events(path: Path) -> Events:
    """Read the annotations and the codes of the trigger channel; of epochs the event that each is around.

    Events of epochs have the names of their file; those of a trigger channel are numbers.

    Raises:
        UnreadableError: as of `read_header`.
    """
    with _opened(path) as opened, foreign("mne", "FIF"):
        data, rate = opened.data, opened.header.sampling_rate
        if isinstance(data, mne.io.BaseRaw):
            return Events(of_raw(data))
        names = {code: " ".join(str(name).split()) for name, code in data.event_id.items()}
        begins = [start / rate for start in opened.starts]
        events = [Event(names[code], at - data.tmin) for code, at in zip(data.events[:, 2], begins, strict=True)]
        return Events(tuple(events), tuple(begins))


@contextlib.contextmanager
def _opened(path: Path) -> Iterator[_Opened]:
    with contextlib.ExitStack() as stack:
        with path.open("rb") as file:
            packed = file.read(2) == b"\x1f\x8b"
        suffix = ".fif.gz" if packed else ".fif"
        source = path
        if not path.name.endswith(suffix):
            source = stack.enter_context(linked(path, f"_raw{suffix}"))
        with foreign("mne", "FIF") as said:
            parts, blocks = _parts(source, packed)
            if FIFF.FIFFB_MNE_EPOCHS in blocks:
                data = mne.read_epochs(source, preload=False, proj=False, verbose="WARNING")
                length = len(data.times)
                starts = tuple(range(0, len(data) * length, length))
                samples = len(data) * length
            elif blocks & {FIFF.FIFFB_RAW_DATA, FIFF.FIFFB_CONTINUOUS_DATA, FIFF.FIFFB_IAS_RAW_DATA}:
                data = mne.io.read_raw_fif(source, allow_maxshield="yes", preload=False, verbose="WARNING")
                samples, starts = int(data.n_times), (0,)
            else:
                raise UnreadableError("no recording: a FIF file that holds neither raw data nor epochs")
        if any("directory missing" in str(warning.message) for warning in said):
            raise UnreadableError("truncated file: it ends before the directory that its header names")
        files = (path.name, *(part.name for part in parts[1:]))
        yield _described(path, data, samples, starts, files)


def _parts(first: Path, packed: bool) -> tuple[list[Path], set[int]]:
    """The files of a recording, each beside the first, and the kinds of blocks in the first."""
    parts, blocks, following = [first], set[int](), first
    while True:
        _check_order(following, packed)
        file, tree, directory = fiff_open(following)
        with file:
            size = following.stat().st_size
            if not packed and any(tag.pos + 16 + tag.size > size for tag in directory):
                raise UnreadableError(f"truncated file: it has {size} bytes and its directory names places behind them")
            names = _next(file, tree)
        blocks = blocks or set(_blocks(tree))
        if not names:
            return parts, blocks
        following = first.parent / names[0]
        if Path(names[0]).name != names[0] or names[0] in ("", ".", "..") or "\\" in names[0]:
            raise UnreadableError("it names a next part outside its own folder, which is not read: move it beside")
        if not os.path.isfile(following):
            raise IncompleteError(
                "missing part: the recording goes on in another file that is not next to it under the name that it had "
                "when it was written",
                tuple(part.name for part in parts),
            )
        if following in parts or len(parts) >= _MOST_PARTS:
            raise UnreadableError("damaged file: its parts name each other in a circle")
        parts.append(following)


def _check_order(path: Path, packed: bool) -> None:
    """See that tags do not lead in a circle where mne goes from tag to tag: in files without a directory of them."""
    with gzip.open(path) if packed else path.open("rb") as file:
        pointer = file.read(_POINTER + 4)[_POINTER:]
        directory = struct.unpack(">i", pointer)[0] if len(pointer) == 4 else 0
        if directory > 0:
            file.seek(directory)
            if file.read(4) == FIFF.FIFF_DIR.to_bytes(4, "big"):
                return
        place = 0
        while True:
            file.seek(place)
            head = file.read(16)
            if len(head) < 16:
                return
            size, following = struct.unpack(">8xii", head)
            if following < 0:
                return
            after = following or place + 16 + size
            if after <= place:
                raise UnreadableError("damaged file: its tags lead back to one before")
            place = after


def _next(file: Any, tree: Any) -> list[str]:
    """Names of the file that follows, as the file states them."""
    names = []
    for node in dir_tree_find(tree, FIFF.FIFFB_REF):
        tags = {entry.kind: entry for entry in node["directory"]}
        role = tags.get(FIFF.FIFF_REF_ROLE)
        if role is None or int(read_tag(file, role.pos).data.item()) != FIFF.FIFFV_ROLE_NEXT_FILE:
            continue
        if FIFF.FIFF_REF_FILE_NAME in tags:
            names.append(str(read_tag(file, tags[FIFF.FIFF_REF_FILE_NAME].pos).data))
    return names


def _blocks(tree: Any) -> Iterator[int]:
    waiting = [tree]
    while waiting:
        node = waiting.pop()
        yield int(node["block"]) if node["block"] is not None else -1
        waiting += node["children"]


def _described(path: Path, data: Any, samples: int, starts: tuple[int, ...], files: tuple[str, ...]) -> _Opened:
    info = data.info
    rate = float(info["sfreq"])
    about = info["subject_info"] or {}
    person = " ".join(str(about.get(field) or "") for field in ("first_name", "middle_name", "last_name", "his_id"))
    every = [
        Channel(name, _UNITS.get(int(each["unit"]), ""), rate, _problem(int(each["kind"])))
        for name, each in zip(without_person(info["ch_names"], person), info["chs"], strict=True)
    ]
    choice = choose(every)
    flags = ((f"epochs, with a gap behind each: {len(starts)}",) if len(starts) > 1 else ()) + choice.flags
    header = header_of(path, "fif", every, choice, samples, "eeg", flags, _ids(info), files=files)
    return _Opened(data, list(choice.kept), header, starts)


def _problem(kind: int) -> str:
    return "marker" if kind in _TRIGGERS else "" if kind in _KINDS else "unknown kind"


def _ids(info: Any) -> dict[str, str]:
    patient = str((info["subject_info"] or {}).get("his_id") or "").strip()
    return {"patient": patient} if patient.strip("Xx_ ") else {}
