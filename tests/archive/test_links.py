"""Reports find the records they describe, and identical texts find one another."""

import numpy as np
import pyarrow as pa

from medcl.archive.links import links, text_ids
from medcl.archive.manifest import Manifest
from medcl.archive.schema import SCHEMA


def manifest(rows: list[dict[str, object]]) -> Manifest:
    full = [{"status": "ok", "modality": "xray", "format": "png", **row} for row in rows]
    return Manifest(pa.Table.from_pylist(full, schema=SCHEMA), root=None, metadata={})  # type: ignore[arg-type]


def report(**columns: object) -> dict[str, object]:
    return {"modality": "report", "format": "text", "report": "text", **columns}


def test_a_report_describes_a_record_else_a_study_else_a_patient() -> None:
    found = links(
        manifest(
            [
                {"patient": 1, "study": 10, "trial": 100},
                report(patient=1, study=10, trial=101),
                {"patient": 1, "study": 10, "trial": 101},
                {"patient": 1, "study": 11, "trial": 102},
                report(patient=1, study=10),
                report(patient=1),
                {"patient": 2, "study": 12, "trial": 103},
                report(patient=3, study=99, trial=999),
                report(),
            ]
        )
    )
    assert [found.records_of(row).tolist() for row in range(9)] == [
        [], [2], [], [], [0, 2], [0, 2, 3], [], [], [],
    ]  # fmt: skip
    assert [found.reports_of(row).tolist() for row in range(9)] == [
        [4, 5], [], [1, 4, 5], [5], [], [], [], [], [],
    ]  # fmt: skip
    assert found.n_reports.tolist() == [2, 0, 3, 1, 0, 0, 0, 0, 0]
    assert found.n_records.tolist() == [0, 1, 0, 0, 2, 3, 0, 0, 0]


def test_two_reports_of_one_study_are_both_partners() -> None:
    found = links(manifest([{"patient": 1, "study": 10}, report(study=10), report(study=10)]))
    assert found.reports_of(0).tolist() == [1, 2]


def test_what_is_quarantined_or_of_another_patient_is_no_partner() -> None:
    found = links(
        manifest(
            [
                {"patient": 1, "study": 10},
                {"patient": 1, "study": 10, "status": "empty file"},
                report(patient=1, study=10, status="empty report"),
                report(patient=2, study=10),
            ]
        )
    )
    assert found.records.tolist() == []
    assert found.reports.tolist() == []


def test_nothing_is_linked_without_ids() -> None:
    assert links(manifest([{}, report()])).reports_of(0).tolist() == []
    assert links(manifest([])).n_reports.tolist() == []


def test_texts_are_the_same_whatever_their_case_space_and_unicode_form() -> None:
    texts = ["No  effusion.\n", "no effusion.", "No effusion!", None, " \n", "Größe", "GRO\u0308SSE"]
    ids = text_ids(manifest([report(report=text) for text in texts]))
    assert ids.dtype == np.int64
    assert ids[0] == ids[1] != ids[2]
    assert ids[3:5].tolist() == [-1, -1]
    assert ids[5] == ids[6]
    assert (ids[[0, 2, 5]] >= 0).all()
    # The number goes into files: it must not change from one process or version to the next.
    assert ids[1] == 1771655372056672644


def test_links_agree_with_the_slow_way_on_random_ids() -> None:
    rng = np.random.default_rng(0)
    rows: list[dict[str, object]] = []
    for _ in range(120):
        patient = int(rng.integers(8))
        study = patient * 10 + int(rng.integers(3))
        trial = study * 10 + int(rng.integers(4))
        some = rng.random(3)
        ids = {
            "patient": patient if some[0] < 0.9 else None,
            "study": study if some[1] < 0.6 else None,
            "trial": trial if some[2] < 0.5 else None,
        }
        rows.append(report(**ids) if rng.random() < 0.4 else {"patient": patient, "study": study, "trial": trial})
    found = links(manifest(rows))
    for i, row in enumerate(rows):
        if row.get("modality") != "report":
            continue
        level = next((level for level in ("trial", "study", "patient") if row[level] is not None), None)
        expected = [
            k
            for k, other in enumerate(rows)
            if level is not None and other.get("modality") != "report" and other[level] == row[level]
        ]
        assert found.records_of(i).tolist() == expected
