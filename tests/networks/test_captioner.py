"""The decoder of CoCa: what it sees, and what padding changes."""

import pytest
import torch
from torch import Tensor
from torch.nn import functional as F

from medcl.errors import UsageError
from medcl.networks.captioner import Captioner, CaptionerConfig

CONFIG = CaptionerConfig(vocabulary=30, dim=6, hidden=32, depth=2, queries=4)


def made() -> tuple[Captioner, Tensor, Tensor]:
    torch.manual_seed(0)
    tokens = torch.randint(2, 30, (3, 9))
    tokens[1, 5:] = 0
    return Captioner(CONFIG).double(), tokens, torch.randn(3, 7, 6, dtype=torch.float64)


@pytest.mark.parametrize("training", [True, False])
@pytest.mark.parametrize("place", [1, 4, 8])
def test_a_later_token_does_not_change_earlier_logits(place: int, training: bool) -> None:
    captioner, tokens, cells = made()
    captioner.train(training)
    changed = tokens.clone()
    changed[:, place] = 1
    before, after = captioner(tokens, cells), captioner(changed, cells)
    torch.testing.assert_close(after[:, :place], before[:, :place])
    assert not torch.allclose(after[:, place:], before[:, place:])


def test_cells_are_looked_at_in_any_order_and_padding_is_not() -> None:
    captioner, tokens, cells = made()
    expected = captioner.surprise(tokens, cells)
    assert expected[1].tolist() == [8, 4, 8]
    for found in (captioner.surprise(tokens, cells.flip(1)), captioner.surprise(F.pad(tokens, (0, 5)), cells)):
        torch.testing.assert_close(found, expected)
    assert not torch.allclose(captioner.surprise(tokens, cells + cells.roll(1, 0))[0], expected[0])


def test_the_loss_is_that_of_each_token_by_itself() -> None:
    """Of prefixes, one at a time: what stands behind a place is not even there."""
    captioner, tokens, cells = made()
    sums = []
    for row, text in enumerate(tokens):
        own = torch.zeros((), dtype=torch.float64)
        for k in range(1, len(text)):
            if text[k]:
                scores = captioner(text[None, :k], cells[row : row + 1])[0, -1]
                own = own + scores.exp().sum().log() - scores[text[k]]
        sums.append(own)
    found, _ = captioner.surprise(tokens, cells)
    torch.testing.assert_close(found.double(), torch.stack(sums), rtol=1e-5, atol=0)


@pytest.mark.parametrize("sizes", [{"hidden": 40}, {"queries": 0}, {"depth": 0}])
def test_sizes_that_fit_no_decoder_are_refused(sizes: dict[str, int]) -> None:
    with pytest.raises(UsageError, match="captioner"):
        Captioner(CaptionerConfig(**{"vocabulary": 30, "dim": 6, **sizes}))
