"""At a temperature of 0.001 exponentials of similarities overflow in any number format: losses of several embeddings.

Those of two embeddings and a pairing are in `test_combinations`.
"""

from collections.abc import Callable

import pytest
import torch
from torch import Tensor

from medcl import contrast
from medcl.contrast import same

N, COLD = 6, 0.001
SAMPLE, IDS, AGE = torch.arange(N), torch.arange(N) // 2, torch.linspace(20, 80, N)


def seeded() -> torch.Generator:
    return torch.Generator().manual_seed(0)


# Four embeddings (N, D), cells (N, 5, D) and words (N, 3, D) to a loss.
LOSSES: dict[str, Callable[[list[Tensor], Tensor, Tensor], Tensor]] = {
    "mv_infonce": lambda z, cells, words: contrast.mv_infonce(z[:3], temperature=COLD),
    "mv_dhel": lambda z, cells, words: contrast.mv_dhel(z[:3], temperature=COLD),
    "symile": lambda z, cells, words: contrast.symile(z[:3], temperature=COLD, generator=seeded()),
    "gram": lambda z, cells, words: contrast.gram(z[0], (z[1], z[2]), same(SAMPLE), temperature=COLD),
    "pmrl": lambda z, cells, words: contrast.pmrl(z[:3], temperature=COLD, between=COLD),
    "swav": lambda z, cells, words: contrast.swav([x @ z[3].T for x in z[:3]], temperature=COLD),
    "m3col": lambda z, cells, words: contrast.m3col(
        z[:3], [contrast.draw(N, generator=seeded()) for _ in range(3)], temperature=COLD
    ),
    "m3col_soft": lambda z, cells, words: contrast.m3col_soft(z[:3], temperature=COLD),
    "supremix": lambda z, cells, words: contrast.supremix(z[0], z[1], AGE, generator=seeded(), temperature=COLD),
    "conr": lambda z, cells, words: contrast.conr(z[0], AGE, AGE.flip(0), within=20.0, temperature=COLD),
    "cwcl": lambda z, cells, words: contrast.cwcl(z[0], z[1], z[2].detach(), temperature=COLD),
    "dense": lambda z, cells, words: contrast.dense(
        cells,
        cells.roll(1, 0),
        contrast.corresponding(cells.detach(), cells.detach().roll(1, 0)),
        z[0],
        temperature=COLD,
    ),
    "local": lambda z, cells, words: contrast.local(cells, cells + 0.1, temperature=COLD),
    "word_alignment": lambda z, cells, words: contrast.word_alignment(cells, words, temperature=COLD),
    "sepclr": lambda z, cells, words: contrast.sepclr((z[0], z[1]), (z[2], z[3]), SAMPLE % 2 == 0, temperature=COLD),
    "identity": lambda z, cells, words: contrast.identity(cells, cells.roll(1, 1), IDS, temperature=COLD),
    "info_nce_views": lambda z, cells, words: contrast.info_nce_views(z[0], z[1], IDS, temperature=COLD),
}


@pytest.mark.parametrize("loss", LOSSES)
def test_cold_losses_have_a_finite_value_and_gradient(loss: str) -> None:
    generator = seeded()
    shapes = [(N, 4)] * 4 + [(N, 5, 4), (N, 3, 4)]
    leaves = [torch.randn(shape, generator=generator).requires_grad_() for shape in shapes]
    value = LOSSES[loss](leaves[:4], leaves[4], leaves[5])
    gradients = [found for found in torch.autograd.grad(value, leaves, allow_unused=True) if found is not None]
    assert torch.isfinite(value)
    assert gradients
    assert all(torch.isfinite(gradient).all() for gradient in gradients)
