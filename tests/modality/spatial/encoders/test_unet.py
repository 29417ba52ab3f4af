from typing import Any

import pytest
import torch

from medcl.errors import UsageError
from medcl.modality.spatial.encoders.unet import UNet

TINY = (4, 6, 8, 8)
both_dims = pytest.mark.parametrize("dims", [2, 3])


@both_dims
@pytest.mark.parametrize("norm", ["batch", "group"])
def test_every_parameter_gets_a_gradient(dims: int, norm: str) -> None:
    unet = UNet(2, 3, widths=TINY, dims=dims, norm=norm)
    size = (16, 8, 24)[:dims]
    logits = unet(torch.randn(2, 2, *size))
    assert logits.shape == (2, 3, *size)
    logits.square().sum().backward()
    assert [name for name, parameter in unet.named_parameters() if parameter.grad is None] == []
    assert all(parameter.grad.abs().sum() > 0 for parameter in unet.parameters() if parameter.grad is not None)


@both_dims
@pytest.mark.parametrize("upto", [0, 1, 2])
def test_the_decoder_up_to_a_block_does_not_touch_later_ones(dims: int, upto: int) -> None:
    unet = UNet(1, 3, widths=TINY, dims=dims)
    before = {name: buffer.clone() for name, buffer in unet.decoder[upto:].named_buffers()}
    unet.decode(unet.encode(torch.randn(2, 1, *[16] * dims)), upto=upto).square().sum().backward()
    later = [*unet.decoder[upto:].parameters(), *unet.head.parameters()]
    earlier = [*unet.encoder.parameters(), *unet.decoder[:upto].parameters()]
    assert all(parameter.grad is None for parameter in later)
    assert all(parameter.grad is not None for parameter in earlier)
    assert all(torch.equal(buffer, before[name]) for name, buffer in unet.decoder[upto:].named_buffers())


def test_without_classes_the_network_ends_in_its_last_block() -> None:
    unet = UNet(1, widths=TINY, blocks=2).eval()
    x = torch.randn(1, 1, 16, 16)
    assert torch.equal(unet(x), unet.decode(unet.encode(x), upto=2))
    assert unet(x).shape == (1, 6, 8, 8)


def test_a_pre_trained_part_loads_into_the_whole_network() -> None:
    part, whole = UNet(1, widths=TINY, blocks=1), UNet(1, 3, widths=TINY)
    x = torch.randn(2, 1, 16, 16)
    part(x)
    left = whole.load_state_dict(part.state_dict(), strict=False)
    assert left.unexpected_keys == []
    assert not any(name.startswith(("encoder.", "decoder.0.")) for name in left.missing_keys)
    part.eval()
    whole.eval()
    assert torch.equal(whole.decode(whole.encode(x), upto=1), part(x))


@pytest.mark.parametrize("norm", ["batch", "group"])
def test_state_dict_round_trip(norm: str) -> None:
    first, second = UNet(1, 3, widths=TINY, norm=norm), UNet(1, 3, widths=TINY, norm=norm)
    x = torch.randn(2, 1, 16, 16)
    first(x)
    second.load_state_dict(first.state_dict())
    assert torch.equal(first.eval()(x), second.eval()(x))


def test_a_volume_of_one_repeated_slice_is_computed_as_its_slice() -> None:
    flat, deep = UNet(1, widths=(3, 4), dims=2).eval(), UNet(1, widths=(3, 4), dims=3).eval()
    weights = flat.state_dict()
    for name, weight in deep.state_dict().items():
        if weight.ndim == 5:
            # Only the taps of one plane count: the middle of 3, the first of 2.
            weight.zero_()[:, :, (weight.shape[2] - 1) // 2] = weights[name]
    x = torch.randn(2, 1, 8, 6)
    volume = x.unsqueeze(2).expand(-1, -1, 4, -1, -1)
    expected = flat(x).unsqueeze(2).expand(-1, -1, 4, -1, -1)
    torch.testing.assert_close(deep(volume), expected)


def test_group_norm_keeps_images_apart() -> None:
    unet = UNet(1, widths=TINY, norm="group")
    x = torch.randn(3, 1, 16, 16)
    torch.testing.assert_close(unet(x)[2:], unet(x[2:]))
    assert list(unet.buffers()) == []


def test_wrong_sizes_are_named() -> None:
    unet = UNet(1, 4)
    with pytest.raises(UsageError, match="multiples of 32, got 190 x 192; pad to 192 x 192"):
        unet(torch.randn(1, 1, 190, 192))
    with pytest.raises(UsageError, match=r"1 channels, got 3 in a batch of shape \(1, 3, 32, 32\)"):
        unet(torch.randn(1, 3, 32, 32))
    with pytest.raises(UsageError, match=r"\(batch, channels, x, y\), got a tensor of shape \(1, 1, 32, 32, 32\)"):
        unet(torch.randn(1, 1, 32, 32, 32))
    with pytest.raises(UsageError, match="torch.int64"):
        unet(torch.ones(1, 1, 32, 32, dtype=torch.int64))


def test_one_position_cannot_train_batch_normalisation() -> None:
    x = torch.randn(1, 1, 32, 32)
    with pytest.raises(UsageError, match="one image of 32 x 32 voxels.*norm='group'"):
        UNet(1, 4)(x)
    assert UNet(1, 4).eval()(x).shape == (1, 4, 32, 32)
    assert UNet(1, 4, norm="group")(x).shape == (1, 4, 32, 32)
    frozen = UNet(1, 4)
    frozen.encoder.eval()
    assert frozen(x).shape == (1, 4, 32, 32), "a frozen encoder has its statistics"


def test_blocks_that_are_not_there_are_named() -> None:
    unet = UNet(1, widths=TINY, blocks=2)
    features = unet.encode(torch.randn(2, 1, 16, 16))
    with pytest.raises(UsageError, match="blocks 1 to 2.*upto=3"):
        unet.decode(features, upto=3)
    with pytest.raises(UsageError, match="the 4 maps of `encode`, got 3"):
        unet.decode(features[1:])


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"widths": (16,)}, r"widths=\(16,\)"),
        ({"widths": (16, 0)}, r"widths=\(16, 0\)"),
        ({"n_channels": 0}, "n_channels=0"),
        ({"blocks": 6}, "0 to 5 decoder blocks, got blocks=6"),
        ({"n_classes": 4, "blocks": 3}, "all 5 decoder blocks, got blocks=3"),
        ({"n_classes": 0}, "n_classes=0"),
        ({"dims": 1}, "dims=1"),
        ({"norm": "instance"}, "norm='instance'"),
    ],
)
def test_networks_that_cannot_be_meant_are_refused(arguments: dict[str, Any], message: str) -> None:
    with pytest.raises(UsageError, match=message):
        UNet(**({"n_channels": 1} | arguments))
