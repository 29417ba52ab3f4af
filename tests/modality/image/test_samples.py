"""Batches of pictures: what a training step gets."""

import pickle
from pathlib import Path

import numpy as np
import pytest
import torch

from medcl.data.prepare import prepare
from medcl.data.store import open_store
from medcl.errors import MedclError
from medcl.modality.image.config import ImageConfig
from medcl.modality.image.samples import ImageSamples
from tests.data.image_archive import pixels_of, write_archive

CONFIG = ImageConfig(size=(40, 40))


def _pictures(folder: Path, count: int = 5) -> ImageSamples:
    manifest = write_archive(folder / "a", {f"{i}": pixels_of(i) for i in range(count)}, others=True)
    (folder / "a" / "1.png").write_bytes(b"")
    return ImageSamples(prepare(manifest, CONFIG, folder / "s", jobs=1), manifest, CONFIG)


def test_a_batch_has_pixels_rows_and_ids(tmp_path: Path) -> None:
    pictures = _pictures(tmp_path)
    # A report is the first row, a recording follows each picture, and the second picture is broken.
    assert pictures.rows.tolist() == [1, 5, 7, 9]
    batch = pictures.__getitems__([3, 0, 3])
    assert batch["x"].dtype == torch.float32
    expected = np.stack([pixels_of(number)[None] / 255 for number in (4, 0, 4)])
    np.testing.assert_allclose(batch["x"].numpy(), expected, atol=1e-6)
    assert batch["index"].tolist() == [9, 1, 9]
    assert {level: ids.tolist() for level, ids in batch["ids"].items()} == {
        "patient": [4, 0, 4],
        "study": [104, 100, 104],
        "series": [204, 200, 204],
        "trial": [304, 300, 304],
    }
    assert batch["ids"]["trial"].dtype == torch.int64
    assert float(pictures.__getitems__([0, 1, 2, 3])["x"].max()) <= 1


def test_the_pieces_of_a_row(tmp_path: Path) -> None:
    pictures = _pictures(tmp_path)
    assert [pictures.samples_of(row).tolist() for row in (0, 1, 3, 5, 9)] == [[], [0], [], [1], [3]]
    assert len(pictures) == 4


def test_a_level_that_is_not_known_for_all_is_left_out(tmp_path: Path) -> None:
    pictures = _pictures(tmp_path)
    manifest = write_archive(tmp_path / "a", {f"{i}": pixels_of(i) for i in range(5)})
    study = manifest.table.column("study").to_pylist()
    import pyarrow as pa

    without = manifest.with_column("study", pa.array([None, *study[1:]], pa.int64()))
    assert "study" not in ImageSamples(pictures.store, without, CONFIG).ids


def test_a_store_goes_to_another_process(tmp_path: Path) -> None:
    store = _pictures(tmp_path).store
    before = store.read([0, 2])
    np.testing.assert_array_equal(pickle.loads(pickle.dumps(store)).read([0, 2]), before)


def test_another_size_or_other_records_are_refused(tmp_path: Path) -> None:
    pictures = _pictures(tmp_path)
    manifest = write_archive(tmp_path / "b", {"another": pixels_of(0)})
    with pytest.raises(MedclError, match="prepared from other records"):
        ImageSamples(pictures.store, manifest, CONFIG)
    with pytest.raises(MedclError, match=r"data\.size"):
        ImageSamples(pictures.store, manifest, ImageConfig(size=(32, 40)))


def test_a_folder_that_is_no_store_of_pictures_is_refused(tmp_path: Path) -> None:
    with pytest.raises(MedclError, match="not a prepared store"):
        open_store(tmp_path, "image")
    store = _pictures(tmp_path).store
    with pytest.raises(MedclError, match="image 4 of 4"):
        store.read([4])
