"""A locked encoder sees every sample once, unless the samples are changed at random (LiT)."""

from types import SimpleNamespace

import torch
from torch import Tensor, nn

from medcl.modality.views import Compose, Params, View
from medcl.networks.embedding_cache import EmbeddingCache
from medcl.pretrain.passes import Seen
from medcl.pretrain.views import Wanted, draw_views


class Counted(nn.Module):
    """An encoder that counts the samples it has seen."""

    def __init__(self) -> None:
        super().__init__()
        self.config = SimpleNamespace(dim=4)
        self.layer, self.seen = nn.Linear(6, 4), 0
        self.requires_grad_(False)

    def forward(self, x: Tensor) -> Tensor:
        self.seen += len(x)
        dense: Tensor = self.layer(x.flatten(1))[:, None]
        return dense

    def pool(self, dense: Tensor) -> Tensor:
        return dense[:, 0]


class Shift(View):
    """Adds a number."""

    name = "shift"

    def draw(self, x: Tensor, generator: torch.Generator) -> Params:
        return {"by": torch.rand(len(x), generator=generator)}

    def apply(self, x: Tensor, params: Params) -> Tensor:
        return x + params["by"][:, None]


def pooled(encoder: Counted, x: Tensor, views: Compose, cache: EmbeddingCache | None, seed: int = 0) -> Tensor:
    drawn = draw_views(x, views, Wanted(copies=1), torch.Generator().manual_seed(seed), None)
    return Seen(drawn, 1, encoder, {}, cache=cache).pooled


def test_what_is_not_changed_at_random_is_embedded_once() -> None:
    encoder, x, cache, plain = Counted(), torch.randn(5, 6), EmbeddingCache(), Compose([])
    expected = pooled(encoder, x, plain, None)
    for _ in range(3):
        torch.testing.assert_close(pooled(encoder, x, plain, cache), expected)
    assert encoder.seen == 5 + 5


def test_random_views_are_embedded_anew() -> None:
    encoder, x, cache, views = Counted(), torch.randn(5, 6), EmbeddingCache(), Compose([Shift()])
    first, second = (pooled(encoder, x, views, cache, seed) for seed in range(2))
    assert (first - second).abs().min() > 0
    torch.testing.assert_close(second, pooled(encoder, x, views, None, 1))
    assert encoder.seen == 15
