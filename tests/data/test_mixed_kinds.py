"""A manifest may hold recordings, pictures and reports: each recipe takes its own kind and is not disturbed."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest

from medcl.archive.manifest import Manifest
from medcl.data.prepare import only, prepare
from medcl.errors import MedclError, UsageError
from medcl.modality.image.config import ImageConfig
from medcl.modality.image.samples import ImageSamples
from medcl.modality.signal.config import SignalConfig
from medcl.modality.signal.samples import SignalWindows
from tests.data.image_archive import pixels_of, write_archive


def test_recordings_of_a_mixed_manifest_are_those_of_one_of_their_own(ecg_manifest: Manifest, tmp_path: Path) -> None:
    few = ecg_manifest.ok().select(np.arange(4))
    pictures = write_archive(tmp_path / "a", {"a": pixels_of(0), "b": pixels_of(1)})
    paths = pa.array([str(tmp_path / "a" / str(path)) for path in pictures.column("path")])
    pictures = pictures.with_column("path", paths)
    table = pa.concat_tables([pictures.table, few.table], promote_options="default")
    mixed = replace(few, table=table)
    config = SignalConfig(window=2.0, stride=2.0)
    alone = SignalWindows(prepare(few, config, tmp_path / "s", jobs=1), few, config)
    store = prepare(mixed, config, tmp_path / "s", jobs=1)
    assert store.folder == alone.store.folder
    windows = SignalWindows(store, mixed, config)
    assert (windows.rows == alone.rows + 2).all()
    assert {level: ids.tolist() for level, ids in windows.ids.items() if level != "sample"} == {
        level: ids.tolist() for level, ids in alone.ids.items() if level != "sample"
    }
    size = ImageConfig(size=(40, 40))
    images = ImageSamples(prepare(mixed, size, tmp_path / "s", jobs=1), mixed, size)
    assert images.rows.tolist() == [0, 1]


def test_without_any_of_its_kind_a_recipe_says_what_is_there(tmp_path: Path) -> None:
    manifest = write_archive(tmp_path, {"a": pixels_of(0)}, others=True).of_kind("image")
    with pytest.raises(UsageError, match=r"for recordings \(ECG, EEG\), the manifest holds xray"):
        prepare(manifest, SignalConfig(), tmp_path / "s")
    with pytest.raises(MedclError, match="no readable record"):
        only(manifest.select([]), "image")
