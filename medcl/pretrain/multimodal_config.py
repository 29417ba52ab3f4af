"""The configuration of pretraining on several modalities: importable without torch, so the command line stays quick."""

from dataclasses import dataclass, field
from typing import Literal

from medcl.modality.image.config import ImageConfig
from medcl.modality.report.config import TextConfig, TextEncoderConfig
from medcl.modality.signal.config import SignalConfig, SignalEncoderConfig, SignalViewsConfig
from medcl.modality.spatial.config import ImageEncoderConfig, ImageViewsConfig
from medcl.modality.table.config import TableConfig, TableEncoderConfig, TableViewsConfig
from medcl.modality.volume.config import VolumeConfig
from medcl.pretrain.config import HardwareConfig, OptimiserConfig


@dataclass(frozen=True)
class ImageSide:
    """Images.

    Args:
        data: preparation of images.
        encoder: the network, of 2 dimensions.
        views: random changes of an image.
        init: run folder whose encoder of images this one starts from; empty starts with random weights. It must not
            have seen patients whom this run does not train on.
        locked: whether the encoder keeps the weights that it starts from, and only its projection is trained (LiT, Zhai
            et al., CVPR 2022).
    """

    data: ImageConfig = field(default_factory=ImageConfig)
    encoder: ImageEncoderConfig = field(default_factory=lambda: ImageEncoderConfig(name="resnet"))
    views: ImageViewsConfig = field(default_factory=ImageViewsConfig)
    init: str = ""
    locked: bool = False


@dataclass(frozen=True)
class VolumeSide:
    """Volumes, or their slices.

    Args:
        data: preparation of volumes, and the size of a patch.
        encoder: the network.
        views: random changes of a patch.
        init: as that of images.
        locked: as that of images.
    """

    data: VolumeConfig = field(default_factory=VolumeConfig)
    encoder: ImageEncoderConfig = field(default_factory=lambda: ImageEncoderConfig(dims=3))
    views: ImageViewsConfig = field(default_factory=ImageViewsConfig)
    init: str = ""
    locked: bool = False


@dataclass(frozen=True)
class SignalSide:
    """Recordings.

    Args:
        data: preparation of recordings, and the length of a window.
        encoder: the network.
        views: random changes of a window.
        init: as that of images.
        locked: as that of images.
    """

    data: SignalConfig = field(default_factory=SignalConfig)
    encoder: SignalEncoderConfig = field(default_factory=SignalEncoderConfig)
    views: SignalViewsConfig = field(default_factory=SignalViewsConfig)
    init: str = ""
    locked: bool = False


@dataclass(frozen=True)
class TableSide:
    """Tables.

    Args:
        data: variables, windows and scaling.
        encoder: the network.
        views: random changes of a sample.
        init: as that of images; its variables and their scale come with it.
        locked: as that of images.
    """

    data: TableConfig = field(default_factory=TableConfig)
    encoder: TableEncoderConfig = field(default_factory=TableEncoderConfig)
    views: TableViewsConfig = field(default_factory=TableViewsConfig)
    init: str = ""
    locked: bool = False


@dataclass(frozen=True)
class ReportSide:
    """Reports.

    Args:
        data: sections and sentences that are drawn from a report.
        encoder: the network, and the tokenizer; one that is trained sees the reports of `splits` alone.
        init: as that of images; its tokenizer comes with it.
        locked: as that of images; also of a transformers model.
        reports: which reports are trained on: `all`; those of one `record`, such as captions; or those of a whole
            `study` or patient.
    """

    data: TextConfig = field(default_factory=TextConfig)
    encoder: TextEncoderConfig = field(default_factory=TextEncoderConfig)
    init: str = ""
    locked: bool = False
    reports: Literal["all", "record", "study"] = "all"


Side = ImageSide | VolumeSide | SignalSide | TableSide | ReportSide


@dataclass(frozen=True)
class MultimodalBatchConfig:
    """Composition of a batch: patients x records, each record with its partners.

    Args:
        patients: in a batch, different ones: pairs of two patients are the negatives.
        records: of a patient, or as many as there are. Pairs of the same patient who do not belong together are left
            out, so that more records give positives and few negatives.
    """

    patients: int = 32
    records: int = 1


@dataclass(frozen=True)
class MultimodalConfig:
    """How the modalities are contrasted.

    Args:
        loss: `clip` (InfoNCE both ways, of every two modalities), `siglip` (yes or no for every pair), `anchored` (clip
            of one modality with each of the others and none among these, as MoRE), or `symile` (all modalities
            together). Records that lack a modality are trained on by `anchored` and `symile`, and left out by others.
        weight: lambda of ConVIRT, from 0 to 1: share of the direction towards reports (of two that are no reports,
            towards the one that comes later of image, volume, signal).
        temperature: of the softmax, or what it begins with.
        learn_temperature: whether it is trained, to no less than 0.01; `siglip` trains its bias with it.
        hidden: width of the hidden layer of a projection head; 0 is a linear projection, as CLIP's.
        projection: width of a projection.
        dropout: probability by which a feature of a pooled embedding is dropped before its projection, in training.
        anchor: the modality that `anchored` compares with each of the others.
        local: weight of the local term, which compares a report with another record by what each of its words finds in
            the record's cells (GLoRIA); 0 is off.
        width: of the projection of cells and words, for the local term.
        momentum: of the slowly following copies of the encoders, which exist for a queue or for distillation.
        queue: projections of earlier batches, by these copies, that are further candidates; 0 for none.
        distillation: share of targets that these copies give, from 0 (pairs only) to below 1.
    """

    loss: Literal["clip", "siglip", "anchored", "symile"] = "clip"
    weight: float = 0.75
    temperature: float = 0.1
    learn_temperature: bool = False
    hidden: int = 128
    projection: int = 128
    dropout: float = 0.0
    anchor: Literal["image", "volume", "signal", "table", "report"] = "report"
    local: float = 0.0
    width: int = 64
    momentum: float = 0.995
    queue: int = 0
    distillation: float = 0.0


@dataclass(frozen=True)
class MultimodalPretrainConfig:
    """A whole pretraining run, as it is written to the run folder.

    Args:
        method: `convirt` (two modalities), `multimodal` (two or more), or `simclr` (two views of one, no report).
        seed: random seed of weights, batches, views and dropout.
        splits: of the manifest that are trained on. A patient who is tested later must not be in them.
        image: images, where they are trained on.
        volume: volumes, where they are trained on.
        signal: recordings, where they are trained on.
        table: tables, where they are trained on.
        report: reports, where they are trained on.
        batch: composition of a batch.
        joint: how the modalities are contrasted.
        optimiser: AdamW and its schedule.
        hardware: device, precision and processes. Batches larger than memory pass the encoders by `chunk`, and all is
            still contrasted with all.
    """

    method: Literal["convirt", "multimodal", "simclr"] = "convirt"
    seed: int = 0
    splits: tuple[str, ...] = ("train",)
    image: ImageSide | None = None
    volume: VolumeSide | None = None
    signal: SignalSide | None = None
    table: TableSide | None = None
    report: ReportSide | None = None
    batch: MultimodalBatchConfig = field(default_factory=MultimodalBatchConfig)
    joint: MultimodalConfig = field(default_factory=MultimodalConfig)
    optimiser: OptimiserConfig = field(default_factory=OptimiserConfig)
    hardware: HardwareConfig = field(default_factory=HardwareConfig)

    @property
    def sides(self) -> dict[str, Side]:
        """The modalities that are trained on, by kind; reports last."""
        named: dict[str, Side | None] = {
            "image": self.image,
            "volume": self.volume,
            "signal": self.signal,
            "table": self.table,
            "report": self.report,
        }
        return {kind: side for kind, side in named.items() if side is not None}
