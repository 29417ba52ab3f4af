from functools import partial

import pytest
import torch
from sklearn.cluster import KMeans
from sklearn.metrics import adjusted_rand_score
from torch import Tensor
from torch.nn import functional as F

from medcl.contrast import info_nce, itself, kernel_info_nce, same
from medcl.errors import UsageError
from tests.contrast.compare import assert_same, draw
from tests.contrast.loops import mean

IDS, OTHERS = torch.tensor([0, 1, 1, 2]), torch.tensor([1, 0, 2, 1, 5])


def by_kernel(a: Tensor, b: Tensor, power: float, temperature: float) -> Tensor:
    terms = []
    for i in range(len(a)):
        u = a[i] / a[i].norm()
        kernel = [torch.exp(-((u - v / v.norm()).norm() ** power) / temperature) for v in b]
        own = [j for j in range(len(b)) if OTHERS[j] == IDS[i]]
        terms.append(mean([-torch.log(kernel[p] / sum(kernel)) for p in own]))
    return mean(terms)


def loops(a: Tensor, b: Tensor, power: float, share: float, halves: bool) -> Tensor:
    half = a.shape[1] // 2
    one, other = ((a[:, :half], b[:, :half]), (a[:, half:], b[:, half:])) if halves else ((a, b), (a, b))
    return share * by_kernel(*one, power, 0.5) + (1 - share) * by_kernel(*other, 2.0, 0.5)


@pytest.mark.parametrize("power", [0.5, 1.0, 2.0])
@pytest.mark.parametrize("halves", [False, True])
def test_the_loss_and_its_gradient_equal_the_loops(power: float, halves: bool) -> None:
    mixture = "concatenated" if halves else "sum"
    found = partial(kernel_info_nce, pairing=same(IDS, OTHERS), power=power, share=0.3, mixture=mixture)
    expected = partial(loops, power=power, share=0.3, halves=halves)
    assert_same(lambda a, b: found(a, b, temperature=0.5), expected, draw(4, 6), draw(5, 6, seed=1))


def test_the_gaussian_kernel_is_info_nce_of_cosines_at_half_the_temperature() -> None:
    a, b = draw(4, 6), draw(5, 6, seed=1)
    found = kernel_info_nce(a, b, same(IDS, OTHERS), power=2.0, temperature=0.4)
    torch.testing.assert_close(found, info_nce(a, b, same(IDS, OTHERS), temperature=0.2))


@pytest.mark.parametrize("power", [1.0, 2.0])
def test_embeddings_of_the_nodes_of_a_graph_of_positives_are_its_spectral_clusters(power: float) -> None:
    """Pairs are drawn from the edges of a graph of three blocks; nothing else is known of a node."""
    generator = torch.Generator().manual_seed(0)
    blocks = torch.arange(3).repeat_interleave(16)
    edges = torch.rand(48, 48, generator=generator) < torch.where(blocks[:, None] == blocks, 0.5, 0.02)
    edges = edges.triu(1) | edges.triu(1).T
    first, second = edges.nonzero().T
    z = torch.randn(48, 8, generator=generator).requires_grad_()
    optimiser = torch.optim.Adam([z], 0.05)
    for _ in range(150):
        drawn = torch.randint(len(first), (64,), generator=generator)
        a, b = z[first[drawn]], z[second[drawn]]
        loss = kernel_info_nce(a, b, itself(a), power=power, share=1.0, temperature=0.3)
        optimiser.zero_grad()
        loss.backward()
        optimiser.step()
    found = KMeans(3, n_init=4, random_state=0).fit_predict(F.normalize(z.detach(), dim=1).numpy())
    assert adjusted_rand_score(blocks.numpy(), found) >= 0.95


@pytest.mark.parametrize("wrong", [{"power": 0.0}, {"power": 3.0}, {"share": 1.5}, {"mixture": "product"}])
def test_what_is_no_kernel_is_refused(wrong: dict[str, float]) -> None:
    with pytest.raises(UsageError, match="a power above 0 and at most 2"):
        kernel_info_nce(draw(3, 4), draw(3, 4, seed=1), same(torch.arange(3)), **wrong)  # type: ignore[arg-type]


def test_one_feature_has_no_halves() -> None:
    with pytest.raises(UsageError, match="two features or more"):
        kernel_info_nce(draw(3, 1), draw(3, 1, seed=1), same(torch.arange(3)), mixture="concatenated")
