"""Pooling of the samples of a group, against loops over groups and MONAI's attention."""

import numpy as np
import pytest
import torch
from torch import Tensor

from medcl.networks.pooling import Attention, Pooling, mean_by_group, top_by_group

GROUP = torch.tensor([1, 0, 1, 2, 1, 0, 1])


def embeddings() -> Tensor:
    return torch.randn(len(GROUP), 5, generator=torch.Generator().manual_seed(0), dtype=torch.float64)


@pytest.mark.parametrize("k", [1, 2, 3, 9])
def test_the_top_of_each_feature_in_each_group(k: int) -> None:
    z = embeddings()
    expected = [np.sort(z[g == GROUP].numpy(), axis=0)[::-1][:k].mean(axis=0) for g in range(3)]
    np.testing.assert_allclose(top_by_group(z, GROUP, 3, k), np.stack(expected))


def test_max_and_mean() -> None:
    z = embeddings()
    for name, reduce in (("max", lambda one: one.amax(0)), ("mean", lambda one: one.mean(0))):
        expected = torch.stack([reduce(z[g == GROUP]) for g in range(3)])
        torch.testing.assert_close(Pooling(name, 5)(z, GROUP, 3), expected)  # type: ignore[arg-type]
    torch.testing.assert_close(mean_by_group(z, GROUP, 3), Pooling("top-k", 5, top_k=4)(z, GROUP, 3))


@pytest.mark.parametrize("gated", [False, True])
def test_attention_is_that_of_the_paper(gated: bool) -> None:
    torch.manual_seed(0)
    attention = Attention(5, hidden=3, gated=gated).double()
    z = embeddings()
    weights = attention(z, GROUP, 3)
    for g in range(3):
        own = z[g == GROUP]
        hidden = torch.tanh(own @ attention.hidden.weight.T + attention.hidden.bias)
        if attention.gate is not None:
            hidden = hidden / (1 + torch.exp(-(own @ attention.gate.weight.T + attention.gate.bias)))
        scores = torch.exp(hidden @ attention.score.weight[0] + attention.score.bias)
        torch.testing.assert_close(weights[g == GROUP], scores / scores.sum())


def test_attention_is_that_of_monai_for_bags_of_one_size() -> None:
    from monai.networks.nets import MILModel

    rival = MILModel(num_classes=2, mil_mode="att", backbone=torch.nn.Identity(), backbone_num_features=6).eval()
    ours = Pooling("attention", 6)
    ours.attention.hidden, ours.attention.score = rival.attention[0], rival.attention[2]  # type: ignore[union-attr]
    z = torch.randn(3, 4, 6, generator=torch.Generator().manual_seed(1))
    pooled = ours(z.flatten(0, 1), torch.arange(3).repeat_interleave(4), 3)
    torch.testing.assert_close(rival.myfc(pooled), rival.calc_head(z))


@pytest.mark.parametrize("name", ["mean", "max", "top-k", "attention", "gated"])
def test_the_order_of_samples_changes_neither_value_nor_gradient(name: str) -> None:
    torch.manual_seed(0)
    pooling = Pooling(name, 5, top_k=2).double()  # type: ignore[arg-type]
    order = torch.randperm(len(GROUP), generator=torch.Generator().manual_seed(2))
    found = []
    for index in (torch.arange(len(GROUP)), order):
        z = embeddings().requires_grad_()
        value = pooling(z[index], GROUP[index], 3)
        (gradient,) = torch.autograd.grad(value.square().sum(), z)
        found.append((value, gradient))
    torch.testing.assert_close(*found)


def test_large_scores_do_not_overflow() -> None:
    attention = Attention(1, hidden=1)
    with torch.no_grad():
        attention.hidden.weight.fill_(10)
        attention.score.weight.fill_(1e4)
    weights = attention(torch.tensor([[5.0], [-5.0]]), torch.tensor([0, 0]), 1)
    torch.testing.assert_close(weights, torch.tensor([1.0, 0.0]))
