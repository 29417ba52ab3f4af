import bz2
import gzip
import zlib
from pathlib import Path

import nibabel as nib
import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from medcl.errors import UnreadableError
from medcl.modality.formats import identify
from medcl.modality.formats import read_header as header_of
from medcl.modality.formats import read_volume as volume_of
from medcl.modality.volume.formats import nifti
from medcl.modality.volume.record import Volume, VolumeHeader

SHAPE = (3, 4, 5)
TYPES = {"uint8": "MET_UCHAR", "int16": "MET_SHORT", "uint16": "MET_USHORT", "float32": "MET_FLOAT"}
SPACES = {"left-posterior-superior": (-1, -1, 1), "RAS": (1, 1, 1), "LAS": (-1, 1, 1)}


def read_header(path: Path) -> VolumeHeader:
    header = header_of(path, str(identify(path)))
    assert isinstance(header, VolumeHeader)
    return header


def read_volume(path: Path, unit: str = "stored", nan: str = "refuse") -> Volume:
    return volume_of(path, str(identify(path)), unit, nan)


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
        with pytest.raises(UnreadableError, match="not next to it"):
            read_header(path)
    for path in (
        write_mha(tmp_path / "c.mhd", data, np.eye(4), ElementDataFile="../secret.raw"),
        write_mha(tmp_path / "d.mhd", data, np.eye(4), ElementDataFile="../d%03d.raw 1 5 1"),
        write_mha(tmp_path / "f.mhd", data, np.eye(4), ElementDataFile="C:secret.raw"),
        write_nrrd(tmp_path / "e.nhdr", data, np.eye(4), data_file="/etc/hostname.raw"),
    ):
        with pytest.raises(UnreadableError, match="outside of its folder"):
            read_header(path)


def test_scaling_is_applied(tmp_path: Path) -> None:
    data = numbers()
    slopes = {"ElementToIntensityFunctionSlope": "2.5", "ElementToIntensityFunctionOffset": "-3"}
    scaled = read_volume(write_mha(tmp_path / "a.mha", data, np.diag([-1.0, -1, 1, 1]), **slopes))
    np.testing.assert_array_equal(scaled.data[0, ::-1, ::-1], data * 2.5 - 3)


@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        ({"space_directions": "(1,0,0) (0,1,0) (0,0,0)"}, "zero spacing"),
        ({"space_directions": "(1,0,0) (0,1,0) (0,0,x)"}, "damaged header: a vector"),
        ({"space_directions": "(1,0) (0,1) (1,1)"}, "other than 3 dimensions"),
        ({"space_directions": None}, "no spacing"),
        ({"sizes": "3 4"}, "damaged header: its dimension"),
        ({"sizes": "3 4 x"}, "damaged header: its sizes are not whole"),
        ({"sizes": "3 4 0"}, "an axis without voxels"),
        ({"sizes": "3 4 -5"}, "an axis without voxels"),
        ({"sizes": "99999999 99999999 99999999"}, "more voxels than any file holds"),
        ({"sizes": "3 4 6"}, "truncated file: .* promises"),
        ({"encoding": "gzip", "sizes": "3 4 6"}, "truncated file: 120 bytes, its header promises 144"),
        ({"encoding": "gzip", "sizes": "3 4 60000"}, "bytes of gzip cannot hold the"),
        ({"encoding": "ascii", "sizes": "3 4 600"}, "truncated file: .* promises"),
        ({"encoding": "zrle"}, "no encoding"),
        ({"endian": None}, "no endian"),
        ({"type": "block"}, "damaged header: no type"),
        ({"byte_skip": "-2"}, "byte skip"),
        ({"byte_skip": "99999999"}, "truncated file"),
        ({"line_skip": "99"}, "truncated file: it has fewer lines"),
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
        with pytest.raises(UnreadableError, match="(?i)ElementToIntensityFunctionSlope"):
            read_volume(path)
    for form in ("nrrd", "metaimage", "mgh"):
        with pytest.raises(UnreadableError, match="cannot be read: not found"):
            header_of(tmp_path / "gone.mha", form)


def test_a_space_that_is_not_stated_is_said(tmp_path: Path) -> None:
    path = tmp_path / "a.nrrd"
    head = "NRRD0004\ntype: int16\ndimension: 3\nsizes: 3 4 5\nspacings: 1 2 3\nendian: little\nencoding: raw\n\n"
    path.write_bytes(head.encode() + numbers().tobytes(order="F"))
    header = read_header(path)
    assert header.flags == ("no space: axes taken as LPS",)
    np.testing.assert_allclose(header.grid.spacing, [1, 2, 3])
    assert header.grid.orientation == "LPS"
    ends = head.replace("spacings: 1 2 3", "axis mins: 10 20 30\naxis maxs: 13 24 35")
    for centres, first, spacing in (("", 0.5, [1, 1, 1]), ("centers: node node node\n", 0, [1.5, 4 / 3, 1.25])):
        path.write_bytes((ends[:-1] + centres + "\n").encode() + numbers().tobytes(order="F"))
        header = read_header(path)
        np.testing.assert_allclose(header.grid.spacing, spacing)
        np.testing.assert_allclose(header.grid.affine[:3, 3], np.array([-10 - first, -20 - first, 30 + first]))
    path.write_bytes(head.replace("dimension: 3", "dimension: 3\nspace: RAS").encode() + numbers().tobytes(order="F"))
    assert read_header(path).flags == ("no space directions: axes taken as those of its space",)
    assert read_header(path).grid.orientation == "RAS"


TO_MM = {
    "nm": 1e-6,
    "um": 1e-3,
    "\N{MICRO SIGN}m": 1e-3,
    "\N{GREEK SMALL LETTER MU}m": 1e-3,
    "mm": 1,
    "cm": 10,
    "m": 1e3,
}
PLACED = np.array([[0, 0, -3.0, 10], [-1, 0, 0, 20], [0, 2, 0, 30], [0, 0, 0, 1]])


@pytest.mark.parametrize("unit", TO_MM)
def test_lengths_are_in_mm_whatever_unit_the_header_states(tmp_path: Path, unit: str) -> None:
    expected = PLACED.copy()
    expected[:3] *= TO_MM[unit]
    units = " ".join([f'"{unit}"'] * 3)
    volumes = [write_nrrd(tmp_path / "a.nrrd", numbers(), PLACED, space_units=units)]
    if unit in ("um", "mm", "cm"):
        volumes.append(write_mha(tmp_path / "a.mha", numbers(), PLACED, DistanceUnits=unit))
    for path in volumes:
        header = read_header(path)
        np.testing.assert_allclose(header.grid.affine, expected, rtol=1e-12)
        assert header.flags == ()
    path = write_nrrd(tmp_path / "b.nrrd", numbers(), PLACED, space_directions=None, spacings="1 2 3", units=units)
    np.testing.assert_allclose(read_header(path).grid.spacing, np.array([1, 2, 3]) * TO_MM[unit], rtol=1e-12)


def test_a_unit_that_is_not_known_is_said_and_not_quoted(tmp_path: Path) -> None:
    for path in (
        write_nrrd(tmp_path / "a.nrrd", numbers(), PLACED, space_units='"Anna" "Anna" "Anna"'),
        write_mha(tmp_path / "a.mha", numbers(), PLACED, DistanceUnits="Anna"),
    ):
        assert read_header(path).flags == ("a unit of length that is not known: taken as mm",)


@pytest.mark.parametrize("order", ["little", "big"])
@pytest.mark.parametrize("encoding", ["raw", "gzip", "bzip2", "ascii", "hex"])
@pytest.mark.parametrize(
    "dtype", ["int8", "uint8", "int16", "uint16", "int32", "uint32", "int64", "float32", "float64"]
)
def test_every_type_in_every_encoding_has_its_values(tmp_path: Path, dtype: str, encoding: str, order: str) -> None:
    data = numbers(dtype)
    values = data if dtype[0] == "u" else data - data.dtype.type(60)
    stored = values.astype(values.dtype.newbyteorder("<" if order == "little" else ">")).tobytes(order="F")
    packed = {
        "raw": bytes,
        "gzip": gzip.compress,
        "bzip2": bz2.compress,
        "ascii": lambda _: " ".join(map(str, values.ravel(order="F"))).encode(),
        "hex": lambda content: content.hex().encode(),
    }[encoding](stored)
    kind = {"float32": "float", "float64": "double"}.get(dtype, dtype)
    head = f"NRRD0005\ntype: {kind}\ndimension: 3\nspace: RAS\nsizes: 3 4 5\nendian: {order}\nencoding: {encoding}\n"
    head += "space directions: (1,0,0) (0,1,0) (0,0,1)\nspace origin: (0,0,0)\nname:=Anna Meier\n\n"
    (tmp_path / "a.nrrd").write_bytes(head.encode() + packed)
    volume = read_volume(tmp_path / "a.nrrd")
    np.testing.assert_array_equal(volume.data[0], values)
    assert (read_header(tmp_path / "a.nrrd").dtype, volume.data.dtype) == (
        dtype,
        np.float32 if dtype[0] == "f" else np.int16,
    )


@pytest.mark.parametrize("way", ["raw", "big", "zlib", "gzip", "text"])
@pytest.mark.parametrize("kind", ["MET_CHAR", "MET_UCHAR", "MET_SHORT", "MET_LONG", "MET_LONG_LONG", "MET_DOUBLE"])
def test_a_metaimage_in_every_way_of_writing_has_its_values(tmp_path: Path, kind: str, way: str) -> None:
    dtype = {"MET_CHAR": "i1", "MET_UCHAR": "u1", "MET_SHORT": "i2", "MET_LONG": "i4", "MET_LONG_LONG": "i8"}
    values = numbers(dtype.get(kind, "f8"))
    stored = values.astype(values.dtype.newbyteorder(">" if way == "big" else "<")).tobytes(order="F")
    fields = {"BinaryDataByteOrderMSB": str(way == "big"), "BinaryData": str(way != "text")}
    if way in ("zlib", "gzip"):
        stored = zlib.compress(stored) if way == "zlib" else gzip.compress(stored)
        fields |= {"CompressedData": "True", "CompressedDataSize": str(len(stored))}
    if way == "text":
        stored = " ".join(map(str, values.ravel(order="F"))).encode()
    path = write_mha(tmp_path / "a.mha", numbers(), np.diag([-1, -1, 1, 1]), ElementType=kind, **fields)
    path.write_bytes(path.read_bytes().partition(b"LOCAL\n")[0] + b"LOCAL\n" + stored)
    np.testing.assert_array_equal(read_volume(path).data[0, ::-1, ::-1], values)
    path.write_bytes(path.read_bytes()[: -len(stored) // 2])
    with pytest.raises(UnreadableError, match="truncated"):
        (read_volume if way == "text" else read_header)(path)


@pytest.mark.parametrize("first", [True, False])
def test_values_of_a_voxel_are_channels_wherever_their_axis_is(tmp_path: Path, first: bool) -> None:
    data = numbers(shape=(2, *SHAPE))
    stored = data if first else np.moveaxis(data, 0, -1)
    axes = ["(1,0,0)", "(0,1,0)", "(0,0,2)"]
    axes.insert(0 if first else 3, "none")
    path = write_nrrd(tmp_path / "a.nrrd", stored, np.eye(4), space_directions=" ".join(axes))
    assert read_header(path).n_channels == 2
    np.testing.assert_array_equal(read_volume(path).data, data)
    fields = {"ElementNumberOfChannels": "2"} if first else {"NDims": "4", "DimSize": "3 4 5 2"}
    if not first:
        fields |= {
            "ElementSpacing": "1 1 1 1",
            "Offset": "0 0 0 0",
            "TransformMatrix": "-1 0 0 0 0 -1 0 0 0 0 1 0 0 0 0 1",
        }
    path = write_mha(tmp_path / "a.mha", stored, np.diag([-1, -1, 1, 1]), **fields)
    path.write_bytes(path.read_bytes().replace(b"DimSize = 2 3 4", b"DimSize = 3 4 5"))
    np.testing.assert_array_equal(read_volume(path).data, data if not first else data[:, ::-1, ::-1])


@pytest.mark.parametrize("kind", ["RGB-color", "complex", "4-color"])
def test_colours_and_complex_numbers_are_refused(tmp_path: Path, kind: str) -> None:
    colours = write_nrrd(
        tmp_path / "b.nrrd",
        numbers(shape=(2, *SHAPE)),
        np.eye(4),
        space_directions="none (1,0,0) (0,1,0) (0,0,2)",
        kinds=f"{kind} domain domain domain",
    )
    with pytest.raises(UnreadableError, match="voxels that are"):
        read_header(colours)


@pytest.mark.parametrize("named", ["LIST", "slice%03d.raw 1 5 1", "slice%03d.raw 1 5"])
def test_voxels_may_be_in_several_files_beside_the_header(tmp_path: Path, named: str) -> None:
    data = numbers()
    expected = read_volume(write_mha(tmp_path / "whole.mha", data, np.eye(4)))
    names = [f"slice{number:03d}.raw" for number in range(1, 6)]
    mhd = write_mha(tmp_path / "a.mhd", data, np.eye(4), ElementDataFile=named)
    nhdr = write_nrrd(tmp_path / "a.nhdr", data, np.eye(4), data_file=named)
    if named == "LIST":
        for path in (mhd, nhdr):
            path.write_bytes(path.read_bytes().rstrip(b"\n") + b"\n" + "\n".join(names).encode())
    for name, one in zip(names, np.moveaxis(data, 2, 0), strict=True):
        (tmp_path / name).write_bytes(one.tobytes(order="F"))
    for path in (mhd, nhdr):
        assert read_header(path).files == (path.name, *names)
        same(read_volume(path), expected)
    (tmp_path / names[2]).unlink()
    with pytest.raises(UnreadableError, match="not next to it"):
        read_header(mhd)
    many = write_mha(tmp_path / "many.mhd", data, np.eye(4), ElementDataFile="slice%03d.raw 1 999999999 1")
    with pytest.raises(UnreadableError, match="999999999 files of voxels"):
        read_header(many)


def test_what_is_left_out_before_the_voxels(tmp_path: Path) -> None:
    data = numbers()
    expected = read_volume(write_mha(tmp_path / "whole.mha", data, np.eye(4)))
    raw = data.tobytes(order="F")
    for name, content, field in (
        ("a.mhd", bytes(7) + raw, {"HeaderSize": "7"}),
        ("b.mhd", bytes(9) + raw, {"HeaderSize": "-1"}),
        ("c.nhdr", bytes(7) + raw, {"byte_skip": "7"}),
        ("d.nhdr", bytes(9) + raw, {"byte_skip": "-1"}),
        ("e.nhdr", b"one\ntwo\n" + raw, {"line_skip": "2"}),
    ):
        write = write_mha if name.endswith("mhd") else write_nrrd
        beside = {"ElementDataFile" if name.endswith("mhd") else "data_file": "x.raw"}
        path = write(tmp_path / name, data, np.eye(4), **field, **beside)
        (tmp_path / "x.raw").write_bytes(content)
        same(read_volume(path), expected)


def test_directions_that_a_header_states_twice(tmp_path: Path) -> None:
    right = write_mha(tmp_path / "a.mha", numbers(), np.diag([-1.0, -1, 1, 1]), AnatomicalOrientation="RAI")
    assert read_header(right).flags == ()
    wrong = write_mha(tmp_path / "b.mha", numbers(), np.diag([-1.0, -1, 1, 1]), AnatomicalOrientation="ASL")
    assert read_header(wrong).flags == ("AnatomicalOrientation and TransformMatrix disagree: TransformMatrix taken",)
    content = wrong.read_bytes()
    matrix = content[content.index(b"TransformMatrix") : content.index(b"Offset")]
    wrong.write_bytes(content.replace(matrix, b""))
    header = read_header(wrong)
    assert header.grid.orientation == "PIR"
    assert header.flags == ("no TransformMatrix: axes taken as AnatomicalOrientation says",)
    twice = write_nrrd(tmp_path / "c.nrrd", numbers(), PLACED, spacings="1 2 4")
    assert read_header(twice).flags == ("spacings and space directions disagree: space directions taken",)
    assert read_header(write_nrrd(tmp_path / "c.nrrd", numbers(), PLACED, spacings="1 2 3")).flags == ()


def test_a_space_that_does_not_say_where_the_patient_lies_is_said(tmp_path: Path) -> None:
    path = write_nrrd(tmp_path / "a.nrrd", numbers(), np.diag([-1.0, -1, 1, 1]))
    path.write_bytes(path.read_bytes().replace(b"space: RAS", b"space: scanner-xyz"))
    header = read_header(path)
    assert header.flags == ("its space does not say where the patient lies: axes taken as LPS",)
    np.testing.assert_allclose(header.grid.affine, np.diag([1, 1, 1, 1]), atol=1e-9)


def test_names_in_the_free_text_are_not_kept(tmp_path: Path) -> None:
    nrrd = write_nrrd(tmp_path / "a.nrrd", numbers(), PLACED, content="Anna Meier")
    mha = write_mha(tmp_path / "a.mha", numbers(), PLACED, Comment="Anna Meier", ID="Meier")
    for path in (nrrd, mha):
        assert "Meier" not in repr(read_header(path))
        path.write_bytes(path.read_bytes().replace(b"3 4 5", b"3 Anna 5"))
        with pytest.raises(UnreadableError) as refused:
            read_header(path)
        assert "Anna" not in str(refused.value)


@pytest.mark.parametrize("line", [b"# x\n", b"x"])
def test_a_header_without_an_end_is_refused_in_little_time(tmp_path: Path, line: bytes) -> None:
    path = tmp_path / "a.nrrd"
    path.write_bytes(b"NRRD0004\n" + line * (5 << 20))
    with pytest.raises(UnreadableError, match="its text does not end"):
        read_header(path)


def test_a_long_header_and_one_without_a_blank_line_are_read(tmp_path: Path) -> None:
    data = numbers()
    path = write_nrrd(tmp_path / "a.nrrd", data, PLACED)
    expected = read_volume(path)
    long = b"".join(b"Segment%d_Name:=%s\n" % (number, b"x" * 90) for number in range(900))
    path.write_bytes(path.read_bytes().replace(b"# a comment: of nobody\n", long))
    same(read_volume(path), expected)
    detached = write_nrrd(tmp_path / "b.nhdr", data, PLACED, data_file="b.raw")
    detached.write_bytes(detached.read_bytes().rstrip(b"\n"))
    same(read_volume(detached), expected)
