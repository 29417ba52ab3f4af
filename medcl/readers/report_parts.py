"""What a reader of reports returns."""

from dataclasses import dataclass, field


@dataclass(frozen=True)
class Report:
    """A report as its file has it: nothing in it is de-identified.

    Attributes:
        text: sections as `report_text.canonical` writes them, in the language of the file.
        ids: clear ids that the file states: 'patient', 'study', 'accession', 'report', 'name' (of the patient).
        records: names of the pictures or objects that the file says it describes.
    """

    text: str
    ids: dict[str, str] = field(default_factory=dict, repr=False)
    records: tuple[str, ...] = ()
