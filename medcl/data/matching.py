"""Which record of a store is which row of a manifest."""

from pathlib import Path
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from medcl.archive.manifest import Manifest
from medcl.errors import MedclError


class Prepared(Protocol):
    """A store, of signals or of volumes."""

    @property
    def folder(self) -> Path:
        """Of the store."""

    @property
    def record_ids(self) -> NDArray[Any]:
        """(R,) of the records that could be prepared."""

    @property
    def quarantine(self) -> dict[str, str]:
        """Record id -> why it could not be."""


def records_of(store: Prepared, manifest: Manifest) -> NDArray[np.int64]:
    """Number in the store of each row of the manifest, -1 where it is in quarantine.

    Raises:
        MedclError: the store was prepared from other records.
    """
    number = {str(record_id): i for i, record_id in enumerate(store.record_ids)}
    ids = list(map(str, manifest.column("record_id")))
    records = np.array([number.get(record_id, -1) for record_id in ids], dtype=np.int64)
    readable = manifest.column("status") == "ok"
    unknown = [ids[i] for i in np.flatnonzero((records < 0) & readable) if ids[i] not in store.quarantine]
    if unknown:
        raise MedclError(
            f"{store.folder}: the store was prepared from other records: it lacks {len(unknown)} of {len(ids)} of this "
            f"manifest, such as {unknown[0]}; prepare them"
        )
    return records
