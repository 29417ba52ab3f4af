"""A bit that a disk has turned, anywhere in a file of ours: the same result, or an error that names the file."""

import random
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import torch
from torch import nn

from medcl import parquet, runs
from medcl.archive.manifest import Manifest
from medcl.data.decode import AppendedWriter, write_apart
from medcl.data.store import open_store, write_index
from medcl.embed.apply import Shards
from medcl.errors import MedclError
from medcl.evaluate.results import Results
from medcl.explore.embeddings import Embeddings
from medcl.explore.index import EmbeddingIndex
from medcl.modality.image import prepare as image_store
from medcl.modality.report import prepare as report_store
from medcl.modality.report.prepare import write_arrays
from medcl.modality.signal import store as signal_store
from medcl.modality.signal.config import SignalEncoderConfig
from medcl.modality.spec import SignalCard
from medcl.modality.volume import store as volume_store
from medcl.modality.volume.prepare import layout_of
from medcl.pretrain.checkpoint import State, resume_from, save
from medcl.reduce.signatures import SignatureCache
from tests.evaluate.made_results import make_results
from tests.explore.archives import embeddings_file

FLIPS = 12
"""A file; more by hand find the same."""
RNG = np.random.default_rng(0)
SIGNALS = RNG.integers(-300, 300, (3, 700, 2)).astype(np.int16)
IMAGES = RNG.integers(0, 255, (20, 1, 9, 7)).astype(np.uint8)
VOLUME = RNG.integers(-1000, 1000, (1, 40, 35, 33)).astype(np.int16)
VECTORS = RNG.normal(size=(30, 8)).astype(np.float32)


def signals(folder: Path) -> None:
    writer = AppendedWriter(folder, signal_store.LAYOUT)
    places = [writer.append(one) for one in SIGNALS]
    writer.finish()
    numbers: dict[str, Any] = {name: [[1.0, 2.0]] * 3 for name in ("gain", "offset", "mean", "std")}
    columns = {
        "record_id": ["a", "b", "c"],
        "shard": [place["shard"] for place in places],
        "start": [place["start"] for place in places],
        "n_samples": [700] * 3,
        "invalid": [-32768] * 3,
        "flags": [b"\0\1"] * 3,
        "stretches": [[0]] * 3,
        "notes": [[]] * 3,
        **numbers,
    }
    about = {"key": "k", "sampling_rate": 100.0, "channels": ["I", "II"], "unit": "mV", "quarantine": {}}
    write_index(folder, signal_store.INDEX, columns, about)


def read_signals(folder: Path) -> Any:
    store = open_store(folder, "signal")
    values = [store.read(record) for record in range(len(store))]
    return values, store.record_ids, store.sampling_rate, store.unit, store.channels, store.flags, store.mean, store.std


def images(folder: Path) -> None:
    writer = AppendedWriter(folder, image_store.LAYOUT)
    places = [writer.append(one[None])["place"] for one in IMAGES]
    writer.finish()
    about = {"key": "k", "size": [9, 7], "n_channels": 1, "quarantine": {}}
    columns = {"record_id": [f"p{place}" for place in range(20)], "place": places}
    write_index(folder, image_store.INDEX, columns, about)


def read_images(folder: Path) -> Any:
    store = open_store(folder, "image")
    return store.read(np.arange(len(store))), store.record_ids


def volumes(folder: Path) -> None:
    write_apart(folder, 0, {None: VOLUME}, layout_of(None))
    write_apart(folder, 0, {0: (VOLUME > 0).astype(np.uint8)}, layout_of(2))
    affine = np.eye(4).ravel().tolist()
    columns = {
        "record_id": ["v"],
        "file": [0],
        **{name: [[40, 35, 33]] for name in ("shape", "original_shape", "box_stop")},
        "box_start": [[0, 0, 0]],
        **{name: [affine] for name in ("affine", "original_affine")},
        "low": [-1000.0],
        "high": [1000.0],
        "masks": [[True]],
    }
    about = {"key": "k", "n_channels": 1, "masks": ["mask"], "quarantine": {}, "mask_quarantine": {}, "filled": {}}
    write_index(folder, volume_store.INDEX, columns, about)


def read_volumes(folder: Path) -> Any:
    store = open_store(folder, "volume")
    size = np.array([40, 35, 33])
    whole = store.read(0, np.zeros(3, np.int64), size), store.read_mask("mask", 0, np.zeros(3, np.int64), size)
    return *whole, store.low, store.high, store.affine, store.record_ids


def reports(folder: Path) -> None:
    arrays = {
        "tokens": np.arange(40, dtype=np.int32),
        "offsets": np.array([0, 15, 40]),
        "ids": np.array([7, 8]),
        "draws": np.array([0, 1, 1]),
    }
    about = {"key": "k", "quarantine": {}, "settings": {"draw": "whole"}}
    write_arrays(folder, arrays, pa.array(["one", "two"], pa.large_string()))
    write_index(folder, report_store.INDEX, {"record_id": ["a", "b"], "draws": [1, 2]}, about)


def read_reports(folder: Path) -> Any:
    store = open_store(folder, "report")
    return store.read(np.arange(3)), store.texts.to_pylist(), store.ids, store.starts, store.record_ids


def run(folder: Path) -> None:
    config = SignalEncoderConfig(name="resnet", dim=4, hidden=4, depth=2, stride=4)
    card = SignalCard(encoder=config, channels=("I", "II"), sampling_rate=100.0, window=2.0, standardise="window")
    torch.manual_seed(0)
    runs.start(folder, {"method": "comet", "seed": 0}, runs.SeenPatients.of(range(5), "salt"))
    runs.save_encoder(folder, card.build(), card)


def read_run(folder: Path) -> Any:
    found = runs.load(folder)
    weights = {name: tensor.numpy() for name, tensor in found.encoder.state_dict().items()}
    return weights, found.card, found.config, found.patients


def network() -> State:
    torch.manual_seed(0)
    model = nn.Linear(5, 3)
    return State(model, torch.optim.AdamW(model.parameters()), None)


def checkpoint(folder: Path) -> None:
    state = network()
    state.method(torch.ones(2, 5)).sum().backward()
    state.optimiser.step()
    save(folder / runs.CHECKPOINT, 3, state)


def read_checkpoint(folder: Path) -> Any:
    state = network()
    step = resume_from(folder / runs.CHECKPOINT, state)
    moments = {
        f"{number} {name}": np.asarray(value)
        for number, one in state.optimiser.state_dict()["state"].items()
        for name, value in one.items()
    }
    return step, {name: one.numpy() for name, one in state.method.state_dict().items()}, moments


def manifest(folder: Path) -> None:
    table = pa.table(
        {"record_id": [f"r{row}" for row in range(50)], "patient": list(range(50)), "x": RNG.normal(size=50)}
    )
    Manifest(table, Path("/archive"), {"salt": "s"}).write(folder / "m.parquet")


def read_manifest(folder: Path) -> Any:
    found = Manifest.read(folder / "m.parquet")
    return found.table.to_pydict(), found.root, found.metadata


def embeddings(folder: Path) -> None:
    made = embeddings_file(folder / "plain.parquet", VECTORS, {"patient": list(range(30))})
    parts = Shards(folder / "e.parquet", {"run": "r"})
    table = pq.read_table(made.paths[0])
    parts.write(0, table.slice(0, 10))
    parts.write(1, table.slice(10))
    parts.join(2, table.schema)
    (folder / "plain.parquet").unlink()


def read_embeddings(folder: Path) -> Any:
    found = Embeddings.read(folder / "e.parquet")
    return found.vectors(), found.table().to_pydict(), found.about, len(found)


def index(folder: Path) -> None:
    EmbeddingIndex.open(embeddings_file(folder / "e.parquet", VECTORS, {"patient": list(range(30))}))


def read_index(folder: Path) -> Any:
    found = EmbeddingIndex.open(Embeddings.read(folder / "e.parquet"))
    return [(one.record_id, one.similarity) for row in range(30) for one in found.nearest(VECTORS[row], 3)]


def signatures(folder: Path) -> None:
    SignatureCache(folder).add(["a", "b"], [VECTORS[:10], VECTORS[10:]])


def read_signatures(folder: Path) -> Any:
    cache = SignatureCache(folder)
    # What is not known any more is computed again.
    return [np.array(cache[key]) if key in cache else made for key, made in (("a", VECTORS[:10]), ("b", VECTORS[10:]))]


def results(folder: Path) -> None:
    make_results(repeats=2).save(folder / "results.json")


def read_results(folder: Path) -> Any:
    return repr(Results.load(folder / "results.json"))


KINDS: dict[str, tuple[Callable[[Path], None], Callable[[Path], Any]]] = {
    "signals": (signals, read_signals),
    "images": (images, read_images),
    "volumes": (volumes, read_volumes),
    "reports": (reports, read_reports),
    "run": (run, read_run),
    "checkpoint": (checkpoint, read_checkpoint),
    "manifest": (manifest, read_manifest),
    "embeddings": (embeddings, read_embeddings),
    "signatures": (signatures, read_signatures),
    "results": (results, read_results),
}


def flips(path: Path, count: int = FLIPS) -> Iterator[None]:
    """Turn one bit after the other, each back again."""
    whole, rng = path.read_bytes(), random.Random(path.name)
    for _ in range(count):
        at, bit = rng.randrange(len(whole)), rng.randrange(8)
        path.write_bytes(whole[:at] + bytes([whole[at] ^ 1 << bit]) + whole[at + 1 :])
        yield
    path.write_bytes(whole)


@pytest.mark.parametrize("kind", KINDS)
def test_no_flipped_bit_gives_other_numbers(kind: str, tmp_path: Path) -> None:
    make, read = KINDS[kind]
    make(tmp_path)
    wanted = read(tmp_path)
    refused: list[tuple[str, str]] = []
    paths = [path for path in tmp_path.rglob("*") if path.is_file()]
    assert paths
    for path in paths:
        for _ in flips(path):
            try:
                found = read(tmp_path)
            except MedclError as error:
                refused.append((path.name, str(error)))
                continue
            np.testing.assert_equal(found, wanted)
    assert refused
    # Where the checksums themselves are damaged, the file that they are of is named.
    assert not [(name, text) for name, text in refused if name not in text and name != "checksums.bin"]


def test_a_damaged_index_is_made_anew(tmp_path: Path) -> None:
    index(tmp_path)
    wanted = read_index(tmp_path)
    for path in [path for path in (tmp_path / "e.parquet.explore").rglob("*") if path.is_file()]:
        for _ in flips(path, 4):
            assert read_index(tmp_path) == wanted
        index(tmp_path)


def test_damaged_vectors_beside_a_file_are_made_anew(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("medcl.embed.embeddings._IN_MEMORY", 0)
    embeddings(tmp_path)
    wanted = np.array(read_embeddings(tmp_path)[0])
    (mapped,) = tmp_path.glob(".*vectors-*.npy")
    for _ in flips(mapped):
        np.testing.assert_array_equal(read_embeddings(tmp_path)[0], wanted)


@pytest.mark.parametrize("name", [runs.CONFIG, runs.ENVIRONMENT, runs.PATIENTS])
@pytest.mark.parametrize("content", [b"[" * 100_000, b"\xff\xfe\x00", b"", b"a: [1\n", b"7"], ids=range(5))
def test_text_that_is_none_is_an_error_with_a_name(tmp_path: Path, name: str, content: bytes) -> None:
    run(tmp_path)
    (tmp_path / name).write_bytes(content)
    with pytest.raises(MedclError, match=name):
        runs.load(tmp_path)


def test_words_in_another_order_are_noticed(tmp_path: Path) -> None:
    signals(tmp_path)
    path = next(tmp_path.glob("*.b2nd"))
    whole = path.read_bytes()
    middle = len(whole) // 16 * 8
    at = next(at for at in range(middle, len(whole) - 16, 8) if whole[at : at + 8] != whole[at + 8 : at + 16])
    path.write_bytes(whole[:at] + whole[at + 8 : at + 16] + whole[at : at + 8] + whole[at + 16 :])
    with pytest.raises(MedclError, match=path.name):
        read_signals(tmp_path)


@pytest.mark.parametrize("footer_grows", [False, True])
def test_a_table_whose_seal_is_damaged_is_none_without_a_seal(footer_grows: bool, tmp_path: Path) -> None:
    table = pa.table({"a": np.arange(1000)})
    path = tmp_path / "t.parquet"
    parquet.write(path, table)
    whole = path.read_bytes()
    at = whole.index(b"medcl crc-32")
    damage = whole[:at] + b"medcl crc-99" + whole[at + 12 :]
    if footer_grows:
        damage = damage[:-8] + bytes(2) + damage[-8:]
    path.write_bytes(damage)
    with pytest.raises((MedclError, pa.ArrowException), match="damaged|thrift|Thrift"):
        parquet.read(path, "write it again")
    pq.write_table(table, path)
    assert parquet.read(path, "write it again").equals(table)


def test_signatures_whose_checksum_has_lost_its_name_are_made_anew(tmp_path: Path) -> None:
    SignatureCache(tmp_path).add(["a"], [np.zeros((3, 2))])
    path = next(tmp_path.glob("*.json"))
    path.write_text(path.read_text().replace('"crc32"', '"crc33"'))
    assert "a" not in SignatureCache(tmp_path)


def test_a_store_from_before_there_were_checksums_opens(tmp_path: Path) -> None:
    signals(tmp_path)
    wanted = read_signals(tmp_path)
    table = pq.read_table(tmp_path / "index.parquet")
    stored = table.schema.metadata[b"medcl"].replace(b'"checksums"', b'"otherwise"')
    pq.write_table(table.replace_schema_metadata({b"medcl": stored}), tmp_path / "index.parquet")
    (tmp_path / "checksums.bin").unlink()
    np.testing.assert_equal(read_signals(tmp_path), wanted)
