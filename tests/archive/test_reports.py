"""Reports become rows that find their records, keep their patients apart, and name nobody."""

import json
import os
import shutil
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from edfio import Patient

from medcl.archive.build import BuildReport, build_manifest
from medcl.archive.config import ScanRequest
from medcl.archive.identity import code, site_salt
from medcl.archive.links import links, text_ids
from medcl.archive.manifest import Manifest
from medcl.archive.report_read import ReportRule
from medcl.archive.split import check
from medcl.cli import main
from medcl.errors import MedclError, UsageError
from tests.modality.dicom.dicom_files import write
from tests.modality.report.test_record import structured
from tests.modality.written import waves, write_edf, write_wfdb

ECG = np.random.default_rng(0).integers(-2000, 2000, (3, 500))
PATTERN = r"p(?P<patient>\d+)/s(?P<session>\d+)/(?P<trial>\w+)"
DATASETS = Path(__file__).parents[2] / "datasets"
VISITS = ["p01/s1/a", "p01/s1/b", "p01/s2/a", "p02/s1/a", "p03/s1/a"]


@pytest.fixture(scope="module")
def template(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Five recordings of three patients; patient 1 has two visits."""
    folder = tmp_path_factory.mktemp("ward")
    for name in VISITS:
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        write_wfdb(folder / Path(name).parent, Path(name).name, ECG)
    return folder


@pytest.fixture
def ward(template: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(template, tmp_path / "ward"))


def scan(folder: Path, *rules: ReportRule, **changes: Any) -> tuple[Manifest, BuildReport]:
    output = folder.parent / "m.parquet"
    options: dict[str, Any] = {"id_pattern": PATTERN, "jobs": 1, "fractions": (1, 1, 1), "deidentify": "none"}
    request = ScanRequest(folder, output, reports=rules, **{**options, **changes})
    report = build_manifest(request)
    return Manifest.read(output), report


def table(folder: Path, rows: Sequence[dict[str, object]], name: str = "reports.jsonl") -> str:
    (folder / name).write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")
    return name


def described(manifest: Manifest) -> dict[str, list[str]]:
    """Text of each report -> paths of the records that it describes."""
    found, paths = links(manifest), manifest.column("path")
    return {
        str(manifest.column("report")[row]): paths[found.records_of(row)].tolist()
        for row in np.flatnonzero(manifest.kinds == "report").tolist()
    }


def rows(manifest: Manifest) -> list[dict[str, Any]]:
    return list(manifest.of_kind("report").table.to_pylist())


def test_a_row_of_a_table_describes_the_record_that_it_names(ward: Path) -> None:
    cells = [
        {"file": "p01/s1/a.hea", "text": "one"},
        {"file": "p01/s1/b", "text": "two"},
        {"file": "p01/s1/b", "text": "three"},
        {"file": "p09/s1/a", "text": "of nobody here"},
        {"file": None, "text": "of nothing"},
        {"file": "p02/s1/a", "text": None},
        {"file": "p02/s1/a", "text": "One"},
    ]
    rule = ReportRule(table=table(ward, cells), column="text", key="file")
    manifest, report = scan(ward, rule)
    assert described(manifest) == {
        "one": ["p01/s1/a.hea"],
        "two": ["p01/s1/b.hea"],
        "three": ["p01/s1/b.hea"],
        "of nobody here": [],
        "of nothing": [],
        "None": [],
        "One": ["p02/s1/a.hea"],
    }
    found = rows(manifest)
    assert [row["status"] for row in found] == ["ok"] * 5 + ["empty report", "ok"]
    assert [row["part"] for row in found] == list(range(7))
    assert {(row["modality"], row["format"], row["path"]) for row in found} == {("report", "table", "reports.jsonl")}
    assert len(set(manifest.column("record_id"))) == len(manifest)
    counted = report.reports
    assert counted is not None
    assert (counted.reports, counted.linked, counted.alone, counted.without) == (6, 4, 2, 2)
    assert (counted.identical, counted.no_patient, counted.quarantined) == (2, 2, {"empty report": 1})
    line = next(line for line in str(report).splitlines() if line.startswith("reports"))
    assert line == (
        "reports        6 (4 linked, 2 without a record, 2 with a text that others have too, 2 of no known patient and "
        "so in no split); 2 records have no report; 1 quarantined (empty report)"
    )
    assert report.summary.records == 5


def test_a_report_has_the_patient_and_the_split_of_its_record(ward: Path) -> None:
    cells = [{"file": name, "text": f"text {i}"} for i, name in enumerate(VISITS)]
    manifest, _ = scan(ward, ReportRule(table=table(ward, cells), column="text", key="file"))
    records = {path: (p, s, t) for path, p, s, t in _ids(manifest, "signal")}
    expected = [records[f"{name}.hea"] for name in VISITS]
    assert [(p, s, t) for _, p, s, t in _ids(manifest, "report")] == expected
    assert len({split for _, split, _ in expected}) == 3
    check(manifest)


def _ids(manifest: Manifest, kind: Any) -> list[tuple[str, int, str, int]]:
    own = manifest.of_kind(kind)
    columns = (own.column(name).tolist() for name in ("path", "patient", "split", "trial"))
    return list(zip(*columns, strict=True))


def test_a_study_is_known_by_the_id_that_the_scan_coded(ward: Path) -> None:
    cells = [
        {"visit": "1", "who": "01", "text": "two recordings"},
        {"visit": "2", "who": "01", "text": "one recording"},
        {"visit": 1.0, "who": "02", "text": "another patient's"},
        {"visit": "7", "who": "02", "text": "no such visit"},
    ]
    rule = ReportRule(table=table(ward, cells), column="text", key="visit", patient="who", belongs="study")
    manifest, report = scan(ward, rule)
    assert report.reports is not None
    assert report.reports.linked == 4, "a report of two recordings of three stands once for each of them"
    assert [row["part"] for row in rows(manifest)] == [0, 1, 2, 3, 4]
    linked = links(manifest)
    texts = manifest.column("report")
    of_record = {
        path: [texts[k] for k in linked.reports_of(row)]
        for row, path in enumerate(manifest.column("path"))
        if path.endswith(".hea")
    }
    assert of_record == {
        "p01/s1/a.hea": ["two recordings"],
        "p01/s1/b.hea": ["two recordings"],
        "p01/s2/a.hea": ["one recording"],
        "p02/s1/a.hea": ["another patient's"],
        "p03/s1/a.hea": [],
    }
    # A visit that is not here does not fall on the patient's other visits, but its patient is known.
    assert rows(manifest)[-1]["patient"] == code("patient", "02", site_salt())


def test_a_study_of_several_patients_is_refused_unless_the_patient_is_given(ward: Path) -> None:
    rule = ReportRule(table=table(ward, [{"visit": "1", "text": "x"}]), column="text", key="visit", belongs="study")
    with pytest.raises(UsageError, match="column 'visit': 3 patients have a study or session of one name.*`patient`"):
        scan(ward, rule)


def test_a_patient_is_known_by_the_id_that_the_scan_coded(ward: Path) -> None:
    cells = [{"who": "01", "text": "all three"}, {"who": "77", "text": "of somebody else"}]
    rule = ReportRule(table=table(ward, cells), column="text", key="who", belongs="patient")
    manifest, _ = scan(ward, rule)
    assert described(manifest) == {"all three": [f"{name}.hea" for name in VISITS[:3]], "of somebody else": []}
    mine, other = rows(manifest)
    assert mine["patient"] == code("patient", "01", site_salt())
    # Nobody is tested on this patient, so the text may be trained on; and stays there should records come.
    assert other["split"] == "train"
    check(manifest)


def test_a_dicom_study_is_known_by_its_uid_and_a_series_by_its_folder(tmp_path: Path) -> None:
    folder = tmp_path / "ct"
    for number in range(4):
        series = f"1.2.3.{number // 2 + 4}"
        path = folder / "st" / f"series{number // 2}" / f"{number}.dcm"
        path.parent.mkdir(parents=True, exist_ok=True)
        write(path, number % 2, SeriesInstanceUID=series, SOPInstanceUID=f"{series}.{number}")
    by_uid = table(folder, [{"study": "1.2.3", "text": "whole study"}], "studies.jsonl")
    by_folder = table(folder, [{"folder": "st/series1", "text": "one series"}], "series.jsonl")
    manifest, _ = scan(
        folder,
        ReportRule(table=by_uid, column="text", key="study", belongs="study"),
        ReportRule(table=by_folder, column="text", key="folder"),
        id_pattern=None,
        fractions=(1, 0, 0),
    )
    assert described(manifest) == {
        "whole study": ["st/series0/0.dcm", "st/series1/2.dcm"],
        "one series": ["st/series1/2.dcm"],
    }


def test_sections_of_a_table_become_one_text_with_headings(ward: Path) -> None:
    cells = [{"file": VISITS[0], "f": "Clear lungs.", "i": "Normal."}, {"file": VISITS[1], "f": None, "i": "Normal."}]
    rule = ReportRule(table=table(ward, cells), sections={"Findings": "f", "IMPRESSION": "i"}, key="file")
    manifest, _ = scan(ward, rule)
    assert [row["report"] for row in rows(manifest)] == [
        "FINDINGS:\nClear lungs.\n\nIMPRESSION:\nNormal.",
        "IMPRESSION:\nNormal.",
    ]


def test_a_second_scan_neither_loses_nor_doubles_reports(ward: Path) -> None:
    rule = ReportRule(table=table(ward, [{"file": VISITS[0], "text": "one"}]), column="text", key="file")
    first, _ = scan(ward, rule)
    second, report = scan(ward, rule)
    assert second.table.equals(first.table)
    assert second.metadata["scan"].pop("reused") == 5
    assert report.summary.reused == 5
    write_wfdb(ward / "p03/s1", "b", ECG)
    table(ward, [{"file": VISITS[0], "text": "one"}, {"file": "p03/s1/b", "text": "new"}])
    third, _ = scan(ward, rule, fractions=(0.4, 0.3, 0.3))
    assert described(third) == {"one": ["p01/s1/a.hea"], "new": ["p03/s1/b.hea"]}
    old = dict(zip(first.column("patient"), first.column("split"), strict=True))
    assert dict(zip(third.column("patient"), third.column("split"), strict=True)) == old


def test_what_is_no_text_is_quarantined_and_the_rest_goes_on(ward: Path) -> None:
    cells = [
        {"file": VISITS[0], "text": "a\u0000b"},
        {"file": VISITS[1], "text": "gr\ufffd\ufffder Befund"},
        {"file": VISITS[2], "text": " \n "},
        {"file": VISITS[3], "text": "effusion " * 20_000},
    ]
    manifest, _ = scan(ward, ReportRule(table=table(ward, cells), column="text", key="file"))
    found = rows(manifest)
    assert [row["status"].split(":")[0] for row in found] == ["not text", "not text", "empty report", "ok"]
    assert [row["report"] is None for row in found] == [True, True, True, False]
    assert len(found[3]["report"].split()) == 20_000


def test_names_and_ids_are_taken_out_unless_asked_for(ward: Path) -> None:
    text = "Patient 4711-0815, seen by Dr. Miller on 03/12/2021: no effusion."
    cells = [{"file": VISITS[0], "who": "4711-0815", "text": text}]
    rule = ReportRule(table=table(ward, cells), column="text", key="file", patient="who")
    kept = rows(scan(ward, rule, deidentify=None)[0])[0]["report"]
    assert "no effusion" in kept
    assert not any(word in kept for word in ("4711", "Miller", "2021"))
    assert rows(scan(ward, rule)[0])[0]["report"] == text


def test_the_ids_in_the_path_of_a_record_are_known_to_stand_in_its_report(ward: Path) -> None:
    write_wfdb(ward / "p01/s1", "Quax", ECG)
    cells = [{"file": "p01/s1/Quax", "text": "Quax came back: no effusion."}]
    rule = ReportRule(table=table(ward, cells), column="text", key="file")
    assert "Quax" not in rows(scan(ward, rule, deidentify=None)[0])[0]["report"]


def test_an_own_function_may_take_names_out(ward: Path, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    (tmp_path / "own_tool.py").write_text(
        "def clean(text, known):\n    return text.replace('Miller', 'X') + f' {sorted(known)}'\n"
        "def broken(text, known):\n    return None\n"
    )
    monkeypatch.syspath_prepend(tmp_path)
    cells = [{"who": "Miller", "text": "Miller is well."}]
    rule = ReportRule(table=table(ward, cells), column="text", key="who", belongs="patient")
    found = rows(scan(ward, rule, deidentify="own_tool:clean")[0])[0]
    assert found["report"] == "X is well. ['Miller']"
    with pytest.raises(MedclError, match="own_tool:broken"):
        scan(ward, rule, deidentify="own_tool:broken")
    with pytest.raises(UsageError, match="no function absent"):
        scan(ward, rule, deidentify="own_tool:absent")


def test_text_files_find_their_records_by_name_or_by_the_ids_in_their_paths(ward: Path) -> None:
    texts = {
        "p01/s1/a.txt": "FINDINGS: beside its record",
        "p01/s2/report.txt": "of the visit",
        "p02/report.txt": "of the patient",
        "p08/s1/a.txt": "of nobody here",
    }
    for name, text in texts.items():
        (ward / name).parent.mkdir(parents=True, exist_ok=True)
        (ward / name).write_text(text)
    pattern = r"p(?P<patient>\d+)/(?:s(?P<session>\d+)/)?(?:(?P<trial>[ab])\.)?"
    manifest, report = scan(ward, ReportRule(files="**/*.txt"), id_pattern=pattern)
    assert (
        {path: text for text, path in described(manifest).items()}
        if False
        else described(manifest)
        == {
            "FINDINGS:\nbeside its record": ["p01/s1/a.hea"],
            "of the visit": ["p01/s2/a.hea"],
            "of the patient": ["p02/s1/a.hea"],
            "of nobody here": [],
        }
    )
    assert sum((report.summary.others or {}).values()) == 0, "files of reports are not among those that nobody reads"
    assert report.reports is not None
    assert report.reports.quarantined == {}


def test_files_that_are_no_reports_say_why_and_the_rest_goes_on(ward: Path) -> None:
    (ward / "r").mkdir()
    (ward / "r/binary.txt").write_bytes(bytes(range(256)) * 4)
    (ward / "r/empty.txt").write_bytes(b"")
    (ward / "r/blank.txt").write_text(" \n")
    (ward / "r/fine.txt").write_text("No effusion.")
    (ward / "r/broken.xml").write_text("<eCitation><MedlineCitation>")
    (ward / "r/broken.dcm").write_bytes(b"\0" * 128 + b"DICM" + b"\x02\0\0\0UL\xff")
    os.symlink(ward / "nowhere", ward / "r/gone.txt")
    manifest, report = scan(ward, ReportRule(files="r/*"))
    status = {row["path"]: row["status"] for row in rows(manifest)}
    assert status.pop("r/fine.txt") == "ok"
    assert set(status) >= {f"r/{name}" for name in ("binary.txt", "empty.txt", "blank.txt", "broken.xml", "broken.dcm")}
    assert "ok" not in status.values()
    assert len(set(manifest.column("record_id"))) == len(manifest)
    assert report.summary.quarantined == {}, "a damaged report is no damaged volume"


def test_openi_reports_name_their_images(ward: Path) -> None:
    xml = (
        '<eCitation><uId id="CXR1"/><MedlineCitation><Article><Abstract>'
        '<AbstractText Label="FINDINGS">Clear.</AbstractText><AbstractText Label="IMPRESSION">Normal.</AbstractText>'
        '</Abstract></Article></MedlineCitation><parentImage id="rec1"/><parentImage id="rec2"/></eCitation>'
    )
    (ward / "xml").mkdir()
    (ward / "p05/s1").mkdir(parents=True)
    (ward / "xml/1.xml").write_text(xml)
    for name in ("rec1", "rec2"):
        write_wfdb(ward / "p05/s1", name, ECG)
    manifest, _ = scan(ward, ReportRule(files="xml/*.xml"), fractions=(2, 1, 1))
    assert described(manifest) == {"FINDINGS:\nClear.\n\nIMPRESSION:\nNormal.": ["p05/s1/rec1.hea", "p05/s1/rec2.hea"]}


def test_a_structured_report_describes_the_study_that_it_states(tmp_path: Path) -> None:
    folder = tmp_path / "ct"
    folder.mkdir()
    for number in range(4):
        write(folder / f"{number}.dcm", number, StudyInstanceUID="1.2.3.4", PatientID="MRN5")
    write(folder / "other.dcm", 0, StudyInstanceUID="9.9", SeriesInstanceUID="9.9.1", PatientID="MRN5")
    structured(folder / "report.dcm")
    manifest, report = scan(folder, ReportRule(files="*.dcm"), id_pattern=None, fractions=(1, 0, 0))
    (text, paths), *others = described(manifest).items()
    assert "Große Läsion im linken Lappen." in text
    assert (paths, others) == (["0.dcm"], [])
    own = rows(manifest)[0]
    assert (own["format"], own["study"]) == ("dicom-sr", code("study", "1.2.3.4", site_salt()))
    assert own["patient"] == code("patient", "MRN5", site_salt())
    assert sum((report.summary.others or {}).values()) == 0


def test_identical_texts_have_one_number(ward: Path) -> None:
    cells = [{"file": VISITS[0], "text": "Normal  ECG."}, {"file": VISITS[3], "text": "normal ecg."}]
    manifest, _ = scan(ward, ReportRule(table=table(ward, cells), column="text", key="file"))
    ids = text_ids(manifest)[manifest.kinds == "report"]
    assert ids[0] == ids[1] >= 0


@pytest.mark.parametrize(
    ("rule", "words"),
    [
        ({"files": "*.txt", "key": "a"}, "give one of them"),
        ({"table": "t.csv", "key": "a"}, "`column` names the one of the text"),
        ({"table": "t.csv", "column": "a", "sections": {"F": "b"}, "key": "k"}, "`column` names the one of the text"),
        ({"table": "t.csv", "column": "a"}, "`key` names the column"),
        ({"files": "*.txt", "deidentify": "strongly"}, "deidentify is 'strongly', allowed are"),
    ],
)
def test_a_rule_that_cannot_be_meant_is_refused(rule: dict[str, Any], words: str) -> None:
    with pytest.raises(UsageError, match=words):
        ReportRule(**rule)


def test_a_missing_column_or_file_is_named(ward: Path) -> None:
    name = table(ward, [{"file": VISITS[0], "text": "x"}])
    with pytest.raises(UsageError, match="no column 'report'; there are 'file', 'text'"):
        scan(ward, ReportRule(table=name, column="report", key="file"))
    with pytest.raises(UsageError, match="matches none of the"):
        scan(ward, ReportRule(files="reports/*.txt"))
    with pytest.raises(UsageError, match="absent.csv: no such file"):
        scan(ward, ReportRule(table="absent.csv", column="report", key="file"))


def test_the_command_takes_reports(ward: Path, capsys: pytest.CaptureFixture[str]) -> None:
    elsewhere = ward.parent / "reports.csv"
    elsewhere.write_text(f"file,findings,impression\n{VISITS[0]},Clear.,Normal.\n{VISITS[1]},,\n")
    command = ["scan", str(ward), "-o", str(ward.parent / "c.parquet"), "--id-pattern", PATTERN, "--jobs", "1"]
    command += ["--reports", str(elsewhere), "--report-key", "file", "--deidentify", "none"]
    assert main([*command, "--report-column", "FINDINGS=findings", "IMPRESSION=impression"]) == 0
    printed = capsys.readouterr().out
    assert "reports        1 (1 linked, 0 without a record); 4 records have no report; 1 quarantined" in printed
    found = rows(Manifest.read(ward.parent / "c.parquet"))
    assert found[0]["path"] == "../reports.csv"
    assert found[0]["report"] == "FINDINGS:\nClear.\n\nIMPRESSION:\nNormal."
    assert main([*command, "--report-column", "findings", "impression"]) == 2
    assert "several columns are sections, each with its heading" in capsys.readouterr().err
    assert main(command) == 2
    assert "--report-column names its text" in capsys.readouterr().err


def test_what_cannot_be_asked_for_together(ward: Path, capsys: pytest.CaptureFixture[str]) -> None:
    command = ["scan", str(ward), "-o", str(ward.parent / "c.parquet"), "--id-pattern", PATTERN]
    for more, words in [
        (["--report-key", "file"], "give it with --reports"),
        (["--reports", "t.csv", "--report-column", "a"], "--report-column needs --report-key"),
        (["--deidentify", "none"], "--deidentify is about reports"),
    ]:
        assert main([*command, *more]) == 2
        assert words in capsys.readouterr().err


def test_the_result_does_not_depend_on_the_number_of_processes(ward: Path) -> None:
    cells = [{"file": VISITS[i % 5], "text": f"text {i}"} for i in range(600)]
    rule = ReportRule(table=table(ward, cells), column="text", key="file", deidentify="none")
    alone, _ = scan(ward, rule)
    together, _ = scan(ward, rule, jobs=2)
    assert together.table.equals(alone.table)


def test_edf_patients_meet_by_the_id_of_the_header(tmp_path: Path) -> None:
    folder = tmp_path / "eeg"
    folder.mkdir()
    write_edf(folder / "x.edf", waves(scale=50), patient=Patient(code="4711"))
    rule = ReportRule(
        table=table(folder, [{"who": 4711, "text": "slow waves"}]), column="text", key="who", belongs="patient"
    )
    manifest, _ = scan(folder, rule, id_pattern=None, fractions=(1, 0, 0))
    assert described(manifest) == {"slow waves": ["x.edf"]}


def test_ptbxl_has_the_reports_of_its_table(real_data: Path, tmp_path: Path) -> None:
    report = build_manifest(
        ScanRequest(real_data / "ptbxl500", tmp_path / "p.parquet", card=DATASETS / "ptbxl.yaml", jobs=1)
    )
    manifest = Manifest.read(tmp_path / "p.parquet")
    counted = report.reports
    assert counted is not None
    assert (counted.reports, counted.linked, counted.without) == (499, 499, 1)
    assert counted.quarantined == {"empty report": 1}
    own = manifest.of_kind("report")
    assert own.column("report")[0] == "sinusrhythmus periphere niederspannung"
    check(manifest)


def test_medpix_has_a_caption_an_image_and_the_findings_of_a_case(real_data: Path, tmp_path: Path) -> None:
    report = build_manifest(
        ScanRequest(real_data / "medpix2", tmp_path / "m.parquet", card=DATASETS / "medpix2.yaml", jobs=1)
    )
    manifest = Manifest.read(tmp_path / "m.parquet")
    counted = report.reports
    assert counted is not None
    assert (counted.reports, counted.linked, counted.alone, counted.without) == (2704, 2704, 0, 0)
    assert counted.quarantined == {"empty report": 17}
    images = manifest.of_kind("image")
    assert len(images.ok()) == 2050
    assert dict(zip(*np.unique(images.column("modality").astype(str), return_counts=True), strict=True)) == {
        "ct": 1062,
        "mr": 988,
    }
    assert np.bincount(images.labels("region")).tolist() == [884, 355, 334, 319, 158]
    assert np.bincount(images.labels("plane") + 1).tolist() == [118, 1404, 275, 253]
    patients = [len(np.unique(manifest.column("patient")[manifest.split_rows(s)])) for s in ("train", "val", "test")]
    assert patients == [535, 67, 69]
    check(manifest)
    # Every image has its own caption, and the findings of its case where there are any.
    found, texts = links(manifest), text_ids(manifest)
    rows = np.flatnonzero(manifest.kinds == "image")
    assert set(found.n_reports[rows].tolist()) == {1, 2}
    captions = manifest.column("trial") >= 0
    assert len(np.unique(texts[captions & (texts >= 0)])) <= 1363
