"""Stored numbers: the bits that a header says are used, whatever stands beside them and however they are packed."""

import base64
from pathlib import Path
from typing import Any

import jpeg_ls
import numpy as np
import openjpeg
import pytest
from pydicom.dataset import Dataset
from pydicom.encaps import encapsulate
from pydicom.pixels.processing import convert_color_space
from pydicom.uid import (
    HTJ2K,
    ExplicitVRBigEndian,
    ExplicitVRLittleEndian,
    HTJ2KLossless,
    HTJ2KLosslessRPCL,
    ImplicitVRLittleEndian,
    JPEG2000Lossless,
    JPEGLSLossless,
    RLELossless,
    UltrasoundImageStorage,
)

from medcl.errors import UnreadableError
from medcl.modality.dicom.pixels import read_frames
from medcl.modality.formats import read_image
from tests.modality.dicom import dicom_files

TWELVE = {"BitsStored": 12, "HighBit": 11, "PixelRepresentation": 0, "Rows": 64, "Columns": 64}
TRUE = np.random.default_rng(0).integers(0, 4096, (64, 64)).astype(np.uint16)
SIGNED = TRUE.astype(np.int16) - 2048


def save(made: Dataset, path: Path, syntax: str = ExplicitVRLittleEndian, frames: list[bytes] | None = None) -> Path:
    made.file_meta.TransferSyntaxUID = syntax
    if frames is not None:
        made.PixelData = encapsulate(frames)
        made["PixelData"].VR, made["PixelData"].is_undefined_length = "OB", True
    made.save_as(path, enforce_file_format=True)
    return path


def packed(words: np.ndarray, how: str) -> tuple[str, list[bytes] | None]:
    if how == "JPEG 2000":
        return JPEG2000Lossless, [bytes(openjpeg.encode(np.ascontiguousarray(words)))]
    if how == "JPEG-LS":
        return JPEGLSLossless, [bytes(jpeg_ls.encode_array(words.view(np.uint16)))]
    return {"little": ExplicitVRLittleEndian, "big": ExplicitVRBigEndian, "RLE": RLELossless}[how], None


@pytest.mark.parametrize("how", ["little", "big", "RLE", "JPEG 2000", "JPEG-LS"])
@pytest.mark.parametrize("signed", [False, True])
@pytest.mark.parametrize("above", [0, 0x8000, 0xF000, "overlay"])
def test_bits_above_those_that_are_used_are_no_part_of_a_pixel(
    tmp_path: Path, how: str, signed: bool, above: int | str
) -> None:
    true = SIGNED if signed else TRUE
    beside = np.arange(64 * 64).reshape(64, 64).astype(np.uint16) % 2 << 12 if above == "overlay" else np.uint16(above)
    words = (true.view(np.uint16) & 0xFFF) | beside
    words = words.view(np.int16) if signed else words
    syntax, frames = packed(words, how)
    made = dicom_files.dataset(**{**TWELVE, "PixelRepresentation": int(signed)}, PixelData=words.tobytes())
    if how == "big":
        made.PixelData = words.astype(">u2").tobytes()
    if how == "RLE":
        made.BitsStored, made.HighBit = 16, 15  # else pydicom would not write them
        made.compress(RLELossless, words, generate_instance_uid=False)
        made.BitsStored, made.HighBit = 12, 11
    path = save(made, tmp_path / "a.dcm", syntax, frames)
    pixels = read_frames(path)[2]
    assert pixels.dtype == true.dtype
    np.testing.assert_array_equal(pixels[0], true)


def test_pixels_begin_where_the_high_bit_says(tmp_path: Path) -> None:
    for true in (TRUE, SIGNED):
        words = (true.view(np.uint16) << 4) | 7
        options = {**TWELVE, "HighBit": 15, "PixelRepresentation": int(true is SIGNED)}
        path = dicom_files.write(tmp_path / "a.dcm", **options, PixelData=words.tobytes())
        np.testing.assert_array_equal(read_frames(path)[2][0], true)


def test_what_a_lossy_compression_leaves_beside_the_range_is_its_end(tmp_path: Path) -> None:
    words = TRUE.copy()
    words[0, :2] = 4099, 5000
    syntax, frames = packed(words, "JPEG 2000")
    made = dicom_files.dataset(**TWELVE)
    path = save(made, tmp_path / "a.dcm", "1.2.840.10008.1.2.4.91", frames)
    pixels = read_frames(path)[2][0]
    assert pixels[0, :2].tolist() == [4095, 4095]
    np.testing.assert_array_equal(pixels[1:], TRUE[1:])


@pytest.mark.parametrize("planar", [0, 1])
@pytest.mark.parametrize("photometric", ["RGB", "YBR_FULL"])
def test_colours_by_pixel_and_by_plane(tmp_path: Path, planar: int, photometric: str) -> None:
    stored = np.random.default_rng(1).integers(0, 256, (2, 4, 6, 3)).astype(np.uint8)
    data = stored.transpose(0, 3, 1, 2) if planar else stored
    path = colours(tmp_path / "a.dcm", data.tobytes(), photometric, PlanarConfiguration=planar, NumberOfFrames=2)
    expected = stored if photometric == "RGB" else convert_color_space(stored, photometric, "RGB")
    for part in range(2):
        np.testing.assert_array_equal(
            read_image(path, "dicom-image", part).data, expected[part].transpose(2, 0, 1), strict=True
        )


def test_two_pixels_that_share_their_colour(tmp_path: Path) -> None:
    luminance, colour = np.arange(24).reshape(2, 12) * 9 % 256, np.arange(24).reshape(2, 6, 2) * 5 + 60
    data = np.concatenate([luminance.reshape(2, 6, 2), colour], axis=2).astype(np.uint8)
    path = colours(tmp_path / "a.dcm", data.tobytes(), "YBR_FULL_422", Rows=2, Columns=12)
    full = np.concatenate([luminance[..., None], colour.repeat(2, axis=1)], axis=2).astype(np.uint8)
    expected = convert_color_space(full, "YBR_FULL", "RGB").transpose(2, 0, 1)
    np.testing.assert_array_equal(read_image(path, "dicom-image").data, expected)


def test_colours_of_16_bits_are_turned_about_their_own_middle(tmp_path: Path) -> None:
    grey = np.full((4, 6, 3), 32768, dtype="<u2")
    grey[..., 0] = np.arange(24).reshape(4, 6) * 2800
    path = colours(tmp_path / "a.dcm", grey.tobytes(), "YBR_FULL", BitsAllocated=16, BitsStored=16, HighBit=15)
    data = read_image(path, "dicom-image").data
    np.testing.assert_allclose(data, np.broadcast_to(grey[..., 0] / 257, (3, 4, 6)), atol=1)


def colours(path: Path, data: bytes, photometric: str, **changes: Any) -> Path:
    own = {"BitsAllocated": 8, "BitsStored": 8, "HighBit": 7, "SamplesPerPixel": 3, "PlanarConfiguration": 0}
    own |= {"PhotometricInterpretation": photometric, "PixelData": data, "SOPClassUID": UltrasoundImageStorage}
    return dicom_files.radiograph(path, **{**own, "Modality": "US", **changes})


PALETTE = (np.arange(256 * 3).reshape(256, 3) * 85 % 256).astype(np.uint16)


def coloured(path: Path, syntax: str, tables: Any, prefix: str = "", bits: int = 16, **changes: Any) -> np.ndarray:
    """Read an image with a palette of three tables, each as bytes."""
    pixels = np.arange(256, dtype=np.uint8)
    made = dicom_files.dataset(PixelRepresentation=0, Rows=16, Columns=16, BitsAllocated=8, BitsStored=8, HighBit=7)
    made.PhotometricInterpretation, made.Modality, made.SOPClassUID = "PALETTE COLOR", "US", UltrasoundImageStorage
    made.PixelData = pixels.tobytes()
    for number, (name, table) in enumerate(zip(("Red", "Green", "Blue"), tables, strict=True)):
        setattr(made, f"{name}PaletteColorLookupTableDescriptor", [256, 0, bits])
        made.add_new((0x00281221 if prefix else 0x00281201) + number, "OW", table)
    for keyword, value in changes.items():
        setattr(made, keyword, value)
    made["PixelData"].VR = "OB"
    save(made, path, syntax)
    return read_image(path, "dicom-image").data.reshape(3, 256).T


@pytest.mark.parametrize("syntax", [ImplicitVRLittleEndian, ExplicitVRLittleEndian, ExplicitVRBigEndian])
def test_a_palette_is_the_same_however_it_is_written(tmp_path: Path, syntax: str) -> None:
    order = ">u2" if syntax == ExplicitVRBigEndian else "<u2"
    path = tmp_path / "a.dcm"
    for shift, bits in ((257, 16), (1, 8), (1, 16)):
        tables = [(channel * shift).astype(order).tobytes() for channel in PALETTE.T]
        np.testing.assert_array_equal(coloured(path, syntax, tables, bits=bits), PALETTE)
    # Two entries of 8 bits in a word.
    tables = [channel.astype(np.uint8).view("<u2").astype(order).tobytes() for channel in PALETTE.T]
    np.testing.assert_array_equal(coloured(path, syntax, tables, bits=8), PALETTE)


@pytest.mark.parametrize("syntax", [ExplicitVRLittleEndian, ExplicitVRBigEndian])
@pytest.mark.parametrize("bits", [8, 16])
def test_a_palette_in_segments(tmp_path: Path, syntax: str, bits: int) -> None:
    """Four entries one by one, a ramp, both once more, and the rest level."""
    most = 255 if bits == 8 else 65535
    ramp = np.floor(most * np.arange(1, 101) / 100 + 0.5)
    expected = np.concatenate([[9, 8, 7, 0], ramp, [9, 8, 7, 0], ramp, np.full(48, most)])
    offset = [0, 0, 0, 0] if bits == 8 else [0, 0]
    codes = np.array([0, 4, 9, 8, 7, 0, 1, 100, most, 2, 2, *offset, 1, 48, most])
    order = ">u2" if syntax == ExplicitVRBigEndian else "<u2"
    words = np.append(codes, [0] * (len(codes) % 2)).astype(np.uint8).view("<u2") if bits == 8 else codes
    found = coloured(tmp_path / "a.dcm", syntax, [words.astype(order).tobytes()] * 3, "Segmented", bits)
    np.testing.assert_array_equal(found[:, 0], np.floor(expected * 255 / most + 0.5))


def test_numbers_beside_a_palette_have_its_ends(tmp_path: Path) -> None:
    tables = [channel.astype(np.uint8).tobytes() for channel in PALETTE[:100].T]
    described = {f"{name}PaletteColorLookupTableDescriptor": [100, 50, 8] for name in ("Red", "Green", "Blue")}
    found = coloured(tmp_path / "a.dcm", ExplicitVRLittleEndian, tables, bits=8, **described)
    np.testing.assert_array_equal(found, PALETTE[:100][np.clip(np.arange(256) - 50, 0, 99)])


@pytest.mark.parametrize("tables", [[b"\0\1"] * 3, [b"\x01\0\x09\0\x09\0"] * 3])
@pytest.mark.parametrize("prefix", ["", "Segmented"])
def test_a_damaged_palette_is_refused(tmp_path: Path, tables: list[bytes], prefix: str) -> None:
    with pytest.raises(UnreadableError, match="damaged header"):
        coloured(tmp_path / "a.dcm", ExplicitVRLittleEndian, tables, prefix)


def test_each_frame_has_its_own_slope_and_window(tmp_path: Path) -> None:
    frames = dicom_files.enhanced(tmp_path / "e.dcm", Modality="XA")
    for part, frame in enumerate(frames):
        image = read_image(tmp_path / "e.dcm", "dicom-image", part)
        np.testing.assert_array_equal(image.data[0], frame * (2 + part % 2 / 2))
        assert image.window == (0, 65535 * (2 + part % 2 / 2))


_HTJ2K = base64.b64decode(
    b"/0//UQApQAAAAAAYAAAAEAAAAAAAAAAAAAACAAAAAgAAAAAAAAAAAAABjwEB/1AACAACAAAAC/9SAAwAAgABAAEEBEAB/1wAByCQkJCY/2QAFwAB"
    b"T3BlbkpQSCBWZXIgMC4xNC4wLv+QAAoAAAAAANIAAf+TwAAX0gDPj3nnz52604Sn/DXBOn9fse7wV74cvunlgU1hEdyzuDHufX7MnZ87dacJT/k7"
    b"YZ2fKxJ1mHamgy64D7MWf7gnZ4xBF5qFubAqTL1VP9WX2A/TJWICt7agKCXnHd5yMmAwKJrT5AJywnBpFbzqEe5nDJDcFwAUHXWsEklHqGVAyimB"
    b"AEZxCADQxgBVGMAxvAHAABXQAAW0CIIgCIIg8/p6enCCeAC0NBqNRqPRaDQa7f8QAhAe/YhAe/YhAey/AP/Z"
)
"""A ramp of 16 bits by OpenJPH, lossless, in the order of progression RPCL: nothing that is installed writes such."""


@pytest.mark.parametrize("syntax", [HTJ2K, HTJ2KLossless, HTJ2KLosslessRPCL])
def test_high_throughput_jpeg_2000(tmp_path: Path, syntax: str) -> None:
    made = dicom_files.dataset(Rows=16, Columns=24)
    path = save(made, tmp_path / "a.dcm", syntax, [_HTJ2K])
    row, column = np.mgrid[:16, :24]
    np.testing.assert_array_equal(read_frames(path)[2][0], 37 * column + 91 * row - 1000)
    damaged = _HTJ2K[:100] + bytes(len(_HTJ2K) - 100)
    with pytest.raises(UnreadableError, match="of High-Throughput JPEG 2000"):
        read_frames(save(made, tmp_path / "b.dcm", syntax, [damaged]))


@pytest.mark.parametrize("syntax", [ExplicitVRLittleEndian, ExplicitVRBigEndian])
def test_a_table_of_the_modality(tmp_path: Path, syntax: str) -> None:
    table = np.arange(2000, dtype=np.uint16)[::-1] * 3
    made = dicom_files.dataset(Modality="DX", RescaleSlope=None, RescaleIntercept=None)
    item = dicom_files.item(LUTDescriptor=[2000, 0, 16], ModalityLUTType="US")
    item.add_new("LUTData", "OW", table.astype(">u2" if syntax == ExplicitVRBigEndian else "<u2").tobytes())
    item["LUTDescriptor"].VR = "US"
    made.ModalityLUTSequence = [item]
    made.PixelData = dicom_files.pixels_of(0).astype(">i2" if syntax == ExplicitVRBigEndian else "<i2").tobytes()
    image = read_image(save(made, tmp_path / "a.dcm", syntax), "dicom-image")
    np.testing.assert_array_equal(image.data[0], table[dicom_files.pixels_of(0)])
    assert image.window == (0, 65535)


@pytest.mark.parametrize("keyword", ["FloatPixelData", "DoubleFloatPixelData"])
def test_a_parametric_map_of_floating_point_numbers(tmp_path: Path, keyword: str) -> None:
    dtype = np.float32 if keyword == "FloatPixelData" else np.float64
    values = np.random.default_rng(0).standard_normal((4, 6)).astype(dtype)
    changes: dict[str, Any] = {"PixelData": None, keyword: values.tobytes(), "BitsAllocated": 8 * values.itemsize}
    changes |= dict.fromkeys(("BitsStored", "HighBit", "PixelRepresentation", "RescaleSlope", "RescaleIntercept"))
    image = read_image(dicom_files.radiograph(tmp_path / "a.dcm", **changes), "dicom-image")
    np.testing.assert_array_equal(image.data[0], values.astype(np.float32))


def test_one_bit_a_pixel(tmp_path: Path) -> None:
    bits = np.random.default_rng(0).integers(0, 2, (3, 3, 5)).astype(np.uint8)
    data = np.packbits(bits.reshape(-1), bitorder="little").tobytes()
    options = {"Rows": 3, "Columns": 5, "BitsAllocated": 1, "BitsStored": 1, "HighBit": 0, "NumberOfFrames": 3}
    path = dicom_files.radiograph(tmp_path / "a.dcm", **options, PixelData=data + b"\0" * (len(data) % 2))
    for part in range(3):
        np.testing.assert_array_equal(read_image(path, "dicom-image", part).data[0], bits[part])
