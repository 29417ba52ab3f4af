"""The thumbnails of a page, drawn at random from the files, and contact sheets of records."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from medcl import files
from medcl.archive.manifest import Manifest
from medcl.errors import MedclError, UsageError
from medcl.show.thumbnails import Thumbnail, thumbnails


def write_contact_sheet(
    manifest: Manifest, record_ids: Sequence[str | None], captions: Sequence[Sequence[str]], path: Path
) -> None:
    """Draw records side by side.

    Args:
        manifest: of the records; a missing file becomes a grey tile.
        record_ids: which, None for what is of several records.
        captions: lines below each.
        path: `.png`.

    Raises:
        UsageError: another ending, a record that the manifest does not have, or that no image can be made of.
    """
    from medcl.show.images import contact_sheet
    from medcl.show.thumbnails import thumbnails

    if path.suffix.lower() != ".png":
        raise UsageError(f"-o {path}: a contact sheet is a .png file")
    if not record_ids:
        raise UsageError(f"-o {path}: there is no record to show")
    if any(one is None for one in record_ids):
        raise UsageError(f"-o {path}: an embedding of several records has no image: embed with --level record")
    place = {one: row for row, one in enumerate(manifest.column("record_id"))}
    unknown = [one for one in record_ids if one not in place]
    if unknown:
        raise UsageError(f"-o {path}: the manifest has no record {unknown[0]}: give the one that was embedded")
    shown = thumbnails(manifest, [(place[one], None) for one in record_ids])
    if any(not one.png for one in shown):
        raise UsageError(f"-o {path}: a contact sheet shows images, volumes and recordings, not reports")
    files.write(path, contact_sheet([one.png for one in shown], captions), private=True)


COUNT = 1000
"""Thumbnails of a page by default."""
BUDGET = 12 << 20
"""Bytes of all thumbnails of a page at most."""
_TOGETHER = 64


def cards(
    manifest: Manifest,
    rows: NDArray[np.int64],
    pieces: Sequence[int | None] | None = None,
    *,
    count: int = COUNT,
    budget: int = BUDGET,
    seed: int = 0,
) -> tuple[dict[int, Thumbnail], list[str]]:
    """Draw thumbnails of records.

    Args:
        manifest: of the records.
        rows: (N,) the row of the manifest that each point is of, -1 where it is of no single record.
        pieces: of each point the slice or second that is shown; None for the usual ones.
        count: of thumbnails, at most; where there are more points, those are drawn with the seed.
        budget: bytes of all, at most.
        seed: of the draw.

    Returns:
        Point -> thumbnail; and sentences for the page about those that there are not.
    """
    drawable = np.flatnonzero(rows >= 0)
    order = drawable
    if count < len(drawable):
        order = np.sort(np.random.default_rng(seed).permutation(drawable)[:count])
    made: dict[int, Thumbnail] = {}
    used = 0
    shuffled = np.random.default_rng(seed).permutation(order)
    for start in range(0, len(shuffled), _TOGETHER):
        some = shuffled[start : start + _TOGETHER]
        wanted = [(int(rows[one]), None if pieces is None else pieces[one]) for one in some]
        drawn = thumbnails(manifest, wanted)
        for one, shown in zip(some, drawn, strict=True):
            made[int(one)] = shown
            used += 0 if shown.missing else len(shown.png) + len(shown.text.encode())
        if used >= budget:
            break
    return made, _notes(made, len(drawable), len(rows), seed)


def rows_in(manifest: Manifest, ids: NDArray[np.object_]) -> NDArray[np.int64]:
    """The row of a manifest that each id is of.

    Args:
        manifest: with each id once.
        ids: (N,) record ids, None where a point is of several records.

    Returns:
        (N,) row numbers, -1 for None.

    Raises:
        MedclError: the manifest does not have one of the records.
    """
    places = {one: row for row, one in enumerate(manifest.column("record_id"))}
    unknown = sum(one is not None and one not in places for one in ids)
    if unknown:
        raise MedclError(
            f"the manifest does not have {unknown} of the {len(ids)} records that were embedded: give the manifest "
            "that they were embedded with, or embed this one"
        )
    return np.array([-1 if one is None else places[one] for one in ids], dtype=np.int64)


def _notes(made: dict[int, Thumbnail], drawable: int, count: int, seed: int) -> list[str]:
    notes = []
    if len(made) < drawable:
        notes.append(f"{len(made):,} of {drawable:,} records have a thumbnail, drawn at random (seed {seed}).")
    if drawable < count:
        notes.append(f"{count - drawable:,} of {count:,} points are of several records, and have no thumbnail.")
    missing = sum(bool(one.missing) for one in made.values())
    if missing:
        verb = "has" if missing == 1 else "have"
        notes.append(
            f"{missing:,} of {len(made):,} records {verb} no image, because files are missing or cannot be read; the "
            "embeddings are shown unchanged."
        )
    return notes
