"""The network that segments: a pretrained encoder, with as much of its decoder as was trained, and a head for classes.

Both sides of a comparison are built with one seed; the pretrained side then takes over every weight that the run has.
So they differ in these weights and in nothing else: head and untrained decoder blocks start from the same numbers.
"""

from typing import cast

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from medcl.errors import MedclError, UsageError
from medcl.modality.spatial.config import WIDTHS
from medcl.modality.spatial.encoders.base import ImageEncoder
from medcl.modality.spatial.encoders.heads import SegmentationHead
from medcl.modality.spatial.encoders.unet import UNet
from medcl.modality.spec import VolumeCard

WITH_DECODER = ("unet", "monai-unet", "swin-unetr")


class PaddedUNet(nn.Module):
    """A U-Net for images of any size: zeros at the end of each axis, cut off from the logits.

    Args:
        network: the U-Net, with a head.
    """

    def __init__(self, network: UNet) -> None:
        super().__init__()
        self.network = network

    def forward(self, x: Tensor) -> Tensor:
        """Map images (B, C, x, y[, z]) to logits (B, n_classes, x, y[, z])."""
        missing = [-length % 2**self.network.levels for length in x.shape[2:]]
        sides = [side for length in reversed(missing) for side in (0, length)]
        logits: Tensor = self.network(F.pad(x, sides) if any(missing) else x)
        for axis, length in enumerate(x.shape[2:], start=2):
            logits = logits.narrow(axis, 0, length)
        return logits


class DenseSegmenter(nn.Module):
    """An encoder with an embedding for every voxel, and a head on its map.

    Args:
        encoder: of stride 1.
        n_classes: with the background.
    """

    def __init__(self, encoder: ImageEncoder, n_classes: int) -> None:
        super().__init__()
        self.encoder = encoder
        config = encoder.config
        self.head = SegmentationHead(config.dim, n_classes, config.dims, config.norm)

    def forward(self, x: Tensor) -> Tensor:
        """Map images (B, C, x, y[, z]) to logits (B, n_classes, x, y[, z])."""
        dense: Tensor = self.encoder(x)
        return cast(Tensor, self.head(dense.transpose(1, 2).reshape(len(x), -1, *x.shape[2:])))


def build(card: VolumeCard, n_classes: int, seed: int, pretrained: ImageEncoder | None = None) -> nn.Module:
    """Make the network that segments.

    Args:
        card: of the run.
        n_classes: with the background.
        seed: of all random weights.
        pretrained: the encoder whose weights it starts from; None leaves all of them random.

    Returns:
        The network: images (B, C, x, y[, z]) of any size to logits (B, n_classes, x, y[, z]).

    Raises:
        UsageError: the run's network has no decoder.
        MedclError: the weights are not those of the card's network.
    """
    check(card)
    config = card.encoder
    torch.manual_seed(seed)
    if config.name == "unet":
        widths = WIDTHS["unet"] if config.widths is None else config.widths
        unet = UNet(card.n_channels, n_classes, widths=widths, dims=config.dims, norm=config.norm)
        network: nn.Module = PaddedUNet(unet)
        part: nn.Module = unet
        source: nn.Module | None = pretrained and pretrained.network
    else:
        network = DenseSegmenter(card.build(), n_classes)
        part, source = network.encoder, pretrained
    if source is not None:
        try:
            unknown = part.load_state_dict(source.state_dict(), strict=False).unexpected_keys
        except RuntimeError as error:
            raise MedclError("the run's weights do not fit its own network: it is damaged") from error
        if unknown:
            raise MedclError(f"the run has weights that its network lacks: {', '.join(unknown)}")
    return network


def check(card: VolumeCard) -> None:
    """Refuse a network that cannot segment.

    Raises:
        UsageError: it has no decoder.
    """
    if card.encoder.name not in WITH_DECODER:
        raise UsageError(
            f"a {card.encoder.name} has no decoder, so it cannot segment: pretrain one of {', '.join(WITH_DECODER)}"
        )
