"""What a header states is held against what the file holds, before anything is decoded."""

import io
import logging
import struct
import zlib
from pathlib import Path
from typing import Any

import numpy as np
import openjpeg
import pytest
from PIL import Image
from pydicom.dataset import Dataset
from pydicom.encaps import encapsulate, encapsulate_extended
from pydicom.uid import DeflatedExplicitVRLittleEndian, JPEG2000Lossless, JPEGBaseline8Bit, RLELossless

from medcl.archive.dicom_file_record import read_coded
from medcl.archive.scan import scan
from medcl.errors import UnreadableError
from medcl.modality.dicom import file as dicom_file
from medcl.modality.dicom.pixels import read_frames
from medcl.modality.dicom.slice import read_slices
from medcl.modality.formats import read_header, read_image
from tests.modality.dicom import dicom_files

SALT = b"the salt of the tests"
FRAMES = np.random.default_rng(0).integers(0, 256, (3, 64, 64)).astype(np.uint8)


def compressed(path: Path, data: bytes, syntax: str = JPEG2000Lossless, **changes: Any) -> Path:
    made = radiograph(**changes)
    made.PixelData = data
    made["PixelData"].VR, made["PixelData"].is_undefined_length = "OB", True
    made.file_meta.TransferSyntaxUID = syntax
    made.save_as(path, enforce_file_format=True)
    return path


def radiograph(**changes: Any) -> Dataset:
    options = {"Rows": 64, "Columns": 64, "BitsAllocated": 8, "BitsStored": 8, "HighBit": 7, "PixelRepresentation": 0}
    return dicom_files.dataset(**{**options, "Modality": "DX", **changes})


def streams() -> list[bytes]:
    return [bytes(openjpeg.encode(frame)) for frame in FRAMES]


def refused(path: Path, reason: str) -> None:
    """By every way to it, and in words without the patient."""
    for read in (lambda: read_slices(path, path.parent), lambda: read_header(path, "dicom-image")):
        with pytest.raises(UnreadableError, match=reason) as error:
            read()
        assert "secret" not in str(error.value).lower()
    with pytest.raises(UnreadableError):
        read_frames(path)


@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        ({"NumberOfFrames": 5000}, "states 5000 frames, the file holds 3 fragments"),
        ({"NumberOfFrames": 4}, "states 4 frames"),
        ({"NumberOfFrames": -1}, "NumberOfFrames is -1"),
        ({"NumberOfFrames": 2**31 - 1}, "NumberOfFrames is 2147483647"),
        ({"NumberOfFrames": 3, "BitsAllocated": None}, "no BitsAllocated"),
        ({"NumberOfFrames": 3, "BitsAllocated": 0}, "BitsAllocated is 0"),
        ({"NumberOfFrames": 3, "BitsAllocated": 12, "BitsStored": 12}, "12 bits a pixel"),
        ({"NumberOfFrames": 3, "BitsStored": 9}, "BitsStored is 9"),
        ({"NumberOfFrames": 3, "PixelRepresentation": 2}, "PixelRepresentation is 2"),
        ({"NumberOfFrames": 3, "Rows": 60000, "Columns": 60000}, "smaller copy"),
        ({"NumberOfFrames": 3, "Rows": 32}, "64 x 64 pixels and 1 samples, the header says 32 x 64 and 1"),
        (
            {"NumberOfFrames": 3, "SamplesPerPixel": 3, "PhotometricInterpretation": "RGB"},
            "1 samples, the header says 64 x 64 and 3",
        ),
    ],
)
def test_a_compressed_file_that_states_more_than_it_holds(tmp_path: Path, changes: dict[str, Any], reason: str) -> None:
    refused(compressed(tmp_path / "a.dcm", encapsulate(streams()), **changes), reason)


def test_a_compressed_radiograph_with_an_empty_bits_allocated_does_not_end_a_scan(tmp_path: Path) -> None:
    for number, value in enumerate(("", None)):
        compressed(tmp_path / f"{number}.dcm", encapsulate(streams()[:1]), BitsAllocated=value)
    dicom_files.radiograph(tmp_path / "whole.dcm")
    manifest = scan(tmp_path, salt=SALT, jobs=1)
    assert manifest.column("status").tolist() == ["damaged header: no BitsAllocated"] * 2 + ["ok"]


def test_a_claim_of_many_frames_is_no_record(tmp_path: Path) -> None:
    compressed(tmp_path / "a.dcm", encapsulate(streams()[:2]), NumberOfFrames=5000)
    manifest = scan(tmp_path, salt=SALT, jobs=1)
    assert len(manifest) == 1
    assert "5000 frames" in manifest.column("status")[0]


def test_a_small_file_of_countless_frames(tmp_path: Path) -> None:
    one_bit = {"Rows": 1, "Columns": 1, "BitsAllocated": 1, "BitsStored": 1, "HighBit": 0}
    made = radiograph(**one_bit, NumberOfFrames=1 << 20, PixelData=bytes(1 << 17))
    made.save_as(tmp_path / "a.dcm", enforce_file_format=True)
    refused(tmp_path / "a.dcm", "1048576 frames of 1 x 1 pixels")


def test_more_bits_in_the_codestream_than_a_pixel_has(tmp_path: Path) -> None:
    wide = bytes(openjpeg.encode(FRAMES[0].astype(np.uint16) * 200))
    refused(compressed(tmp_path / "a.dcm", encapsulate([wide])), "16 bits, its header says at most 8")


def test_a_palette_that_is_missing_is_noticed_by_the_scan(tmp_path: Path) -> None:
    path = tmp_path / "a.dcm"
    radiograph(PhotometricInterpretation="PALETTE COLOR", PixelData=FRAMES[0].tobytes()).save_as(
        path, enforce_file_format=True
    )
    with pytest.raises(UnreadableError, match="RedPaletteColorLookupTableDescriptor"):
        read_slices(path, tmp_path)


def test_segments_of_rle_that_cannot_hold_the_image(tmp_path: Path) -> None:
    for header, length in ((struct.pack("<16I", 1, 64, *[0] * 14), 20), (struct.pack("<16I", 9, *[64] * 15), 4000)):
        refused(compressed(tmp_path / "a.dcm", encapsulate([header + bytes(length)]), RLELossless), "RLE segments")


@pytest.mark.parametrize("offsets", [[0, 9999], [0, 1 << 60], [0]])
def test_an_extended_offset_table_that_points_behind_the_end(tmp_path: Path, offsets: list[int]) -> None:
    data, _, lengths = encapsulate_extended(streams()[:2])
    table = {"ExtendedOffsetTable": struct.pack(f"<{len(offsets)}Q", *offsets), "ExtendedOffsetTableLengths": lengths}
    refused(compressed(tmp_path / "a.dcm", data, NumberOfFrames=2, **table), "extended offset table")


@pytest.mark.parametrize("table", ["basic", "extended", "none"])
def test_frames_in_several_fragments_are_put_together(tmp_path: Path, table: str) -> None:
    parts, extended = encapsulate(streams(), fragments_per_frame=2, has_bot=table == "basic"), {}
    if table == "extended":
        starts = np.cumsum([0, *(len(stream) + len(stream) % 2 + 16 for stream in streams())])
        lengths = [len(stream) for stream in streams()]
        extended["ExtendedOffsetTable"] = struct.pack("<3Q", *starts[:3])
        extended["ExtendedOffsetTableLengths"] = struct.pack("<3Q", *lengths)
    path = compressed(tmp_path / "a.dcm", parts, NumberOfFrames=3, RescaleIntercept=0, **extended)
    assert len(read_slices(path, tmp_path)) == 3
    np.testing.assert_array_equal(read_frames(path)[2], FRAMES)
    np.testing.assert_array_equal(read_image(path, "dicom-image", 1).data[0], FRAMES[1])


def test_a_deflated_file_that_unpacks_to_too_much(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    made = dicom_files.dataset()
    made.file_meta.TransferSyntaxUID = DeflatedExplicitVRLittleEndian
    made.save_as(tmp_path / "a.dcm", enforce_file_format=True)
    whole = (tmp_path / "a.dcm").read_bytes()
    begin = 144 + int.from_bytes(whole[140:144], "little")
    data = zlib.decompress(whole[begin:], -15)

    def write(content: bytes) -> Path:
        packer = zlib.compressobj(wbits=-15)
        (tmp_path / "a.dcm").write_bytes(whole[:begin] + packer.compress(content) + packer.flush())
        return tmp_path / "a.dcm"

    assert len(read_slices(write(data), tmp_path)) == 1
    refused(write(data[:-10]), "truncated file")
    monkeypatch.setattr(dicom_file, "_MOST_UNPACKED", 1 << 20)
    refused(write(data + bytes(1 << 21)), "deflated file of more than 1 MiB")


@pytest.mark.parametrize("keyword", ["WindowCenter", "WindowWidth"])
def test_a_window_that_cannot_be_read_is_named_by_the_scan(tmp_path: Path, keyword: str) -> None:
    path = dicom_files.radiograph(tmp_path / "a.dcm", **{"WindowCenter": 9, "WindowWidth": 9, keyword: 0.25})
    path.write_bytes(path.read_bytes().replace(b"0.25", b"0,25"))
    with pytest.raises(UnreadableError, match=keyword):
        read_slices(path, tmp_path)


@pytest.mark.parametrize("slowly", [False, True])
@pytest.mark.parametrize(
    ("keyword", "value"),
    [("PixelSpacing", [0.25, 1]), ("ImagePositionPatient", [1, 2, 0.25]), ("RescaleSlope", 0.25), ("EchoTime", 0.25)],
)
def test_a_decimal_comma_is_refused_by_the_name_of_its_element(
    tmp_path: Path, keyword: str, value: Any, slowly: bool
) -> None:
    # A sequence of groups leaves the header to pydicom, whose error would quote the value.
    path = dicom_files.write(
        tmp_path / "a.dcm", **{keyword: value}, **({"SharedFunctionalGroupsSequence": []} if slowly else {})
    )
    path.write_bytes(path.read_bytes().replace(b"0.25", b"0,25"))
    with pytest.raises(UnreadableError, match=f"{keyword} is not written as DICOM has it") as error:
        read_slices(path, tmp_path)
    assert "0,25" not in str(error.value)


@pytest.mark.parametrize("keyword", ["Modality", "PhotometricInterpretation", "RescaleType", "ImageType"])
def test_what_is_no_term_of_the_standard_is_neither_shown_nor_kept(tmp_path: Path, keyword: str) -> None:
    for number in range(2):
        dicom_files.write(tmp_path / f"{number}.dcm", number, **{keyword: "SMITHSON"})
    journal = tmp_path.with_suffix(".journal")
    manifest = scan(tmp_path, salt=SALT, jobs=1, journal=journal)
    said = str(manifest.table.to_pylist()) + journal.read_bytes().decode("latin-1")
    assert "SMITHSON" not in said
    assert "SMITHSON" not in read_coded(tmp_path, "0.dcm", None, SALT).slices


def test_nothing_of_pydicoms_log_and_warnings_gets_out(
    tmp_path: Path,
    caplog: pytest.LogCaptureFixture,
    capfd: pytest.CaptureFixture[str],
    recwarn: pytest.WarningsRecorder,
) -> None:
    caplog.set_level(logging.DEBUG)
    room = io.BytesIO()
    Image.fromarray(FRAMES[0]).save(room, "JPEG")
    damaged = bytearray(room.getvalue())
    damaged[700:] = b"\xff\xd8SECRET^NAME" * 20
    bad = compressed(tmp_path / "a.dcm", encapsulate([bytes(damaged)]), JPEGBaseline8Bit)
    cut = compressed(tmp_path / "b.dcm", encapsulate([streams()[0][:-900] + bytes(100)]))
    odd = dicom_files.write(
        tmp_path / "c.dcm",
        StudyInstanceUID="SECRET",
        AcquisitionDate="SECRET",
        EchoTime="0.25",
        SharedFunctionalGroupsSequence=[],
    )
    odd.write_bytes(odd.read_bytes().replace(b"0.25", b"SECR"))
    recwarn.clear()
    caplog.clear()
    with pytest.raises(UnreadableError) as first:
        read_frames(bad)
    with pytest.raises(UnreadableError) as second:
        read_frames(cut)
    with pytest.raises(UnreadableError) as third:
        read_slices(odd, tmp_path)
    assert not any("SECR" in str(error.value) for error in (first, second, third))
    said = capfd.readouterr()
    assert not said.out
    assert not said.err
    assert not [record for record in caplog.records if record.name.startswith("pydicom")]
    assert not list(recwarn)
