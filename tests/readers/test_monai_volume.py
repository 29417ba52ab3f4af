import gzip
from pathlib import Path

import nibabel as nib
import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from medcl.errors import UnreadableError
from medcl.readers import nifti
from medcl.readers.monai_volume import read_header, read_volume
from medcl.readers.volume import Volume

pytest.importorskip("itk", reason="the extra `formats` is not installed")

SHAPE = (3, 4, 5)
TYPES = {"uint8": "MET_UCHAR", "int16": "MET_SHORT", "uint16": "MET_USHORT", "float32": "MET_FLOAT"}
SPACES = {"left-posterior-superior": (-1, -1, 1), "RAS": (1, 1, 1), "LAS": (-1, 1, 1)}


def numbers(dtype: str = "int16", shape: tuple[int, ...] = SHAPE) -> np.ndarray:
    return np.random.default_rng(0).integers(0, 120, shape).astype(dtype)


def write_nrrd(path: Path, data: np.ndarray, affine: np.ndarray, space: str = "RAS", **changes: str | None) -> Path:
    """As the format's own description has it, without a library; a change to None takes a field out."""
    to = np.diag(SPACES[space]) @ affine[:3]
    vectors = " ".join("(" + ",".join(map(repr, map(float, to[:, axis]))) + ")" for axis in range(3))
    origin = ",".join(map(repr, map(float, to[:, 3])))
    fields: dict[str, str | None] = {
        "type": data.dtype.name.replace("float32", "float"),
        "dimension": str(data.ndim),
        "space": space,
    }
    fields |= {"sizes": " ".join(map(str, data.shape)), "space directions": vectors, "space origin": f"({origin})"}
    fields |= {"endian": "little", "encoding": "raw"}
    fields |= {name.replace("_", " "): value for name, value in changes.items()}
    text = "".join(f"{name}: {value}\n" for name, value in fields.items() if value is not None)
    voxels = data.tobytes(order="F")
    voxels = gzip.compress(voxels) if fields["encoding"] == "gzip" else voxels
    path.write_bytes(
        f"NRRD0004\n# a comment: of nobody\n{text}\n".encode() + (b"" if "data file" in fields else voxels)
    )
    if name := fields.get("data file"):
        (path.parent / Path(name).name).write_bytes(voxels)
    return path


def write_mha(path: Path, data: np.ndarray, affine: np.ndarray, **changes: str) -> Path:
    to = np.diag([-1, -1, 1]) @ affine[:3]
    spacing = np.linalg.norm(to[:, :3], axis=0)
    fields = {"ObjectType": "Image", "NDims": "3", "BinaryData": "True", "BinaryDataByteOrderMSB": "False"}
    fields |= {"TransformMatrix": " ".join(map(repr, map(float, (to[:, :3] / spacing).T.ravel())))}
    fields |= {"Offset": " ".join(map(repr, map(float, to[:, 3])))}
    fields |= {
        "ElementSpacing": " ".join(map(repr, map(float, spacing))),
        "DimSize": " ".join(map(str, data.shape[:3])),
    }
    fields |= {"ElementType": TYPES[data.dtype.name], **changes}
    fields["ElementDataFile"] = fields.pop("ElementDataFile", "LOCAL")
    text = "".join(f"{name} = {value}\n" for name, value in fields.items()).encode()
    voxels = data.tobytes(order="F")
    path.write_bytes(text + (voxels if fields["ElementDataFile"] == "LOCAL" else b""))
    if fields["ElementDataFile"] != "LOCAL":
        (path.parent / Path(fields["ElementDataFile"]).name).write_bytes(voxels)
    return path


def same(one: Volume, other: Volume) -> None:
    assert one.data.dtype == other.data.dtype
    np.testing.assert_array_equal(one.data, other.data)
    np.testing.assert_allclose(one.grid.affine, other.grid.affine, atol=1e-4)
    np.testing.assert_allclose(one.stored.affine, other.stored.affine, atol=1e-4)


@settings(max_examples=15, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    orientation=st.sampled_from(["RAS", "LPS", "LAS", "PIR", "SAL", "ILA", "ASR"]),
    turn=st.floats(-0.4, 0.4),
    dtype=st.sampled_from(sorted(TYPES)),
    space=st.sampled_from(sorted(SPACES)),
    encoding=st.sampled_from(["raw", "gzip"]),
)
def test_both_formats_are_what_nifti_is(
    tmp_path: Path, orientation: str, turn: float, dtype: str, space: str, encoding: str
) -> None:
    axes = nib.orientations.inv_ornt_aff(nib.orientations.axcodes2ornt(orientation), (1, 1, 1))[:3, :3].T
    rotation = np.array([[np.cos(turn), -np.sin(turn), 0], [np.sin(turn), np.cos(turn), 0], [0, 0, 1]])
    affine = np.eye(4)
    affine[:3, :3] = rotation @ axes @ np.diag([0.75, 2.0, 3.5])
    affine[:3, 3] = -20.5, 31.25, 7
    data = numbers(dtype)
    nib.save(nib.Nifti1Image(data, affine), tmp_path / "a.nii")
    expected = nifti.read_volume(tmp_path / "a.nii")
    for path in (
        write_nrrd(tmp_path / "a", data, affine, space, encoding=encoding),
        write_mha(tmp_path / "b", data, affine),
    ):
        same(read_volume(path), expected)
        header = read_header(path)
        assert (header.dtype, header.n_channels, header.unit, header.flags) == (dtype, 1, "stored", ())
        assert header.grid.shape == SHAPE
        assert header.format == ("nrrd" if path.name == "a" else "metaimage")


def test_voxels_in_a_file_beside_the_header(tmp_path: Path) -> None:
    data = numbers()
    expected = read_volume(write_mha(tmp_path / "whole.mha", data, np.eye(4)))
    for path in (
        write_mha(tmp_path / "a.mhd", data, np.eye(4), ElementDataFile="a.raw"),
        write_nrrd(tmp_path / "b.nhdr", data, np.eye(4), data_file="b.raw"),
    ):
        assert read_header(path).files == (path.name, f"{path.stem}.raw")
        same(read_volume(path, "HU"), expected)
        assert read_volume(path, "HU").unit == "HU"
        (tmp_path / f"{path.stem}.raw").unlink()
        with pytest.raises(UnreadableError, match="not beside it"):
            read_header(path)
    for path in (
        write_mha(tmp_path / "c.mhd", data, np.eye(4), ElementDataFile="../secret.raw"),
        write_mha(tmp_path / "d.mhd", data, np.eye(4), ElementDataFile="d%03d.raw 1 5 1"),
        write_nrrd(tmp_path / "e.nhdr", data, np.eye(4), data_file="/etc/hostname.raw"),
    ):
        with pytest.raises(UnreadableError, match="in several files or in another folder"):
            read_header(path)


def test_scaling_is_applied_and_vectors_are_refused(tmp_path: Path) -> None:
    data = numbers()
    slopes = {"ElementToIntensityFunctionSlope": "2.5", "ElementToIntensityFunctionOffset": "-3"}
    scaled = read_volume(write_mha(tmp_path / "a.mha", data, np.diag([-1.0, -1, 1, 1]), **slopes))
    np.testing.assert_array_equal(scaled.data[0, ::-1, ::-1], data * 2.5 - 3)
    vectors = write_nrrd(
        tmp_path / "b.nrrd",
        numbers(shape=(2, *SHAPE)),
        np.eye(4),
        space_directions="none (1,0,0) (0,1,0) (0,0,2)",
        kinds="vector domain domain domain",
    )
    with pytest.raises(UnreadableError, match="2 values a voxel"):
        read_header(vectors)


@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        ({"space_directions": "(1,0,0) (0,1,0) (0,0,0)"}, "not a finite"),
        ({"sizes": "3 4"}, "damaged header"),
        ({"sizes": "3 4 6"}, "damaged or truncated"),
        ({"encoding": "gzip", "sizes": "3 4 6"}, "damaged or truncated"),
        ({"type": "block"}, "damaged header"),
        ({"type": "int8"}, r"no signed bytes"),
    ],
)
def test_what_is_no_volume_is_refused_in_words(tmp_path: Path, changes: dict[str, str], reason: str) -> None:
    path = write_nrrd(tmp_path / "a.nrrd", numbers(), np.eye(4), **changes)
    with pytest.raises(UnreadableError, match=reason) as refused:
        read_volume(path)
    assert str(tmp_path) not in str(refused.value)


def test_files_that_end_early_or_hold_what_is_no_number_are_refused(tmp_path: Path) -> None:
    for write, name in ((write_nrrd, "a.nrrd"), (write_mha, "a.mha")):
        path = write(tmp_path / name, numbers(), np.eye(4))
        whole = path.read_bytes()
        path.write_bytes(whole[:-10])
        with pytest.raises(UnreadableError, match="truncated"):
            read_volume(path)
        path.write_bytes(whole[:40])
        with pytest.raises(UnreadableError):
            read_header(path)
        broken = numbers("float32")
        broken[0, 1, 2] = np.nan
        with pytest.raises(UnreadableError, match="1 of 60 voxels are not a number"):
            read_volume(write(path, broken, np.eye(4)))
    zero = write_mha(tmp_path / "z.mha", numbers(), np.eye(4), ElementSpacing="1 1 0")
    with pytest.raises(UnreadableError, match="zero spacing"):
        read_header(zero)
    flat = write_mha(tmp_path / "f.mha", numbers(), np.eye(4), NDims="2", TransformMatrix="1 0 0 1", DimSize="12 5")
    with pytest.raises(UnreadableError, match="2 axes"):
        read_header(flat)
    for slope in ("0", "much", "nan"):
        path = write_mha(tmp_path / "z.mha", numbers(), np.eye(4), ElementToIntensityFunctionSlope=slope)
        with pytest.raises(UnreadableError, match="elementtointensityfunctionslope"):
            read_volume(path)
    with pytest.raises(UnreadableError, match="cannot be read"):
        read_header(tmp_path / "gone.mha")


def test_a_space_that_is_not_stated_is_said(tmp_path: Path) -> None:
    path = tmp_path / "a.nrrd"
    head = "NRRD0004\ntype: int16\ndimension: 3\nsizes: 3 4 5\nspacings: 1 2 3\nendian: little\nencoding: raw\n\n"
    path.write_bytes(head.encode() + numbers().tobytes(order="F"))
    header = read_header(path)
    assert header.flags == ("no space: axes taken as LPS",)
    np.testing.assert_allclose(header.grid.spacing, [1, 2, 3])
    assert header.grid.orientation == "LPS"
