"""Strided convolutions of 1 x 1 on few channels, without the kernel of oneDNN that writes where it must not."""

from torch import Tensor, nn
from torch.nn import functional as F

NARROW = 8
"""Channels of a vector register of AVX2."""


class SubsampledConv2d(nn.Conv2d):
    """A convolution of 1 x 1 with a stride, as one without a stride on the pixels that the stride keeps.

    Same parameters, same values up to rounding. On processors with AVX2 but not AVX-512, the gradient of the weights of
    a strided 1 x 1 convolution of fewer than 8 channels, channels last, overwrites memory in torch 2.13 (oneDNN's
    `jit_1x1:avx2`): the process dies later, somewhere else.
    """

    def forward(self, x: Tensor) -> Tensor:
        """Images (B, C, x, y) to (B, out_channels, x / stride, y / stride), rounded up."""
        rows, columns = (int(step) for step in self.stride)
        return F.conv2d(x[..., ::rows, ::columns], self.weight, self.bias, groups=self.groups)


def without_narrow_strides(network: nn.Module) -> None:
    """Exchange the layers concerned, in place, their parameters kept."""
    for module in network.modules():
        for name, layer in module.named_children():
            if type(layer) is nn.Conv2d and _is_concerned(layer):
                setattr(module, name, _subsampled(layer))


def _is_concerned(layer: nn.Conv2d) -> bool:
    pointwise = layer.kernel_size == (1, 1) and layer.padding == (0, 0)
    return pointwise and max(layer.stride) > 1 and layer.in_channels // layer.groups < NARROW


def _subsampled(layer: nn.Conv2d) -> SubsampledConv2d:
    made = SubsampledConv2d(layer.in_channels, layer.out_channels, 1, groups=layer.groups, device="meta")
    made.stride, made.weight, made.bias = layer.stride, layer.weight, layer.bias
    return made
