import subprocess
import sys
from typing import Any

import pytest
import torch

from medcl.modality.spatial.config import ImageEncoderConfig
from medcl.modality.spatial.encoders import build


@pytest.mark.parametrize(("name", "millions"), [("resnet", 11.17), ("densenet", 6.95)])
def test_monai_networks_have_the_published_sizes(name: Any, millions: float) -> None:
    encoder = build(ImageEncoderConfig(name), 1)
    count = sum(parameter.numel() for parameter in encoder.network.parameters())
    assert count / 1e6 == pytest.approx(millions, abs=0.01)


@pytest.mark.parametrize("dims", [2, 3])
def test_a_vit_keeps_its_positions_at_the_size_that_it_is_built_for(dims: Any) -> None:
    encoder = build(ImageEncoderConfig("vit", dims=dims, dim=12, widths=(16, 16), stride=2), 2).eval()
    network: Any = encoder.network
    side = 2 * (14 if dims == 2 else 6)
    x = torch.randn(1, 2, *[side] * dims)
    tokens = network.patches(x).flatten(2).transpose(1, 2) + network.positions
    for block in network.blocks:
        tokens = block(tokens)
    torch.testing.assert_close(encoder(x), encoder.output(network.norm(tokens)))


def test_importing_encoders_does_not_import_monai() -> None:
    code = "import sys, medcl.modality.spatial.encoders; sys.exit('monai' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
