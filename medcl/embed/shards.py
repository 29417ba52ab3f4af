"""Embeddings on their way into one file: finished shards stay, so that a run that was killed goes on behind them."""

import json
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from medcl import files, parquet
from medcl.embed.metadata import EMBEDDING, RUN
from medcl.errors import MedclError, UsageError, reason

_PLAN = "plan.json"
_GROUP = 16384  # rows of a row group at least: many small ones would make the file's own index large
_ROWS = 1024  # of a shard that are copied at a time


class Shards:
    """A folder next to the output, that holds its parts while it is made.

    Args:
        output: the file that is wanted.
        plan: what the embeddings are made of; another plan's shards are never taken over.

    Raises:
        UsageError: the folder holds unfinished embeddings of another plan.
        MedclError: the folder cannot be made.
    """

    def __init__(self, output: Path, plan: dict[str, Any]) -> None:
        self.output = output
        self.folder = output.with_name(output.name + ".parts")
        about = self.folder / _PLAN
        try:
            if not about.exists():
                files.write(about, json.dumps(plan), private=True)
            known = json.loads(about.read_text(encoding="utf-8"))
        except (OSError, ValueError, RecursionError) as error:
            raise MedclError(f"{about}: {reason(error)}: delete its folder to start anew") from error
        if known != plan:
            other = [name for name in plan if known.get(name) != plan[name]]
            raise UsageError(
                f"{self.folder}: holds unfinished embeddings of another {' and '.join(other)}: choose another "
                "-o, or delete that folder to start anew"
            )

    def path(self, number: int) -> Path:
        """File of a shard."""
        return self.folder / f"{number:06d}.parquet"

    def there(self, number: int) -> bool:
        """Whether a shard is finished."""
        return self.path(number).exists()

    def write(self, number: int, table: pa.Table) -> None:
        """Write a shard in one move.

        Raises:
            MedclError: the disk is full.
        """
        parquet.write(self.path(number), table, private=True, compression="none")

    def join(self, count: int, schema: pa.Schema) -> int:
        """Make one file of the shards, in one move, and clear them away.

        Args:
            count: number of shards.
            schema: of the file, with what it says of itself.

        Returns:
            Number of rows.

        Raises:
            MedclError: the disk is full.
        """
        rows = 0
        with files.draft(self.output, private=True) as place:
            with parquet_writer(place, schema) as writer:
                for table in self._groups(count, schema):
                    writer.write_table(table, row_group_size=len(table))
                    rows += len(table)
            parquet.seal(place)
        shutil.rmtree(self.folder, ignore_errors=True)
        return rows

    def _groups(self, count: int, schema: pa.Schema) -> Iterator[pa.Table]:
        """The rows of all shards in their order, in tables as large as a row group."""
        waiting: list[pa.Table] = []
        for number in range(count):
            path = self.path(number)
            file = parquet.ParquetFile(path, "remove it, and the same command makes it again")
            for batch in file.iter_batches(_ROWS):
                waiting.append(pa.table(batch.columns, schema=schema))
                if sum(map(len, waiting)) >= _GROUP:
                    yield pa.concat_tables(waiting)
                    waiting = []
        if waiting:
            yield pa.concat_tables(waiting)


def parquet_writer(path: Path, schema: pa.Schema) -> pq.ParquetWriter:
    """What writes a file of embeddings: numbers of a network do not compress, and a dictionary of them is larger."""
    plain = [name for name in schema.names if name != EMBEDDING]
    packed = {name: "zstd" for name in plain} | {f"{EMBEDDING}.list.element": "none"}
    return pq.ParquetWriter(path, schema, compression=packed, use_dictionary=plain, write_statistics=[RUN])
