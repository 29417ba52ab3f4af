"""FreeSurfer's volumes: values and places as nibabel has them, and a reason for every file that is damaged."""

import gzip
import struct
from pathlib import Path

import nibabel as nib
import numpy as np
import pytest
from nibabel.freesurfer.mghformat import MGHImage

from medcl.errors import UnreadableError
from medcl.modality.formats import identify
from medcl.modality.volume.formats.mgh import read_header, read_volume

AFFINE = np.array([[0, 0, -3.0, 10], [-1, 0, 0, 20], [0, 2, 0, 30], [0, 0, 0, 1]], dtype=np.float32)


def write(path: Path, dtype: str = "int16", shape: tuple[int, ...] = (5, 6, 7)) -> Path:
    data = np.random.default_rng(0).integers(0, 200, shape).astype(dtype)
    MGHImage(data, AFFINE).to_filename(path)
    return path


@pytest.mark.parametrize("dtype", ["uint8", "int16", "uint16", "int32", "float32"])
@pytest.mark.parametrize("shape", [(5, 6, 7), (5, 6, 7, 3)])
@pytest.mark.parametrize("name", ["a.mgz", "a.mgh"])
def test_volumes_are_those_of_nibabel(tmp_path: Path, name: str, shape: tuple[int, ...], dtype: str) -> None:
    path = write(tmp_path / name, dtype, shape)
    volume, image = read_volume(path), nib.load(path)
    reference = nib.as_closest_canonical(image)
    expected = np.moveaxis(np.asarray(reference.dataobj).reshape(*reference.shape[:3], -1), -1, 0)
    np.testing.assert_array_equal(volume.data, expected)
    np.testing.assert_allclose(volume.stored.affine, image.affine, atol=1e-5)
    header = read_header(path)
    assert (identify(path), header.dtype, header.flags) == ("mgh", dtype, ())


def test_without_an_orientation_it_is_that_of_freesurfer_and_said(tmp_path: Path) -> None:
    path = write(tmp_path / "a.mgh")
    content = bytearray(path.read_bytes())
    struct.pack_into(">h", content, 28, 0)
    path.write_bytes(content)
    header = read_header(path)
    assert (header.grid.orientation, header.grid.spacing.tolist()) == ("LIA", [1, 1, 1])
    assert header.flags == ("no orientation: axes taken as FreeSurfer has them, spacing as 1 mm",)


@pytest.mark.parametrize("name", ["a.mgz", "a.mgh"])
@pytest.mark.parametrize(
    ("at", "value", "reason"),
    [(4, 0, "damaged header: shape"), (4, 2**30, "truncated file"), (16, -1, "damaged header"), (20, 2, "type 2")],
)
def test_a_header_that_is_wrong_is_refused(tmp_path: Path, name: str, at: int, value: int, reason: str) -> None:
    path = write(tmp_path / name)
    packed = name.endswith("z")
    content = bytearray(gzip.decompress(path.read_bytes()) if packed else path.read_bytes())
    struct.pack_into(">i", content, at, value)
    path.write_bytes(gzip.compress(bytes(content)) if packed else content)
    with pytest.raises(UnreadableError, match=reason):
        read_header(path)


@pytest.mark.parametrize("kept", [100, -1, -300])
@pytest.mark.parametrize("name", ["a.mgz", "a.mgh"])
def test_a_file_that_ends_early_is_refused_by_its_header(tmp_path: Path, name: str, kept: int) -> None:
    path = write(tmp_path / name, "float32")
    path.write_bytes(path.read_bytes()[: kept if kept > 0 or name.endswith("z") else kept - 100])
    with pytest.raises(UnreadableError, match="truncated|damaged gzip"):
        read_header(path)


def test_what_follows_the_voxels_is_not_read(tmp_path: Path) -> None:
    path = write(tmp_path / "a.mgz")
    path.write_bytes(gzip.compress(gzip.decompress(path.read_bytes()) + b"mri_convert /home/anna" * 9))
    assert read_header(path).flags == ()
    assert "anna" not in repr(read_header(path))
