"""A vision model of transformers from its folder: the size and the normalisation that the folder states."""

import json
from pathlib import Path

import numpy as np
import pytest
import torch
from transformers import ViTConfig, ViTModel

from medcl.errors import MedclError
from medcl.networks.vision_model import load


def saved(folder: Path, processor: dict[str, list[float]] | None) -> Path:
    """A ViT of random weights on images of 16 x 16."""
    torch.manual_seed(0)
    sizes = {"hidden_size": 8, "num_hidden_layers": 1, "num_attention_heads": 2, "intermediate_size": 8}
    ViTModel(ViTConfig(image_size=16, patch_size=8, **sizes)).save_pretrained(folder)
    if processor is not None:
        (folder / "preprocessor_config.json").write_text(json.dumps(processor))
    return folder


def test_images_are_normalised_as_the_folder_states(tmp_path: Path) -> None:
    plain = load(saved(tmp_path / "plain", None))
    own = load(saved(tmp_path / "own", {"image_mean": [0.25, 0.5, 0.75], "image_std": [0.5, 0.5, 1.0]}))
    assert plain.size == own.size == (16, 16)
    x = torch.rand(2, 3, 16, 16)
    found = own.embed(x)
    assert found.shape == (2, 8)
    # Without a statement mean and deviation are 0.5.
    mean, std = torch.tensor([0.25, 0.5, 0.75])[:, None, None], torch.tensor([0.5, 0.5, 1.0])[:, None, None]
    np.testing.assert_allclose(plain.embed((x - mean) / std * 0.5 + 0.5), found, atol=1e-6)
    assert not np.allclose(plain.embed(x), found, atol=1e-4)


def test_a_folder_without_a_model_is_refused(tmp_path: Path) -> None:
    with pytest.raises(MedclError, match="cannot be read"):
        load(tmp_path)
