"""Recordings that were cut around their events: the event as a target, and who counts as a patient."""

from collections.abc import Sequence

import pyarrow.compute as pc

from medcl.archive.manifest import Manifest, Target
from medcl.errors import UsageError
from medcl.modality.signal.epochs import there
from medcl.spelling import not_a_choice

_LOOKED_AT = 20


def with_events(manifest: Manifest, events: Sequence[tuple[str, str]]) -> Manifest:
    """The manifest with its column `epoch_event` as a target.

    Args:
        manifest: of a scan that cut recordings around these events.
        events: names and labels, in the order of the classes.

    Raises:
        UsageError: an event is in no recording.
    """
    found = set(manifest.table.column("epoch_event").to_pylist())
    absent = [name for name, label in events if label not in found]
    if absent:
        files = zip(manifest.column("path").tolist(), manifest.column("format").tolist(), strict=True)
        names = there([(manifest.root / str(path), str(form)) for path, form in dict.fromkeys(files)], _LOOKED_AT)
        said = not_a_choice(absent[0], names) if names else f"no event {absent[0]!r}, and no other, can be read"
        raise UsageError(f"--events: {said} in the recordings, or it has no room for an epoch (--epoch) in any")
    classes = tuple(dict.fromkeys(label for _, label in events))
    if len(classes) < 2:
        return manifest
    target = Target("epoch_event", "binary" if len(classes) == 2 else "multiclass", classes)
    return manifest.with_targets({**manifest.targets, "epoch_event": target})


def own_patients(manifest: Manifest) -> Manifest:
    """Every record without a known patient as a patient of its own; the epochs of a recording are one's."""
    columns = manifest.table
    own = columns.column("trial").combine_chunks()
    event = columns.column("epoch_event")
    if event.null_count < len(event):
        own = pc.if_else(pc.is_valid(event.combine_chunks()), columns.column("session").combine_chunks(), own)
    return manifest.with_column("patient", pc.coalesce(columns.column("patient").combine_chunks(), own))
