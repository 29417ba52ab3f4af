"""The map as two columns of the file of embeddings, so that other viewers draw it."""

import pyarrow as pa

from medcl import files, parquet
from medcl.embed.embeddings import Embeddings, parquet_file
from medcl.embed.shards import parquet_writer
from medcl.errors import UsageError
from medcl.explore.project import Plane

X, Y = "x", "y"
_ROWS = 65536  # of a row group


def write_xy(embeddings: Embeddings, xy: Plane) -> None:
    """Write the columns `x` and `y` (float32), instead of those that are there; each file in one move.

    Args:
        embeddings: whose files are written anew, row by row as they are.
        xy: (N, 2), such as the `xy` of a projection.

    Raises:
        UsageError: there is not one place for each embedding, or a label of this name is in the way.
        MedclError: a file cannot be written.
    """
    if xy.shape != (len(embeddings), 2):
        raise UsageError(f"places of shape {xy.shape}, for {len(embeddings)} embeddings they must be (N, 2)")
    targets = [name for name in (X, Y) if name in embeddings.about.archive.get("targets", {})]
    if targets:
        raise UsageError(f"{embeddings.paths[0]}: the label {targets[0]!r} would be lost: give the label another name")
    at = 0
    for path in embeddings.paths:
        with files.draft(path, private=True) as place:
            file = parquet_file(path)
            old = file.schema
            names = [name for name in old.names if name not in (X, Y)]
            own = [pa.field(X, pa.float32()), pa.field(Y, pa.float32())]
            schema = pa.schema([*(old.field(name) for name in names), *own], metadata=old.metadata)
            with parquet_writer(place, schema) as writer:
                for batch in file.iter_batches(_ROWS, names):
                    part = xy[at : at + len(batch)].astype("float32")
                    at += len(batch)
                    columns = [*(batch.column(name) for name in names), pa.array(part[:, 0]), pa.array(part[:, 1])]
                    writer.write_batch(pa.record_batch(columns, schema=schema))
            parquet.seal(place)
