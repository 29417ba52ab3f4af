from dataclasses import replace
from pathlib import Path

import numpy as np
import pydicom
import pytest
from nibabel.nicom import dicomwrappers
from pydicom.data import get_testdata_file
from pydicom.pixels import apply_modality_lut

from medcl.errors import UnreadableError
from medcl.modality.dicom.slice import read_slices
from medcl.modality.dicom.stacks import Stack, stacks_of
from medcl.modality.volume.formats.dicom import read_header, read_volume, stack_grid
from medcl.modality.volume.record import Volume
from tests.modality.dicom.dicom_files import COLUMNS, ROWS, enhanced, item, pixels_of, series, write


def stack_of(folder: Path, **changes: object) -> Stack:
    (stack,) = stacks_of(series(folder, **changes))
    return stack


def as_stored(volume: Volume) -> np.ndarray:
    """(slices, rows, columns)."""
    return volume.as_stored(volume.data[0]).T


def test_a_ct_is_in_hu_on_axes_of_ras(tmp_path: Path) -> None:
    stack = stack_of(tmp_path)
    header = read_header(stack)
    assert (header.modality, header.format, header.unit, header.dtype) == ("ct", "dicom", "HU", "int16")
    assert header.ids == {"patient": "secret-id", "study": "1.2.3", "series": "1.2.3.4"}
    assert header.files == tuple(f"{number}.dcm" for number in range(5))
    volume = read_volume(stack, tmp_path)
    assert volume.data.dtype == np.int16
    assert volume.data.shape == (1, COLUMNS, ROWS, 5)
    assert volume.grid.orientation == "RAS"
    np.testing.assert_array_equal(as_stored(volume), np.stack([pixels_of(number) for number in range(5)]) - 1024)
    # DICOM's first pixel is the rightmost and foremost one.
    assert volume.data[0, -1, -1, 0] == pixels_of(0)[0, 0] - 1024
    np.testing.assert_allclose(volume.grid.affine @ [COLUMNS - 1, ROWS - 1, 0, 1], [10, 20, 5, 1])


def test_the_real_ct_is_pydicoms_voxel_for_voxel(real_data: Path) -> None:
    root = real_data / "dicom_ct_dcmqa_ge"
    paths = sorted(root.glob("GE/*.dcm"))
    (stack,) = stacks_of([one for path in paths for one in read_slices(path, root)])
    volume = read_volume(stack, root)
    assert volume.data.dtype == np.int16
    stored = as_stored(volume)
    for number, path in enumerate(paths):
        file = pydicom.dcmread(path)
        expected = file.pixel_array * float(file.RescaleSlope) + float(file.RescaleIntercept)
        np.testing.assert_array_equal(stored[number], expected)


@pytest.mark.parametrize(
    "name", ["CT_small", "693_J2KI", "J2K_pixelrep_mismatch", "MR_small_RLE", "MR_small_bigendian"]
)
def test_shipped_files_are_pydicoms_and_nibabels_voxel_for_voxel(name: str) -> None:
    path = Path(str(get_testdata_file(f"{name}.dcm", download=False)))
    (stack,) = stacks_of(read_slices(path, path.parent))
    volume = read_volume(stack, path.parent)
    file = pydicom.dcmread(path)
    slope, intercept = float(file.get("RescaleSlope", 1)), float(file.get("RescaleIntercept", 0))
    np.testing.assert_array_equal(as_stored(volume)[0], file.pixel_array * slope + intercept)
    # nibabel: (row, column), LPS.
    reference = dicomwrappers.wrapper_from_file(path)
    voxels = reference.get_data()
    to_ras = np.linalg.inv(volume.grid.affine) @ np.diag([-1.0, -1, 1, 1])
    for row, column in ((0, 0), (5, 17), (60, 3)):
        place = to_ras @ reference.affine @ [row, column, 0, 1]
        x, y, z = np.round(place[:3]).astype(int)
        np.testing.assert_allclose(place[:3], [x, y, z], atol=1e-3)
        assert volume.data[0, x, y, z] == voxels[row, column]


def test_every_slice_is_rescaled_by_its_own_slope(tmp_path: Path) -> None:
    for number, slope in enumerate((1, 2.5, 0.1)):
        write(tmp_path / f"{number}.dcm", number, RescaleSlope=slope, RescaleIntercept=-number, Modality="PT")
    (stack,) = stacks_of([one for path in tmp_path.iterdir() for one in read_slices(path, tmp_path)])
    volume = read_volume(stack, tmp_path)
    assert volume.unit == "stored"
    assert volume.data.dtype == np.float32
    expected = [pixels_of(number) * slope - number for number, slope in enumerate((1, 2.5, 0.1))]
    np.testing.assert_allclose(as_stored(volume), expected, rtol=1e-6)


def table_of_the_modality(kind: str, first: int = 0) -> pydicom.Dataset:
    """A Modality LUT that turns the stored numbers of `pixels_of` round."""
    table = item(LUTDescriptor=[2000, first, 16], ModalityLUTType=kind)
    table.add_new("LUTData", "OW", (np.arange(2000, dtype="<u2")[::-1] * 2).tobytes())
    table["LUTDescriptor"].VR = "US"
    return table


@pytest.mark.parametrize("first", [0, 700])
@pytest.mark.parametrize(("modality", "kind", "unit"), [("CT", "HU", "HU"), ("PT", "OD", "stored")])
def test_a_table_in_the_place_of_slope_and_intercept_is_pydicoms(
    tmp_path: Path, modality: str, kind: str, unit: str, first: int
) -> None:
    plain: dict[str, object] = {"RescaleSlope": None, "RescaleIntercept": None, "RescaleType": None}
    stack = stack_of(tmp_path, Modality=modality, ModalityLUTSequence=[table_of_the_modality(kind, first)], **plain)
    volume = read_volume(stack, tmp_path)
    assert (volume.unit, volume.data.dtype) == (unit, np.int16)
    for number, shown in enumerate(as_stored(volume)):
        file = pydicom.dcmread(tmp_path / f"{number}.dcm")
        np.testing.assert_array_equal(shown, apply_modality_lut(file.pixel_array, file))


@pytest.mark.parametrize(
    ("kind", "reason"),
    [("US", "nor a Modality LUT in HU"), ("OD", "a map in OD units"), ("Secret", "a map in unknown")],
)
def test_a_ct_whose_table_is_not_said_to_be_in_hu_is_refused(tmp_path: Path, kind: str, reason: str) -> None:
    plain: dict[str, object] = {"RescaleSlope": None, "RescaleIntercept": None, "RescaleType": None}
    stack = stack_of(tmp_path, ModalityLUTSequence=[table_of_the_modality(kind)], **plain)
    with pytest.raises(UnreadableError, match=reason):
        read_volume(stack, tmp_path)


def test_of_a_ct_with_slope_and_table_the_slope_counts(tmp_path: Path) -> None:
    stack = stack_of(tmp_path, ModalityLUTSequence=[table_of_the_modality("US")])
    np.testing.assert_array_equal(as_stored(read_volume(stack, tmp_path))[1], pixels_of(1) - 1024)


def test_a_damaged_table_is_found_in_the_header(tmp_path: Path) -> None:
    table = table_of_the_modality("HU")
    table.LUTData = table.LUTData[:100]
    with pytest.raises(UnreadableError, match="a lookup table of 100 entries, it states 2000"):
        stack_of(tmp_path, RescaleSlope=None, ModalityLUTSequence=[table])


def test_numbers_beyond_int16_are_float32(tmp_path: Path) -> None:
    volume = read_volume(stack_of(tmp_path, RescaleSlope=100, RescaleIntercept=0), tmp_path)
    assert volume.data.dtype == np.float32
    np.testing.assert_array_equal(as_stored(volume)[2], pixels_of(2) * 100.0)


def test_monochrome1_is_inverted_within_its_bits_but_hu_stay_hu(tmp_path: Path) -> None:
    inverted = {"PhotometricInterpretation": "MONOCHROME1", "BitsStored": 12, "HighBit": 11, "PixelRepresentation": 0}
    plain = {"RescaleSlope": None, "RescaleIntercept": None}
    mr = read_volume(stack_of(tmp_path, Modality="MR", **plain, **inverted), tmp_path)
    assert mr.data.dtype == np.int16
    np.testing.assert_array_equal(as_stored(mr)[1], 4095 - pixels_of(1))
    signed = read_volume(stack_of(tmp_path, Modality="MR", **plain, **{**inverted, "PixelRepresentation": 1}), tmp_path)
    np.testing.assert_array_equal(as_stored(signed)[1], -1 - pixels_of(1))
    ct = read_volume(stack_of(tmp_path, **inverted), tmp_path)
    np.testing.assert_array_equal(as_stored(ct)[1], pixels_of(1) - 1024)


def test_an_enhanced_object_is_a_volume_for_each_contrast(tmp_path: Path) -> None:
    frames = enhanced(tmp_path / "e.dcm")
    for echo, stack in enumerate(stacks_of(read_slices(tmp_path / "e.dcm", tmp_path))):
        assert read_header(stack).files == ("e.dcm",)
        volume = read_volume(stack, tmp_path)
        np.testing.assert_array_equal(as_stored(volume), frames[echo::2] * (2 + echo / 2))
        assert volume.grid.orientation == "RAS"
        # Frame 0, its first pixel: 30 mm to the left, 7 mm in front, 12 mm up.
        x, y, z = np.round(np.linalg.inv(volume.grid.affine) @ [-30, 7, 12, 1]).astype(int)[:3]
        assert volume.data[0, x, y, z] == frames[echo, 0, 0] * (2 + echo / 2)


@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        ({"Modality": "US"}, "modality US: volumes are of CT, MR or PT"),
        ({"RescaleSlope": None}, "cannot be told in HU"),
        ({"RescaleType": "MGML"}, "a map in MGML"),
        ({"RescaleSlope": 0}, "slope of 0"),
        ({"PixelSpacing": [0, 0]}, "zero spacing"),
        ({"PixelSpacing": [-0.5, 0.75]}, "negative pixel spacing"),
        ({"ImagePositionPatient": None}, "no position"),
    ],
)
def test_what_is_no_volume_is_refused_in_words(tmp_path: Path, changes: dict[str, object], reason: str) -> None:
    (stack,) = stacks_of(series(tmp_path, 1, **changes))
    with pytest.raises(UnreadableError, match=reason) as refused:
        read_volume(stack, tmp_path)
    assert "secret" not in str(refused.value).lower()


def test_a_header_whose_damage_swallowed_the_name_is_not_quoted(tmp_path: Path) -> None:
    stack = stack_of(tmp_path)
    for field in ("modality", "photometric", "rescale_type"):
        swallowed = tuple(replace(one, **{field: "CT\x10\x00\x10\x00PN\x0bSECRET^NAME"}) for one in stack.slices)
        with pytest.raises(UnreadableError, match="unknown") as refused:
            read_header(replace(stack, slices=swallowed))
        assert "SECRET" not in str(refused.value)


def test_colour_is_refused(tmp_path: Path) -> None:
    path = Path(str(get_testdata_file("SC_rgb_rle.dcm", download=False)))
    (stack,) = stacks_of(read_slices(path, path.parent))
    with pytest.raises(UnreadableError, match=r"a colour image \(RGB\)"):
        read_header(stack)


def test_pixels_that_were_damaged_since_the_scan_are_refused(tmp_path: Path) -> None:
    stack = stack_of(tmp_path)
    whole = (tmp_path / "2.dcm").read_bytes()
    (tmp_path / "2.dcm").write_bytes(whole[:-20])
    with pytest.raises(UnreadableError, match="pixel data"):
        read_volume(stack, tmp_path)
    (tmp_path / "2.dcm").unlink()
    with pytest.raises(UnreadableError, match="cannot be read"):
        read_volume(stack, tmp_path)
    write(tmp_path / "2.dcm", 2, Rows=ROWS // 2, PixelData=pixels_of(2)[: ROWS // 2].tobytes())
    with pytest.raises(UnreadableError, match="another size"):
        read_volume(stack, tmp_path)
    assert stack_grid(replace(stack, slices=stack.slices[:2])).shape == (COLUMNS, ROWS, 2)


def test_a_compressed_image_that_is_damaged_is_refused(tmp_path: Path) -> None:
    content = bytearray(Path(str(get_testdata_file("MR_small_jp2klossless.dcm", download=False))).read_bytes())
    start = content.index(b"\xff\x4f\xff\x51")  # start of the code stream and its size
    (tmp_path / "a.dcm").write_bytes(content[: start + 100] + bytes(400) + content[start + 500 :])
    (stack,) = stacks_of(read_slices(tmp_path / "a.dcm", tmp_path))
    with pytest.raises(UnreadableError, match="JPEG 2000"):
        read_volume(stack, tmp_path)
    (tmp_path / "a.dcm").write_bytes(content[:start] + bytes(40) + content[start + 40 :])
    with pytest.raises(UnreadableError, match="JPEG 2000"):
        read_slices(tmp_path / "a.dcm", tmp_path)


def test_voxels_that_are_no_number_are_counted(tmp_path: Path) -> None:
    pixels = pixels_of(0).astype(np.float32)
    pixels[1, 2:4] = np.nan
    changes = {"PixelData": None, "FloatPixelData": pixels.tobytes(), "BitsAllocated": 32, "Modality": "PT"}
    for keyword in ("PixelRepresentation", "BitsStored", "HighBit"):
        changes[keyword] = None
    (stack,) = stacks_of(series(tmp_path, 1, **changes))
    with pytest.raises(UnreadableError, match="2 of 24 voxels are not a number"):
        read_volume(stack, tmp_path)


@pytest.mark.parametrize(
    ("process", "uid"),
    [("JPEGLosslessProcess14_1", "1.2.840.10008.1.2.4.70"), ("JPEGBaselineProcess1", "1.2.840.10008.1.2.4.50")],
)
def test_jpeg_is_decoded(tmp_path: Path, process: str, uid: str) -> None:
    """Lossless, as most archives of CT are, and lossy in 8 bits; pydicom ships no such files, so gdcm writes them."""
    import gdcm

    bits = {"BitsAllocated": 8, "BitsStored": 8, "HighBit": 7, "PixelRepresentation": 0, "Rows": 16, "Columns": 16}
    smooth = np.add.outer(np.arange(16), np.arange(16)).astype(np.uint8) * 5
    lossy = process == "JPEGBaselineProcess1"
    plain = stack_of(tmp_path, **({**bits, "PixelData": smooth.tobytes()} if lossy else {}))
    reader, change, writer = gdcm.ImageReader(), gdcm.ImageChangeTransferSyntax(), gdcm.ImageWriter()
    reader.SetFileName(str(tmp_path / "0.dcm"))
    assert reader.Read()
    change.SetTransferSyntax(gdcm.TransferSyntax(getattr(gdcm.TransferSyntax, process)))
    change.SetInput(reader.GetImage())
    assert change.Change()
    (tmp_path / "compressed").mkdir()
    writer.SetFileName(str(tmp_path / "compressed" / "0.dcm"))
    writer.SetFile(reader.GetFile())
    writer.SetImage(change.GetOutput())
    assert writer.Write()
    (stack,) = stacks_of(read_slices(tmp_path / "compressed" / "0.dcm", tmp_path))
    assert stack.slices[0].transfer_syntax == uid
    expected = read_volume(replace(plain, slices=plain.slices[:1]), tmp_path)
    np.testing.assert_allclose(read_volume(stack, tmp_path).data, expected.data, atol=3 if lossy else 0)
