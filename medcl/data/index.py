"""The index of a prepared store: which record lies where, and what holds for all of them."""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from medcl.errors import MedclError, cause

INDEX = "index.parquet"


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
            table = pq.read_table(path)
        except (pa.ArrowException, OSError) as error:
            raise MedclError(
                f"{folder}: a damaged store ({cause(error)}): remove it and prepare the archive again"
            ) from error
        stored = (table.schema.metadata or {}).get(self.key)
        if stored is None:
            raise MedclError(f"{folder}: not a store of {self.records}: was it prepared from other records?")
        about = json.loads(stored)
        if about["version"] != self.version:
            raise MedclError(
                f"{folder}: a store of version {about['version']}, this medcl reads version {self.version}: "
                "prepare the archive again"
            )
        return table, about

    def write(self, folder: Path, columns: Mapping[str, Any], about: Mapping[str, Any]) -> None:
        """Write the index, last of all: without it a folder is no store.

        Args:
            folder: of the store.
            columns: one value a record, as the schema names them.
            about: what holds for all records: JSON values.
        """
        stored = json.dumps({"version": self.version, **about}).encode()
        pq.write_table(pa.table(dict(columns), schema=self.schema.with_metadata({self.key: stored})), folder / INDEX)
