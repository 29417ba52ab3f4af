"""Some records as one picture: the most unusual, the nearest."""

from collections.abc import Sequence
from pathlib import Path

from medcl import files
from medcl.archive.manifest import Manifest
from medcl.errors import UsageError


def write_pictures(
    manifest: Manifest, record_ids: Sequence[str | None], captions: Sequence[Sequence[str]], path: Path
) -> None:
    """Draw records side by side.

    Args:
        manifest: of the records; a file that has gone becomes a grey tile.
        record_ids: which, None for what is of several records.
        captions: lines below each.
        path: `.png`.

    Raises:
        UsageError: another ending, a record that the manifest does not have, or that no picture can be made of.
    """
    from medcl.show.contact_sheet import contact_sheet
    from medcl.show.thumbnails import thumbnails

    if path.suffix.lower() != ".png":
        raise UsageError(f"-o {path}: a contact sheet is a .png file")
    if not record_ids:
        raise UsageError(f"-o {path}: there is no record to show")
    if any(one is None for one in record_ids):
        raise UsageError(f"-o {path}: an embedding of several records has no picture: embed with --level record")
    place = {one: row for row, one in enumerate(manifest.column("record_id"))}
    unknown = [one for one in record_ids if one not in place]
    if unknown:
        raise UsageError(f"-o {path}: the manifest has no record {unknown[0]}: give the one that was embedded")
    shown = thumbnails(manifest, [(place[one], None) for one in record_ids])
    if any(not one.png for one in shown):
        raise UsageError(f"-o {path}: a contact sheet shows pictures, volumes and recordings, not reports")
    files.write(path, contact_sheet([one.png for one in shown], captions), private=True)
