from pathlib import Path

import pydicom
import pytest
from pydicom.data import get_testdata_file
from pydicom.encaps import encapsulate
from pydicom.uid import MPEG2MPML, DeflatedExplicitVRLittleEndian, ImplicitVRLittleEndian

from medcl.errors import UnreadableError
from medcl.modality.dicom.file import is_dicom
from medcl.modality.dicom.pixels import read_frames
from medcl.modality.dicom.slice import read_slices
from tests.modality.dicom.dicom_files import dataset, enhanced, item, write


def shipped(name: str) -> Path:
    path = get_testdata_file(name, download=False)
    assert path, f"pydicom ships no {name}"
    return Path(path)


def test_a_header_says_what_a_volume_needs_and_nothing_of_the_person(tmp_path: Path) -> None:
    path = write(tmp_path / "IM0001", 2, BurnedInAnnotation="NO", TemporalPositionIdentifier=3, EchoTime=4.5)
    (one,) = read_slices(path, tmp_path)
    assert (one.file, one.patient, one.study, one.series) == ("IM0001", "secret-id", "1.2.3", "1.2.3.4")
    assert one.sop == "1.2.3.4.3"
    assert (one.rows, one.columns, one.pixel_spacing) == (4, 6, (0.5, 0.75))
    assert (one.position, one.orientation) == ((-10, -20, 10), (1, 0, 0, 0, 1, 0))
    assert (one.slope, one.intercept, one.dtype, one.photometric) == (1, -1024, "int16", "MONOCHROME2")
    assert (one.temporal_position, one.echo, one.b_value, one.burned_in) == (3, 4.5, None, False)
    assert one.date == "20240131"
    assert not any(word in str(one) for word in ("Secret^Name", "19500101", "secret-accession"))


@pytest.mark.parametrize("name", ["MR_small_implicit", "MR_small_bigendian", "MR_small_expb", "MR_small_padded"])
def test_a_header_is_the_same_however_it_is_written(name: str) -> None:
    def fields(path: Path) -> dict[str, object]:
        (one,) = read_slices(path, path.parent)
        return {key: value for key, value in vars(one).items() if key not in ("file", "sop", "transfer_syntax")}

    assert fields(shipped(f"{name}.dcm")) == fields(shipped("MR_small.dcm"))


@pytest.mark.parametrize("syntax", [ImplicitVRLittleEndian, DeflatedExplicitVRLittleEndian])
def test_files_in_any_syntax_and_without_a_preamble(tmp_path: Path, syntax: str) -> None:
    made = dataset(0)
    made.file_meta.TransferSyntaxUID = syntax
    made.save_as(tmp_path / "a.dcm", enforce_file_format=True)
    expected = read_slices(tmp_path / "a.dcm", tmp_path)[0]
    content = (tmp_path / "a.dcm").read_bytes()
    (tmp_path / "a.dcm").write_bytes(content[132:])  # the file now begins with its first element
    assert read_slices(tmp_path / "a.dcm", tmp_path)[0] == expected


@pytest.mark.parametrize(("implicit", "little"), [(True, True), (False, True), (False, False)])
def test_a_data_set_alone_is_a_dicom_file(tmp_path: Path, implicit: bool, little: bool) -> None:
    made = dataset(0)
    del made.file_meta
    made.save_as(tmp_path / "a", implicit_vr=implicit, little_endian=little)
    assert is_dicom(tmp_path / "a")
    assert read_slices(tmp_path / "a", tmp_path)[0].position == (-10, -20, 5)


def test_b_values_of_manufacturers(tmp_path: Path) -> None:
    def b_value(block: int, owner: str, tag: int, kind: str, value: object) -> float | None:
        made = dataset(0)
        made.add_new(block, "LO", owner)
        made.add_new(tag, kind, value)
        made.save_as(tmp_path / "b.dcm", enforce_file_format=True)
        return read_slices(tmp_path / "b.dcm", tmp_path)[0].b_value

    assert b_value(0x00190010, "SIEMENS MR HEADER", 0x0019100C, "IS", "1000") == 1000
    assert b_value(0x00190010, "SIEMENS MR HEADER", 0x0019100C, "UN", b"800 ") == 800
    assert b_value(0x00430010, "GEMS_PARM_01", 0x00431039, "IS", [1000000050, 8, 0, 0]) == 50
    assert b_value(0x20010010, "Philips Imaging DD 001", 0x20011003, "FL", 600.0) == 600
    assert b_value(0x00190010, "SOMEBODY ELSE", 0x0019100C, "IS", "1000") is None
    write(tmp_path / "s.dcm", DiffusionBValue=400.0)
    assert read_slices(tmp_path / "s.dcm", tmp_path)[0].b_value == 400


def test_every_frame_of_an_enhanced_object_is_a_slice(tmp_path: Path) -> None:
    enhanced(tmp_path / "e.dcm")
    slices = read_slices(tmp_path / "e.dcm", tmp_path)
    assert [one.frame for one in slices] == list(range(6))
    assert [one.echo for one in slices] == [5, 10] * 3
    assert [one.position[0] for one in slices if one.position] == [30, 30, 26, 26, 22, 22]
    assert {(one.orientation, one.pixel_spacing) for one in slices} == {((0, 1, 0, 0, 0, -1), (0.5, 0.75))}
    assert [one.slope for one in slices[:2]] == [2, 2.5]
    assert slices[0].image_type == ("ORIGINAL", "PRIMARY", "VOLUME", "NONE")


def test_frames_and_places_that_do_not_agree_are_refused(tmp_path: Path) -> None:
    enhanced(tmp_path / "e.dcm", PerFrameFunctionalGroupsSequence=[item(), item()])
    with pytest.raises(UnreadableError, match="6 frames, the places of 2"):
        read_slices(tmp_path / "e.dcm", tmp_path)
    enhanced(tmp_path / "e.dcm", PerFrameFunctionalGroupsSequence=[])
    assert [one.position for one in read_slices(tmp_path / "e.dcm", tmp_path)] == [None] * 6


@pytest.mark.parametrize(
    ("name", "reason"),
    [
        ("MR_truncated.dcm", "truncated file: 8130 bytes"),
        ("README.txt", "not a DICOM file"),
        ("zipMR.gz", "not a DICOM file"),
        ("DICOMDIR", "no image"),
        ("test-SR.dcm", "no image: a DICOM object of modality SR"),
        ("rtplan.dcm", "no image: a DICOM object of modality RTPLAN"),
        ("waveform_ecg.dcm", "no image: a DICOM object of modality ECG"),
        ("badVR.dcm", "damaged header"),
    ],
)
def test_shipped_files_that_are_no_slices_are_refused_in_words(name: str, reason: str) -> None:
    path = shipped(name)
    with pytest.raises(UnreadableError, match=reason):
        read_slices(path, path.parent)


@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        ({"PixelData": None}, "no pixel data"),
        ({"PixelData": b"\1\0" * 20}, "wrong pixel data length: 40 bytes for an image of 48"),
        ({"PixelData": b"\1\0" * 30}, "wrong pixel data length: 60 bytes for an image of 48"),
        ({"Rows": 5}, "wrong pixel data length"),
        ({"PixelSpacing": [1, 2, 3]}, "PixelSpacing is not 2 numbers"),
        ({"SeriesInstanceUID": None}, "no series instance UID"),
        ({"BitsStored": 17}, "BitsStored is 17"),
        ({"HighBit": 3}, "HighBit is 3"),
        ({"PixelRepresentation": None}, "no PixelRepresentation"),
        ({"SamplesPerPixel": 3}, "3 samples a pixel"),
        ({"NumberOfFrames": 4000}, "wrong pixel data length: 48 bytes for an image of 192000"),
    ],
)
def test_broken_files_are_refused_in_words_without_the_patient(
    tmp_path: Path, changes: dict[str, object], reason: str
) -> None:
    path = write(tmp_path / "broken.dcm", **changes)
    with pytest.raises(UnreadableError, match=reason) as refused:
        read_slices(path, tmp_path)
    assert "secret" not in str(refused.value).lower()


def test_a_file_cut_anywhere_is_refused(tmp_path: Path) -> None:
    """Between any two bytes of the header and the pixels, plain and compressed."""
    compressed = shipped("MR_small_RLE.dcm").read_bytes()
    compressed = compressed[: compressed.rindex(b"\xfe\xff\xdd\xe0")]  # behind it lies only padding
    for content in (write(tmp_path / "whole.dcm").read_bytes(), compressed):
        for length in {*range(0, len(content), max(1, len(content) // 60)), len(content) - 1}:
            (tmp_path / "cut.dcm").write_bytes(content[:length])
            with pytest.raises(UnreadableError):
                read_slices(tmp_path / "cut.dcm", tmp_path)


def test_what_is_no_dicom_file_whatever_its_name(tmp_path: Path) -> None:
    for content in (b"", b"hello", bytes(2000), b"\x08\0" + b"\xff" * 300, b"x" * 128 + b"DICM"):
        (tmp_path / "a.dcm").write_bytes(content)
        with pytest.raises(UnreadableError, match="not a DICOM"):
            read_slices(tmp_path / "a.dcm", tmp_path)
    with pytest.raises(UnreadableError, match="cannot be read"):
        is_dicom(tmp_path / "gone.dcm")


@pytest.mark.parametrize(
    "name",
    ["MR_small_RLE", "MR_small_jp2klossless", "MR_small_jpeg_ls_lossless", "MR_small_padded", "MR_small_bigendian"],
)
def test_lossless_pixels_are_those_of_the_plain_file(name: str) -> None:
    expected = pydicom.dcmread(shipped("MR_small.dcm")).pixel_array
    pixels = read_frames(shipped(f"{name}.dcm"))[2]
    assert pixels.shape == (1, 64, 64)
    assert (pixels[0] == expected).all()


@pytest.mark.parametrize("name", ["JPEG2000", "JPEGLSNearLossless_16", "693_J2KI", "J2K_pixelrep_mismatch"])
def test_lossy_pixels_are_decoded(name: str) -> None:
    path = shipped(f"{name}.dcm")
    header = pydicom.dcmread(path, stop_before_pixels=True)
    pixels = read_frames(path)[2]
    assert pixels.shape == (1, header.Rows, header.Columns)
    assert pixels.std() > 0


@pytest.mark.parametrize("name", ["JPGExtended", "JPEG-lossy"])
def test_extended_jpeg_of_12_bits_is_decoded(name: str) -> None:
    pixels = read_frames(shipped(f"{name}.dcm"))[2]
    # Two of the values that pydicom expects of its decoders of these files.
    assert (pixels[0, 420, 140], pixels[0, 230, 120]) == (244, 95)


@pytest.mark.parametrize("syntax", [MPEG2MPML, "1.2.3.4.5"])
def test_a_compression_that_no_decoder_knows_is_refused_by_the_header(tmp_path: Path, syntax: str) -> None:
    made = dataset(PixelData=encapsulate([b"\0\0\1\xb3" + bytes(60)]))
    made["PixelData"].VR, made["PixelData"].is_undefined_length = "OB", True
    made.file_meta.TransferSyntaxUID = syntax
    made.save_as(tmp_path / "a.dcm", enforce_file_format=True, implicit_vr=False, little_endian=True)
    with pytest.raises(UnreadableError, match="no installed decoder") as refused:
        read_slices(tmp_path / "a.dcm", tmp_path)
    assert ("MPEG2" in str(refused.value)) == (syntax == MPEG2MPML)
    assert "1.2.3" not in str(refused.value)
