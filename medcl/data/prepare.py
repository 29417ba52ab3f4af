"""Decode an archive once, into a store that windows are read from."""

import hashlib
import json
import os
import shutil
import tempfile
from collections import defaultdict
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from medcl.archive.manifest import Manifest
from medcl.data import filters
from medcl.data.channels import positions
from medcl.data.config import SignalConfig
from medcl.data.quality import flags
from medcl.data.store import STORE_VERSION, SignalStore, shard_name, write_index
from medcl.engine.parallel import run_chunks
from medcl.errors import MedclError, UnreadableError, UsageError

UNITS = {"ecg": "mV", "eeg": "uV"}
_IN_VOLT = {"V": 1.0, "mV": 1e-3, "uV": 1e-6, "nV": 1e-9}
_NO_INVALID = np.iinfo(np.int64).min
_SHARD_BYTES = 1 << 30
_FLUSH_ROWS = 1 << 16
_BLOCK_ROWS = 512
_AT_BEST = 0.2
"""Recordings do not compress further than this; with less room there is no use in starting."""


@dataclass(frozen=True)
class _Job:
    """A recording to decode, and how."""

    path: str
    format: str
    unit: str
    config: SignalConfig


@dataclass(frozen=True)
class _Decoded:
    """A decoded recording, (time, channels), or the reason why there is none."""

    data: NDArray[Any]
    gain: NDArray[np.float64]
    offset: NDArray[np.float64]
    invalid: int
    mean: NDArray[np.float64]
    std: NDArray[np.float64]
    flags: bytes


def resolve(manifest: Manifest, config: SignalConfig) -> SignalConfig:
    """Fill in what the configuration leaves to the archive: sampling rate and channels.

    Raises:
        UsageError: where the archive's recordings do not agree.
    """
    kinds = sorted(set(map(str, manifest.column("modality"))))
    if len(kinds) != 1 or kinds[0] not in UNITS:
        raise UsageError(f"an encoder takes one kind of signal, the manifest holds {', '.join(kinds)}: scan them into manifests of their own")
    rates = np.unique(manifest.column("sampling_rate"))
    if config.sampling_rate is None and len(rates) > 1:
        listed = ", ".join(f"{rate:g}" for rate in rates[:8])
        raise UsageError(f"the recordings have several sampling rates ({listed} Hz): say which one with data.sampling_rate")
    rate = float(rates[0]) if config.sampling_rate is None else config.sampling_rate
    filters.check(config, rate)
    channels = config.channels or list(manifest.table.column("channels")[0].as_py())
    return replace(config, sampling_rate=rate, channels=channels)


def prepare(manifest: Manifest, config: SignalConfig, folder: Path, *, jobs: int = -1) -> SignalStore:
    """Decode every readable recording of a manifest, once.

    A store is found again by its key: record ids, checksums and all settings that change the stored numbers. Others lie beside it, so that
    changed settings never meet stale data. It is published at the end in one step: an interrupted preparation leaves nothing behind that opens.

    Args:
        manifest: what was scanned.
        config: rate, channels and filters; window, stride and standardisation do not matter here.
        folder: that holds the stores.
        jobs: processes that decode; the store is the same for any number.

    Returns:
        The store. Recordings that cannot be decoded are in its `quarantine`, with the reason.

    Raises:
        UsageError: the settings do not fit the archive.
        MedclError: nothing can be decoded, or the disk is full.
    """
    manifest = manifest.ok()
    if not len(manifest):
        raise MedclError("the manifest has no readable record")
    config = resolve(manifest, config)
    key = _key(manifest, config)
    if (folder / key).is_dir():
        return SignalStore.open(folder / key)
    folder.mkdir(parents=True, exist_ok=True)
    _check_room(manifest, config, folder)
    partial = Path(tempfile.mkdtemp(prefix="partial-", dir=folder))
    try:
        _write(manifest, config, partial, key, jobs)
        try:
            os.rename(partial, folder / key)
        except OSError:
            if not (folder / key).is_dir():  # another process may have been quicker: its store is the same
                raise
    except (OSError, RuntimeError) as error:
        free = shutil.disk_usage(folder).free
        if isinstance(error, OSError) and error.errno not in (None, 28, 122) and free > _FLUSH_ROWS:
            raise MedclError(f"{folder}: the store cannot be written: {error}") from error
        raise MedclError(f"{folder}: the store cannot be written, {free / 1e6:.0f} MB are free: make room or choose another disk") from error
    finally:
        shutil.rmtree(partial, ignore_errors=True)
    return SignalStore.open(folder / key)


def _key(manifest: Manifest, config: SignalConfig) -> str:
    settings = [STORE_VERSION, config.sampling_rate, config.channels, config.band, config.notch]
    digest = hashlib.blake2b(json.dumps(settings).encode(), digest_size=10)
    for name in ("record_id", "checksum"):
        digest.update("\n".join(map(str, manifest.column(name))).encode())
    return digest.hexdigest()


def _check_room(manifest: Manifest, config: SignalConfig, folder: Path) -> None:
    seconds = float((manifest.column("n_samples") / manifest.column("sampling_rate")).sum())
    needed = seconds * (config.sampling_rate or 0) * len(config.channels or ()) * 2 * _AT_BEST
    free = shutil.disk_usage(folder).free
    if free < needed:
        raise MedclError(f"{folder}: at least {needed / 1e9:.1f} GB are needed for the store, {free / 1e9:.1f} GB are free")


def _write(manifest: Manifest, config: SignalConfig, folder: Path, key: str, jobs: int) -> None:
    unit = UNITS[str(manifest.column("modality")[0])]
    work = [
        _Job(str(manifest.root / path), str(format_), unit, config)
        for path, format_ in zip(manifest.column("path"), manifest.column("format"), strict=True)
    ]
    columns: dict[str, list[Any]] = defaultdict(list)
    quarantine: dict[str, str] = {}
    decoded = (one for part in run_chunks(_decode_all, work, jobs=jobs, chunk=16, ordered=True) for one in part)
    with _ShardWriter(folder, len(config.channels or ())) as writer:
        for record_id, result in zip(manifest.column("record_id"), decoded, strict=True):
            if isinstance(result, str):
                quarantine[str(record_id)] = result
                continue
            shard, start = writer.append(result.data)
            row = {"record_id": str(record_id), "shard": shard, "start": start, "n_samples": len(result.data), "invalid": result.invalid}
            row |= {name: getattr(result, name) for name in ("gain", "offset", "mean", "std", "flags")}
            for name, value in row.items():
                columns[name].append(value)
    if not columns:
        first = next(iter(quarantine.values()), "")
        raise MedclError(f"none of {len(work)} recordings can be prepared; the first: {first}")
    about = {
        "version": STORE_VERSION,
        "key": key,
        "sampling_rate": config.sampling_rate,
        "channels": config.channels,
        "unit": unit,
        "quarantine": quarantine,
    }
    write_index(folder, columns, about)


def _decode_all(work: Sequence[_Job]) -> list[_Decoded | str]:
    return [_decode(one) for one in work]


def _decode(job: _Job) -> _Decoded | str:
    from medcl.readers.formats import read_signal

    try:
        signal = read_signal(Path(job.path), job.format)
        chosen = positions(job.config.channels or (), signal.channels)
        strange = sorted({unit for unit in np.asarray(signal.units)[chosen] if unit not in _IN_VOLT})
        if strange:
            raise UnreadableError(f"is in {', '.join(strange)}, which cannot be turned into {job.unit}")
        factor = np.array([_IN_VOLT[signal.units[i]] / _IN_VOLT[job.unit] for i in chosen])
        gain, offset, invalid = signal.gain[chosen] / factor, signal.offset[chosen], signal.invalid
        data = signal.data[chosen]
        physical = (data - offset[:, None]) / gain[:, None]
        if invalid is not None:
            physical[data == invalid] = np.nan
        empty = [name for name, row in zip(job.config.channels or (), physical, strict=True) if np.isnan(row).all()]
        if empty:
            raise UnreadableError(f"the channels {', '.join(empty)} hold no value at all")
        changed = _processed(physical, signal.sampling_rate, job.config)
        if changed is not None:
            physical, data = changed, changed.astype(np.float32)
            gain, offset, invalid = np.ones(len(chosen)), np.zeros(len(chosen)), None
    except UnreadableError as error:
        return str(error)
    return _Decoded(
        np.ascontiguousarray(data.T),
        gain,
        offset,
        _NO_INVALID if invalid is None else invalid,
        np.nanmean(physical, axis=1),
        np.nanstd(physical, axis=1),
        flags(physical, float(job.config.sampling_rate or signal.sampling_rate)).tobytes(),
    )


def _processed(physical: NDArray[np.float64], rate: float, config: SignalConfig) -> NDArray[np.float64] | None:
    """The recording resampled and filtered, or None where nothing changes and the native numbers can be kept."""
    resampling = config.sampling_rate is not None and config.sampling_rate != rate
    if not resampling and config.band is None and config.notch is None:
        return None
    if np.isnan(physical).any():
        raise UnreadableError("has gaps (values that are not a number), over which a filter would spread: prepare without resampling and filters")
    if resampling:
        physical = filters.resample(physical, rate, config.sampling_rate or rate)
    return filters.band_and_notch(physical, config.sampling_rate or rate, config)


class _ShardWriter:
    """Appends recordings to shards of one type and a bounded size, buffering whole chunks."""

    def __init__(self, folder: Path, n_channels: int) -> None:
        self._folder, self._n_channels = folder, n_channels
        self._array: Any = None
        self._number, self._rows = -1, 0
        self._buffer: list[NDArray[Any]] = []

    def __enter__(self) -> "_ShardWriter":
        return self

    def __exit__(self, kind: object, error: object, trace: object) -> None:
        if kind is None:
            self._flush()

    def append(self, data: NDArray[Any]) -> tuple[int, int]:
        """Append (time, channels); returns shard and first row."""
        full = self._rows * self._n_channels * data.itemsize > _SHARD_BYTES
        if self._array is None or full or self._array.dtype != data.dtype:
            self._flush()
            self._begin(data.dtype)
        start = self._rows
        self._buffer.append(data)
        self._rows += len(data)
        if sum(map(len, self._buffer)) >= _FLUSH_ROWS:
            self._flush()
        return self._number, start

    def _begin(self, dtype: np.dtype[Any]) -> None:
        import blosc2

        self._number, self._rows = self._number + 1, 0
        self._array = blosc2.empty(
            (0, self._n_channels),
            dtype=dtype,
            chunks=(_FLUSH_ROWS // 4, self._n_channels),
            blocks=(_BLOCK_ROWS, self._n_channels),
            urlpath=str(self._folder / shard_name(self._number)),
            mode="w",
            cparams={"codec": blosc2.Codec.ZSTD, "clevel": 5, "filters": [blosc2.Filter.SHUFFLE]},
        )

    def _flush(self) -> None:
        if not self._buffer:
            return
        rows = np.concatenate(self._buffer)
        self._buffer = []
        before = self._array.shape[0]
        self._array.resize((before + len(rows), self._n_channels))
        self._array[before:] = rows


def quarantine_lines(store: SignalStore) -> Iterator[str]:
    """One line a recording that could not be prepared."""
    return (f"{record_id}: {reason}" for record_id, reason in store.quarantine.items())
