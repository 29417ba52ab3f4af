"""OBoW: words of whole images are predicted from views of them, and say which textures an image has."""

from typing import Any

import pytest
import torch
from sklearn.linear_model import Ridge
from torch import Tensor

from medcl.contrast import visual_words
from medcl.errors import UsageError
from medcl.modality.spatial.config import ImageEncoderConfig, ImageViewsConfig
from medcl.networks.encoder import pool
from medcl.pretrain.check import check
from medcl.pretrain.objectives.obow import OBoWConfig
from medcl.pretrain.reading import read

from .trained import trained

SIDE = 32


def textured(count: int, generator: torch.Generator) -> tuple[Tensor, Tensor]:
    """Images (N, 1, x, y) of patches of 8 x 8 of six textures in shares (N, 6) of their own."""
    x, y = torch.meshgrid(torch.arange(SIDE), torch.arange(SIDE), indexing="ij")
    waves = [torch.sin(1.6 * y), torch.sin(1.6 * x), torch.sin(0.8 * y), torch.sin(0.8 * x)]
    textures = torch.stack([*waves, torch.sin(1.1 * (x + y)), 1.5 * torch.sin(0.8 * x) * torch.sin(0.8 * y)])
    weights = torch.rand(count, 6, generator=generator) ** 3
    tiles = torch.multinomial(weights, 16, replacement=True, generator=generator).view(count, 1, 4, 4)
    labels = torch.nn.functional.interpolate(tiles.float(), size=SIDE, mode="nearest")[:, 0].long()
    shares = torch.nn.functional.one_hot(tiles.flatten(1), 6).float().mean(dim=1)
    noise = 0.2 * torch.randn(count, SIDE, SIDE, generator=generator)
    return (textures.gather(0, labels) + noise)[:, None], shares


@pytest.mark.acceptance
def test_the_shares_of_textures_are_read_from_the_embedding_and_words_stay_many() -> None:
    used: list[Tensor] = []

    def watch(objective: Any, step: Any) -> None:
        cells = step.see(*objective.looks[1]).followed(0, 1).dense.float()
        words, _ = visual_words(cells, objective.vocabulary, sharpness=10.0, spread=objective.spread)
        mean = words.mean(dim=0)
        used.append(torch.special.entr(mean).sum().exp())

    encoder, _ = trained(
        OBoWConfig(of="image", words=256, momentum=0.95),
        lambda count, generator: (textured(count, generator)[0], {}),
        encoder=ImageEncoderConfig(name="unet", widths=(8, 16, 32), stride=4, dim=32),
        changes=ImageViewsConfig(crop_side=(0.6, 1.0), flip=0.5, contrast=(0.8, 1.2)),
        steps=200,
        each=watch,
    )
    generator = torch.Generator().manual_seed(9)
    x, shares = textured(400, generator)
    with torch.no_grad():
        z = pool(encoder, encoder(x), x)
    found = Ridge(1e-2).fit(z[:200], shares[:200]).score(z[200:], shares[200:])
    perplexity = float(torch.stack(used[-20:]).mean())
    print(f"R2 {found:.3f}, perplexity of words {perplexity:.1f} of 256")
    assert found >= 0.8
    assert perplexity >= 25


def test_the_vocabulary_takes_a_cell_of_each_image_and_the_second_encoder_no_gradient() -> None:
    objective: Any

    def watch(objective: Any, step: Any) -> None:
        assert objective.spread > 0
        assert int(objective.taken) > 0
        seen = step.see(*objective.looks[1])
        assert all(one.grad is None for one in seen.teacher.parameters())

    config = OBoWConfig(of="image", words=20)
    _, objective = trained(
        config,
        lambda count, generator: (textured(count, generator)[0], {}),
        encoder=ImageEncoderConfig(name="unet", widths=(4, 8), stride=2, dim=8),
        changes=ImageViewsConfig(crop_side=(0.6, 1.0)),
        steps=3,
        batch=4,
        each=watch,
    )
    assert objective.vocabulary.shape == (20, 8)
    before = torch.randn(20, 8, generator=torch.Generator().manual_seed(0)).relu()
    assert not torch.equal(objective.vocabulary[-12:], before[-12:])


def test_settings_without_meaning_are_refused() -> None:
    for wrong in ({"copies": 0}, {"words": 1}):
        recipe = {"inputs": {"image": {}}, "objectives": {"words": {"kind": "obow", "of": "image", **wrong}}}
        with pytest.raises(UsageError, match="two words or more"):
            check(read(recipe))
