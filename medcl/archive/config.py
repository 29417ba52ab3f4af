"""What a scan is asked for: importable without pyarrow, so that the command line stays quick."""

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Literal

from medcl.errors import UsageError

if TYPE_CHECKING:
    from medcl.archive.masks import MaskRule
    from medcl.archive.report_read import ReportRule
    from medcl.modality.signal.stated import Stated

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
        record_column: its column that names the record; None where its rows are of patients.
        patient_column: its column with the patient; `participant_id` of a table of BIDS.
        target_columns: its columns to predict, `name` or `name:kind`.
        missing: words for a missing value in tables, beside the usual ones and those of the card.
        id_pattern: regular expression on the path with the groups patient, session or study, series, trial.
        patient_per_record: count every record without a patient as a patient of its own.
        include: glob of the paths that count.
        modality: where the files do not tell.
        images: whether localizers and derived images of DICOM are left out (`original`) or used (`all`).
        masks: where label maps are.
        reports: where the reports are, beside those of the card.
        deidentify: of all reports, in the place of what their rules say, see `ReportRule`.
        fractions: of the patients in train, val, test, or their numbers, where no official folds are known.
        stratify: target whose proportions the split keeps; None is the first one.
        seed: of the split.
        jobs: processes.
        cluster: address of a Dask scheduler, whose workers read the headers in their place.
        stated: of signals whose files leave it open: sampling rate, names of channels, unit.
        strict: refuse recordings whose samples are not what was recorded.
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
    fractions: tuple[float, ...] = (0.7, 0.1, 0.2)
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
