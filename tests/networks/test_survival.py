"""Survival losses equal closed forms and slow references, and bear batches without an event."""

import numpy as np
import pytest
import torch

from medcl.networks.survival import CoxMemory, cox_loss, hazard_cuts, logistic_hazard_loss, survival_of


def batch(seed: int, n: int = 40) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    generator = torch.Generator().manual_seed(seed)
    risk = 2 * torch.randn(n, generator=generator, dtype=torch.float64)
    time = torch.randint(1, 12, (n,), generator=generator).double()
    return risk, time, torch.rand(n, generator=generator) < 0.6


def slow(risk: torch.Tensor, time: torch.Tensor, event: torch.Tensor, ties: str) -> torch.Tensor:
    total = torch.zeros((), dtype=risk.dtype)
    for t in time[event].unique():
        tied = event & (time == t)
        m = int(tied.sum())
        for r in range(m):
            less = r / m * risk[tied].exp().sum() if ties == "efron" else 0
            total = total - (risk[time >= t].exp().sum() - less).log()
        total = total + risk[tied].sum()
    return -total / event.sum()


@pytest.mark.parametrize("ties", ["efron", "breslow"])
@pytest.mark.parametrize("seed", range(3))
def test_cox_loss_and_gradient_equal_the_sum_over_events(ties, seed: int) -> None:
    risk, time, event = batch(seed)
    first, second = risk.clone().requires_grad_(), risk.clone().requires_grad_()
    loss, expected = cox_loss(first, time, event, ties), slow(second, time, event, ties)
    torch.testing.assert_close(loss, expected)
    loss.backward()
    expected.backward()
    torch.testing.assert_close(first.grad, second.grad)
    torch.testing.assert_close(cox_loss(risk + 500, time, event, ties), loss.detach())


def test_cox_loss_of_three_records() -> None:
    risk = torch.tensor([0.0, 1.0, -1.0])
    loss = cox_loss(risk, torch.tensor([1.0, 2.0, 3.0]), torch.tensor([True, True, False]))
    e = np.e
    assert float(loss) == pytest.approx((np.log(1 + e + 1 / e) + np.log(e + 1 / e) - 1) / 2)


def test_efron_is_breslow_without_ties() -> None:
    risk, _, event = batch(0)
    time = torch.arange(40.0)
    torch.testing.assert_close(cox_loss(risk, time, event, "efron"), cox_loss(risk, time, event, "breslow"))


def test_a_batch_without_an_event_teaches_nothing() -> None:
    risk, time, event = batch(1)
    risk.requires_grad_()
    loss = cox_loss(risk, time, torch.zeros_like(event))
    loss.backward()
    assert loss == 0
    assert not risk.grad.any()


def test_large_risks_stay_finite() -> None:
    risk, time, event = batch(2)
    wide = (risk * 200).float().requires_grad_()
    loss = cox_loss(wide, time, event)
    loss.backward()
    assert torch.isfinite(loss)
    assert torch.isfinite(wide.grad).all()


def test_cuts_hold_equally_many_events() -> None:
    rng = np.random.default_rng(0)
    time, event = rng.exponential(10, 400), rng.random(400) < 0.5
    cuts = hazard_cuts(time, event, 8)
    counts = np.bincount(np.searchsorted(cuts, time[event]), minlength=8)
    assert len(cuts) == len(counts) == 8
    assert np.ptp(counts) <= 1
    assert cuts[-1] == time[event].max()
    np.testing.assert_array_equal(hazard_cuts([1, 2, 2, 9], [1, 1, 1, 0], 5), [1, 2])
    assert len(hazard_cuts([1, 2], [0, 0], 5)) == 0


def test_logistic_hazard_is_the_likelihood_of_small_cases() -> None:
    cuts = torch.tensor([1.0, 2.0, 3.0])
    logits = torch.tensor([[0.3, -0.4, 1.0]])
    h = torch.sigmoid(logits[0])
    alive = survival_of(logits)[0]
    torch.testing.assert_close(alive, torch.cumprod(1 - h, 0))
    cases = [
        (0.5, True, h[0]),
        (1.0, True, h[0]),
        (1.5, True, alive[0] * h[1]),
        (3.0, True, alive[1] * h[2]),
        (0.9, False, torch.tensor(1.0)),
        (2.0, False, alive[1]),
        (2.9, False, alive[1]),
        (7.0, False, alive[2]),
        (7.0, True, alive[2]),
    ]
    for time, event, likelihood in cases:
        loss = logistic_hazard_loss(logits, torch.tensor([time]), torch.tensor([event]), cuts)
        torch.testing.assert_close(loss, -likelihood.log())


def test_logistic_hazard_learns_kaplan_meier() -> None:
    time, event = torch.tensor([1.0, 1, 2, 2, 3, 3]), torch.tensor([1, 0, 1, 1, 0, 1])
    logits = torch.zeros(3, requires_grad=True)
    optimiser = torch.optim.LBFGS([logits], max_iter=100, line_search_fn="strong_wolfe")

    def step() -> torch.Tensor:
        optimiser.zero_grad()
        loss = logistic_hazard_loss(logits.expand(6, 3), time, event, torch.tensor([1.0, 2.0, 3.0]))
        loss.backward()
        return loss

    optimiser.step(step)
    alive = survival_of(logits[None])[0].detach().numpy()
    np.testing.assert_allclose(alive, [5 / 6, 5 / 6 / 2, 5 / 6 / 4], atol=1e-4)


def test_a_memory_amends_what_small_batches_bias() -> None:
    """The mean gradient of batches of 4 is nearer to that of the whole cohort with risks of earlier batches."""
    generator = torch.Generator().manual_seed(0)
    x = torch.randn(512, 3, generator=generator, dtype=torch.float64)
    time = torch.empty(512, dtype=torch.float64).exponential_(generator=generator) * (-1.5 * x[:, 0]).exp()
    event = torch.rand(512, generator=generator) < 0.7

    def gradient(losses: list[torch.Tensor], weight: torch.Tensor) -> torch.Tensor:
        return torch.autograd.grad(torch.stack(losses).mean(), weight)[0]

    weight = torch.tensor([1.0, 0.0, 0.0], dtype=torch.float64, requires_grad=True)
    whole = gradient([cox_loss(x @ weight, time, event)], weight)
    errors = {}
    for size in (0, 256):
        loss = CoxMemory(size) if size else cox_loss
        losses = []
        for _ in range(5):
            for part in torch.randperm(512, generator=generator).split(4):
                # Of batches without an event the loss is 0; weighted by events as in the whole.
                own = loss(x[part] @ weight, time[part], event[part]) * event[part].sum()  # type: ignore[operator]
                losses.append(own)
        found = gradient([torch.stack(losses).sum() / (5 * event.sum())], weight)
        errors[size] = float((found - whole).norm() / whole.norm())
    assert errors[256] < 0.5 * errors[0], errors


def test_a_memory_keeps_the_newest_records_and_teaches_the_batch() -> None:
    memory = CoxMemory(6)
    risk, time, event = batch(4)
    for first in (0, 4, 8):
        memory(*(one[first : first + 4] for one in (risk, time, event)))
    own, every = risk[12:16].clone().requires_grad_(), risk.clone().requires_grad_()
    rows = [12, 13, 14, 15, 8, 9, 10, 11, 4, 5]
    loss, expected = memory(own, time[12:16], event[12:16]), cox_loss(every[rows], time[rows], event[rows])
    torch.testing.assert_close(loss, expected)
    loss.backward()
    expected.backward()
    assert own.grad is not None
    assert every.grad is not None
    torch.testing.assert_close(own.grad, 10 / 4 * every.grad[12:16])
