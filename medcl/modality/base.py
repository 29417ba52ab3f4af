"""The contract of a modality: what a wing offers to a scan, and the formats that its files are in."""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

import pyarrow as pa

from medcl.errors import UnreadableError

Begins = Callable[[bytes, Path], bool]
"""The first bytes of a file and its path -> whether it is in a format."""


@dataclass(frozen=True)
class Format:
    """A file format of a wing.

    Args:
        name: as the manifest has it.
        begins: recognises it by its first bytes. None: the files of a DICOM series are in it, which only the series
            tells.
        reader: module of the wing's `formats` with `read_header` and `read_signal`, `read_volume` or `read_image`;
            empty where files are not read one by one.
        suffixes: a file of such a name that is in no known format is reported.
        fragile: its reader rests on a foreign binary one that may end the whole process on a damaged file. That of mne
            (FIF) is Python and NumPy throughout.
        packed: the same holds of what unpacks its numbers, which its header is read without.
        takes: keyword arguments of its readers beside the path, of those that `modality.formats` passes on.
        vague: other formats begin alike, or nothing in particular: it is tested after those of all wings that are not.
        confirmed: files of other content begin alike: `is_recording` of its reader decides.
        several: a file holds several records: `read_headers` of its reader returns the header of each.
        series: module of the wing's `formats` with `records`, which makes records of a stack of DICOM slices.
        unread: of a format that is recognised and not read: what to do with such a file.
    """

    name: str
    begins: Begins | None
    reader: str = ""
    suffixes: tuple[str, ...] = ()
    fragile: bool = False
    packed: bool = False
    takes: tuple[str, ...] = ()
    vague: bool = False
    confirmed: bool = False
    several: bool = False
    series: str = ""
    unread: str = ""


class Header(Protocol):
    """What a file says of itself; each wing's has more."""

    @property
    def ids(self) -> dict[str, str]:
        """Clear ids by level: `patient`, `study`, `series`. Never a name or a birth date by themselves."""

    @property
    def files(self) -> tuple[str, ...]:
        """Every file of the record, relative to the folder of the first; none where it is one file."""

    @property
    def flags(self) -> tuple[str, ...]:
        """What is unusual, in words."""


class Scan(Protocol):
    """What a scan asks of a wing: the module `scan` in the wing's folder, which is quick to import."""

    MODALITIES: tuple[str, ...]
    """What the manifest may call the modality of the wing's records."""
    DAMAGED: tuple[str, ...]
    """How the flags begin of records that are usable and not what was recorded: a strict scan refuses them."""
    OWN_STUDY: bool
    """Whether a record of which no study is known is a study of its own; else it has none."""

    def columns(self, header: Any) -> dict[str, Any]:
        """The columns of the manifest that a header fills. Its clear ids are not used."""

    def summary(self, records: pa.Table) -> object | None:
        """What there is to say of records of this wing, as lines of text; None where there is nothing.

        Args:
            records: rows of the manifest, with `status`: usable ones and others.
        """


class IncompleteError(UnreadableError):
    """A record that is known by its header but cannot be read.

    Args:
        message: why.
        files: of the record, relative to the folder of the header, the header first.
    """

    def __init__(self, message: str, files: tuple[str, ...]) -> None:
        super().__init__(message)
        self.files = files
