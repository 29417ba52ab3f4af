import math

import torch
from torch import Tensor
from torch.nn import functional as F  # noqa: N812

from medcl.networks.latent_attention import HEAD_WIDTH, HEADS, LatentAttention


def made(dim: int = 6, latents: int = 5) -> LatentAttention:
    """With no weight at 0."""
    torch.manual_seed(0)
    module = LatentAttention(dim, latents).double()
    for weight in module.parameters():
        torch.nn.init.normal_(weight, std=0.3)
    return module


def loops(module: LatentAttention, token: Tensor) -> Tensor:
    """Of one token (dim,), head by head and latent by latent."""
    query = module.query.weight @ module.of_tokens(token)
    both = [module.key_value.weight @ module.of_latents(one) for one in module.latents]
    parts = []
    for head in range(HEADS):
        own = slice(head * HEAD_WIDTH, (head + 1) * HEAD_WIDTH)
        keys, values = ([one.chunk(2)[part][own] for one in both] for part in (0, 1))
        weights = torch.stack([torch.exp(query[own] @ key / math.sqrt(HEAD_WIDTH)) for key in keys])
        parts.append(sum(weight * value for weight, value in zip(weights / weights.sum(), values, strict=True)))
    token = token + module.out.weight @ torch.cat(parts) + module.out.bias
    gate, content = (module.wide.weight @ module.between(token) + module.wide.bias).chunk(2)
    return token + module.narrow.weight @ (F.gelu(gate) * content) + module.narrow.bias


def test_it_equals_its_formula_token_by_token() -> None:
    module, tokens = made(), torch.randn(3, 4, 6, dtype=torch.float64)
    expected = torch.stack([torch.stack([loops(module, token) for token in row]) for row in tokens])
    torch.testing.assert_close(module(tokens), expected)


def test_training_begins_with_the_tokens_as_they_are() -> None:
    tokens = torch.randn(3, 4, 6)
    module = LatentAttention(6, 5)
    assert torch.equal(module(tokens), tokens)
    # And leaves that point: after a step every weight has a gradient.
    optimiser = torch.optim.SGD(module.parameters(), 0.1)
    for _ in range(2):
        optimiser.zero_grad()
        (module(tokens) ** 3).sum().backward()
        optimiser.step()
    assert all(weight.grad is not None and weight.grad.any() for weight in module.parameters())
