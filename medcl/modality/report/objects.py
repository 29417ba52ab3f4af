"""Reports in memory as text files."""

from pathlib import Path
from typing import Any

from medcl.modality.objects import Given

TAKES = "strings"


def write(x: Any, place: Path, given: Given) -> bool:
    """Write the text of a report; whether it is one."""
    if not isinstance(x, str):
        return False
    (place / "report.txt").write_text(x, encoding="utf-8", newline="")
    return True
