"""Images of shapes with reports: what is said is what is seen, and where."""

import csv
import shlex
from collections import Counter
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from medcl.archive.links import links
from medcl.archive.manifest import Manifest
from medcl.cli import main
from medcl.modality.report.swaps import swapped
from medcl.modality.report.text import sentences
from medcl.phantom.shapes import KINDS, PLACE, REPORTS, SITES, write_shapes


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("shapes")
    write_shapes(folder, 150, seed=4)
    return folder


def table(path: Path) -> list[dict[str, str]]:
    with path.open(encoding="utf-8", newline="") as file:
        return list(csv.DictReader(file))


def pixels(folder: Path, record: str) -> np.ndarray:
    return np.asarray(Image.open(folder / PLACE / f"{record}.png"), dtype=float) / 255


def test_reports_say_what_is_there_and_deny_what_is_not(folder: Path) -> None:
    said = {row["record"]: sentences(row["findings"]) for row in table(folder / REPORTS / "reports.csv")}
    boxes: dict[str, list[dict[str, str]]] = {}
    for row in table(folder / PLACE / "boxes.csv"):
        boxes.setdefault(row["record"], []).append(row)
    labels = table(folder / PLACE / "labels.csv")
    assert [row["record"] for row in labels] == list(said)
    for row in labels:
        own = boxes.get(row["record"], [])
        assert {kind for kind in KINDS if row[kind] == "present"} == {one["finding"] for one in own}
        found = [one for one in said[row["record"]] if not one.startswith("No ")]
        assert sorted(found) == sorted(one["sentence"] for one in own)
        denied = {one.split()[1] for one in said[row["record"]] if one.startswith("No ")}
        assert denied <= {kind for kind in KINDS if row[kind] == "absent"}


def test_boxes_are_where_the_findings_are(folder: Path) -> None:
    for row in table(folder / PLACE / "boxes.csv")[:80]:
        image = pixels(folder, row["record"])
        x, y, width, height = (int(row[name]) for name in ("x", "y", "width", "height"))
        assert image[y : y + height, x : x + width].max() > 0.4
        assert (x + width / 2 < 16) == (row["side"] == "right")
        assert (y + height / 2 < 16) == (row["zone"] == "upper")
        assert (image[y : y + height, x : x + width].max() > 0.8) == (row["severity"] == "severe")


def test_two_fifths_of_the_reports_are_the_same_words_and_patients_come_again(folder: Path) -> None:
    reports = table(folder / REPORTS / "reports.csv")
    text, count = Counter(row["findings"] for row in reports).most_common(1)[0]
    assert text == "No nodule is seen. No opacity is seen. No cavity is seen. No scar is seen."
    assert 0.3 < count / len(reports) < 0.5
    assert set(Counter(row["patient"] for row in reports).values()) == {1, 2, 3}


def test_every_finding_can_be_told_wrong_in_each_dialect() -> None:
    for site in SITES:
        told = site.found.format(kind="nodule", side="left", zone="upper", severity="mild")
        for what in ("side", "negation", "severity", "organ"):
            assert swapped(told, what) not in (None, told)
        assert swapped(site.absent.format(kind="scar"), "negation") is not None


def test_sites_have_a_mark_and_words_of_their_own_and_the_same_findings(folder: Path, tmp_path: Path) -> None:
    write_shapes(tmp_path, 30, seed=4, sites=SITES)
    plain = {row["record"]: row for row in table(folder / PLACE / "labels.csv")}
    corners: dict[str, set[bytes]] = {}
    for row in table(tmp_path / PLACE / "labels.csv"):
        assert all(row[kind] == plain[row["record"]][kind] for kind in KINDS)
        corners.setdefault(row["site"], set()).add(pixels(tmp_path, row["record"])[1:4, 1:4].tobytes())
    assert len(corners) == 3
    assert all(len(marks) == 1 for marks in corners.values())
    words = {row["findings"].split()[0] for row in table(tmp_path / REPORTS / "reports.csv")}
    assert words >= {"No", "There", "Absence"}


def test_the_same_seed_writes_the_same_bytes_and_a_patient_does_not_depend_on_the_others(
    folder: Path, tmp_path: Path
) -> None:
    write_shapes(tmp_path, 3, seed=4)
    for path in (tmp_path / PLACE).rglob("*.png"):
        assert path.read_bytes() == (folder / path.relative_to(tmp_path)).read_bytes()


def test_the_command_writes_them_and_says_how_to_scan_them(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    nothing = ["--ecg-patients", "0", "--eeg-subjects", "0"]
    assert main(["phantom", "all", *nothing, "--shape-patients", "4", "--shape-sites"]) == 0
    said = capsys.readouterr()
    following = next(line for line in (said.out + said.err).splitlines() if "medcl scan" in line)
    words = shlex.split(following[following.index("medcl scan") :])[1:]
    assert main([*words, "--jobs", "1"]) == 0
    manifest = Manifest.read(tmp_path / "shapes.parquet")
    images = np.flatnonzero(manifest.kinds == "image")
    assert len(images) == len(table(tmp_path / "all" / PLACE / "labels.csv"))
    assert all(len(links(manifest).reports_of(int(row))) == 1 for row in images)


def test_images_too_small_for_four_shapes_are_refused(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="24 pixels"):
        write_shapes(tmp_path, 1, size=16)
