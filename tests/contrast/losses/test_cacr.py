from functools import partial

import pytest
import torch
from torch import Tensor

from medcl.contrast.losses.cacr import cacr
from medcl.contrast.pairings.pairs import matrix, same
from medcl.contrast.similarities.similarity import one_sided
from medcl.errors import UsageError
from tests.contrast.compare import assert_same, draw, value_and_gradients
from tests.contrast.loops import mean

IDS, MORE = torch.tensor([0, 1, 0, 2]), torch.tensor([0, 0, 1, 3, 0])


def loops(a: Tensor, b: Tensor, weights: Tensor, exclude: Tensor, attraction: float, repulsion: float) -> Tensor:
    pull, push = [], []
    for i, x in enumerate(a):
        d = [(x / x.norm() - y / y.norm()).square().sum() for y in b]
        pulled = [j for j in range(len(b)) if weights[i, j] > 0 and not exclude[i, j]]
        pushed = [j for j in range(len(b)) if weights[i, j] == 0 and not exclude[i, j]]
        if pulled:
            e = {j: float(weights[i, j]) * torch.exp(attraction * d[j]) for j in pulled}
            pull.append(sum(e[j] * d[j] for j in pulled) / sum(e.values()))
        if pushed:
            e = {j: torch.exp(-repulsion * d[j]) for j in pushed}
            push.append(-sum(e[j] * d[j] for j in pushed) / sum(e.values()))
    return mean(pull) + mean(push)


@pytest.mark.parametrize("soft", [False, True])
@pytest.mark.parametrize(("attraction", "repulsion"), [(1.0, 1.0), (0.0, 2.0), (3.0, 0.0)])
def test_the_loss_and_its_gradient_equal_the_loops(soft: bool, attraction: float, repulsion: float) -> None:
    weights = same(IDS, MORE).pairs().positive
    weights = weights * (0.5 + draw(4, 5, seed=4).abs()) if soft else weights
    exclude = draw(4, 5, seed=3) > 1
    options = {"attraction": attraction, "repulsion": repulsion}
    assert_same(
        partial(cacr, pairing=matrix(weights, exclude), **options),
        partial(loops, weights=weights, exclude=exclude, **options),
        draw(4, 3),
        draw(5, 3, seed=1),
    )


def test_gradcheck() -> None:
    a, b = draw(4, 3).requires_grad_(), draw(5, 3, seed=1).requires_grad_()
    assert torch.autograd.gradcheck(partial(cacr, pairing=same(IDS, MORE), attraction=2.0), (a, b))


def test_sharp_weights_leave_the_farthest_positive_and_the_nearest_negative() -> None:
    a, b = draw(4, 3), draw(5, 3, seed=1)
    distances = torch.cdist(torch.nn.functional.normalize(a, dim=1), torch.nn.functional.normalize(b, dim=1)).square()
    positive = same(IDS, MORE).pairs().positive
    some = positive.any(1)
    farthest = distances.masked_fill(~positive, -1).amax(1)[some].mean()
    nearest = distances.masked_fill(positive, 9).amin(1).mean()
    found = cacr(a, b, same(IDS, MORE), attraction=1e4, repulsion=1e4)
    torch.testing.assert_close(found, farthest - nearest)


def test_without_pairs_the_loss_and_gradient_are_0() -> None:
    nothing = matrix(torch.zeros(3, 3, dtype=torch.bool), torch.ones(3, 3, dtype=torch.bool))
    for found in value_and_gradients(partial(cacr, pairing=nothing), draw(3, 2), draw(3, 2, seed=1)):
        assert torch.equal(found, torch.zeros_like(found))


def test_what_has_no_meaning_is_refused() -> None:
    with pytest.raises(UsageError, match="length 1"):
        cacr(draw(4, 3), draw(4, 3), same(IDS), similarity=one_sided)
    with pytest.raises(UsageError, match="attraction and repulsion"):
        cacr(draw(4, 3), draw(4, 3), same(IDS), repulsion=-1.0)
