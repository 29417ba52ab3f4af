"""What embeddings know of site, sex and age: found where it was planted, and only there."""

from pathlib import Path

import numpy as np
import pytest

from medcl.archive.manifest import Manifest
from medcl.embed.embeddings import EmbeddingsFile
from medcl.embed.vectors import groups_of, vectors_of
from medcl.engine import progress
from medcl.explore.columns import columns_of, levels_of
from medcl.explore.confounders import Confounder, confounders
from medcl.explore.page import Categories
from medcl.phantom.site import SITES, Site
from tests.explore.archives import embedded_phantom


def looked_at(path: Path) -> dict[str, Confounder]:
    embeddings = EmbeddingsFile.read(path)
    table = embeddings.table()
    columns = columns_of(table, Manifest(table, path.parent, embeddings.about.archive))
    patients = groups_of(levels_of(table)["patient"])
    found = confounders(vectors_of(embeddings), columns, patients, permutations=199)
    return {one.name: one for one in found}


def test_the_site_effect_of_a_phantom_is_found(tmp_path: Path) -> None:
    found = looked_at(embedded_phantom(tmp_path, 48, SITES))
    assert found["site"].found
    assert found["site"].low > 0.6
    assert abs(found["site"].chance - 0.5) < 0.05
    assert found["site"].share > 0
    assert not found["sex"].found
    assert not found["split"].found


def test_how_far_it_is_is_told(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(progress, "EVERY", 0.0)
    columns = {name: Categories(np.arange(40) % 2, ("A", "B")) for name in ("site", "sex")}
    confounders(np.random.default_rng(0).normal(size=(40, 4)), columns, np.arange(40), permutations=19)
    last = capsys.readouterr().err.splitlines()[-1]
    assert last == "explore: confounders: 2 of 2 columns (100%), 0 s left"


def test_no_site_effect_is_found_where_none_was_planted(tmp_path: Path) -> None:
    found = looked_at(embedded_phantom(tmp_path, 48, tuple(Site(one.name) for one in SITES)))
    assert not found["site"].found
    assert not found["split"].found


def test_records_of_one_patient_are_one_witness() -> None:
    # Ten alike records of each patient, a site drawn by patient: a test by record would find it nearly every time.
    wrong = 0
    for seed in range(20):
        rng = np.random.default_rng(seed)
        patients = np.repeat(np.arange(24), 4)
        vectors = rng.normal(size=(24, 6))[patients] + 0.1 * rng.normal(size=(96, 6))
        site = Categories(rng.integers(0, 2, 24)[patients], ("A", "B"))
        wrong += confounders(vectors, {"site": site}, patients, permutations=99)[0].found
    assert wrong <= 3


def test_a_number_is_found_and_columns_are_paid_for() -> None:
    rng = np.random.default_rng(0)
    vectors = rng.normal(size=(80, 6))
    age = 50 + 10 * vectors[:, 0] + rng.normal(size=80)
    columns = {"age": age, **{f"noise {number}": rng.normal(size=80) for number in range(4)}}
    found = confounders(vectors, columns, np.arange(80), permutations=199)
    assert found[0].name == "age"
    assert found[0].measure == "R2"
    assert found[0].score > 0.7
    assert found[0].p == pytest.approx(5 / 200)
    assert not any(one.found for one in found[1:])
    assert confounders(vectors, columns, np.arange(80), permutations=199) == found


def test_what_too_few_patients_have_is_not_looked_at() -> None:
    rng = np.random.default_rng(0)
    rare = Categories((np.arange(40) < 5).astype(int), ("no", "yes"))
    constant = np.full(40, 3.0)
    lonely = Categories(np.full(40, -1), ())
    found = confounders(rng.normal(size=(40, 4)), {"a": rare, "b": constant, "c": lonely}, np.arange(40))
    assert all(one.reason and np.isnan(one.p) and not one.found for one in found)


def test_embeddings_that_are_all_the_same_tell_nothing() -> None:
    codes = Categories(np.arange(40) % 2, ("a", "b"))
    one = confounders(np.ones((40, 4)), {"site": codes}, np.arange(40), permutations=19)[0]
    assert one.score == 0.5
    assert one.p == 1
    assert one.share == 0
