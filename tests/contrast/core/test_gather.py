from functools import partial

import pytest
import torch
from torch import Tensor, nn

from medcl.contrast.core.gather import encode_in_chunks
from medcl.contrast.losses.info_nce import info_nce, info_nce_views
from medcl.contrast.pairings.pairs import same
from medcl.errors import UsageError

IDS = torch.tensor([1, 2, 1, 3, 2, 3, 1])


def encoder(dropout: float = 0.0, seed: int = 0) -> nn.Module:
    torch.manual_seed(seed)
    layers = nn.Sequential(nn.Linear(5, 8), nn.GELU(), nn.LayerNorm(8), nn.Dropout(dropout), nn.Linear(8, 4))
    return layers.double()


def gradients(loss: Tensor, *modules: nn.Module) -> list[Tensor]:
    return list(torch.autograd.grad(loss, [p for module in modules for p in module.parameters()]))


@pytest.mark.parametrize("chunk", [1, 3, 7, 100])
def test_chunks_have_the_loss_and_gradient_of_the_whole_batch(chunk: int) -> None:
    image, text = encoder(), encoder(seed=1)
    x, y = torch.randn(7, 5, dtype=torch.float64), torch.randn(7, 5, dtype=torch.float64)
    contrast = partial(info_nce, pairing=same(IDS), temperature=0.2)
    expected = contrast(image(x), text(y))
    found = contrast(encode_in_chunks(image, x, chunk=chunk), encode_in_chunks(text, y, chunk=chunk))
    torch.testing.assert_close(found, expected)
    for got, wanted in zip(gradients(found, image, text), gradients(expected, image, text), strict=True):
        torch.testing.assert_close(got, wanted)


def test_the_second_pass_draws_the_same_random_numbers() -> None:
    module, x = encoder(dropout=0.5), torch.randn(7, 5, dtype=torch.float64)
    torch.manual_seed(3)
    expected = info_nce_views(torch.cat([module(part) for part in x.split(2)]), module(x), IDS)
    torch.manual_seed(3)
    found = info_nce_views(encode_in_chunks(module, x, chunk=2), module(x), IDS)
    assert torch.equal(found, expected)
    for got, wanted in zip(gradients(found, module), gradients(expected, module), strict=True):
        torch.testing.assert_close(got, wanted)


def test_activations_of_one_chunk_are_held_at_a_time() -> None:
    """What the forward pass leaves behind for the backward pass is its input."""
    module = nn.Sequential(*(nn.Sequential(nn.Linear(16, 16), nn.GELU()) for _ in range(20)))
    held: list[int] = []

    def count(tensor: Tensor) -> Tensor:
        held.append(tensor.numel())
        return tensor

    sizes = []
    for chunk in (64, 8):
        held.clear()
        with torch.autograd.graph.saved_tensors_hooks(count, lambda tensor: tensor):
            encode_in_chunks(module, torch.randn(64, 16), chunk=chunk)
        sizes.append(sum(held))
    assert sizes[1] * 10 < sizes[0]


def test_batch_norm_is_refused_while_it_learns() -> None:
    module = nn.Sequential(nn.Linear(5, 4), nn.BatchNorm1d(4))
    x = torch.randn(6, 5)
    with pytest.raises(UsageError, match="1 is a BatchNorm"):
        encode_in_chunks(module, x, chunk=2)
    module.eval()
    torch.testing.assert_close(encode_in_chunks(module, x, chunk=2), module(x))
    with pytest.raises(UsageError, match="at least one"):
        encode_in_chunks(module, x, chunk=0)
    with pytest.raises(UsageError, match="one length"):
        encode_in_chunks(module, x, x[:3], chunk=2)
