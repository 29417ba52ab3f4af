"""Decode the records of an archive once, into a store that samples are read from: of every wing in the same way."""

import hashlib
import json
import math
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import joblib
import numpy as np

from medcl.archive.file_state import scanned, scanned_masks
from medcl.archive.manifest import Manifest
from medcl.data.decode import AppendedWriter, DecodingJob, Outcome, decode_all, died, sources, too_large
from medcl.data.store import open_store, publish, write_index
from medcl.engine.parallel import run_chunks
from medcl.engine.progress import progress
from medcl.errors import MedclError, UsageError
from medcl.modality import wing, wing_of
from medcl.modality.base import Wing
from medcl.modality.foreign import available
from medcl.modality.formats import DECODED_APART
from medcl.modality.storing import Apart, Appended, Preparation

_IN_FLIGHT = 1 << 28
"""Bytes of decoded records that may wait to be written: the processes decode faster than one process compresses."""


def prepare(
    manifest: Manifest, config: Any, folder: Path, *, jobs: int = -1, strict: bool = False, cluster: str | None = None
) -> Any:
    """Decode every readable record of one wing, once; records of other wings are passed over.

    A store is found again by its key: the records with their checksums, sizes and times, and all settings that change
    what is stored. Others lie next to it, so that changed settings never meet stale data. It is published at the end in
    one step: an interrupted preparation leaves nothing behind that opens. Of several processes that want the same
    store, one prepares it and the others wait.

    Args:
        manifest: what was scanned.
        config: of samples, which says which wing's records are prepared: a `SignalConfig`, a `VolumeConfig`, ...
        folder: that holds the stores.
        jobs: processes that decode; the store is the same for any number.
        strict: see `file_state.scanned`.
        cluster: address of a Dask scheduler whose workers decode in the place of processes here; they see the archive
            and `folder` under the same paths.

    Returns:
        The store, as `open_store` gives it. Records that cannot be prepared are in its `quarantine`, with the reason.

    Raises:
        UsageError: the settings do not fit the archive, or one another.
        MedclError: there are no such records, nothing can be decoded, the disk is full or the store grows too large.
    """
    own = wing_of(config)
    manifest = only(manifest, own.name)
    todo = own.preparation(manifest, config)
    key, room = _key(manifest, todo), available()
    # What does not fit into memory is not decoded: what its header claims is no reason to refuse the others.
    needed = int(todo.n_bytes.sum() if room is None else todo.n_bytes[todo.memory <= room].sum())
    run = _Run(own, manifest, todo, jobs, cluster)
    made = publish(folder, key, needed, lambda partial: run.make(partial, key, strict))
    return open_store(made, own.name)


def only(manifest: Manifest, name: str) -> Manifest:
    """The readable records of one wing, of a manifest that may have several.

    Raises:
        UsageError: there are only records of other wings.
        MedclError: there is no readable record.
    """
    readable = manifest.ok()
    if not len(readable):
        raise MedclError("the manifest has no readable record")
    chosen = readable.select(readable.kinds == name)
    if not len(chosen):
        held = ", ".join(sorted({str(one) for one in readable.column("modality")}))
        raise UsageError(
            f"this recipe is for {wing(name).examples}, the manifest holds {held}: scan an archive that has some, or "
            "take a recipe for what is there"
        )
    return chosen


@dataclass(frozen=True)
class _Run:
    """The preparation of one store."""

    wing: Wing
    manifest: Manifest
    todo: Preparation
    jobs: int
    cluster: str | None

    def make(self, folder: Path, key: str, strict: bool) -> None:
        """Fill the folder of a store."""
        layout, ids = self.todo.layout, self.manifest.column("record_id")
        outcomes = self._outcomes(folder, strict)
        notes: dict[str, Mapping[str, Any]] = {}
        if isinstance(layout, Appended | Apart):
            rows = dict(sorted(self._written(folder, outcomes).items()))
            quarantine = {str(ids[n]): row for n, row in rows.items() if isinstance(row, str)}
            used = {str(ids[n]): row for n, row in rows.items() if not isinstance(row, str)}
            notes = {record: notes for record, (_, notes) in used.items() if notes}
            names = next(iter(used.values()))[0] if used else ()
            columns: Mapping[str, Any] = {name: [row[name] for row, _ in used.values()] for name in names}
            columns = {"record_id": list(used), **columns}
        else:
            gathered = layout(folder, ((one.number, one.decoded or one.reason) for one in outcomes))
            columns, quarantine = gathered.columns, gathered.quarantine
        if not len(columns.get("record_id", ())):
            first = next(iter(quarantine.values()))
            raise MedclError(f"none of {len(self.manifest)} {self.wing.plural} can be prepared; the first: {first}")
        about = {"key": key, **self.todo.about(notes), "quarantine": quarantine}
        write_index(folder, self.wing.index, columns, about)

    def _written(
        self, folder: Path, outcomes: Iterator[Outcome]
    ) -> dict[int, str | tuple[dict[str, Any], Mapping[str, Any]]]:
        """Number of each record -> its columns of the index and its notes, or the reason why it has none."""
        layout, written = self.todo.layout, 0
        writer = AppendedWriter(folder, layout) if isinstance(layout, Appended) else None
        found: dict[int, str | tuple[dict[str, Any], Mapping[str, Any]]] = {}
        for one in outcomes:
            if one.decoded is None:
                found[one.number] = one.reason
                continue
            if writer is not None:
                place = writer.append(one.decoded.arrays[None])
                written = writer.written
            else:
                assert isinstance(layout, Apart)
                place = {layout.number: one.number}
                written += one.written
            found[one.number] = {**place, **one.decoded.row}, one.decoded.notes
            self._check_size(folder, written)
        if writer is not None:
            writer.finish()
            self._check_size(folder, writer.written)
        return found

    def _check_size(self, folder: Path, written: int) -> None:
        if self.todo.largest and written > self.todo.largest * 1e9:
            raise MedclError(
                f"{folder.parent}: the store grows beyond the {self.todo.largest:g} GB of data.largest: raise it, "
                f"prepare fewer {self.wing.plural}, or {self.todo.remedy}"
            )

    def _outcomes(self, folder: Path, strict: bool) -> Iterator[Outcome]:
        """What became of each record; in their order, but for those that are not decoded at all."""
        todo, ordered = self.todo, not isinstance(self.todo.layout, Apart)
        room = available() if self.cluster is None else None
        work = []
        with progress("prepare", len(self._items), self.wing.unit) as bar:
            for job, need in zip(self._work(folder, strict), todo.memory[self._items].tolist(), strict=True):
                invalid = todo.invalid[job.number] if todo.invalid is not None else ""
                if room is not None and need > room:
                    invalid = too_large(need, room)
                if invalid:
                    bar.update()
                    yield Outcome(job.number, reason=invalid)
                else:
                    work.append(job)
            for part, jobs, chunk in self._waves(work, room):
                apart = any(job.source.format in DECODED_APART for job in part)
                how: dict[str, Any] = {"instead": died, "apart": apart, "cluster": self.cluster}
                for outcomes in run_chunks(decode_all, part, jobs=jobs, chunk=chunk, ordered=ordered, **how):
                    bar.update(len(outcomes))
                    yield from outcomes

    @property
    def _items(self) -> Any:
        return np.arange(len(self.manifest)) if self.todo.items is None else self.todo.items

    def _work(self, folder: Path, strict: bool) -> Iterator[DecodingJob]:
        todo = self.todo
        chosen = self.manifest.select(self._items)
        files = scanned(chosen, strict=strict) if self.wing.reads_files else None
        masks = [
            [None if one is None else (one, len(chosen.masks[name].classes)) for one in column]
            for name in todo.masks
            for column in [scanned_masks(chosen, name, strict=strict)]
        ]
        apart = (folder, todo.layout) if isinstance(todo.layout, Apart) else None
        for number, source in enumerate(sources(chosen, self.wing, files)):
            own = tuple(column[number] for column in masks)
            known = files[number] if files is not None else None
            memory = float(todo.memory[self._items[number]]) if self.cluster is not None else None
            yield DecodingJob(number, self.wing.name, source, known, own, todo.config, apart, memory, folder)

    def _waves(self, work: list[DecodingJob], room: int | None) -> Iterator[tuple[list[DecodingJob], int, int]]:
        """Jobs that run together, the processes that they run in, and how many a call has."""
        cores = joblib.cpu_count()
        processes = max(1, min(cores if self.jobs == -1 else self.jobs, len(work)))
        items = self._items
        if isinstance(self.todo.layout, Apart):
            # The processes write themselves; those that need most of the memory run alone.
            needs = self.todo.memory[items]
            alone = [room is not None and bool(needs[job.number] * processes > room) for job in work]
            for apart, jobs in ((False, self.jobs), (True, 1)):
                part = [job for job, one in zip(work, alone, strict=True) if one is apart]
                yield part, jobs, self.todo.chunk
            return
        part, waiting = list[DecodingJob](), 0
        for i, job in enumerate(work):
            part.append(job)
            waiting += int(self.todo.n_bytes[items[job.number]])
            last = i + 1 == len(work)
            if last or (
                waiting + int(self.todo.n_bytes[items[work[i + 1].number]]) > _IN_FLIGHT and len(part) >= processes
            ):
                yield part, self.jobs, max(1, min(self.todo.chunk, math.ceil(len(part) / (4 * processes))))
                part, waiting = [], 0


def _key(manifest: Manifest, todo: Preparation) -> str:
    digest = hashlib.blake2b(json.dumps(todo.settings).encode(), digest_size=10)
    for name in todo.keyed:
        digest.update("\n".join(map(str, manifest.column(name))).encode())
    for part in todo.further:
        digest.update(part)
    return digest.hexdigest()
