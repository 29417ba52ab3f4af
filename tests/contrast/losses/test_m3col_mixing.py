import pytest
import torch

from medcl.contrast.losses.m3col import Mixing, draw, mix, mixed_with
from medcl.errors import UsageError

MIXING = Mixing(torch.tensor([0.25, 1.0, 0.6]), torch.tensor([2, 0, 2]))


def test_rows_are_mixed_by_their_weights() -> None:
    x = torch.tensor([[4.0, 0.0], [1.0, 1.0], [0.0, 8.0]])
    mixed = mix(x, MIXING.weights, MIXING.permutation)
    torch.testing.assert_close(mixed, torch.tensor([[1.0, 6.0], [1.0, 1.0], [0.0, 8.0]]))
    images = x[:, None, :, None].expand(3, 2, 2, 5)
    torch.testing.assert_close(mix(images, MIXING.weights, MIXING.permutation)[:, 1, :, 3], mixed)


def test_both_parts_are_positive_by_their_shares() -> None:
    expected = torch.tensor([[0.25, 0.0, 0.75], [0.0, 1.0, 0.0], [0.0, 0.0, 1.0]])
    torch.testing.assert_close(mixed_with(MIXING).pairs().positive, expected)


def test_a_seed_mixes_the_same_way_again_and_leaves_others_alone() -> None:
    torch.manual_seed(5)
    before = torch.get_rng_state()
    first, second = (draw(100, generator=torch.Generator().manual_seed(1)) for _ in range(2))
    assert torch.equal(before, torch.get_rng_state())
    assert torch.equal(first.weights, second.weights)
    assert torch.equal(first.permutation, second.permutation)
    assert first.permutation.sort().values.tolist() == list(range(100))
    other = draw(100)
    assert not torch.equal(first.weights, other.weights)
    assert not torch.equal(other.weights, draw(100).weights)


def test_weights_are_beta_in_a_share_of_the_rows() -> None:
    weights = draw(20000, beta=0.5, share=0.4, generator=torch.Generator().manual_seed(0)).weights
    mixed = weights[weights < 1].double()
    assert len(mixed) / 20000 == pytest.approx(0.4, abs=0.02)
    assert mixed.mean().item() == pytest.approx(0.5, abs=0.02)
    assert mixed.var().item() == pytest.approx(0.125, abs=0.005)
    assert (draw(10, share=0.0).weights == 1).all()


def test_what_does_not_fit_is_refused() -> None:
    with pytest.raises(UsageError, match="beta"):
        draw(3, beta=0.0)
    with pytest.raises(UsageError, match="4 rows"):
        mix(torch.zeros(4, 2), MIXING.weights, MIXING.permutation)
