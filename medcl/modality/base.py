"""The contract of a modality: everything that differs between signals, volumes, images, reports and tables.

Everything outside `medcl.modality` talks to `Wing`. Importable without torch, so that the command line stays quick: a
wing imports what it needs inside its methods. What a wing needs of a manifest or of a store comes in as an argument.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

from medcl.errors import UnreadableError
from medcl.modality.miniature import Miniature
from medcl.modality.rows import Rows, Source
from medcl.modality.sampling import Draws, SampleSet
from medcl.modality.storing import DecodedRecord, LabelMap, Preparation, StoredArrays, StoreIndex

if TYPE_CHECKING:
    import pyarrow as pa
    from torch import nn

    from medcl.modality.views import Compose

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


class RecordHeader(Protocol):
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


class WingScan(Protocol):
    """What a scan asks of a wing: the module `scan` in the wing's folder, which is quick to import."""

    MODALITIES: tuple[str, ...]
    """What the manifest may call the modality of the wing's records."""
    DAMAGED: tuple[str, ...]
    """How the flags begin of records that are usable and not what was recorded: a strict scan refuses them."""
    OWN_STUDY: bool
    """Whether a record of which no study is known is a study of its own; else it has none."""

    def columns(self, header: Any) -> dict[str, Any]:
        """The columns of the manifest that a header fills. Its clear ids are not used."""

    def summary(self, records: "pa.Table") -> object | None:
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


@dataclass(frozen=True)
class Training:
    """What a sample configuration can be completed from, before records are prepared.

    Args:
        encoder: the encoder's configuration.
        chosen: the records of this wing that are trained on.
        begun: the spec of the encoder that training begins with, if any.
        is_name: whether a word is one of the archive's name fields, which no vocabulary learns.
    """

    encoder: Any
    chosen: Rows
    begun: Any | None
    is_name: Callable[[], Callable[[str], bool]]


class Wing(Protocol):
    """One modality. `medcl.modality.wing(name)` gives it."""

    name: str
    """As the manifest and recipes have it: `signal`."""
    plural: str
    """Its records in words: `recordings`."""
    examples: str
    """The same with examples: `recordings (ECG, EEG)`."""
    unit: str
    """One of its records in words: `recording`."""
    sample: str
    """A sample of a record in words, in the plural: `windows`."""
    no_sample: str
    """Why a record that is not in quarantine has no sample."""
    unlinked: str
    """What records without a partner are called in counts: `recordings have no partner`."""
    columns: tuple[str, ...]
    """Of the manifest, that reading a record needs beside its files."""
    reads_files: bool
    """Whether a record is read from its files, which then have to be those that were scanned."""
    shows_samples: bool
    """Whether a sample, as its encoder takes it, is an image that a page can show: (channels, rows, columns)."""
    has_slices: bool
    """Whether a record can be cut into slices across an axis (`original`)."""

    @property
    def index(self) -> StoreIndex:
        """Of its stores."""

    @property
    def config(self) -> type[Any]:
        """Of samples."""

    @property
    def encoder_config(self) -> type[Any]:
        """Of encoders."""

    @property
    def spec(self) -> type[Any]:
        """Of trained encoders; a dataclass with `encoder` and `build`."""

    def check(self, config: Any, encoder: Any) -> None:
        """Refuse a sample and an encoder configuration that are invalid or do not fit, before anything is read.

        Raises:
            UsageError: with the field and its value.
        """

    def is_published(self, encoder: Any) -> bool:
        """Whether an encoder begins with weights that somebody has trained and published."""

    def completed(self, config: Any, manifest: Rows, training: Training) -> Any:
        """The sample configuration with what it leaves to the archive: sampling rate and channels, a tokenizer.

        Args:
            config: of samples.
            manifest: of this wing's readable records, which are prepared.
            training: what is trained.

        Raises:
            UsageError: the records do not agree.
        """

    def preparation(self, manifest: Rows, config: Any) -> Preparation:
        """How the records of a manifest are decoded for the store.

        Args:
            manifest: of this wing's readable records.
            config: of samples.

        Raises:
            UsageError: the settings do not fit the records, or one another.
        """

    def decode(self, source: Source, config: Any, masks: Sequence[LabelMap | None]) -> DecodedRecord:
        """Decode one record for the store.

        Args:
            source: the record, whose files are those that were scanned.
            config: `Preparation.config`.
            masks: its label maps, one for each of `Preparation.masks`.

        Raises:
            UnreadableError: with the reason.
        """

    def original(self, source: Source, axis: int | None) -> list[Any]:
        """Read a record from its file as it is, for comparing records with each other.

        Args:
            source: the record.
            axis: across which volumes are cut into slices; None: a volume is one piece.

        Returns:
            Of a volume its slices (C, a, b), the two other axes of RAS+ in their order, or the volume (C, x, y, z), CT
            in HU; of an image (C, rows, columns); of a recording (C, samples) in physical units, NaN where there is no
            value; of a report its text.

        Raises:
            UnreadableError: the file is missing or damaged.
        """

    def thumbnails(self, source: Source, pieces: Sequence[float | None], axis: int, width: int) -> list[Miniature]:
        """Draw a record.

        Args:
            source: the record.
            pieces: of a volume numbers of slices, the middle one by default; of a recording seconds at which strips
                begin.
            axis: of RAS+, across which slices lie.
            width: pixels of the longer side; 0 is the wing's own.

        Returns:
            One a piece.

        Raises:
            UnreadableError: the file is missing or damaged.
        """

    def opened(self, stored: StoredArrays) -> Any:
        """A store as this wing reads it (`PreparedRecords`)."""

    def samples(self, store: Any, manifest: Rows, config: Any) -> SampleSet:
        """All samples of the records of a manifest, in a fixed order: windows side by side, tiles, whole images.

        Args:
            store: that `opened` gave.
            manifest: whose records are wanted, of any wings; those in quarantine are left out.
            config: of samples.

        Raises:
            MedclError: the store was prepared from other records or with other settings, or no record is left.
        """

    def draws(self, store: Any, manifest: Rows, config: Any) -> Draws:
        """The records of a manifest, as training draws from them; arguments and errors as of `samples`."""

    def views(self, config: Any, data: Any, store: Any) -> "Compose | None":
        """The random changes of samples.

        Args:
            config: which, and how strong; None where the wing has none.
            data: the configuration of samples.
            store: that samples are read from.
        """

    def spec_of(self, encoder: Any, data: Any, store: Any, modality: str) -> Any:
        """What an encoder expects that is trained on prepared records.

        Args:
            encoder: its configuration.
            data: the completed configuration of samples.
            store: that samples are read from.
            modality: of the records, as the manifest has it; several joined by `+`.
        """

    def data_of(self, spec: Any) -> Any:
        """The configuration of samples that an encoder takes in evaluation: as in training, without overlap."""

    def encoder(self, spec: Any) -> "nn.Module":
        """A network as training begins with it: with new random weights, or those of a published model."""
