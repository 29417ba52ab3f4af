"""The index of a prepared store: which record lies where, and what holds for all of them."""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pyarrow as pa

from medcl import parquet
from medcl.checksums import damaged, file_checksum
from medcl.data.frames import remedy_of, write_sums
from medcl.errors import MedclError

INDEX = "index.parquet"
FRAMES = "checksums"
"""What holds for all records includes this: of `Frames`, absent in a store from before there were checksums."""
_PARTS = "parts"


@dataclass(frozen=True)
class Index:
    """How the stores of one kind of records are indexed.

    Args:
        records: what the store holds, in words.
        key: under which the metadata of the file says what holds for all records.
        version: of the format.
        schema: of the columns.
    """

    records: str
    key: bytes
    version: int
    schema: pa.Schema

    def read(self, folder: Path) -> tuple[pa.Table, dict[str, Any]]:
        """The index of a store: its table, and what holds for all records.

        Raises:
            MedclError: the folder is no store, one of other records, or one of another version.
        """
        path = folder / INDEX
        if not path.is_file():
            raise MedclError(f"{folder}: not a prepared store ({INDEX} is missing)")
        try:
            table = parquet.read(path, remedy_of(folder))
        except (pa.ArrowException, OSError) as error:
            raise damaged(path, remedy_of(folder)) from error
        stored = (table.schema.metadata or {}).get(self.key)
        if stored is None:
            raise MedclError(f"{folder}: not a store of {self.records}: was it prepared from other records?")
        try:
            about = json.loads(stored)
            version = about["version"]
            parts = about.get(_PARTS, {})
            broken = [name for name, known in parts.items() if file_checksum(folder / name) != known]
        except (OSError, ValueError, KeyError, TypeError, RecursionError) as error:
            raise damaged(path, remedy_of(folder)) from error
        if version != self.version:
            raise MedclError(
                f"{folder}: a store of version {version}, this medcl reads version {self.version}: "
                "prepare the archive again"
            )
        if broken:
            raise damaged(folder / broken[0], remedy_of(folder))
        return table, about

    def write(self, folder: Path, columns: Mapping[str, Any], about: Mapping[str, Any]) -> None:
        """Write the index, last of all, with the checksums of what is in the folder.

        Args:
            folder: of the store.
            columns: one value a record, as the schema names them.
            about: what holds for all records: JSON values.
        """
        # Arrays in frames are looked at chunk by chunk; the other parts are small, and are looked at as a whole.
        parts = {one.name: file_checksum(one) for one in sorted(folder.iterdir()) if one.suffix in (".npy", ".arrow")}
        stored = json.dumps({"version": self.version, FRAMES: write_sums(folder), _PARTS: parts, **about}).encode()
        parquet.write(folder / INDEX, pa.table(dict(columns), schema=self.schema.with_metadata({self.key: stored})))
