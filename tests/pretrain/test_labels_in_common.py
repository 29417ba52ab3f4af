"""Reports weighed by the labels that they have in common, which are those of the records that they describe."""

from dataclasses import replace
from typing import Any

import numpy as np
import pyarrow as pa
import pytest
import torch

from medcl.archive.links import links
from medcl.archive.manifest import Manifest
from medcl.contrast.pairings.targets import overlap
from medcl.errors import UsageError
from medcl.phantom.shapes import KINDS
from medcl.pretrain.lookups import Lookups
from medcl.pretrain.objectives.positives import Side, pair
from medcl.pretrain.reading import read
from medcl.pretrain.recipe import Recipe
from tests.toy import written

WORD = "overlap:" + "/".join(KINDS)


@pytest.fixture(scope="module")
def manifest(tmp_path_factory: pytest.TempPathFactory) -> Manifest:
    return written(tmp_path_factory.mktemp("labels"), 12).manifest


def recipe(word: str = WORD, **more: Any) -> Recipe:
    report = {"data": {"draw": "whole"}, "encoder": {"vocabulary": 300, "patients": 1}}
    return read(
        {
            "inputs": {"report": report},
            "objectives": {"grades": {"of": "report", "positives": word, "loss": "cosent"} | more},
        }
    )


def table(manifest: Manifest, word: str = WORD, **more: Any) -> torch.Tensor:
    found = Lookups(recipe(word, **more), manifest, ("patient", "sample"))
    return found.of({"index": torch.arange(len(manifest)), "ids": {}})[word]


def test_a_report_has_the_labels_of_the_records_that_it_describes(manifest: Manifest) -> None:
    found, known = table(manifest), links(manifest)
    # `absent` and `present` of each kind.
    assert found.shape == (len(manifest), 2 * len(KINDS))
    assert (manifest.kinds == "report").sum() > 10
    for row in np.flatnonzero(manifest.kinds == "report"):
        (record,) = known.records_of(int(row))
        said = [float(manifest.column(kind)[record] == word) for kind in KINDS for word in ("absent", "present")]
        assert found[row].tolist() == said


def test_a_report_without_a_label_has_that_of_its_records_where_these_agree(manifest: Manifest) -> None:
    """Runs on reports alone find the labels of what these describe."""
    known, word = links(manifest), "label:nodule"
    found = table(manifest, word)
    assert set(found[known.reports].tolist()) == {0, 1}
    assert torch.equal(found[known.reports], found[known.records])
    # Every report describes all records of one patient.
    is_report = manifest.kinds == "report"
    for level, code in (("trial", -1), ("study", -1), ("patient", 0)):
        manifest = manifest.with_column(level, pa.array([code] * len(manifest)))
    for others, expected in (("a", 0), ("b", -1)):
        said = [None if report else others if row % 2 else "a" for row, report in enumerate(is_report)]
        said[int(known.records[0])] = None
        labels = table(manifest.with_column("codes", pa.array(said)), "classes:codes=a\nb")
        assert (labels[is_report] == expected).all()


def test_several_labels_of_a_record_count_one_by_one(manifest: Manifest) -> None:
    values = [["a", "b"] if row % 3 == 0 else ["b"] if row % 3 == 1 else None for row in range(len(manifest))]
    several = replace(manifest.of_kind("image"), table=manifest.of_kind("image").table)
    several = several.with_column("codes", pa.array(values[: len(several)], pa.list_(pa.string())))
    found = table(several, "overlap:codes")
    expected = [[value is not None and one in value for one in ("a", "b")] for value in values[: len(several)]]
    assert found.tolist() == expected


def test_a_record_without_labels_has_those_of_its_partner(manifest: Manifest) -> None:
    is_report, known = manifest.kinds == "report", links(manifest)
    values = [[str(row % 2), "seen"] if said else None for row, said in enumerate(is_report)]
    told = manifest.with_column("codes", pa.array(values, pa.list_(pa.string())))
    pair_of_both = {"between": ["image", "report"], "positives": "overlap:codes"}
    config = read(
        {"inputs": {one: {"modality": one} for one in ("image", "report")}, "objectives": {"two": pair_of_both}}
    )
    found = Lookups(config, told, ("patient", "sample"))
    partner = torch.from_numpy(known.reports[:4].copy())
    batch = {"index": torch.from_numpy(known.records[:4].copy()), "ids": {"report": partner}}
    assert found.of(batch)["overlap:codes"].tolist() == [[row % 2 == 0, row % 2 == 1, True] for row in partner.tolist()]
    batch["ids"]["report"] = torch.full((4,), -1)
    assert not found.of(batch)["overlap:codes"].any()


def test_a_share_of_the_patients_shows_its_labels(manifest: Manifest) -> None:
    found, patients = table(manifest, labels=0.5), manifest.column("patient")
    shown = {patient: found[patients == patient].any(dim=1) for patient in np.unique(patients)}
    assert sum(bool(own.all()) for own in shown.values()) == len(shown) // 2
    assert sum(bool(own.any()) for own in shown.values()) == len(shown) // 2


def test_the_pairs_of_views_are_weighed_by_what_they_share(manifest: Manifest) -> None:
    labels = table(manifest)[-6:]
    labels[1] = False
    config: Any = recipe().objectives["grades"]
    found = pair(config, Side({WORD: labels}, 2, 6, ("report",)), None, None).pairs()
    expected = overlap(labels.repeat(2, 1)).pairs()
    itself = torch.eye(12, dtype=torch.bool)
    torch.testing.assert_close(found.positive, expected.positive.masked_fill(itself, 0))
    assert found.candidate is not None
    assert expected.candidate is not None
    assert torch.equal(found.candidate, expected.candidate & ~itself)
    assert not found.candidate[1].any()


def test_columns_that_are_not_there_or_tell_nothing_are_refused(manifest: Manifest) -> None:
    with pytest.raises(
        UsageError, match="objectives.grades: the archive has no ids for nodul; .*did you mean 'nodule'"
    ):
        table(manifest, "overlap:nodul/scar")
    same = manifest.with_column("scar", pa.array(["absent"] * len(manifest)))
    with pytest.raises(UsageError, match="objectives.grades: the columns scar tell no records apart"):
        table(same, "overlap:scar")
