"""Pictures of slices for the page of a segmentation."""

from dataclasses import dataclass


@dataclass(frozen=True)
class Row:
    """One test volume; `panels` are (caption, picture as a data URI)."""

    title: str
    panels: tuple[tuple[str, str], ...]


@dataclass(frozen=True)
class Pictures:
    """The rows, and the structures with the colours in which they are drawn, as CSS."""

    rows: tuple[Row, ...] = ()
    colours: tuple[tuple[str, str], ...] = ()
