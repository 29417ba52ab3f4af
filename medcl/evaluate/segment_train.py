"""Training a network to segment: seeded patches of the labelled volumes, augmented together with their label maps."""

import copy
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import islice
from typing import TypeAlias, cast

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from medcl.data.sampler import Sampler
from medcl.errors import MedclError, UsageError
from medcl.evaluate.config import SegmentConfig
from medcl.evaluate.segment_predict import predict
from medcl.evaluate.semi_supervised import semi_supervised
from medcl.modality.spatial import views as spatial_views
from medcl.modality.spatial.config import WIDTHS, ImageEncoderConfig
from medcl.modality.spatial.encoders.base import ImageEncoder
from medcl.modality.spatial.encoders.unet import SegmentationHead, UNet
from medcl.modality.spec import VolumeCard
from medcl.modality.volume.samples import Patch, VolumePatches
from medcl.networks.config import ForeignEncoderConfig
from medcl.stats.label_maps import dice

WITH_DECODER = ("unet", "monai-unet", "swin-unetr")


@dataclass(frozen=True)
class Curve:
    """The validation Dice while training: the mean over structures and validation volumes.

    Args:
        iterations: iterations of the evaluations, ascending; empty without validation volumes.
        values: of each.
        best: iteration whose weights were kept.
    """

    iterations: tuple[int, ...]
    values: tuple[float, ...]
    best: int


class PaddedUNet(nn.Module):
    """A U-Net with a head for images of any size: zeros at the end of each axis, cut off from the logits."""

    def __init__(self, network: UNet, dims: int = 2) -> None:
        super().__init__()
        self.network = network
        self.width, self.dims = network.widths[0], dims

    def encode(self, x: Tensor) -> list[Tensor]:
        """The maps of the encoder of images (B, C, x, y[, z])."""
        missing = [-length % 2**self.network.levels for length in x.shape[2:]]
        sides = [side for length in reversed(missing) for side in (0, length)]
        return self.network.encode(F.pad(x, sides) if any(missing) else x)

    def decode(self, features: list[Tensor]) -> Tensor:
        """The last map of the decoder, padded."""
        return self.network.decode(features)

    def classify(self, maps: Tensor, space: Sequence[int]) -> Tensor:
        """Logits (B, n_classes, *space) of the last maps."""
        return self.cut(self.network.head(maps), space)

    def cut(self, maps: Tensor, space: Sequence[int]) -> Tensor:
        """Maps without what was padded, (B, C, *space)."""
        for axis, length in enumerate(space, start=2):
            maps = maps.narrow(axis, 0, length)
        return maps

    def forward(self, x: Tensor) -> Tensor:
        """Map images (B, C, x, y[, z]) to logits (B, n_classes, x, y[, z])."""
        return self.classify(self.decode(self.encode(x)), x.shape[2:])


class DenseSegmenter(nn.Module):
    """An encoder with an embedding for every voxel, of stride 1, and a head on its map for classes with background."""

    def __init__(self, encoder: ImageEncoder, n_classes: int) -> None:
        super().__init__()
        self.encoder = encoder
        config = encoder.config
        self.width, self.dims = config.dim, config.dims
        self.head = SegmentationHead(config.dim, n_classes, config.dims, config.norm)

    def encode(self, x: Tensor) -> list[Tensor]:
        """The map of embeddings of images (B, C, x, y[, z])."""
        dense: Tensor = self.encoder(x)
        return [dense.transpose(1, 2).reshape(len(x), -1, *x.shape[2:])]

    def decode(self, features: list[Tensor]) -> Tensor:
        """The map itself."""
        return features[0]

    def classify(self, maps: Tensor, space: Sequence[int]) -> Tensor:
        """Logits (B, n_classes, *space) of the map."""
        return cast(Tensor, self.head(maps))

    def cut(self, maps: Tensor, space: Sequence[int]) -> Tensor:
        """The map itself: nothing was padded."""
        return maps

    def forward(self, x: Tensor) -> Tensor:
        """Map images (B, C, x, y[, z]) to logits (B, n_classes, x, y[, z])."""
        return self.classify(self.decode(self.encode(x)), x.shape[2:])


Segmenter: TypeAlias = PaddedUNet | DenseSegmenter


def build(card: VolumeCard, n_classes: int, seed: int, pretrained: ImageEncoder | None = None) -> Segmenter:
    """The network that segments: images (B, C, x, y[, z]) of any size to logits (B, n_classes, x, y[, z]).

    It starts from the weights of the pretrained encoder, if there is one; the seed is that of all random weights.

    Raises:
        UsageError: the run's network has no decoder.
        MedclError: the weights are not those of the card's network.
    """
    check(card)
    config = cast(ImageEncoderConfig, card.encoder)
    torch.manual_seed(seed)
    if config.name == "unet":
        widths = WIDTHS["unet"] if config.widths is None else config.widths
        unet = UNet(card.n_channels, n_classes, widths=widths, dims=config.dims, norm=config.norm)
        network: Segmenter = PaddedUNet(unet, config.dims)
        part: nn.Module = unet
        source: nn.Module | None = pretrained and pretrained.network
    else:
        network = DenseSegmenter(cast(ImageEncoder, card.build()), n_classes)
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
    if isinstance(card.encoder, ForeignEncoderConfig) or card.encoder.name not in WITH_DECODER:
        raise UsageError(
            f"a {card.encoder.name} has no decoder, so it cannot segment: pretrain one of {', '.join(WITH_DECODER)}"
        )


def loss_of(name: str) -> nn.Module:
    """A loss of logits and one-hot (or mixed) targets, both (B, n_classes, *space), see `SegmentConfig`.

    Dice is that of the batch as a whole: of a single slice it would jump where the slice holds a few voxels of a
    structure, or none.

    Raises:
        UsageError: no such loss.
    """
    from monai.losses import DiceCELoss, DiceLoss

    losses = {"dice": DiceLoss, "dice-ce": DiceCELoss}
    if name not in losses:
        raise UsageError(f"segmentation loss {name!r} not found; choose one of {', '.join(losses)}")
    return cast(nn.Module, losses[name](softmax=True, include_background=True, batch=True))


def one_hot(labels: Tensor, n_classes: int) -> Tensor:
    """Labels (B, *space) as (B, n_classes, *space) of 0 and 1, float32."""
    return F.one_hot(labels.long(), n_classes).movedim(-1, 1).float()


def mixup(x: Tensor, y: Tensor, alpha: float, rng: np.random.Generator) -> tuple[Tensor, Tensor]:
    """Mix each sample with another one of the batch, image and target in one proportion (Zhang et al., ICLR 2018).

    The proportion of the batch, x (B, C, *space) and y (B, n_classes, *space), is drawn from Beta(alpha, alpha).
    """
    share = float(rng.beta(alpha, alpha))
    other = torch.from_numpy(rng.permutation(len(x))).to(x.device)
    return share * x + (1 - share) * x[other], share * y + (1 - share) * y[other]


def train(
    network: Segmenter,
    labelled: VolumePatches,
    validation: VolumePatches | None,
    n_classes: int,
    config: SegmentConfig,
    *,
    seed: int,
    device: torch.device,
    unlabelled: VolumePatches | None = None,
) -> Curve:
    """Train a network in place, and leave it with the weights that were best on the validation volumes.

    It maps (B, C, *space) to logits (B, n_classes, *space). Without validation volumes the last weights are kept. The
    seed draws patches, their augmentation and the mixing; nothing that is drawn depends on the weights. With
    `config.semi_supervised` it also learns from patches of the volumes `unlabelled`, whose labels are not looked at.
    """
    torch.manual_seed(seed)  # of dropout, where the network has any
    flat = labelled.axis is not None
    network.to(device)
    if flat:
        network.to(memory_format=torch.channels_last)  # type: ignore[call-overload]
    extra = None if unlabelled is None else semi_supervised(config.semi_supervised, network, n_classes, seed)
    parameters = [*network.parameters(), *(extra.parameters() if extra else ())]
    optimiser = torch.optim.Adam(parameters, lr=config.learning_rate, fused=True)
    more = _Unlabelled(unlabelled, config, seed) if extra and unlabelled is not None else None
    criterion = loss_of(config.loss)
    augment, rng = _Augmentation(labelled, config, seed), np.random.default_rng([seed, 2])
    seen: list[tuple[int, float]] = []
    best, best_state = config.iterations, None
    network.train()
    for iteration, patches in enumerate(_batches(labelled, config, seed), start=1):
        batch = labelled.__getitems__(patches)
        x, y = augment(batch["x"].to(device), batch["y"].to(device))
        target = one_hot(y, n_classes)
        if config.mixup:
            x, target = mixup(x, target, config.mixup, rng)
        if flat:
            x = x.contiguous(memory_format=torch.channels_last)
        with torch.autocast(device.type, torch.bfloat16, enabled=device.type == "cuda"):
            maps: Tensor = network.decode(network.encode(x))
            logits: Tensor = network.classify(maps, x.shape[2:])
            loss = criterion(logits.float(), target)
            if extra is not None and more is not None:
                loss = loss + extra.loss(network, maps, target, more.draw(device), iteration / config.iterations)
        optimiser.zero_grad(set_to_none=True)
        loss.backward()
        optimiser.step()
        if extra is not None:
            extra.follow(network)
        if validation is not None and (iteration % config.evaluate_every == 0 or iteration == config.iterations):
            value = validate(network, validation, n_classes, config.overlap, device)
            if not seen or value > max(one for _, one in seen):
                best, best_state = iteration, copy.deepcopy(network.state_dict())
            seen.append((iteration, value))
    if best_state is not None:
        network.load_state_dict(best_state)
    return Curve(tuple(one for one, _ in seen), tuple(value for _, value in seen), best)


def validate(
    network: nn.Module, volumes: VolumePatches, n_classes: int, overlap: float | None, device: torch.device
) -> float:
    """Mean Dice over structures and volumes, on the prepared grid; slices are predicted whole, which is quicker."""
    found = []
    for number in range(len(volumes.rows)):
        predicted = predict(network, volumes, number, overlap, device, whole=True)
        found.append(dice(volumes.labels(number).numpy(), predicted, n_classes))
    return float(np.mean(found))


class _Unlabelled:
    """Patches of volumes without labels, moved and changed as the labelled ones are."""

    def __init__(self, patches: VolumePatches, config: SegmentConfig, seed: int) -> None:
        self.patches, self.augment = patches, _Augmentation(patches, config, seed + 1)
        self.batches = _batches(patches, config, seed + 1)

    def draw(self, device: torch.device) -> Tensor:
        """The next batch (B, C, *space)."""
        x = self.patches.__getitems__(next(self.batches))["x"].to(device)
        return self.augment(x, torch.zeros(len(x), *x.shape[2:], dtype=torch.uint8, device=device))[0]


def _batches(labelled: VolumePatches, config: SegmentConfig, seed: int) -> Iterator[list[Patch]]:
    """The patches of each iteration: as many of each labelled patient as a batch holds, or of some in turn."""
    patients = len(np.unique(labelled.ids["patient"]))
    at_once = min(patients, config.batch)
    sampler = Sampler.drawing(labelled, patients=at_once, records=1, samples=-(-config.batch // at_once), seed=seed)
    for patches in islice(sampler.batches(0, config.iterations), config.iterations):
        # Patients come in a new order each time, so that what is cut off is of none in particular.
        yield patches[: config.batch]


class _Augmentation:
    """Augments a batch and its label maps; the same seed gives the same views whatever the weights."""

    def __init__(self, patches: VolumePatches, config: SegmentConfig, seed: int) -> None:
        spacing = np.median(patches.store.spacing[patches.records], axis=0)
        sides = tuple(float(mm) for i, mm in enumerate(spacing) if i != patches.axis)
        self.views = spatial_views.build(config.views, sides)
        self.geometry = spatial_views.geometry(config.views, sides)
        self.prefix = f"{self.geometry.name}."
        self.generator = torch.Generator().manual_seed(seed)

    def __call__(self, x: Tensor, y: Tensor) -> tuple[Tensor, Tensor]:
        params = self.views.draw(x, self.generator)
        own = {key.removeprefix(self.prefix): value for key, value in params.items() if key.startswith(self.prefix)}
        labels = self.geometry.labels(y[:, None], own)[:, 0] if self.geometry.views else y
        return self.views.apply(x, params), labels
