"""What signals and volumes hand to the run: which stages are trained, on whom, and what is kept."""

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass

import numpy as np
from torch import nn

from medcl.archive.manifest import Manifest
from medcl.errors import MedclError
from medcl.modality.rows import Ints
from medcl.modality.sampling import Batch
from medcl.modality.spec import Card
from medcl.pretrain.config import OptimiserConfig, PretrainConfig
from medcl.pretrain.multimodal_config import MultimodalPretrainConfig
from medcl.pretrain.volume_config import VolumePretrainConfig

Config = PretrainConfig | VolumePretrainConfig | MultimodalPretrainConfig


@dataclass(frozen=True)
class PlannedStage:
    """A method that is trained, perhaps after another one.

    Args:
        name: in metrics; empty where there is one stage.
        method: makes it from the method of the stage before with its trained weights, or from None.
        weights: of each loss.
        batches: `batches(start, stop)` yields those of its steps start to stop - 1.
        optimiser: AdamW and its schedule.
    """

    name: str
    method: Callable[[nn.Module | None], nn.Module]
    weights: dict[str, float]
    batches: Callable[[int, int], Iterable[Batch]]
    optimiser: OptimiserConfig


@dataclass(frozen=True)
class TrainingPlan:
    """What one run trains.

    Args:
        config: the recipe, completed by what the archive says.
        patients: codes of those trained on.
        size: what is trained on, in words: `1200 windows`.
        stages: in order.
        encoder: what is kept of the last stage's method.
        card: what the encoder expects.
        left_out: sentence about records that are not trained on, if any.
    """

    config: Config
    patients: Ints
    size: str
    stages: tuple[PlannedStage, ...]
    encoder: Callable[[nn.Module], nn.Module]
    card: Card
    left_out: str


def left_out(counts: dict[str, int]) -> str:
    """The sentence about records that are not trained on; empty where there are none.

    Args:
        counts: number of records, by what they are.
    """
    said = ", ".join(f"{count} {what}" for what, count in counts.items() if count)
    return f"left out: {said}" if said else ""


def in_splits(manifest: Manifest, splits: Sequence[str]) -> Manifest:
    """The records of some splits.

    Raises:
        MedclError: the manifest has no splits, or no record in these.
    """
    if not manifest.has("split"):
        raise MedclError(
            "the manifest has no splits; `medcl split` makes them, so that tested patients stay out of pretraining"
        )
    rows = np.sort(np.concatenate([manifest.split_rows(name) for name in splits])) if splits else np.arange(0)
    if not len(rows):
        raise MedclError(f"no readable record in the splits {', '.join(splits) or '(none)'} of the manifest")
    return manifest.select(rows)
