from dataclasses import replace
from importlib.util import find_spec
from typing import Any

import pytest
import torch
from torch import nn

from medcl.errors import UsageError
from medcl.modality.spatial.config import ImageEncoderConfig
from medcl.modality.spatial.encoders import ImageEncoder, build
from medcl.modality.spatial.encoders.unet import UNet

needs_einops = pytest.mark.skipif(find_spec("einops") is None, reason="einops is not installed")
OURS: dict[str, ImageEncoderConfig] = {
    "unet": ImageEncoderConfig("unet", dim=12, widths=(4, 6, 8)),
    "unet, part of the decoder": ImageEncoderConfig("unet", dim=12, widths=(4, 6, 8), stride=2),
    "unet, every voxel": ImageEncoderConfig("unet", dim=12, widths=(4, 6, 8), stride=1),
}
MONAI: dict[str, ImageEncoderConfig] = {
    "monai-unet": ImageEncoderConfig("monai-unet", dim=12, widths=(4, 6, 8)),
    "resnet": ImageEncoderConfig("resnet", dim=12, widths=(4, 4, 6, 8)),
    "densenet": ImageEncoderConfig("densenet", dim=12, widths=(4, 2)),
    "swin-unetr": ImageEncoderConfig("swin-unetr", dim=12, widths=(12,)),
    "vit": ImageEncoderConfig("vit", dim=12, widths=(16, 16), stride=8),
}
STRIDES = {"unet": 4, "unet, part of the decoder": 2, "unet, every voxel": 1}
STRIDES |= {"monai-unet": 1, "resnet": 32, "densenet": 32, "swin-unetr": 1, "vit": 8}
both_dims = pytest.mark.parametrize("dims", [2, 3])
every_encoder = pytest.mark.parametrize(
    "name",
    [pytest.param(name, marks=needs_einops if name in ("swin-unetr", "vit") else ()) for name in OURS | MONAI],
)


def encoder_of(name: str, n_channels: int = 2, **changes: Any) -> ImageEncoder:
    return build(replace((OURS | MONAI)[name], **changes), n_channels)


@every_encoder
@both_dims
def test_images_of_any_size_have_one_position_for_every_started_stride(name: str, dims: int) -> None:
    encoder = encoder_of(name, dims=dims)
    size = (33, 20, 9)[:dims]
    x = torch.randn(2, 2, *size)
    dense = encoder(x)
    grid = encoder.grid(size)
    assert grid == tuple(-(-length // STRIDES[name]) for length in size)
    assert dense.unflatten(1, grid).shape == (2, *grid, 12)
    dense.square().sum().backward()
    assert [name for name, parameter in encoder.named_parameters() if parameter.grad is None] == []


@every_encoder
@both_dims
def test_group_norm_keeps_images_apart(name: str, dims: int) -> None:
    encoder = encoder_of(name, dims=dims, norm="group").eval()
    assert not any(isinstance(module, nn.modules.batchnorm._BatchNorm) for module in encoder.modules())
    x = torch.randn(2, 2, *(20, 9, 5)[:dims])
    torch.testing.assert_close(encoder(x)[1:], encoder.train()(x[1:]), rtol=1e-3, atol=1e-4)


@every_encoder
def test_state_dict_round_trip(name: str) -> None:
    first, second = encoder_of(name), encoder_of(name)
    x = torch.randn(2, 2, 33, 20)
    first(x)
    assert not torch.allclose(first.eval()(x), second.eval()(x))
    second.load_state_dict(first.state_dict())
    assert torch.equal(first(x), second(x))


@every_encoder
def test_a_size_between_multiples_is_filled_up_with_zeros(name: str) -> None:
    encoder = encoder_of(name).eval()
    side = encoder.multiple
    x = torch.randn(1, 2, side + 1, side)
    whole = encoder(nn.functional.pad(x, (0, 0, 0, side - 1))).unflatten(1, encoder.grid((2 * side, side)))
    rows, _ = encoder.grid((side + 1, side))
    torch.testing.assert_close(encoder(x), whole[:, :rows].flatten(1, 2))


def test_positions_run_along_the_last_axis_first() -> None:
    encoder = build(ImageEncoderConfig("unet", dim=12, widths=(4, 6, 8), norm="group"), 1)
    network = encoder.network
    assert isinstance(network, UNet)
    x = torch.randn(1, 1, 16, 24)
    bottleneck = network.encode(x)[-1]
    torch.testing.assert_close(encoder(x).unflatten(1, (4, 6))[0, 2, 5], encoder.output(bottleneck[0, :, 2, 5]))


@pytest.mark.parametrize("pooling", ["mean", "max"])
def test_an_embedding_is_its_pooled_positions(pooling: str) -> None:
    encoder = encoder_of("unet", pooling=pooling, norm="group")
    x = torch.randn(2, 2, 17, 9)
    dense = encoder(x)
    expected = dense.mean(dim=1) if pooling == "mean" else dense.max(dim=1).values
    assert torch.equal(encoder.embed(x), expected)
    assert encoder.embed(x).shape == (2, 12)


def test_the_default_is_the_papers_encoder() -> None:
    encoder = build(ImageEncoderConfig(), 1)
    assert isinstance(encoder.network, UNet)
    assert len(encoder.network.decoder) == 0
    assert (encoder.stride, encoder.multiple) == (32, 32)
    assert encoder(torch.rand(1, 1, 192, 192)).shape == (1, 36, 128)
    assert isinstance(encoder.output, nn.Identity)


def test_a_pre_trained_encoder_loads_into_a_segmentation_network() -> None:
    encoder = encoder_of("unet, part of the decoder", n_channels=1)
    whole = UNet(1, 3, widths=(4, 6, 8))
    left = whole.load_state_dict(encoder.network.state_dict(), strict=False)
    assert left.unexpected_keys == []
    assert all(name.startswith(("decoder.1.", "head.")) for name in left.missing_keys)


@every_encoder
def test_wrong_batches_are_named(name: str) -> None:
    encoder = encoder_of(name)
    with pytest.raises(UsageError, match=r"2 channels, got 3 in a batch of shape \(2, 3, 40, 40\)"):
        encoder(torch.randn(2, 3, 40, 40))
    with pytest.raises(UsageError, match=r"\(batch, channels, x, y\), got a tensor of shape \(2, 40, 40\)"):
        encoder(torch.randn(2, 40, 40))
    with pytest.raises(UsageError, match="at least one voxel"):
        encoder(torch.randn(2, 2, 40, 0))
    with pytest.raises(UsageError, match="torch.uint8"):
        encoder(torch.ones(2, 2, 40, 40, dtype=torch.uint8))


@pytest.mark.parametrize("name", ["unet", "monai-unet", "resnet", "densenet"])
def test_one_position_cannot_train_batch_normalisation(name: str) -> None:
    encoder = encoder_of(name)
    x = torch.randn(1, 2, encoder.multiple, encoder.multiple)
    with pytest.raises(UsageError, match="norm='group'"):
        encoder(x)
    assert encoder.eval()(x).shape[2] == 12


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"name": "vgg"}, "'vgg'; choose one of unet, monai-unet, resnet, densenet, swin-unetr, vit"),
        ({"dims": 1}, "dims=1"),
        ({"dim": 0}, "dim=0"),
        ({"norm": "instance"}, "norm='instance'"),
        ({"pooling": "sum"}, "pooling='sum'"),
        ({"widths": ()}, r"widths=\(\)"),
        ({"widths": (4, 0)}, r"widths=\(4, 0\)"),
        ({"stride": 0}, "stride=0"),
        ({"stride": 64}, "powers of two up to 32, got stride=64"),
        ({"stride": 6}, "powers of two up to 32, got stride=6"),
        ({"name": "resnet", "stride": 16}, "a resnet encoder has stride=32, got stride=16"),
        ({"name": "resnet", "widths": (4, 4)}, r"four widths, got widths=\(4, 4\)"),
        ({"name": "densenet", "widths": (4,)}, r"two widths.*got widths=\(4,\)"),
        ({"name": "monai-unet", "widths": (4,)}, r"two widths, got widths=\(4,\)"),
        ({"name": "swin-unetr", "widths": (16,)}, r"multiple of 12, got widths=\(16,\)"),
        ({"name": "vit", "widths": (64, 128)}, r"all the same.*got widths=\(64, 128\)"),
        ({"name": "vit", "widths": (100, 100)}, r"multiple of 64.*got widths=\(100, 100\)"),
    ],
)
def test_configurations_that_cannot_be_meant_are_refused(changes: dict[str, Any], message: str) -> None:
    with pytest.raises(UsageError, match=message):
        build(replace(ImageEncoderConfig(), **changes), 1)
