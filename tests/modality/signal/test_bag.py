"""A sample as a bag of windows: each encoded by itself, and weighed by what it shows."""

from typing import Any

import pytest
import torch

from medcl.errors import UsageError
from medcl.modality.signal.config import SignalEncoderConfig
from medcl.modality.signal.encoders import ENCODERS, build

OTHERS = {"xresnet": {"depth": 18, "stride": 32}, "eegnet": {"stride": 32}, "dilated": {"stride": 1}}
NETWORK = SignalEncoderConfig("resnet", dim=8, hidden=8, depth=2, stride=4, dropout=0.0, bag=5)


def test_windows_are_encoded_by_themselves_and_weighed() -> None:
    torch.manual_seed(0)
    encoder = build(NETWORK, 2).double()
    x = torch.randn(3, 2, 100, dtype=torch.float64)
    dense = encoder(x)
    assert dense.shape == (3, 5, 8)
    alone = build(SignalEncoderConfig("resnet", dim=8, hidden=8, depth=2, stride=4, dropout=0.0), 2).double()
    alone.load_state_dict({name: one for name, one in encoder.state_dict().items() if not name.startswith("bag.")})
    for number in range(5):
        torch.testing.assert_close(dense[:, number], alone.embed(x[:, :, 20 * number : 20 * number + 20]))
    weights = encoder.bag.weights(dense)  # type: ignore[union-attr]
    torch.testing.assert_close(weights.sum(dim=1), torch.ones(3, dtype=torch.float64))
    expected = torch.stack([sum(w * z for w, z in zip(*one, strict=True)) for one in zip(weights, dense, strict=True)])
    torch.testing.assert_close(encoder.embed(x), expected)
    other = x.unflatten(2, (5, 20))[:, :, [2, 0, 4, 1, 3]].flatten(2)
    torch.testing.assert_close(encoder.embed(other), encoder.embed(x))


@pytest.mark.parametrize("name", ENCODERS)
def test_every_encoder_takes_a_bag_and_a_mask(name: str) -> None:
    sizes: dict[str, Any] = {"dim": 8, "hidden": 8, "depth": 2, "stride": 4, **OTHERS.get(name, {})}
    encoder = build(SignalEncoderConfig(name, bag=3, **sizes), 2)  # type: ignore[arg-type]
    keep = torch.rand(4, 3 * 128) > 0.2
    dense = encoder(torch.randn(4, 2, 3 * 128), keep)
    assert dense.shape == (4, 3, 8)
    encoder.pool(dense).sum().backward()
    assert all(one.grad is not None for one in encoder.parameters())


def test_sizes_that_cannot_be_are_refused() -> None:
    with pytest.raises(UsageError, match="101 samples of a window .data.window. are no 5 windows of one length"):
        build(NETWORK, 2)(torch.randn(1, 2, 101))
    with pytest.raises(UsageError, match="2 or more windows"):
        build(SignalEncoderConfig(bag=1), 2)
