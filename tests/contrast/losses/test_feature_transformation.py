from functools import partial

import pytest
import torch
from torch import Tensor
from torch.nn import functional as F

from medcl.contrast import feature_transformation, info_nce, same
from medcl.contrast.losses.feature_transformation import Transformation, draw_transformation
from medcl.errors import UsageError
from tests.contrast.compare import assert_same, draw
from tests.contrast.loops import mean

IDS, OTHERS = torch.tensor([0, 1, 2, 1]), torch.tensor([0, 1, 2, 7, 8, 1])
DRAWN = Transformation(torch.tensor(1.4), torch.tensor(0.3), torch.tensor([3, 4, 5, 0, 1, 2]))


def loops(a: Tensor, b: Tensor, drawn: Transformation, temperature: float) -> Tensor:
    """With the vectors themselves, extrapolated and mixed."""
    x, m = float(drawn.extrapolation), float(drawn.share)
    a, b = ([row / row.norm() for row in side] for side in (a, b))
    terms = []
    for i, q in enumerate(a):
        against = []
        for j, n in enumerate(b):
            if OTHERS[j] == IDS[i]:
                continue
            partner = int(drawn.partners[j])
            mixed = n if OTHERS[partner] == IDS[i] else m * n + (1 - m) * b[partner]
            against.append(torch.exp(q @ mixed / temperature))
        own = []
        for j, k in enumerate(b):
            if OTHERS[j] == IDS[i]:
                e = torch.exp((x * q + (1 - x) * k) @ (x * k + (1 - x) * q) / temperature)
                own.append(-torch.log(e / (e + sum(against))))
        terms.append(mean(own))
    return mean(terms)


def test_the_loss_and_its_gradient_equal_the_loops() -> None:
    found = partial(feature_transformation, pairing=same(IDS, OTHERS), transformation=DRAWN, temperature=0.5)
    assert_same(lambda a, b: found(a, b), partial(loops, drawn=DRAWN, temperature=0.5), draw(4, 5), draw(6, 5, seed=1))


def test_a_positive_becomes_harder_by_the_closed_form() -> None:
    q, k = (F.normalize(draw(50, 8, seed=seed), dim=1) for seed in range(2))
    for x in (1.0, 1.3, 2.0):
        before, after = (q * k).sum(1), ((x * q + (1 - x) * k) * (x * k + (1 - x) * q)).sum(1)
        torch.testing.assert_close(after, before - 2 * x * (x - 1) * (1 - before), atol=1e-6, rtol=0)
        assert (after <= before + 1e-12).all()


def test_without_either_change_it_is_info_nce() -> None:
    a, b = draw(4, 5), draw(6, 5, seed=1)
    found = feature_transformation(a, b, same(IDS, OTHERS), extrapolate=0, interpolate=0)
    expected = info_nce(a, b, same(IDS, OTHERS), temperature=0.2, denominator="own")
    torch.testing.assert_close(found, expected)


def test_a_generator_draws_the_same_again_and_leaves_the_global_one_alone() -> None:
    torch.manual_seed(1)
    before = torch.get_rng_state()
    one, two = (draw_transformation(9, generator=torch.Generator().manual_seed(4)) for _ in range(2))
    assert torch.equal(one.partners, two.partners)
    assert one.extrapolation == two.extrapolation
    assert one.share == two.share
    assert torch.equal(before, torch.get_rng_state())
    many = [draw_transformation(4, generator=torch.Generator().manual_seed(seed)) for seed in range(40)]
    assert all(1 <= drawn.extrapolation <= 2 and 0 <= drawn.share <= 1 for drawn in many)


def train(extrapolate: float, interpolate: float, seed: int) -> tuple[float, float]:
    """The mean similarity of positives in training as the loss saw it, and the accuracy of nearest centroids."""
    generator = torch.Generator().manual_seed(seed)
    torch.manual_seed(seed)
    centres = torch.randn(6, 20, generator=generator)
    network = torch.nn.Sequential(torch.nn.Linear(20, 32), torch.nn.ReLU(), torch.nn.Linear(32, 8))
    optimiser = torch.optim.Adam(network.parameters(), 3e-3)
    seen = []
    for _ in range(150):
        x = centres[torch.randint(6, (64,), generator=generator)] + torch.randn(64, 20, generator=generator)
        one, two = (network(x + 0.5 * torch.randn(64, 20, generator=generator)) for _ in range(2))
        drawn = draw_transformation(64, extrapolate=extrapolate, interpolate=interpolate, generator=generator)
        loss = feature_transformation(one, two, same(torch.arange(64)), transformation=drawn)
        s, by = F.cosine_similarity(one, two).mean().item(), float(drawn.extrapolation)
        seen.append(s - 2 * by * (by - 1) * (1 - s))
        optimiser.zero_grad()
        loss.backward()
        optimiser.step()
    labels = torch.randint(6, (600,), generator=generator)
    z = F.normalize(network(centres[labels] + torch.randn(600, 20, generator=generator)), dim=1).detach()
    means = torch.stack([z[:300][labels[:300] == one].mean(0) for one in range(6)])
    right = torch.cdist(z[300:], means).argmin(dim=1) == labels[300:]
    return sum(seen) / len(seen), right.float().mean().item()


@pytest.mark.acceptance
def test_positives_are_harder_in_training_and_what_is_learned_is_not_worse() -> None:
    plain, transformed = ([train(*sizes, seed) for seed in range(5)] for sizes in ((0.0, 0.0), (2.0, 1.6)))
    (score, accuracy), (harder, after) = (torch.tensor(runs).mean(0).tolist() for runs in (plain, transformed))
    print(f"positives {score:.3f} and {harder:.3f}, accuracy {accuracy:.3f} and {after:.3f}")
    assert all(two[0] < one[0] for one, two in zip(plain, transformed, strict=True))
    assert after > accuracy - 0.01


def test_what_has_no_meaning_is_refused() -> None:
    a, b = draw(4, 5), draw(6, 5, seed=1)
    with pytest.raises(UsageError, match="must not be below 0"):
        feature_transformation(a, b, same(IDS, OTHERS), extrapolate=-1.0)
    with pytest.raises(UsageError, match="partners are of 6 candidates, there are 4"):
        feature_transformation(a, a, same(IDS), transformation=DRAWN)
