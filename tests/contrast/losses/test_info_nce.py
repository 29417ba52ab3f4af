from functools import partial
from typing import Literal

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor
from torch.nn import functional as F

from medcl.contrast.losses.info_nce import info_nce, info_nce_levels, info_nce_views
from medcl.contrast.pairings.pairs import Pairing, among_views, itself, matrix, same
from medcl.contrast.similarities.similarity import cosine, dot
from medcl.errors import UsageError
from tests.contrast import loops
from tests.contrast.compare import assert_same, draw, value_and_gradients

SIMILARITIES = pytest.mark.parametrize("similarity", ["cosine", "dot"])
KNOWN = {"cosine": cosine, "dot": dot}
LOGS = pytest.mark.parametrize("log", ["outside", "inside"])


@SIMILARITIES
@LOGS
@settings(max_examples=25, deadline=None)
@given(
    ids_a=st.lists(st.integers(0, 3), min_size=1, max_size=5),
    ids_b=st.lists(st.integers(0, 3), min_size=1, max_size=5),
    temperature=st.sampled_from([0.1, 0.5, 2.0]),
    seed=st.integers(0, 1000),
)
def test_the_loss_and_its_gradient_equal_the_loops(
    similarity: Literal["cosine", "dot"],
    log: Literal["outside", "inside"],
    ids_a: list[int],
    ids_b: list[int],
    temperature: float,
    seed: int,
) -> None:
    positives = same(torch.tensor(ids_a), torch.tensor(ids_b)).pairs().positive
    exclude = draw(*positives.shape, seed=seed) > 0.8
    options = {"temperature": temperature, "log": log}
    assert_same(
        partial(info_nce, pairing=matrix(positives, exclude), similarity=KNOWN[similarity], **options),
        partial(loops.info_nce, positives=positives, exclude=exclude, similarity=similarity, **options),
        draw(len(ids_a), 3, seed=seed),
        draw(len(ids_b), 3, seed=seed + 1),
        single=1e-4,
    )


@SIMILARITIES
@LOGS
def test_gradcheck(similarity: Literal["cosine", "dot"], log: Literal["outside", "inside"]) -> None:
    ids = torch.tensor([0, 1, 0, 2])
    a, b = draw(4, 3).requires_grad_(), draw(4, 3, seed=1).requires_grad_()
    options = {"temperature": 0.5, "similarity": KNOWN[similarity], "log": log}
    assert torch.autograd.gradcheck(partial(info_nce_views, ids=ids, **options), (a, b))


def test_with_one_positive_a_row_it_is_the_cross_entropy_of_the_similarities() -> None:
    a, b = draw(5, 4), draw(5, 4, seed=1)
    scores = F.normalize(a, dim=1) @ F.normalize(b, dim=1).T / 0.1
    expected = F.cross_entropy(scores, torch.arange(5))
    for log in ("outside", "inside"):
        torch.testing.assert_close(info_nce(a, b, torch.eye(5, dtype=torch.bool), log=log), expected)


def test_the_log_inside_never_exceeds_the_log_outside() -> None:
    z1, z2, ids = draw(6, 4), draw(6, 4, seed=1), torch.tensor([0, 0, 1, 1, 1, 2])
    assert info_nce_views(z1, z2, ids, log="inside") < info_nce_views(z1, z2, ids)


def test_two_views_are_compared_with_all_views_but_themselves() -> None:
    z1, z2, ids = draw(4, 3), draw(4, 3, seed=1), torch.tensor([0, 1, 0, 2])
    pairs = among_views(ids).pairs()
    positives, alone = pairs.positive, ~pairs.candidate
    options = {"temperature": 0.1, "similarity": "cosine", "log": "outside"}

    def as_loops(a: Tensor, b: Tensor) -> Tensor:
        z = torch.cat([a, b])
        return loops.info_nce(z, z, positives, exclude=alone, **options)

    assert_same(partial(info_nce_views, ids=ids), as_loops, z1, z2)


def test_order_and_names_of_ids_do_not_matter() -> None:
    z1, z2, ids = draw(5, 3), draw(5, 3, seed=1), torch.tensor([0, 1, 0, 2, 1])
    loss = info_nce_views(z1, z2, ids)
    order = torch.tensor([2, 4, 0, 1, 3])
    torch.testing.assert_close(info_nce_views(z1[order], z2[order], ids[order]), loss)
    assert torch.equal(info_nce_views(z1, z2, torch.tensor([2**62, -5, 2**62, 0, -5])), loss)
    torch.testing.assert_close(info_nce_views(z2, z1, ids), loss)


def test_a_shift_of_all_similarities_of_an_anchor_changes_nothing() -> None:
    """Adding a vector c to every candidate adds a_i . c to row i, which the softmax cancels."""
    a, b, positives = draw(4, 3), draw(5, 3, seed=1), draw(4, 5, seed=2) > 0
    positives[:, 0] = True
    shifted = info_nce(a, b + draw(1, 3, seed=3), positives, similarity=dot)
    torch.testing.assert_close(shifted, info_nce(a, b, positives, similarity=dot))


@LOGS
def test_anchors_without_a_positive_contribute_nothing(log: Literal["outside", "inside"]) -> None:
    a, b = draw(3, 4), draw(5, 4, seed=1)
    positives = torch.zeros(3, 5, dtype=torch.bool)
    positives[1, [0, 3]] = True
    value, gradient, _ = value_and_gradients(partial(info_nce, pairing=positives, log=log), a, b)
    torch.testing.assert_close(value, info_nce(a[1:2], b, positives[1:2], log=log))
    assert torch.equal(gradient[[0, 2]], torch.zeros(2, 4, dtype=a.dtype))


@LOGS
@pytest.mark.parametrize("excluded", [False, True])
def test_without_any_positive_the_loss_and_its_gradient_are_0(
    log: Literal["outside", "inside"], excluded: bool
) -> None:
    a, b = draw(3, 4), draw(5, 4, seed=1)
    positives = torch.full((3, 5), excluded)
    exclude = torch.full((3, 5), excluded)
    loss = partial(info_nce, pairing=matrix(positives, exclude), log=log)
    value, *gradients = value_and_gradients(loss, a, b)
    assert value == 0
    assert all(torch.equal(gradient, torch.zeros_like(gradient)) for gradient in gradients)


def test_one_sample_has_two_views_and_nothing_to_be_told_from() -> None:
    assert info_nce_views(draw(1, 3), draw(1, 3, seed=1), torch.tensor([4])).abs() < 1e-12


def test_identical_rows_cost_the_logarithm_of_the_candidates() -> None:
    z = torch.ones(4, 3)
    torch.testing.assert_close(info_nce_views(z, z, torch.arange(4)), torch.tensor(7.0).log())


@SIMILARITIES
@LOGS
@pytest.mark.parametrize("scale", [1e-4, 1e4])
def test_long_and_short_embeddings_stay_finite_in_float32(
    similarity: Literal["cosine", "dot"], log: Literal["outside", "inside"], scale: float
) -> None:
    z1, z2 = draw(6, 8, scale=scale).float(), draw(6, 8, seed=1, scale=scale).float()
    loss = partial(info_nce_views, ids=torch.arange(6) // 2, temperature=0.05, similarity=KNOWN[similarity], log=log)
    for value in value_and_gradients(loss, z1, z2):
        assert torch.isfinite(value).all()


def test_autocast_computes_in_float32() -> None:
    z1, z2, ids = draw(6, 8).bfloat16(), draw(6, 8, seed=1).bfloat16(), torch.arange(6) // 2
    expected = info_nce_views(z1.float(), z2.float(), ids)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        found = info_nce_views(z1, z2, ids)
    assert found.dtype == torch.float32
    torch.testing.assert_close(found, expected)


def test_what_does_not_fit_is_refused() -> None:
    a, b, positives = draw(3, 4), draw(5, 4), torch.ones(3, 5, dtype=torch.bool)
    with pytest.raises(UsageError, match=r"\(N, D\)"):
        info_nce(a, b[:, :3], positives)
    with pytest.raises(UsageError, match="pairing is of 5 anchors and 3 candidates"):
        info_nce(a, b, positives.T)
    with pytest.raises(UsageError, match="temperature"):
        info_nce(a, b, positives, temperature=-1.0)
    with pytest.raises(UsageError, match="one an anchor"):
        info_nce(a, b, positives, temperature=torch.ones(2))
    with pytest.raises(UsageError, match="log outside or inside"):
        info_nce(a, b, positives, log="above")  # type: ignore[arg-type]
    with pytest.raises(UsageError, match="0"):
        info_nce(a, b, positives, block=0)


def test_levels_are_the_losses_one_by_one() -> None:
    """By groups, with and without the anchor itself, and for pairings that have to be looked up pair by pair."""
    a, b = draw(6, 4), draw(6, 4, seed=1)
    patient, trial = same(torch.tensor([0, 0, 0, 1, 1, 2])), same(torch.tensor([0, 0, 1, 2, 3, 4]))
    for levels, without in (
        ({"patient": patient, "trial": trial, "sample": itself(a)}, None),
        ({"patient": patient, "trial": trial}, itself(a)),
        ({"patient": patient & patient, "trial": trial}, itself(a)),
        ({"patient": patient, "trial": trial}, trial),
    ):
        found = info_nce_levels(a, b, levels, without=without)
        assert list(found) == list(levels)
        for level, pairing in levels.items():
            whole = pairing if without is None else pairing.without(without)
            alone = info_nce(a, b, matrix(*masks(whole)))
            torch.testing.assert_close(found[level], alone)
    with pytest.raises(UsageError, match="different sizes"):
        info_nce_levels(a, b, {"patient": patient, "other": same(torch.arange(5))})
    with pytest.raises(UsageError, match="yes and no"):
        info_nce_levels(a, b, {"soft": matrix(torch.rand(6, 6))})


def masks(pairing: Pairing) -> tuple[Tensor, Tensor]:
    pairs = pairing.pairs()
    everything = torch.ones_like(pairs.positive)
    return pairs.positive, ~(everything if pairs.candidate is None else pairs.candidate)


def test_groups_are_found_among_other_candidates() -> None:
    """An anchor without a partner, candidates that are nobody's, ids beyond all others, and one's own place behind."""
    a, b = draw(4, 3), draw(7, 3, seed=1)
    ids_a, ids_b = torch.tensor([9, 2**62, -4, 7]), torch.tensor([9, 1, -4, 7, 9, -4, 8])
    for pairing in (same(ids_a, ids_b), same(ids_a, ids_b).without(itself(ids_a, 7)), itself(a, 7)):
        assert pairing.groups
        assert_same(partial(info_nce, pairing=pairing), partial(info_nce, pairing=matrix(*masks(pairing))), a, b)
        torch.testing.assert_close(info_nce(a, b, pairing, block=3), info_nce(a, b, pairing))
