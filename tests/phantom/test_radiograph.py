"""Radiographs of synthetic chests: what must be seen in them, and that both kinds of file show the same."""

from pathlib import Path

import numpy as np
import pytest

from medcl.archive.scan import scan
from medcl.modality.formats import read_image
from medcl.phantom import ct
from medcl.phantom import ct as chest
from medcl.phantom.person import Study, draw_person, draw_studies
from medcl.phantom.radiograph import grey, project, write_dicom, write_png


@pytest.fixture(scope="module")
def image() -> np.ndarray:
    rng = np.random.default_rng(0)
    anatomy = chest.draw_chest("none", rng)
    volume = ct.scan_ct(anatomy, ct.draw_scanner(rng), rng)
    return project(volume, np.random.default_rng(1))


def _study(key: str = "x") -> Study:
    rng = np.random.default_rng(2)
    return draw_studies(draw_person("F", 60, rng), 1, key, rng)[0]


def test_lungs_are_dark_between_the_spine_and_the_walls(image: np.ndarray) -> None:
    rows, columns = image.shape
    assert rows == pytest.approx(224 / 1.4, abs=1)
    assert columns == pytest.approx(352 / 1.4, abs=1)
    upper = grey(image)[rows // 4 : rows // 2].mean(axis=0) / 4095
    middle = columns // 2
    lungs = upper[middle - 60 : middle - 30].mean(), upper[middle + 30 : middle + 60].mean()
    assert max(lungs) < upper[middle - 10 : middle + 10].mean() - 0.2
    assert upper[:4].mean() < 0.1


def test_the_liver_is_on_the_left_of_the_picture(image: np.ndarray) -> None:
    rows, columns = image.shape
    lower = image[-rows // 6 :]
    assert lower[:, : columns // 2].mean() > lower[:, columns // 2 :].mean()


@pytest.mark.parametrize("dark", [False, True])
def test_the_dicom_shows_what_the_png_shows(tmp_path: Path, image: np.ndarray, dark: bool) -> None:
    dicom = read_image(write_dicom(tmp_path / "a" / "a.dcm", image, _study(), dark=dark), "dicom-image")
    low, high = dicom.window
    assert high - low == pytest.approx(4095)
    shown = (dicom.data[0] - low) / (high - low)
    for bits in (8, 16):
        png = read_image(write_png(tmp_path / "b.png", image, bits=bits), "png")
        np.testing.assert_allclose(png.data[0] / png.window[1], shown, atol=0.5 / 255 + 1e-3)


def test_a_scan_finds_radiographs_with_their_patient(tmp_path: Path, image: np.ndarray) -> None:
    for number in range(2):
        write_dicom(tmp_path / f"{number}.dcm", image, _study(), number=number, dark=bool(number))
    write_png(tmp_path / "c.png", image)
    manifest = scan(tmp_path, salt=b"the salt of the tests", jobs=1)
    assert manifest.column("status").tolist() == ["ok"] * 3
    assert manifest.column("modality").tolist() == ["xray", "xray", "image"]
    assert len(set(manifest.column("patient")[:2])) == 1
    assert len(set(manifest.column("series")[:2])) == 2


def test_the_same_study_gives_the_same_bytes(tmp_path: Path, image: np.ndarray) -> None:
    files = [write_dicom(tmp_path / name, image, _study()) for name in ("a.dcm", "b.dcm")]
    assert files[0].read_bytes() == files[1].read_bytes()
