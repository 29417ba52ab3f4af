"""Reports of synthetic patients say what is known of them, and every format reads back as the same text."""

import csv
from pathlib import Path
from xml.etree import ElementTree

import numpy as np
import pydicom
import pytest
from pydicom.uid import CTImageStorage

from medcl.archive.deidentify import deidentify
from medcl.modality.report.record import identify_report, read_reports
from medcl.phantom import ct as chest
from medcl.phantom import ecg
from medcl.phantom import mr as head
from medcl.phantom.archive import write_ecg
from medcl.phantom.morphology import DIAGNOSES
from medcl.phantom.person import draw_person, draw_studies
from medcl.phantom.report_files import add_reports, write_sr, write_table, write_text
from medcl.phantom.reports import WrittenReport, ecg_report, volume_report
from medcl.phantom.volumes import write_ct


def write_xml(path: Path, report: WrittenReport) -> Path:
    """Write a report as Open-I's XML: sections as `AbstractText`, its records as `parentImage`.

    Args:
        path: of the file; its folder is made if need be.
        report: to write.
    """
    root = ElementTree.Element("eCitation")
    ElementTree.SubElement(root, "uId", id=report.study.accession)
    abstract = ElementTree.SubElement(ElementTree.SubElement(root, "MedlineCitation"), "Abstract")
    for heading, body in report.sections.items():
        ElementTree.SubElement(abstract, "AbstractText", Label=heading).text = body
    for record in report.records:
        ElementTree.SubElement(root, "parentImage", id=record)
    ElementTree.indent(root)
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(ElementTree.tostring(root, encoding="utf-8", xml_declaration=True))
    return path


def of_ecg(diagnosis: str, seed: int = 0, language: str = "en") -> WrittenReport:
    rng = np.random.default_rng(seed)
    patient = ecg.draw_patient(diagnosis, rng)
    study = draw_studies(draw_person(patient.sex, patient.age, rng), 1, f"test/{seed}", rng)[0]
    return ecg_report(patient, study, rng, language=language, records=("P1_r1",))


def of_chest(lesion: str, seed: int = 0) -> WrittenReport:
    rng = np.random.default_rng(seed)
    anatomy = chest.draw_chest(lesion, rng)
    study = draw_studies(draw_person(anatomy.sex, anatomy.age, rng), 1, f"test/{seed}", rng)[0]
    return volume_report(anatomy.lesion, "chest", study, rng, records=("a", "b"))


WORDS = {
    "normal": ("normal", "regular", "unauffällig", "o.b."),
    "st_elevation": ("infarct", "injury", "infarkt"),
    "bundle_branch_block": ("bundle branch block", "schenkelblock"),
    "atrial_fibrillation": ("fibrillation", "vorhofflimmern"),
}


@pytest.mark.parametrize("language", ["en", "de"])
@pytest.mark.parametrize("diagnosis", DIAGNOSES)
def test_an_ecg_report_names_its_diagnosis_and_no_other(diagnosis: str, language: str) -> None:
    for seed in range(10):
        report = of_ecg(diagnosis, seed, language)
        impression = list(report.sections.values())[-1].lower()
        assert any(word in impression for word in WORDS[diagnosis])
        others = [word for other, words in WORDS.items() if other not in {diagnosis, "normal"} for word in words]
        assert not any(word in impression for word in others)


def test_a_volume_report_names_its_lesion() -> None:
    for seed in range(10):
        assert "spiculated" in of_chest("spiculated", seed).sections["FINDINGS"].lower()
        assert "lung" in of_chest("smooth", seed).sections["FINDINGS"]
        assert " cm" not in of_chest("none", seed).sections["FINDINGS"]
    rng = np.random.default_rng(1)
    anatomy = head.draw_head("ring", rng)
    study = draw_studies(draw_person(anatomy.sex, anatomy.age, rng), 1, "test", rng)[0]
    report = volume_report(anatomy.lesion, "head", study, rng)
    assert "rim" in report.text.lower() or "ring" in report.text.lower()


def test_wording_varies_with_the_seed_alone() -> None:
    assert of_chest("smooth", 3) == of_chest("smooth", 3)
    assert len({of_chest("smooth", seed).sections["FINDINGS"] for seed in range(10)}) > 5


def test_every_format_reads_back_as_the_same_text(tmp_path: Path) -> None:
    report = of_ecg("st_elevation", 4, "de")
    files = {
        "text": write_text(tmp_path / "a" / "r.txt", report),
        "xml": write_xml(tmp_path / "a" / "r.xml", report),
        "dicom-sr": write_sr(tmp_path / "a" / "r.dcm", report, [(CTImageStorage, "1.2.3")]),
    }
    for kind, path in files.items():
        assert identify_report(path) == kind
        assert read_reports(path, kind).text == report.text.strip()
    assert read_reports(files["xml"], "xml").records == ("P1_r1",)
    found = read_reports(files["dicom-sr"], "dicom-sr")
    assert found.records == ("1.2.3",)
    assert found.ids["patient"] == report.study.person.number
    again = write_sr(tmp_path / "b.dcm", report, [(CTImageStorage, "1.2.3")])
    assert again.read_bytes() == files["dicom-sr"].read_bytes()


def test_a_table_of_reports(tmp_path: Path) -> None:
    reports = [of_ecg("normal", 1), of_ecg("normal", 2, "de")]
    with write_table(tmp_path / "t.csv", reports).open(encoding="utf-8", newline="") as file:
        rows = list(csv.DictReader(file))
    assert rows[0]["findings"] == reports[0].sections["FINDINGS"]
    assert rows[1]["befund"] == reports[1].sections["BEFUND"]
    assert (rows[0]["befund"], rows[1]["patient"]) == ("", reports[1].study.person.number)


def test_reports_of_an_archive_agree_with_its_headers(tmp_path: Path) -> None:
    write_ecg(tmp_path / "ecg", patients=3, seed=5)
    write_ct(tmp_path / "ct", tmp_path / "masks", patients=2, seed=5, shape=(16, 16, 8))
    told = add_reports(tmp_path, seed=5)
    with (tmp_path / "ecg" / "labels.csv").open() as file:
        records = {row["record"] for row in csv.DictReader(file)}
    root = tmp_path / "reports" / "ecg"
    assert {path.relative_to(root).with_suffix("").as_posix() for path in root.rglob("*.txt")} == records
    assert f"{len(records)} reports of ECGs" in told
    with (tmp_path / "reports" / "ct" / "reports.csv").open(encoding="utf-8") as file:
        rows = list(csv.DictReader(file))
    for row in rows:
        scan = pydicom.dcmread(next((tmp_path / "ct" / row["record"]).glob("*.dcm")), stop_before_pixels=True)
        report = read_reports(tmp_path / "reports" / "ct" / f"{row['record'].rsplit('/', 1)[0]}.dcm", "dicom-sr")
        assert report.ids["study"] == scan.StudyInstanceUID
        assert report.ids["patient"] == scan.PatientID == row["patient"]
        assert row["findings"] in report.text


def test_rules_alone_remove_what_identifies_the_person() -> None:
    for seed in range(20):
        for report in (of_ecg("normal", seed), of_ecg("normal", seed, "de"), of_chest("smooth", seed)):
            clean = deidentify(report.text)
            assert len(report.private) >= 4
            assert [one for one in report.private if one in clean] == []
            assert report.sections.keys() == {line[:-1] for line in clean.splitlines() if line.endswith(":")}
