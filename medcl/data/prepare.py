"""Decode an archive once, into a store that windows are read from."""

import hashlib
import json
import math
import os
from collections import defaultdict
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from tqdm.auto import tqdm

from medcl.archive.file_state import scanned
from medcl.archive.manifest import Manifest
from medcl.data.matching import only
from medcl.data.publish import publish
from medcl.data.shards import ShardWriter
from medcl.engine.parallel import run_chunks
from medcl.errors import MedclError, UsageError
from medcl.modality.foreign import available
from medcl.modality.formats import FRAGILE
from medcl.modality.signal import filters
from medcl.modality.signal.channels import canonical, renamed
from medcl.modality.signal.config import SignalConfig
from medcl.modality.signal.prepare import NEEDED, UNITS, Decoded, Job, decode_all, died
from medcl.modality.signal.store import SIGNAL_INDEX, STORE_VERSION, SignalStore

_IN_FLIGHT = 1 << 28
"""Bytes of decoded recordings that may wait to be written: the processes decode faster than one process compresses."""
_CHUNK = 64


def resolve(manifest: Manifest, config: SignalConfig) -> SignalConfig:
    """Fill in what the configuration leaves to the archive: sampling rate and channels.

    Args:
        manifest: of readable records.
        config: of the windows.

    Returns:
        The configuration with a sampling rate and canonical channel names.

    Raises:
        UsageError: where the archive's recordings do not agree, or a channel is asked for twice.
    """
    kinds = sorted(set(map(str, manifest.column("modality"))))
    if len(kinds) != 1 or kinds[0] not in UNITS:
        raise UsageError(
            f"this recipe is for one kind of signal ({', '.join(UNITS)}), the manifest holds {', '.join(kinds)}: scan "
            "each kind by itself, and take a recipe for volumes where they are volumes"
        )
    rates = np.unique(manifest.column("sampling_rate"))
    if config.sampling_rate is None and len(rates) > 1:
        listed = ", ".join(f"{rate:g}" for rate in rates[:8])
        raise UsageError(
            f"the recordings have several sampling rates ({listed} Hz): say with data.sampling_rate which one is wanted"
        )
    rate = float(rates[0]) if config.sampling_rate is None else config.sampling_rate
    if not rate > 0:
        raise UsageError(f"data.sampling_rate: {rate:g} Hz is not above 0")
    filters.check(config, rate)
    stated = config.channels if config.channels is not None else manifest.table.column("channels")[0].as_py()
    # The channels of the first recording have the names of the files; those in the recipe are what is wanted.
    channels = list(map(canonical, stated if config.channels is not None else renamed(stated, config.channel_names)))
    twice = sorted({name for name in channels if channels.count(name) > 1})
    if twice or not channels:
        raise UsageError(
            f"data.channels must name each channel once: {f'{twice[0]} is there twice' if twice else 'it is empty'}"
            + ("" if config.channels is not None else "; name them, or tell them apart with data.channel_names")
        )
    return replace(config, sampling_rate=rate, channels=channels)


def prepare(
    manifest: Manifest, config: SignalConfig, folder: Path, *, jobs: int = -1, strict: bool = False
) -> SignalStore:
    """Decode every readable recording of a manifest, once.

    A store is found again by its key: the records with their checksums, sizes and times, and all settings that change
    the stored numbers. Others lie beside it, so that changed settings never meet stale data. It is published at the end
    in one step: an interrupted preparation leaves nothing behind that opens. Of several processes that want the same
    store, one prepares it and the others wait.

    Args:
        manifest: what was scanned.
        config: rate, channels and filters; window, stride and standardisation do not matter here.
        folder: that holds the stores.
        jobs: processes that decode; the store is the same for any number.
        strict: see `unchanged.scanned`.

    Returns:
        The store. Recordings that cannot be decoded are in its `quarantine`, with the reason.

    Raises:
        UsageError: the settings do not fit the archive.
        MedclError: nothing can be decoded, or the disk is full.
    """
    manifest = only(manifest, "signal")
    config = resolve(manifest, config)
    key = _key(manifest, config)
    sizes, room = np.array(_bytes(manifest, config)), available()
    # What does not fit into memory is not decoded: what its header claims is no reason to refuse the others.
    needed = int(sizes.sum() if room is None else sizes[_values(manifest) * NEEDED <= room].sum())
    made = publish(folder, key, needed, lambda partial: _make(manifest, config, partial, key, jobs, strict))
    return SignalStore.open(made)


def _key(manifest: Manifest, config: SignalConfig) -> str:
    settings: list[Any] = [STORE_VERSION, config.sampling_rate, config.channels, config.band, config.notch]
    settings += [sorted((config.channel_names or {}).items()), manifest.stated.settings()]
    digest = hashlib.blake2b(json.dumps(settings).encode(), digest_size=10)
    for name in ("record_id", "checksum", "size", "mtime_ns"):
        digest.update("\n".join(map(str, manifest.column(name))).encode())
    return digest.hexdigest()


def _make(manifest: Manifest, config: SignalConfig, folder: Path, key: str, jobs: int, strict: bool) -> None:
    columns, quarantine = _write_shards(manifest, config, folder, jobs, strict)
    about = {
        "key": key,
        "sampling_rate": config.sampling_rate,
        "channels": config.channels,
        "unit": UNITS[str(manifest.column("modality")[0])],
        "quarantine": quarantine,
    }
    SIGNAL_INDEX.write(folder, columns, about)


def _write_shards(
    manifest: Manifest, config: SignalConfig, folder: Path, jobs: int, strict: bool
) -> tuple[dict[str, list[Any]], dict[str, str]]:
    """Columns of the index, and the quarantine."""
    columns: dict[str, list[Any]] = defaultdict(list)
    quarantine: dict[str, str] = {}
    ids = map(str, manifest.column("record_id"))
    bar = tqdm(
        _decoded(manifest, config, jobs, strict), total=len(manifest), desc="prepare", unit="record", disable=None
    )
    with bar, ShardWriter(folder, len(config.channels or ())) as writer:
        for record_id, one in zip(ids, bar, strict=True):
            if isinstance(one, str):
                quarantine[record_id] = one
                continue
            shard, start = writer.append(one.data)
            row = {"record_id": record_id, "shard": shard, "start": start, "n_samples": len(one.data)}
            row |= {"flags": one.flags.tobytes(), "invalid": one.invalid}
            row |= {"stretches": list(one.starts), "notes": list(one.notes)}
            row |= {name: getattr(one, name) for name in ("gain", "offset", "mean", "std")}
            for name, value in row.items():
                columns[name].append(value)
    if not columns:
        first = next(iter(quarantine.values()))
        raise MedclError(f"none of {len(manifest)} recordings can be prepared; the first: {first}")
    return columns, quarantine


def _decoded(manifest: Manifest, config: SignalConfig, jobs: int, strict: bool) -> Iterator[Decoded | str]:
    """Every recording in the order of the manifest, with at most _IN_FLIGHT bytes ahead of the one that is taken."""
    work = [
        Job(one, str(modality), count, config, manifest.stated)
        for one, modality, count in zip(
            scanned(manifest, strict=strict), manifest.column("modality"), _values(manifest).tolist(), strict=True
        )
    ]
    processes = (os.cpu_count() or 1) if jobs == -1 else jobs
    first = waiting = 0
    sizes = _bytes(manifest, config)
    for i, size in enumerate(sizes):
        waiting += size
        if i + 1 == len(sizes) or (waiting + sizes[i + 1] > _IN_FLIGHT and i + 1 - first >= processes):
            part = work[first : i + 1]
            chunk = min(_CHUNK, math.ceil(len(part) / max(1, 4 * processes)))
            apart = any(job.scanned.format in FRAGILE for job in part)
            for decoded in run_chunks(
                decode_all, part, jobs=jobs, chunk=chunk, ordered=True, instead=died, apart=apart
            ):
                yield from decoded
            first, waiting = i + 1, 0


def _values(manifest: Manifest) -> NDArray[np.float64]:
    """Samples of all channels of each recording, by its header."""
    values: NDArray[np.float64] = manifest.column("n_samples").astype(np.float64)
    values *= np.maximum(1, manifest.column("n_channels"))
    return values


def _bytes(manifest: Manifest, config: SignalConfig) -> list[int]:
    """Uncompressed size of each recording in the store, about."""
    changes = config.band is not None or config.notch is not None
    rates, wanted = manifest.column("sampling_rate"), config.sampling_rate or 0
    width = np.where(changes | (rates != wanted), 4, 2) * len(config.channels or ())
    sizes: list[int] = (manifest.column("n_samples") * wanted / rates * width).astype(np.int64).tolist()
    return sizes
