"""The page of `medcl reduce --leaks`: pairs that should have nothing in common, side by side."""

from pathlib import Path

from medcl.reduce.leaks import Leak, Leaks
from medcl.reduce.units import WHOLE
from medcl.show import page
from medcl.show.thumbnails import thumbnails
from medcl.show.wording import count

MOST = 60
"""Pairs that are shown: the most alike."""


def write_leaks(path: Path, found: Leaks, axis: int = 2) -> None:
    """Write the pairs as one self-contained file.

    Args:
        path: to write.
        found: of an archive; records are read once more for their pictures.
        axis: across which slices lie.
    """
    page.write(path, render_leaks(found, axis))


def render_leaks(found: Leaks, axis: int = 2) -> str:
    """The page as HTML."""
    shown = found.leaks[:MOST]
    wanted = [_place(*one) for leak in shown for one in ((leak.row, leak.piece), (leak.other, leak.other_piece))]
    drawn = thumbnails(found.manifest, wanted, axis)
    ids = found.manifest.column("record_id")
    names = [f"{ids[row]}{'' if piece is None else f', slice {piece}'}" for row, piece in wanted]
    pairs = [
        (
            _crosses(leak),
            f"{found.how} {leak.measure:.3g}",
            _several(leak),
            *zip(drawn[i : i + 2], names[i : i + 2], strict=True),
        )
        for i, leak in zip(range(0, len(wanted), 2), shown, strict=True)
    ]
    across = [sum(one.patients for one in found.leaks), sum(one.splits for one in found.leaks)]
    facts = [
        ("Compared", f"{count(found.compared)} units by {found.strategy}"),
        *((f"Threshold, {family}", f"{found.how} {value:g}") for family, value in found.thresholds.items()),
        ("Across patients", count(across[0])),
        ("Across splits", count(across[1])),
        ("Left out", f"{count(len(found.unreadable) + len(found.incomparable))} records that cannot be compared"),
    ]
    return page.render(
        "reduce/leaks.html",
        {},
        headline=_headline(found),
        facts=facts,
        pairs=pairs,
        hidden=len(found.leaks) - len(shown),
    )


def _headline(found: Leaks) -> str:
    if not found.leaks:
        return "No near-duplicates cross patients or splits."
    said = "pair of records is" if len(found.leaks) == 1 else "pairs of records are"
    apart = "though patient or split says that they have nothing in common"
    return f"{count(len(found.leaks))} {said} near-duplicates, {apart}."


def _place(row: int, piece: int) -> tuple[int, int | None]:
    return row, None if piece == WHOLE else piece


def _crosses(leak: Leak) -> str:
    words = [word for word, does in (("patients", leak.patients), ("splits", leak.splits)) if does]
    return f"Across {' and '.join(words)}"


def _several(leak: Leak) -> str:
    return f"{count(leak.units)} pairs of slices" if leak.units > 1 else ""
