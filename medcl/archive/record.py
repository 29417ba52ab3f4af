"""One file of an archive as a row of the manifest, seen from another process."""

import posixpath
import re
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pyarrow as pa

from medcl.archive.config import Modality
from medcl.archive.file_state import LAST_TIME, content_checksum, header_checksum, state
from medcl.archive.identity import code
from medcl.archive.path_ids import FLAG, ids_of, is_placeholder, stand_in
from medcl.archive.schema import SCHEMA
from medcl.engine.parallel import quiet
from medcl.errors import UnreadableError, reason
from medcl.modality import formats
from medcl.modality.content import IncompleteError, RecordHeader
from medcl.modality.signal.config import Stated

if TYPE_CHECKING:
    from medcl.archive.dicom_file_record import CodedFile

Row = dict[str, Any]
_TOO_LATE = "time of modification: it lies after the year 2262, so no change would be noticed; set it with `touch`"
_NOT_UNICODE = "its name is not UTF-8: rename the file, or the folder that it lies in"


@dataclass(frozen=True)
class ScannedFiles:
    """What some files turned out to be.

    Args:
        rows: of those that are records by themselves or claim to be, with the columns of `schema.SCHEMA`.
        dicom: those that are images of a DICOM series.
        fragile: those whose reader may end the process: they are to be looked at apart.
        others: suffix -> how many are none of these.
    """

    rows: pa.RecordBatch
    dicom: "list[CodedFile]" = field(default_factory=list)
    fragile: list[str] = field(default_factory=list)
    others: Counter[str] = field(default_factory=Counter)

    def __len__(self) -> int:
        """Files that were looked at, but for records of several and several records of one."""
        return len(self.rows) + len(self.dicom) + len(self.fragile) + self.others.total()


@dataclass(frozen=True)
class FileScanner:
    """How a file is looked at.

    Whatever is wrong with a file, it becomes one row that says so, and the files after it are looked at.

    Args:
        root: of the archive.
        pattern: of the ids in the paths.
        modality: of every record whose file leaves it open: of signals it goes by the names of the channels, of NIfTI
            it is `mr`, of images `image`; DICOM states it.
        salt: of the codes.
        zero_is_id: whether 0 in a path is a patient like the others, see `placeholder.zero_is_an_id`.
        stated: what the user states of signals whose files leave it open.
        strict: refuse recordings whose samples are damaged (`DAMAGED`), and read all files whole, for that and for the
            checksum.
        apart: whether this process may be ended by a reader.
    """

    root: Path
    pattern: re.Pattern[str] | None
    modality: Modality | None
    salt: bytes
    stated: Stated = field(default_factory=Stated)
    strict: bool = False
    apart: bool = False
    zero_is_id: bool = False

    def __call__(self, paths: Sequence[str]) -> ScannedFiles:
        """Look at files, whose paths are relative to the root."""
        with quiet():
            return self._scanned(paths)

    def _scanned(self, paths: Sequence[str]) -> ScannedFiles:
        rows: list[Row] = []
        found = ScannedFiles(stored([]))
        for path in paths:
            one = self._guarded(path)
            if isinstance(one, list):
                rows += one
            elif isinstance(one, str):
                found.fragile.append(one)
            elif one is not None:
                found.dicom.append(one)
            else:
                found.others[formats.suffix_of(path)] += 1
        return replace(found, rows=stored(rows))

    def fatal(self, path: str) -> ScannedFiles:
        """What stands for a file whose reading ended the process that tried."""
        return ScannedFiles(stored([self._refused(path, None, "damaged file: reading its header ends the reader")]))

    def _guarded(self, path: str) -> "list[Row] | CodedFile | str | None":
        """Rows, a file of a DICOM series, the path itself where it is to be looked at apart; None: something else."""
        full = self.root / path
        form = None
        try:
            form = formats.identify(full, self.stated)
            if form is None and formats.suffix_of(full) not in formats.SUFFIXES:
                return None
            if not _is_unicode(path):
                return [self._refused(path, form, _NOT_UNICODE)]
            if form is None:
                return [self._foreign(path, full)]
            if form in formats.FRAGILE and not self.apart:
                return path
            return self._dicom(path, full) if form == "dicom" else self._rows(path, full, form)
        except Exception as error:
            return [self._refused(path, form, reason(error))]

    def _rows(self, path: str, full: Path, form: str) -> list[Row]:
        row: Row = {"path": path, "format": form, "files": [full.name], "found_status": "ok"}
        described: list[Row] = [{}]
        try:
            headers = formats.read_headers(full, form, self.stated, verify=self.strict)
            row["files"] = list(headers[0].files or (full.name,))
            described = [self._described(path, number, header, form) for number, header in enumerate(headers)]
        except IncompleteError as error:
            row |= {"found_status": str(error), "files": list(error.files)}
        except Exception as error:
            row["found_status"] = reason(error)
        row |= state(self.root, path, row["files"])
        if row["mtime_ns"] == LAST_TIME:
            row["found_status"] = _TOO_LATE
        checksum = header_checksum(full, row["files"])
        if self.strict and checksum is not None:
            checksum += content_checksum(full, row["files"])
        return [row | own | {"checksum": checksum} for own in described]

    def _described(self, path: str, number: int, header: RecordHeader, form: str) -> Row:
        """What a header fills in, and the codes of the ids in the path, or else of those in the header.

        Args:
            path: of the file.
            number: of the record in the file, from 0.
            header: of the record.
            form: format of the file.
        """
        wing = formats.scan_of(formats.WING[form])
        for flag in header.flags if self.strict else ():
            if flag.startswith(wing.DAMAGED):
                raise IncompleteError(flag, header.files)
        # A file of many patients names each: its path is that of none.
        own = formats.BY_NAME[form].several and "patient" in header.ids
        stated = header.ids if own else ids_of(path, self.pattern) or header.ids
        place = f"{path}#{number}" if number else path
        row = wing.columns(header)
        # The epochs of a recording are one person's, and of one session.
        whole = path if row.get("epoch_event") else None
        ids = self._owned(whole or place, stated, in_path=stated is not header.ids)
        row |= self._codes(place, ids, whole, number)
        if wing.OWN_STUDY or "study" in header.ids:
            row |= self._levels(place, ids)
        if self.modality in wing.MODALITIES:
            row["modality"] = self.modality
        row["flags"] += [FLAG] if ids != stated else []
        return row

    def _dicom(self, path: str, full: Path) -> "list[Row] | CodedFile | None":
        # The library of DICOM takes its time to load: only where there is such a file.
        from medcl.archive.dicom_file_record import read_coded
        from medcl.modality.dicom.file import NoImageError, NoObjectError

        try:
            coded = read_coded(self.root, path, self.pattern, self.salt, zero_is_id=self.zero_is_id)
            return coded if coded.mtime_ns < LAST_TIME else [self._refused(path, "dicom", _TOO_LATE)]
        except NoImageError:
            return None
        except UnreadableError as error:
            # Some bytes that only begin like DICOM, in a file that does not claim to be, are another file.
            if isinstance(error, NoObjectError) and formats.suffix_of(full) != ".dcm":
                return None
            raise

    def _levels(self, path: str, ids: dict[str, str]) -> Row:
        """The study and the series of a record, a session being a study by another name; else both are its own."""
        owner = ids.get("patient")
        visit = ids.get("study", ids.get("session"))
        study = f"\0{path}" if visit is None else f"{owner}\0{visit}"
        series = f"\0{path}" if "series" not in ids else f"{owner}\0{visit or ''}\0{ids['series']}"
        return {"study": code("study", study, self.salt), "series": code("series", series, self.salt)}

    def _refused(self, path: str, form: str | None, why: str) -> Row:
        row = refused(path, why) | {"format": form}
        return row | state(self.root, path, [Path(path).name])

    def _owned(self, path: str, ids: dict[str, str], *, in_path: bool) -> dict[str, str]:
        """The ids of a record as they are stated; instead of a patient that is a placeholder, a stand-in."""
        patient = ids.get("patient")
        if patient is None or not is_placeholder(patient, zero_is_id=self.zero_is_id and in_path):
            return ids
        # The files of a session are one person's; where none is known, each file stands alone.
        visit = ids.get("session", ids.get("study"))
        return ids | {"patient": stand_in(path if visit is None else f"{posixpath.dirname(path)}\0{visit}")}

    def _codes(self, path: str, ids: dict[str, str], whole: str | None, number: int) -> Row:
        codes: Row = {} if whole is None else {"session": code("session", f"\0{whole}", self.salt)}
        patient = ids.get("patient")
        if patient is not None:
            codes["found_patient"] = code("patient", patient, self.salt)
        if "session" in ids:
            codes["session"] = code("session", f"{patient}\0{ids['session']}", self.salt)
        # The trial of a pattern is one of its patient's; else every file is a trial of its own.
        visit, series = ids.get("session", ids.get("study", "")), ids.get("series")
        named = f"{patient}\0{visit}\0{ids['trial']}" if "trial" in ids else f"\0{path}"
        named += f"\0{series}" if "trial" in ids and series is not None else ""
        named += f"#{number}" if whole is not None and "trial" in ids else ""
        return codes | {"trial": code("trial", named, self.salt)}

    def _foreign(self, path: str, full: Path) -> Row:
        if full.stat().st_size == 0:
            return self._refused(path, None, "empty file")
        claim = f"the content is not that of a {formats.suffix_of(full)} file"
        return self._refused(path, None, f"not what its name says: {claim}")


def refused(path: str, why: str) -> Row:
    r"""The row of what cannot be used.

    Args:
        path: relative to the root of the archive. Bytes of a name that are not UTF-8 are spelt `\xfc`, since a
            manifest holds no others.
        why: in words of ours.
    """
    path = path.encode("utf-8", "surrogateescape").decode("utf-8", "backslashreplace")
    return {"path": path, "files": [path.rpartition("/")[2]], "found_status": why}


def stored(rows: Sequence[Row]) -> pa.RecordBatch:
    """Rows as the columns of `schema.SCHEMA`.

    A row that a column cannot hold (a number of more than 64 bits, half a character) is refused; the others stay.

    Args:
        rows: column -> value; what is missing is null.
    """
    try:
        return pa.RecordBatch.from_pylist(rows, schema=SCHEMA)
    except (pa.ArrowException, OverflowError, UnicodeError, TypeError, ValueError):
        if len(rows) == 1:
            why = "damaged file: its header states numbers or names that no table can hold"
            return pa.RecordBatch.from_pylist([refused(str(rows[0]["path"]), why)], schema=SCHEMA)
        return pa.concat_batches([stored([row]) for row in rows])


def _is_unicode(path: str) -> bool:
    try:
        path.encode()
    except UnicodeEncodeError:
        return False
    return True
