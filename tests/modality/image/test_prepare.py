"""Preparing pictures: what a store holds is what the files show, at one size and in one range."""

import os
from pathlib import Path

import numpy as np
import pytest
from PIL import Image as Picture

from medcl.archive.manifest import Manifest
from medcl.data.prepare import prepare
from medcl.errors import MedclError, UsageError
from medcl.modality.image.config import ImageConfig
from tests.data.image_archive import pixels_of, write_archive


def _stored(folder: Path, pixels: np.ndarray, **settings: object) -> np.ndarray:
    manifest = write_archive(folder / "archive", {"a": pixels})
    return prepare(manifest, ImageConfig(**settings), folder / "stores", jobs=1).read([0])[0]  # type: ignore[arg-type]


def test_a_picture_of_the_size_is_stored_as_it_is(tmp_path: Path) -> None:
    pixels = pixels_of(0, 30, 50)
    np.testing.assert_array_equal(_stored(tmp_path, pixels, size=(30, 50))[0], pixels)


def test_a_pixel_of_a_smaller_picture_is_the_mean_of_its_area(tmp_path: Path) -> None:
    rows, columns = np.mgrid[:40, :60]
    ramp = (2 * rows + 3 * columns).astype(np.uint8)
    small = _stored(tmp_path, ramp, size=(10, 15))[0]
    inside = (slice(1, -1), slice(1, -1))
    np.testing.assert_allclose(small[inside], ramp.reshape(10, 4, 15, 4).mean((1, 3))[inside], atol=1)
    # Of a pattern finer than the pixels nothing is left but its mean: one pixel in four would show stripes or nothing.
    stripes = np.where(columns % 3 == 0, 240, 0).astype(np.uint8)
    assert np.ptp(_stored(tmp_path / "b", stripes, size=(4, 6))[0][:, 1:-1].astype(int)) <= 12


def test_pad_keeps_the_shape_and_puts_black_around(tmp_path: Path) -> None:
    small = _stored(tmp_path, np.full((40, 20), 200, dtype=np.uint8), size=(10, 10))[0]
    assert (small[:, :2] == 0).all()
    assert (small[:, 8:] == 0).all()
    assert (small[:, 3:7] == 200).all()


def test_crop_keeps_the_shape_and_cuts_both_sides(tmp_path: Path) -> None:
    pixels = np.zeros((40, 80), dtype=np.uint8)
    pixels[:, 20:60] = 200
    small = _stored(tmp_path, pixels, size=(10, 10), fit="crop")
    assert (small[..., 1:-1] == 200).all()
    assert (small > 180).all()


def test_stretch_shows_everything(tmp_path: Path) -> None:
    pixels = np.zeros((40, 80), dtype=np.uint8)
    pixels[:, 40:] = 200
    small = _stored(tmp_path, pixels, size=(10, 10), fit="stretch")[0]
    assert (small[:, :4] == 0).all()
    assert (small[:, 6:] == 200).all()


def test_the_border_is_cut_first(tmp_path: Path) -> None:
    pixels = np.full((40, 40), 255, dtype=np.uint8)
    pixels[4:36, 4:36] = 100
    assert (_stored(tmp_path, pixels, size=(8, 8), border=0.1) == 100).all()


def test_a_window_says_what_is_black_and_white(tmp_path: Path) -> None:
    pixels = np.array([[0, 1000], [2000, 4000]], dtype=np.uint16)
    assert _stored(tmp_path, pixels, size=(2, 2), window=(1000.0, 3000.0)).tolist() == [[[0, 0], [128, 255]]]


def test_sixteen_bits_are_scaled_by_their_range(tmp_path: Path) -> None:
    pixels = np.array([[0, 65535], [32768, 257]], dtype=np.uint16)
    assert _stored(tmp_path, pixels, size=(2, 2)).tolist() == [[[0, 255], [128, 1]]]


def test_percentiles_are_those_of_each_picture(tmp_path: Path) -> None:
    manifest = write_archive(
        tmp_path / "a", {"a": np.arange(100, dtype=np.uint8).reshape(10, 10), "b": np.full((10, 10), 7, np.uint8)}
    )
    store = prepare(manifest, ImageConfig(size=(10, 10), percentiles=(0.0, 100.0)), tmp_path / "s", jobs=1)
    assert (int(store.read([0]).min()), int(store.read([0]).max())) == (0, 255)
    assert "nothing to see" in store.quarantine["b.png"]


@pytest.mark.parametrize("colour", [False, True])
def test_grey_and_coloured_pictures_share_a_store(tmp_path: Path, colour: bool) -> None:
    coloured = np.zeros((8, 8, 3), dtype=np.uint8)
    coloured[..., 0] = 200
    manifest = write_archive(tmp_path / "a", {"grey": np.full((8, 8), 90, np.uint8), "red": coloured})
    store = prepare(manifest, ImageConfig(size=(8, 8), colour=colour), tmp_path / "s", jobs=1)
    grey, red = store.read([0, 1])
    assert store.n_channels == len(grey) == (3 if colour else 1)
    assert (grey == 90).all()
    assert red[:, 0, 0].tolist() == ([200, 0, 0] if colour else [60])


@pytest.mark.parametrize("fit", ["pad", "crop", "stretch"])
@pytest.mark.parametrize("shape", [(1, 1), (1, 300), (3000, 2)])
def test_pictures_of_one_pixel_or_of_one_row_are_stored(tmp_path: Path, fit: str, shape: tuple[int, int]) -> None:
    small = _stored(tmp_path, np.full(shape, 100, dtype=np.uint8), size=(16, 16), fit=fit, border=0.1)
    assert small.shape == (1, 16, 16)
    assert small.max() == 100


def test_records_of_other_kinds_are_passed_over(tmp_path: Path) -> None:
    manifest = write_archive(tmp_path / "a", {"a": pixels_of(0), "b": pixels_of(1)}, others=True)
    store = prepare(manifest, ImageConfig(size=(40, 40)), tmp_path / "s", jobs=1)
    assert store.record_ids.tolist() == ["a.png", "b.png"]
    np.testing.assert_array_equal(store.read([1])[0, 0], pixels_of(1))
    with pytest.raises(MedclError, match="for images .*holds ecg, report"):
        prepare(manifest.select(manifest.kinds != "image"), ImageConfig(), tmp_path / "s")


def test_what_cannot_be_read_is_quarantined_with_the_reason(tmp_path: Path) -> None:
    manifest = write_archive(tmp_path / "a", {name: pixels_of(number) for number, name in enumerate("abcd")})
    (tmp_path / "a" / "b.png").write_bytes((tmp_path / "a" / "b.png").read_bytes()[:200])
    (tmp_path / "a" / "c.png").unlink()
    store = prepare(manifest, ImageConfig(size=(40, 40)), tmp_path / "s", jobs=1)
    assert store.record_ids.tolist() == ["a.png", "d.png"]
    np.testing.assert_array_equal(store.read([1, 0])[:, 0], [pixels_of(3), pixels_of(0)])
    assert store.quarantine["b.png"].startswith("changed since the scan: 200 bytes, the manifest has ")
    assert store.quarantine["c.png"].startswith("cannot be read: not found")
    for path in (tmp_path / "a").iterdir():
        path.write_bytes(b"")
    for name in "ad":
        os.utime(tmp_path / "a" / f"{name}.png")
    with pytest.raises(MedclError, match="none of 4 images can be prepared"):
        prepare(manifest, ImageConfig(size=(41, 40)), tmp_path / "s", jobs=1)


def test_the_store_is_found_again_until_something_changes(tmp_path: Path) -> None:
    manifest = write_archive(tmp_path / "a", {"a": pixels_of(0)})
    config = ImageConfig(size=(20, 20))
    first = prepare(manifest, config, tmp_path / "s", jobs=1)
    (tmp_path / "a" / "a.png").unlink()
    assert prepare(manifest, config, tmp_path / "s", jobs=1).folder == first.folder
    changed = write_archive(tmp_path / "a", {"a": pixels_of(1, 30)})
    assert prepare(changed, config, tmp_path / "s", jobs=1).folder != first.folder
    for other in ({"border": 0.1}, {"fit": "crop"}, {"percentiles": (1.0, 99.0)}, {"colour": True}):
        settings = ImageConfig(size=(20, 20), **other)  # type: ignore[arg-type]
        assert prepare(changed, settings, tmp_path / "s", jobs=1).folder != first.folder
    assert len(list((tmp_path / "s").iterdir())) == 6


def test_the_store_is_the_same_for_any_number_of_processes(tmp_path: Path) -> None:
    manifest = write_archive(tmp_path / "a", {f"{i:03}": pixels_of(i, 20 + i % 7, 20) for i in range(150)})
    (tmp_path / "a" / "070.png").write_bytes(b"no picture")
    one = prepare(manifest, ImageConfig(size=(16, 16)), tmp_path / "one", jobs=1)
    two = prepare(manifest, ImageConfig(size=(16, 16)), tmp_path / "two", jobs=2)
    assert one.record_ids.tolist() == two.record_ids.tolist()
    assert len(one) == 149
    assert one.quarantine == two.quarantine
    np.testing.assert_array_equal(one.read(np.arange(149)), two.read(np.arange(149)))


def test_a_store_does_not_grow_beyond_its_limit(tmp_path: Path) -> None:
    manifest = write_archive(tmp_path / "a", {f"{i}": pixels_of(i) for i in range(10)})
    with pytest.raises(MedclError, match=r"grows beyond the 1e-06 GB of data.largest"):
        prepare(manifest, ImageConfig(size=(40, 40), largest=1e-6), tmp_path / "s", jobs=1)
    assert not list((tmp_path / "s").iterdir())


@pytest.mark.parametrize(
    ("settings", "field"),
    [
        ({"size": (0, 5)}, "data.size"),
        ({"size": (5, 5, 5)}, "data.size"),
        ({"fit": "squeeze"}, "data.fit"),
        ({"border": 0.5}, "data.border"),
        ({"window": (5.0, 5.0)}, "data.window"),
        ({"percentiles": (50.0, 20.0)}, "data.percentiles"),
        ({"percentiles": (1.0, 99.0), "window": (0.0, 1.0)}, "data.window and data.percentiles"),
        ({"largest": -1.0}, "data.largest"),
    ],
)
def test_settings_that_cannot_be_meant_are_refused(tmp_path: Path, settings: dict[str, object], field: str) -> None:
    manifest = write_archive(tmp_path / "a", {"a": pixels_of(0)})
    with pytest.raises(UsageError, match=field):
        prepare(manifest, ImageConfig(**settings), tmp_path / "s")  # type: ignore[arg-type]


def test_a_large_jpeg_is_the_same_but_for_rounding(tmp_path: Path) -> None:
    smooth = Picture.fromarray(pixels_of(0, 12, 12)).resize((1200, 1200), Picture.Resampling.BICUBIC)
    manifest: Manifest = write_archive(tmp_path / "a", {"a": np.asarray(smooth)})
    png = prepare(manifest, ImageConfig(size=(32, 32)), tmp_path / "s", jobs=1).read([0])[0]
    smooth.save(tmp_path / "a" / "a.jpg", quality=97)
    row = manifest.table.to_pylist()[0] | {"path": "a.jpg", "format": "jpeg"}
    jpeg_manifest = Manifest(manifest.table.from_pylist([row], schema=manifest.table.schema), manifest.root)
    jpeg = prepare(jpeg_manifest, ImageConfig(size=(32, 32)), tmp_path / "s2", jobs=1).read([0])[0]
    np.testing.assert_allclose(jpeg.astype(int), png.astype(int), atol=3)
