"""Small archives, and runs whose random weights stand for pretrained ones."""

from dataclasses import asdict
from pathlib import Path

import torch

from medcl import runs
from medcl.archive.manifest import Manifest
from medcl.modality.image.config import ImageConfig
from medcl.modality.report.config import TextConfig, TextEncoderConfig
from medcl.modality.report.encoders.tokens import Tokenizer
from medcl.modality.signal.channels import canonical
from medcl.modality.signal.config import SignalEncoderConfig
from medcl.modality.spatial.config import ImageEncoderConfig
from medcl.modality.spec import Card, ImageCard, JointCard, SignalCard, TextCard, VolumeCard
from medcl.modality.volume.config import VolumeConfig

NETWORK = ImageEncoderConfig("unet", widths=(2, 4, 4), dim=4, norm="group")


def save(folder: Path, card: Card, seed: int = 0, *, broken: bool = False) -> Path:
    """A run folder of an encoder as it is before training; a broken one's weights are not numbers."""
    runs.start(folder, {"method": "none"}, runs.SeenPatients.of([], "tests"))
    torch.manual_seed(seed)
    encoder = card.build()
    if broken:
        with torch.no_grad():
            next(encoder.parameters()).fill_(float("nan"))
    runs.save_encoder(folder, encoder, card)
    return folder


def signals(manifest: Manifest, window: float = 2.0, dim: int = 8) -> SignalCard:
    """A card of a small encoder of the recordings of a manifest."""
    channels = tuple(map(canonical, manifest.table["channels"][0].as_py()))
    rate = float(manifest.column("sampling_rate")[0])
    network = SignalEncoderConfig(name="resnet", dim=dim, hidden=8, depth=3, stride=8)
    return SignalCard(network, channels, rate, window, "record")


def volumes(data: VolumeConfig, network: ImageEncoderConfig = NETWORK) -> VolumeCard:
    """A card of a small encoder of slices or volumes."""
    return VolumeCard(network, 1, "mr", asdict(data))


def pictures(size: tuple[int, int] = (16, 16)) -> ImageCard:
    """A card of a small encoder of pictures."""
    return ImageCard(NETWORK, 1, "xray", asdict(ImageConfig(size=size)))


def joint(manifest: Manifest) -> JointCard:
    """A card of small encoders of pictures and of the reports of a manifest."""
    texts = [text for text in manifest.column("report") if text]
    tokenizer = Tokenizer.train(texts, 300)
    network = TextEncoderConfig(dim=16, hidden=32, depth=1, vocabulary=300)
    reports = TextCard(network, tokenizer.to_json(), None, asdict(TextConfig(length=24)))
    return JointCard({"image": pictures(), "report": reports}, hidden=16, projection=8)
