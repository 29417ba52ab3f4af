"""Several inputs as one encoder, and heads that do without some of them."""

from types import SimpleNamespace

import pytest
import torch
from torch import Tensor, nn

from medcl.networks.fusion import EarlyHead, FusedEncoder, FusedWidth, Inputs, LateHead, without

NAMES = ("one", "other")


class Linear(nn.Module):
    def __init__(self, width: int, dim: int) -> None:
        super().__init__()
        self.config, self.layer = SimpleNamespace(dim=dim), nn.Linear(width, dim)

    def embed(self, x: Tensor) -> Tensor:
        embedded: Tensor = self.layer(x)
        return embedded


def encoder(dropout: float = 0.0) -> FusedEncoder:
    torch.manual_seed(0)
    return FusedEncoder({"one": Linear(3, 4), "other": Linear(2, 5)}, dropout)


def batch() -> Inputs:
    """Three items: with both, the first, the second."""
    present = torch.tensor([[True, True], [True, False], [False, True]])
    return Inputs({"one": torch.randn(2, 3), "other": torch.randn(2, 2)}, present)


def test_what_an_item_has_stands_side_by_side_and_the_rest_is_0() -> None:
    fused, x = encoder().eval(), batch()
    z = fused.embed(x)
    assert z.shape == (3, fused.config.dim) == (3, 4 + 5 + 2)
    one, other = (fused.encoders[name].embed(x.x[name]) for name in NAMES)  # type: ignore[operator]
    zero = torch.zeros(1)
    torch.testing.assert_close(z[:, :4], torch.stack([one[0], one[1], zero.expand(4)]))
    torch.testing.assert_close(z[:, 4:9], torch.stack([other[0], zero.expand(5), other[1]]))
    assert torch.equal(z[:, 9:].bool(), x.present)
    hidden = fused.embed(without(x, NAMES, ("one",)))
    assert not hidden[:, :4].any()
    torch.testing.assert_close(hidden[:, 4:9], z[:, 4:9])


def test_dropout_hides_inputs_in_training_but_never_the_last() -> None:
    fused, x = encoder(0.5), batch()
    seen = torch.stack([fused.train().embed(x)[:, 9:] for _ in range(200)])
    assert (seen.sum(dim=2) >= 1).all()
    assert (seen[:, 1:] == x.present[1:]).all()
    # The input with the higher draw stays: one of both is hidden unless both draws are high.
    assert 0.6 < float((seen[:, 0].sum(dim=1) < 2).float().mean()) < 0.9
    torch.testing.assert_close(fused.eval().embed(x)[:, 9:].bool(), x.present)


@pytest.mark.parametrize("kind", [EarlyHead, LateHead])
def test_what_stands_in_the_place_of_a_missing_input_changes_nothing(kind: type[EarlyHead] | type[LateHead]) -> None:
    width = FusedWidth((4, 5))
    head = kind(width, 3).eval()
    z = encoder().eval().embed(batch())
    other = z.clone()
    other[1, 4:9], other[2, :4] = 7.0, -7.0
    torch.testing.assert_close(head(z), head(other))
    if isinstance(head, LateHead):
        parts, _ = width.split(z)
        torch.testing.assert_close(head(z)[1], head.heads[0](parts[0])[1])
        torch.testing.assert_close(head(z)[0], (head.heads[0](parts[0])[0] + head.heads[1](parts[1])[0]) / 2)


@pytest.mark.parametrize(("kind", "least", "most"), [(EarlyHead, 0.95, 1.0), (LateHead, 0.35, 0.65)])
def test_only_early_fusion_sees_whether_inputs_agree(
    kind: type[EarlyHead] | type[LateHead], least: float, most: float
) -> None:
    torch.manual_seed(0)
    signs = torch.randint(0, 2, (600, 2)) * 2.0 - 1
    z = torch.cat([signs + 0.3 * torch.randn(600, 2), torch.ones(600, 2)], dim=1)
    y = (signs.prod(dim=1) > 0).float()
    head = kind(FusedWidth((1, 1)), 1, hidden=32)
    optimiser = torch.optim.Adam(head.parameters(), 1e-2)
    for _ in range(150):
        loss = nn.functional.binary_cross_entropy_with_logits(head(z[:400])[:, 0], y[:400])
        optimiser.zero_grad()
        torch.autograd.backward(loss)
        optimiser.step()
    right = (head.eval()(z[400:])[:, 0] > 0).float() == y[400:]
    assert least <= float(right.float().mean()) <= most
