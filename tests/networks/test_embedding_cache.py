"""Embeddings of samples that are kept."""

import torch
from torch import Tensor

from medcl.networks.embedding_cache import EmbeddingCache


def test_a_locked_encoder_embeds_each_text_once() -> None:
    asked: list[int] = []

    def embed(x: Tensor) -> Tensor:
        asked.append(len(x))
        return x.float() @ torch.tensor([[1.0, 0.0], [0.0, 1.0], [0.0, 0.0]])

    cache = EmbeddingCache(most=3)
    x = torch.tensor([[5, 1, 0], [7, 2, 0], [5, 1, 0]])
    expected = x[:, :2].float()
    torch.testing.assert_close(cache(x, x > 0, embed), expected)
    torch.testing.assert_close(cache(x[:, :2], x[:, :2] > 0, embed), expected)  # without its padding
    assert asked == [2]
    more = torch.tensor([[1, 1, 0], [2, 1, 0], [7, 2, 0]])
    for _ in range(2):
        torch.testing.assert_close(cache(more, more > 0, embed), more[:, :2].float())
    assert asked == [2, 2, 1], "of three that are kept, the fourth is embedded anew"


def test_images_are_told_apart_by_their_content() -> None:
    asked: list[int] = []

    def embed(x: Tensor) -> Tensor:
        asked.append(len(x))
        return x.flatten(1).mean(dim=1, keepdim=True)

    cache, x = EmbeddingCache(), torch.randn(3, 1, 4, 5)
    x = torch.cat([x, x[:1]]).contiguous(memory_format=torch.channels_last)
    expected = x.flatten(1).mean(dim=1, keepdim=True)
    for _ in range(2):
        torch.testing.assert_close(cache(x, None, embed), expected)
    torch.testing.assert_close(cache(x.flip(0), None, embed), expected.flip(0))
    assert asked == [1, 1, 1], "one by one, whatever batch they come in"
    cache(x + 1e-6, None, embed)
    assert len(asked) == 6
