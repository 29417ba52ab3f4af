from functools import partial

import pytest
import torch
from torch import Tensor
from torch.nn import functional as F

from medcl.contrast.losses.cloob import cloob, hopfield, info_loob
from medcl.contrast.pairings.pairs import itself, matrix, same
from medcl.errors import UsageError
from tests.contrast.compare import assert_same, draw, value_and_gradients
from tests.contrast.loops import mean
from tests.contrast.similarities.test_late import unit

BLOCKS = pytest.mark.parametrize("block", [None, 1, 3])


def retrieved(state: Tensor, stored: Tensor, beta: float) -> Tensor:
    rows = []
    for x in state:
        e = [torch.exp(beta * (unit(x) @ unit(y))) for y in stored]
        rows.append(unit(sum(w * unit(y) for w, y in zip(e, stored, strict=True))))
    return torch.stack(rows)


def loob(a: Tensor, b: Tensor, positives: Tensor, exclude: Tensor, temperature: float) -> Tensor:
    terms = []
    for i, x in enumerate(a):
        s = {j: unit(x) @ unit(y) / temperature for j, y in enumerate(b) if not exclude[i, j]}
        own, others = [s[j] for j in s if positives[i, j]], [s[j] for j in s if not positives[i, j]]
        if own and others:
            terms.append(temperature * (torch.log(sum(torch.exp(x) for x in others)) - mean(own)))
    return mean(terms)


def reference(x: Tensor, y: Tensor, *, positives: Tensor, temperature: float, beta: float) -> Tensor:
    nothing = torch.zeros_like(positives)
    images = loob(retrieved(x, x, beta), retrieved(y, x, beta), positives, nothing, temperature)
    return images + loob(retrieved(y, y, beta), retrieved(x, y, beta), positives.T, nothing.T, temperature)


@BLOCKS
def test_cloob_and_its_gradient_equal_the_loops(block: int | None) -> None:
    positives = torch.tensor([[1, 0, 0, 1], [0, 1, 0, 0], [0, 0, 0, 0]], dtype=torch.bool)
    options = {"temperature": 0.2, "beta": 3.0}
    assert_same(
        partial(cloob, pairing=positives, block=block, **options),
        partial(reference, positives=positives, **options),
        draw(3, 4),
        draw(4, 4, seed=1),
    )


@BLOCKS
def test_info_loob_and_its_gradient_equal_the_loops(block: int | None) -> None:
    positives, exclude = draw(4, 5, seed=2) > 0.5, draw(4, 5, seed=3) > 1
    positives[0], positives[1], exclude[1] = False, True, False
    assert_same(
        partial(info_loob, pairing=matrix(positives, exclude), temperature=0.3, block=block),
        partial(loob, positives=positives & ~exclude, exclude=exclude, temperature=0.3),
        draw(4, 3),
        draw(5, 3, seed=1),
    )


def test_a_temperature_for_every_anchor() -> None:
    a, b, temperatures = draw(4, 3), draw(4, 3, seed=1), torch.tensor([0.1, 0.2, 0.5, 1.0], dtype=torch.float64)
    each = [info_loob(a[i : i + 1], b, torch.eye(4)[i : i + 1] > 0, temperature=temperatures[i]) for i in range(4)]
    torch.testing.assert_close(info_loob(a, b, itself(a), temperature=temperatures), torch.stack(each).mean())


def test_retrieval_is_the_nearest_pattern_for_large_beta_and_the_mean_for_small() -> None:
    state, stored = draw(3, 4), draw(5, 4, seed=1)
    patterns = F.normalize(stored, dim=1)
    nearest = patterns[(F.normalize(state, dim=1) @ patterns.T).argmax(dim=1)]
    torch.testing.assert_close(hopfield(state, stored, beta=1e6), nearest)
    common = F.normalize(patterns.mean(dim=0, keepdim=True), dim=1).expand(3, -1)
    torch.testing.assert_close(hopfield(state, stored, beta=1e-12), common)


def test_a_pattern_retrieves_itself_where_patterns_are_at_right_angles() -> None:
    axes = torch.eye(4, dtype=torch.float64)
    torch.testing.assert_close(hopfield(axes, axes, beta=50.0), axes)


def test_gradcheck() -> None:
    x, y = draw(4, 3).requires_grad_(), draw(4, 3, seed=1).requires_grad_()
    temperature, beta = (torch.tensor(t, dtype=torch.float64, requires_grad=True) for t in (0.3, 4.0))
    ids = torch.tensor([0, 1, 0, 2])

    def loss(x: Tensor, y: Tensor, temperature: Tensor, beta: Tensor) -> Tensor:
        return cloob(x, y, same(ids), temperature=temperature, beta=beta)

    assert torch.autograd.gradcheck(loss, (x, y, temperature, beta))


def test_without_a_negative_or_a_positive_the_loss_and_its_gradient_are_0() -> None:
    a, b = draw(3, 4), draw(3, 4, seed=1)
    for positives in (torch.ones(3, 3, dtype=torch.bool), torch.zeros(3, 3, dtype=torch.bool)):
        for found in value_and_gradients(partial(info_loob, pairing=positives), a, b):
            assert torch.equal(found, torch.zeros_like(found))


def test_what_does_not_fit_is_refused() -> None:
    x, y = draw(3, 4), draw(3, 4, seed=1)
    with pytest.raises(UsageError, match="beta"):
        cloob(x, y, itself(x), beta=0.0)
    with pytest.raises(UsageError, match="one temperature"):
        cloob(x, y, itself(x), temperature=torch.ones(3))
    with pytest.raises(UsageError, match=r"\(N, D\)"):
        hopfield(x, y[:, :2])
    with pytest.raises(UsageError, match="above 0"):
        info_loob(x, y, itself(x), temperature=0.0)
