"""Tables of patients: the file formats, known by a side-car or by their headings."""

from pathlib import Path

from medcl.modality.content import Format
from medcl.modality.table.formats.headings import SideCar, roles

_LONGEST = 1 << 22  # bytes of a side-car that are searched
_SUFFIXES = (".csv", ".tsv", ".txt", ".parquet", ".pq")


def is_patient_table(head: bytes, path: Path) -> bool:
    """A table beside which a JSON file says in `medcl` what its columns are: other tables hold labels, as a rule."""
    beside = path.with_suffix(".json")
    if path.suffix.lower() not in _SUFFIXES or not beside.is_file():
        return False
    with beside.open("rb") as file:
        return b'"medcl"' in file.read(_LONGEST)


def is_time_table(head: bytes, path: Path) -> bool:
    """A table of text in long form: its heading names a time, a parameter and a value."""
    if path.suffix.lower() not in _SUFFIXES or b"\0" in head or not any(mark in head[:256] for mark in b",;\t|"):
        return False
    line = head.removeprefix(b"\xef\xbb\xbf").partition(b"\n")[0].decode("utf-8", "replace").strip()
    separator = max(",;\t|", key=line.count)
    found = roles([cell.strip(' "') for cell in line.split(separator)], SideCar())
    return found.is_long and found.time >= 0


RANK = 3
"""Place among the wings when a file is tested: behind all that is known by its first bytes."""
FORMATS = (
    Format("patient-table", is_patient_table, "tables", several=True),
    Format("time-table", is_time_table, "tables", several=True),
)
"""Every format of tables, in the order in which a file is tested: adding one is a module and a line here."""
