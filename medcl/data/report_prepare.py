"""Divide and tokenise the reports of an archive once, into a store that batches are gathered from."""

import hashlib
import json
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray
from tqdm.auto import tqdm

from medcl.archive.identity import text_code
from medcl.archive.manifest import Manifest
from medcl.data.publish import publish
from medcl.engine.parallel import run_chunks
from medcl.errors import MedclError
from medcl.modality.report.config import TextConfig
from medcl.modality.report.draws import check, draws, settings
from medcl.modality.report.store import REPORT_STORE_VERSION, ReportStore, ranges, write

Encode = Callable[[list[str], int], NDArray[np.int32]]
Ints = NDArray[np.int64]
_CHUNK, _BATCH = 2048, 4096  # reports divided at a time, texts tokenised at a time
_GROWTH = 4  # bytes of a store for each byte of text, about: tokens are int32


def prepare_reports(
    manifest: Manifest, config: TextConfig, encode: Encode, fingerprint: str, folder: Path, *, jobs: int = -1
) -> ReportStore:
    """Divide every readable report of a manifest into what is drawn from it, and tokenise each different text once.

    A store is found again by its key: the reports with their texts, the tokenizer, and all settings that change what is
    stored. It is published at the end in one step.

    Args:
        manifest: what was scanned; records of other kinds are passed over.
        config: what a draw is.
        encode: texts and a length -> (N, L) ids, 0 behind the end of each text and nowhere else.
        fingerprint: of the tokenizer behind `encode`.
        folder: that holds the stores.
        jobs: processes that divide reports; the store is the same for any number.

    Returns:
        The store. Reports from which nothing can be drawn are in its `quarantine`, with the reason.

    Raises:
        UsageError: settings that cannot be meant.
        MedclError: no report can be drawn from, or the disk is full.
    """
    check(config)
    manifest = manifest.ok().of_kind("report")
    if not len(manifest):
        raise MedclError("the manifest has no readable report: join reports with `medcl scan`")
    texts = pc.fill_null(manifest.table["report"].cast(pa.large_string()), "").combine_chunks()
    key = _key(manifest, texts, config, fingerprint)
    needed = _GROWTH * int(pc.sum(pc.binary_length(texts)).as_py())
    made = publish(folder, key, needed, lambda partial: _make(manifest, texts, config, encode, partial, key, jobs))
    return ReportStore.open(made)


def _key(manifest: Manifest, texts: pa.Array, config: TextConfig, fingerprint: str) -> str:
    about = [REPORT_STORE_VERSION, settings(config), fingerprint]
    digest = hashlib.blake2b(json.dumps(about).encode(), digest_size=10)
    for part in (manifest.table["record_id"].cast(pa.large_string()).combine_chunks(), texts):
        # With the lengths, no two lists of texts run into the same bytes.
        digest.update(pc.binary_length(part).to_numpy(zero_copy_only=False).astype("<i8").tobytes())
        digest.update("".join(part.to_pylist()).encode("utf-8", "surrogatepass"))
    return digest.hexdigest()


def _make(
    manifest: Manifest, texts: pa.Array, config: TextConfig, encode: Encode, folder: Path, key: str, jobs: int
) -> None:
    reports = texts.dictionary_encode()
    count, reasons, drawn = _divided(reports.dictionary, config, jobs)
    report = reports.indices.to_numpy().astype(np.int64)
    record_ids = manifest.column("record_id")
    left_out = np.flatnonzero(count[report] == 0)
    quarantine = {str(record_ids[row]): reasons[int(report[row])] for row in left_out}
    used = np.flatnonzero(count[report] > 0)
    if not len(used):
        raise MedclError(
            f"none of {len(manifest)} reports can be drawn from; the first: {next(iter(reasons.values()))}"
        )
    number = drawn.indices.to_numpy().astype(np.int64)
    tokens, offsets = _tokenised(drawn.dictionary, config.length, encode)
    own = report[used]
    arrays = {
        "tokens": tokens,
        "offsets": offsets,
        "ids": np.array([text_code(text) for text in drawn.dictionary.to_pylist()], dtype=np.int64),
        "draws": number[ranges(np.cumsum(count)[own] - count[own], count[own])],
    }
    columns = {"record_id": record_ids[used].tolist(), "draws": count[own]}
    about = {"key": key, "quarantine": quarantine, "settings": settings(config)}
    write(folder, columns, arrays, drawn.dictionary, about)


def _divided(texts: pa.Array, config: TextConfig, jobs: int) -> tuple[Ints, dict[int, str], pa.DictionaryArray]:
    """Divide texts: how many draws each has, why it has none, and the draws of all, one behind the other."""
    counts: list[int] = []
    reasons: dict[int, str] = {}
    parts: list[pa.Array] = []
    divide = partial(_divide, config=config)
    with tqdm(total=len(texts), desc="reports", unit="report", disable=None) as progress:
        for found in run_chunks(divide, texts.to_pylist(), jobs=jobs, chunk=_CHUNK, ordered=True):
            start = len(counts)
            reasons.update({start + i: one for i, one in enumerate(found) if isinstance(one, str)})
            lists = [[] if isinstance(one, str) else one for one in found]
            counts.extend(map(len, lists))
            parts.append(pa.array([draw for one in lists for draw in one], type=pa.large_string()))
            progress.update(len(found))
    whole = pa.chunked_array(parts, type=pa.large_string()).combine_chunks()
    return np.array(counts, dtype=np.int64), reasons, whole.dictionary_encode()


def _divide(texts: Sequence[str], config: TextConfig) -> list[list[str] | str]:
    return [draws(text, config) for text in texts]


def _tokenised(texts: pa.Array, length: int, encode: Encode) -> tuple[NDArray[np.int32], Ints]:
    """Token ids of all texts, one behind the other, and where each begins."""
    flat: list[NDArray[np.int32]] = []
    sizes: list[Ints] = []
    for start in tqdm(range(0, len(texts), _BATCH), desc="tokens", unit="batch", disable=len(texts) < _BATCH or None):
        ids = encode(texts.slice(start, _BATCH).to_pylist(), length)
        here = ids != 0
        flat.append(ids[here])
        sizes.append(here.sum(axis=1))
    offsets = np.concatenate([np.zeros(1, dtype=np.int64), np.cumsum(np.concatenate(sizes))])
    return np.concatenate(flat).astype(np.int32, copy=False), offsets
