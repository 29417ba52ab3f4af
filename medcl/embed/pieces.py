"""The records of a finished run's modality as the samples that its encoder takes."""

from pathlib import Path
from typing import Any

from medcl.archive.manifest import Manifest
from medcl.data.prepare import prepare
from medcl.data.store import open_store
from medcl.errors import UsageError
from medcl.modality import wing, wing_of
from medcl.modality.sampling import SampleSet
from medcl.modality.spec import Card, JointCard, kind_of

Encoder = Any
"""A network of a wing: a `torch.nn.Module` with `embed` and `config.dim`."""


def config_of(card: Card) -> Any:
    """What a sample is for an encoder in evaluation: as in pretraining, without overlap.

    Raises:
        UsageError: the encoder is one of several modalities.
    """
    if isinstance(card, JointCard):
        raise UsageError("the run's encoder is one of several modalities: it cannot be fine-tuned on labels")
    return wing(kind_of(card)).data_of(card)


def prepared(manifest: Manifest, config: Any, store: Path, jobs: int) -> Path:
    """Prepare the records once; the folder of the prepared store."""
    folder: Path = prepare(manifest, config, store, jobs=jobs).folder
    return folder


def pieces(folder: Path, manifest: Manifest, config: Any) -> SampleSet:
    """The samples of the records of a prepared store."""
    own = wing_of(config)
    return own.samples(open_store(folder, own.name), manifest, config)
