"""Which record of a store is which row of a manifest."""

from pathlib import Path
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from medcl.archive.manifest import Manifest
from medcl.archive.schema import Kind
from medcl.errors import MedclError, UsageError


class Prepared(Protocol):
    """A store, of records of one kind."""

    @property
    def folder(self) -> Path:
        """Of the store."""

    @property
    def record_ids(self) -> NDArray[Any]:
        """(R,) of the records that could be prepared."""

    @property
    def quarantine(self) -> dict[str, str]:
        """Record id -> why it could not be."""


_NAMES: dict[Kind, str] = {
    "signal": "recordings (ECG, EEG)",
    "volume": "volumes (CT, MR, PET)",
    "image": "pictures (JPEG, PNG, DICOM pictures)",
    "report": "reports",
}


def only(manifest: Manifest, kind: Kind) -> Manifest:
    """The readable records of one kind of a manifest that may have several.

    Raises:
        UsageError: there are only records of other kinds.
        MedclError: there is no readable record.
    """
    readable = manifest.ok()
    if not len(readable):
        raise MedclError("the manifest has no readable record")
    chosen = readable.of_kind(kind)
    if not len(chosen):
        held = ", ".join(sorted({str(one) for one in readable.column("modality")}))
        raise UsageError(
            f"this recipe is for {_NAMES[kind]}, the manifest holds {held}: scan an archive that has some, or take a "
            "recipe for what is there"
        )
    return chosen


def records_of(store: Prepared, manifest: Manifest, kind: Kind | None = None) -> NDArray[np.int64]:
    """Number in the store of each row of the manifest, -1 where it is in quarantine or of another kind.

    Args:
        store: prepared records.
        manifest: whose records are looked up.
        kind: of the records that the store is for; None: every record of the manifest is to be in it.

    Returns:
        (records,).

    Raises:
        MedclError: the store was prepared from other records.
    """
    number = {str(record_id): i for i, record_id in enumerate(store.record_ids)}
    ids = list(map(str, manifest.column("record_id")))
    records = np.array([number.get(record_id, -1) for record_id in ids], dtype=np.int64)
    readable = manifest.column("status") == "ok"
    if kind is not None:
        readable &= manifest.kinds == kind
        records[manifest.kinds != kind] = -1
    unknown = [ids[i] for i in np.flatnonzero((records < 0) & readable) if ids[i] not in store.quarantine]
    if unknown:
        raise MedclError(
            f"{store.folder}: the store was prepared from other records: it lacks {len(unknown)} of {len(ids)} of this "
            f"manifest, such as {unknown[0]}; prepare them"
        )
    return records
