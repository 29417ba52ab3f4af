"""Grounding: a map that is high where the picture shows the phrase."""

import numpy as np
import pytest
import torch

from medcl.errors import UsageError
from medcl.modality.report import encoders as text
from medcl.modality.report.config import TextEncoderConfig
from medcl.modality.report.encoders.tokens import Tokenizer
from medcl.modality.signal import encoders as signal
from medcl.modality.signal.config import SignalEncoderConfig
from medcl.modality.spatial import encoders as image
from medcl.modality.spatial.config import ImageEncoderConfig
from medcl.networks import grounding
from medcl.networks.multimodal import MultimodalEncoder


@pytest.fixture(params=[0, 8], ids=["head", "local"])
def joint(request: pytest.FixtureRequest) -> MultimodalEncoder:
    torch.manual_seed(0)
    tokenizer = Tokenizer.train(["left pleural effusion", "right lung clear"], 300)
    sides = {
        "image": image.build(ImageEncoderConfig(name="unet", widths=(4, 8), dim=8, stride=2), 1),
        "signal": signal.build(SignalEncoderConfig(dim=8), 1),
        "report": text.build(TextEncoderConfig(dim=8, hidden=32, depth=1), tokenizer),
    }
    return MultimodalEncoder(sides, 16, 8, request.param).eval()


def test_map_has_the_size_of_the_picture_and_the_similarities_of_its_cells(joint: MultimodalEncoder) -> None:
    x, tokens = torch.rand(2, 1, 12, 16), torch.tensor([[2, 5, 7, 3, 0], [2, 8, 3, 0, 0]])
    both = grounding.phrase_maps(joint, "image", x, tokens)
    assert both.shape == (2, 12, 16)
    similarity = grounding.phrase_maps(joint, "image", x[:1], tokens[:1])[0]
    np.testing.assert_allclose(both[0], similarity, atol=1e-5)
    dense, _ = joint.encode("image", x)
    cells = joint.project_dense("image", dense)[0] @ grounding.phrase_vectors(joint, tokens[:1])[0]
    grid = cells.detach().reshape(6, 8).numpy()
    # Bilinear enlargement keeps the corners, and stays within the range of the cells.
    for corner in ((0, 0), (0, -1), (-1, 0), (-1, -1)):
        assert similarity[corner] == pytest.approx(grid[corner], abs=1e-5)
    assert grid.min() - 1e-5 <= similarity.min() <= similarity.max() <= grid.max() + 1e-5


def test_padding_behind_a_phrase_changes_nothing(joint: MultimodalEncoder) -> None:
    x = torch.rand(1, 1, 8, 8)
    short = grounding.phrase_maps(joint, "image", x, torch.tensor([[5, 7]]))
    long = grounding.phrase_maps(joint, "image", x, torch.tensor([[5, 7, 0, 0, 0]]))
    np.testing.assert_allclose(short, long, atol=1e-5)


def test_only_pictures_are_drawn_over(joint: MultimodalEncoder) -> None:
    with pytest.raises(UsageError, match="images of 2 dimensions"):
        grounding.phrase_maps(joint, "signal", torch.rand(1, 1, 100), torch.tensor([[5]]))
