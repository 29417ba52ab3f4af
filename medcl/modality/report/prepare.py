"""How reports become a store: each divided into what is drawn from it, and each different text tokenised once."""

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
from medcl.modality.report.draws import check, draws, settings
from medcl.modality.report.store import TEXTS, VERSION, ranges
from medcl.modality.report.text import text_code
from medcl.modality.rows import Rows, Source
from medcl.modality.storing import Columns, DecodedRecord, Preparation

Encode = Callable[[list[str], int], NDArray[np.int32]]
Ints = NDArray[np.int64]
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
