"""A vision model of transformers, from a local folder: ViT, DINOv2, the vision side of CLIP and their like."""

from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from medcl.documents import parse_json
from medcl.errors import MedclError, UsageError, cause


@dataclass(frozen=True)
class VisionModel:
    """A loaded model, and the size and normalisation of its images."""

    network: Any
    size: tuple[int, int]
    mean: Tensor
    std: Tensor

    @torch.inference_mode()
    def embed(self, x: Tensor) -> NDArray[np.float32]:
        """(B, 3, rows, columns) from 0 to 1 to (B, width)."""
        found = self.network(pixel_values=(x - self.mean) / self.std, return_dict=True)
        pooled = getattr(found, "pooler_output", None)
        if pooled is None:
            pooled = found.last_hidden_state[:, 0]
        return np.asarray(pooled.flatten(1).float().numpy(), dtype=np.float32)


@lru_cache(maxsize=2)
def load(folder: Path) -> VisionModel:
    """The vision model in a folder that `save_pretrained` wrote; nothing is fetched.

    Raises:
        MedclError: the model cannot be read.
        UsageError: it does not take images.
    """
    from transformers import AutoConfig, AutoModel

    try:
        network = AutoModel.from_pretrained(folder, local_files_only=True)
    # A RecursionError, of a file that is nested too deeply, is a RuntimeError.
    except (OSError, ValueError, KeyError, RuntimeError) as error:
        raise MedclError(f"--encoder {folder}: the model cannot be read: {cause(error)}") from error
    network = getattr(network, "vision_model", network)
    if getattr(network, "main_input_name", "") != "pixel_values":
        kind = AutoConfig.from_pretrained(folder, local_files_only=True).model_type
        raise UsageError(f"--encoder {folder}: a model of type {kind} takes no images: name a vision model")
    side = getattr(network.config, "image_size", None) or 224
    size = (int(side[0]), int(side[1])) if isinstance(side, list | tuple) else (int(side), int(side))
    mean, std = _normalisation(folder / "preprocessor_config.json")
    return VisionModel(network.eval(), size, mean, std)


def _normalisation(path: Path) -> tuple[Tensor, Tensor]:
    """Mean and standard deviation of each channel, (3, 1, 1), as a model's folder says.

    Raises:
        MedclError: the file is there and does not say it.
    """
    try:
        known = parse_json(path.read_bytes(), f"--encoder {path}") if path.is_file() else {}
        mean, std = (torch.tensor(known.get(name, [0.5] * 3))[:, None, None] for name in ("image_mean", "image_std"))
    except (OSError, AttributeError, IndexError, TypeError, ValueError, RuntimeError) as error:
        raise MedclError(f"--encoder {path}: holds no mean and deviation of each channel: {cause(error)}") from error
    return mean, std
