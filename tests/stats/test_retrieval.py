"""Retrieval: ranks, metrics against torchmetrics, intervals over patients."""

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from sklearn.metrics import average_precision_score
from torchmetrics.functional.retrieval import (
    retrieval_hit_rate,
    retrieval_precision,
    retrieval_reciprocal_rank,
)

from medcl.errors import MedclError, UsageError
from medcl.stats import retrieval
from medcl.stats.intervals import bootstrap_metrics
from medcl.stats.retrieval import RelevanceIds

Z = torch.Generator().manual_seed(0)


def embeddings(n: int, dim: int = 8) -> torch.Tensor:
    return torch.randn(n, dim, generator=Z)


def labels(n: int, classes: int, seed: int = 0) -> NDArray[np.int64]:
    return np.random.default_rng(seed).integers(0, classes, n)


def test_agrees_with_torchmetrics_and_scikit_learn_query_by_query() -> None:
    queries, candidates = embeddings(30), embeddings(40)
    of_query, of_candidate = labels(30, 6), labels(40, 6, seed=1)
    found = retrieval.rank(
        queries, candidates, (RelevanceIds.of(of_query), RelevanceIds.of(of_candidate)), ranks=(1, 5, 10)
    )
    unit = torch.nn.functional.normalize
    similarity = unit(queries) @ unit(candidates).T
    for i in range(30):
        truth = torch.from_numpy(of_candidate == of_query[i])
        assert found.precision[i] == pytest.approx(average_precision_score(truth, similarity[i]))
        assert 1 / found.best[i] == pytest.approx(float(retrieval_reciprocal_rank(similarity[i], truth)))
        for column, k in enumerate(found.ranks):
            assert (found.found[i, column] > 0) == float(retrieval_hit_rate(similarity[i], truth, top_k=k))
            assert found.found[i, column] / k == pytest.approx(
                float(retrieval_precision(similarity[i], truth, top_k=k))
            )


def test_blocks_do_not_change_the_result(monkeypatch: pytest.MonkeyPatch) -> None:
    queries, candidates = embeddings(23), embeddings(31)
    hits = (RelevanceIds.of(labels(23, 4)), RelevanceIds.of(labels(31, 4, seed=2)))
    whole = retrieval.rank(queries, candidates, hits)
    monkeypatch.setattr(retrieval, "_BLOCK_NUMBERS", 70)
    parts = retrieval.rank(queries, candidates, hits)
    np.testing.assert_array_equal(whole.best, parts.best)
    np.testing.assert_array_equal(whole.found, parts.found)
    np.testing.assert_allclose(whole.precision, parts.precision)


def test_a_record_may_carry_several_ids_and_an_image_several_reports() -> None:
    # Query 0 is described by the reports 0 and 2, query 1 by none of them.
    reports = torch.eye(3)
    found = retrieval.rank(
        torch.tensor([[0.1, 0.9, 0.5], [1.0, 0, 0]]),
        reports,
        (RelevanceIds.of([[7, 9], [4]]), RelevanceIds.of(np.array([7, 8, 9]))),
    )
    assert found.hits.tolist() == [2, 0]
    assert found.best.tolist() == [2, -1]
    assert found.precision[0] == pytest.approx((1 / 2 + 2 / 3) / 2)
    assert found.answerable.tolist() == [True, False]
    own, by_chance = retrieval.values_of(found)
    assert own.n_items == by_chance.n_items == 1


def test_multilabel_hits_share_a_class() -> None:
    marks = RelevanceIds.of(np.array([[1, 0, 1], [0, 1, 0], [np.nan, np.nan, np.nan], [0, 1, 1]]))
    found = retrieval.rank(embeddings(4), embeddings(4), (marks, marks))
    assert found.hits.tolist() == [2, 2, 0, 3]


def test_within_a_modality_neither_itself_nor_the_same_patient() -> None:
    z, of, patient = embeddings(12), labels(12, 2), np.repeat(np.arange(6), 2)
    itself = RelevanceIds.of(np.arange(12))
    found = retrieval.rank(z, z, (RelevanceIds.of(of),) * 2, (itself, itself))
    assert (found.candidates == 11).all()
    assert found.hits.tolist() == [int((of == of[i]).sum()) - 1 for i in range(12)]
    apart = retrieval.rank(z, z, (RelevanceIds.of(of),) * 2, (RelevanceIds.of(patient),) * 2)
    assert (apart.candidates == 10).all()
    # What is left out is never found, even among all ranks.
    same = retrieval.rank(z, z, (RelevanceIds.of(patient),) * 2, (RelevanceIds.of(patient),) * 2, ranks=(12,))
    assert not same.found.any()


def test_a_collapsed_encoder_is_at_chance() -> None:
    n = 400
    marks = RelevanceIds.of(np.arange(n))
    found = retrieval.rank(torch.ones(n, 4), torch.ones(n, 4), (marks, marks))
    own, by_chance = (one.metrics(np.ones((n, 1)))[0] for one in retrieval.values_of(found))
    for k in (1, 5, 10):
        assert own[f"recall@{k}"] == pytest.approx(k / n) == by_chance[f"recall@{k}"]
    assert own["median_rank"] == pytest.approx(n / 2, abs=1) == by_chance["median_rank"]


def test_intervals_resample_patients_not_records() -> None:
    # One patient has 90 of 100 queries and finds everything, the other ten find nothing.
    patients = np.array([0] * 90 + list(range(1, 11)))
    z = torch.eye(101)
    marks = np.arange(101)
    queries = z[:100].clone()
    queries[90:] = z[100]
    found = retrieval.rank(queries, z, (RelevanceIds.of(marks[:100]), RelevanceIds.of(marks)), ranks=(1,))
    own, _ = retrieval.values_of(found)
    assert own.metrics(np.ones((100, 1)))[0]["recall@1"] == pytest.approx(0.9)
    boot = bootstrap_metrics([own], patients)[0]["recall@1"]
    assert boot.min() == 0.0  # some resamples miss the one patient
    assert np.quantile(bootstrap_metrics([own], np.arange(100))[0]["recall@1"], 0.025) > 0.8


def test_metrics_under_weights_are_those_of_repeated_queries() -> None:
    marks = RelevanceIds.of(labels(20, 4))
    found = retrieval.rank(embeddings(20), embeddings(20), (marks, marks), ranks=(1, 5))
    own, by_chance = retrieval.values_of(found)
    weights = np.random.default_rng(0).integers(0, 3, (20, 1)).astype(float)
    often = np.repeat(np.arange(20), weights[:, 0].astype(int))
    for one in (own, by_chance):
        metrics, by_class = one.metrics(weights)
        assert not by_class
        for name, values in one.means.items():
            assert metrics[name] == pytest.approx(values[often].mean())
    assert own.metrics(weights)[0]["median_rank"] == np.median(found.best[often])


def test_refusals() -> None:
    marks = RelevanceIds.of(np.arange(3))
    with pytest.raises(UsageError, match="ids of 3 records"):
        retrieval.rank(embeddings(4), embeddings(3), (marks, marks))
    with pytest.raises(MedclError, match="diverged"):
        retrieval.rank(torch.full((3, 2), torch.nan), embeddings(3, 2), (marks, marks))
    with pytest.raises(UsageError, match="recall@0"):
        retrieval.rank(embeddings(3), embeddings(3), (marks, marks), ranks=(0, 1))
    none = retrieval.rank(embeddings(3), embeddings(3), (marks, RelevanceIds.of(np.array([-1, -1, -1]))))
    with pytest.raises(MedclError, match="none of 3 queries has a hit"):
        retrieval.values_of(none)
