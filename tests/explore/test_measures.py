"""The measures next to a map: against slow references, and in words for any file."""

import numpy as np
import pytest

from medcl.explore.measures import measure
from medcl.explore.page import Categories
from medcl.stats.embedding_space import effective_rank, spread

RNG = np.random.default_rng(0)
VECTORS = RNG.normal(size=(60, 6)).astype(np.float32)
PATIENTS = np.arange(60) // 3
CLASSES = Categories(np.arange(60) % 4 - 1, ("a", "b", "c"))
COLUMNS = {"site": CLASSES, "split": Categories(np.where(PATIENTS < 10, 0, 1), ("train", "test"))}


def titles(measured: object) -> list[str]:
    return [table.title for table in measured.tables]  # type: ignore[attr-defined]


def test_the_effective_rank_counts_directions() -> None:
    assert effective_rank(np.eye(5, 9)) == pytest.approx(5)
    assert effective_rank(np.outer(np.arange(1, 9), np.ones(4))) == pytest.approx(1)
    values = np.linalg.svd(VECTORS.astype(np.float64), compute_uv=False)
    share = values / values.sum()
    assert effective_rank(VECTORS) == pytest.approx(np.exp(-(share * np.log(share)).sum()), rel=1e-6)
    assert np.isnan(effective_rank(np.zeros((3, 2))))


def test_alignment_and_uniformity_are_means_over_pairs() -> None:
    z = VECTORS / np.linalg.norm(VECTORS, axis=1, keepdims=True)
    squares = ((z[:, None] - z) ** 2).sum(-1)
    off = ~np.eye(60, dtype=bool)
    found = spread(VECTORS, {"patient": PATIENTS})
    assert found.alignment["patient"] == pytest.approx(squares[off & (PATIENTS[:, None] == PATIENTS)].mean(), rel=1e-4)
    assert found.apart == pytest.approx(squares[off].mean(), rel=1e-4)
    assert found.uniformity == pytest.approx(np.log(np.exp(-2 * squares[off]).mean()), rel=1e-4)


def test_every_question_has_its_table() -> None:
    found = measure(VECTORS, COLUMNS, {"patient": PATIENTS}, permutations=19)
    assert [one.split(":")[0] for one in titles(found)] == [
        "The space",
        "Neighbours",
        "What a linear probe predicts from the embeddings",
        "Drift",
    ]
    for table in found.tables:
        assert all(len(row) == len(table.header) for row in table.rows)
    assert found.notes == ()


def test_two_modalities_have_a_gap() -> None:
    kinds = Categories(np.arange(60) // 30, ("image", "report"))
    vectors = VECTORS + 3 * kinds.codes[:, None]
    levels = {"patient": np.arange(60) % 30, "trial": np.arange(60) % 30}
    found = measure(vectors, {"kind": kinds}, levels, joint=True, permutations=19)
    gap = found.tables[-1]
    assert gap.title == "Modality gap"
    assert gap.rows[0][0] == "image and report"


def test_a_collapsed_encoder_and_one_record_are_told_in_words() -> None:
    same = measure(np.ones((60, 4), np.float32), COLUMNS, {"patient": PATIENTS})
    assert "collapsed" in same.notes[0]
    assert titles(same) == ["The space"]
    one = measure(VECTORS[:1], {"site": Categories(np.zeros(1, int), ("a",))}, {})
    assert titles(one) == ["The space"]
    assert "No patients are known" in one.notes[0]
    measure(VECTORS[:3], {"age": np.array([1.0, 2.0, np.nan])}, {"patient": np.arange(3)})
