"""Redundant by embedding: which encoder is asked for, and the signatures that it makes."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, cast

import numpy as np
from numpy.typing import NDArray

from medcl.archive.manifest import Manifest
from medcl.archive.schema import KEPT, Kind
from medcl.embed.encoders import Side, device, embed_pieces, on_host, prepare, sides_of
from medcl.embed.metadata import run_fingerprint
from medcl.embed.vectors import unit
from medcl.errors import MedclError, UsageError
from medcl.modality import WINGS, wing
from medcl.modality.sampling import SampleSet
from medcl.modality.spec import JointCard, kind_of
from medcl.modality.volume.prepare import slice_axis
from medcl.reduce.config import ReduceConfig
from medcl.reduce.encoders import ByCosine, RandomEncoder, VisionEncoder
from medcl.reduce.signatures import Described, cached
from medcl.reduce.strategy import Pieces, Signatures, Unit
from medcl.reduce.units import Units
from medcl.runs import load

_RECORDS = 32
"""Records whose signatures are made, and kept, together."""
Ints = NDArray[np.int64]


@dataclass(frozen=True)
class RunEncoder(ByCosine):
    """Cosine of the embeddings of a run; `described` makes them.

    Args:
        folder: of the run.
        fingerprint: of its weights.
        axis: across which its slices lie; None where it has none.
        kinds: of records that it has encoders of.
        dims: what of volumes is compared: slices where the encoder takes these, else whole ones.
    """

    folder: Path
    fingerprint: str
    axis: int | None
    kinds: tuple[Kind, ...]
    dims: tuple[Unit, ...]

    @property
    def key(self) -> str:
        """What signatures are kept under."""
        return f"embedding-{self.fingerprint}-1"

    def signatures(self, pieces: Pieces) -> Signatures:
        """Refuse: a run's encoder takes pieces as they were prepared for its training, not as a file holds them."""
        raise UsageError("the signatures of a run come from prepared records: use `described`")

    def described(
        self, manifest: Manifest, units: Units, store: Path, *, axis: int, jobs: int = -1, cluster: str | None = None
    ) -> Described:
        """Embed the records of some units, or find them embedded.

        A slice of the file has the embedding of the prepared slice that is nearest to it; of several tiles of a slice,
        or of a record, the mean. Finished chunks are kept in `store/signatures`.

        Raises:
            UsageError: slices across another axis than the run's, or a cluster.
            MedclError: an embedding is not a number, or the disk is full.
        """
        if cluster is not None:
            raise UsageError("--run embeds prepared records, on this machine and its GPU: leave --cluster out")
        slices = units.family.unit == "slice"
        if slices and axis != self.axis:
            asked, own = "xyz"[axis], "none" if self.axis is None else "xyz"[self.axis]
            raise UsageError(f"{self.folder}: embeds slices across {own}, not {asked}: set --axis, or take another run")
        cache, key = cached(manifest, units, self, store, axis)
        missing = [row for row in key if key[row] not in cache]
        unreadable: dict[int, str] = {}
        if missing:
            (side,) = sides_of(self.folder, units.family.kind)
            # Signatures serve whatever was kept before.
            dropped = [KEPT] if manifest.has(KEPT) else []
            whole = replace(manifest, table=manifest.table.drop_columns(dropped))
            chosen = whole.select(np.array(missing))
            ready = prepare(side, whole, chosen, store, jobs)
            ids = chosen.column("record_id")
            unreadable = {row: ready.left_out[ids[i]] for i, row in enumerate(missing) if ids[i] in ready.left_out}
            for names, found in _embedded(side, ready.pieces, axis if slices else None, ids):
                cache.add([key[missing[name]] for name in names], found)
        return Described({row: cache[key[row]] for row in key if key[row] in cache}, unreadable)


def _embedded(
    side: Side, pieces: SampleSet, axis: int | None, ids: NDArray[np.object_]
) -> Iterator[tuple[list[int], Sequence[Signatures]]]:
    """Rows of pieces and their signatures, a few records at a time."""
    rows = np.unique(pieces.rows)
    for start in range(0, len(rows), _RECORDS):
        part = rows[start : start + _RECORDS].tolist()
        numbers = [pieces.samples_of(row) for row in part]
        parts = on_host(embed_pieces(side.network, pieces, np.concatenate(numbers), device()))
        z = np.concatenate([one for _, one in parts])
        found = []
        for row, own in zip(part, np.split(z, np.cumsum([len(one) for one in numbers])[:-1]), strict=True):
            if not np.isfinite(own).all():
                raise MedclError(f"record {ids[row]}: its embedding is not a number: the run has diverged, or the data")
            if axis is None:
                found.append(unit(own.mean(axis=0, keepdims=True)))
            else:
                tiles: Any = pieces
                found.append(unit(tiles.of_slices(own, row, axis)))
        yield part, found


RANDOM = "random"
Embedding = RunEncoder | RandomEncoder | VisionEncoder


def strategy_of(config: ReduceConfig, manifest: Manifest) -> Embedding:
    """The strategy by the encoder that is asked for: a run, `random` or a folder, for records of the manifest.

    Raises:
        UsageError: it names neither, or the encoder takes none of the records.
        MedclError: there is no such run, or no such model.
    """
    found = encoder_of(config)
    held = set(manifest.ok().kinds)
    if not held & set(found.kinds):
        names, have = (", ".join(wing(kind).plural for kind in WINGS if kind in some) for some in (found.kinds, held))
        raise UsageError(
            f"--by embedding: {config.run or config.encoder} embeds {names}; the manifest holds "
            f"{have or 'no readable record'}"
        )
    return found


def encoder_of(config: ReduceConfig) -> Embedding:
    """The encoder that is asked for.

    Raises:
        UsageError: none is.
        MedclError: there is no such run, or no such model.
    """
    if config.run:
        return of_run(Path(config.run))
    if config.encoder == RANDOM:
        return RandomEncoder(config.seed)
    if config.encoder:
        return VisionEncoder(Path(config.encoder))
    raise UsageError(
        f"--by {config.by} needs an encoder: --run RUN of a finished run, --encoder random, or --encoder FOLDER of a "
        "vision model of transformers"
    )


def of_run(folder: Path) -> RunEncoder:
    """The strategy by the encoders of a finished run: all sides of one on several modalities.

    Raises:
        MedclError: as `runs.load`.
    """
    card = load(folder, ()).card
    sides = card.sides if isinstance(card, JointCard) else {kind_of(card): card}
    volume = sides.get("volume")
    axis = slice_axis(wing("volume").data_of(volume)) if volume is not None else None
    dims: tuple[Unit, ...] = ("record",) if volume is not None and axis is None else ("slice", "record")
    return RunEncoder(folder, run_fingerprint(folder), axis, cast(tuple[Kind, ...], tuple(sides)), dims)
