"""The manifest: one row a record, a Parquet file that other programs can open."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, Literal, Self

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from medcl import parquet
from medcl.archive.rows_on_disk import RowsOnDisk, pieces
from medcl.archive.schema import DISTINCT, KEPT, KEPT_TYPE, SCHEMA_VERSION, Kind, kinds_of, values_of
from medcl.documents import parse_json
from medcl.errors import MedclError, UsageError, cause, did_you_mean
from medcl.modality.signal.config import Stated

_KEY = b"medcl"


@dataclass(frozen=True)
class Target:
    """A label column and what it means.

    Args:
        name: of the column.
        kind: what is predicted.
        classes: names in order; of a binary target the second is the positive one. None for regression.
    """

    name: str
    kind: Literal["binary", "multiclass", "multilabel", "regression"]
    classes: tuple[str, ...] = ()


@dataclass(frozen=True)
class Masks:
    """A column of label maps: paths relative to the root, null where a volume has none.

    Args:
        name: of the column.
        classes: class k is what the voxels of value k show; class 0 is the background.
    """

    name: str
    classes: tuple[str, ...]


@dataclass(frozen=True)
class Manifest:
    """Records and what is known of them.

    Args:
        table: one row a record, with the columns of `schema.SCHEMA` and the label columns; of a scan that writes a
            file, or one that is read so, it stands for one on disk (`RowsOnDisk`).
        root: folder that `path` is relative to.
        metadata: what holds for all rows: fingerprint of the salt, targets, how it was split. JSON values only.
    """

    table: pa.Table
    root: Path
    metadata: dict[str, Any] = field(default_factory=dict)

    @classmethod
    def read(cls, path: Path | str, *, in_memory: bool = True) -> Self:
        """Read a manifest.

        Args:
            path: Parquet file that `medcl scan` wrote.
            in_memory: read all columns now; else each when it is asked for, from the file as it is now.

        Returns:
            The manifest.

        Raises:
            UsageError: no such file, not a manifest, or one of a newer version.
        """
        try:
            file = parquet.ParquetFile(Path(path), "scan the archive again, or take a copy")
            table = file.read() if in_memory else RowsOnDisk(file)
            for _ in () if in_memory else pieces(table):
                pass  # Damage is told at once.
        except FileNotFoundError as error:
            raise UsageError(f"{path}: there is no such manifest: make it with `medcl scan`") from error
        except (pa.ArrowException, OSError) as error:
            raise UsageError(f"{path}: is not a manifest: {_no_parquet(error)}") from error
        stored = (file.schema.metadata or {}).get(_KEY)
        if stored is None or "record_id" not in table.column_names:
            raise UsageError(f"{path}: is a Parquet file, but not a manifest of `medcl scan`")
        metadata = parse_json(stored, f"{path}")
        if not isinstance(metadata, dict) or not isinstance(metadata.get("version", 0), int):
            raise UsageError(f"{path}: damaged: what it says of itself is no description of a manifest")
        version, root = metadata.pop("version", 0), Path(metadata.pop("root", "."))
        if version > SCHEMA_VERSION:
            raise UsageError(
                f"{path}: is of version {version}, this medcl reads up to {SCHEMA_VERSION}: use a newer medcl"
            )
        return cls(table.replace_schema_metadata(None) if in_memory else table, root, metadata)

    def write(self, path: Path | str) -> None:
        """Write the manifest in one move: a reader sees the old file or the new one.

        Args:
            path: Parquet file; its folder is made if need be.

        Raises:
            MedclError: the file cannot be written.
        """
        path = Path(path)
        stored = {"version": SCHEMA_VERSION, "root": str(self.root), **self.metadata}
        schema = self.table.schema.with_metadata({_KEY: json.dumps(stored, ensure_ascii=False).encode()})
        parquet.write_pieces(path, schema, pieces(self.table), private=True, distinct=DISTINCT)

    def __len__(self) -> int:
        return int(self.table.num_rows)

    def has(self, name: str) -> bool:
        """Whether there is a column of this name."""
        return name in self.table.column_names

    def column(self, name: str) -> NDArray[Any]:
        """One column as an array.

        Args:
            name: of the column.

        Returns:
            (records,) int64 with -1 for null (codes and counts are never negative, and never float), float64 with NaN,
            or objects (text, lists) with None.

        Raises:
            UsageError: there is no such column.
        """
        return values_of(self._column(name))

    @property
    def usable(self) -> NDArray[np.bool_]:
        """(records,) which are not quarantined."""
        return self._equal("status", "ok")

    def ok(self) -> Self:
        """The records that are not quarantined."""
        return self.select(self.usable)

    @property
    def stated(self) -> Stated:
        """What the user stated, when the archive was scanned, of signals whose files leave it open."""
        return Stated.of(self.metadata.get("scan", {}))

    @property
    def kinds(self) -> NDArray[Any]:
        """(records,) what each record is: `signal`, `volume`, `image` or `report`."""
        return kinds_of(self.column("modality"), self.column("format"))

    def of_kind(self, kind: Kind) -> Self:
        """The records of one kind."""
        return self.select(self.kinds == kind)

    def select(self, rows: NDArray[Any] | Sequence[int]) -> Self:
        """Some of the records.

        Args:
            rows: (records,) bool, or row numbers in the order wanted.

        Returns:
            The manifest of these rows.
        """
        chosen = np.asarray(rows)
        if chosen.dtype == bool:
            if chosen.shape != (len(self),):
                raise UsageError(f"a mask of shape {chosen.shape} cannot choose among {len(self)} records")
            if chosen.all():
                return self
            chosen = np.flatnonzero(chosen)
        return replace(self, table=self.table.take(pa.array(chosen.astype(np.int64))))

    def with_column(self, name: str, values: pa.Array | pa.ChunkedArray) -> Self:
        """The manifest with a column added, or replaced where it stands.

        Args:
            name: of the column.
            values: (records,).

        Returns:
            The new manifest.
        """
        if self.has(name):
            return replace(self, table=self.table.set_column(self.table.column_names.index(name), name, values))
        return replace(self, table=self.table.append_column(name, values))

    @property
    def targets(self) -> dict[str, Target]:
        """The label columns by name."""
        stored = self.metadata.get("targets", {})
        return {name: Target(name, one["kind"], tuple(one["classes"])) for name, one in stored.items()}

    def with_targets(self, targets: Mapping[str, Target]) -> Self:
        """The manifest with these label columns declared."""
        stored = {name: {"kind": target.kind, "classes": list(target.classes)} for name, target in targets.items()}
        return replace(self, metadata={**self.metadata, "targets": stored})

    @property
    def masks(self) -> dict[str, Masks]:
        """The columns of label maps by name."""
        return {name: Masks(name, tuple(classes)) for name, classes in self.metadata.get("masks", {}).items()}

    def with_masks(self, masks: Masks, paths: pa.Array) -> Self:
        """The manifest with a column of label maps, (records,) paths or null."""
        stored = {**self.metadata.get("masks", {}), masks.name: list(masks.classes)}
        return replace(self.with_column(masks.name, paths), metadata={**self.metadata, "masks": stored})

    @property
    def kept(self) -> list[NDArray[np.int64] | None]:
        """(records,) the slices that are kept of each volume, ascending; None where all of it is."""
        if not self.has(KEPT):
            return [None] * len(self)
        return [None if one is None else np.array(one, dtype=np.int64) for one in self.column(KEPT)]

    @property
    def kept_axis(self) -> int:
        """The axis of RAS+ across which the slices of `kept` lie."""
        return int(self.metadata.get("kept_axis", 2))

    def with_kept(self, kept: Sequence[Sequence[int] | None], axis: int) -> Self:
        """The manifest with the slices that are kept of each volume, None for all, across an axis of RAS+."""
        metadata = {**self.metadata, "kept_axis": axis}
        return replace(self.with_column(KEPT, pa.array(kept, KEPT_TYPE)), metadata=metadata)

    def labels(self, target_name: str) -> NDArray[Any]:
        """The labels of a target as numbers.

        Args:
            target_name: one of `targets`.

        Returns:
            multilabel: float32 (records, classes) of 0 and 1, NaN rows where unlabelled. binary, multiclass: int64
            (records,) number of the class, -1 where unlabelled. regression: float32 (records,), NaN where unlabelled.

        Raises:
            UsageError: there is no such target.
            MedclError: a record carries a class that the target does not have.
        """
        if target_name not in self.targets:
            raise UsageError(
                f"no target {target_name!r} in the manifest: it has {', '.join(self.targets) or 'none'}"
                f"{did_you_mean(target_name, self.targets)}"
            )
        target, values = self.targets[target_name], self._column(target_name)
        if target.kind == "regression":
            return self.column(target_name).astype(np.float32)
        if target.kind == "multilabel":
            flat, owner = pc.list_flatten(values), pc.list_parent_indices(values).to_numpy()
            labels = np.zeros((len(self), len(target.classes)), dtype=np.float32)
            labels[owner, self._class_numbers(target, flat)] = 1
            labels[values.is_null().to_numpy()] = np.nan
            return labels
        return self._class_numbers(target, values)

    def split_rows(self, split: str) -> NDArray[np.int64]:
        """The rows of a split.

        Args:
            split: `train`, `val` or `test`.

        Returns:
            Row numbers, ascending.
        """
        return np.flatnonzero(self._equal("split", split))

    def _column(self, name: str) -> pa.ChunkedArray:
        if not self.has(name):
            raise UsageError(
                f"no column {name!r} in the manifest: it has {', '.join(self.table.column_names)}"
                f"{did_you_mean(name, self.table.column_names)}"
            )
        return self.table.column(name)

    def _equal(self, name: str, word: str) -> NDArray[np.bool_]:
        return np.asarray(pc.fill_null(pc.equal(self._column(name), word), False).to_numpy(), dtype=bool)

    def _class_numbers(self, target: Target, values: pa.ChunkedArray) -> NDArray[np.int64]:
        numbers = pc.index_in(values, value_set=pa.array(target.classes, type=pa.string()))
        foreign = pc.unique(values.filter(pc.and_(values.is_valid(), numbers.is_null()))).to_pylist()
        if foreign:
            raise MedclError(
                f"target {target.name!r}: {len(foreign)} values are not one of its classes {list(target.classes)}"
            )
        return np.asarray(pc.fill_null(numbers, -1).to_numpy(), dtype=np.int64)


def _no_parquet(error: Exception) -> str:
    """Why a file was not read or written, in words of ours: pyarrow's may quote the file."""
    if isinstance(error, OSError) and error.errno is not None:
        return cause(error)
    return "no Parquet file, or a damaged one"
