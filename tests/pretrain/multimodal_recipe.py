"""The smallest recipes on several modalities that still train every part."""

from dataclasses import replace
from typing import Any

from medcl.modality.image.config import ImageConfig
from medcl.modality.report.config import TextConfig, TextEncoderConfig
from medcl.modality.signal.config import SignalConfig, SignalEncoderConfig, SignalViewsConfig
from medcl.modality.spatial.config import ImageEncoderConfig, ImageViewsConfig
from medcl.pretrain.config import HardwareConfig, OptimiserConfig
from medcl.pretrain.multimodal_config import (
    ImageSide,
    MultimodalBatchConfig,
    MultimodalConfig,
    MultimodalPretrainConfig,
    ReportSide,
    SignalSide,
)

IMAGE = ImageSide(
    ImageConfig(size=(16, 16)),
    ImageEncoderConfig(name="unet", widths=(4, 8, 8), dim=8, norm="group"),
    ImageViewsConfig(contrast=(0.8, 1.2), brightness=0.1, crop_side=(0.8, 1.0)),
)
SIGNAL = SignalSide(
    SignalConfig(window=2.0, stride=1.0),
    SignalEncoderConfig(name="resnet", dim=16, hidden=8, depth=3, stride=8, dropout=0.0),
    SignalViewsConfig(mask="continuous", jitter=0.05),
)
REPORT = ReportSide(
    TextConfig(length=24),
    TextEncoderConfig(dim=16, hidden=32, depth=1, dropout=0.0, vocabulary=400, patients=2),
)


def small(steps: int = 6, **changes: Any) -> MultimodalPretrainConfig:
    """A recipe of a few steps on pictures with reports; `changes` replace its fields, and `joint` fields of that."""
    config = MultimodalPretrainConfig(
        image=IMAGE,
        report=REPORT,
        batch=MultimodalBatchConfig(patients=4, records=2),
        joint=MultimodalConfig(hidden=16, projection=8, width=8),
        optimiser=OptimiserConfig(steps=steps, learning_rate=1e-3),
        hardware=HardwareConfig(accelerator="cpu"),
    )
    given = changes.pop("joint", {})
    return replace(config, joint=replace(config.joint, **given), **changes)
