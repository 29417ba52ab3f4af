"""Grey TIFF images: the numbers of the file, and no others."""

import struct
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from medcl.errors import UnreadableError
from medcl.modality.formats import identify, read_header, read_image

EIGHT = np.random.default_rng(0).integers(0, 256, (37, 20)).astype(np.uint8)
DEEP = np.random.default_rng(0).integers(0, 65536, (37, 20)).astype(np.uint16)


def written_out(path: Path, pixels: np.ndarray, order: str = "<", *, strips: int = 1, **changes: int | None) -> Path:
    """An uncompressed TIFF as the specification has it, byte by byte; a tag that is None is left out."""
    rows, columns = pixels.shape
    content = pixels.astype(pixels.dtype.newbyteorder(order)).tobytes()
    each = -(-rows // strips)
    counts = [columns * pixels.itemsize * (min(rows, first + each) - first) for first in range(0, rows, each)]
    lists = struct.pack(f"{order}{strips}I", *(8 + sum(counts[:i]) for i in range(strips)))
    lists += struct.pack(f"{order}{strips}I", *counts)
    at = 8 + len(content)
    tags: dict[int, tuple[int, int, int]] = {
        256: (3, 1, columns),
        257: (3, 1, rows),
        258: (3, 1, 8 * pixels.itemsize),
        259: (3, 1, 1),
        262: (3, 1, changes.get("photometric") or 0),
        273: (4, strips, at if strips > 1 else 8),
        274: (3, 1, changes.get("orientation") or 1),
        277: (3, 1, changes.get("samples") or 1),
        278: (3, 1, each),
        279: (4, strips, at + 4 * strips if strips > 1 else counts[0]),
        339: (3, 1, changes.get("kind") or 1),
    }
    directory = struct.pack(f"{order}H", len(tags))
    for tag, (kind, count, value) in tags.items():
        short = kind == 3 and count == 1
        directory += struct.pack(
            f"{order}HHI" + ("HH" if short else "I"), tag, kind, count, *([value, 0] if short else [value])
        )
    head = (b"II" if order == "<" else b"MM") + struct.pack(f"{order}HI", 42, at + len(lists))
    path.write_bytes(head + content + lists + directory + struct.pack(f"{order}I", changes.get("next") or 0))
    return path


def read(path: Path) -> np.ndarray:
    """The image, as its header says it is."""
    assert identify(path) == "tiff"
    header, image = read_header(path, "tiff"), read_image(path, "tiff")
    assert (header.n_channels, header.rows, header.columns) == image.data.shape
    assert header.dtype == image.data.dtype.name
    assert image.window == (0, np.iinfo(image.data.dtype).max)
    return image.data[0]


@pytest.mark.parametrize("pixels", [EIGHT, DEEP], ids=["8 bits", "16 bits"])
@pytest.mark.parametrize("order", ["<", ">"])
@pytest.mark.parametrize("strips", [1, 4])
def test_the_numbers_are_those_of_the_file(tmp_path: Path, pixels: np.ndarray, order: str, strips: int) -> None:
    path = written_out(tmp_path / "a.tif", pixels, order, strips=strips, photometric=1)
    np.testing.assert_array_equal(read(path), pixels)
    if (pixels.itemsize, order) == (2, ">"):
        return  # Pillow does not know the other kind
    # 0 is white: turned round, so that more is brighter.
    path = written_out(tmp_path / "b.tif", pixels, order, strips=strips, photometric=0)
    np.testing.assert_array_equal(read(path), np.iinfo(pixels.dtype).max - pixels)


@pytest.mark.parametrize("pixels", [EIGHT, DEEP], ids=["8 bits", "16 bits"])
@pytest.mark.parametrize("how", ["tiff_lzw", "tiff_adobe_deflate", "packbits", "raw"])
def test_compressed_images(tmp_path: Path, pixels: np.ndarray, how: str) -> None:
    Image.fromarray(pixels).save(tmp_path / "a.tif", compression=how)
    np.testing.assert_array_equal(read(tmp_path / "a.tif"), pixels)


@pytest.mark.parametrize("pixels", [EIGHT, DEEP], ids=["8 bits", "16 bits"])
def test_an_image_is_mirrored_as_it_says_and_not_turned_by_a_quarter(tmp_path: Path, pixels: np.ndarray) -> None:
    # TIFF 6.0: the first row is at the top or the bottom, its first pixel on the left or the right.
    for orientation, upright in ((2, pixels[:, ::-1]), (3, pixels[::-1, ::-1]), (4, pixels[::-1])):
        path = written_out(tmp_path / "a.tif", pixels, photometric=1, orientation=orientation)
        np.testing.assert_array_equal(read(path), upright)
    path = written_out(tmp_path / "a.tif", pixels, photometric=1, orientation=6)
    with pytest.raises(UnreadableError, match="by a quarter"):
        read_header(path, "tiff")


def test_what_is_no_grey_image_of_one_page_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "a.tif"
    grey = Image.fromarray(EIGHT)

    def refused(why: str) -> None:
        for reader in (read_header, read_image):
            with pytest.raises(UnreadableError, match=why):
                reader(path, "tiff")

    grey.convert("RGB").save(path)
    refused("in colours")
    grey.convert("P").save(path)
    refused("in colours")
    grey.convert("1").save(path)
    refused("8 or 16 bits")
    grey.convert("F").save(path)
    refused("8 or 16 bits")
    written_out(path, DEEP, photometric=1, kind=2)
    refused("8 or 16 bits")
    grey.save(path, save_all=True, append_images=[grey, grey])
    refused("3 pages")


def test_a_file_that_ends_early_or_claims_too_much_is_refused_by_its_header(tmp_path: Path) -> None:
    path = written_out(tmp_path / "a.tif", DEEP, photometric=1)
    content = path.read_bytes()
    claims = content.replace(struct.pack("<HHIH", 257, 3, 1, 37), struct.pack("<HHIH", 257, 3, 1, 3700))
    assert claims != content
    path.write_bytes(claims)
    with pytest.raises(UnreadableError, match="fewer bytes than its size needs"):
        read_header(path, "tiff")
    # The directory before the pixels, which are cut off.
    Image.fromarray(EIGHT).save(path, compression="raw")
    for length in (4, 60, len(path.read_bytes()) - 30):
        (tmp_path / "cut.tif").write_bytes(path.read_bytes()[:length])
        with pytest.raises(UnreadableError, match="truncated|damaged"):
            read_header(tmp_path / "cut.tif", "tiff")


def test_damaged_pixels_are_refused_when_they_are_read(tmp_path: Path) -> None:
    Image.fromarray(EIGHT).save(tmp_path / "a.tif", compression="tiff_adobe_deflate")
    content = bytearray((tmp_path / "a.tif").read_bytes())
    start = content.index(b"\x78")
    content[start + 20 : start + 60] = bytes(40)
    (tmp_path / "a.tif").write_bytes(content)
    read_header(tmp_path / "a.tif", "tiff")
    with pytest.raises(UnreadableError, match="damaged|truncated"):
        read_image(tmp_path / "a.tif", "tiff")
