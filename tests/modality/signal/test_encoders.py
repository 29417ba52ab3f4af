from dataclasses import replace
from typing import Any

import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from medcl.errors import UsageError
from medcl.modality.signal.config import SignalEncoderConfig
from medcl.modality.signal.encoders import build
from medcl.modality.signal.encoders.networks import DilatedEncoder, PatchEmbedding
from tests.modality.signal.plain_xresnet import xresnet

SMALL: dict[str, SignalEncoderConfig] = {
    "dilated": SignalEncoderConfig("dilated", dim=24, hidden=16, depth=3, dropout=0.0),
    "dilated, patches": SignalEncoderConfig("dilated", dim=24, hidden=16, depth=3, stride=4, dropout=0.0),
    "resnet": SignalEncoderConfig("resnet", dim=24, hidden=16, depth=3, stride=4, dropout=0.0),
    "transformer": SignalEncoderConfig("transformer", dim=24, hidden=32, depth=2, stride=5, dropout=0.0),
    "xresnet": SignalEncoderConfig("xresnet", dim=24, hidden=16, depth=18, stride=8, dropout=0.0),
    "shallow": SignalEncoderConfig("shallow", dim=24, hidden=16, stride=3, dropout=0.0, kernel=5),
    "eegnet": SignalEncoderConfig("eegnet", dim=24, hidden=16, stride=8, dropout=0.0, kernel=8),
    "conformer": SignalEncoderConfig("conformer", dim=24, hidden=16, depth=2, stride=3, dropout=0.0, kernel=5),
}
every_encoder = pytest.mark.parametrize("config", SMALL.values(), ids=SMALL.keys())


@every_encoder
@pytest.mark.parametrize("steps", [1, 7, 40, 41])
def test_one_position_for_every_started_stride(config: SignalEncoderConfig, steps: int) -> None:
    encoder = build(config, 3)
    x = torch.randn(2, 3, steps)
    dense = encoder(x)
    assert dense.shape == (2, -(-steps // config.stride), config.dim)
    assert torch.equal(encoder.embed(x), dense.max(dim=1).values)


@every_encoder
def test_mean_pooling(config: SignalEncoderConfig) -> None:
    encoder = build(replace(config, pooling="mean"), 3)
    x = torch.randn(2, 3, 40)
    torch.testing.assert_close(encoder.embed(x), encoder(x).mean(dim=1))


@every_encoder
def test_masked_values_are_never_seen(config: SignalEncoderConfig) -> None:
    encoder = build(config, 3)
    x, other = torch.randn(2, 2, 3, 43)
    keep = torch.rand(2, 43) > 0.4
    mixed = torch.where(keep.unsqueeze(1), x, other)
    assert torch.equal(encoder(x, keep), encoder(mixed, keep))
    assert not torch.allclose(encoder(x, keep), encoder(x))


@every_encoder
def test_a_mask_that_keeps_everything_is_no_mask(config: SignalEncoderConfig) -> None:
    encoder = build(config, 3)
    x = torch.randn(2, 3, 43)
    torch.testing.assert_close(encoder(x, torch.ones(2, 43, dtype=torch.bool)), encoder(x))


@every_encoder
@pytest.mark.parametrize("masked", [True, False])
def test_every_parameter_gets_a_gradient(config: SignalEncoderConfig, masked: bool) -> None:
    encoder = build(config, 3)
    keep = torch.rand(2, 43) > 0.4 if masked else None
    encoder(torch.randn(2, 3, 43), keep).square().sum().backward()
    assert [name for name, parameter in encoder.named_parameters() if parameter.grad is None] == []


@every_encoder
def test_a_window_does_not_depend_on_its_batch(config: SignalEncoderConfig) -> None:
    encoder = build(config, 3).eval()  # in training BatchNorm, where a network was published with it, looks at all
    x = torch.randn(5, 3, 40)
    torch.testing.assert_close(encoder(x)[3:4], encoder(x[3:4]))


@every_encoder
def test_dropout_acts_in_training_only(config: SignalEncoderConfig) -> None:
    encoder = build(replace(config, dropout=0.5), 3)
    x = torch.randn(2, 3, 40)
    assert not torch.equal(encoder(x), encoder(x))
    encoder.eval()
    assert torch.equal(encoder(x), encoder(x))


def test_the_random_state_decides_what_is_dropped() -> None:
    encoder = build(replace(SMALL["dilated"], dropout=0.1), 3)
    x = torch.randn(64, 3, 40)
    torch.manual_seed(5)
    first = encoder(x)
    torch.manual_seed(5)
    assert torch.equal(encoder(x), first)
    dropped = (first == 0).float().mean().item()
    assert abs(dropped - 0.1) < 0.01
    plain = encoder.eval()(x)
    torch.testing.assert_close(first[first != 0], plain[first != 0] / 0.9, rtol=1e-4, atol=1e-6)


def published(encoder: DilatedEncoder, x: Tensor, keep: Tensor) -> Tensor:
    """Compute COMET's encoder as the paper describes it, channels first, with plain 1-D convolutions."""
    linear = encoder.patches.linear
    hidden = F.linear(x.transpose(1, 2), linear.weight, linear.bias)
    hidden[~keep] = 0
    y = hidden.transpose(1, 2)
    for power, block in enumerate(encoder.blocks):
        parameters: dict[str, Any] = dict(block.named_parameters())
        taps = {"padding": 2**power, "dilation": 2**power}
        z = F.conv1d(F.gelu(y), parameters["first.weight"], parameters["first.bias"], **taps)
        z = F.conv1d(F.gelu(z), parameters["second.weight"], parameters["second.bias"], **taps)
        if "skip.weight" in parameters:
            y = F.conv1d(y, parameters["skip.weight"].unsqueeze(2), parameters["skip.bias"])
        y = y + z
    return y.transpose(1, 2)


@pytest.mark.parametrize("steps", [5, 16, 40])
def test_dilated_encoder_is_the_published_one(steps: int) -> None:
    encoder = build(SignalEncoderConfig("dilated", dim=24, hidden=16, depth=4, dropout=0.0), 3).double()
    assert isinstance(encoder, DilatedEncoder)
    x = torch.randn(2, 3, steps, dtype=torch.float64)
    keep = torch.rand(2, steps) > 0.4
    weights = torch.randn(2, steps, 24, dtype=torch.float64)
    expected, found = published(encoder, x, keep), encoder(x, keep)
    torch.testing.assert_close(found, expected)
    parameters = list(encoder.parameters())
    torch.testing.assert_close(
        torch.autograd.grad((found * weights).sum(), parameters),
        torch.autograd.grad((expected * weights).sum(), parameters),
    )


def test_default_dilated_encoder_has_the_published_size() -> None:
    encoder = build(SignalEncoderConfig(), 16)
    hidden = 10 * 2 * (64 * 64 * 3 + 64)
    output = (64 * 320 * 3 + 320) + (320 * 320 * 3 + 320) + (64 * 320 + 320)
    assert sum(parameter.numel() for parameter in encoder.parameters()) == 16 * 64 + 64 + hidden + output


def test_the_last_dilation_of_the_output_block_widens_the_view_to_the_window() -> None:
    encoder = build(SMALL["dilated"], 1)
    x = torch.randn(1, 1, 101, requires_grad=True)
    encoder(x)[0, 50].sum().backward()
    assert x.grad is not None
    reach = x.grad[0, 0].nonzero().flatten()
    radius = 2 * (1 + 2 + 4 + 8)
    assert (reach.min().item(), reach.max().item()) == (50 - radius, 50 + radius)


def test_a_wholly_masked_patch_is_its_token_and_a_partly_masked_one_a_share_of_it() -> None:
    patches = PatchEmbedding(2, 8, 4, mask_token=True)
    assert patches.mask_token is not None
    keep = torch.tensor([[False] * 4 + [True, False, False, False] + [True] * 4])
    embedded = patches(torch.zeros(1, 2, 12), keep)[0]
    torch.testing.assert_close(embedded[0], patches.mask_token)
    torch.testing.assert_close(embedded[1], 0.25 * patches.linear.bias + 0.75 * patches.mask_token)
    torch.testing.assert_close(embedded[2], patches.linear.bias)


def test_an_averaged_copy_needs_no_statistics_of_its_own() -> None:
    encoder = build(SMALL["resnet"], 3)
    assert list(encoder.buffers()) == []
    assert not any(isinstance(module, nn.modules.batchnorm._BatchNorm) for module in encoder.modules())


@every_encoder
def test_wrong_shapes_are_named(config: SignalEncoderConfig) -> None:
    encoder = build(config, 12)
    with pytest.raises(UsageError, match=r"12 channels, got 3 in a batch of shape \(2, 3, 40\)"):
        encoder(torch.randn(2, 3, 40))
    with pytest.raises(UsageError, match=r"\(12, 40\)"):
        encoder(torch.randn(12, 40))
    with pytest.raises(UsageError, match="at least one time step"):
        encoder(torch.randn(2, 12, 0))
    with pytest.raises(UsageError, match=r"\(2, 40\), got torch.bool of shape \(2, 39\)"):
        encoder(torch.randn(2, 12, 40), torch.ones(2, 39, dtype=torch.bool))
    with pytest.raises(UsageError, match="torch.float32"):
        encoder(torch.randn(2, 12, 40), torch.ones(2, 40))
    with pytest.raises(UsageError, match="torch.int64"):
        encoder(torch.ones(2, 12, 40, dtype=torch.int64))


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"name": "lstm"}, "'lstm'; choose one of dilated, resnet, transformer"),
        ({"dim": 0}, "dim=0"),
        ({"stride": 0}, "stride=0"),
        ({"dropout": 1.0}, r"dropout=1.0"),
        ({"pooling": "sum"}, "'sum'"),
        ({"name": "resnet", "depth": 4, "stride": 6}, "power of two, got stride=6"),
        ({"name": "resnet", "depth": 2, "stride": 8}, "strides up to 4, got 8"),
        ({"name": "resnet", "depth": 10}, "depth=10 from hidden=64 would end 32768 wide"),
        ({"name": "transformer", "hidden": 40}, "hidden=40"),
    ],
)
def test_configurations_that_cannot_be_meant_are_refused(changes: dict[str, Any], message: str) -> None:
    with pytest.raises(UsageError, match=message):
        build(replace(SignalEncoderConfig(), **changes), 12)


@every_encoder
def test_both_poolings_share_the_features(config: SignalEncoderConfig) -> None:
    encoder = build(replace(config, pooling="both"), 3)
    dense = encoder(torch.randn(2, 3, 40))
    pooled = encoder.pool(dense)
    torch.testing.assert_close(pooled, torch.cat([dense[..., :12].mean(dim=1), dense[..., 12:].amax(dim=1)], dim=1))


def published_parameters(blocks: list[int], n_channels: int) -> int:
    """Of xresnet1d with bottlenecks of width 64, as the paper lists its layers; each convolution has a BatchNorm."""

    def layer(width_in: int, width_out: int, kernel: int) -> int:
        return width_in * width_out * kernel + 2 * width_out

    stem = layer(n_channels, 32, 5) + layer(32, 32, 5) + layer(32, 64, 5)
    first = layer(64, 64, 1) + layer(64, 64, 5) + layer(64, 256, 1) + layer(64, 256, 1)
    other = layer(256, 64, 1) + layer(64, 64, 5) + layer(64, 256, 1)
    return stem + first + (sum(blocks) - 1) * other


def test_xresnet1d101_has_the_published_size_and_stride() -> None:
    config = SignalEncoderConfig("xresnet", dim=256, hidden=64, depth=101, stride=32, pooling="both")
    encoder = build(config, 12)
    found = sum(parameter.numel() for parameter in encoder.parameters())
    assert found == published_parameters([3, 4, 23, 3], 12)
    assert encoder(torch.randn(2, 12, 250)).shape == (2, 8, 256)


@pytest.mark.parametrize("steps", [250, 251])
def test_xresnet1d18_is_what_its_layers_give_in_plain_torch(steps: int) -> None:
    encoder = build(SignalEncoderConfig("xresnet", dim=24, hidden=64, depth=18, stride=32, dropout=0.0), 12)
    x = torch.randn(4, 12, steps)
    torch.testing.assert_close(encoder(x), xresnet(encoder, x))
    encoder.eval()
    torch.testing.assert_close(encoder(x), xresnet(encoder, x))


@pytest.mark.parametrize(
    ("depth", "stride", "said"), [(20, 32, "depth of 18, 34, 50, 101"), (18, 64, "stride of 2, 4")]
)
def test_an_xresnet_of_another_layout_is_refused(depth: int, stride: int, said: str) -> None:
    with pytest.raises(UsageError, match=said):
        build(SignalEncoderConfig("xresnet", depth=depth, stride=stride), 12)


def test_an_xresnet_tells_apart_what_differs_in_amplitude_alone() -> None:
    encoder = build(replace(SMALL["xresnet"], stride=32), 3)
    x = torch.randn(8, 3, 100)
    for _ in range(3):
        encoder(x)
    encoder.eval()
    low, high = encoder.embed(x), encoder.embed(2 * x)
    assert (high - low).norm(dim=1).min() > 0.2 * low.norm(dim=1).mean()
