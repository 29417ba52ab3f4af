"""The networks of EEG are those of the publications, computed with fewer operations."""

import pytest
import torch

from medcl.errors import UsageError
from medcl.modality.signal.config import SignalEncoderConfig
from medcl.modality.signal.encoders import build
from tests.modality.signal.plain_eeg import PLAIN

CONFIGS = {
    "shallow": SignalEncoderConfig("shallow", dim=12, hidden=10, stride=3, dropout=0.0, kernel=6),
    "eegnet": SignalEncoderConfig("eegnet", dim=12, hidden=8, stride=8, dropout=0.0, kernel=9),
    "conformer": SignalEncoderConfig("conformer", dim=12, hidden=8, depth=2, stride=3, dropout=0.0, kernel=5),
}


@pytest.mark.parametrize("name", CONFIGS)
def test_it_is_the_published_network(name: str) -> None:
    torch.manual_seed(0)
    encoder = build(CONFIGS[name], 4).double()
    x = torch.randn(3, 4, 50, dtype=torch.float64)
    found, expected = encoder(x), PLAIN[name](encoder, x)
    torch.testing.assert_close(found, expected)
    parameters = list(encoder.parameters())
    gradient = torch.randn_like(found)
    for one, other in zip(
        torch.autograd.grad(found, parameters, gradient),
        torch.autograd.grad(expected, parameters, gradient),
        strict=True,
    ):
        torch.testing.assert_close(one, other)


def test_a_shallow_network_sees_power_and_not_phase() -> None:
    torch.manual_seed(0)
    encoder = build(SignalEncoderConfig("shallow", dim=8, hidden=8, stride=8, dropout=0.0, pooling="mean"), 1)
    time = torch.arange(400) / 100
    waves = torch.stack([a * torch.sin(2 * torch.pi * 10 * time + b) for a, b in ((1, 0), (1, 1), (2, 0))])
    one, shifted, doubled = encoder.embed(waves.unsqueeze(1))
    torch.testing.assert_close(one, shifted, atol=0.05, rtol=0)
    torch.testing.assert_close(doubled - one, torch.full((8,), 4.0).log(), atol=1e-4, rtol=0)


@pytest.mark.parametrize(
    ("name", "changes", "said"),
    [
        ("eegnet", {"stride": 6}, "multiple of 4"),
        ("conformer", {"hidden": 10}, "multiple of 4"),
        ("shallow", {"kernel": 0}, "kernel of at least 1"),
    ],
)
def test_sizes_that_cannot_be_are_refused(name: str, changes: dict[str, int], said: str) -> None:
    with pytest.raises(UsageError, match=said):
        build(SignalEncoderConfig(name, **{"hidden": 8, "dim": 8, "stride": 8, **changes}), 3)  # type: ignore[arg-type]
