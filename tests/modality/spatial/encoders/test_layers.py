import torch
from torch import nn

from medcl.modality.spatial.encoders.base import ConvolutionLayer


def test_a_2_tap_layer_looks_one_pixel_ahead() -> None:
    layer = ConvolutionLayer(2, 1, 1, kernel=2)
    nn.init.ones_(layer.convolution.weight)
    layer.norm = nn.Identity()
    x = torch.arange(9.0).view(1, 1, 3, 3)
    assert layer(x)[0, 0].tolist() == [[8, 12, 7], [20, 24, 13], [13, 15, 8]]
