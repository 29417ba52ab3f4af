"""The store of reports: each divided and tokenised once, as memory-mapped arrays that batches are gathered from.

A store is a folder. `tokens.npy` (int32) holds the token sequences of all different texts one behind the other, and
`offsets.npy` where each begins; `ids.npy` a number for each text that identical ones share; `texts.arrow` the texts
themselves. `draws.npy` says which text each draw is, and `index.parquet` which draws are those of each report.
"""

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any, Self

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from medcl.errors import UnreadableError
from medcl.files import claim
from medcl.modality.report.config import TextConfig
from medcl.modality.report.text import check, draws, settings, text_code
from medcl.modality.rows import Rows, Source
from medcl.modality.storing import Columns, DecodedRecord, Preparation, PreparedRecords, StoredArrays, StoreIndex

VERSION = 1
TEXTS = "texts.arrow"
INDEX = StoreIndex("reports", b"medcl reports", VERSION, pa.schema([("record_id", pa.string()), ("draws", pa.int64())]))
"""`about`: key, quarantine, settings."""
Ints = NDArray[np.int64]


@dataclass(frozen=True, eq=False)
class ReportStore(PreparedRecords):
    """Prepared reports, opened for reading; they are numbered in the order of the manifest.

    Args:
        starts: (R + 1,) number of the first draw of each report, and the number of all draws.
        text: (D,) number of the text of each draw.
        tokens: token ids of all texts one behind the other, without padding.
        offsets: (U + 1,) where the tokens of each text begin, and the end.
        ids: (U,) number of each text, the same for texts that differ in case or white space only.
        texts: (U,) the texts.
        settings: by which reports were divided, see `draws.settings`.
    """

    starts: Ints
    text: Ints
    tokens: NDArray[np.int32]
    offsets: Ints
    ids: Ints
    texts: pa.ChunkedArray
    settings: dict[str, Any]

    @classmethod
    def of(cls, stored: StoredArrays) -> Self:
        """Reports that `prepare` has published.

        Raises:
            OSError: a file is missing.
            ValueError: a file is damaged.
        """
        folder, table = stored.folder, stored.columns
        maps: dict[str, Any] = {name: _map(folder / f"{name}.npy") for name in ("tokens", "offsets", "ids")}
        texts = pa.ipc.open_file(pa.memory_map(str(folder / TEXTS))).read_all()["text"]
        return cls(
            **cls.shared(stored),
            starts=np.concatenate([np.zeros(1, np.int64), np.cumsum(table["draws"].to_numpy())]),
            text=_map(folder / "draws.npy"),
            texts=texts,
            settings=stored.about["settings"],
            **maps,
        )

    def described(self) -> str:
        """What it holds, in words."""
        return f"{len(self)} reports"

    def __reduce__(self) -> tuple[Any, tuple[StoredArrays]]:
        # Another process maps the files again instead of being sent what they hold.
        return type(self).of, (self.stored,)

    def read(self, draws: Ints) -> Ints:
        """Token ids of some draws.

        Args:
            draws: (B,) numbers.

        Returns:
            (B, L) with 0 behind the end of each; L is the length of the longest.
        """
        texts = self.text[draws]
        first = self.offsets[texts]
        sizes = self.offsets[texts + 1] - first
        step = np.arange(int(sizes.max(initial=0)))
        within = step < sizes[:, None]
        ids: Ints = np.zeros(within.shape, dtype=np.int64)
        ids[within] = self.tokens[(first[:, None] + step)[within]]
        return ids


opened = ReportStore.of


def ranges(starts: Ints, counts: Ints) -> Ints:
    """The numbers start, start + 1, ... of each of several ranges, one behind the other.

    Args:
        starts: (N,) of the ranges.
        counts: (N,) numbers in each.
    """
    before = np.cumsum(counts) - counts
    found: Ints = np.arange(int(counts.sum())) + np.repeat(starts - before, counts)
    return found


def _map(path: Path) -> NDArray[Any]:
    array: NDArray[Any] = np.load(path, mmap_mode="r", allow_pickle=False)
    return array


Encode = Callable[[list[str], int], NDArray[np.int32]]
_CHUNK, _BATCH = 2048, 4096  # reports divided at a time, texts tokenised at a time
_GROWTH = 4  # bytes of a store for each byte of text, about: tokens are int32


@dataclass(frozen=True, kw_only=True)
class TokenisedConfig(TextConfig):
    """What a text is, and the tokenizer that makes token ids of it.

    Args:
        encode: texts and a length -> (N, L) ids, 0 behind the end of each text and nowhere else.
        fingerprint: of the tokenizer.
    """

    encode: Encode
    fingerprint: str

    @classmethod
    def of(cls, config: TextConfig, encode: Encode, fingerprint: str) -> Self:
        """A configuration with its tokenizer."""
        return cls(**_plain(config), encode=encode, fingerprint=fingerprint)

    @property
    def text(self) -> TextConfig:
        """The configuration without the tokenizer."""
        return TextConfig(**_plain(self))


def _plain(config: TextConfig) -> dict[str, Any]:
    return {one.name: getattr(config, one.name) for one in fields(TextConfig)}


def preparation(manifest: Rows, config: TokenisedConfig) -> Preparation:
    """See `Wing.preparation`."""
    check(config)
    texts = pc.fill_null(manifest.table["report"].cast(pa.large_string()), "").combine_chunks()
    different = texts.dictionary_encode()
    report = different.indices.to_numpy().astype(np.int64)
    _, first = np.unique(report, return_index=True)
    about = {"settings": settings(config)}
    return Preparation(
        [VERSION, settings(config), config.fingerprint],
        config.text,
        _Gather(manifest.column("record_id"), report, config),
        n_bytes=_GROWTH * pc.binary_length(texts).to_numpy(zero_copy_only=False).astype(np.int64),
        memory=np.zeros(len(manifest)),
        keyed=(),
        further=_key(manifest, texts),
        about=lambda notes: about,
        items=first.astype(np.int64),
        chunk=_CHUNK,
    )


def _key(manifest: Rows, texts: pa.Array) -> Iterator[bytes]:
    for part in (manifest.table["record_id"].cast(pa.large_string()).combine_chunks(), texts):
        # With the lengths, no two lists of texts run into the same bytes.
        yield pc.binary_length(part).to_numpy(zero_copy_only=False).astype("<i8").tobytes()
        yield "".join(part.to_pylist()).encode("utf-8", "surrogatepass")


def decode(source: Source, config: TextConfig) -> DecodedRecord:
    """See `Wing.decode`; the row has the texts of the draws."""
    found = draws(str(source.row["report"] or ""), config)
    if isinstance(found, str):
        raise UnreadableError(found)
    return DecodedRecord({}, {"draws": found})


@dataclass(frozen=True)
class _Gather:
    """Writes the arrays of a store.

    Args:
        record_ids: (R,) of the reports.
        report: (R,) number of the text of each among the different ones.
        config: with the tokenizer.
    """

    record_ids: NDArray[Any]
    report: Ints
    config: TokenisedConfig

    def __call__(self, folder: Path, decoded: Iterable[tuple[int, DecodedRecord | str]]) -> Columns:
        counts: list[int] = []
        reasons: dict[int, str] = {}
        parts: list[pa.Array] = []
        waiting: list[str] = []
        for number, one in decoded:
            own = [] if isinstance(one, str) else one.row["draws"]
            if isinstance(one, str):
                reasons[number] = one
            counts.append(len(own))
            waiting += own
            if len(waiting) >= _CHUNK:
                parts.append(pa.array(waiting, type=pa.large_string()))
                waiting = []
        parts.append(pa.array(waiting, type=pa.large_string()))
        drawn = pa.chunked_array(parts, type=pa.large_string()).combine_chunks().dictionary_encode()
        count, report = np.array(counts, dtype=np.int64), self.report
        left_out = np.flatnonzero(count[report] == 0)
        quarantine = {str(self.record_ids[row]): reasons[int(report[row])] for row in left_out}
        used = np.flatnonzero(count[report] > 0)
        if not len(used):
            return Columns({}, quarantine)
        number_of = drawn.indices.to_numpy().astype(np.int64)
        tokens, offsets = self._tokenised(drawn.dictionary)
        own_text = report[used]
        arrays = {
            "tokens": tokens,
            "offsets": offsets,
            "ids": np.array([text_code(text) for text in drawn.dictionary.to_pylist()], dtype=np.int64),
            "draws": number_of[ranges(np.cumsum(count)[own_text] - count[own_text], count[own_text])],
        }
        write_arrays(folder, arrays, drawn.dictionary)
        return Columns({"record_id": self.record_ids[used].tolist(), "draws": count[own_text]}, quarantine)

    def _tokenised(self, texts: pa.Array) -> tuple[NDArray[np.int32], Ints]:
        """Token ids of all texts, one behind the other, and where each begins."""
        flat: list[NDArray[np.int32]] = []
        sizes: list[Ints] = []
        for start in range(0, len(texts), _BATCH):
            ids = self.config.encode(texts.slice(start, _BATCH).to_pylist(), self.config.length)
            here = ids != 0
            flat.append(ids[here])
            sizes.append(here.sum(axis=1))
        offsets = np.concatenate([np.zeros(1, dtype=np.int64), np.cumsum(np.concatenate(sizes))])
        return np.concatenate(flat).astype(np.int32, copy=False), offsets


def write_arrays(folder: Path, arrays: dict[str, NDArray[Any]], texts: pa.Array) -> None:
    """Write the arrays of a store.

    Args:
        folder: an empty one; it and its files become readable by their owner only.
        arrays: `tokens`, `offsets`, `ids` of the texts, and `draws`, the number of the text of each draw.
        texts: (U,) large strings.
    """
    folder.chmod(0o700)
    for name, array in arrays.items():
        np.save(claim(folder / f"{name}.npy"), array, allow_pickle=False)
    table = pa.table({"text": texts})
    with pa.OSFile(str(claim(folder / TEXTS)), "wb") as file, pa.ipc.new_file(file, table.schema) as writer:
        writer.write_table(table)
