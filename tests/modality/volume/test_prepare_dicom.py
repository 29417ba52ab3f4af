"""DICOM series in the store: by their positions, and what becomes of series off a regular grid."""

from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest
from scipy.ndimage import affine_transform

from medcl.archive.manifest import Manifest, Masks
from medcl.archive.schema import SCHEMA
from medcl.data.prepare import prepare
from medcl.evaluate.segment_predict import labels_of
from medcl.modality.dicom.slice import read_slices
from medcl.modality.dicom.stacks import Stack, stacks_of
from medcl.modality.volume.config import VolumeConfig
from medcl.modality.volume.formats import dicom
from medcl.modality.volume.formats.dicom import read_regular
from medcl.modality.volume.original import read_label_map
from medcl.phantom import ct as chest
from medcl.phantom.volumes import write_ct

CONFIG = VolumeConfig(size=(16, 16, 8), window=(-1000.0, 400.0))


def stacks(root: Path) -> list[Stack]:
    """The chests of an archive, without localizers."""
    found = []
    for folder in sorted({path.parent for path in root.rglob("*") if path.is_file() and path.suffix != ".csv"}):
        slices = [one for path in sorted(folder.iterdir()) for one in read_slices(path, root)]
        found += [stack for stack in stacks_of(slices) if len(stack.slices) > 3]
    return found


@pytest.fixture(scope="module")
def root(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Chests of four patients, among them a tilted one, one with a lost slice, one compressed."""
    folder = tmp_path_factory.mktemp("dicom")
    write_ct(folder / "ct", folder / "masks", 4, shape=(24, 24, 10))
    return folder / "ct"


def manifest_of(root: Path, found: list[Stack]) -> Manifest:
    rows = []
    for number, stack in enumerate(found):
        header = dicom.read_header(stack)
        grid = header.grid.to_ras()
        path = Path(header.files[0])
        rows.append(
            {
                "record_id": f"r{number}",
                "modality": "ct",
                "format": "dicom",
                "path": path.as_posix(),
                "files": [Path(name).relative_to(path.parent).as_posix() for name in header.files],
                "trial": number,
                "n_channels": 1,
                "shape": list(grid.shape),
                "spacing": grid.spacing.tolist(),
                "dtype": header.dtype,
                "part": 0,
                "flags": list(header.flags),
                "status": "ok",
            }
        )
    return Manifest(pa.Table.from_pylist(rows, schema=SCHEMA), root)


def test_series_are_the_volumes_of_the_reader(root: Path, tmp_path: Path) -> None:
    found = stacks(root)
    manifest = manifest_of(root, found)
    store = prepare(manifest, CONFIG, tmp_path, jobs=2)
    odd = [number for number, stack in enumerate(found) if any("tilt" in f or "missing" in f for f in stack.flags)]
    assert odd
    assert sorted(store.quarantine) == [f"r{number}" for number in odd]
    assert all("data.irregular=resample" in reason for reason in store.quarantine.values())
    for record, record_id in enumerate(store.record_ids):
        expected = dicom.read_volume(found[int(record_id[1:])], root)
        np.testing.assert_array_equal(store.read(record, np.zeros(3, int), store.shape[record]), expected.data)
        np.testing.assert_allclose(store.affine[record], expected.grid.affine)


def test_series_off_a_regular_grid_are_resampled_where_asked_for(root: Path, tmp_path: Path) -> None:
    found = stacks(root)
    config = VolumeConfig(size=(16, 16, 8), window=(-1000.0, 400.0), irregular="resample")
    store = prepare(manifest_of(root, found), config, tmp_path, jobs=1)
    assert not store.quarantine
    for number, stack in enumerate(found):
        expected = read_regular(stack, root)
        np.testing.assert_array_equal(store.read(number, np.zeros(3, int), store.shape[number]), expected.data)


def test_a_series_whose_file_is_gone_is_quarantined_without_its_path(root: Path, tmp_path: Path) -> None:
    manifest = manifest_of(root, stacks(root)).select([0])
    gone = manifest.with_column("files", pa.array([["nowhere.dcm"]]))
    other = manifest.with_column("record_id", pa.array(["other"]))
    both = Manifest(pa.concat_tables([gone.table, other.table.select(gone.table.column_names)]), root)
    store = prepare(both, CONFIG, tmp_path, jobs=1)
    assert list(store.record_ids) == ["other"]
    assert "cannot be read" in store.quarantine["r0"]
    assert "nowhere" not in store.quarantine["r0"]


def test_label_maps_are_resampled_with_the_slices_that_they_were_drawn_on(root: Path, tmp_path: Path) -> None:
    """The phantom writes the map of a tilted chest on its tilted grid, that of a lost slice on the whole series."""
    found = stacks(root)
    manifest = manifest_of(root, found)
    paths = [
        f"../masks/{Path(str(path)).parts[0]}/{Path(str(path)).parts[1]}.nii.gz" for path in manifest.column("path")
    ]
    manifest = manifest.with_masks(Masks("mask", ("background", *chest.STRUCTURES)), pa.array(paths))
    config = VolumeConfig(size=(16, 16, 8), window=(-1000.0, 400.0), irregular="resample", spacing=(None, None, 11.0))
    store = prepare(manifest, config, tmp_path, jobs=1)
    assert not store.mask_quarantine["mask"]
    tilted = [number for number, stack in enumerate(found) if any("tilt" in flag for flag in stack.flags)]
    assert tilted
    for number, stack in enumerate(found):
        labels, grid = labels_of(store, number, manifest, number, "mask"), store.original_grid(number)
        assert labels.shape == grid.shape
        prepared = store.read_mask("mask", number, np.zeros(3, int), store.shape[number])
        assert set(np.unique(prepared)) <= set(np.unique(labels))
        if number in tilted:
            # The same by way of millimetres, which know nothing of slices.
            drawn = dicom.stack_grid(stack).to_ras()
            between = np.linalg.inv(drawn.affine) @ grid.affine
            before = read_label_map(root / paths[number], drawn)
            expected = affine_transform(before, between[:3, :3], between[:3, 3], grid.shape, order=0)
            assert (labels == expected).mean() > 0.999
            assert (labels > 0).sum() > 0.9 * (before > 0).sum()
