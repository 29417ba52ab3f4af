"""NIfTI: the same voxels at the same place as nibabel has them, and a reason for every file that is not read."""

import gzip
import struct
from pathlib import Path
from typing import Any

import nibabel as nib
import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from medcl.errors import MedclError, UnreadableError, UsageError
from medcl.modality.volume.formats.nifti import read_header, read_volume, write_like
from medcl.modality.volume.original import read_label_map as read_labels
from medcl.modality.volume.record import Grid, Volume
from tests.modality.volume.test_record import EVERY_ORIENTATION, grid_of

PROPERTY = settings(max_examples=40, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
TILT = np.array([[0.8, -0.6, 0, 0], [0.6, 0.8, 0, 0], [0, 0, 1, 0], [0, 0, 0, 1.0]])  # 36.9 degrees
TYPES = ["uint8", "int8", "int16", "uint16", "int32", "uint32", "int64", "uint64", "float32", "float64"]
DIM, DATATYPE, PIXDIM, OFFSET, SLOPE, UNITS, QFORM, SFORM, MAGIC = 40, 70, 76, 108, 112, 123, 252, 254, 344


def numbers(shape: tuple[int, ...] = (3, 4, 5), dtype: Any = np.int16, high: int = 100) -> np.ndarray:
    return np.random.default_rng(0).integers(0, high, shape).astype(dtype)


def write(
    path: Path, data: np.ndarray, affine: np.ndarray | None = None, slope: float = 1, inter: float = 0, **header: Any
) -> Path:
    """A file of exactly these numbers; `header`: fields to set."""
    image = nib.Nifti1Image(data, np.diag([1.5, 2, 3, 1]) if affine is None else affine, dtype=data.dtype)
    image.set_qform(image.affine, 1)
    image.header.set_xyzt_units("mm")
    image.header.set_slope_inter(slope, inter)
    content = bytearray(image.header.binaryblock) + bytes(4) + data.tobytes(order="F")
    struct.pack_into("<f", content, OFFSET, 352)
    path.write_bytes(content)
    for name, value in header.items():
        patch(path, *{"units": (UNITS, "<B"), "qform": (QFORM, "<h"), "sform": (SFORM, "<h")}[name], value)
    if path.suffix == ".gz":
        path.write_bytes(gzip.compress(path.read_bytes()))
    return path


def patch(path: Path, at: int, layout: str, *values: Any) -> Path:
    content = bytearray(path.read_bytes())
    struct.pack_into(layout, content, at, *values)
    path.write_bytes(content)
    return path


def refused(path: Path, reason: str) -> None:
    """For the same reason by header and by voxels."""
    for read in (read_header, read_volume):
        with pytest.raises(UnreadableError, match=reason):
            read(path)


@PROPERTY
@given(
    orientation=st.sampled_from(EVERY_ORIENTATION),
    dtype=st.sampled_from(TYPES),
    big_endian=st.booleans(),
    scale=st.sampled_from([(1, 0), (1, -1024), (0, 7), (2, 1), (0.37, -12.5), (-0.5, 0)]),
    channels=st.sampled_from([None, 1, 3]),
    tilted=st.booleans(),
    kind=st.sampled_from([nib.Nifti1Image, nib.Nifti2Image]),
)
def test_volumes_are_those_of_nibabel(
    tmp_path: Path, orientation: str, dtype: str, big_endian: bool, scale: tuple, channels: int, tilted: bool, kind: Any
) -> None:
    data = numbers((3, 4, 5) if channels is None else (3, 4, 5, channels), dtype)
    affine = (TILT if tilted else np.eye(4)) @ grid_of(orientation).affine
    header = kind.header_class(endianness=">" if big_endian else "<")
    image = kind(data, affine, header, dtype=dtype)
    image.header.set_xyzt_units("mm")
    path = tmp_path / "a.nii"
    nib.save(image, path)
    order, at, layout = (">" if big_endian else "<"), *((SLOPE, "ff") if kind is nib.Nifti1Image else (176, "dd"))
    patch(path, at, order + layout, *scale)

    about, volume = read_header(path), read_volume(path)

    loaded = nib.load(path)
    reference = nib.as_closest_canonical(loaded)
    expected = np.asarray(reference.dataobj).reshape(*reference.shape[:3], -1)
    np.testing.assert_array_equal(volume.data, np.moveaxis(expected, -1, 0).astype(volume.data.dtype))
    np.testing.assert_array_equal(volume.grid.affine, reference.affine)
    np.testing.assert_allclose(volume.grid.spacing, reference.header.get_zooms()[:3], rtol=1e-6)
    np.testing.assert_array_equal(about.grid.affine, loaded.affine)
    np.testing.assert_array_equal(volume.stored.affine, loaded.affine)
    assert about.grid.shape == loaded.shape[:3]
    assert (about.dtype, about.n_channels, about.flags) == (dtype, channels or 1, ())
    whole = dtype not in ("float32", "float64") and scale[0] in (0, 1, 2)
    assert volume.data.dtype == (np.int16 if whole else np.float32)


@PROPERTY
@given(
    orientation=st.sampled_from(EVERY_ORIENTATION),
    stored=st.sampled_from([bool, "int64", "float64"]),
    tilted=st.booleans(),
    suffix=st.sampled_from([".nii", ".nii.gz"]),
)
def test_a_mask_lies_on_its_volume_in_other_programs(
    tmp_path: Path, orientation: str, stored: Any, tilted: bool, suffix: str
) -> None:
    source = write(tmp_path / "a.nii.gz", numbers(), (TILT if tilted else np.eye(4)) @ grid_of(orientation).affine)
    volume = read_volume(source)
    bright = (volume.data[0] > 50).astype(stored)

    write_like(tmp_path / f"mask{suffix}", bright, volume)

    mask, image = nib.load(tmp_path / f"mask{suffix}"), nib.load(source)
    np.testing.assert_array_equal(np.asarray(mask.dataobj), np.asarray(image.dataobj) > 50)
    np.testing.assert_array_equal(mask.affine, image.affine)
    np.testing.assert_allclose(mask.get_qform(coded=True)[0], image.affine, atol=1e-5)
    assert mask.header.get_xyzt_units()[0] == "mm"
    assert mask.get_data_dtype() == (np.float32 if stored == "float64" else np.uint8)
    np.testing.assert_array_equal(read_labels(tmp_path / f"mask{suffix}", volume.grid), bright)
    np.testing.assert_array_equal(read_labels(tmp_path / f"mask{suffix}", volume.stored), bright)
    assert sorted(one.name for one in tmp_path.iterdir() if "partial" in one.name) == []


def test_real_volumes_and_their_label_maps(real_data: Path) -> None:
    folder = real_data / "hippocampus_msd"
    for path in sorted(folder.glob("images/*.nii.gz"))[:3]:
        volume, reference = read_volume(path), nib.as_closest_canonical(nib.load(path))
        np.testing.assert_array_equal(volume.data[0], np.asarray(reference.dataobj))
        np.testing.assert_array_equal(volume.grid.affine, reference.affine)
        assert read_header(path).flags == ()
        labels = read_labels(folder / "labels" / path.name, volume.grid)
        assert set(np.unique(labels)) == {0, 1, 2}


@pytest.mark.parametrize(
    ("dtype", "value", "kept"),
    [
        ("int16", -32768, "int16"),
        ("uint16", 32768, "float32"),
        ("int32", 32767, "int16"),
        ("int32", 1 << 20, "float32"),
    ],
)
def test_integers_stay_integers_where_they_fit(tmp_path: Path, dtype: str, value: int, kept: str) -> None:
    data = numbers(dtype=dtype)
    data[1, 2, 3] = value
    volume = read_volume(write(tmp_path / "a.nii", data), unit="HU")
    assert (volume.data.dtype, volume.data[0, 1, 2, 3], volume.unit) == (kept, value, "HU")


def test_what_scaling_takes_out_of_int16_is_float32(tmp_path: Path) -> None:
    data = numbers()
    volume = read_volume(write(tmp_path / "a.nii", data, slope=1000))
    assert volume.data.dtype == np.float32
    np.testing.assert_array_equal(volume.data[0], data.astype(np.float64) * 1000)


@pytest.mark.parametrize(("code", "factor", "flags"), [(1, 1000, 0), (2, 1, 0), (3, 1e-3, 0), (0, 1, 1), (10, 1, 0)])
def test_lengths_are_in_mm_whatever_the_file_has(tmp_path: Path, code: int, factor: float, flags: int) -> None:
    affine = np.diag([1.5, 2, 3, 1])
    affine[:3, 3] = 4, -5, 6
    header = read_header(write(tmp_path / "a.nii", numbers(), affine, units=code))
    np.testing.assert_allclose(header.grid.affine[:3], affine[:3] * factor)
    assert len(header.flags) == flags
    assert all("taken as mm" in flag for flag in header.flags)


def test_sform_then_qform_then_pixdim(tmp_path: Path) -> None:
    def reads(**codes: int) -> tuple[np.ndarray, tuple[str, ...]]:
        path = write(tmp_path / "a.nii", numbers(), **codes)
        patch(path, 268, "<f", 12.0)  # qoffset_x
        header = read_header(path)
        np.testing.assert_array_equal(header.grid.affine, nib.load(path).affine)
        return header.grid.affine[:3, 3], header.flags

    origin, flags = reads()
    assert (origin[0], flags) == (0, ("sform and qform disagree by up to 12 mm: sform taken",))
    origin, flags = reads(sform=0)
    assert (origin[0], flags) == (12, ())
    assert reads(qform=0)[1] == ()
    assert "neither sform nor qform" in reads(sform=0, qform=0)[1][0]


def test_a_spacing_that_sform_does_not_share_and_a_broken_quaternion_are_flagged(tmp_path: Path) -> None:
    path = patch(write(tmp_path / "a.nii", numbers(), qform=0), PIXDIM + 4, "<f", 1.0)
    assert read_header(path).flags == ("pixdim states a spacing of 1 x 2 x 3 mm, sform 1.5 x 2 x 3: sform taken",)
    path = patch(write(tmp_path / "b.nii", numbers()), 256, "<fff", 2.0, 0.0, 0.0)
    assert "broken qform" in read_header(path).flags[0]


def test_qform_without_handedness_and_with_a_negative_spacing_is_read_as_nibabel_reads_it(tmp_path: Path) -> None:
    path = patch(write(tmp_path / "a.nii", numbers(), sform=0), PIXDIM, "<ff", 0.0, -1.5)
    header = read_header(path)
    assert header.flags == ("negative pixdim: its sign is ignored",)
    np.testing.assert_array_equal(header.grid.affine, nib.load(path).affine)
    np.testing.assert_allclose(header.grid.affine, np.diag([1.5, 2, 3, 1]))


def test_the_content_says_whether_it_is_gzip(tmp_path: Path) -> None:
    data = numbers()
    packed = write(tmp_path / "a.nii.gz", data)
    (tmp_path / "packed.nii").write_bytes(packed.read_bytes())
    (tmp_path / "plain.nii.gz").write_bytes(gzip.decompress(packed.read_bytes()))
    for name in ("packed.nii", "plain.nii.gz"):
        np.testing.assert_array_equal(read_volume(tmp_path / name).data[0], data)
        assert read_header(tmp_path / name).files == (name,)


def test_bytes_behind_the_voxels_are_flagged(tmp_path: Path) -> None:
    data = numbers()
    for name in ("a.nii", "a.nii.gz"):
        path = write(tmp_path / name, data)
        more = bytes(7) if name == "a.nii" else gzip.compress(bytes(7))
        path.write_bytes(path.read_bytes() + more)
        assert read_header(path).flags == ("7 bytes after the last voxel: not read",)
        np.testing.assert_array_equal(read_volume(path).data[0], data)


def test_names_in_the_free_text_are_not_read(tmp_path: Path) -> None:
    path = patch(write(tmp_path / "a.nii", numbers()), 148, "<80s", b"MEIER^ANNA 19610402")
    assert "MEIER" not in repr(read_header(path))


def test_a_gzip_file_that_ends_early_or_was_altered_is_refused(tmp_path: Path) -> None:
    path = write(tmp_path / "a.nii.gz", numbers((16, 16, 16)))
    content = path.read_bytes()
    for length in (5, 100, len(content) // 2, len(content) - 1):
        path.write_bytes(content[:length])
        refused(path, "damaged gzip|truncated")
    content = write(path, numbers((32, 32, 32))).read_bytes()
    altered = bytearray(content)
    altered[-8] ^= 1  # of the checksum
    path.write_bytes(altered)
    assert read_header(path).grid.shape == (32, 32, 32)  # nothing is unpacked where the length is right
    with pytest.raises(UnreadableError, match="damaged gzip"):
        read_volume(path)
    lying = patch(write(tmp_path / "b.nii", numbers()), DIM, "<4h", 3, 32767, 32767, 32767)
    path.write_bytes(gzip.compress(lying.read_bytes()))
    refused(path, "cannot hold")
    path.write_bytes(gzip.compress(write(tmp_path / "b.nii", numbers()).read_bytes()[:-1]))
    refused(path, "truncated file: 471 bytes, its header promises 472")


def test_a_file_that_ends_early_is_refused(tmp_path: Path) -> None:
    path = write(tmp_path / "a.nii", numbers())
    content = path.read_bytes()
    for length, reason in ((len(content) - 1, "471 bytes, its header promises 472"), (200, "within its header")):
        path.write_bytes(content[:length])
        refused(path, reason)
    refused(tmp_path / "missing.nii", "cannot be read")


@pytest.mark.parametrize(
    ("shape", "reason"),
    [((3, 4), "2 axes"), ((3, 4, 5, 2, 2), "5 axes"), ((0, 4, 5), "without voxels"), ((3, 4, 5, 0), "without voxels")],
)
def test_other_than_three_axes_and_channels_are_refused(tmp_path: Path, shape: tuple, reason: str) -> None:
    path = write(tmp_path / "a.nii", numbers())
    refused(patch(path, DIM, f"<{len(shape) + 1}h", len(shape), *shape), reason)


def test_trailing_axes_of_one_are_none(tmp_path: Path) -> None:
    path = patch(write(tmp_path / "a.nii", numbers((3, 4, 5, 2))), DIM, "<7h", 6, 3, 4, 5, 2, 1, 1)
    assert read_volume(path).data.shape == (2, 3, 4, 5)


@pytest.mark.parametrize(
    ("at", "layout", "value", "reason"),
    [
        (MAGIC, "<4s", b"ni1\0", "a pair of .hdr and .img, under another name"),
        (MAGIC, "<4s", bytes(4), "a pair of .hdr and .img, under another name"),
        (0, "<i", 349, "not a NIfTI file"),
        (DIM, "<h", 9, "9 axes"),
        (DATATYPE, "<h", 128, "RGB"),
        (DATATYPE, "<h", 32, "complex64"),
        (DATATYPE, "<h", 999, "damaged header"),
        (OFFSET, "<f", 100.0, "within the header"),
        (OFFSET, "<f", float("nan"), "within the header"),
        (SLOPE + 4, "<f", float("inf"), "damaged header"),
        (280, "<f", 0.0, "zero spacing"),  # srow_x
    ],
)
def test_a_header_that_cannot_be_meant_is_refused(
    tmp_path: Path, at: int, layout: str, value: Any, reason: str
) -> None:
    refused(patch(write(tmp_path / "a.nii", numbers()), at, layout, value), reason)


def test_a_spacing_of_zero_is_not_taken_as_one(tmp_path: Path) -> None:
    for qform in (0, 1):
        path = write(tmp_path / "a.nii", numbers(), sform=0, qform=qform)
        refused(patch(path, PIXDIM + 8, "<f", 0.0), "zero spacing")


def test_what_is_not_nifti_is_refused_whatever_its_name(tmp_path: Path) -> None:
    for content in (b"", b"\x1f\x8b", b"patient,age\n" * 100, b"\x89PNG\r\n" + bytes(600)):
        (tmp_path / "a.nii").write_bytes(content)
        refused(tmp_path / "a.nii", "not a NIfTI|damaged gzip")


def test_voxels_that_are_no_number_are_counted(tmp_path: Path) -> None:
    data = numbers(dtype=np.float32)
    data[0, 0, :2] = np.nan
    path = write(tmp_path / "a.nii", data)
    with pytest.raises(UnreadableError, match=r"2 of 60 voxels are not a number \(NaN\): data.nan=zero or"):
        read_volume(path)
    data[1, 0, 0] = np.inf
    for nan in ("refuse", "zero", "minimum"):
        with pytest.raises(UnreadableError, match="1 of 60 voxels are infinite"):
            read_volume(write(tmp_path / "a.nii", data), nan=nan)
    with pytest.raises(UnreadableError, match="60 voxels are beyond"):
        read_volume(write(tmp_path / "a.nii", np.full((3, 4, 5), 1e300)))


def test_a_label_map_of_another_grid_is_refused_with_the_difference(tmp_path: Path) -> None:
    grid = read_volume(write(tmp_path / "a.nii", numbers())).grid

    def refused_for(reason: str, affine: np.ndarray | None = None, shape: tuple = (3, 4, 5)) -> None:
        with pytest.raises(UnreadableError, match=reason):
            read_labels(write(tmp_path / "mask.nii", numbers(shape), affine), grid)

    base = np.diag([1.5, 2, 3, 1])
    moved = base.copy()
    moved[2, 3] = 0.25
    refused_for(r"\(3, 4, 6\) voxels .* \(3, 4, 5\)", shape=(3, 4, 6))
    refused_for("up to 2 mm beside its volume .spacing by 0.5 mm.", np.diag([1.5, 2, 3.5, 1]))
    refused_for("up to 0.25 mm beside its volume .origin by 0.25 mm.", moved)
    refused_for("axes by 36.9 degrees", TILT @ base)
    refused_for("2 channels", shape=(3, 4, 5, 2))
    moved[2, 3] = 1e-4
    assert read_labels(write(tmp_path / "mask.nii", numbers(), moved), grid).dtype == np.int16


def test_a_label_map_may_be_stored_on_other_axes_than_its_volume(tmp_path: Path) -> None:
    path = write(tmp_path / "mask.nii", numbers(), grid_of("LPS").affine)
    canonical = nib.as_closest_canonical(nib.load(path))
    labels = read_labels(path, Grid((3, 4, 5), canonical.affine))
    np.testing.assert_array_equal(labels, np.asarray(canonical.dataobj))


def test_labels_are_whole_numbers(tmp_path: Path) -> None:
    grid = read_volume(write(tmp_path / "a.nii", numbers())).grid
    path = tmp_path / "mask.nii"
    soft = numbers(dtype=np.float32, high=3)
    soft[0, 0, :2] = 0.5
    with pytest.raises(UnreadableError, match="2 voxels of the label map are not whole"):
        read_labels(write(path, soft), grid)
    with pytest.raises(UnreadableError, match="do not fit into int16"):
        read_labels(write(path, numbers(dtype=np.int32, high=100000)), grid)
    scaled = numbers(dtype=np.uint8, high=2) * 255
    np.testing.assert_array_equal(read_labels(write(path, scaled, slope=1 / 255), grid), scaled // 255)


def test_an_empty_label_map_is_read_only_where_that_is_meant(tmp_path: Path) -> None:
    path = write(tmp_path / "mask.nii", np.zeros((3, 4, 5), np.uint8))
    grid = read_header(path).grid
    with pytest.raises(UnreadableError, match="empty label map"):
        read_labels(path, grid)
    assert not read_labels(path, grid, allow_empty=True).any()


@pytest.mark.parametrize(
    ("low", "high", "dtype"),
    [(0, 255, "uint8"), (-1, 4, "int8"), (0, 40000, "uint16"), (-1, 300, "int16"), (0, 1 << 40, "int64")],
)
def test_a_mask_takes_the_smallest_integers_that_hold_it(tmp_path: Path, low: int, high: int, dtype: str) -> None:
    data = np.zeros((3, 4, 5), np.int64)
    data[0, 0, :2] = low, high
    write_like(tmp_path / "mask.nii", data, Volume.of(numbers()[None], grid_of("LAS"), "HU"))
    mask = nib.load(tmp_path / "mask.nii")
    assert (mask.get_data_dtype(), np.asarray(mask.dataobj).min(), np.asarray(mask.dataobj).max()) == (dtype, low, high)


def test_a_grid_that_no_quaternion_expresses_has_only_an_sform(tmp_path: Path) -> None:
    sheared = np.array([[1, 0.3, 0, 5], [0, 1, 0, 6], [0, 0, 2, 7], [0, 0, 0, 1.0]])
    volume = Volume.of(numbers()[None], Grid((3, 4, 5), sheared), "HU")
    write_like(tmp_path / "mask.nii.gz", volume.data[0], volume)
    mask = nib.load(tmp_path / "mask.nii.gz")
    assert mask.get_qform(coded=True)[1] == 0
    np.testing.assert_allclose(mask.affine, sheared, atol=1e-6)
    np.testing.assert_array_equal(read_labels(tmp_path / "mask.nii.gz", volume.grid), volume.data[0])


def test_an_axis_longer_than_nifti_1_counts_is_written_as_nifti_2(tmp_path: Path) -> None:
    volume = Volume.of(numbers((1, 40000, 1, 1)), Grid((40000, 1, 1), np.eye(4)), "stored")
    write_like(tmp_path / "mask.nii", volume.data[0], volume)
    assert read_header(tmp_path / "mask.nii").grid.shape == (40000, 1, 1)


def test_a_mask_is_written_whole_or_not_at_all(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    volume = Volume.of(numbers()[None], grid_of("LAS"), "HU")
    path = tmp_path / "mask.nii.gz"
    write_like(path, volume.data[0], volume)
    before = path.read_bytes()
    write_like(path, volume.data[0], volume)
    assert path.read_bytes() == before
    assert before[4:8] == bytes(4)  # no time of writing

    def full(source: Path, target: Path) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("os.replace", full)
    with pytest.raises(MedclError, match="cannot be written: the disk is full"):
        write_like(path, volume.data[0] * 0, volume)
    assert [one.name for one in tmp_path.iterdir()] == ["mask.nii.gz"]
    assert path.read_bytes() == before


def test_what_cannot_be_written_is_said(tmp_path: Path) -> None:
    volume = Volume.of(numbers()[None], grid_of("LAS"), "HU")
    soft = np.ones((3, 4, 5))
    soft[0, 0, 0] = np.nan
    for name, data, reason in (
        ("mask.mha", soft, "named .nii"),
        ("mask.nii", np.ones((3, 4, 6), np.uint8), "does not fit"),
        ("mask.nii", np.ones((0, 4, 5), np.uint8), "does not fit"),
        ("mask.nii", soft, "1 numbers of the map are not finite"),
        ("mask.nii", np.ones((3, 4, 5), complex), "not of complex128"),
    ):
        with pytest.raises(UsageError, match=reason):
            write_like(tmp_path / name, data, volume)
    (tmp_path / "a file").write_text("")
    with pytest.raises(MedclError, match="cannot be written"):
        write_like(tmp_path / "a file" / "mask.nii", volume.data[0], volume)
    assert [one.name for one in tmp_path.iterdir()] == ["a file"]
