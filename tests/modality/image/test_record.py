"""Images: what a file shows is what is read, and what cannot be read is refused with the reason."""

import contextlib
import io
import struct
import zlib
from pathlib import Path

import numpy as np
import pytest
from PIL import Image as PillowImage
from PIL import ImageOps

from medcl.errors import UnreadableError
from medcl.modality.formats import read_header, read_image
from medcl.modality.unpack import LARGEST
from tests.modality.dicom import dicom_files


def _noise(*shape: int, dtype: type = np.uint8) -> np.ndarray:
    return np.random.default_rng(0).integers(0, np.iinfo(dtype).max, shape, endpoint=True).astype(dtype)


def _png(path: Path, pixels: np.ndarray | PillowImage.Image, **options: object) -> Path:
    image = pixels if isinstance(pixels, PillowImage.Image) else PillowImage.fromarray(pixels)
    image.save(path, "PNG", **options)
    return path


@pytest.mark.parametrize(
    ("shape", "dtype", "window"),
    [((5, 7), np.uint8, (0, 255)), ((5, 7), np.uint16, (0, 65535)), ((5, 7, 3), np.uint8, (0, 255))],
)
def test_a_png_is_read_as_it_is(tmp_path: Path, shape: tuple[int, ...], dtype: type, window: tuple[int, int]) -> None:
    pixels = _noise(*shape, dtype=dtype)
    path = _png(tmp_path / "a.png", pixels)
    image, header = read_image(path, "png"), read_header(path, "png")
    np.testing.assert_array_equal(image.data, pixels[None] if pixels.ndim == 2 else pixels.transpose(2, 0, 1))
    assert image.data.dtype == dtype
    assert image.window == window
    assert (header.n_channels, header.rows, header.columns) == image.data.shape
    assert header.dtype == image.data.dtype.name


def test_one_bit_is_black_and_white(tmp_path: Path) -> None:
    pixels = _noise(5, 9) > 127
    image = read_image(_png(tmp_path / "a.png", pixels), "png")
    np.testing.assert_array_equal(image.data[0], np.where(pixels, 255, 0))


def test_a_palette_stands_for_its_colours(tmp_path: Path) -> None:
    numbers = PillowImage.fromarray(np.array([[0, 1], [2, 1]], dtype=np.uint8), mode="P")
    numbers.putpalette([9, 9, 9, 200, 200, 200, 50, 50, 50])
    grey = read_image(_png(tmp_path / "grey.png", numbers), "png")
    np.testing.assert_array_equal(grey.data, [[[9, 200], [50, 200]]])
    numbers.putpalette([9, 9, 9, 200, 0, 0, 50, 50, 50])
    colours = read_image(_png(tmp_path / "colours.png", numbers), "png")
    np.testing.assert_array_equal(colours.data[:, 0, 1], [200, 0, 0])
    assert read_header(tmp_path / "colours.png", "png").n_channels == 3


def test_transparent_pixels_lie_on_black(tmp_path: Path) -> None:
    pixels = np.full((2, 2, 4), 200, dtype=np.uint8)
    pixels[0, 0, 3], pixels[0, 1, 3], pixels[1, :, 3] = 0, 128, 255
    path = _png(tmp_path / "a.png", pixels)
    image = read_image(path, "png")
    assert image.data.shape == (3, 2, 2)
    assert image.data[0, 0, 0] == 0
    assert image.data[0, 0, 1] == pytest.approx(100, abs=1)
    assert (image.data[:, 1] == 200).all()
    assert read_header(path, "png").flags == ("transparent pixels",)


def test_a_jpeg_is_turned_as_it_says(tmp_path: Path) -> None:
    pixels = np.zeros((16, 32), dtype=np.uint8)
    pixels[:, 16:] = 250
    exif = PillowImage.Exif()
    exif[0x0112] = 6  # to be turned clockwise by a quarter
    PillowImage.fromarray(pixels).save(tmp_path / "a.jpg", exif=exif, quality=95)
    image, header = read_image(tmp_path / "a.jpg", "jpeg"), read_header(tmp_path / "a.jpg", "jpeg")
    assert image.data.shape == (1, 32, 16) == (header.n_channels, header.rows, header.columns)
    assert image.data[0, :10].max() < 20
    assert image.data[0, 22:].min() > 230


def test_cmyk_becomes_rgb(tmp_path: Path) -> None:
    PillowImage.new("RGB", (16, 16), (250, 10, 10)).convert("CMYK").save(tmp_path / "a.jpg", quality=95)
    image = read_image(tmp_path / "a.jpg", "jpeg")
    np.testing.assert_allclose(image.data.mean(axis=(1, 2)), [250, 10, 10], atol=6)


def test_a_large_jpeg_may_be_decoded_smaller_but_never_too_small(tmp_path: Path) -> None:
    PillowImage.fromarray(np.tile(np.arange(0, 240, dtype=np.uint8), (480, 2))).save(tmp_path / "a.jpg", quality=95)
    whole = read_image(tmp_path / "a.jpg", "jpeg")
    less = read_image(tmp_path / "a.jpg", "jpeg", at_least=100)
    assert whole.data.shape == (1, 480, 480)
    assert less.data.shape == (1, 120, 120)
    np.testing.assert_allclose(
        less.data[0, :, 5:55], whole.data[0].reshape(120, 4, 120, 4).mean((1, 3))[:, 5:55], atol=2
    )


def test_one_pixel_is_an_image(tmp_path: Path) -> None:
    image = read_image(_png(tmp_path / "a.png", np.array([[7]], dtype=np.uint8)), "png")
    assert image.data.tolist() == [[[7]]]


@pytest.mark.parametrize("kept", [0.3, 0.95])
@pytest.mark.parametrize("form", ["png", "jpeg"])
def test_a_truncated_file_is_refused_by_its_header(tmp_path: Path, form: str, kept: float) -> None:
    path = tmp_path / "secret-name.bin"
    PillowImage.fromarray(_noise(64, 64)).save(path, form.upper())
    path.write_bytes(path.read_bytes()[: int(kept * path.stat().st_size)])
    with pytest.raises(UnreadableError, match="truncated file") as refusal:
        read_header(path, form)
    assert "secret" not in str(refusal.value)
    with pytest.raises(UnreadableError, match="truncated|damaged"):
        read_image(path, form)


def test_a_png_that_is_damaged_within_is_refused(tmp_path: Path) -> None:
    path = _png(tmp_path / "a.png", _noise(64, 64))
    content = bytearray(path.read_bytes())
    content[600:700] = bytes(100)
    path.write_bytes(content)
    with pytest.raises(UnreadableError, match="damaged|truncated"):
        read_image(path, "png")


@pytest.mark.parametrize("form", ["png", "jpeg"])
def test_text_is_no_image(tmp_path: Path, form: str) -> None:
    path = tmp_path / "a.jpg"
    path.write_text("No acute findings." * 50)
    with pytest.raises(UnreadableError):
        read_header(path, form)
    with pytest.raises(UnreadableError, match="not a (PNG|JPEG) image"):
        read_image(path, form)


def _chunk(kind: bytes, data: bytes) -> bytes:
    return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))


def _written_png(rows: int, columns: int, packed: bytes, behind: bytes = b"") -> bytes:
    header = _chunk(b"IHDR", struct.pack(">IIBBBBB", columns, rows, 8, 0, 0, 0, 0))
    return b"\x89PNG\r\n\x1a\n" + header + _chunk(b"IDAT", packed) + behind + _chunk(b"IEND", b"")


def test_a_bomb_is_refused_before_it_is_unpacked(tmp_path: Path) -> None:
    for side in (10_000, 60_000):
        (tmp_path / "a.png").write_bytes(_written_png(side, side, zlib.compress(bytes(99))))
        assert side * side > LARGEST
        for read in (read_header, read_image):
            with pytest.raises(UnreadableError, match="smaller copy"):
                read(tmp_path / "a.png", "png")


def test_a_file_that_cannot_hold_the_pixels_of_its_header_is_refused(tmp_path: Path) -> None:
    (tmp_path / "a.png").write_bytes(_written_png(5000, 5000, zlib.compress(bytes(99))))
    PillowImage.fromarray(_noise(40, 40)).save(tmp_path / "a.jpg")
    content = bytearray((tmp_path / "a.jpg").read_bytes())
    at = content.index(b"\xff\xc0\x00\x0b\x08")
    struct.pack_into(">HH", content, at + 5, 5000, 5000)
    (tmp_path / "a.jpg").write_bytes(content)
    for form, name in (("png", "a.png"), ("jpeg", "a.jpg")):
        for read in (read_header, read_image):
            with pytest.raises(UnreadableError, match="cannot hold"):
                read(tmp_path / name, form)
    even = np.zeros((4000, 4000), np.uint8)
    PillowImage.fromarray(even).save(tmp_path / "even.jpg", progressive=True, quality=5)
    PillowImage.fromarray(even).save(tmp_path / "even.png", compress_level=9)
    for form, name in (("png", "even.png"), ("jpeg", "even.jpg")):
        assert read_header(tmp_path / name, form).rows == 4000
        assert read_image(tmp_path / name, form).data.max() < 20


def test_the_header_of_a_png_is_read_without_its_pixels(tmp_path: Path) -> None:
    (tmp_path / "a.png").write_bytes(_written_png(20, 30, b"no deflate" * 9))
    assert read_header(tmp_path / "a.png", "png").columns == 30
    with pytest.raises(UnreadableError, match="damaged|truncated"):
        read_image(tmp_path / "a.png", "png")


@pytest.mark.parametrize("behind", [1, 200_000])
@pytest.mark.parametrize("form", ["png", "jpeg"])
def test_what_lies_behind_an_image_is_said_and_not_read(tmp_path: Path, form: str, behind: int) -> None:
    path = tmp_path / "a.bin"
    PillowImage.fromarray(_noise(64, 48)).save(path, form.upper())
    expected = read_image(path, form).data
    path.write_bytes(path.read_bytes() + bytes(behind))
    assert read_header(path, form).flags == (f"{behind} bytes behind the end of the image: not read",)
    np.testing.assert_array_equal(read_image(path, form).data, expected)


def test_the_end_of_a_small_image_within_a_jpeg_is_not_that_of_the_image(tmp_path: Path) -> None:
    room = io.BytesIO()
    PillowImage.fromarray(_noise(16, 16)).save(room, "JPEG")
    PillowImage.fromarray(_noise(64, 48)).save(tmp_path / "a.jpg", comment=room.getvalue())
    content = (tmp_path / "a.jpg").read_bytes()
    assert content.count(b"\xff\xd9") == 2
    assert read_header(tmp_path / "a.jpg", "jpeg").rows == 64
    (tmp_path / "a.jpg").write_bytes(content[:-500])
    with pytest.raises(UnreadableError, match="truncated file: the end of its JPEG image is missing"):
        read_header(tmp_path / "a.jpg", "jpeg")


@pytest.mark.parametrize("remark", [b"Exif\0\0", b"Exif\0\0MM\0*\0\0\0\x08\xff\xff", b"Exif\0\0II*\0" + bytes(90)])
def test_a_damaged_remark_does_not_cost_an_image(tmp_path: Path, remark: bytes) -> None:
    PillowImage.fromarray(_noise(16, 32)).save(tmp_path / "a.jpg", exif=remark)
    assert read_header(tmp_path / "a.jpg", "jpeg").columns == 32
    assert read_image(tmp_path / "a.jpg", "jpeg").data.shape == (1, 16, 32)


@pytest.mark.parametrize("turned", [1, 2, 3, 4, 5, 6, 7, 8, 9])
def test_a_png_is_turned_as_it_says_also_behind_its_pixels(tmp_path: Path, turned: int) -> None:
    pixels = _noise(3, 5)
    exif = PillowImage.Exif()
    exif[0x0112] = turned
    packed = zlib.compress(b"".join(b"\0" + row.tobytes() for row in pixels))
    (tmp_path / "a.png").write_bytes(
        _written_png(3, 5, packed, _chunk(b"eXIf", exif.tobytes().removeprefix(b"Exif\0\0")))
    )
    expected = np.asarray(ImageOps.exif_transpose(PillowImage.open(tmp_path / "a.png")))
    header = read_header(tmp_path / "a.png", "png")
    assert (header.rows, header.columns) == expected.shape
    np.testing.assert_array_equal(read_image(tmp_path / "a.png", "png").data[0], expected)


def test_a_missing_file_is_said_without_its_path(tmp_path: Path) -> None:
    with pytest.raises(UnreadableError, match="cannot be read: not found") as refusal:
        read_image(tmp_path / "secret.png", "png")
    assert "secret" not in str(refusal.value)


def test_a_radiograph_is_rescaled_and_has_the_window_of_its_header(tmp_path: Path) -> None:
    path = dicom_files.radiograph(
        tmp_path / "a.dcm", 3, RescaleSlope=2, RescaleIntercept=-5, WindowCenter=100.5, WindowWidth=51
    )
    image, header = read_image(path, "dicom-image"), read_header(path, "dicom-image")
    np.testing.assert_array_equal(image.data[0], dicom_files.pixels_of(3).astype(int) * 2 - 5)
    assert image.window == (75, 125)
    assert (header.modality, header.rows, header.columns, header.n_channels) == ("xray", 4, 6, 1)
    assert header.ids == {"patient": "secret-id", "study": "1.2.3", "series": "1.2.3.5.3"}


def test_without_a_window_the_bits_say_what_is_black_and_white(tmp_path: Path) -> None:
    image = read_image(dicom_files.radiograph(tmp_path / "a.dcm"), "dicom-image")
    assert image.window == (0, 4095)
    assert image.data.dtype == np.uint16


def test_monochrome1_is_turned_round_with_its_window(tmp_path: Path) -> None:
    options = {"RescaleSlope": 2, "RescaleIntercept": 10, "WindowCenter": 1000.5, "WindowWidth": 801}
    plain = read_image(dicom_files.radiograph(tmp_path / "a.dcm", **options), "dicom-image")
    turned = read_image(
        dicom_files.radiograph(tmp_path / "b.dcm", **options, PhotometricInterpretation="MONOCHROME1"), "dicom-image"
    )
    scale = [
        (image.data.astype(float) - image.window[0]) / (image.window[1] - image.window[0]) for image in (plain, turned)
    ]
    np.testing.assert_allclose(scale[1], 1 - scale[0], atol=1e-9)
    assert turned.window[0] < turned.window[1]


def test_a_table_of_values_of_interest_says_where_black_and_white_begin(tmp_path: Path) -> None:
    table = np.concatenate([np.zeros(1000), np.linspace(0, 4095, 500), np.full(500, 4095)]).astype(np.uint16)
    item = dicom_files.item(LUTDescriptor=[2000, 100, 12], LUTData=table.tolist())
    item["LUTDescriptor"].VR, item["LUTData"].VR = "US", "US"
    image = read_image(dicom_files.radiograph(tmp_path / "a.dcm", VOILUTSequence=[item]), "dicom-image")
    np.testing.assert_allclose(image.window, (1100, 1600), atol=10)


def test_each_frame_is_one_image(tmp_path: Path) -> None:
    frames = _noise(3, 4, 6)
    path = dicom_files.radiograph(
        tmp_path / "a.dcm", NumberOfFrames=3, PixelData=frames.tobytes(), BitsAllocated=8, BitsStored=8, HighBit=7
    )
    assert read_header(path, "dicom-image").frames == 3
    for part in range(3):
        np.testing.assert_array_equal(read_image(path, "dicom-image", part).data[0], frames[part])
    with pytest.raises(UnreadableError, match="no frame 3"):
        read_image(path, "dicom-image", 3)


def test_colours_of_every_kind_are_red_green_and_blue() -> None:
    import pydicom

    from tests.modality.dicom.pydicom_files import pydicom_file

    for name in ("examples_rgb_color.dcm", "examples_palette.dcm", "examples_ybr_color.dcm", "SC_rgb_rle_16bit.dcm"):
        path = pydicom_file(name)
        image, header = read_image(path, "dicom-image"), read_header(path, "dicom-image")
        assert image.data.dtype == np.uint8
        assert image.data.shape == (3, header.rows, header.columns)
    rgb = pydicom_file("examples_rgb_color.dcm")
    shown = read_image(rgb, "dicom-image").data.transpose(1, 2, 0)
    np.testing.assert_array_equal(shown, pydicom.dcmread(rgb).pixel_array)
    assert read_header(pydicom_file("examples_palette.dcm"), "dicom-image").modality == "us"


@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        ({"Modality": "SEG"}, "modality SEG: neither a volume nor an image"),
        ({"PhotometricInterpretation": "HSV"}, "pixels of HSV"),
        ({"PixelData": bytes(20)}, "wrong pixel data length|truncated"),
    ],
)
def test_what_is_no_image_is_refused(tmp_path: Path, changes: dict[str, object], reason: str) -> None:
    path = dicom_files.radiograph(tmp_path / "a.dcm", **changes)
    with pytest.raises(UnreadableError, match=reason):
        read_header(path, "dicom-image")
    with pytest.raises(UnreadableError):
        read_image(path, "dicom-image")


def test_a_damaged_jpeg_never_ends_the_reader(tmp_path: Path) -> None:
    room = io.BytesIO()
    PillowImage.fromarray(_noise(40, 40)).save(room, "JPEG")
    whole = room.getvalue()
    generator = np.random.default_rng(1)
    for _ in range(200):
        content = np.frombuffer(whole, np.uint8).copy()
        content[generator.integers(2, len(content) - 2, 8)] = generator.integers(0, 256, 8)
        (tmp_path / "a.jpg").write_bytes(content.tobytes())
        for read in (read_header, read_image):
            with contextlib.suppress(UnreadableError):
                read(tmp_path / "a.jpg", "jpeg")
