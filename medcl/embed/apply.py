"""Apply a run's encoder to the records of a manifest: the work behind `medcl embed`."""

import json
import shutil
from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa

from medcl import files, parquet
from medcl.archive.manifest import Manifest
from medcl.embed.config import EmbedConfig
from medcl.embed.embeddings import parquet_file, parquet_writer
from medcl.embed.encoders import Prepared, Side, device, embed_pieces, of_kinds, on_host, prepare, sides_of
from medcl.embed.metadata import (
    LEFT_OUT,
    EmbeddingsMetadata,
    manifest_fingerprint,
    records_fingerprint,
    run_fingerprint,
    schema_of,
)
from medcl.embed.pooling import DivergedError, Plan, Vectors, pooled, rows_of
from medcl.engine.progress import Progress, progress
from medcl.errors import MedclError, UsageError, reason
from medcl.modality.spec import zero_missing

_PLAN = "plan.json"
_GROUP = 16384  # rows of a row group at least: many small ones would make the file's own index large
_ROWS = 1024  # of a shard that are copied at a time


class Shards:
    """A folder next to the output, that holds its parts while it is made; those of another plan are not taken over.

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
            other = [name for name in {**plan, **known} if known.get(name) != plan.get(name)]
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


@dataclass(frozen=True)
class Done:
    """What became of a manifest.

    Args:
        path: of the embeddings.
        rows: embeddings in it.
        dim: their width.
        left_out: record id -> why it has none.
        taken_over: shards that an earlier, interrupted call had finished.
        already: whether the file had been there, made of the same run, records and settings.
        notes: sentences on records that were embedded.
    """

    path: Path
    rows: int
    dim: int
    left_out: dict[str, str] = field(default_factory=dict)
    taken_over: int = 0
    already: bool = False
    notes: tuple[str, ...] = ()


@dataclass(frozen=True)
class _Part:
    """The records of one side, and where its shards lie among all."""

    side: Side
    prepared: Prepared
    plan: Plan
    first: int


def embed_manifest(
    run: Path,
    manifest: Manifest,
    config: EmbedConfig,
    store: Path,
    output: Path,
    *,
    loaded: list[Side] | None = None,
    shown: Manifest | None = None,
) -> Done:
    """Embed the records of a manifest into one file.

    The work is written in shards beside the file. A call that was interrupted goes on behind those that it had
    finished; a call for a file that is there does nothing.

    Records of the manifest that the run has no encoder for are passed over. Those that are prepared stay in `store`.

    Args:
        run: folder of the run.
        manifest: the records.
        config: what is embedded and how.
        store: folder of prepared records.
        output: the file.
        loaded: encoders of the run that `sides_of` gave; None loads them.
        shown: the same records as the file shall have them, where it shall not have all that is known of them.

    Raises:
        UsageError: the run has no encoder for any record of the manifest, or the file holds other embeddings.
        MedclError: nothing can be decoded, an embedding is not a number, or the disk is full.
    """
    weights = run_fingerprint(run)
    plan = {
        "run": weights,
        "manifest": manifest_fingerprint(manifest),
        "level": config.level,
        "pooling": config.pool,
        "precision": "half" if config.half else "single",
        "kind": config.kind or "all",
        "split": config.split or "all",
        **({"side": config.side} if config.side else {}),
        **({"treatment of missing channels": "zero"} if config.zero_missing else {}),
    }
    if output.exists():
        return _there(output, plan)
    chosen = _chosen(manifest, config)
    rows = chosen if shown is None else _chosen(shown, config)
    loaded = sides_of(run, config.kind, config.side) if loaded is None else loaded
    sides = of_kinds(loaded, chosen, str(run))
    if config.zero_missing:
        sides = [replace(side, card=zero_missing(side.card)) for side in sides]
    schema = schema_of(rows, sides[0].dim, config.half)
    about = EmbeddingsMetadata(
        run=weights,
        run_name=run.resolve().name,
        manifest=records_fingerprint(manifest),
        root=str(rows.root),
        level=config.level,
        pool=config.pool,
        dim=sides[0].dim,
        half=config.half,
        joint=sides[0].joint,
        kinds=tuple(side.kind for side in sides),
        archive=manifest.metadata,
        made_of=plan,
    )
    shards = Shards(output, plan)
    parts = _parts(sides, manifest, chosen, config, store)
    count = sum(part.plan.shards for part in parts)
    old = [number for number in range(count) if shards.there(number)]
    left_out = {record: reason for part in parts for record, reason in part.prepared.left_out.items()}
    total = sum(len(part.plan.numbers) for part in parts)
    with progress("embed", total, "window") as bar:
        for part in parts:
            _embed(part, rows, config, schema, shards, weights, bar)
    told = replace(about, left_out=dict(list(left_out.items())[:LEFT_OUT]), n_left_out=len(left_out))
    written = shards.join(count, told.into(schema))
    notes = tuple(filter(None, (getattr(part.prepared.pieces, "note", "") for part in parts)))
    return Done(output, written, about.dim, left_out, taken_over=len(old), notes=notes)


def _chosen(manifest: Manifest, config: EmbedConfig) -> Manifest:
    """The records that are asked for.

    Raises:
        UsageError: a split without records, or a batch of none.
    """
    if config.batch is not None and config.batch < 1:
        raise UsageError(f"batch {config.batch}: at least one piece at a time")
    if not config.split:
        return manifest
    rows = manifest.split_rows(config.split)
    if not len(rows):
        have = ", ".join(sorted({str(one) for one in manifest.column("split") if one is not None})) or "none"
        raise UsageError(f"split {config.split!r}: the manifest has no such records; its splits: {have}")
    return manifest.select(rows)


def _there(output: Path, wanted: dict[str, str]) -> Done:
    """What a finished file holds.

    Raises:
        UsageError: other embeddings than those wanted.
    """
    try:
        file = parquet_file(output)
    except (pa.ArrowException, OSError) as error:
        raise UsageError(f"{output}: is there, and holds no embeddings: choose another -o") from error
    found = EmbeddingsMetadata.of(file.schema, output)
    other = [name for name in {**wanted, **found.made_of} if found.made_of.get(name) != wanted.get(name)]
    if other:
        raise UsageError(
            f"{output}: holds embeddings of another {' and '.join(other)}, which are never mixed: choose another -o"
        )
    return Done(output, file.metadata.num_rows, found.dim, found.left_out, already=True)


def _parts(sides: list[Side], every: Manifest, chosen: Manifest, config: EmbedConfig, store: Path) -> list[_Part]:
    parts: list[_Part] = []
    first = 0
    for side in sides:
        prepared = prepare(side, every, chosen, store, config.jobs, cluster=config.cluster)
        plan = Plan.of(prepared.pieces, chosen, config.level)
        parts.append(_Part(side, prepared, plan, first))
        first += plan.shards
    return parts


def _embed(
    part: _Part, manifest: Manifest, config: EmbedConfig, schema: pa.Schema, shards: Shards, weights: str, bar: Progress
) -> None:
    """Embed the shards of a side that are not finished."""
    plan, pieces = part.plan, part.prepared.pieces
    wanted = [number for number in range(plan.shards) if not shards.there(part.first + number)]
    bar.update(len(plan.numbers) - sum(plan.pieces_of(n).stop - plan.pieces_of(n).start for n in wanted))
    if not wanted:
        return
    numbers = np.concatenate([plan.numbers[plan.pieces_of(number)] for number in wanted])
    embedded = _counted(on_host(embed_pieces(part.side.network, pieces, numbers, device(), config.batch)), bar)
    try:
        for shard, z in pooled(embedded, plan, wanted, part.side.dim, config.pool, unit=part.side.joint):
            rows = rows_of(manifest, part.side, part.prepared, plan, shard, z, schema, weights)
            shards.write(part.first + shard, rows)
    except DivergedError as error:
        record = manifest.column("record_id")[error.row]
        raise MedclError(
            f"record {record}: its embedding is not a number: the run has diverged, or the record holds values that no "
            "encoder was trained on; leave it out of the manifest, or take another run"
        ) from error


def _counted(embedded: Iterator[tuple[slice, Vectors]], bar: Progress) -> Iterator[tuple[slice, Vectors]]:
    for which, z in embedded:
        yield which, z
        bar.update(len(z))
