"""A training step of encoders of signals beside the same network layer by layer in plain torch."""

import time
from statistics import median

import pytest
import torch

from medcl.modality.signal.config import SignalEncoderConfig
from medcl.modality.signal.encoders import build
from tests.modality.signal.plain_eeg import PLAIN
from tests.modality.signal.plain_xresnet import xresnet

REPEATS = 7
CONFIGS = {
    "shallow": SignalEncoderConfig("shallow", dim=40, hidden=40, stride=15, dropout=0.0, kernel=25),
    "eegnet": SignalEncoderConfig("eegnet", dim=16, hidden=16, stride=32, dropout=0.0, kernel=64),
    "conformer": SignalEncoderConfig("conformer", dim=40, hidden=40, depth=6, stride=15, dropout=0.0, kernel=25),
    "xresnet": SignalEncoderConfig("xresnet", dim=128, hidden=64, depth=18, stride=32, dropout=0.0),
}
PLAIN_OF = {**PLAIN, "xresnet": xresnet}


@pytest.mark.benchmark
@pytest.mark.parametrize(
    ("name", "channels"), [*((name, channels) for name in PLAIN for channels in (3, 22)), ("xresnet", 12)]
)
def test_a_step_is_no_slower_than_in_plain_torch(name: str, channels: int) -> None:
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        torch.manual_seed(0)
        encoder = build(CONFIGS[name], channels)
        x = torch.randn(32, channels, 500)

        def timed(network: object) -> float:
            encoder.zero_grad()
            start = time.process_time()
            (encoder(x) if network is None else PLAIN_OF[name](encoder, x)).square().mean().backward()
            return time.process_time() - start

        for network in (None, name):
            timed(network)
        ratio = median(timed(None) / timed(name) for _ in range(REPEATS))
        print(f"\n{name}, {channels} channels: {ratio:.2f} of the time in plain torch")
        assert ratio <= 1.05
    finally:
        torch.set_num_threads(threads)
