"""What a scan is asked for: importable without pyarrow, so that the command line stays quick."""

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

from medcl.errors import UsageError

if TYPE_CHECKING:
    from medcl.archive.masks import MaskRule
    from medcl.archive.report_read import ReportRule
    from medcl.modality.signal.config import Stated

Modality = Literal["ecg", "eeg", "ct", "mr", "pt", "xray", "mg", "us", "xa", "nm", "es", "op", "photo", "image"]


@dataclass(frozen=True)
class ScanRequest:
    """What `medcl scan` was asked for.

    Args:
        folder: the archive; only read.
        output: the manifest. If it exists, records that have not changed since are not opened again, and its patients
            keep their splits.
        card: data-set card: a YAML file, or the name of one that medcl comes with.
        labels: label table.
        record_column: column of the label table that names the record: path, or file name.
        patient_column: column of the label table with the patient; alone, it names all records of each. Default:
            `participant_id` of a table of BIDS.
        target_columns: columns of the label table to predict; name:kind fixes the kind.
        missing: words of tables for a missing value, beside n/a, NaN, unknown, . and the like, and those of the card.
        id_pattern: regular expression on the path with the groups patient, and if any session or study, series and
            trial.
        patient_per_record: count every record without a known patient as a patient of its own.
        include: glob of the paths that are scanned, such as `records100/**`.
        modality: modality of the records where the files do not tell: of signals whose channel names do not, of NIfTI,
            which is mr else, and of images; DICOM states its own.
        images: `original` leaves localizers and derived images of DICOM out: they are listed, with that as the reason;
            `all` uses them.
        masks: where label maps are.
        reports: where the reports are, beside those of the card.
        deidentify: replacement of names, dates, ids and numbers in all reports: `rules`, `presidio`, `none` or
            MODULE:FUNCTION, see `ReportRule`; default: by rules, or as the card says.
        fractions: shares of the patients in train, val and test where no official folds are known, or numbers of
            patients or of records: 200 20 40.
        stratify: target whose proportions the split keeps; default: the first one.
        seed: random seed of the split.
        jobs: number of processes; -1 is one a core.
        cluster: address of a Dask scheduler (tcp://...) whose workers read the headers.
        stated: sampling rate, channel names and unit of signals whose files do not state them.
        strict: refuse recordings with a wrong checksum or an incomplete end, which are flagged else; reads all samples.
    """

    folder: Path
    output: Path
    card: Path | None = None
    labels: Path | None = None
    record_column: str | None = None
    patient_column: str | None = None
    target_columns: tuple[str, ...] = ()
    missing: tuple[str, ...] = ()
    id_pattern: str | None = None
    patient_per_record: bool = False
    include: str | None = None
    modality: Modality | None = None
    images: Literal["original", "all"] = "original"
    masks: "MaskRule | None" = None
    reports: "tuple[ReportRule, ...]" = ()
    deidentify: str | None = None
    fractions: Annotated[tuple[float, float, float], ("TRAIN", "VAL", "TEST")] = (0.7, 0.1, 0.2)
    stratify: str | None = None
    seed: int = 0
    jobs: int = -1
    cluster: str | None = None
    stated: "Stated | None" = None
    strict: bool = False

    def __post_init__(self) -> None:
        from medcl.archive.walk import archive_folder

        object.__setattr__(self, "folder", archive_folder(self.folder))
        if self.card is not None and self.labels is not None:
            raise UsageError("--card and --labels both name a label table: give one of them")
        if self.labels is not None and not (self.record_column or self.patient_column):
            if self.labels.name != "participants.tsv":
                raise UsageError(
                    "--labels needs --record-column, the column of the table that names the record, or "
                    "--patient-column alone, for a table of patients"
                )
            object.__setattr__(self, "patient_column", "participant_id")
        if self.labels is None and (self.record_column or self.patient_column or self.target_columns):
            raise UsageError(
                "--record-column, --patient-column and --target-columns are columns of a table: give it with --labels"
            )
