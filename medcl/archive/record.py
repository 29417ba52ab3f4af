"""One file of an archive as a row of the manifest, seen from another process."""

import hashlib
import posixpath
import re
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from medcl.archive.identity import code
from medcl.archive.path_ids import ids_of
from medcl.archive.placeholder import FLAG, is_placeholder, stand_in
from medcl.errors import UnreadableError
from medcl.readers import formats
from medcl.readers.signal import IncompleteError, SignalHeader

if TYPE_CHECKING:
    from medcl.archive.dicom_file_record import CodedFile
    from medcl.readers.image import ImageHeader
    from medcl.readers.volume import VolumeHeader

Row = dict[str, Any]
Modality = Literal["ecg", "eeg", "ct", "mr", "pt", "xray", "mg", "us", "xa", "nm", "es", "op", "photo", "image"]
_SIGNALS = ("ecg", "eeg")
_HASHED = 65536  # bytes at the head of a header file that its checksum is taken of


@dataclass(frozen=True)
class Found:
    """What some files turned out to be.

    Args:
        rows: of those that are records by themselves or claim to be.
        dicom: those that are pictures of a DICOM series.
        others: how many are neither.
    """

    rows: list[Row] = field(default_factory=list)
    dicom: "list[CodedFile]" = field(default_factory=list)
    others: int = 0


@dataclass(frozen=True)
class Look:
    """How a file is looked at.

    Args:
        root: of the archive.
        pattern: of the ids in the paths.
        modality: of every record whose file leaves it open: of signals it goes by the names of the channels, of NIfTI
            it is `mr`, of pictures `image`; DICOM states it.
        salt: of the codes.
        zero_is_id: whether 0 in a path is a patient like the others, see `placeholder.zero_is_an_id`.
    """

    root: Path
    pattern: re.Pattern[str] | None
    modality: Modality | None
    salt: bytes
    zero_is_id: bool = False

    def __call__(self, paths: Sequence[str]) -> Found:
        """Look at files, whose paths are relative to the root."""
        rows: list[Row] = []
        dicom: list[CodedFile] = []
        for path in paths:
            one = self._file(path)
            if isinstance(one, dict):
                rows.append(one)
            elif one is not None:
                dicom.append(one)
        return Found(rows, dicom, len(paths) - len(rows) - len(dicom))

    def fatal(self, path: str) -> Found:
        """What stands for a file whose reading ended the process that tried."""
        return Found([self._refused(path, None, "damaged file: reading its header ends the reader")])

    def _file(self, path: str) -> "Row | CodedFile | None":
        full = self.root / path
        try:
            form = formats.identify(full)
            if form is None:
                return None if formats.suffix_of(full) not in formats.SUFFIXES else self._foreign(path, full)
        except OSError as error:
            return self._refused(path, None, f"cannot be read: {error.strerror}")
        return self._dicom(path, full) if form == "dicom" else self._row(path, full, form)

    def _row(self, path: str, full: Path, form: str) -> Row:
        row: Row = {"path": path, "format": form, "files": [full.name], "found_status": "ok"}
        try:
            header = formats.read_header(full, form)
            if isinstance(header, SignalHeader):
                row |= {"files": list(header.files)}
                row |= self._signal(header) | self._codes(path, ids_of(path, self.pattern), header.ids)
            else:
                row |= self._scan(path, header)
        except IncompleteError as error:
            row |= {"found_status": str(error), "files": list(error.files)}
        except UnreadableError as error:
            row["found_status"] = str(error)
        except OSError as error:
            row["found_status"] = f"cannot be read: {error.strerror}"
        return row | state(self.root, path, row["files"]) | {"checksum": self._checksum(full, row["files"])}

    def _dicom(self, path: str, full: Path) -> "Row | CodedFile | None":
        # The library of DICOM takes its time to load: only where there is such a file.
        from medcl.archive.dicom_file_record import read_coded
        from medcl.readers.dicom_file import NoImageError, NoObjectError

        try:
            return read_coded(self.root, path, self.pattern, self.salt, zero_is_id=self.zero_is_id)
        except NoImageError:
            return None
        except UnreadableError as error:
            # Some bytes that only begin like DICOM, in a file that does not claim to be, are another file.
            if isinstance(error, NoObjectError) and formats.suffix_of(full) != ".dcm":
                return None
            return self._refused(path, "dicom", str(error))
        except OSError as error:
            return self._refused(path, "dicom", f"cannot be read: {error.strerror}")

    def _signal(self, header: SignalHeader) -> Row:
        return {
            "modality": self.modality if self.modality in _SIGNALS else header.modality,
            "sampling_rate": header.sampling_rate,
            "n_samples": header.n_samples,
            "n_channels": len(header.channels),
            "channels": list(header.channels),
            "units": list(header.units),
        }

    def _scan(self, path: str, header: "VolumeHeader | ImageHeader") -> Row:
        """A volume or a picture that is a file of its own."""
        from medcl.archive.volume_record import file_levels, volume_row
        from medcl.readers.volume import VolumeHeader

        if isinstance(header, VolumeHeader):
            about = volume_row(header) | {"files": list(header.files)}
        else:
            from medcl.archive.image_record import image_row

            about = image_row(header)
        # No id is taken from these headers: they only have free text.
        ids = ids_of(path, self.pattern)
        owned = self._owned(path, ids, {})
        row = about | file_levels(path, owned, self.salt) | self._codes(path, ids, {}) | {"part": 0}
        row["flags"] = [*about["flags"], *([FLAG] if owned != ids else [])]
        return row if self.modality is None or self.modality in _SIGNALS else row | {"modality": self.modality}

    def _refused(self, path: str, form: str | None, reason: str) -> Row:
        full = self.root / path
        row: Row = {"path": path, "format": form, "files": [full.name], "found_status": reason}
        return row | state(self.root, path, [full.name]) | {"checksum": None}

    def _owned(self, path: str, in_path: dict[str, str], stated: dict[str, str]) -> dict[str, str]:
        """The ids of a record: those in its path, else those that it states. Instead of a placeholder, a stand-in."""
        ids = in_path or stated
        patient = ids.get("patient")
        if patient is None or not is_placeholder(patient, zero_is_id=self.zero_is_id and bool(in_path)):
            return ids
        # The files of a session are one person's; where none is known, each file stands alone.
        visit = ids.get("session", ids.get("study"))
        return ids | {"patient": stand_in(path if visit is None else f"{posixpath.dirname(path)}\0{visit}")}

    def _codes(self, path: str, in_path: dict[str, str], stated: dict[str, str]) -> Row:
        ids = self._owned(path, in_path, stated)
        codes: Row = {} if ids == (in_path or stated) else {"flags": [FLAG]}
        patient = ids.get("patient")
        if patient is not None:
            codes["found_patient"] = code("patient", patient, self.salt)
        if "session" in ids:
            codes["session"] = code("session", f"{patient}\0{ids['session']}", self.salt)
        # The trial of a pattern is one of its patient's; else every file is a trial of its own.
        visit, series = ids.get("session", ids.get("study", "")), ids.get("series")
        named = f"{patient}\0{visit}\0{ids['trial']}" if "trial" in ids else f"\0{path}"
        named += f"\0{series}" if "trial" in ids and series is not None else ""
        return codes | {"trial": code("trial", named, self.salt)}

    def _foreign(self, path: str, full: Path) -> Row:
        if full.stat().st_size == 0:
            return self._refused(path, None, "empty file")
        claim = f"the content is not that of a {formats.suffix_of(full)} file"
        return self._refused(path, None, f"not what its name says: {claim}")

    def _checksum(self, full: Path, files: Sequence[str]) -> str | None:
        """Of the header's first bytes, and of the names and sizes of all files."""
        try:
            with full.open("rb") as file:
                digest = hashlib.blake2b(file.read(_HASHED), digest_size=16)
            for name in files:
                size = full.with_name(name).stat().st_size if full.with_name(name).exists() else -1
                digest.update(f"\0{name}\0{size}".encode("utf-8", "surrogateescape"))
        except OSError:
            return None
        return digest.hexdigest()


def state(root: Path, path: str, files: Sequence[str]) -> Row:
    """Whether a record has changed is told by the size of its files together and the time of the newest.

    Args:
        root: of the archive.
        path: of the record, relative to the root.
        files: of the record, relative to its folder.

    Returns:
        `size` in bytes and `mtime_ns`; of a file that is not there, nothing.
    """
    size = newest = 0
    folder = (root / path).parent
    for name in files:
        try:
            about = (folder / name).stat()
        except OSError:
            continue
        size, newest = size + about.st_size, max(newest, about.st_mtime_ns)
    return {"size": size, "mtime_ns": newest}
