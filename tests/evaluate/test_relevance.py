"""What belongs together: by report, by equal text, by study, by patient, by label."""

from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pytest
import torch

from medcl.archive.links import links, taking_part
from medcl.archive.manifest import Manifest, Target
from medcl.archive.schema import SCHEMA, Kind
from medcl.errors import MedclError
from medcl.evaluate.multimodal_space import Embedded
from medcl.evaluate.relevance import (
    among,
    any_hit,
    each_text_once,
    label_relevance,
    linked_rows,
    pairs,
    patient_relevance,
)
from medcl.stats.retrieval import RelevanceIds, SharedIds


def manifest(*rows: dict[str, Any]) -> Manifest:
    named = [{"record_id": f"r{i}", "status": "ok", **row} for i, row in enumerate(rows)]
    return Manifest(pa.Table.from_pylist(named, schema=SCHEMA), Path())


def picture(patient: int, study: int | None = None, trial: int | None = None) -> dict[str, Any]:
    return {"modality": "xray", "format": "png", "patient": patient, "study": study, "trial": trial}


def recording(patient: int, study: int | None = None) -> dict[str, Any]:
    return {"modality": "ecg", "format": "wfdb", "patient": patient, "study": study}


def report(patient: int, text: str, study: int | None = None, trial: int | None = None) -> dict[str, Any]:
    return {"modality": "report", "format": "text", "patient": patient, "report": text, "study": study, "trial": trial}


def side(own: Manifest, kind: Kind) -> Embedded:
    rows = np.flatnonzero(own.kinds == kind)
    return Embedded(kind, rows, torch.zeros(len(rows), 2))


def shared(marks: tuple[RelevanceIds, RelevanceIds]) -> list[tuple[int, int]]:
    return [(a, b) for a, b in SharedIds.of(*marks, np.arange(marks[1].size)).pairs().tolist()]


def test_a_study_report_belongs_to_all_its_pictures_and_an_equal_text_to_those_as_well() -> None:
    own = manifest(
        picture(1, study=1, trial=1),
        picture(1, study=1, trial=2),
        picture(2, study=2, trial=3),
        report(1, "Effusion on the left.", study=1),
        report(1, "A nodule.", study=1, trial=2),
        report(2, "effusion  on the LEFT.", study=2),
    )
    images, reports = side(own, "image"), side(own, "report")
    marks, _ = pairs(own, links(own), images, reports)
    assert shared(marks) == [(0, 0), (0, 2), (1, 0), (1, 1), (1, 2), (2, 0), (2, 2)]
    back, _ = pairs(own, links(own), reports, images)
    assert sorted((b, a) for a, b in shared(back)) == shared(marks)
    # What is measured as a pair, and drawn, is the report's own picture.
    assert linked_rows(own, links(own), images, reports).tolist() == [[0, 0], [1, 0], [1, 1], [2, 2]]


def test_two_kinds_without_text_belong_together_by_study_else_by_patient() -> None:
    own = manifest(picture(1, study=10), picture(1, study=11), recording(1, study=11), recording(2, study=12))
    marks, word = pairs(own, links(own), side(own, "image"), side(own, "signal"))
    assert (shared(marks), word) == ([(1, 0)], "same study")
    other = manifest(picture(1, study=10), picture(1), recording(1), recording(2, study=12))
    marks, word = pairs(other, links(other), side(other, "image"), side(other, "signal"))
    assert (shared(marks), word) == ([(0, 0), (1, 0)], "same patient")
    apart = manifest(picture(1), recording(2))
    with pytest.raises(MedclError, match="none of 1 images belongs to any of 1 recordings"):
        pairs(apart, links(apart), side(apart, "image"), side(apart, "signal"))


def test_a_report_has_the_labels_of_what_it_describes() -> None:
    own = manifest(picture(1, study=1), picture(1, study=1), picture(2, study=2), report(1, "a", study=1))
    own = own.with_column("region", pa.array(["head", "chest", None, None]))
    own = own.with_targets({"region": Target("region", "multiclass", ("head", "chest"))})
    known = links(own)
    images, reports = (label_relevance(own, known, side(own, kind), "region") for kind in ("image", "report"))
    assert list(zip(images.row.tolist(), images.id.tolist(), strict=True)) == [(0, 0), (1, 1)]
    assert list(zip(reports.row.tolist(), reports.id.tolist(), strict=True)) == [(0, 0), (0, 1)]


def test_an_equal_text_is_there_once_with_the_patients_and_labels_of_all_that_have_it() -> None:
    own = manifest(
        picture(1, trial=1),
        picture(2, trial=2),
        picture(3, trial=3),
        report(1, "Normal."),
        report(3, "A nodule.", trial=3),
        report(2, " NORMAL.", trial=2),
    )
    own = own.with_column("region", pa.array(["head", "chest", "head", None, None, None]))
    own = own.with_targets({"region": Target("region", "multiclass", ("head", "chest"))})
    known, images, reports = links(own), side(own, "image"), side(own, "report")
    once = each_text_once(own, reports)
    assert once.rows.tolist() == [3, 4]
    assert [rows.tolist() for rows in once.members] == [[3, 5], [4]]
    assert len(once.z) == 2
    assert each_text_once(own, images) is images
    marks, word = pairs(own, known, images, once)
    assert (shared(marks), word) == ([(0, 0), (1, 0), (2, 1)], "own report")
    for found, ids in (
        (patient_relevance(own, once), [(0, 1), (0, 2), (1, 3)]),
        (patient_relevance(own, images), [(0, 1), (1, 2), (2, 3)]),
        (label_relevance(own, known, once, "region"), [(0, 0), (0, 1), (1, 0)]),
    ):
        assert list(zip(found.row.tolist(), found.id.tolist(), strict=True)) == ids


def test_reports_of_one_record_or_of_a_study_count_alone() -> None:
    own = manifest(picture(1, study=1, trial=1), report(1, "a", study=1, trial=1), report(1, "b", study=1))
    assert taking_part(own, "all").tolist() == [True, True, True]
    assert taking_part(own, "record").tolist() == [True, True, False]
    assert taking_part(own, "study").tolist() == [True, False, True]
    known = links(own)
    assert known.reports_of(0).tolist() == [1, 2]
    assert among(known, taking_part(own, "record")).reports_of(0).tolist() == [1]
    assert among(known, taking_part(own, "study")).records_of(2).tolist() == [0]


def test_any_hit_leaves_out_what_does_not_count() -> None:
    ones, itself = RelevanceIds.of(np.array([7, 7])), RelevanceIds.of(np.arange(2))
    assert any_hit((ones, ones), (itself, itself))
    assert not any_hit((itself, itself), (itself, itself))
