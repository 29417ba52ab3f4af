"""What goes with an encoder of recordings that is taken away."""

import numpy as np
import torch
from torch import Tensor

from medcl.modality.preprocessing import Preprocessing
from medcl.modality.signal.channels import is_lead
from medcl.modality.signal.config import SignalConfig
from medcl.modality.signal.designs import designs
from medcl.modality.signal.montage import matrix
from medcl.modality.spec import SignalCard


def preprocessing(spec: SignalCard) -> Preprocessing:
    """See `Wing.preprocessing`. The filters go as their taps, so that nobody has to design them again."""
    band = None if spec.band is None else list(spec.band)
    config = SignalConfig(band=band, notch=spec.notch)
    settings = {
        "modality": "signal",
        "sampling_rate": spec.sampling_rate,
        "channels": list(spec.channels),
        "unit": "mV" if any(map(is_lead, spec.channels)) else "uV",
        "band": band,
        "notch": spec.notch,
        "filters": [one.taps(spec.sampling_rate).tolist() for one in designs(config)],
        "standardise": spec.standardise,
        "align": spec.align,
        "clip": spec.clip,
        "reference": matrix(spec.reference, spec.channels).tolist() if spec.reference != "none" else None,
        "window": spec.window,
        "stride": spec.window * (1 - spec.overlap),
    }
    length = round(spec.window * spec.sampling_rate)

    def example(rng: np.random.Generator, count: int) -> Tensor:
        """Windows (n, C, T) of oscillations, standardised."""
        frequency = rng.uniform(0.5, 0.4 * spec.sampling_rate, (count, len(spec.channels), 1))
        time = np.arange(length) / spec.sampling_rate
        x = np.sin(2 * np.pi * frequency * time + rng.uniform(0, 6, frequency.shape))
        return torch.from_numpy((1.2 * x + 0.5 * rng.standard_normal(x.shape)).astype(np.float32))

    return Preprocessing(settings, __file__, example, ("channels", "time"))
