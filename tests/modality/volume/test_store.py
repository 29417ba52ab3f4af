"""The store of volumes: its voxels are those that other programs read, and its predictions come back to the file."""

import pickle
import tempfile
from pathlib import Path

import nibabel as nib
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from nibabel.orientations import axcodes2ornt, inv_ornt_aff, ornt_transform

from medcl.data.prepare import prepare
from medcl.data.store import open_store
from medcl.errors import MedclError, UsageError
from medcl.modality.volume.config import VolumeConfig
from medcl.modality.volume.formats.nifti import read_volume, write_like
from medcl.modality.volume.original import on_original
from tests.data.volume_archive import archive, manifest_of, noise, save

ORIENTATIONS = [
    "".join(letters)
    for order in (("RL", "AP", "SI"), ("AP", "SI", "RL"), ("SI", "RL", "AP"), ("AP", "RL", "SI"))
    for letters in ((a, b, c) for a in order[0] for b in order[1] for c in order[2])
]


def rng_of(seed: int) -> np.random.Generator:
    return np.random.default_rng(seed)


def write_oriented(path: Path, data: np.ndarray, codes: str, slope: float, inter: float) -> Path:
    """A NIfTI of (x, y, z, ...) in RAS+, stored with other axes."""
    affine = np.diag([1.5, 0.8, 2.0, 1.0])
    affine[:3, 3] = [-20, 13, 40]
    turn = ornt_transform(axcodes2ornt("RAS"), axcodes2ornt(codes))
    image = nib.Nifti1Image(
        nib.orientations.apply_orientation(data, turn), affine @ inv_ornt_aff(turn, data.shape[:3]), dtype=data.dtype
    )
    image.header.set_slope_inter(slope, inter)
    nib.save(image, path)
    return path


@settings(max_examples=25, deadline=None)
@given(
    codes=st.sampled_from(ORIENTATIONS),
    dtype=st.sampled_from(["uint8", "int16", "uint16", "int32", "float32"]),
    slope=st.sampled_from([(1.0, 0.0), (1.0, -1024.0), (2.0, 3.0), (0.37, -5.5)]),
    channels=st.sampled_from([1, 3]),
    compressed=st.booleans(),
    axis=st.sampled_from([None, 0, 1, 2]),
    seed=st.integers(0, 1000),
)
def test_crops_are_the_voxels_that_nibabel_reads(
    codes: str,
    dtype: str,
    slope: tuple[float, float],
    channels: int,
    compressed: bool,
    axis: int | None,
    seed: int,
) -> None:
    rng = rng_of(seed)
    shape = tuple(rng.integers(3, 75, 3).tolist())
    data = rng.integers(0, 200, shape if channels == 1 else (*shape, channels)).astype(dtype)
    size = [8, 8, 8]
    if axis is not None:
        size[axis] = 1
    with tempfile.TemporaryDirectory() as folder:
        root = Path(folder)
        path = write_oriented(root / ("v.nii.gz" if compressed else "v.nii"), data, codes, *slope)
        store = prepare(manifest_of(root), VolumeConfig(size=tuple(size)), root / "store", jobs=1)
        image = nib.as_closest_canonical(nib.load(path))
        expected = image.get_fdata().reshape(*shape, channels)
        np.testing.assert_allclose(store.affine[0], image.affine, atol=1e-5)
        assert store.shape[0].tolist() == list(image.shape[:3])
        for _ in range(4):
            start = rng.integers(0, shape)
            count = rng.integers(1, np.array(shape) - start + 1)
            part = store.read(0, start, count)
            a, b, c = (slice(first, first + many) for first, many in zip(start, count, strict=True))
            np.testing.assert_allclose(np.moveaxis(part, 0, -1), expected[a, b, c], rtol=1e-6, atol=1e-5)
        if slope == (1.0, 0.0) and dtype in ("uint8", "int16"):
            assert part.dtype == dtype


def test_crops_are_the_voxels_that_monai_reads(tmp_path: Path) -> None:
    from monai.transforms import Compose, LoadImage, Orientation

    save(tmp_path / "v0.nii.gz", noise(), np.array([[0, -2.0, 0, 9], [1.0, 0, 0, 4], [0, 0, -3.0, 5], [0, 0, 0, 1]]))
    store = prepare(manifest_of(tmp_path), VolumeConfig(), tmp_path / "store", jobs=1)
    load = Compose([LoadImage(image_only=True, ensure_channel_first=True), Orientation("RAS", labels=None)])
    expected = load(tmp_path / "v0.nii.gz")
    np.testing.assert_array_equal(store.read(0, np.zeros(3, int), store.shape[0]), expected.numpy())
    np.testing.assert_allclose(store.affine[0], expected.affine.numpy())


@pytest.mark.parametrize("codes", ["RAS", "LPS", "SLA", "PIR"])
def test_a_prediction_lies_on_the_file_it_was_made_of(tmp_path: Path, codes: str) -> None:
    data = np.zeros((30, 34, 20), dtype=np.int16)
    data[12:24, 8:20, 5:17] = 800
    data += rng_of(0).integers(0, 20, data.shape).astype(np.int16)
    path = write_oriented(tmp_path / "v0.nii.gz", data, codes, 1, 0)
    config = VolumeConfig(size=(16, 16, 16), spacing=(1.0, None, 1.0), foreground=True)
    store = prepare(manifest_of(tmp_path), config, tmp_path / "store", jobs=1)
    assert store.spacing[0].round(4).tolist() == [1.0, 0.8, 1.0]
    assert (store.box_start[0] > 0).any()
    prepared = store.read(0, np.zeros(3, int), store.shape[0])[0]
    volume = read_volume(path)
    found = on_original(store, 0, (prepared > 400).astype(np.uint8), volume)
    write_like(tmp_path / "prediction.nii.gz", found, volume)
    prediction, image = nib.load(tmp_path / "prediction.nii.gz"), nib.load(path)
    np.testing.assert_allclose(prediction.affine, image.affine, atol=1e-5)
    truth, mask = image.get_fdata() > 400, prediction.get_fdata() > 0
    # Of the cube's surface a voxel may fall to either side.
    assert 2 * (truth & mask).sum() / (truth.sum() + mask.sum()) > 0.95


def test_a_prediction_of_a_volume_that_was_not_resampled_is_itself(tmp_path: Path) -> None:
    store = prepare(archive(tmp_path, 1), VolumeConfig(), tmp_path / "store", jobs=1)
    prediction = rng_of(1).integers(0, 3, tuple(store.shape[0])).astype(np.uint8)
    volume = read_volume(tmp_path / "v0.nii.gz")
    np.testing.assert_array_equal(on_original(store, 0, prediction, volume), prediction)
    np.testing.assert_array_equal(on_original(store, 0, prediction, volume.grid), prediction)
    with pytest.raises(UsageError, match="does not fit"):
        on_original(store, 0, prediction[1:], volume)
    save(tmp_path / "other.nii.gz", noise(), np.diag([1, 1, 3, 1.0]))
    with pytest.raises(UsageError, match="not the volume that was prepared"):
        on_original(store, 0, prediction, read_volume(tmp_path / "other.nii.gz"))


@pytest.mark.parametrize("spacing", [0.7, 1.9, 2.9, 5.0])
def test_without_a_foreground_box_every_voxel_of_the_original_has_a_prediction(tmp_path: Path, spacing: float) -> None:
    save(tmp_path / "v0.nii.gz", noise((10, 11, 12)))
    config = VolumeConfig(size=(4, 4, 4), spacing=(spacing, spacing, spacing))
    store = prepare(manifest_of(tmp_path), config, tmp_path / "store", jobs=1)
    ones = np.ones(tuple(store.shape[0]), dtype=np.uint8)
    assert on_original(store, 0, ones, read_volume(tmp_path / "v0.nii.gz")).all()


def test_resampling_keeps_a_ramp_where_it_lies(tmp_path: Path) -> None:
    x, y, z = np.meshgrid(np.arange(30), np.arange(20), np.arange(15), indexing="ij")
    save(tmp_path / "v0.nii", (3 * x + 2 * y - 4 * 2 * z).astype(np.float32))
    config = VolumeConfig(spacing=(0.8, 1.7, None))
    store = prepare(manifest_of(tmp_path), config, tmp_path / "store", jobs=1)
    voxels = np.stack(np.meshgrid(*map(np.arange, store.shape[0]), indexing="ij"), axis=-1)
    mm = voxels @ store.affine[0, :3, :3].T + store.affine[0, :3, 3]
    inside = (mm >= 0).all(axis=-1) & (mm <= [29, 19, 28]).all(axis=-1)
    found = store.read(0, np.zeros(3, int), store.shape[0])[0]
    np.testing.assert_allclose(found[inside], (mm @ [3, 2, -4])[inside], atol=1e-3)


def test_what_is_not_there_is_refused(tmp_path: Path) -> None:
    save(tmp_path / "v9.nii.gz", noise(seed=9))
    store = prepare(archive(tmp_path, 1), VolumeConfig(), tmp_path / "store", jobs=1)
    assert store.has_mask("organs").tolist() == [True, False]
    zero, one = np.zeros(3, int), np.ones(3, int)
    with pytest.raises(MedclError, match="outside of a volume"):
        store.read(0, zero, store.shape[0] + 1)
    with pytest.raises(MedclError, match="outside of a volume"):
        store.read(0, -one, one)
    with pytest.raises(MedclError, match="the manifest names none"):
        store.read_mask("organs", 1, zero, one)
    with pytest.raises(UsageError, match="it has organs"):
        store.has_mask("liver")
    with pytest.raises(MedclError, match="not a prepared store"):
        open_store(tmp_path, "volume")


def test_a_store_travels_to_another_process(tmp_path: Path) -> None:
    store = prepare(archive(tmp_path, 2), VolumeConfig(), tmp_path / "store", jobs=1)
    zero = np.zeros(3, int)
    before = store.read(1, zero, store.shape[1])
    np.testing.assert_array_equal(pickle.loads(pickle.dumps(store)).read(1, zero, store.shape[1]), before)
