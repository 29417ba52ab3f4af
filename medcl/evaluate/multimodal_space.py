"""Records of every kind in the one space of a multimodal encoder, computed once for each run and manifest."""

import hashlib
import json
import os
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, cast

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional as F  # noqa: N812

from medcl import files
from medcl.archive.manifest import Manifest
from medcl.archive.schema import Kind
from medcl.archive.stratify import is_labelled
from medcl.data.prepare import prepare
from medcl.embed import encoders
from medcl.embed import texts as texts_of
from medcl.embed.encoders import Projected, device, embed_records
from medcl.embed.metadata import run_fingerprint
from medcl.errors import UsageError
from medcl.modality import WINGS, plural
from medcl.modality.report import ReportWing
from medcl.modality.report.prepare import TokenisedConfig
from medcl.modality.report.samples import Reports
from medcl.modality.sampling import SampleSet
from medcl.modality.spec import Card, JointCard, TextCard
from medcl.networks.multimodal import REPORT, MultimodalEncoder
from medcl.runs import Run, load_joint
from medcl.spelling import not_a_choice
from medcl.stats.retrieval import Ints


def choose(card: Card, manifest: Manifest, target: str, name: str = "") -> str | None:
    """The side whose records have labels of a target: the first in the order of `WINGS`, reports aside.

    Args:
        card: of the run.
        manifest: readable records of all kinds.
        target: one of its targets.
        name: of a side, where a certain one is wanted.

    Returns:
        The name of the side; None where the run has one modality only.

    Raises:
        UsageError: no side of the run takes records that carry the target, or it has no side of this name.
    """
    if not isinstance(card, JointCard):
        if name:
            raise UsageError(f"--side {name}: the run has one encoder, which needs no name")
        return None
    if name and name not in card.sides:
        raise UsageError(f"--side {not_a_choice(name, card.sides)}")
    labelled = set(manifest.kinds[is_labelled(manifest.labels(target))])
    for kind in WINGS:
        sides = [one for one in card.named(kind) if name in ("", one)]
        if sides and kind in labelled and (name or kind != REPORT):
            return sides[0]
    raise UsageError(
        f"--target {target}: {' and '.join(map(plural, sorted(labelled))) or 'no records'} carry it, and the run has "
        f"encoders of {', '.join(card.sides)}"
    )


def only(run: Run[Any, Any], kind: str | None) -> Run[Any, Any]:
    """The run as one of a single modality: the side's card and encoder, without its projection."""
    if kind is None:
        return run
    return replace(run, card=run.card.sides[kind], encoder=run.encoder.side(kind))


MultimodalRun = Run[JointCard, MultimodalEncoder]
_VERSION = 1
"""Raised when the same weights and records give other embeddings."""
_KEPT = 8
"""Files of embeddings in a store: those of four kinds in two splits."""
_KEYED = ("record_id", "checksum", "size", "mtime_ns", "part", "report")


@dataclass(frozen=True)
class Embedded:
    """Records of one kind in the common space.

    Args:
        kind: of the records.
        rows: (n,) rows of the manifest, ascending.
        z: (n, projection) of length 1, on the CPU.
        same: (n,) all rows that each of them stands for, its own first; None where each stands for itself.
    """

    kind: Kind
    rows: Ints
    z: Tensor
    same: tuple[Ints, ...] | None = None

    @property
    def members(self) -> tuple[Ints, ...]:
        """(n,) rows that each of them stands for, its own first."""
        return tuple(self.rows[:, None]) if self.same is None else self.same


def require_multimodal(run: Run[Any, Any]) -> MultimodalRun:
    """A run as one of several modalities.

    Raises:
        UsageError: it has one modality only, or encoders without a common space.
    """
    if not isinstance(run.card, JointCard):
        raise UsageError(
            f"{run.folder}: was pretrained on one modality, so that there is no other to retrieve; "
            "`medcl finetune` evaluates such a run"
        )
    if not run.card.projection:
        raise UsageError(
            f"{run.folder}: its encoders {', '.join(run.card.sides)} have no common space to retrieve in; "
            "`medcl finetune --side` evaluates one of them"
        )
    return run


def with_side(run: MultimodalRun, kind: str) -> MultimodalRun:
    """The run with one of its sides, which is loaded now where the run was loaded without it.

    Raises:
        UsageError: it has no such side.
    """
    return run if kind in run.encoder.sides else load_joint(run.folder, [kind])


def tokenizer_of(run: MultimodalRun) -> TokenisedConfig:
    """What a run was trained to read of reports, with its tokenizer.

    Raises:
        UsageError: the run has no side of reports.
    """
    card = cast(TextCard | None, run.card.sides.get(REPORT))
    if card is None:
        raise UsageError(
            f"{run.folder}: was pretrained without reports ({', '.join(run.card.sides)}), it takes no text"
        )
    return ReportWing().reading(card)


@torch.inference_mode()
def embed_texts(run: MultimodalRun, texts: Sequence[str]) -> Tensor:
    """Texts in the common space, (texts, projection), on the CPU."""
    tokenizer_of(run)
    one = Projected(with_side(run, REPORT).encoder, REPORT, run.card.projection).to(device()).eval()
    return texts_of.embed_texts(one, run.card.sides[REPORT], texts)


def embed_kind(
    run: MultimodalRun,
    manifest: Manifest,
    kind: Kind,
    rows: Ints,
    store: Path,
    *,
    text: str = "whole",
    jobs: int = -1,
    keep: bool = True,
) -> Embedded:
    """Embed those rows of one kind that can be prepared, or read what the same weights embedded before of the same.

    A side that the run was loaded without is loaded where records have to be embedded. The store of prepared records
    keeps embeddings as well, unless told not to: those that were used last, in at most 8 files, which may be deleted at
    any time. The text of a report is taken `whole`, or by `sentence`.

    Raises:
        UsageError: the run has no such side.
        MedclError: none can be prepared.
    """
    wanted = rows[manifest.kinds[rows] == kind]
    found = kept_before(run, manifest, kind, wanted, store, text=text)
    if found is None:
        run, chosen = with_side(run, kind), manifest.select(wanted)
        place, z = _embed(run, manifest.of_kind(kind), chosen, kind, store, text, jobs)
        if keep:
            _save(_path(store, run, chosen, kind, text), place, z)
        found = Embedded(kind, wanted[place], torch.from_numpy(z))
    return found


def kept_before(
    run: MultimodalRun, manifest: Manifest, kind: Kind, rows: Ints, store: Path, *, text: str = "whole"
) -> Embedded | None:
    """What `embed_kind` gave for the same records before; None where that was not, or is not kept any more."""
    wanted = rows[manifest.kinds[rows] == kind]
    known = _load(_path(store, run, manifest.select(wanted), kind, text))
    return known and Embedded(kind, wanted[known[0]], torch.from_numpy(known[1]))


def _embed(
    run: MultimodalRun, every: Manifest, chosen: Manifest, kind: Kind, store: Path, text: str, jobs: int
) -> tuple[Ints, Any]:
    """Numbers of the chosen records that can be prepared, and their embeddings."""
    parts: SampleSet
    if kind == REPORT:
        parts = reports_of(run, every, chosen, store, text, jobs)
    else:
        config = encoders.config_of(run.card.sides[kind])
        parts = encoders.samples_in(encoders.prepared(every, config, store, jobs), chosen, config)
    rows = np.unique(parts.rows)
    encoder = Projected(run.encoder, kind, run.card.projection).to(device())
    z = torch.from_numpy(embed_records(encoder, parts, rows, device(), title=f"embed {kind}s"))
    return rows, F.normalize(z, dim=1).numpy()


def reports_of(
    run: MultimodalRun, every: Manifest, chosen: Manifest, store: Path, text: str, jobs: int = -1
) -> Reports:
    """The reports of a manifest as the run reads them, whole or in sentences."""
    config = replace(tokenizer_of(run), draw="sentence" if text == "sentence" else "whole")
    return Reports(prepare(every, config, store, jobs=jobs), chosen, config)


def report_texts(
    run: MultimodalRun, manifest: Manifest, rows: Ints, store: Path, text: str, jobs: int = -1
) -> list[list[str]]:
    """Of each report what the run reads as one text: the whole, or its sentences."""
    reports = reports_of(run, manifest.of_kind(REPORT), manifest.select(rows), store, text, jobs)
    texts: list[list[str]] = [[] for _ in rows]
    for draw, row in enumerate(reports.rows):
        texts[row].append(reports.text_of(draw))
    return texts


def _path(store: Path, run: MultimodalRun, chosen: Manifest, kind: str, text: str) -> Path:
    """Where embeddings are kept: the name says of which weights and records they are."""
    digest = hashlib.blake2b(json.dumps([_VERSION, kind, text if kind == REPORT else ""]).encode(), digest_size=12)
    digest.update(run_fingerprint(run.folder).encode())
    for name in _KEYED:
        digest.update("\n".join(map(repr, chosen.column(name))).encode())
    return store / f"embeddings-{digest.hexdigest()}.npz"


def _save(path: Path, rows: Ints, z: Any) -> None:
    with files.draft(path, durable=False) as place, place.open("wb") as file:
        np.savez(file, rows=rows, z=z)
    _forget(path.parent)


def _forget(store: Path) -> None:
    """Delete the embeddings that were not used for longest, so that a store does not grow with every run tested."""
    used = {}
    for path in store.glob("embeddings-*.npz"):
        with suppress(FileNotFoundError):  # Another process forgets as well.
            used[path] = path.stat().st_mtime_ns
    for path in sorted(used, key=lambda one: used[one])[:-_KEPT]:
        path.unlink(missing_ok=True)


def _load(path: Path) -> tuple[Ints, Any] | None:
    """What was kept; None where nothing was, or the file is damaged and has to be computed anew."""
    try:
        with np.load(path, allow_pickle=False) as arrays:
            known = arrays["rows"], arrays["z"]
    except Exception:  # noqa: BLE001 - a damaged archive fails in as many ways as there are in unpacking
        return None
    with suppress(OSError):  # A store that may only be read serves all the same.
        os.utime(path)
    return known
