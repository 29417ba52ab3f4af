"""The smallest recipe that still trains every part."""

from dataclasses import replace
from typing import Any

from medcl.modality.signal.config import SignalConfig, SignalEncoderConfig, SignalViewsConfig
from medcl.pretrain.config import BatchConfig, CometConfig, OptimiserConfig, PretrainConfig


def small(steps: int = 6, **changes: Any) -> PretrainConfig:
    """A recipe of a few steps; `changes` replace its fields."""
    config = PretrainConfig(
        data=SignalConfig(window=2.0, stride=1.0),
        batch=BatchConfig(patients=4, trials=2, samples=2),
        views=SignalViewsConfig(mask="continuous", jitter=0.05),
        encoder=SignalEncoderConfig(name="resnet", dim=16, hidden=8, depth=3, stride=8),
        comet=CometConfig(identity="pooled", projection=8),
        optimiser=OptimiserConfig(steps=steps, learning_rate=1e-3),
    )
    return replace(config, **changes)
