import math
from functools import partial

import pytest
import torch
from torch import Tensor
from torch.nn import functional as F

from medcl.contrast.losses.temperatures import IndividualTemperatures
from medcl.errors import UsageError
from tests.contrast.compare import assert_same, draw, value_and_gradients
from tests.contrast.processes import across

INDEX = torch.tensor([5, 0, 3])
OPTIONS = {"temperature": 0.3, "lowest": 0.2, "rho": 0.4, "average": 0.7, "momentum": 0.6, "rate": 0.05}


class Reference:
    """The state of every sample as numbers, and the loss of one batch view by view."""

    def __init__(self) -> None:
        self.t, self.g, self.u = [0.3] * 6, [0.0] * 6, [0.0] * 6

    def __call__(self, z1: Tensor, z2: Tensor, *, move: bool = False) -> Tensor:
        z, total = F.normalize(torch.cat([z1, z2]), dim=1), 0
        averages, slopes = {}, {}
        for i in range(6):
            sample = int(INDEX[i % 3])
            t, others = self.t[sample], [j for j in range(6) if j % 3 != i % 3]
            s = [z[i] @ z[j] for j in others]
            e = [math.exp(x.item() / t) for x in s]
            g = sum(e) / 4
            g = g if self.g[sample] == 0 else 0.3 * self.g[sample] + 0.7 * g
            total = total + sum(w / g * x for w, x in zip(e, s, strict=True)) / 4 - z[i] @ z[(i + 3) % 6]
            slope = math.log(g) + 0.4 - sum(w / g * x.item() / t for w, x in zip(e, s, strict=True)) / 4
            averages.setdefault(sample, []).append(g)
            slopes.setdefault(sample, []).append(slope)
        for sample in averages if move else ():
            self.g[sample] = sum(averages[sample]) / 2
            self.u[sample] = 0.4 * self.u[sample] + 0.6 * min(3, max(-3, sum(slopes[sample]) / 2))
            self.t[sample] = min(1.0, max(0.2, self.t[sample] - 0.05 * self.u[sample]))
        return total / 3


def batch(step: int) -> tuple[Tensor, Tensor]:
    return draw(3, 4, seed=2 * step), draw(3, 4, seed=2 * step + 1)


def test_gradient_and_state_follow_the_formulas_over_several_steps() -> None:
    module, reference = IndividualTemperatures(6, **OPTIONS).double(), Reference()
    module.temperatures.fill_(0.3)
    for step in range(6):
        module.eval()
        before = {name: x.clone() for name, x in module.state_dict().items()}
        loss = partial(module, index=INDEX, block=[None, 2][step % 2])
        assert_same(loss, reference, *batch(step))
        assert all(torch.equal(x, before[name]) for name, x in module.state_dict().items())
        reference(*batch(step), move=True)
        module.train()
        module(*batch(step), INDEX)
        torch.testing.assert_close(module.temperatures, torch.tensor(reference.t).double(), rtol=1e-6, atol=0)
        torch.testing.assert_close(module.log_averages.exp(), torch.tensor(reference.g).double())
        torch.testing.assert_close(module.momenta, torch.tensor(reference.u).double())
    assert len(set(reference.t)) == 4  # three that moved, and the others


def test_derivatives_and_temperatures_are_bounded() -> None:
    z = draw(4, 3)
    for rho, bound in ((100.0, 0.05), (-100.0, 1.0)):
        module = IndividualTemperatures(4, rho=rho, rate=0.2)
        for _ in range(10):
            module(z, z, torch.arange(4))
        torch.testing.assert_close(module.momenta.abs().max().item(), 3.0, rtol=1e-6, atol=0)
        torch.testing.assert_close(module.temperatures, torch.full((4,), bound))


def test_frequent_kinds_get_a_higher_temperature_than_rare_ones() -> None:
    centres = F.normalize(draw(2, 8), dim=1)
    kinds, module = torch.tensor([0] * 9 + [1]), IndividualTemperatures(10, temperature=0.3, rho=0.3, rate=0.05)
    for step in range(60):
        z1, z2 = (centres[kinds] + draw(10, 8, seed=100 * step + view, scale=0.05) for view in (1, 2))
        module(z1, z2, torch.arange(10))
    assert module.temperatures[:9].min() > module.temperatures[9]


def test_it_resumes_where_it_was() -> None:
    first, second = (IndividualTemperatures(6, **OPTIONS) for _ in range(2))
    first(*batch(0), INDEX)
    second.load_state_dict(first.state_dict())
    assert torch.equal(first(*batch(1), INDEX), second(*batch(1), INDEX))
    assert torch.equal(first.temperatures, second.temperatures)


def test_low_temperatures_and_a_sample_alone_stay_finite() -> None:
    low = IndividualTemperatures(6, temperature=0.001, lowest=0.001)
    z1, z2 = (z.float() for z in batch(0))
    for _ in range(3):
        for found in value_and_gradients(partial(low, index=INDEX), z1 * 1e4, z2):
            assert torch.isfinite(found).all()
    alone = IndividualTemperatures(6)
    for found in value_and_gradients(partial(alone, index=INDEX[:1]), z1[:1], z2[:1]):
        assert torch.isfinite(found).all()
    assert torch.equal(alone.temperatures, IndividualTemperatures(6).temperatures)
    assert alone.log_averages.isinf().all()


def of_a_process(rank: int, group: object) -> tuple[tuple[Tensor, ...], dict[str, Tensor]]:
    module, own = IndividualTemperatures(6, **OPTIONS).double(), [slice(0, 1), slice(1, 3)][rank]
    found = value_and_gradients(partial(module, index=INDEX[own], group=group), *(z[own] for z in batch(0)))
    return found, dict(module.state_dict())


def test_all_processes_keep_the_state_that_one_would() -> None:
    module = IndividualTemperatures(6, **OPTIONS).double()
    whole = value_and_gradients(partial(module, index=INDEX), *batch(0))
    parts, states = zip(*across(2, of_a_process), strict=True)
    values, *gradients = zip(*parts, strict=True)
    found = (torch.stack(values).mean(), *(torch.cat(gradient) / 2 for gradient in gradients))
    for got, wanted in zip(found, whole, strict=True):
        torch.testing.assert_close(got, wanted)
    for state in states:
        for name, wanted in module.state_dict().items():
            torch.testing.assert_close(state[name], wanted)


def test_what_does_not_fit_is_refused() -> None:
    with pytest.raises(UsageError, match="must hold"):
        IndividualTemperatures(3, temperature=0.01)
    with pytest.raises(UsageError, match="at most 1"):
        IndividualTemperatures(3, average=0.0)
    with pytest.raises(TypeError, match="integers"):
        IndividualTemperatures(6)(*batch(0), INDEX.bool())
