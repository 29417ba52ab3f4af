"""Markers of the patients of shapes: each follows what drives it, and a scan links them with image and report."""

import csv
import shlex
from pathlib import Path

import numpy as np
import pytest

from medcl.archive.manifest import Manifest
from medcl.cli import main
from medcl.phantom.markers import HISTORY, MARKERS, RISE, add_markers
from medcl.phantom.shapes import KINDS, PLACE, REPORTS, write_shapes


def table(path: Path) -> list[dict[str, str]]:
    with path.open(encoding="utf-8", newline="") as file:
        return list(csv.DictReader(file))


def test_each_marker_follows_its_finding_or_the_history_and_two_follow_nothing(tmp_path: Path) -> None:
    write_shapes(tmp_path, 120, seed=4)
    add_markers(tmp_path, seed=4)
    values = np.array([[float(row[name]) for name in MARKERS] for row in table(tmp_path / PLACE / "markers.csv")])
    labels, reports = table(tmp_path / PLACE / "labels.csv"), table(tmp_path / REPORTS / "reports.csv")
    assert [row["record"] for row in reports] == [row["record"] for row in labels]
    driven = [[row[kind] == "present" for row in labels] for kind in KINDS]
    driven.append([row["history"] == HISTORY[1] for row in reports])
    for number, there in enumerate(map(np.array, driven)):
        risen = values[there].mean(axis=0) - values[~there].mean(axis=0)
        assert risen[number] == pytest.approx(RISE, abs=0.5)
        assert abs(risen[-2:]).max() < 0.5
    histories = {row["patient"]: row["history"] for row in reports}
    assert all(row["history"] == histories[row["patient"]] for row in reports)


def test_image_report_and_table_of_a_study_are_scanned_with_the_same_codes(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    counts = ["--ecg-patients", "0", "--eeg-subjects", "0", "--shape-patients"]
    assert main(["phantom", "none", *counts, "0", "--organ-patients", "1", "--shape-markers"]) == 2
    assert "--shape-patients" in capsys.readouterr().err
    assert main(["phantom", "all", *counts, "4", "--shape-markers"]) == 0
    following = next(line for line in capsys.readouterr().out.splitlines() if "medcl scan" in line)
    assert main([*shlex.split(following[following.index("medcl scan") :])[1:], "--jobs", "1"]) == 0
    manifest = Manifest.read(tmp_path / "shapes.parquet")
    assert (manifest.column("status") == "ok").all()
    studies = {
        kind: sorted(map(tuple, np.stack([manifest.column(level) for level in ("patient", "study")], 1)[rows].tolist()))
        for kind in ("image", "report", "table")
        for rows in [manifest.kinds == kind]
    }
    assert len(set(studies["image"])) == len(studies["image"]) > 4
    assert studies["image"] == studies["report"] == studies["table"]
