"""Contrast of two modalities against independent slow references."""

from functools import partial

import pytest
import torch
from torch import Tensor
from torch.nn import functional as F

from medcl.contrast.losses.clip import clip, clip_without_gap, cwcl
from medcl.contrast.losses.info_nce import info_nce
from medcl.contrast.pairings.neighbours import soft
from medcl.contrast.pairings.pairs import itself, matrix, same
from medcl.contrast.similarities.similarity import Similarity, dot, one_sided, transposed
from medcl.errors import UsageError
from tests.contrast import loops
from tests.contrast.compare import assert_same, draw, value_and_gradients


@pytest.mark.parametrize("weight", [0.5, 0.75, 0.0, 1.0])
def test_the_loss_and_its_gradient_equal_the_loops_of_both_directions(weight: float) -> None:
    positives = torch.tensor([[1, 0, 0, 1], [0, 1, 0, 0], [0, 0, 0, 0]], dtype=torch.bool)
    nothing = torch.zeros_like(positives)

    def reference(a: Tensor, b: Tensor) -> Tensor:
        options = {"temperature": 0.2, "similarity": "cosine", "log": "outside"}
        there = loops.info_nce(a, b, positives, exclude=nothing, **options)
        back = loops.info_nce(b, a, positives.T, exclude=nothing.T, **options)
        return weight * there + (1 - weight) * back

    loss = partial(clip, pairing=positives, weight=weight, temperature=0.2)
    assert_same(loss, reference, draw(3, 4), draw(4, 4, seed=1))


def test_with_one_report_an_image_it_is_the_mean_of_two_cross_entropies() -> None:
    a, b, scale = draw(5, 4), draw(5, 4, seed=1), torch.tensor(14.3, dtype=torch.float64)
    scores = F.normalize(a, dim=1) @ F.normalize(b, dim=1).T * scale
    expected = (F.cross_entropy(scores, torch.arange(5)) + F.cross_entropy(scores.T, torch.arange(5))) / 2
    torch.testing.assert_close(clip(a, b, same(torch.arange(5)), temperature=1 / scale), expected)


def test_smoothed_labels_are_those_of_the_cross_entropy_among_candidates() -> None:
    """Some pairs are left out, and one image has no report; all shares are exact numbers."""
    a, b, smoothing = draw(4, 3), draw(4, 3, seed=1), 0.125
    positive, out = torch.eye(4, dtype=torch.bool), torch.zeros(4, 4, dtype=torch.bool)
    positive[1, 1], out[:2, 2:] = False, True

    def one_way(s: Tensor, positive: Tensor, out: Tensor) -> Tensor:
        losses = []
        for row, own, left in zip(s, positive, out, strict=True):
            if own.any():
                log_p = row[~left].log_softmax(0)
                target = (1 - smoothing) * own[~left].double() + smoothing / len(log_p)
                losses.append(-(target * log_p).sum())
        return torch.stack(losses).mean()

    def reference(a: Tensor, b: Tensor) -> Tensor:
        s = F.normalize(a, dim=1) @ F.normalize(b, dim=1).T / 0.2
        return (one_way(s, positive, out) + one_way(s.T, positive.T, out.T)) / 2

    loss = partial(clip, pairing=matrix(positive, out), temperature=0.2, smoothing=smoothing)
    assert_same(loss, reference, a, b)


def test_exchanging_the_modalities_exchanges_the_weights() -> None:
    a, b, pairing = draw(4, 3), draw(5, 3, seed=1), same(torch.tensor([0, 1, 2, 2]), torch.tensor([2, 0, 1, 1, 5]))
    forth, back = clip(a, b, pairing, weight=0.75), clip(b, a, pairing.T, weight=0.25)
    torch.testing.assert_close(forth, back)


@pytest.mark.parametrize("similarity", [dot, one_sided])
def test_the_transposed_similarity_has_the_transposed_matrix(similarity: Similarity) -> None:
    a, b = draw(4, 3), draw(5, 3, seed=1)
    anchors, candidates = similarity.prepared(a, b)
    swapped = transposed(similarity)
    found = swapped.score(*swapped.prepared(b, a))
    torch.testing.assert_close(found, similarity.score(anchors, candidates).T)
    pairing = same(torch.arange(4), torch.arange(5))
    whole = info_nce(b, a, pairing.T, similarity=swapped)
    torch.testing.assert_close(info_nce(b, a, pairing.T, similarity=swapped, block=2), whole)


def test_gradcheck() -> None:
    a, b = draw(4, 3).requires_grad_(), draw(4, 3, seed=1).requires_grad_()
    temperature = torch.tensor(0.3, dtype=torch.float64, requires_grad=True)

    def loss(a: Tensor, b: Tensor, temperature: Tensor) -> Tensor:
        return clip(a, b, same(torch.arange(4) // 2), weight=0.7, similarity=one_sided, temperature=temperature)

    assert torch.autograd.gradcheck(loss, (a, b, temperature))


def test_what_has_no_meaning_in_both_directions_is_refused() -> None:
    a, b, pairing = draw(3, 4), draw(3, 4, seed=1), matrix(torch.eye(3, dtype=torch.bool))
    with pytest.raises(UsageError, match="from 0 to 1"):
        clip(a, b, pairing, weight=1.5)
    with pytest.raises(UsageError, match="smoothing"):
        clip(a, b, pairing, smoothing=1.0)
    with pytest.raises(UsageError, match="one temperature"):
        clip(a, b, pairing, temperature=torch.ones(3))
    with pytest.raises(UsageError, match="pairing is of"):
        clip(a, b[:2], pairing)


WEIGHTS = {"align": 0.5, "within": 2.0, "across": 0.7}


def loops_without_gap(
    a: Tensor, b: Tensor, temperature: float, t: float, align: float, within: float, across: float
) -> Tensor:
    a, b = (torch.stack([x / x.norm() for x in z]) for z in (a, b))
    samples = range(len(a))
    losses = []
    for x, y in ((a, b), (b, a)):
        e = [[torch.exp(x[i] @ y[j] / temperature) for j in samples] for i in samples]
        losses.append(sum(-torch.log(e[i][i] / sum(e[i])) for i in samples) / len(a))

    def spread(x: Tensor, y: Tensor) -> Tensor:
        pairs = [(i, j) for i in samples for j in samples if i != j]
        return torch.log(sum(torch.exp(-t * (x[i] - y[j]).square().sum()) for i, j in pairs) / len(pairs))

    near = sum((a[i] - b[i]).square().sum() for i in samples) / len(a)
    return sum(losses) / 2 + align * near + within * (spread(a, a) + spread(b, b)) / 2 + across * spread(a, b)


def test_the_loss_and_its_gradient_equal_the_loops() -> None:
    options = {"temperature": 0.2, "t": 1.5, **WEIGHTS}
    loss = partial(clip_without_gap, pairing=same(torch.arange(4)), **options)
    assert_same(loss, partial(loops_without_gap, **options), draw(4, 3), draw(4, 3, seed=1))


def test_gradcheck_contrastive_gap() -> None:
    ids = torch.tensor([0, 1, 0, 2])
    a, b = draw(4, 3).requires_grad_(), draw(4, 3, seed=1).requires_grad_()
    assert torch.autograd.gradcheck(partial(clip_without_gap, pairing=same(ids), temperature=0.5), (a, b))


def test_without_weights_it_is_clip() -> None:
    a, b, pairing = draw(4, 3), draw(4, 3, seed=1), same(torch.arange(4))
    torch.testing.assert_close(clip_without_gap(a, b, pairing, align=0, within=0, across=0), clip(a, b, pairing))


def test_a_gap_that_clip_is_content_with_shrinks() -> None:
    """Pairs that are told apart perfectly, while the modalities lie on two sides of the sphere."""
    side = torch.ones(4, 1, dtype=torch.float64)
    views = [torch.cat([torch.eye(4, dtype=torch.float64), sign * side], dim=1) for sign in (1, -1)]

    def gap(a: Tensor, b: Tensor) -> Tensor:
        return (
            torch.nn.functional.normalize(a, dim=1).mean(0) - torch.nn.functional.normalize(b, dim=1).mean(0)
        ).norm()

    for weights, content in (({"align": 0, "within": 0, "across": 0}, True), ({}, False)):
        loss = partial(clip_without_gap, pairing=same(torch.arange(4)), temperature=0.01, **weights)
        _, *gradients = value_and_gradients(loss, *views)
        assert (max(gradient.norm() for gradient in gradients) < 1e-10) == content
        closer = gap(*(view - 0.1 * gradient for view, gradient in zip(views, gradients, strict=True)))
        assert (closer < gap(*views) - 1e-3) != content


def test_products_of_any_length_are_refused() -> None:
    with pytest.raises(UsageError, match="length 1"):
        clip_without_gap(draw(3, 2), draw(3, 2), same(torch.arange(3)), similarity=dot)


FROZEN = draw(4, 5, seed=7)


def expected(a: Tensor, b: Tensor, frozen: Tensor = FROZEN) -> Tensor:
    p, q, f = (F.normalize(x, dim=1) for x in (a, b, frozen.to(a.dtype)))
    n, there, back = len(p), [], []
    for i in range(n):
        weights = [(f[i] @ f[j] + 1) / 2 for j in range(n)]
        total = sum(torch.exp(p[i] @ q[k] / 0.2) for k in range(n))
        there += [-w / sum(weights) * torch.log(torch.exp(p[i] @ q[j] / 0.2) / total) for j, w in enumerate(weights)]
        back.append(-torch.log(torch.exp(p[i] @ q[i] / 0.2) / sum(torch.exp(p[k] @ q[i] / 0.2) for k in range(n))))
    return (sum(there) + sum(back)) / n


def test_cwcl_equals_its_formula() -> None:
    assert_same(partial(cwcl, frozen=FROZEN, temperature=0.2), expected, draw(4, 3), draw(4, 3, seed=1))


def test_gradcheck_cwcl() -> None:
    a, b = draw(4, 3).requires_grad_(), draw(4, 3, seed=1).requires_grad_()
    assert torch.autograd.gradcheck(partial(cwcl, frozen=FROZEN, temperature=0.5), (a, b))


def test_a_model_to_which_all_are_opposite_or_one_gives_plain_contrast() -> None:
    a, b = draw(2, 3), draw(2, 3, seed=1)
    opposite = torch.tensor([[1.0, 0.0], [-1.0, 0.0]])
    torch.testing.assert_close(
        cwcl(a, b, opposite), info_nce(a, b, itself(a), temperature=0.07) + info_nce(b, a, itself(a), temperature=0.07)
    )
    assert torch.equal(soft(torch.ones(3, 2)).pairs().positive, torch.ones(3, 3))


def test_the_frozen_model_gets_no_gradient() -> None:
    a, b = draw(4, 3), draw(4, 3, seed=1)
    assert torch.equal(value_and_gradients(cwcl, a, b, FROZEN)[3], torch.zeros_like(FROZEN))


def test_ids_pair_the_other_direction() -> None:
    a, b, ids = draw(4, 3), draw(4, 3, seed=1), torch.tensor([0, 0, 1, 2])
    found = cwcl(a, b, FROZEN, same(ids), temperature=0.1) - info_nce(a, b, soft(FROZEN))
    torch.testing.assert_close(found, info_nce(b, a, same(ids)))


@pytest.mark.parametrize("both", [True, False])
def test_nothing_parts_the_images_of_two_reports_that_a_frozen_model_finds_equal(both: bool) -> None:
    """As published, the direction that is not weighted does, where the trained encoder sees a difference of words."""
    frozen = torch.tensor([[1.0, 0.0], [1.0, 0.0], [0.3, 0.7]]).double()
    texts, images = draw(3, 4), draw(3, 4, seed=1)
    texts[1] = texts[0] + 0.1 * draw(4, seed=2)
    images[1] = images[0]
    _, _, gradient = value_and_gradients(partial(cwcl, frozen=frozen, both=both, temperature=0.2), texts, images)
    assert torch.allclose(gradient[0], gradient[1], atol=1e-12) == both


def test_sharp_weights_of_different_samples_are_clip_both_ways() -> None:
    a, b = draw(4, 3), draw(4, 3, seed=1)
    found = cwcl(a, b, torch.eye(4).double(), both=True, sharpness=0.01, temperature=0.2)
    torch.testing.assert_close(found, 2 * clip(a, b, itself(a), temperature=0.2))


def test_weights_of_both_directions_equal_their_formula() -> None:
    def by_loops(a: Tensor, b: Tensor) -> Tensor:
        p, q, f = (F.normalize(x, dim=1) for x in (a, b, FROZEN.to(a.dtype)))
        s, w = p @ q.T / 0.2, (f @ f.T / 0.3).exp()
        rows = [-w[i, j] / w[i].sum() * s[i].log_softmax(0)[j] for i in range(4) for j in range(4)]
        columns = [-w[i, j] / w[:, j].sum() * s[:, j].log_softmax(0)[i] for i in range(4) for j in range(4)]
        return torch.stack(rows + columns).sum() / 4

    loss = partial(cwcl, frozen=FROZEN, both=True, sharpness=0.3, temperature=0.2)
    assert_same(loss, by_loops, draw(4, 3), draw(4, 3, seed=1))
