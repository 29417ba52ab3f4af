"""The store of pictures: random batches a second beside decoding and resizing the same files with Pillow.

The data: JPEG and PNG of 512 x 512 pixels, smooth shapes under fine noise, as radiographs are kept for teaching.
"""

import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest
from PIL import Image as Picture

from medcl.archive.manifest import Manifest
from medcl.archive.schema import SCHEMA
from medcl.data.prepare import prepare
from medcl.modality.image.config import ImageConfig
from medcl.modality.image.samples import ImageSamples

PICTURES, SIDE, SIZE, BATCH, REPEATS = 128, 512, (224, 224), 32, 12


@pytest.fixture(scope="module")
def manifest(tmp_path_factory: pytest.TempPathFactory) -> Manifest:
    folder = tmp_path_factory.mktemp("pictures")
    rows = []
    for number in range(PICTURES):
        generator = np.random.default_rng(number)
        shapes = Picture.fromarray(generator.integers(0, 256, (16, 16)).astype(np.uint8))
        smooth = np.asarray(shapes.resize((SIDE, SIDE), Picture.Resampling.BICUBIC)).astype(np.float32)
        pixels = np.clip(smooth + generator.normal(0, 4, smooth.shape), 0, 255).astype(np.uint8)
        form = ("jpeg", "png")[number % 2]
        path = folder / f"{number:03}.{form}"
        Picture.fromarray(pixels).save(path, quality=90)
        about = path.stat()
        row = {"record_id": path.name, "path": path.name, "files": [path.name], "modality": "xray", "format": form}
        row |= {"part": 0, "status": "ok", "size": about.st_size, "mtime_ns": about.st_mtime_ns, "patient": number}
        rows.append(row)
    return Manifest(pa.Table.from_pylist(rows, schema=SCHEMA), folder)


def _fastest(call: Callable[[], object], repeats: int) -> float:
    times = []
    for _ in range(repeats):
        start = time.perf_counter()
        call()
        times.append(time.perf_counter() - start)
    return min(times)


def test_batches_come_twenty_times_as_fast_as_from_the_files(manifest: Manifest, tmp_path: Path) -> None:
    config = ImageConfig(size=SIZE)
    start = time.perf_counter()
    store = prepare(manifest, config, tmp_path, jobs=1)
    decoded = PICTURES / (time.perf_counter() - start)
    pictures = ImageSamples(store, manifest, config)
    drawn = np.random.default_rng(0).permutation(PICTURES)[:BATCH].tolist()
    paths = [manifest.root / str(manifest.column("path")[index]) for index in drawn]

    def plain() -> np.ndarray:
        opened = [Picture.open(path).convert("L").resize(SIZE[::-1], Picture.Resampling.BILINEAR) for path in paths]
        return np.stack([np.asarray(one, dtype=np.float32)[None] / 255 for one in opened])

    ours, theirs = _fastest(lambda: pictures.__getitems__(drawn), REPEATS), _fastest(plain, 3)
    size = (store.folder / "pictures.b2nd").stat().st_size / 1e6
    print(
        f"\ndecoded {decoded:.0f} pictures/s in one process; batch of {BATCH}: store {1e3 * ours:.2f} ms "
        f"({BATCH / ours:.0f} pictures/s), Pillow {1e3 * theirs:.1f} ms ({BATCH / theirs:.0f}), {theirs / ours:.0f}x; "
        f"{size:.1f} MB for {PICTURES * SIZE[0] * SIZE[1] / 1e6:.1f} MB of pixels"
    )
    assert np.abs(pictures.__getitems__(drawn)["x"].numpy() - plain()).mean() < 0.01
    assert theirs >= 20 * ours
