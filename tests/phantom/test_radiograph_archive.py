"""A folder of radiographs with reports: pairs of images and texts that agree, without any download."""

import csv
import re
from pathlib import Path

import numpy as np
import pydicom
import pytest
from scipy.ndimage import binary_dilation, zoom

from medcl.archive.links import links
from medcl.archive.manifest import Manifest
from medcl.cli import main
from medcl.modality.report.record import read_reports
from medcl.phantom import ct
from medcl.phantom import ct as chest
from medcl.phantom.radiograph import draw_chest_patient, project, write_radiographs
from medcl.phantom.volumes import write_ct

TINY = (24, 24, 12)


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("radiographs")
    words = ["--ecg-patients", "0", "--eeg-subjects", "0", "--xray-patients", "4", "--reports", "--seed", "3"]
    assert main(["phantom", str(folder), *words]) == 0
    return folder


def table(path: Path) -> list[dict[str, str]]:
    with path.open(encoding="utf-8", newline="") as file:
        return list(csv.DictReader(file))


def test_reports_tell_the_lesion_and_its_side(folder: Path) -> None:
    labels = {row["record"]: row for row in table(folder / "xray" / "labels.csv")}
    assert {row["lesion"] for row in labels.values()} == {"none", "smooth", "spiculated"}
    reports = table(folder / "reports" / "xray" / "reports.csv")
    assert [row["record"] for row in reports] == list(labels)
    for row in reports:
        of, said = labels[row["record"]], row["findings"].lower()
        assert ("spiculated" in said) == (of["lesion"] == "spiculated")
        assert f"{of['side']} lung" in said or of["side"] == "none"
        assert (" cm" in said) == (of["lesion"] != "none")


def test_a_lesion_casts_a_shadow_on_its_side() -> None:
    seen = 0
    for number in range(9):
        patient = draw_chest_patient(number, seed=0)
        lesion = patient.anatomy.lesion
        if lesion is None:
            continue
        rng = np.random.default_rng(number)
        scan = ct.scan_ct(patient.anatomy, ct.draw_scanner(rng), rng)
        image = project(scan, rng, pixel=5.5)
        inside = (scan.labels == chest.STRUCTURES.index("lesion") + 1).any(axis=1)[::-1, ::-1].T
        inside = zoom(inside.astype(float), (7 / 5.5, 1), order=0)[: len(image)] > 0.5
        around = binary_dilation(inside, iterations=2) & ~inside
        assert image[inside].mean() > image[around].mean()
        assert (np.nonzero(inside)[1].mean() < image.shape[1] / 2) == (lesion.host == "right_lung")
        seen += 1
    assert seen == 6


def test_radiographs_are_of_the_patients_and_studies_of_the_cts(tmp_path: Path) -> None:
    write_radiographs(tmp_path, 2, seed=5, shape=TINY)
    write_ct(tmp_path / "ct", tmp_path / "masks", patients=3, seed=5, shape=TINY)
    volumes = {row["study"]: row for row in table(tmp_path / "ct" / "labels.csv")}
    for row in table(tmp_path / "xray" / "labels.csv"):
        same = volumes[row["study"]]
        assert [row[name] for name in ("patient", "lesion", "age", "sex")] == [
            same[name] for name in ("patient", "lesion", "age", "sex")
        ]
        image = pydicom.dcmread(tmp_path / "xray" / f"{row['record']}.dcm", stop_before_pixels=True)
        scan = pydicom.dcmread(next((tmp_path / "ct" / same["record"]).glob("*.dcm")), stop_before_pixels=True)
        assert image.StudyInstanceUID == scan.StudyInstanceUID
        assert image.PatientID == scan.PatientID
        assert image.SeriesInstanceUID != scan.SeriesInstanceUID


def test_a_structured_report_names_its_picture(folder: Path) -> None:
    for path in (folder / "reports" / "xray").rglob("*.dcm"):
        record = path.relative_to(folder / "reports" / "xray")
        image = pydicom.dcmread(folder / "xray" / record, stop_before_pixels=True)
        report = read_reports(path, "dicom-sr")
        assert report.records == (image.SOPInstanceUID,)
        assert (report.ids["patient"], report.ids["study"]) == (image.PatientID, image.StudyInstanceUID)


@pytest.mark.parametrize("kind", ["table", "sr"])
def test_a_scan_links_every_radiograph_with_its_report(folder: Path, tmp_path: Path, kind: str) -> None:
    if kind == "table":
        words = [str(folder / "xray_png"), "--modality", "xray", "--labels", str(folder / "xray_png" / "labels.csv")]
        words += ["--record-column", "record", "--patient-column", "patient", "--report-key", "record"]
        words += ["--reports", str(folder / "reports" / "xray" / "reports.csv")]
        words += ["--report-column", "FINDINGS=findings", "IMPRESSION=impression"]
    else:
        words = [str(folder), "--include", "xray/**", "--reports", "reports/xray/**/*.dcm"]
    output = tmp_path / "m.parquet"
    assert main(["scan", *words, "--jobs", "1", "-o", str(output)]) == 0
    manifest = Manifest.read(output)
    linked = links(manifest)
    images = np.flatnonzero(manifest.kinds == "image")
    assert len(images) == len(table(folder / "xray" / "labels.csv"))
    assert set(manifest.column("modality")[images]) == {"xray"}
    assert all(len(linked.reports_of(int(row))) == 1 for row in images)
    texts = manifest.column("report")[manifest.kinds == "report"]
    assert not any(re.search(r"MRN\d|Dictated by N", text) for text in texts)


def test_the_same_seed_writes_the_same_bytes(tmp_path: Path) -> None:
    for name in ("a", "b"):
        write_radiographs(tmp_path / name, 1, seed=1, shape=TINY)
    files = [path for path in sorted((tmp_path / "a").rglob("*")) if path.is_file()]
    assert len(files) >= 4
    assert all(path.read_bytes() == (tmp_path / "b" / path.relative_to(tmp_path / "a")).read_bytes() for path in files)
