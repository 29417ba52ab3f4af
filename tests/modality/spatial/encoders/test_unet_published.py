from collections.abc import Sequence

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from medcl.modality.spatial.encoders.unet import UNet


def parameters(module: nn.Module) -> int:
    return sum(parameter.numel() for parameter in module.parameters())


def shapes(features: Sequence[Tensor]) -> list[tuple[int, ...]]:
    return [tuple(map_.shape[1:]) for map_ in features]


def test_the_papers_network_has_the_papers_size() -> None:
    unet = UNet(1, 4)
    widths = [16, 32, 64, 128, 128, 128]
    convolutions = [1 * 16 + 16 * 16, 16 * 32 + 32 * 32, 32 * 64 + 64 * 64, 64 * 128 + 128 * 128]
    convolutions += [128 * 128 + 128 * 128] * 2
    assert parameters(unet.encoder) == 9 * sum(convolutions) + 2 * 2 * sum(widths)
    up = 4 * (128 * 128 + 128 * 128 + 128 * 64 + 64 * 32 + 32 * 16)
    joined = 9 * sum(2 * width * width + width * width for width in (128, 128, 64, 32, 16))
    assert parameters(unet.decoder) == up + joined + 3 * 2 * (128 + 128 + 64 + 32 + 16)
    assert parameters(unet.head) == 9 * 16 * 16 + 2 * 16 + 9 * 16 * 4


def test_the_papers_maps() -> None:
    unet = UNet(1, 4).eval()
    with torch.no_grad():
        features = unet.encode(torch.rand(1, 1, 192, 192))
        decoded = [unet.decode(features, upto=block) for block in range(6)]
        logits = unet(torch.rand(1, 1, 64, 32))
    assert shapes(features) == [
        (16, 192, 192), (32, 96, 96), (64, 48, 48), (128, 24, 24), (128, 12, 12), (128, 6, 6)
    ]  # fmt: skip
    assert shapes(decoded) == [
        (128, 6, 6), (128, 12, 12), (128, 24, 24), (64, 48, 48), (32, 96, 96), (16, 192, 192)
    ]  # fmt: skip
    assert logits.shape == (1, 4, 64, 32)


def published(unet: UNet, x: Tensor) -> Tensor:
    """Compute the network as the released code writes it, operation by operation, with the weights of `unet`."""
    weights = {name: parameter for name, parameter in unet.named_parameters() if parameter.ndim == 4}
    kernels = iter(weights.values())

    def layer(y: Tensor) -> Tensor:
        kernel = next(kernels)
        taps = kernel.shape[-1]
        y = F.conv2d(F.pad(y, ((taps - 1) // 2, taps // 2) * 2), kernel)
        mean, variance = y.mean(dim=(0, 2, 3), keepdim=True), y.var(dim=(0, 2, 3), keepdim=True, correction=0)
        return ((y - mean) / (variance + 1e-5).sqrt()).clamp(min=0)

    skips = []
    for _ in range(5):
        x = layer(layer(x))
        skips.append(x)
        x = x.unflatten(3, (-1, 2)).unflatten(2, (-1, 2)).amax(dim=(3, 5))
    x = layer(layer(x))
    for skip in reversed(skips):
        x = layer(x.repeat_interleave(2, dim=2).repeat_interleave(2, dim=3))
        x = layer(layer(torch.cat((x, skip), dim=1)))
    return F.conv2d(layer(x), next(kernels), padding=1)


def test_the_network_is_the_published_one() -> None:
    unet = UNet(1, 4).double()
    x = torch.rand(2, 1, 64, 96, dtype=torch.float64)
    torch.testing.assert_close(unet(x), published(unet, x))
