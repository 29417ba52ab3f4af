"""The configuration of a pretraining run on volumes: importable without torch, so that the command line stays quick."""

from dataclasses import dataclass, field
from typing import Literal

from medcl.modality.spatial.config import CHAITANYA_GLOBAL, CHAITANYA_LOCAL, ImageEncoderConfig, ImageViewsConfig
from medcl.modality.volume.config import VolumeConfig
from medcl.pretrain.config import HardwareConfig, OptimiserConfig


@dataclass(frozen=True)
class VolumeBatchConfig:
    """Composition of a batch: patients x volumes x samples.

    Args:
        patients: number of patients in a batch.
        volumes: maximum number of volumes of a patient.
        samples: patches or slices of a volume. Where they are drawn by partition, as many as there are partitions, or
            a multiple.
        reuse: batches that a volume is in, with other patches and with other patients, before the next volumes come.
            For archives that are larger than the memory: the first crop of a volume that is not in memory takes 19 ms,
            those right after it 1 ms (medians, 64^3 of 256 x 256 x 128 voxels on a local disk). 1 mixes best, and is as
            fast where the store fits into memory.
        buffer: batches whose patients are shuffled among each other when they come again.
    """

    patients: int = 5
    volumes: int = 1
    samples: int = 4
    reuse: int = 1
    buffer: int = 8


@dataclass(frozen=True)
class GlobalLocalConfig:
    """Chaitanya et al. (NeurIPS 2020): which stages are trained, and the loss of the global one.

    Args:
        stages: `global-local` trains the encoder by the global loss, then the first blocks of the decoder by the local
            one, each with its own number of steps; `global` or `local` one of them; `joint` both losses in every step.
        variant: of the global loss. `random` (G^R, SimCLR): two views of a slice against all others.
            `partition-negatives` (G^D-): slices of one partition, of any volume, are no negatives.
            `partition-positives` (G^D): besides, slices of one partition of different volumes attract each other.
            `positional` (PCL): so do slices whose positions differ by less than `within`.
        partitions: into which every volume is cut along the slice axis.
        within: difference of relative positions, from 0 to 1, of `positional`.
        temperature: of the global loss.
        hidden: width of the hidden layer of the global head.
        projection: width of what is compared.
        init: a finished run whose encoder a `local` or `joint` training starts from; empty: random weights.
    """

    stages: Literal["global-local", "global", "local", "joint"] = "global-local"
    variant: Literal["random", "partition-negatives", "partition-positives", "positional"] = "partition-positives"
    partitions: int = 4
    within: float = 0.35
    temperature: float = 0.1
    hidden: int = 1024
    projection: int = 128
    init: str = ""


@dataclass(frozen=True)
class LocalConfig:
    """The local stage of Chaitanya et al.: regions of an image become distinguishable, whatever its intensities.

    Args:
        blocks: decoder blocks of a U-Net that are trained, counted from the bottleneck; of five, three give a map of a
            quarter of the size. Other networks have one map: their dense embedding.
        across: whether a region is also matched with that of a slice of the same partition of another volume (L^D).
        region: features along each side of a region.
        negatives: nearby regions of the same image, in both views.
        projection: width of what is compared.
        temperature: of the local loss.
        train_encoder: train the encoder too. Networks whose decoder cannot be separated from their encoder need it.
        weight: of the local loss relative to the global one in `stages: joint`.
        steps: of the local stage; the other settings of its optimiser are those of the global one.
    """

    blocks: int = 3
    across: bool = False
    region: int = 3
    negatives: int = 5
    projection: int = 128
    temperature: float = 0.1
    train_encoder: bool = False
    weight: float = 1.0
    steps: int = 1000


@dataclass(frozen=True)
class DenseConfig:
    """DenseCL (Wang et al., CVPR 2021) and PixPro (Xie et al., CVPR 2021): contrast of the cells of feature maps.

    Args:
        weight: of the dense loss in DenseCL; the loss of pooled embeddings gets 1 - weight.
        temperature: of DenseCL's losses.
        queue: embeddings of earlier batches that DenseCL contrasts with.
        momentum: of the second encoder, 0.999 in DenseCL; in PixPro, where it begins at 0.99, it rises to 1.
        hidden: width of the hidden layer of the projection heads.
        projection: width of what is compared.
        within: PixPro's largest distance between two cells of two views that show the same thing, in diagonals of a
            cell.
        sharpness: PixPro's exponent of the similarity, by which cells of one view are averaged.
    """

    weight: float = 0.5
    temperature: float = 0.2
    queue: int = 4096
    momentum: float = 0.99
    hidden: int = 256
    projection: int = 128
    within: float = 0.7
    sharpness: float = 2.0


@dataclass(frozen=True)
class HierarchyConfig:
    """COMET's idea for volumes: patches that share a patient, a study, a series or a slice attract each other.

    Args:
        levels: weight of each level among patient, study, series, volume and slice; a level that is absent is off.
        temperature: of the loss.
        hidden: width of the hidden layer of the projection head.
        projection: width of what is compared.
    """

    levels: dict[str, float] = field(
        default_factory=lambda: {"patient": 0.25, "study": 0.25, "series": 0.25, "slice": 0.25}
    )
    temperature: float = 0.1
    hidden: int = 256
    projection: int = 128


@dataclass(frozen=True)
class VolumePretrainConfig:
    """A whole pretraining run on volumes, as it is written to the run folder.

    Args:
        method: name of the method.
        seed: random seed of weights, batches, views and dropout.
        splits: of the manifest that are trained on. A patient who is tested later must not be in them.
        data: preparation of volumes, and the size of a patch or slice.
        batch: composition of a batch.
        views: random changes that make the views of a patch; those of the local stage are `local_views`.
        local_views: of the local stage: of intensities only, so that positions of two views correspond.
        encoder: the network. Of a `unet` that global-local trains, `dim` and `stride` follow from what is trained: the
            bottleneck, or the last trained block of the decoder.
        global_local: stages, and the global loss, of the method global-local.
        local: the local stage of the method global-local.
        dense: the methods densecl and pixpro.
        hierarchy: the method hierarchy.
        optimiser: AdamW and its schedule.
        hardware: device, precision and processes. `chunk` is for the global stage and for hierarchy.
    """

    method: Literal["global-local", "densecl", "pixpro", "hierarchy"] = "global-local"
    seed: int = 0
    splits: tuple[str, ...] = ("train",)
    data: VolumeConfig = field(default_factory=VolumeConfig)
    batch: VolumeBatchConfig = field(default_factory=VolumeBatchConfig)
    views: ImageViewsConfig = field(default_factory=lambda: CHAITANYA_GLOBAL)
    local_views: ImageViewsConfig = field(default_factory=lambda: CHAITANYA_LOCAL)
    encoder: ImageEncoderConfig = field(default_factory=ImageEncoderConfig)
    global_local: GlobalLocalConfig = field(default_factory=GlobalLocalConfig)
    local: LocalConfig = field(default_factory=LocalConfig)
    dense: DenseConfig = field(default_factory=DenseConfig)
    hierarchy: HierarchyConfig = field(default_factory=HierarchyConfig)
    optimiser: OptimiserConfig = field(default_factory=OptimiserConfig)
    hardware: HardwareConfig = field(default_factory=HardwareConfig)
