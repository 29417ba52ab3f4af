"""Narrow strided convolutions: the values of the plain layer, and no memory overwritten."""

import subprocess
import sys

import pytest
import torch
from torch import nn

from medcl.modality.spatial.encoders.pointwise import SubsampledConv2d, without_narrow_strides

TRAINING = """
import torch
from medcl.modality.spatial.config import ImageEncoderConfig
from medcl.modality.spatial.encoders import build, for_images

torch.set_num_threads(1)
network = for_images(build(ImageEncoderConfig(name="resnet", widths=(4, 8, 8, 8)), 1), 2)
for size in range(8, 40):
    x = torch.randn(size, 1, 32, 32).contiguous(memory_format=torch.channels_last)
    network(x).sum().backward()
"""


@pytest.mark.parametrize(
    ("n_in", "stride", "bias", "groups"), [(4, 2, True, 1), (1, 2, False, 1), (4, (1, 3), True, 2)]
)
def test_the_values_and_gradients_are_those_of_the_plain_layer(
    n_in: int, stride: int | tuple[int, int], bias: bool, groups: int
) -> None:
    plain = nn.Sequential(nn.Conv2d(n_in, 8, 1, stride, bias=bias, groups=groups)).double()
    network = nn.Sequential(nn.Conv2d(n_in, 8, 1, stride, bias=bias, groups=groups)).double()
    network.load_state_dict(plain.state_dict())
    without_narrow_strides(network)
    assert type(network[0]) is SubsampledConv2d
    assert network.state_dict().keys() == plain.state_dict().keys()
    x = torch.randn(3, n_in, 7, 8, dtype=torch.float64)
    both = [x.clone().requires_grad_(), x.clone().requires_grad_()]
    outputs = [layer(one) for layer, one in zip((plain, network), both, strict=True)]
    torch.testing.assert_close(*outputs)
    for out in outputs:
        out.square().sum().backward()
    torch.testing.assert_close(both[0].grad, both[1].grad)
    torch.testing.assert_close(plain[0].weight.grad, network[0].weight.grad)


def test_other_layers_are_left_alone() -> None:
    layers = [nn.Conv2d(8, 8, 1, 2), nn.Conv2d(4, 8, 1), nn.Conv2d(4, 8, 3, 2), nn.Conv2d(4, 8, 1, 2, padding=1)]
    network = nn.Sequential(*layers)
    without_narrow_strides(network)
    assert [type(layer) for layer in network] == [nn.Conv2d] * 4


def test_training_a_narrow_network_on_images_overwrites_no_memory() -> None:
    """In a process of its own: what is overwritten ends it."""
    done = subprocess.run([sys.executable, "-c", TRAINING], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr[-2000:]
