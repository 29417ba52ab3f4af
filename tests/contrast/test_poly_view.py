"""Poly-View's three forms (Shidani et al., ICLR 2024); the recipe `poly_view` is the geometric mean."""

from typing import Any

import pytest
import torch
from torch import Tensor
from torch.nn import functional as F

from medcl.contrast import info_nce, info_nce_views, itself, poly_view_statistics, same
from tests.contrast.compare import draw

VIEWS, SAMPLES, TEMPERATURE = 4, 5, 0.1


def test_the_denominator_of_a_view_holds_one_view_of_its_sample_and_all_of_others() -> None:
    z = F.normalize(torch.randn(VIEWS, SAMPLES, 8, dtype=torch.float64), dim=-1)
    terms = []
    for i in range(SAMPLES):
        others = [z[c, j] for j in range(SAMPLES) if j != i for c in range(VIEWS)]
        for a in range(VIEWS):
            for b in (one for one in range(VIEWS) if one != a):
                own = (z[a, i] @ z[b, i] / TEMPERATURE).exp()
                negatives = torch.stack([(z[a, i] @ other / TEMPERATURE).exp() for other in others]).sum()
                terms.append(-(own / (own + negatives)).log())
    rows = z.reshape(VIEWS * SAMPLES, -1)
    pairing = same(torch.arange(SAMPLES).repeat(VIEWS)).without(itself(rows))
    found = info_nce(rows, rows, pairing, temperature=TEMPERATURE, denominator="own")
    torch.testing.assert_close(found, torch.stack(terms).mean())


def poly_view(z: Tensor, form: str) -> Tensor:
    """One of the three forms, of views (M, B, D)."""
    if form == "sufficient statistics":
        return poly_view_statistics(z, temperature=TEMPERATURE)
    rows = z.reshape(-1, z.shape[-1])
    pairing = same(torch.arange(z.shape[1]).repeat(z.shape[0])).without(itself(rows))
    log: Any = {"geometric": "outside", "arithmetic": "inside"}[form]
    return info_nce(rows, rows, pairing, temperature=TEMPERATURE, denominator="own", log=log)


@pytest.mark.parametrize("form", ["geometric", "arithmetic"])
def test_with_two_views_it_is_nt_xent(form: str) -> None:
    z = torch.randn(2, SAMPLES, 8, dtype=torch.float64)
    expected = info_nce_views(z[0], z[1], torch.arange(SAMPLES), temperature=TEMPERATURE)
    torch.testing.assert_close(poly_view(z, form), expected, atol=1e-6, rtol=0)


def test_the_arithmetic_mean_of_likelihoods_is_not_above_the_geometric_one() -> None:
    for seed in range(10):
        z = draw(VIEWS, SAMPLES, 8, seed=seed)
        assert poly_view(z, "arithmetic") <= poly_view(z, "geometric")


def probed(form: str, views: int, seed: int) -> float:
    """Accuracy of nearest centroids after training on noisy views, whose number times the samples is constant."""
    generator = torch.Generator().manual_seed(seed)
    torch.manual_seed(seed)
    centres = torch.randn(8, 24, generator=generator)
    network = torch.nn.Linear(48, 8)
    optimiser = torch.optim.Adam(network.parameters(), 3e-3)

    def sample(count: int) -> tuple[Tensor, Tensor]:
        labels = torch.randint(8, (count,), generator=generator)
        return torch.cat([centres[labels], torch.zeros(count, 24)], dim=1), labels

    for _ in range(120):
        x, _ = sample(64 // views)
        noise = torch.randn(views, len(x), 48, generator=generator)
        loss = poly_view(network(x + 2.0 * noise), form)
        optimiser.zero_grad()
        loss.backward()
        optimiser.step()
    x, labels = sample(1200)
    z = F.normalize(network(x + torch.randn(x.shape, generator=generator)), dim=1).detach()
    means = torch.stack([z[:600][labels[:600] == one].mean(0) for one in range(8)])
    return (torch.cdist(z[600:], means).argmin(dim=1) == labels[600:]).float().mean().item()


@pytest.mark.acceptance
@pytest.mark.parametrize("form", ["geometric", "arithmetic", "sufficient statistics"])
def test_more_views_of_fewer_samples_are_worth_more_where_views_are_noisy(form: str) -> None:
    two, four, eight = (torch.tensor([probed(form, views, seed) for seed in range(5)]) for views in (2, 4, 8))
    print(f"{form}: {two.mean():.3f}, {four.mean():.3f}, {eight.mean():.3f}")
    assert two.mean() < four.mean() < eight.mean()
