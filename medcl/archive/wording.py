"""How counts are written in a summary."""

from collections.abc import Mapping


def line(name: str, text: str) -> str:
    """A line of a summary."""
    return f"{name:<15}{text}"


def counted(counts: Mapping[str, int], shown: int = 4, alone: bool = False) -> str:
    """The most frequent things with their counts.

    Args:
        counts: thing -> how often, the most frequent first.
        shown: how many are named.
        alone: whether a thing that stands alone has its count too.

    Returns:
        Such as `nifti: 260, dicom: 12`; by default a thing that stands alone goes without its count.
    """
    bare = len(counts) == 1 and not alone
    parts = [f"{name}" if bare else f"{name}: {count}" for name, count in list(counts.items())[:shown]]
    more = len(counts) - shown
    return ", ".join(parts) + (f", {more} more" if more > 0 else "") if parts else "none"
