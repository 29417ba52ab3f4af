"""Reports for a folder of synthetic ECGs, CTs and radiographs that was written before."""

import csv
from itertools import groupby
from pathlib import Path

import numpy as np
from pydicom import dcmread

from medcl.phantom import ecg
from medcl.phantom.chest_patient import draw_chest_patient
from medcl.phantom.person import draw_person, draw_studies
from medcl.phantom.radiograph_archive import DICOM
from medcl.phantom.report_files import write_sr, write_table, write_text
from medcl.phantom.reports import WrittenReport, ecg_report, volume_report


def add_reports(folder: Path, seed: int = 0) -> str:
    """Write `reports/ecg/` (a text a recording, each third patient in German), `reports/ct/`, `reports/xray/` (SRs).

    Beside each a table `reports.csv` with the columns `record` (as in `labels.csv`), `study`, `patient` and one a
    section. There is a DICOM SR a study, which belongs to the same patient and study as the CTs and the radiograph, by
    its header; that of a radiograph names its file as well.

    Args:
        folder: as `archive.write`, `volumes.write_volumes` and `radiograph_archive.write_radiographs` wrote it; what it
            lacks gets no reports.
        seed: that they were given.

    Returns:
        What a person is told.
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
            picture = dcmread(folder / DICOM / f"{row['record']}.dcm", stop_before_pixels=True)
            referenced = [(str(picture.SOPClassUID), str(picture.SOPInstanceUID))]
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
