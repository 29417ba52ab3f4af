"""A Dask cluster in the place of processes makes the same store: of records sent back, and of those written there."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from medcl.data.prepare import prepare
from medcl.modality.signal.config import SignalConfig
from medcl.modality.volume.config import VolumeConfig

from .volume_archive import labels, manifest_of, noise, save
from .wfdb_archive import noise as waves
from .wfdb_archive import scanned, write_record

distributed = pytest.importorskip("distributed")


@pytest.fixture(scope="module")
def address() -> Iterator[str]:
    with distributed.LocalCluster(
        n_workers=2, threads_per_worker=1, processes=False, dashboard_address=None, silence_logs=50
    ) as made:
        yield made.scheduler_address


def test_recordings(tmp_path: Path, address: str) -> None:
    for number in range(5):
        write_record(tmp_path / "a", f"p{number}", "r", waves(4, seed=number))
    manifest, config = scanned(tmp_path / "a"), SignalConfig()
    here = prepare(manifest, config, tmp_path / "here", jobs=1)
    there = prepare(manifest, config, tmp_path / "there", cluster=address)
    assert here.folder.name == there.folder.name
    assert list(here.record_ids) == list(there.record_ids)
    for number in range(5):
        np.testing.assert_array_equal(here.read(number), there.read(number))


def test_volumes_and_a_damaged_one(tmp_path: Path, address: str) -> None:
    root, size = tmp_path / "a", np.array([20, 24, 16])
    for number in range(3):
        save(root / f"v{number}.nii.gz", noise(seed=number))
        save(root / f"m{number}.nii.gz", labels(seed=number))
    manifest = manifest_of(root, masks={f"v{number}.nii.gz": f"m{number}.nii.gz" for number in range(3)})
    (root / "v1.nii.gz").write_bytes(b"nothing")
    stores: list[Any] = [
        prepare(manifest, VolumeConfig(), tmp_path / "here", jobs=1),
        prepare(manifest, VolumeConfig(), tmp_path / "there", cluster=address),
    ]
    assert [list(store.record_ids) for store in stores] == [["r0", "r2"]] * 2
    assert stores[0].quarantine == stores[1].quarantine != {}
    for record in (0, 1):
        np.testing.assert_array_equal(*(store.read(record, np.zeros(3, int), size) for store in stores))
        np.testing.assert_array_equal(*(store.read_mask("organs", record, np.zeros(3, int), size) for store in stores))
