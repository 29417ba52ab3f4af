"""Files that are whole though they are not written as the standard, or they themselves, say."""

import io
from pathlib import Path

import numpy as np
import pytest
from pydicom.dataset import Dataset
from pydicom.encaps import encapsulate
from pydicom.filebase import DicomBytesIO
from pydicom.filewriter import write_dataset, write_file_meta_info
from pydicom.uid import (
    ExplicitVRBigEndian,
    ExplicitVRLittleEndian,
    ImplicitVRLittleEndian,
    JPEG2000Lossless,
    JPEGBaseline8Bit,
    RLELossless,
)

from medcl.archive.scan import scan
from medcl.modality.dicom.pixels import read_frames
from medcl.modality.dicom.slice import read_slices
from medcl.modality.formats import read_image
from tests.modality.dicom.dicom_files import dataset, enhanced, pixels_of, radiograph, write

SALT = b"the salt of the tests"


def body(made: Dataset, syntax: str) -> bytes:
    made.file_meta.TransferSyntaxUID = syntax
    room = io.BytesIO()
    made.save_as(room, enforce_file_format=True)
    whole = room.getvalue()
    return whole[144 + int.from_bytes(whole[140:144], "little") :]


def head(made: Dataset, syntax: str) -> bytes:
    made.file_meta.TransferSyntaxUID = syntax
    room = io.BytesIO()
    write_file_meta_info(room, made.file_meta, enforce_standard=True)
    return bytes(128) + b"DICM" + room.getvalue()


def read(path: Path) -> np.ndarray:
    """What a scan calls ok can be decoded."""
    (one,) = read_slices(path, path.parent)
    assert (one.position, one.patient, one.rows) == ((-10, -20, 5), "secret-id", 4)
    return read_frames(path)[2][0]


def big_endian() -> Dataset:
    return dataset(0, PixelData=pixels_of(0).astype(">i2").tobytes())


@pytest.mark.parametrize("syntax", [ImplicitVRLittleEndian, ExplicitVRLittleEndian, ExplicitVRBigEndian])
def test_without_preamble_and_meta(tmp_path: Path, syntax: str) -> None:
    made = big_endian() if syntax == ExplicitVRBigEndian else dataset(0)
    (tmp_path / "a").write_bytes(body(made, syntax))
    np.testing.assert_array_equal(read(tmp_path / "a"), pixels_of(0))


def test_big_endian_without_the_kinds_of_elements(tmp_path: Path) -> None:
    room = DicomBytesIO()
    room.is_implicit_VR, room.is_little_endian = True, False
    write_dataset(room, big_endian())
    (tmp_path / "a").write_bytes(room.getvalue())
    np.testing.assert_array_equal(read(tmp_path / "a"), pixels_of(0))


@pytest.mark.parametrize(
    ("stated", "real"),
    [
        (ExplicitVRLittleEndian, ImplicitVRLittleEndian),
        (ImplicitVRLittleEndian, ExplicitVRLittleEndian),
        ("1.2.3.4.5", ExplicitVRLittleEndian),
        (JPEG2000Lossless, ExplicitVRLittleEndian),
    ],
)
def test_another_encoding_than_the_file_states(tmp_path: Path, stated: str, real: str) -> None:
    (tmp_path / "a.dcm").write_bytes(head(dataset(0), stated) + body(dataset(0), real))
    np.testing.assert_array_equal(read(tmp_path / "a.dcm"), pixels_of(0))


def test_big_endian_pixels_under_a_little_endian_header(tmp_path: Path) -> None:
    """The private transfer syntax of GE."""
    content = head(dataset(0), "1.2.840.113619.5.2") + body(big_endian(), ImplicitVRLittleEndian)
    (tmp_path / "a.dcm").write_bytes(content)
    np.testing.assert_array_equal(read(tmp_path / "a.dcm"), pixels_of(0))


@pytest.mark.parametrize("stated", [ExplicitVRLittleEndian, JPEGBaseline8Bit])
def test_another_compression_than_the_file_states(tmp_path: Path, stated: str) -> None:
    import openjpeg

    frame = np.random.default_rng(0).integers(0, 2000, (64, 64)).astype(np.uint16)
    made = dataset(0, Rows=64, Columns=64, PixelRepresentation=0)
    made.PixelData = encapsulate([bytes(openjpeg.encode(frame))])
    made["PixelData"].VR, made["PixelData"].is_undefined_length = "OB", True
    (tmp_path / "a.dcm").write_bytes(head(made, stated) + body(made, JPEG2000Lossless))
    read_slices(tmp_path / "a.dcm", tmp_path)
    np.testing.assert_array_equal(read_frames(tmp_path / "a.dcm")[2][0], frame)


@pytest.mark.parametrize("behind", [b"\0" * 7, b"\xff" * 300, b"SECRET", b"\x10\0\x10\0PN\xff\xff"])
def test_bytes_behind_the_pixels(tmp_path: Path, behind: bytes) -> None:
    path = write(tmp_path / "a.dcm")
    path.write_bytes(path.read_bytes() + behind)
    np.testing.assert_array_equal(read(path), pixels_of(0))


def test_the_end_of_the_fragments_is_not_marked(tmp_path: Path) -> None:
    made = dataset(0)
    made.compress(RLELossless, generate_instance_uid=False)
    made.save_as(tmp_path / "a.dcm", enforce_file_format=True)
    content = (tmp_path / "a.dcm").read_bytes()
    assert content.endswith(b"\xfe\xff\xdd\xe0\0\0\0\0")
    (tmp_path / "a.dcm").write_bytes(content[:-8])
    np.testing.assert_array_equal(read(tmp_path / "a.dcm"), pixels_of(0))


def test_pixels_of_an_odd_length(tmp_path: Path) -> None:
    frame = np.arange(15, dtype=np.uint8).reshape(3, 5)
    options = {"Rows": 3, "Columns": 5, "BitsAllocated": 8, "BitsStored": 8, "HighBit": 7}
    path = radiograph(tmp_path / "a.dcm", **options, PixelData=frame.tobytes() + b"\0")
    padded = path.read_bytes()
    bare = padded[:-20] + (15).to_bytes(4, "little") + padded[-16:-1]
    for content in (padded, bare):
        path.write_bytes(content)
        np.testing.assert_array_equal(read_image(path, "dicom-image").data[0], frame)


@pytest.mark.parametrize("sop_class", ["9.9.1.2", "1.3.46.670589.11.0.0.12.1", None])
def test_a_private_class_with_pixels_is_an_image(tmp_path: Path, sop_class: str | None) -> None:
    made = dataset(0)
    made.SOPClassUID = made.file_meta.MediaStorageSOPClassUID = sop_class or "9.9"
    if sop_class is None:
        del made.SOPClassUID
    made.save_as(tmp_path / "a.dcm", enforce_file_format=True)
    np.testing.assert_array_equal(read(tmp_path / "a.dcm"), pixels_of(0))


def test_frames_of_one_file_without_places_are_images(tmp_path: Path) -> None:
    frames = enhanced(tmp_path / "e.dcm", PerFrameFunctionalGroupsSequence=[])
    manifest = scan(tmp_path, salt=SALT, jobs=1)
    rows = manifest.table.to_pylist()
    assert [row["status"] for row in rows] == ["ok"] * len(frames)
    assert {row["flags"][0] for row in rows} == {"frames without places: each is an image"}
    assert {(row["format"], row["modality"]) for row in rows} == {("dicom-image", "mr")}
    for row in rows:
        image = read_image(tmp_path / row["path"], row["format"], row["part"])
        np.testing.assert_array_equal(image.data[0], frames[row["part"]])


@pytest.mark.parametrize("frames", [1, 3])
def test_a_file_without_a_series_and_a_place_stands_alone(tmp_path: Path, frames: int) -> None:
    for number in range(2):
        data = pixels_of(number, (frames, 4, 6)).tobytes()
        nothing = dict.fromkeys(("SeriesInstanceUID", "ImagePositionPatient", "ImageOrientationPatient"))
        write(tmp_path / f"{number}.dcm", number, **nothing, NumberOfFrames=frames, PixelData=data, Modality="MR")
    manifest = scan(tmp_path, salt=SALT, jobs=1)
    assert manifest.column("status").tolist() == ["ok"] * 2 * frames
