"""Reports for a folder of synthetic ECGs and CTs that was written before."""

import csv
from itertools import groupby
from pathlib import Path

import numpy as np

from medcl.phantom import chest, ecg
from medcl.phantom.person import draw_person, draw_studies
from medcl.phantom.report_files import write_sr, write_table, write_text
from medcl.phantom.reports import WrittenReport, ecg_report, volume_report


def add_reports(folder: Path, seed: int = 0) -> str:
    """Write `reports/ecg/` (a text a recording, each third patient in German) and `reports/ct/` (a DICOM SR a study).

    Beside each a table `reports.csv` with the columns `record` (as in `labels.csv`), `study`, `patient` and one a
    section. The SRs belong to the same patients and studies as the CTs, by their headers.

    Args:
        folder: as `archive.write` and `volumes.write_volumes` wrote it; what it lacks gets no reports.
        seed: that they were given.

    Returns:
        What a person is told.
    """
    texts = _write_ecg(folder, seed) if (folder / "ecg" / "labels.csv").is_file() else 0
    structured = _write_ct(folder, seed) if (folder / "ct" / "labels.csv").is_file() else 0
    return f"{folder}: {texts} reports of ECGs (reports/ecg/, text), {structured} of CTs (reports/ct/, DICOM SR)"


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
        # As `volumes.write_ct` draws the patient, so that the headers agree.
        rng = np.random.default_rng([seed, 7, number])
        anatomy = chest.draw_chest(rows[0]["lesion"], rng)
        person = draw_person(anatomy.sex, anatomy.age, rng)
        studies = draw_studies(person, int(rng.choice([1, 2, 3], p=[0.4, 0.4, 0.2])), f"{seed}/ct/{code}", rng)
        wording = np.random.default_rng([seed, 12, number])
        for visit, study in enumerate(studies, start=1):
            records = tuple(row["record"] for row in rows if row["study"] == f"{code}_E{visit}")
            report = volume_report(anatomy.lesion, "chest", study, wording, records=records)
            write_sr(folder / "reports" / "ct" / code / f"E{visit}.dcm", report)
            reports.append(report)
    write_table(folder / "reports" / "ct" / "reports.csv", reports)
    return len(reports)


def _patients(folder: Path) -> list[tuple[int, str, list[dict[str, str]]]]:
    """Number, code and rows of `labels.csv` of each patient, in the order in which they were drawn."""
    with (folder / "labels.csv").open(encoding="utf-8", newline="") as file:
        rows = list(csv.DictReader(file))
    grouped = groupby(rows, key=lambda row: row["patient"])
    return [(number, code, list(own)) for number, (code, own) in enumerate(grouped)]
