"""What a reader of reports returns."""

from dataclasses import dataclass, field


@dataclass(frozen=True)
class Report:
    """A report as its file has it: nothing in it is de-identified.

    Attributes:
        text: sections as `report_text.canonical` writes them, in the language of the file.
        ids: clear ids that the file states: 'patient', 'study', 'accession', 'report', 'name' (of the patient).
        records: names of the pictures or objects that the file says it describes.
        names: whatever else the fields of the file say of persons: physicians, relatives, telephone numbers, addresses.
        flags: what a person should know of how the file was read.
    """

    text: str
    ids: dict[str, str] = field(default_factory=dict, repr=False)
    records: tuple[str, ...] = ()
    names: tuple[str, ...] = field(default=(), repr=False)
    flags: tuple[str, ...] = ()
