from functools import partial

import pytest
import torch
from torch import Tensor

from medcl.contrast.losses.info_nce import info_nce
from medcl.contrast.losses.mochi import NegativeMixing, draw_mixing, mix_negatives, mochi
from medcl.contrast.pairings.pairs import matrix, same
from medcl.contrast.similarities.similarity import Similarity, cosine, dot, one_sided
from medcl.errors import UsageError
from tests.contrast.compare import assert_same, draw, value_and_gradients
from tests.contrast.loops import mean

IDS, MORE = torch.tensor([0, 1, 0, 2]), torch.tensor([0, 0, 1, 3, 0])
MIXING = draw_mixing(4, hardest=3, synthetic=2, with_query=2, generator=torch.Generator().manual_seed(0))


def loops(a: Tensor, b: Tensor, exclude: Tensor, temperature: float, mixing: NegativeMixing, unit: bool) -> Tensor:
    def length_1(x: Tensor) -> Tensor:
        return x / x.norm() if unit else x

    terms = []
    for i, x in enumerate(a):
        query, keys = length_1(x), [length_1(y) for y in b]
        scores = [query @ y / temperature for y in keys]
        kept = [j for j in range(len(b)) if not exclude[i, j]]
        hardest = sorted((j for j in kept if IDS[i] != MORE[j]), key=lambda j: -float(scores[j].detach()))[:3]
        made = []
        for s in range(4 if hardest else 0):
            second = keys[hardest[int(mixing.second[i, s]) % len(hardest)]]
            first = query if s >= 2 else keys[hardest[int(mixing.first[i, s]) % len(hardest)]]
            share = mixing.share[i, s].double()
            made.append(query @ length_1(share * first + (1 - share) * second).detach() / temperature)
        total = sum(torch.exp(x) for x in [scores[j] for j in kept] + made)
        pulled = [-torch.log(torch.exp(scores[j]) / total) for j in kept if IDS[i] == MORE[j]]
        if pulled:
            terms.append(mean(pulled))
    return mean(terms)


@pytest.mark.parametrize("similarity", [cosine, dot], ids=["cosine", "dot"])
def test_the_loss_and_its_gradient_equal_the_loops(similarity: Similarity) -> None:
    exclude = draw(4, 5, seed=2) > 1
    exclude[2] = MORE != 0
    options = {"temperature": 0.7, "mixing": MIXING}
    pairing = matrix(same(IDS, MORE).pairs().positive, exclude)
    assert_same(
        partial(mochi, pairing=pairing, hardest=3, similarity=similarity, **options),
        partial(loops, exclude=exclude, unit=similarity is cosine, **options),
        draw(4, 3),
        draw(5, 3, seed=1),
    )


def test_mixtures_are_unit_vectors_between_what_they_mix() -> None:
    queries, keys = (torch.nn.functional.normalize(draw(4, 3, seed=i), dim=1) for i in (0, 1))
    indices = (queries @ keys.T).topk(3).indices
    mixed = mix_negatives(queries, keys, indices, torch.full((4,), 3), MIXING)
    assert mixed.shape == (4, 4, 3)
    torch.testing.assert_close(mixed.norm(dim=2), torch.ones(4, 4, dtype=torch.float64))
    share = MIXING.share[1, 2].double()
    expected = share * queries[1] + (1 - share) * keys[indices[1, MIXING.second[1, 2]]]
    torch.testing.assert_close(mixed[1, 2], expected / expected.norm())
    assert not mixed.requires_grad


def test_what_was_drawn_can_be_replayed() -> None:
    loss = partial(mochi, pairing=same(IDS, MORE), hardest=3, synthetic=2, with_query=2)
    a, b = draw(4, 3), draw(5, 3, seed=1)
    drawn = loss(a, b, generator=torch.Generator().manual_seed(0))
    assert torch.equal(drawn, loss(a, b, generator=torch.Generator().manual_seed(0)))
    assert torch.equal(drawn, loss(a, b, mixing=MIXING))
    assert not torch.equal(drawn, loss(a, b, generator=torch.Generator().manual_seed(1)))


def test_two_different_negatives_are_mixed_in_shares_of_their_ranges() -> None:
    mixing = draw_mixing(50, hardest=4, synthetic=20, with_query=10)
    assert (mixing.first != mixing.second).all()
    assert mixing.second.max() == 3
    assert mixing.share[:, 20:].max() <= 0.5 < mixing.share[:, :20].max()


def test_synthetic_negatives_only_add_to_info_nce() -> None:
    a, b, pairing = draw(4, 3), draw(5, 3, seed=1), same(IDS, MORE)
    assert mochi(a, b, pairing, mixing=MIXING, hardest=3) > info_nce(a, b, pairing, temperature=0.2)
    everyone = torch.ones(4, 5, dtype=torch.bool)
    torch.testing.assert_close(mochi(a, b, everyone, mixing=MIXING), info_nce(a, b, everyone, temperature=0.2))


@pytest.mark.parametrize("exclude", [False, True])
def test_without_a_positive_the_loss_and_gradient_are_0(exclude: bool) -> None:
    nothing = matrix(torch.zeros(4, 5, dtype=torch.bool), torch.full((4, 5), exclude))
    for found in value_and_gradients(partial(mochi, pairing=nothing, mixing=MIXING), draw(4, 3), draw(5, 3)):
        assert torch.equal(found, torch.zeros_like(found))


def test_the_side_that_keeps_its_length_is_mixed_at_length_1() -> None:
    loss = partial(mochi, pairing=same(IDS, MORE), mixing=MIXING, hardest=3, temperature=1.0)
    a, b = torch.nn.functional.normalize(draw(4, 3), dim=1), draw(5, 3, seed=1)
    torch.testing.assert_close(loss(a, b, similarity=one_sided), loss(a, b))


def test_what_has_no_meaning_is_refused() -> None:
    a, pairing = draw(4, 3), same(IDS)
    far = Similarity("far", lambda x, y: -torch.cdist(x[0], y[0]), lambda x, y: (x, y))
    with pytest.raises(UsageError, match="inner product, not 'far'"):
        mochi(a, a, pairing, similarity=far)
    with pytest.raises(UsageError, match="inner product, not 'far'"):
        mix_negatives(a, a, torch.zeros(4, 1, dtype=torch.int64), torch.ones(4), MIXING, far)
    with pytest.raises(UsageError, match="yes or no"):
        mochi(a, a, torch.eye(4))
    with pytest.raises(UsageError, match="mixing is of 4 anchors, there are 3"):
        mochi(a[:3], a, same(IDS[:3], IDS), mixing=MIXING)
    with pytest.raises(UsageError, match="cannot make"):
        mochi(a, a, pairing, synthetic=0, with_query=0)
