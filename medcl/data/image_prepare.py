"""Decode the pictures of an archive once, into a store that batches are read from."""

import hashlib
import json
import math
from collections.abc import Iterator
from pathlib import Path

import joblib
from tqdm.auto import tqdm

from medcl.archive.file_state import scanned
from medcl.archive.manifest import Manifest
from medcl.data.matching import only
from medcl.data.publish import publish
from medcl.engine.parallel import run_chunks
from medcl.errors import MedclError, UsageError
from medcl.modality.formats import DECODED_APART
from medcl.modality.image.config import ImageConfig
from medcl.modality.image.prepare import Job, Outcome, decode_all, died
from medcl.modality.image.store import IMAGE_STORE_VERSION, ImageStore, ImageWriter, write_index

_KEYED = ("record_id", "checksum", "size", "mtime_ns", "part")
_CHUNK = 16
_FITS = ("pad", "crop", "stretch")


def prepare_images(
    manifest: Manifest, config: ImageConfig, folder: Path, *, jobs: int = -1, strict: bool = False
) -> ImageStore:
    """Decode every readable picture of a manifest, once; its records of other kinds are passed over.

    A store is found again by its key: the pictures with their checksums, sizes and times, and all settings. Others lie
    beside it, so that changed settings never meet stale data. It is published at the end in one step.

    Args:
        manifest: what was scanned.
        config: size, range, margins.
        folder: that holds the stores.
        jobs: processes that decode; the store is the same for any number.
        strict: see `unchanged.scanned`.

    Returns:
        The store. Pictures that cannot be prepared are in its `quarantine`, with the reason.

    Raises:
        UsageError: the settings do not fit one another.
        MedclError: there is no picture, none can be decoded, the disk is full or the store grows beyond `largest`.
    """
    check(config)
    pictures = only(manifest, "image")
    key = _key(pictures, config)
    needed = len(pictures) * math.prod(_shape(config))
    made = publish(folder, key, needed, lambda partial: _make(pictures, config, partial, key, jobs, strict))
    return ImageStore.open(made)


def check(config: ImageConfig) -> None:
    """Whether settings can be meant.

    Raises:
        UsageError: they cannot.
    """
    if len(config.size) != 2 or min(config.size) < 1:
        raise UsageError(f"data.size {list(config.size)}: rows and columns in pixels, such as [224, 224]")
    if config.fit not in _FITS:
        raise UsageError(f"data.fit {config.fit!r} is none of {', '.join(_FITS)}")
    if not 0 <= config.border < 0.5:
        raise UsageError(f"data.border {config.border:g}: a share of each side, from 0 to below 0.5")
    if config.window is not None and config.percentiles is not None:
        raise UsageError("data.window and data.percentiles both say what becomes 0 and 1: set one of them")
    if config.window is not None and not (len(config.window) == 2 and config.window[0] < config.window[1]):
        raise UsageError(f"data.window {list(config.window)}: the lowest and the highest value, in this order")
    if config.percentiles is not None:
        given = list(config.percentiles)
        if len(given) != 2 or not 0 <= given[0] < given[1] <= 100:
            raise UsageError(f"data.percentiles {given}: two between 0 and 100, the lower first")
    if config.largest < 0:
        raise UsageError(f"data.largest {config.largest:g}: GB, or 0 for no limit")


def _shape(config: ImageConfig) -> tuple[int, int, int]:
    rows, columns = config.size
    return (3 if config.colour else 1, rows, columns)


def _key(manifest: Manifest, config: ImageConfig) -> str:
    ends = [None if pair is None else list(pair) for pair in (config.window, config.percentiles)]
    settings = [IMAGE_STORE_VERSION, list(config.size), config.fit, config.border, config.colour, ends]
    digest = hashlib.blake2b(json.dumps(settings).encode(), digest_size=10)
    for name in _KEYED:
        digest.update("\n".join(map(str, manifest.column(name))).encode())
    return digest.hexdigest()


def _make(manifest: Manifest, config: ImageConfig, folder: Path, key: str, jobs: int, strict: bool) -> None:
    shape = _shape(config)
    writer = ImageWriter(folder, len(manifest), shape)
    places: dict[int, str] = {}
    quarantine: dict[str, str] = {}
    for outcome in _outcomes(manifest, config, jobs, strict):
        writer.add(outcome.number, outcome.picture)
        if outcome.picture is None:
            quarantine[outcome.record_id] = outcome.reason
        else:
            places[outcome.number] = outcome.record_id
        if config.largest and writer.written > config.largest * 1e9:
            raise MedclError(
                f"{folder.parent}: the store grows beyond the {config.largest:g} GB of data.largest: raise it, prepare "
                "fewer pictures or a smaller data.size"
            )
    if not places:
        raise MedclError(
            f"none of {len(manifest)} pictures can be prepared; the first: {next(iter(quarantine.values()))}"
        )
    order = sorted(places)
    about = {
        "key": key,
        "size": list(config.size),
        "n_channels": shape[0],
        "quarantine": dict(sorted(quarantine.items())),
    }
    write_index(folder, [places[place] for place in order], order, about)


def _outcomes(manifest: Manifest, config: ImageConfig, jobs: int, strict: bool) -> Iterator[Outcome]:
    """What became of each picture, in about their order."""
    columns = manifest.column("record_id"), scanned(manifest, strict=strict), manifest.column("part")
    work = [
        Job(number, str(record_id), files, max(0, int(part)), config)
        for number, (record_id, files, part) in enumerate(zip(*columns, strict=True))
    ]
    processes = joblib.cpu_count() if jobs == -1 else max(1, jobs)
    chunk = max(1, min(_CHUNK, math.ceil(len(work) / (4 * processes))))
    apart = any(job.scanned.format in DECODED_APART for job in work)
    with tqdm(total=len(work), desc="prepare", unit="picture", disable=None) as bar:
        for outcomes in run_chunks(decode_all, work, jobs=jobs, chunk=chunk, instead=died, apart=apart):
            bar.update(len(outcomes))
            yield from outcomes
