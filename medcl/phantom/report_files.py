"""A written report as a file: text, a DICOM structured report; many as a table."""

import csv
from collections.abc import Sequence
from itertools import groupby
from pathlib import Path

import numpy as np
from pydicom import dcmread
from pydicom.dataset import Dataset, FileMetaDataset
from pydicom.uid import BasicTextSRStorage, ExplicitVRLittleEndian, generate_uid

from medcl.phantom import ecg
from medcl.phantom.person import draw_person, draw_studies, write_csv
from medcl.phantom.radiograph import DICOM, draw_chest_patient
from medcl.phantom.reports import WrittenReport, ecg_report, volume_report


def write_text(path: Path, report: WrittenReport) -> Path:
    """Write a report as UTF-8 text with headings; the folder of the file is made if need be."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(report.text, encoding="utf-8", newline="\n")
    return path


def write_sr(
    path: Path, report: WrittenReport, referenced: Sequence[tuple[str, str]] = (), *, number: int = 99
) -> Path:
    """Write a report as a DICOM Basic Text SR: a container a section, in the study of the images, in the same bytes.

    It refers to the SOP class and instance UID of each image that it describes, in a series of its own number.
    """
    study, person = report.study, report.study.person
    header = Dataset()
    header.SpecificCharacterSet = "ISO_IR 192"
    header.SOPClassUID = BasicTextSRStorage
    header.SOPInstanceUID = str(generate_uid(entropy_srcs=["medcl phantom", study.key, "report", str(number)]))
    # As the study's series have it.
    header.StudyInstanceUID = str(generate_uid(entropy_srcs=["medcl phantom", study.key]))
    header.SeriesInstanceUID = str(generate_uid(entropy_srcs=["medcl phantom", study.key, "series", str(number)]))
    header.StudyDate = header.ContentDate = study.day.strftime("%Y%m%d")
    header.StudyTime = header.ContentTime = study.time
    header.AccessionNumber, header.Modality = study.accession, "SR"
    header.SeriesNumber, header.InstanceNumber = number, 1
    header.PatientName, header.PatientID, header.PatientSex = person.name, person.number, person.sex
    header.PatientBirthDate = person.birth.strftime("%Y%m%d")
    header.ReferringPhysicianName, header.Manufacturer = "Nobody^Nora", "Phantom Works"
    header.CompletionFlag, header.VerificationFlag = "COMPLETE", "UNVERIFIED"
    header.ValueType, header.ContinuityOfContent = "CONTAINER", "SEPARATE"
    header.ConceptNameCodeSequence = [_code("Diagnostic imaging report", "18748-4", "LN")]
    header.ContentSequence = [_section(heading, body) for heading, body in report.sections.items()]
    for kind, instance in referenced:
        image = Dataset()
        image.ReferencedSOPClassUID, image.ReferencedSOPInstanceUID = kind, instance
        item = Dataset()
        item.RelationshipType, item.ValueType, item.ReferencedSOPSequence = "CONTAINS", "IMAGE", [image]
        header.ContentSequence.append(item)
    header.file_meta = FileMetaDataset()
    header.file_meta.TransferSyntaxUID = ExplicitVRLittleEndian
    path.parent.mkdir(parents=True, exist_ok=True)
    header.save_as(path, enforce_file_format=True)
    return path


def write_table(path: Path, reports: Sequence[WrittenReport]) -> Path:
    """Write reports as a CSV: `record`, `study`, `patient` and a column a section in small letters.

    One row a report and record that it describes; a section that a report lacks is an empty cell.
    """
    headings = list(dict.fromkeys(heading for report in reports for heading in report.sections))
    rows: list[list[str]] = []
    for report in reports:
        bodies = [report.sections.get(heading, "") for heading in headings]
        ids = [report.study.accession, report.study.person.number]
        rows += [[record, *ids, *bodies] for record in report.records or ("",)]
    write_csv(path, ["record", "study", "patient", *(heading.lower() for heading in headings)], rows)
    return path


def _section(heading: str, body: str) -> Dataset:
    text = Dataset()
    text.RelationshipType, text.ValueType = "CONTAINS", "TEXT"
    text.ConceptNameCodeSequence = [_code(heading.capitalize())]
    text.TextValue = body
    section = Dataset()
    section.RelationshipType, section.ValueType = "CONTAINS", "CONTAINER"
    section.ConceptNameCodeSequence = [_code(heading.capitalize())]
    section.ContinuityOfContent = "SEPARATE"
    section.ContentSequence = [text]
    return section


def _code(meaning: str, value: str = "", scheme: str = "99PHANTOM") -> Dataset:
    code = Dataset()
    code.CodeValue, code.CodingSchemeDesignator = value or meaning.upper()[:16], scheme
    code.CodeMeaning = meaning
    return code


def add_reports(folder: Path, seed: int = 0) -> str:
    """Write `reports/ecg/` (a text a recording, each third patient in German), `reports/ct/`, `reports/xray/` (SRs).

    Next to each a table `reports.csv` with the columns `record` (as in `labels.csv`), `study`, `patient` and one a
    section. There is a DICOM SR a study, which belongs to the same patient and study as the CTs and the radiograph, by
    its header; that of a radiograph names its file as well.

    Args:
        folder: as `archive.write`, `volumes.write_volumes` and `radiograph_archive.write_radiographs` wrote it; what it
            lacks gets no reports.
        seed: that they were given.
    """
    kinds = {
        "ecg": (_write_ecg, "reports of ECGs (reports/ecg/, text)"),
        "ct": (_write_ct, "reports of CTs (reports/ct/, DICOM SR)"),
        DICOM: (_write_xray, "reports of radiographs (reports/xray/, DICOM SR)"),
    }
    told = [
        f"{write(folder, seed)} {words}"
        for name, (write, words) in kinds.items()
        if (folder / name / "labels.csv").is_file()
    ]
    tables = "each with a table of them, reports.csv"
    return f"{folder}: {', '.join(told)}, {tables}" if told else f"{folder}: nothing that could have reports"


def _write_ecg(folder: Path, seed: int) -> int:
    reports: list[WrittenReport] = []
    for number, code, rows in _patients(folder / "ecg"):
        # As `archive.write_ecg` draws the patient.
        patient = ecg.draw_patient(rows[0]["diagnosis"], np.random.default_rng([seed, 2, number]))
        rng = np.random.default_rng([seed, 11, number])
        person = draw_person(patient.sex, patient.age, rng)
        studies = draw_studies(person, len(rows), f"{seed}/ecg/{code}", rng)
        language = "de" if number % 3 == 2 else "en"
        for row, study in zip(rows, studies, strict=True):
            report = ecg_report(patient, study, rng, language=language, records=(row["record"],))
            write_text(folder / "reports" / "ecg" / f"{row['record']}.txt", report)
            reports.append(report)
    write_table(folder / "reports" / "ecg" / "reports.csv", reports)
    return len(reports)


def _write_ct(folder: Path, seed: int) -> int:
    reports: list[WrittenReport] = []
    for number, code, rows in _patients(folder / "ct"):
        patient = draw_chest_patient(number, seed)
        wording = np.random.default_rng([seed, 12, number])
        for visit, study in enumerate(patient.studies, start=1):
            records = tuple(row["record"] for row in rows if row["study"] == f"{code}_E{visit}")
            report = volume_report(patient.anatomy.lesion, "chest", study, wording, records=records)
            write_sr(folder / "reports" / "ct" / code / f"E{visit}.dcm", report)
            reports.append(report)
    write_table(folder / "reports" / "ct" / "reports.csv", reports)
    return len(reports)


def _write_xray(folder: Path, seed: int) -> int:
    reports: list[WrittenReport] = []
    for number, _, rows in _patients(folder / DICOM):
        patient = draw_chest_patient(number, seed)
        wording = np.random.default_rng([seed, 14, number])
        for row, study in zip(rows, patient.studies, strict=True):
            report = volume_report(patient.anatomy.lesion, "chest", study, wording, records=(row["record"],))
            image = dcmread(folder / DICOM / f"{row['record']}.dcm", stop_before_pixels=True)
            referenced = [(str(image.SOPClassUID), str(image.SOPInstanceUID))]
            write_sr(folder / "reports" / "xray" / f"{row['record']}.dcm", report, referenced, number=98)
            reports.append(report)
    write_table(folder / "reports" / "xray" / "reports.csv", reports)
    return len(reports)


def _patients(folder: Path) -> list[tuple[int, str, list[dict[str, str]]]]:
    """Number, code and rows of `labels.csv` of each patient, in the order in which they were drawn."""
    with (folder / "labels.csv").open(encoding="utf-8", newline="") as file:
        rows = list(csv.DictReader(file))
    grouped = groupby(rows, key=lambda row: row["patient"])
    return [(number, code, list(own)) for number, (code, own) in enumerate(grouped)]
