"""What Symile's authors show: a bit that only all others together tell, and one of which some are missing."""

from collections.abc import Callable

import numpy as np
import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from medcl.contrast.losses.clip import clip
from medcl.contrast.losses.symile import symile

DIM = 16


def encoders(count: int, width: int = 1) -> nn.ModuleList:
    """Affine maps of a value, in the last of two columns an indicator of whether it is there."""
    return nn.ModuleList(nn.Linear(width, DIM) for _ in range(count))


def embedded(maps: nn.ModuleList, x: list[Tensor]) -> list[Tensor]:
    return [F.normalize(one(own), dim=1) for one, own in zip(maps, x, strict=True)]


def trained(maps: nn.ModuleList, draw: Callable[[], list[Tensor]], steps: int, *, together: bool) -> nn.ModuleList:
    """By Symile, or by CLIP of all pairs; the scale of the logits is learned from exp(-0.3) on, as published."""
    scale = nn.Parameter(torch.tensor(-0.3))
    optimiser = torch.optim.AdamW([*maps.parameters(), scale], 0.1)
    for _ in range(steps):
        z, temperature = embedded(maps, draw()), (-scale).exp()
        if together:
            loss = symile(z, temperature=temperature)
        else:
            pairs = [(a, b) for i, a in enumerate(z) for b in z[:i]]
            own = torch.eye(len(z[0]), dtype=torch.bool)
            loss = torch.stack([clip(a, b, own, temperature=temperature) for a, b in pairs]).mean()
        optimiser.zero_grad()
        torch.autograd.backward(loss)
        optimiser.step()
    return maps


def accuracy(maps: nn.ModuleList, x: list[Tensor], truth: Tensor, *, together: bool) -> float:
    """How often the last variable is told by the others."""
    with torch.no_grad():
        others = embedded(maps[:-1], x[:-1])  # type: ignore[arg-type]
        width = x[-1].shape[1]
        values = torch.tensor([[0.0, 1.0], [1.0, 1.0]])[:, :width]
        candidates = F.normalize(maps[-1](values), dim=1)
        of = torch.stack(others).prod(dim=0) if together else torch.stack(others).sum(dim=0)
        return float(((of @ candidates.T).argmax(dim=1) == truth).float().mean())


def parity(count: int, n: int, generator: torch.Generator) -> list[Tensor]:
    bits = torch.randint(0, 2, (n, count), generator=generator)
    return [one[:, None].float() for one in (*bits.T, bits.sum(dim=1) % 2)]


@pytest.mark.acceptance
@pytest.mark.parametrize(("together", "least", "most"), [(True, 0.95, 1.0), (False, 0.4, 0.6)])
def test_the_parity_of_three_bits_is_told_by_all_of_them_together(together: bool, least: float, most: float) -> None:
    """Of seven bits, as published, with batches of 1,000 and 500 steps; three are learned within a minute."""
    found = []
    for seed in range(3):
        torch.manual_seed(seed)
        generator = torch.Generator().manual_seed(seed)
        steps = 150 if together else 40
        maps = trained(encoders(4), lambda: parity(3, 200, generator), steps, together=together)  # noqa: B023
        x = parity(3, 2000, generator)
        found.append(accuracy(maps, x, x[-1][:, 0].long(), together=together))
    print("Symile" if together else "CLIP of pairs", np.round(found, 3))
    assert least <= float(np.median(found)) <= most


@pytest.mark.acceptance
def test_accuracy_falls_with_what_is_missing_to_chance_and_no_further() -> None:
    """c = a XOR b; where a is missing its value is 0.5 and its indicator 0: half of those are told by chance."""
    found = []
    for missing in (0.0, 0.4, 0.8, 1.0):
        torch.manual_seed(0)
        generator = torch.Generator().manual_seed(0)

        def draw(n: int = 200) -> list[Tensor]:
            x = parity(2, n, generator)  # noqa: B023
            gone = torch.rand(n, 1, generator=generator) < missing  # noqa: B023
            first = torch.cat([torch.where(gone, 0.5, x[0]), (~gone).float()], dim=1)
            return [first, *(torch.cat([one, torch.ones(n, 1)], dim=1) for one in x[1:])]

        maps = trained(encoders(3, 2), draw, 150, together=True)
        x = draw(4000)
        found.append(accuracy(maps, x, x[-1][:, 0].long(), together=True))
    print("missing 0, 0.4, 0.8, 1:", np.round(found, 3))
    np.testing.assert_allclose(found, [1.0, 0.8, 0.6, 0.5], atol=0.05)
