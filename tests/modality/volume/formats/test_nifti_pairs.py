"""NIfTI and ANALYZE in two files, and gzip files with something behind their end: as nibabel reads them."""

import gzip
import struct
from pathlib import Path

import nibabel as nib
import numpy as np
import pytest

from medcl.archive.scan import scan
from medcl.errors import UnreadableError
from medcl.modality.formats import identify
from medcl.modality.volume.formats.nifti import read_header, read_volume
from medcl.modality.volume.original import read_label_map as read_labels

AFFINE = np.array([[0, 0, -3.0, 10], [-1, 0, 0, 20], [0, 2, 0, 30], [0, 0, 0, 1]])
DATA = np.random.default_rng(0).integers(-99, 99, (5, 6, 7)).astype(np.int16)


def same_as_nibabel(path: Path, **read: str) -> None:
    volume, image = read_volume(path, **read), nib.load(path)
    reference = nib.as_closest_canonical(image)
    np.testing.assert_array_equal(volume.data[0], reference.get_fdata(dtype=np.float32))
    np.testing.assert_allclose(volume.stored.affine, image.affine, atol=1e-6)
    assert (path.name, Path(image.file_map["image"].filename).name) == read_header(path).files


@pytest.mark.parametrize("big_endian", [False, True])
@pytest.mark.parametrize(
    "kind", [nib.Nifti1Pair, nib.Nifti2Pair, nib.AnalyzeImage, nib.Spm99AnalyzeImage, nib.Spm2AnalyzeImage]
)
@pytest.mark.parametrize("suffix", [".img", ".img.gz"])
def test_a_pair_is_one_volume(tmp_path: Path, kind: type, suffix: str, big_endian: bool) -> None:
    header = kind.header_class(endianness=">" if big_endian else "<")
    image = kind(DATA, None if "Analyze" in kind.__name__ else AFFINE, header)
    image.header.set_zooms((1, 2, 3))
    image.to_filename(tmp_path / f"a{suffix}")
    for mat in tmp_path.glob("*.mat"):
        mat.unlink()
    path = tmp_path / f"a{suffix.replace('img', 'hdr')}"
    assert identify(path) == "nifti"
    same_as_nibabel(path)
    flags = read_header(path).flags
    assert [flag.split(":")[0] for flag in flags if "unit" not in flag] == (
        ["ANALYZE"] if "Analyze" in kind.__name__ else []
    )
    manifest = scan(tmp_path, salt=b"the salt of the tests", jobs=1)
    assert manifest.column("path").tolist() == [path.name]
    assert manifest.column("status").tolist() == ["ok"]
    assert list(manifest.column("files")[0]) == [path.name, f"a{suffix}"]


def test_a_pair_of_which_one_is_missing_short_or_renamed_says_so(tmp_path: Path) -> None:
    nib.Nifti1Pair(DATA, AFFINE).to_filename(tmp_path / "a.img")
    content = (tmp_path / "a.img").read_bytes()
    (tmp_path / "b.nii").write_bytes((tmp_path / "a.hdr").read_bytes())
    (tmp_path / "a.img").write_bytes(content[:-1])
    for name, reason in (("a.hdr", "truncated file: 419 bytes"), ("b.nii", "under another name")):
        with pytest.raises(UnreadableError, match=reason):
            read_header(tmp_path / name)
    (tmp_path / "a.img").unlink()
    with pytest.raises(UnreadableError, match=r"\(.img\) is not next to it"):
        read_header(tmp_path / "a.hdr")


def test_an_orientation_that_an_analyze_header_claims_is_said_and_not_used(tmp_path: Path) -> None:
    nib.AnalyzeImage(DATA, None).to_filename(tmp_path / "a.img")
    content = bytearray((tmp_path / "a.hdr").read_bytes())
    content[252] = 2
    (tmp_path / "a.hdr").write_bytes(content)
    assert "orient states sagittal slices" in read_header(tmp_path / "a.hdr").flags[1]


@pytest.mark.parametrize("behind", [b"trailer", bytes(600), b"\x1f", b"\x1f\x8b\x00\x00", b"x" * 200_000])
def test_what_lies_behind_the_end_of_gzip_is_said_and_not_read(tmp_path: Path, behind: bytes) -> None:
    path = tmp_path / "a.nii.gz"
    image = nib.Nifti1Image(DATA, AFFINE)
    path.write_bytes(gzip.compress(image.to_bytes()) + behind)
    np.testing.assert_array_equal(read_volume(path).data[0], np.asarray(nib.as_closest_canonical(image).dataobj))
    assert f"{len(behind)} bytes behind the end of its gzip data: not read" in read_header(path).flags


def test_gzip_in_several_parts_is_one_file(tmp_path: Path) -> None:
    whole = nib.Nifti1Image(DATA, AFFINE).to_bytes()
    path = tmp_path / "a.nii.gz"
    path.write_bytes(b"".join(gzip.compress(whole[start : start + 100]) for start in range(0, len(whole), 100)))
    np.testing.assert_array_equal(
        read_volume(path).data[0], np.asarray(nib.as_closest_canonical(nib.load(path)).dataobj)
    )
    damaged = path.read_bytes()
    path.write_bytes(damaged[:-40])
    with pytest.raises(UnreadableError, match="damaged gzip file"):
        read_header(path)


@pytest.mark.parametrize("suffix", [".nii", ".nii.gz"])
def test_voxels_that_are_no_number_become_what_is_asked_for(tmp_path: Path, suffix: str) -> None:
    data = DATA.astype(np.float32)
    data[0] = np.nan
    path = tmp_path / f"a{suffix}"
    nib.save(nib.Nifti1Image(data, np.eye(4)), path)
    for nan, value in (("zero", 0), ("minimum", DATA[1:].min())):
        volume = read_volume(path, nan=nan)
        np.testing.assert_array_equal(volume.data[0], np.where(np.isnan(data), value, data))
        assert volume.filled == 42
    assert read_volume(path, nan="zero").data.dtype == np.float32
    nib.save(nib.Nifti1Image(np.full_like(data, np.nan), np.eye(4)), path)
    with pytest.raises(UnreadableError, match="every voxel is not a number"):
        read_volume(path, nan="zero")
    data[0], data[1:] = np.nan, 1
    nib.save(nib.Nifti1Image(data, np.eye(4)), path)
    with pytest.raises(UnreadableError, match="42 voxels of the label map are not a number"):
        read_labels(path, read_header(path).grid)


def test_a_header_that_states_two_widths_of_a_voxel_is_refused_where_the_file_has_the_other(tmp_path: Path) -> None:
    path = tmp_path / "a.nii"
    nib.save(nib.Nifti1Image(DATA, AFFINE), path)
    content = bytearray(path.read_bytes())
    struct.pack_into("<h", content, 72, 32)
    path.write_bytes(content)
    np.testing.assert_array_equal(
        read_volume(path).data[0], np.asarray(nib.as_closest_canonical(nib.load(path)).dataobj)
    )
    path.write_bytes(bytes(content) + DATA.tobytes())
    with pytest.raises(UnreadableError, match="voxels of int16, but 32 bits"):
        read_header(path)


def test_a_field_of_vectors_has_its_components_as_channels(tmp_path: Path) -> None:
    data = np.random.default_rng(0).standard_normal((3, 4, 5, 1, 3)).astype(np.float32)
    nib.save(nib.Nifti1Image(data, np.eye(4)), tmp_path / "a.nii")
    np.testing.assert_array_equal(read_volume(tmp_path / "a.nii").data, np.moveaxis(data[:, :, :, 0], -1, 0))


def test_without_an_offset_the_voxels_lie_behind_the_header(tmp_path: Path) -> None:
    path = tmp_path / "a.nii"
    nib.save(nib.Nifti1Image(DATA, AFFINE), path)
    expected = read_volume(path).data
    content = bytearray(path.read_bytes())
    struct.pack_into("<f", content, 108, 0.0)
    path.write_bytes(content)
    assert "no vox_offset: voxels taken as right behind the header" in read_header(path).flags
    np.testing.assert_array_equal(read_volume(path).data, expected)
