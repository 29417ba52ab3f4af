"""Records found by their embeddings: an index next to the file, which takes in other files of the same run."""

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from medcl.embed.embeddings import EmbeddingsFile
from medcl.embed.metadata import KIND, START
from medcl.embed.vectors import BLOCK, Ints, Vectors, unit, vectors_of
from medcl.errors import UsageError, did_you_mean
from medcl.explore.cache import Saved, content_key, folder_of, read_index, save_index, writable
from medcl.explore.neighbours import EXACT, add, is_exact, new_index, search

_RECORD, _PATIENT, _SPLIT = "record_id", "patient", "split"
_KEPT = (_RECORD, _PATIENT, _SPLIT, KIND, START)
_SOURCE, _ROW = "source", "row"
_MORE = 20  # times k that are ranked by their vectors, of an index that is not exact


@dataclass(frozen=True)
class Near:
    """A record that was found.

    Args:
        rank: from 1.
        record_id: a code, or public.
        kind: of the record.
        similarity: cosine with what was looked for; of several windows, that of the nearest.
        start: where this window begins, s; or voxels along each axis; empty for a whole record.
        path: of the embeddings.
        row: of the file.
    """

    rank: int
    record_id: str
    kind: str
    similarity: float
    start: tuple[float, ...]
    path: Path
    row: int


@dataclass(frozen=True)
class EmbeddingIndex:
    """Embeddings as they are searched: the vectors, whose they are, and the files that they are from."""

    folder: Path
    saved: Saved

    @classmethod
    def open(cls, embeddings: EmbeddingsFile, exact: int = EXACT) -> "EmbeddingIndex":
        """The saved index of a file with what was added to it, or a new one where there is none or the file is another.

        A new one is exact up to so many bytes of vectors, else about so.

        Raises:
            MedclError: there is no embedding, or some hold NaN; or a file that was added is missing.
        """
        folder = folder_of(embeddings) / "index"
        vectors = vectors_of(embeddings)
        key = content_key(embeddings, vectors)
        saved = read_index(folder, embeddings, key)
        if saved is None:
            saved = Saved(((embeddings, key),), _records(embeddings, 0), new_index(vectors, exact), 0)
            save_index(folder, saved)
        return cls(folder, saved)

    @property
    def records(self) -> pa.Table:
        """A row an embedding: its record, patient, split, kind, start, and which row of which file it is."""
        return self.saved.records

    def __len__(self) -> int:
        return int(self.records.num_rows)

    def add(self, more: EmbeddingsFile) -> tuple["EmbeddingIndex", int]:
        """Take in another file of the same run; what is there already is left out.

        Returns:
            The index with them, saved, and the number of new embeddings.

        Raises:
            UsageError: they are of another run, level or width.
            MedclError: some hold NaN.
        """
        first = self.saved.sources[0][0].about
        differ = [name for name in ("run", "level", "pool", "dim") if getattr(more.about, name) != getattr(first, name)]
        if differ:
            raise UsageError(
                f"{more.paths[0]}: its embeddings are of another {' and '.join(differ)} than those of "
                f"{self.saved.sources[0][0].paths[0]}: they cannot be compared"
            )
        vectors = vectors_of(more)
        table = _records(more, len(self.saved.sources))
        there = set(_names(self.records))
        new = np.array([row for row, name in enumerate(_names(table)) if name not in there], dtype=np.int64)
        if not len(new):
            return self, 0
        index = writable(self.folder, self.saved)
        for start in range(0, len(new), BLOCK):
            add(index, vectors[new[start : start + BLOCK]])
        grown = Saved(
            (*self.saved.sources, (more, content_key(more, vectors))),
            pa.concat_tables([self.records, table.take(pa.array(new))]),
            index,
            self.saved.changes + 1,
        )
        save_index(self.folder, grown)
        return EmbeddingIndex(self.folder, grown), len(new)

    def vector(self, record_id: str) -> NDArray[np.float32]:
        """The embedding of a record, (dim,); the mean of those of its windows.

        Raises:
            UsageError: there is no such record.
        """
        places = np.flatnonzero(np.asarray(pc.equal(self.records[_RECORD], record_id).fill_null(False)))
        if not len(places):
            hint = did_you_mean(record_id, (str(one) for one in self.records[_RECORD].to_pylist() if one is not None))
            raise UsageError(f"--record {record_id}: the embeddings have no such record{hint}")
        mean: NDArray[np.float32] = unit(self._vectors(places)).mean(axis=0)
        return mean

    def of(self, record_id: str, name: str) -> Any:
        """What is known of a record: its `patient`, `split` or `kind`."""
        row = pc.index(self.records[_RECORD], record_id).as_py()
        return None if row < 0 else self.records[name][row].as_py()

    def nearest(
        self,
        query: Vectors,
        k: int,
        *,
        kind: str = "",
        split: str = "",
        without_records: Collection[str] = (),
        without_patients: Collection[int] = (),
    ) -> list[Near]:
        """The k nearest records.

        Args:
            query: (dim,).
            k: number of records; of each its nearest window counts.
            kind: of the records; empty for all.
            split: of the records; empty for all.
            without_records: ids of those that are not looked for.
            without_patients: codes of those none of whose records is looked for.

        Raises:
            UsageError: k is below 1, the query is of another width, or no record is of this kind and split.
        """
        if k < 1:
            raise UsageError(f"-k {k}: at least 1")
        if query.shape != (self.saved.faiss.d,):
            raise UsageError(f"a vector ({self.saved.faiss.d},) expected, got {query.shape}")
        allowed = np.ones(len(self), dtype=bool)
        for name, value in ((KIND, kind), (_SPLIT, split)):
            if value:
                allowed &= self._is(name, value)
        if not allowed.any():
            raise UsageError(
                f"there is no record {f'of kind {kind} ' * bool(kind)}{f'in the split {split}' * bool(split)}"
            )
        for name, some in ((_RECORD, without_records), (_PATIENT, without_patients)):
            for one in some:
                allowed &= ~self._is(name, one)
        wanted, most = k, int(allowed.sum())
        while most:
            found = self._ranked(query, min(wanted, most), allowed)
            if len(found) >= k or wanted >= most:
                return found[:k]
            wanted *= 4  # several windows of one record
        return []

    def _ranked(self, query: Vectors, count: int, allowed: NDArray[np.bool_]) -> list[Near]:
        exact = is_exact(self.saved.faiss)
        similarity, places = (
            one[0] for one in search(self.saved.faiss, query[None], count if exact else _MORE * count, allowed)
        )
        places, similarity = places[places >= 0], similarity[places >= 0]
        if not exact:
            similarity = unit(self._vectors(places)) @ unit(query[None])[0]
            order = np.argsort(-similarity, kind="stable")[:count]
            places, similarity = places[order], similarity[order]
        found: dict[str, Near] = {}
        for row, cosine in zip(self.records.take(pa.array(places)).to_pylist(), similarity.tolist(), strict=True):
            name = row[_RECORD] or f"row {row[_ROW]}"
            path = self.saved.sources[row[_SOURCE]][0].paths[0]
            start = tuple(row[START] or ())
            found.setdefault(name, Near(len(found) + 1, name, row[KIND], cosine, start, path, row[_ROW]))
        return list(found.values())

    def _is(self, name: str, value: object) -> NDArray[np.bool_]:
        return np.asarray(pc.equal(self.records[name], value).fill_null(False), dtype=bool)

    def _vectors(self, places: Ints) -> Vectors:
        """Those of places, read from their files."""
        at = self.records.select([_SOURCE, _ROW]).take(pa.array(places))
        source, row = (np.asarray(at[name]) for name in (_SOURCE, _ROW))
        found = np.empty((len(places), self.saved.faiss.d), dtype=np.float32)
        for number in np.unique(source):
            mine = source == number
            found[mine] = self.saved.sources[number][0].vectors()[row[mine]]
        return found


def _records(embeddings: EmbeddingsFile, source: int) -> pa.Table:
    table = embeddings.table(_KEPT)
    count = len(table)
    table = table.append_column(_SOURCE, pa.array(np.full(count, source, dtype=np.int32)))
    return table.append_column(_ROW, pa.array(np.arange(count))).replace_schema_metadata(None)


def _names(records: pa.Table) -> Sequence[tuple[Any, ...]]:
    """What tells embeddings apart: the record and where its window begins, of a patient's the patient."""
    record, start, patient, kind = (records[name].to_pylist() for name in (_RECORD, START, _PATIENT, KIND))
    return [
        (one, kind[row], tuple(start[row] or ())) if one is not None else (patient[row], kind[row])
        for row, one in enumerate(record)
    ]
