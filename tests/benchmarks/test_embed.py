"""Embedding an archive beside the encoder alone: all that is not the encoder hides behind it, in constant memory."""

import time
import tracemalloc
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest
import torch

from medcl.archive.manifest import Manifest
from medcl.embed import pooling
from medcl.embed.apply import embed_manifest
from medcl.embed.config import EmbedConfig
from medcl.embed.embeddings import EmbeddingsFile
from medcl.embed.encoders import device, prepare, sides_of
from medcl.modality.image.config import ImageConfig
from medcl.modality.spatial.config import ImageEncoderConfig
from medcl.modality.spec import ImageCard
from tests.data.linked_archive import manifest_of, picture_row
from tests.embed import archives

PICTURES, BATCH, ROUNDS, MOST, SIZE = 128, 32, 3, 10, (128, 128)


def archive(folder: Path, count: int) -> Manifest:
    folder.mkdir()
    return manifest_of([picture_row(folder, n, n % 4, patient=n // 2, trial=n) for n in range(count)], folder)


def run_of(folder: Path, size: tuple[int, int], network: ImageEncoderConfig) -> Path:
    card = ImageCard(network, 1, "xray", vars(ImageConfig(size=size)))
    return archives.save(folder, card)


def seconds(call: Callable[[], object]) -> float:
    start = time.perf_counter()
    call()
    return time.perf_counter() - start


@pytest.fixture
def one_thread() -> Iterator[None]:
    """The encoder on one core, so that neither side waits for a second one that another program is using."""
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(threads)


@pytest.mark.benchmark
@pytest.mark.usefixtures("one_thread")
def test_an_archive_is_embedded_nearly_as_fast_as_the_encoder_runs(tmp_path: Path) -> None:
    manifest, store = archive(tmp_path / "a", PICTURES), tmp_path / "store"
    run = run_of(tmp_path / "run", SIZE, ImageEncoderConfig(widths=(24, 48, 96, 128, 128)))
    config = EmbedConfig(batch=BATCH, jobs=1)
    (side,) = sides_of(run)
    pieces = prepare(side, manifest, manifest, store, 1).pieces
    batches = [pieces.__getitems__(range(at, at + BATCH))["x"].to(device()) for at in range(0, PICTURES, BATCH)]

    def bare() -> None:
        with torch.inference_mode():
            for x in batches:
                side.network.embed(x).cpu()

    def whole() -> None:
        path = tmp_path / "e.parquet"
        path.unlink(missing_ok=True)
        embed_manifest(run, manifest, config, store, path)

    bare()
    encoder, embedded = [], []
    # Others use the machine too: the quickest round of each is what the work takes. More rounds, where they were busy.
    while len(encoder) < ROUNDS or (len(encoder) < MOST and min(encoder) / min(embedded) < 0.9):
        encoder.append(seconds(bare))
        embedded.append(seconds(whole))
    ratio = min(encoder) / min(embedded)
    print(
        f"\n{PICTURES} pictures: encoder {PICTURES / min(encoder):.0f}/s, embedded into a file "
        f"{PICTURES / min(embedded):.0f}/s, ratio {ratio:.3f} in {len(encoder)} rounds"
    )
    assert ratio >= 0.9


@pytest.mark.benchmark
def test_memory_does_not_grow_with_the_archive(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Python's and NumPy's, and pyarrow's own; vectors of 2048 numbers, so that all of them would be seen."""
    monkeypatch.setattr(pooling, "_PIECES", 64)
    few, many, dim = 64, 512, 4096
    whole = archive(tmp_path / "a", many)
    run = run_of(tmp_path / "run", (8, 8), ImageEncoderConfig("unet", dim=dim, widths=(2, 4), norm="group"))
    peaks = []
    for count in (few, many):
        manifest = whole.select(np.arange(count))
        embed_manifest(run, manifest, EmbedConfig(batch=32, jobs=1), tmp_path / "s", tmp_path / f"warm{count}.parquet")
        tracemalloc.start()
        before = pa.total_allocated_bytes()
        path = tmp_path / f"{count}.parquet"
        embed_manifest(run, manifest, EmbedConfig(batch=32, jobs=1), tmp_path / "s", path)
        peaks.append(tracemalloc.get_traced_memory()[1])
        tracemalloc.stop()
        assert pa.total_allocated_bytes() - before < 1 << 22
        assert len(EmbeddingsFile.read(path)) == count
    vectors = 4 * dim * (many - few)
    print(
        f"\npeak {peaks[0] / 1e6:.1f} MB for {few}, {peaks[1] / 1e6:.1f} MB for {many}; vectors {vectors / 1e6:.1f} MB"
    )
    assert peaks[1] - peaks[0] < 0.25 * vectors
