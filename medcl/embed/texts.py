"""Texts that are typed, not records, in the space of an encoder of reports."""

from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
from torch import Tensor

from medcl.embed.encoders import device
from medcl.modality.report import ReportWing

_AT_A_TIME = 64


@torch.inference_mode()
def embed_texts(encoder: Any, card: Any, texts: Sequence[str]) -> Tensor:
    """Texts (n, dim) on the CPU.

    Args:
        encoder: of reports, with `embed`.
        card: of this side.
        texts: as a user types them.
    """
    config = ReportWing().reading(card)
    tokens = torch.from_numpy(config.encode(list(texts), config.length).astype(np.int64)).to(device())
    return torch.cat([encoder.embed(part) for part in torch.split(tokens, _AT_A_TIME)]).cpu()
