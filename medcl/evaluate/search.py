"""Search records by a text or by another record, and show the results."""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from medcl import files, runs
from medcl.archive.manifest import Manifest
from medcl.archive.schema import Kind
from medcl.embed import encoders
from medcl.embed.query import Query, direction
from medcl.errors import UsageError, did_you_mean
from medcl.evaluate.multimodal_space import (
    Embedded,
    MultimodalRun,
    embed_kind,
    embed_texts,
    kept_before,
    require_multimodal,
    with_side,
)
from medcl.modality import WINGS, wing
from medcl.networks.multimodal import REPORT
from medcl.show import page
from medcl.show.images import TILE, contact_sheet, grey, png
from medcl.show.thumbnails import Thumbnail, thumbnails
from medcl.stats.retrieval import Ints
from medcl.wording import number


@dataclass(frozen=True)
class FoundRecord:
    """A retrieved record.

    Args:
        rank: from 1.
        record_id: a code, or public.
        kind: of the record.
        similarity: cosine with the query.
        text: of a report, de-identified as it is stored; else empty.
        row: of the readable records.
    """

    rank: int
    record_id: str
    kind: Kind
    similarity: float
    text: str
    row: int


@dataclass(frozen=True)
class Archive:
    """The records of a manifest that are searched, of a split where it is not empty.

    The run has several modalities, whose encoders are loaded when they are needed.
    """

    run: MultimodalRun
    manifest: Manifest
    store: Path
    split: str = ""
    jobs: int = -1

    @classmethod
    def open(cls, run: Path, manifest: Manifest, store: Path, split: str = "", jobs: int = -1) -> "Archive":
        """An archive as a run sees it.

        No encoder is loaded before it is needed: none for records whose embeddings the store keeps.

        Raises:
            UsageError: the run has one modality only, or there is no such split.
        """
        if split and split not in set(manifest.column("split")):
            there = ", ".join(sorted({str(one) for one in manifest.column("split") if one is not None})) or "none"
            raise UsageError(f"--split {split}: the manifest has the splits {there}")
        return cls(require_multimodal(runs.load(run, kinds=())), manifest, store, split, jobs)

    def by_text(self, text: str, k: int, kind: Kind | None = None) -> list[FoundRecord]:
        """The k records nearest to a text: of the first modality other than reports, unless another is requested."""
        return self.by_query(Query(texts=(text,)), k, kind)

    def by_record(self, record_id: str, k: int, kind: Kind | None = None) -> list[FoundRecord]:
        """The k records nearest to a record: reports, or else records of the first other modality."""
        return self.by_query(Query(near=(record_id,)), k, kind)

    def by_query(self, query: Query, k: int, kind: Kind | None = None) -> list[FoundRecord]:
        """The k records nearest to some examples and far from others, which are left out themselves.

        They are of the first modality other than that of the query, unless another is requested: other than reports
        where the query has a text, else other than that of its first record.

        Raises:
            UsageError: there is no such record, it cannot be read, or is of a kind that the run does not know.
        """
        sets: dict[str, list[NDArray[np.floating[Any]]]] = {"near": [], "far": []}
        own: Kind = REPORT if query.texts else self._found(query.near[0])[1]
        if texts := (*query.texts, *query.not_texts):
            for number, z in enumerate(embed_texts(self._reader, texts)):
                sets["near" if number < len(query.texts) else "far"].append(z[None].numpy())
        for name, records in (("near", query.near), ("far", query.far)):
            if records:
                sets[name].append(np.concatenate([self._of_record(one) for one in records]))
        sought = torch.from_numpy(direction(sets["near"], sets["far"], query.weights))
        return self._nearest(sought, kind or self._other(own), k, query.records)

    def _found(self, record_id: str) -> tuple[Ints, Kind]:
        """The row of a readable record, and its kind.

        Raises:
            UsageError: there is no such record, it cannot be read, or is of a kind that the run does not know.
        """
        rows = np.flatnonzero(self.manifest.column("record_id") == record_id)
        if not len(rows):
            hint = did_you_mean(record_id, map(str, self.manifest.column("record_id")))
            raise UsageError(f"--record {record_id}: the manifest has no such record{hint}")
        status = self.manifest.column("status")[rows[0]]
        if status != "ok":
            raise UsageError(f"--record {record_id}: the record is quarantined: {status}")
        own: Kind = self.manifest.kinds[rows[0]]
        if own not in self.run.card.sides:
            raise UsageError(
                f"--record {record_id}: is of the modality {own}, the run has {', '.join(self.run.card.sides)}"
            )
        return np.flatnonzero(self._readable.column("record_id") == record_id), own

    def _of_record(self, record_id: str) -> NDArray[np.floating[Any]]:
        """The embedding of a record, (1, projection)."""
        place, own = self._found(record_id)
        found = self._one(self._readable, own, place)
        if not len(found.rows):
            raise UsageError(f"--record {record_id}: the record cannot be prepared for the encoder")
        z: NDArray[np.floating[Any]] = found.z.numpy()
        return z

    @cached_property
    def _readable(self) -> Manifest:
        return self.manifest.ok()

    @cached_property
    def _reader(self) -> MultimodalRun:
        """The run with the encoder of texts, where it has one."""
        return with_side(self.run, REPORT) if REPORT in self.run.card.sides else self.run

    def _one(self, readable: Manifest, kind: Kind, place: Ints) -> Embedded:
        """One record, of those that were embedded before where it is among them."""
        for rows in (np.arange(len(readable)), *([readable.split_rows(self.split)] if self.split else [])):
            known = kept_before(self.run, readable, kind, rows, self.store)
            if known is not None and place[0] in known.rows:
                return Embedded(kind, place, known.z[known.rows == place[0]])
        return embed_kind(self.run, readable, kind, place, self.store, jobs=self.jobs, keep=False)

    def _other(self, kind: Kind) -> Kind:
        """Reports; for a report, the first other modality."""
        others = [one for one in WINGS if one in self.run.card.sides and one != kind]
        if not others:
            raise UsageError(f"{self.run.folder}: has no modality other than {kind}")
        return "report" if "report" in others else others[0]

    def _nearest(self, query: Tensor, kind: Kind, k: int, without: Sequence[str]) -> list[FoundRecord]:
        if k < 1:
            raise UsageError(f"-k {k}: at least one record has to be requested")
        readable = self._readable
        rows: Ints = np.arange(len(readable))
        if self.split:
            rows = readable.split_rows(self.split)
        rows = rows[readable.kinds[rows] == kind]
        if not len(rows):
            raise UsageError(
                f"the manifest has no {wing(kind).plural}{f' in the split {self.split}' * bool(self.split)}"
            )
        side = embed_kind(self.run, readable, kind, rows, self.store, jobs=self.jobs)
        record_ids, texts = readable.column("record_id"), readable.column("report")
        similarity = side.z @ query
        order = torch.argsort(similarity, descending=True, stable=True).tolist()
        places = [place for place in order if record_ids[side.rows[place]] not in without][:k]
        return [
            FoundRecord(
                rank,
                str(record_ids[side.rows[place]]),
                kind,
                float(similarity[place]),
                str(texts[side.rows[place]] or "") if kind == REPORT else "",
                int(side.rows[place]),
            )
            for rank, place in enumerate(places, start=1)
        ]

    def images(self, found: Sequence[FoundRecord]) -> list[NDArray[np.uint8]]:
        """Retrieved images as the encoder sees them, without margins: (rows, columns, 3) each.

        Raises:
            UsageError: the records are not images.
        """
        kind = found[0].kind
        if not wing(kind).shows_samples:
            raise UsageError(f"a contact sheet shows images, not {wing(kind).plural}")
        config = encoders.config_of(self.run.card.sides[kind])
        folder = encoders.prepared(self._readable.of_kind(kind), config, self.store, self.jobs)
        parts = encoders.samples_in(folder, self._readable, config)
        places = [int(parts.samples_of(one.row)[0]) for one in found]
        return [grey(x.numpy()) for x in parts.__getitems__(places)["x"]]


HOW_FOUND = (
    "Rank 1 is nearest. Cosine similarity of the embeddings: 1 is the same direction, 0 is unrelated; it compares "
    "results of one run, and is no probability."
)
"""How rank and score of what is found are to be read."""


def write_sheet(archive: Archive, found: Sequence[FoundRecord], query: str, path: Path) -> None:
    """Write a contact sheet: `.png`, which shows images; or `.html`, which shows reports as well.

    Raises:
        UsageError: another ending, or records that cannot be shown.
    """
    ending = path.suffix.lower()
    if ending not in (".png", ".html"):
        raise UsageError(f"-o {path}: a contact sheet is a .png or an .html file")
    seen = ending == ".png" or wing(found[0].kind).shows_samples
    shown = archive.images(found) if seen else []
    if ending == ".png":
        captions = [(f"rank {one.rank}, cosine {number(one.similarity, digits=3)}", one.record_id) for one in found]
        sheet = contact_sheet([png(one, TILE) for one in shown], captions, (f"Nearest to: {query}", HOW_FOUND))
        files.write(path, sheet, private=True)
        return
    drawn = [Thumbnail(one.kind, png(image)) for one, image in zip(found, shown, strict=False)]
    if not seen:
        wanted = [(one.row, None) for one in found]
        drawn = thumbnails(archive.manifest.ok(), wanted, enlarged=True)
    pairs = list(zip(found, drawn, strict=True))
    page.write(
        path, page.render("evaluate/sheet.html", {}, query=query, how=HOW_FOUND, found=pairs, seen=seen, number=number)
    )
